//! Both sides of an SFTP channel send anything, cut anywhere; what answers a question is allowed or denied.
#![no_main]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use sluice_model::UnixMicros;
use sluice_ssh::files::sftp::{Reply, Request, Ruled, Settings, Sftp, Step, Terms, Under, packet};
use sluice_wire::Side;

fuzz_target!(|input: &[u8]| {
    // Whatever parses is written as it was read.
    let mut rest = BytesMut::from(input);
    while let Ok(Some(whole)) = packet(Side::Client, &mut rest) {
        let bytes = whole.freeze();
        if let Ok((Some(id), request)) = Request::parse(&bytes) {
            assert_eq!(request.encode(id), bytes);
        }
        if let Ok((Some(id), reply)) = Reply::parse(&bytes) {
            assert_eq!(reply.encode(id), bytes);
        }
    }
    let mut sftp = Sftp::new(Arc::new(Settings::default()));
    let mut allowed = Vec::new();
    let now = UnixMicros(0);
    for (turn, piece) in input.chunks(usize::from(input.first().copied().unwrap_or(1)).max(1)).enumerate() {
        let piece = Bytes::copy_from_slice(piece);
        let taken = if turn % 2 == 0 { sftp.client(piece, now) } else { sftp.server(piece, now) };
        if taken.is_err() {
            break;
        }
        while let Some(step) = sftp.step() {
            match step {
                Step::Ask(ask, question) => {
                    let allows = question.path.as_str().len() % 2 == 0;
                    if allows {
                        allowed.push(ask);
                    }
                    let ruled = if allows { Ruled::Allow(Terms::default()) } else { Ruled::Deny("no".to_owned()) };
                    if sftp.ruled(ask, ruled, now).is_err() {
                        return;
                    }
                }
                Step::ToServer(Under::Ask(ask), _) => assert!(allowed.contains(&ask), "sent without an allow"),
                Step::ToServer(Under::Channel, _)
                | Step::Withdraw(_)
                | Step::ToClient(_)
                | Step::File(..)
                | Step::Done(_) => {}
            }
        }
    }
    sftp.end(now);
});
