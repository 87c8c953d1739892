//! The seven laws, and the transcripts, on the machine of a channel as it runs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a host that is told what no host may be told fails the test"
)]

#[path = "conformance/codec.rs"]
mod codec;
#[path = "conformance/host.rs"]
mod host;
#[path = "conformance/subject.rs"]
mod subject;
#[path = "conformance/text.rs"]
mod text;

use std::path::Path;

use sluice_wire::conformance;

use subject::Ssh;

conformance::suite!(Ssh);

#[test]
fn transcripts_hold() -> Result<(), conformance::transcript::Different> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ssh");
    conformance::transcript::check_all::<Ssh>(&folder)
}
