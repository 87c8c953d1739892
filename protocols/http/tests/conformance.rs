//! The seven laws, and the transcripts, on the machine as it runs, for both dialects.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a codec that finds its machine wrong fails the test"
)]

#[path = "conformance/codec.rs"]
mod codec;
#[path = "conformance/model.rs"]
mod model;
#[path = "conformance/openai.rs"]
mod openai;
#[path = "conformance/reader.rs"]
mod reader;
#[path = "conformance/rest.rs"]
mod rest;
#[path = "conformance/subject.rs"]
mod subject;
#[path = "conformance/text.rs"]
mod text;

use std::path::Path;

use sluice_wire::conformance::transcript::{Different, check_all};

use openai::{Openai, Owned, Shared};
use rest::Rest;
use subject::HttpSubject;

mod laws_of_rest {
    sluice_wire::conformance::suite!(super::HttpSubject<super::Rest>);
}

mod laws_of_openai {
    sluice_wire::conformance::suite!(super::HttpSubject<super::Openai<super::Shared>>);
}

/// Where objects belong to who made them, exchanges have errands.
mod laws_of_owned_objects {
    sluice_wire::conformance::suite!(super::HttpSubject<super::Openai<super::Owned>>);
}

#[test]
fn transcripts_of_rest_hold() -> Result<(), Different> {
    check_all::<HttpSubject<Rest>>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/http/rest"))
}

#[test]
fn transcripts_of_openai_hold() -> Result<(), Different> {
    check_all::<HttpSubject<Openai<Shared>>>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/http/openai"))
}

#[test]
fn transcripts_of_owned_objects_hold() -> Result<(), Different> {
    check_all::<HttpSubject<Openai<Owned>>>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/http/owned"))
}
