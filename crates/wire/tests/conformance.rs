//! The seven laws, kept by a toy.

#[path = "toy/subject.rs"]
mod subject;
#[path = "toy/mod.rs"]
mod toy;

use std::path::Path;

use sluice_wire::conformance;

use subject::ToySubject;

conformance::suite!(ToySubject);

#[test]
fn transcripts_hold() -> Result<(), conformance::transcript::Different> {
    conformance::transcript::check_all::<ToySubject>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toy"))
}
