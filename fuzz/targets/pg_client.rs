//! A client of PostgreSQL sends anything, cut anywhere: nothing reaches the server unruled.
#![no_main]

#[path = "../../protocols/postgres/tests/conformance/frames.rs"]
#[allow(dead_code)]
mod frames;
#[path = "../../protocols/postgres/tests/conformance/server.rs"]
mod server;
#[path = "../../protocols/postgres/tests/conformance/subject.rs"]
mod subject;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice_wire::conformance::Fuzz;

static FRAMES: LazyLock<frames::Frames> = LazyLock::new(frames::Frames::new);
static PLAYS: LazyLock<Fuzz<subject::PostgresSubject>> = LazyLock::new(|| Fuzz::new().expect("the talks are played"));

fuzz_target!(|input: &[u8]| {
    FRAMES.of_client(input);
    PLAYS.run(input).expect("the laws are kept");
});
