//! A client of git says anything: nothing is sent on before its question was allowed.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_ssh::files::git::{Git, Ruled, Service, Step};

fuzz_target!(|input: &[u8]| {
    for service in [Service::UploadPack, Service::ReceivePack] {
        let mut git = Git::new(service);
        for (turn, piece) in input.chunks(11).enumerate() {
            if turn % 4 == 3 {
                git.server(Bytes::copy_from_slice(piece));
            } else if git.client(piece).is_err() {
                break;
            }
            while let Some(step) = git.step() {
                if let Step::Ask(ask, _) = step {
                    let ruled = if turn % 2 == 0 { Ruled::Allow } else { Ruled::Deny("no".to_owned()) };
                    if git.ruled(ask, ruled).is_err() {
                        return;
                    }
                }
            }
        }
        git.end();
    }
});
