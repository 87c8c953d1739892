//! The seven laws, and the transcripts, on the machine and the codec as they run.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "conformance/frames.rs"]
mod frames;
#[path = "conformance/server.rs"]
mod server;
#[path = "conformance/subject.rs"]
mod subject;

use std::path::Path;

use sluice_wire::conformance;

use subject::PostgresSubject;

conformance::suite!(PostgresSubject);

#[test]
fn surprises_in_frames() {
    let frames = frames::Frames::new();
    for script in conformance::scripts(13, 60).take(800) {
        frames.of_client(&script);
        frames.of_server(&script);
        frames.copied(&script);
    }
}

#[test]
fn transcripts_hold() -> Result<(), conformance::transcript::Different> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/postgres");
    conformance::transcript::check_all::<PostgresSubject>(&folder)
}
