//! Both ends of an old copy say anything: no name leaves the place that the command was allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::UnixMicros;
use sluice_ssh::files::scp::{Scp, Settings, Source, Step};

fuzz_target!(|input: &[u8]| {
    for source in [Source::Client, Source::Server] {
        let mut scp = Scp::new(Settings { source, recursive: input.len() % 2 == 0, name: None });
        for (turn, piece) in input.chunks(7).enumerate() {
            let now = UnixMicros(turn as i64);
            let taken = if turn % 3 == 0 { scp.server(piece, now) } else { scp.client(piece, now) };
            if taken.is_err() {
                break;
            }
            while let Some(step) = scp.step() {
                if let Step::Named(named) = step {
                    assert!(!named.path.split('/').any(|part| part == ".."), "{:?}", named.path);
                }
            }
        }
        scp.end(UnixMicros(0));
    }
});
