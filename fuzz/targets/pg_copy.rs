//! Anything is copied to and from a PostgreSQL server: it arrives as it was sent.
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

static FRAMES: LazyLock<frames::Frames> = LazyLock::new(frames::Frames::new);

fuzz_target!(|input: &[u8]| FRAMES.copied(input));
