//! Any cutting of the bytes, and any bytes.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sluice_model::UnixMicros;

use super::bench::*;
use crate::files::sftp::*;

const NOW: UnixMicros = UnixMicros(5);

/// What a client of this channel sends, and what a server with two files answers.
fn script() -> Vec<Request> {
    let handle = Bytes::from_static(&[0, 0, 0, 0]);
    vec![
        init(),
        open("/a", OpenFlags::READ),
        read(&handle, 0, 5),
        read(&handle, 5, 50),
        Request::Fsetstat { handle: handle.clone(), attrs: Attrs::default() },
        rename("/b", "/c"),
        Request::Stat { path: bytes("/c") },
        open("../../c", OpenFlags::WRITE.with(OpenFlags::TRUNCATE)),
        Request::Close { handle },
    ]
}

/// Runs the script with both directions cut in pieces, and tells every step in order.
///
/// Each side's bytes are handed over whenever they are wanted; the server answers in order.
fn steps(cuts: &[usize]) -> Vec<String> {
    let mut toy = Toy::new(&[("/a", Node::File(b"content".to_vec())), ("/b", Node::File(vec![]))]);
    let mut sftp = Sftp::new(Arc::new(Settings::default()));
    let packets: Vec<Bytes> = script().iter().zip(0..).map(|(request, id)| request.encode(id)).collect();
    // The script answers nothing by itself: a handle is used only after it was given out.
    let mut client: Vec<u8> = Vec::new();
    let mut waiting = packets.into_iter();
    let (mut server, mut shown) = (Vec::new(), Vec::new());
    let mut cuts = cuts.iter().copied().cycle();
    let mut owed = 0;
    loop {
        while let Some(step) = sftp.step() {
            shown.push(format!("{step:?}"));
            match step {
                Step::Ask(ask, _) => sftp.ruled(ask, Ruled::Allow(Terms::default()), NOW).unwrap(),
                Step::ToServer(_, packet) => server.extend(toy.take(&packet).concat()),
                Step::ToClient(_) => owed -= 1,
                Step::Withdraw(_) | Step::File(..) | Step::Done(_) => {}
            }
        }
        let cut = cuts.next().unwrap();
        if !server.is_empty() {
            let piece: Vec<u8> = server.drain(..cut.min(server.len())).collect();
            sftp.server(piece.into(), NOW).unwrap();
        } else if !client.is_empty() {
            let piece: Vec<u8> = client.drain(..cut.min(client.len())).collect();
            sftp.client(piece.into(), NOW).unwrap();
        } else if let Some(packet) = waiting.next() {
            assert_eq!(owed, 0);
            client.extend_from_slice(&packet);
            owed += 1;
        } else {
            break;
        }
    }
    assert!(sftp.wants_client());
    sftp.end(NOW);
    while let Some(step) = sftp.step() {
        shown.push(format!("{step:?}"));
    }
    shown
}

proptest! {
    #[test]
    fn any_cutting_of_both_sides_gives_the_same_steps(cuts in proptest::collection::vec(1usize..40, 1..30)) {
        let whole = steps(&[usize::MAX]);
        prop_assert!(whole.len() > 30);
        prop_assert_eq!(steps(&cuts), whole);
    }

    #[test]
    fn no_bytes_panic(
        client in proptest::collection::vec(any::<u8>(), 0..200),
        server in proptest::collection::vec(any::<u8>(), 0..200),
        greeted in any::<bool>(),
    ) {
        let mut sftp = Sftp::new(Arc::new(Settings::default()));
        if greeted {
            sftp.client(init().encode(0), NOW).unwrap();
            sftp.server(Reply::Version { version: 3, extensions: vec![] }.encode(0), NOW).unwrap();
        }
        let _ends = sftp.client(client.into(), NOW);
        let _ends = sftp.server(server.into(), NOW);
        sftp.end(NOW);
    }

    #[test]
    fn no_request_or_answer_panics_however_it_is_damaged(
        place in 0usize..400,
        byte in any::<u8>(),
        side in any::<bool>(),
    ) {
        let mut toy = Toy::new(&[("/a", Node::File(b"content".to_vec())), ("/b", Node::File(vec![]))]);
        let mut sftp = Sftp::new(Arc::new(Settings::default()));
        let mut sent = 0;
        let mut damage = |bytes: Bytes, here: bool| {
            let mut bytes = bytes.to_vec();
            let at = place.wrapping_sub(sent);
            if here {
                sent += bytes.len();
                // The length is spared, so that the channel goes on.
                if let Some(damaged) = bytes.get_mut(at).filter(|_| at > 3) {
                    *damaged = byte;
                }
            }
            Bytes::from(bytes)
        };
        'script: for (request, id) in script().iter().zip(0..) {
            if sftp.client(damage(request.encode(id), side), NOW).is_err() {
                break 'script;
            }
            while let Some(step) = sftp.step() {
                match step {
                    Step::Ask(ask, _) if sftp.ruled(ask, Ruled::Allow(Terms::default()), NOW).is_err() => break 'script,
                    // A damaged path may name what the small server does not know.
                    Step::ToServer(_, packet) if !side => {
                        for answer in toy.take(&packet) {
                            if sftp.server(damage(answer, true), NOW).is_err() {
                                break 'script;
                            }
                        }
                    }
                    Step::Ask(..) | Step::ToServer(..) | Step::Withdraw(_) | Step::ToClient(_) | Step::File(..) | Step::Done(_) => {}
                }
            }
        }
        sftp.end(NOW);
    }
}
