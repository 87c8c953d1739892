#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use sha2::Digest as _;
use sluice_model::Digest;

use super::*;

const NOW: UnixMicros = UnixMicros(7);

fn sha256(content: &[u8]) -> Content {
    Content::Whole { sha256: Digest(sha2::Sha256::digest(content).into()) }
}

fn settings(source: Source) -> Settings {
    Settings { source, recursive: true, name: None }
}

/// What each side says in turn: the source's words first in each pair, then the sink's answer.
fn talk(scp: &mut Scp, turns: &[(&[u8], &[u8])], cut: usize) -> Result<(), Violation> {
    let source = scp.source();
    let mut say = |side: Side, words: &[u8]| {
        for piece in words.chunks(cut) {
            if side == Side::Client { scp.client(piece, NOW)? } else { scp.server(piece, NOW)? }
        }
        Ok(())
    };
    for (by_source, by_sink) in turns {
        say(source, by_source)?;
        say(if source == Side::Client { Side::Server } else { Side::Client }, by_sink)?;
    }
    Ok(())
}

/// What passed each way, what was named, and the events.
#[derive(Debug, Default, Eq, PartialEq)]
struct Passed {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    named: Vec<String>,
    events: Vec<FileEvent>,
}

fn passed(scp: &mut Scp) -> Passed {
    let mut passed = Passed::default();
    while let Some(step) = scp.step() {
        match step {
            Step::ToServer(bytes) => passed.to_server.extend_from_slice(&bytes),
            Step::ToClient(bytes) => passed.to_client.extend_from_slice(&bytes),
            Step::Named(named) => passed.named.push(format!("{} {:o} {:?}", named.path, named.mode, named.size)),
            Step::File(event) => passed.events.push(*event),
        }
    }
    passed
}

const TREE: &[(&[u8], &[u8])] = &[
    (b"", b"\0"),
    (b"T1700000000 0 1700000001 0\n", b"\0"),
    (b"D0755 0 top\n", b"\0"),
    (b"C0644 5 a\n", b"\0"),
    (b"hello\0", b"\0"),
    (b"D0700 0 sub\n", b"\0"),
    (b"C0600 0 empty\n", b"\0"),
    (b"\0", b"\0"),
    (b"\x01scp: gone: No such file\n", b""),
    (b"C0600 3 refused\n", b"\x01scp: refused: Permission denied\n"),
    (b"E\n", b"\0"),
    (b"E\n", b"\0"),
];

#[test]
fn a_tree_passes_as_it_is_and_each_file_has_its_digest() {
    let said = |by_source: bool| -> Vec<u8> {
        TREE.iter().flat_map(|(source, sink)| if by_source { *source } else { *sink }).copied().collect()
    };
    for source in [Source::Client, Source::Server] {
        let mut scp = Scp::new(settings(source));
        talk(&mut scp, TREE, usize::MAX).unwrap();
        let passed = passed(&mut scp);
        let (to_sink, to_source) = match source {
            Source::Client => (passed.to_server, passed.to_client),
            Source::Server => (passed.to_client, passed.to_server),
        };
        assert_eq!((to_sink, to_source), (said(true), said(false)));
        assert_eq!(
            passed.named,
            [
                "top 755 None",
                "top/a 644 Some(5)",
                "top/sub 700 None",
                "top/sub/empty 600 Some(0)",
                "top/sub/refused 600 Some(3)"
            ]
        );
        let traffic = |event: &FileEvent| match source {
            Source::Client => event.written.clone(),
            Source::Server => event.read.clone(),
        };
        let events: Vec<_> = passed.events.iter().map(|event| (event.path.as_str(), traffic(event))).collect();
        let whole = |content: &[u8]| Traffic { bytes: content.len() as u64, content: sha256(content) };
        assert_eq!(events, [("top/a", whole(b"hello")), ("top/sub/empty", whole(b""))]);
    }
}

#[test]
fn a_name_leads_nowhere() {
    for (turns, what) in [
        (&[(&b""[..], &b"\0"[..]), (b"C0644 1 ../x\n", b"")][..], "no line of scp"),
        (&[(b"", b"\0"), (b"C0644 1 /etc/x\n", b"")], "no line of scp"),
        (&[(b"", b"\0"), (b"D0755 0 ..\n", b"")], "no line of scp"),
        (&[(b"", b"\0"), (b"C0644 1 a\x1b]0;\n", b"")], "no line of scp"),
        (&[(b"", b"\0"), (b"E\n", b"")], "the end of a directory that was not begun"),
        (&[(b"", b"\0"), (b"D0755 0 a\n", b"\0"), (b"E\nE\n", b"\0")], "the end of a directory that was not begun"),
        (&[(b"", b"\0"), (b"D0755 0 a\n", b"\x01no\n"), (b"E\n", b"")], "the end of a directory that was not begun"),
        (&[(b"", b"ok\n")], "no answer of scp"),
    ] {
        for source in [Source::Client, Source::Server] {
            let mut scp = Scp::new(settings(source));
            assert_eq!(talk(&mut scp, turns, usize::MAX).unwrap_err().what, what, "{turns:?}");
        }
    }
}

#[test]
fn a_server_gives_only_what_was_asked_for() {
    let mut scp = Scp::new(Settings { source: Source::Server, recursive: false, name: Some("wanted".into()) });
    talk(&mut scp, &[(b"", b"\0"), (b"C0644 1 wanted\n", b"\0"), (b"x\0", b"\0")], usize::MAX).unwrap();
    let other = talk(&mut scp, &[(b"C0644 1 .bashrc\n", b"")], usize::MAX);
    assert_eq!(other, Err(Violation::server("a name that was not asked for")));
    let mut scp = Scp::new(Settings { source: Source::Server, recursive: false, name: None });
    let folder = talk(&mut scp, &[(b"", b"\0"), (b"D0755 0 x\n", b"")], usize::MAX);
    assert_eq!(folder, Err(Violation::server("a directory that was not asked for")));
}

#[test]
fn what_did_not_arrive_is_partial() {
    for (turns, end) in [
        (&[(&b""[..], &b"\0"[..]), (b"C0644 5 a\n", b"\0"), (b"hello\x01read error\n", b"\0")][..], End::Closed),
        (&[(b"", b"\0"), (b"C0644 5 a\n", b"\0"), (b"hello\0", b"\x01disk full\n")], End::Closed),
        (&[(b"", b"\0"), (b"C0644 5 a\n", b"\0"), (b"hello\0", b"")], End::Cut),
    ] {
        let mut scp = Scp::new(settings(Source::Client));
        talk(&mut scp, turns, usize::MAX).unwrap();
        scp.end(NOW);
        let events = passed(&mut scp).events;
        let [event] = &events[..] else { panic!("{events:?}") };
        assert!(matches!(event.written.content, Content::Partial { .. }), "{event:?}");
        assert_eq!((event.written.bytes, event.end), (5, end));
    }
}

#[test]
fn a_fatal_answer_is_the_end() {
    let mut scp = Scp::new(settings(Source::Client));
    talk(&mut scp, &[(b"", b"\x02scp: no such place\n"), (b"C0644 1 a\n", b"\0")], usize::MAX).unwrap();
    assert_eq!(passed(&mut scp), Passed { to_client: b"\x02scp: no such place\n".to_vec(), ..Passed::default() });
}

#[test]
fn nobody_goes_far_beyond_their_turn() {
    let mut scp = Scp::new(settings(Source::Client));
    let ends: Vec<_> = (0..3).map(|_| scp.client(&[b'x'; 600 << 10], NOW)).collect();
    assert_eq!(
        ends,
        [
            Ok(()),
            Err(Violation::client("sent far beyond its turn")),
            Err(Violation::client("sent far beyond its turn"))
        ]
    );
    let mut scp = Scp::new(settings(Source::Client));
    let line = [(&b""[..], &b"\0"[..]), (&[b'C'; 5000][..], b"")];
    assert_eq!(talk(&mut scp, &line, usize::MAX), Err(Violation::client("a line is too long")));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(cut in 1usize..9, client in any::<bool>()) {
        let source = if client { Source::Client } else { Source::Server };
        let (mut whole, mut pieces) = (Scp::new(settings(source)), Scp::new(settings(source)));
        talk(&mut whole, TREE, usize::MAX).unwrap();
        talk(&mut pieces, TREE, cut).unwrap();
        prop_assert_eq!(passed(&mut pieces), passed(&mut whole));
    }

    #[test]
    fn no_bytes_panic(talk in proptest::collection::vec((any::<bool>(), "[CDET0-9 a\n\0\u{1}\u{2}]{0,12}"), 0..12)) {
        let mut scp = Scp::new(settings(Source::Client));
        for (by_client, words) in talk {
            let _end = if by_client { scp.client(words.as_bytes(), NOW) } else { scp.server(words.as_bytes(), NOW) };
        }
        scp.end(NOW);
    }
}

/// OpenSSH's `scp` at both ends.
#[test]
fn two_real_ends_copy_a_tree() {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc::{Sender, channel};
    use std::thread;
    use std::time::Duration;

    fn start(arguments: &[&str], side: Side, sender: Sender<(Side, Vec<u8>)>) -> (Child, std::process::ChildStdin) {
        let mut command = Command::new("scp");
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let got = output.read(&mut buffer).unwrap_or(0);
                let piece = buffer.iter().take(got).copied().collect();
                if sender.send((side, piece)).is_err() || got == 0 {
                    break;
                }
            }
        });
        (child, input)
    }

    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::create_dir(&to).unwrap();
    let large: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(from.join("sub/large"), &large).unwrap();
    fs::write(from.join("empty"), "").unwrap();
    let (sender, receiver) = channel();
    let (mut client, mut to_client) = start(&["-r", "-p", "-t", to.to_str().unwrap()], Side::Client, sender.clone());
    let (mut server, mut to_server) = start(&["-r", "-p", "-f", from.to_str().unwrap()], Side::Server, sender);
    let mut scp = Scp::new(Settings { source: Source::Server, recursive: true, name: Some("from".into()) });
    let mut events = Vec::new();
    loop {
        let (side, bytes) = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        if bytes.is_empty() {
            break;
        }
        match side {
            Side::Client => scp.client(&bytes, NOW).unwrap(),
            Side::Server => scp.server(&bytes, NOW).unwrap(),
        }
        while let Some(step) = scp.step() {
            match step {
                Step::ToClient(bytes) => to_client.write_all(&bytes).unwrap(),
                // The source may have gone already when the last answer arrives.
                Step::ToServer(bytes) => drop(to_server.write_all(&bytes)),
                Step::Named(_) => {}
                Step::File(event) => events.push(*event),
            }
        }
    }
    drop((to_client, to_server));
    assert!(server.wait().unwrap().success());
    assert!(client.wait().unwrap().success());
    assert!(fs::read(to.join("from/sub/large")).unwrap() == large);
    events.sort_by(|one, other| one.path.cmp(&other.path));
    let read: Vec<_> = events.iter().map(|event| (event.path.as_str(), &event.read.content)).collect();
    assert_eq!(read, [("from/empty", &sha256(b"")), ("from/sub/large", &sha256(&large))]);
}
