//! Reads of covered files.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sluice_mask::{BUILTINS, Detectors, Spec};
use sluice_model::Tag;
use sluice_wire::Side;

use super::bench::*;
use crate::files::event::{Content, End};
use crate::files::mask::{Cover, Lookout, Stars};
use crate::files::sftp::*;

const EMAIL: &str = "zq7x.k1@leak.example.com";

/// Covers every run of at least three letters `x`, and reaches no farther than eight bytes.
#[derive(Debug)]
struct Runs;

impl Cover for Runs {
    fn reach(&self) -> usize {
        8
    }

    fn cover(&self, window: &mut [u8]) -> BTreeSet<Tag> {
        let before = window.to_vec();
        let mut tags = BTreeSet::new();
        for at in 0..before.len() {
            let near = &before[at.saturating_sub(2)..(at + 3).min(before.len())];
            if before[at] == b'x' && near.windows(3).any(|three| three == b"xxx") {
                window[at] = b'*';
                tags.insert(Tag::new("secret").unwrap());
            }
        }
        tags
    }

    fn lookout(&self) -> Box<dyn Lookout> {
        Box::new(Count(0))
    }
}

/// How many letters `x` came last.
#[derive(Debug)]
struct Count(usize);

impl Lookout for Count {
    fn suspects(&mut self, part: &[u8]) -> bool {
        let mut suspected = false;
        for byte in part {
            self.0 = if *byte == b'x' { self.0 + 1 } else { 0 };
            suspected |= self.0 >= 3;
        }
        suspected
    }
}

pub(super) fn stars() -> Stars {
    let set: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
    let set = Arc::new(Detectors::compile(&set).unwrap());
    let watch = set.everything();
    Stars::new(set, watch)
}

pub(super) fn covering(cover: &Arc<dyn Cover>) -> impl FnMut(&Question) -> Option<Ruled> + 'static {
    let terms = Terms { cover: Some(Arc::clone(cover)), inspect: None };
    move |_| Some(Ruled::Allow(terms.clone()))
}

/// Answers in an order that a number decides.
pub(super) fn settle_mixed(bench: &mut Bench, toy: &mut Toy, mut order: u64) {
    while !bench.to_server.is_empty() {
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (order >> 33) as usize % bench.to_server.len();
        let (_, packet) = bench.to_server.remove(at).unwrap();
        for answer in toy.take(&packet) {
            bench.server(answer);
        }
    }
}

pub(super) fn data(reply: &Reply) -> &[u8] {
    match reply {
        Reply::Data(data) => data,
        Reply::Status { code: Code::Eof, .. } => b"",
        other => panic!("{other:?} is no data"),
    }
}

/// Reads parts of a file in any order and checks each against the whole file covered at once.
fn check(cover: &Arc<dyn Cover>, content: &[u8], reads: &[(usize, usize)], (most, order): (usize, u64)) {
    let mut whole = content.to_vec();
    cover.cover(&mut whole);
    let mut toy = Toy::new(&[("/f", Node::File(content.to_vec()))]);
    toy.most = Some(most);
    let mut bench = Bench::new(&[], covering(cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    let mut owed = Vec::new();
    for (id, (offset, length)) in reads.iter().enumerate() {
        bench.client(read(&handle, *offset as u64, *length as u32).encode(id as u32));
        owed.push((id as u32, *offset, *length));
    }
    settle_mixed(&mut bench, &mut toy, order);
    for (id, offset, length) in owed {
        let from = offset.min(whole.len());
        let expected = &whole[from..(from + length).min(whole.len())];
        assert_eq!(data(&bench.take(id).unwrap()), expected, "{length} bytes at {offset}");
    }
}

#[test]
fn what_is_covered_at_once_is_known_before_its_last_part_comes() {
    let cover = Arc::new(stars()) as Arc<dyn Cover>;
    let mut toy = Toy::new(&[("/f", Node::File(vec![b'a'; 1 << 20]))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    bench.client(read(&handle, 0, 100 << 10).encode(1));
    let mut weights = Vec::new();
    while let Some((_, packet)) = bench.to_server.pop_front() {
        weights.push(bench.sftp.due());
        for answer in toy.take(&packet) {
            bench.server(answer);
        }
    }
    let (last, before) = weights.split_last().unwrap();
    assert!(before.iter().all(|weight| *weight == 0) && before.len() >= 3, "{weights:?}");
    assert!(*last >= 64 << 10, "{weights:?}");
    assert_eq!(bench.sftp.due(), 0);
}

/// A private key of so many lines.
pub(super) fn key(lines: usize) -> Vec<u8> {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n";
    format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", line.repeat(lines)).into_bytes()
}

/// A text with values in it, some of them side by side.
pub(super) fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => "[a-z \n]{0,40}".prop_map(String::into_bytes),
        2 => Just(b"zq7x.k1@leak.example.com".to_vec()),
        1 => Just(b"4111 1111 1111 1111".to_vec()),
        1 => Just(b"ghp_abcdefghijklmnopqrstuvwxyz0123456789".to_vec()),
        1 => Just(b"ssn 900-55-0001, call +1 212 555 0123 ".to_vec()),
        1 => (1usize..60).prop_map(key),
        1 => Just(b"xxxx".to_vec()),
        2 => (1usize..80).prop_map(|count| vec![0; count]),
        1 => "[\u{200b}\u{ad}\0]{20,60}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_reads_in_any_order_give_the_covered_file(
        content in content(),
        reads in proptest::collection::vec((0usize..3000, 0usize..300), 1..24),
        most in 1usize..64,
        order in any::<u64>(),
    ) {
        check(&(Arc::new(Runs) as Arc<dyn Cover>), &content, &reads, (most, order));
        check(&(Arc::new(stars()) as Arc<dyn Cover>), &content, &reads, (most * 40, order));
    }

    #[test]
    fn reads_that_follow_each_other_give_the_covered_file(
        content in content(),
        start in 0usize..200,
        lengths in proptest::collection::vec(1usize..120, 1..40),
        most in 1usize..64,
        order in any::<u64>(),
    ) {
        let mut at = start;
        let mut reads = Vec::new();
        for length in lengths {
            reads.push((at, length));
            at += length;
        }
        check(&(Arc::new(Runs) as Arc<dyn Cover>), &content, &reads, (most, order));
        check(&(Arc::new(stars()) as Arc<dyn Cover>), &content, &reads, (most * 40, order));
    }

    #[test]
    fn a_large_file_is_covered_across_every_boundary(
        parts in proptest::collection::vec((0usize..9000, content()), 4..12),
        reads in proptest::collection::vec((0usize..90_000, 0usize..20_000), 1..6),
        order in any::<u64>(),
    ) {
        let mut content = Vec::new();
        for (gap, part) in parts {
            content.extend(std::iter::repeat_n(b'.', gap));
            content.extend(part);
        }
        check(&(Arc::new(stars()) as Arc<dyn Cover>), &content, &reads, (32 << 10, order));
    }
}

#[test]
fn a_value_cut_by_a_read_is_covered_in_both_halves() {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    let content = b"mail zq7x.k1@leak.example.com now";
    let whole = b"mail ************************ now";
    let mut covered = content.to_vec();
    let tags = cover.cover(&mut covered);
    assert_eq!((&covered[..], tags.len()), (&whole[..], 1));
    for cut in 0..content.len() {
        check(&cover, content, &[(0, cut), (cut, content.len())], (7, cut as u64));
    }
}

#[test]
fn what_cannot_be_seen_covers_nothing_beside_it() {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    for unseen in ["\0".repeat(33), "\0".repeat(5000), "\u{200b}".repeat(200), "\x1e\x1a\x1f\x1eé".repeat(20)] {
        let content = ["text\n", &unseen, "mail ", EMAIL, "\n", &unseen, "more text\n", &unseen].concat();
        let expected = content.replace(EMAIL, &"*".repeat(EMAIL.len()));
        let mut covered = content.clone().into_bytes();
        cover.cover(&mut covered);
        assert!(covered == expected.as_bytes(), "{:?}", String::from_utf8_lossy(&covered));
        check(&cover, content.as_bytes(), &[(0, 40), (20, 9000), (3, 3)], (700, 3));
    }
}

#[test]
fn an_archive_keeps_all_but_its_values() {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    let member = |text: &str| {
        let mut block = format!("name\0{}ustar", "0".repeat(11)).into_bytes();
        block.resize(512, 0);
        block.extend_from_slice(text.as_bytes());
        block.resize(block.len().next_multiple_of(512), 0);
        block
    };
    let values = format!("Zoe <{EMAIL}>\n");
    let content = [member(&"hello world\n".repeat(2000)), member(&values), member("int main(){}\n")].concat();
    let mut whole = content.clone();
    cover.cover(&mut whole);
    let changed = content.iter().zip(&whole).filter(|(before, after)| before != after).count();
    assert_eq!(changed, EMAIL.len());
    let reads: Vec<(usize, usize)> = (0..content.len() / 997).map(|at| (at * 997, 1100)).collect();
    check(&cover, &content, &reads, (32 << 10, 5));
}

#[test]
fn a_key_of_twelve_kibibytes_is_covered_wherever_it_is_read() {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    let content = [&vec![b'.'; 50_000][..], &key(190), &vec![b'.'; 50_000]].concat();
    let mut whole = content.clone();
    cover.cover(&mut whole);
    assert!(!whole.windows(4).any(|four| four == b"MIIE"));
    let reads: Vec<(usize, usize)> = (0..140).map(|at| (at * 997, 100 + at)).collect();
    check(&cover, &content, &reads, (32 << 10, 5));
}

#[test]
fn a_handle_closes_after_its_covered_reads_and_its_event_tells_the_classes() {
    let cover: Arc<dyn Cover> = Arc::new(Runs);
    let content = b"abcxxxx".to_vec();
    let mut toy = Toy::new(&[("/f", Node::File(content))]);
    toy.most = Some(2);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    bench.client([read(&handle, 0, 100).encode(1), Request::Close { handle }.encode(2)].concat().into());
    assert!(!bench.sftp.wants_client());
    bench.settle(&mut toy);
    assert_eq!(bench.take(1), Some(Reply::Data(bytes("abc****"))));
    assert_eq!(bench.take(2).as_ref().map(code), Some(Code::Ok));
    let event = &bench.events[0];
    assert_eq!((event.end, event.read.bytes, event.covered.len()), (End::Closed, 7, 1));
    assert!(matches!(event.read.content, Content::Whole { .. }));
}

/// Opens a file of so many letters `x` and asks for it in pieces of 32 KiB, all at once.
fn ask_ahead(size: usize) -> (Bench, Toy, u32) {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    let mut toy = Toy::new(&[("/f", Node::File(vec![b'x'; size]))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    let pieces = size.div_ceil(32 << 10) as u32;
    for id in 0..pieces {
        bench.client(read(&handle, u64::from(id) << 15, 32 << 10).encode(id));
    }
    (bench, toy, pieces)
}

#[test]
fn what_a_client_asks_for_ahead_is_read_little_more_than_once() {
    let size = 2 << 20;
    let (mut bench, mut toy, pieces) = ask_ahead(size);
    bench.settle(&mut toy);
    for id in 0..pieces {
        assert_eq!(data(&bench.take(id).unwrap()).len(), 32 << 10);
    }
    let lengths = toy.seen.iter().map(|request| match request {
        Request::Read { length, .. } => *length as usize,
        _ => 0,
    });
    let asked: usize = lengths.sum();
    assert!(asked >= size && asked <= size / 4 * 5, "{asked} bytes were asked for {size}");
}

#[test]
fn each_of_the_reads_that_joined_fails_if_the_server_cannot_read() {
    let (mut bench, mut toy, pieces) = ask_ahead(4 * (32 << 10));
    let (_, first) = bench.to_server.pop_front().unwrap();
    let (wire, _) = Request::parse(&packet(Side::Client, &mut first[..].into()).unwrap().unwrap().freeze()).unwrap();
    bench.server(
        Reply::Status { code: Code::Failure, message: bytes("no"), language: Bytes::new() }.encode(wire.unwrap()),
    );
    bench.settle(&mut toy);
    for id in 0..pieces {
        assert_eq!(bench.take(id).as_ref().map(code), Some(Code::Failure), "{id}");
    }
}

#[test]
fn a_read_beyond_the_end_is_the_end_and_an_offset_that_overflows_too() {
    let cover: Arc<dyn Cover> = Arc::new(Runs);
    let mut toy = Toy::new(&[("/f", Node::File(b"abc".to_vec()))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    for (offset, length) in [(3, 10), (5000, 10), (u64::MAX, 10), (u64::MAX - 10, 10), (0, 0)] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &read(&handle, offset, length))), Code::Eof, "{offset}");
    }
}

#[test]
fn a_covered_file_is_not_opened_for_both() {
    let cover: Arc<dyn Cover> = Arc::new(Runs);
    let mut toy = Toy::new(&[("/f", Node::File(b"abcxxxx".to_vec()))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let both = OpenFlags::READ.with(OpenFlags::WRITE);
    assert_eq!(code(&bench.ask(&mut toy, 1, &open("/f", both))), Code::PermissionDenied);
    assert_eq!(bench.done.len(), 1);
    bench.open(&mut toy, "/f", OpenFlags::WRITE);
}

#[test]
fn a_cover_that_reaches_too_far_refuses_the_file() {
    #[derive(Debug)]
    struct Far;
    impl Cover for Far {
        fn reach(&self) -> usize {
            1 << 20
        }
        fn cover(&self, _: &mut [u8]) -> BTreeSet<Tag> {
            BTreeSet::new()
        }
        fn lookout(&self) -> Box<dyn Lookout> {
            Runs.lookout()
        }
    }
    let cover: Arc<dyn Cover> = Arc::new(Far);
    let mut toy = Toy::new(&[("/f", Node::File(b"abc".to_vec()))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    assert_eq!(code(&bench.ask(&mut toy, 1, &open("/f", OpenFlags::READ))), Code::PermissionDenied);
    assert_eq!(bench.done.len(), 1);
}
