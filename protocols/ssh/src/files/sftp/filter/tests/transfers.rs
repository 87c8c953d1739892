//! What is written down of files.

use std::sync::Arc;

use sha2::Digest as _;
use sluice_model::Digest;

use super::bench::*;
use crate::files::event::{Content, End, FileEvent, Traffic};
use crate::files::sftp::*;

fn sha256(content: &[u8]) -> Content {
    Content::Whole { sha256: Digest(sha2::Sha256::digest(content).into()) }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn bench(toy: &mut Toy) -> Bench {
    let mut bench = Bench::new(&[], |_| allow());
    bench.greet(toy);
    bench
}

fn close(bench: &mut Bench, toy: &mut Toy, handle: bytes::Bytes) -> FileEvent {
    bench.now = bench.now.plus_seconds(1);
    assert_eq!(code(&bench.ask(toy, 99, &Request::Close { handle })), Code::Ok);
    bench.events.pop().unwrap()
}

const WRITE_NEW: OpenFlags = OpenFlags::WRITE.with(OpenFlags::CREATE).with(OpenFlags::TRUNCATE);

#[test]
fn a_download_whose_answers_come_in_any_order_has_its_digest() {
    let content = content(10_000);
    let mut toy = Toy::new(&[("/f", Node::File(content.clone()))]);
    let mut bench = bench(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    for at in 0..11 {
        bench.client(read(&handle, at * 1000, 1000).encode(at as u32));
    }
    // Backwards.
    while let Some((_, packet)) = bench.to_server.pop_back() {
        for answer in toy.take(&packet) {
            bench.server(answer);
        }
    }
    let event = close(&mut bench, &mut toy, handle);
    assert_eq!(event.read, Traffic { bytes: 10_000, content: sha256(&content) });
    assert_eq!(event.written, Traffic { bytes: 0, content: Content::Nothing });
    assert_eq!((event.path.as_str(), event.micros, event.end), ("/f", 1_000_000, End::Closed));
}

#[test]
fn a_part_of_a_file_is_partial_with_what_was_read() {
    let mut toy = Toy::new(&[("/f", Node::File(content(100)))]);
    let mut bench = bench(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    for (id, (offset, length)) in [(0, 10), (10, 10), (50, 5), (52, 10)].into_iter().enumerate() {
        bench.ask(&mut toy, id as u32, &read(&handle, offset, length));
    }
    let event = close(&mut bench, &mut toy, handle);
    let content = Content::Partial { ranges: vec![0..20, 50..62], more: false };
    assert_eq!(event.read, Traffic { bytes: 35, content });
}

#[test]
fn an_upload_has_its_digest_and_one_into_an_old_file_only_if_nothing_old_is_left() {
    let new = content(3000);
    for (old, flags, whole) in [
        (None, WRITE_NEW, true),
        (Some(9000), WRITE_NEW, true),
        (Some(2000), OpenFlags::WRITE, true),
        (Some(9000), OpenFlags::WRITE, false),
        (Some(2000), OpenFlags::WRITE.with(OpenFlags::APPEND), false),
    ] {
        let old: Vec<_> = old.into_iter().map(|length| ("/f", Node::File(content(length)))).collect();
        let mut toy = Toy::new(&old);
        let mut bench = bench(&mut toy);
        let handle = bench.open(&mut toy, "/f", flags);
        for at in [1, 0, 2] {
            bench.ask(&mut toy, at, &write(&handle, u64::from(at) * 1000, &new[at as usize * 1000..][..1000]));
        }
        let event = close(&mut bench, &mut toy, handle);
        let partial = Content::Partial { ranges: vec![0..3000], more: false };
        assert_eq!(event.written, Traffic { bytes: 3000, content: if whole { sha256(&new) } else { partial } });
    }
}

#[test]
fn a_channel_that_ends_tells_of_every_open_file_and_question() {
    let mut toy = Toy::new(&[("/f", Node::File(content(10)))]);
    let mut bench = bench(&mut toy);
    let handle = bench.open(&mut toy, "/new", WRITE_NEW);
    bench.ask(&mut toy, 1, &write(&handle, 0, b"abc"));
    bench.client(Request::Remove { path: bytes("/f") }.encode(2));
    let (_, realpath) = bench.to_server.pop_front().unwrap();
    bench.policy = Box::new(|_| None);
    for answer in toy.take(&realpath) {
        bench.server(answer);
    }
    bench.sftp.end(bench.now);
    bench.steps();
    assert_eq!((bench.events.len(), bench.events[0].end), (1, End::Cut));
    assert_eq!(bench.events[0].written.content, Content::Partial { ranges: vec![0..3], more: false });
    assert_eq!(bench.withdrawn, [bench.asked[1].0]);
    assert!(bench.allowed.is_empty() && !bench.sftp.wants_client());
}

#[test]
fn every_question_is_over_once_its_answer_is_there() {
    let mut toy = Toy::new(&[("/f", Node::File(content(10)))]);
    let mut bench = bench(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    assert_eq!(bench.allowed.len(), 1);
    bench.ask(&mut toy, 1, &Request::Lstat { path: bytes("/f") });
    bench.ask(&mut toy, 2, &open("/none", OpenFlags::READ));
    let attrs = Attrs { permissions: Some(0o600), ..Attrs::default() };
    bench.ask(&mut toy, 3, &Request::Fsetstat { handle: handle.clone(), attrs });
    assert_eq!(bench.allowed.len(), 1);
    let verbs: Vec<_> =
        bench.asked.iter().map(|(_, question)| (question.verb.name(), question.path.as_str())).collect();
    assert_eq!(verbs, [("read", "/f"), ("stat", "/f"), ("read", "/none"), ("setstat", "/f")]);
    close(&mut bench, &mut toy, handle);
    assert!(bench.allowed.is_empty());
}

/// Refuses whatever holds `secret`.
#[derive(Debug)]
struct NoSecret;

impl Inspect for NoSecret {
    fn reach(&self) -> usize {
        8
    }

    fn inspect(&self, before: &[u8], piece: &[u8]) -> Result<(), String> {
        let found = [before, piece].concat().windows(6).any(|window| window == b"secret");
        if found { Err("a secret is not written".into()) } else { Ok(()) }
    }
}

#[test]
fn what_is_written_is_inspected_across_pieces_and_only_in_order() {
    let terms = Terms { cover: None, inspect: Some(Arc::new(NoSecret)) };
    let mut toy = Toy::new(&[("/old", Node::File(content(10)))]);
    let mut bench = Bench::new(&[], move |_| Some(Ruled::Allow(terms.clone())));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/new", WRITE_NEW);
    let mut code_of = |bench: &mut Bench, handle: &bytes::Bytes, offset: u64, piece: &str| {
        code(&bench.ask(&mut toy, 1, &write(handle, offset, piece.as_bytes())))
    };
    assert_eq!(code_of(&mut bench, &handle, 3, "ret"), Code::PermissionDenied);
    assert_eq!(code_of(&mut bench, &handle, 0, "a sec"), Code::Ok);
    assert_eq!(code_of(&mut bench, &handle, 5, "ret"), Code::PermissionDenied);
    assert_eq!(code_of(&mut bench, &handle, 5, "tor"), Code::Ok);
    assert_eq!(code_of(&mut bench, &handle, 0, "a"), Code::PermissionDenied);
    let mut toy = toy;
    assert_eq!(toy.nodes["/new"], Node::File(b"a sector".to_vec()));
    let old = bench.open(&mut toy, "/old", OpenFlags::WRITE);
    assert_eq!(code(&bench.ask(&mut toy, 1, &write(&old, 10, b"x"))), Code::PermissionDenied);
}
