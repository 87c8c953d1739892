//! Reads of covered files by a client that asks ahead, as all do that fetch a whole file.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::*;
use super::masks::{content, covering, data, key, settle_mixed, stars};
use crate::files::mask::Cover;
use crate::files::sftp::*;

/// A client that has so many reads of a length under way, and a server whose answers arrive in pieces.
struct Fetch {
    ahead: usize,
    length: u32,
    cuts: Vec<usize>,
}

impl Fetch {
    /// Fetches a file from a place on and gives what the client has then.
    fn run(&self, bench: &mut Bench, toy: &mut Toy, handle: &Bytes, from: u64) -> Vec<u8> {
        let (mut next, mut owed) = (from, VecDeque::new());
        let (mut fetched, mut cuts) = (Vec::new(), self.cuts.iter().copied().cycle());
        let mut ended = false;
        for id in 1.. {
            while !ended && owed.len() < self.ahead {
                let id = id * 1000 + owed.len() as u32;
                bench.client(read(handle, next, self.length).encode(id));
                owed.push_back(id);
                next += u64::from(self.length);
            }
            let Some(first) = owed.front() else { break };
            match bench.take(*first) {
                Some(Reply::Data(data)) => fetched.extend_from_slice(&data),
                Some(reply) => {
                    assert_eq!(code(&reply), Code::Eof);
                    ended = true;
                }
                None => {
                    let (_, packet) = bench.to_server.pop_front().unwrap();
                    let mut answers = toy.take(&packet).concat();
                    while !answers.is_empty() {
                        let count = cuts.next().unwrap().min(answers.len());
                        bench.server(answers.drain(..count).collect::<Vec<u8>>().into());
                    }
                    continue;
                }
            }
            owed.pop_front();
        }
        fetched
    }
}

/// How much the server was asked for, and the largest offset.
fn asked(toy: &Toy) -> (u64, u64) {
    let reads = toy.seen.iter().filter_map(|request| match request {
        Request::Read { offset, length, .. } => Some((*offset, u64::from(*length))),
        _ => None,
    });
    reads.fold((0, 0), |(sum, end), (offset, length)| (sum + length, end.max(offset + length)))
}

/// A file that is opened under a cover.
fn opened(content: &[u8]) -> (Bench, Toy, Bytes, Vec<u8>) {
    let cover: Arc<dyn Cover> = Arc::new(stars());
    let mut covered = content.to_vec();
    cover.cover(&mut covered);
    let mut toy = Toy::new(&[("/f", Node::File(content.to_vec()))]);
    let mut bench = Bench::new(&[], covering(&cover));
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/f", OpenFlags::READ);
    (bench, toy, handle, covered)
}

/// Lines without a value.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|line| format!("the line {line} of a log, of no interest\n").into_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_asks_ahead_gets_the_covered_file(
        parts in proptest::collection::vec((0usize..6000, content()), 1..6),
        from in 0u64..50_000,
        (ahead, length) in (1usize..40, 1000u32..70_000),
        most in 20_000usize..60_000,
        cuts in proptest::collection::vec(1usize..50_000, 1..8),
    ) {
        let content = parts.into_iter().flat_map(|(count, part)| [lines(count), part].concat()).collect::<Vec<u8>>();
        let (mut bench, mut toy, handle, covered) = opened(&content);
        toy.most = Some(most);
        let fetched = Fetch { ahead, length, cuts }.run(&mut bench, &mut toy, &handle, from);
        let rest = covered.get(from as usize..).unwrap_or_default();
        prop_assert!(fetched == rest, "{} bytes of {}", fetched.len(), rest.len());
    }
}

#[test]
fn a_file_is_read_once_however_large_it_is() {
    let content = [lines(60_000), key(100), b" zq7x.k1@leak.example.com ".to_vec(), lines(60_000)].concat();
    let (mut bench, mut toy, handle, covered) = opened(&content);
    let fetch = Fetch { ahead: 64, length: 32 << 10, cuts: vec![32 << 10] };
    let fetched = fetch.run(&mut bench, &mut toy, &handle, 0);
    assert!(fetched == covered && fetched != content);
    let (sum, end) = asked(&toy);
    let size = content.len() as u64;
    // Beyond the end the client asks ahead, too, and what comes short is asked for again.
    assert!(end <= size + (64 << 15) + (64 << 10) && sum <= end + (128 << 10), "{sum} of {size} up to {end}");
}

#[test]
fn what_was_written_meanwhile_is_read() {
    let content = lines(4000);
    let (mut bench, mut toy, handle, _) = opened(&content);
    let other = bench.open(&mut toy, "/f", OpenFlags::WRITE);
    bench.client(read(&handle, 0, 1000).encode(1));
    bench.client(write(&other, 1000, b"THIS").encode(2));
    bench.client(read(&handle, 1000, 4).encode(3));
    bench.settle(&mut toy);
    assert_eq!(bench.take(1), Some(Reply::Data(Bytes::copy_from_slice(&content[..1000]))));
    assert_eq!(bench.take(3), Some(Reply::Data(bytes("THIS"))));
}

#[test]
fn two_files_that_are_fetched_in_turns_are_read_once_each() {
    let content = lines(40_000);
    let (mut bench, mut toy, handle, covered) = opened(&content);
    let other = bench.open(&mut toy, "/f", OpenFlags::READ);
    for index in 0..16 {
        bench.client(read(&handle, index << 15, 32 << 10).encode(index as u32));
        bench.client(read(&other, index << 15, 32 << 10).encode(100 + index as u32));
    }
    bench.settle(&mut toy);
    for (index, part) in covered.chunks(32 << 10).take(16).enumerate() {
        for id in [index, 100 + index] {
            assert_eq!(bench.take(id as u32), Some(Reply::Data(Bytes::copy_from_slice(part))));
        }
    }
    let (sum, _) = asked(&toy);
    assert_eq!(sum, 2 * ((16 << 15) + (24 << 10)));
}

#[test]
fn reads_that_wait_for_one_answer_have_a_bound() {
    let content = lines(2000);
    let (mut bench, mut toy, handle, covered) = opened(&content);
    let mut taken = 0;
    let mut first = None;
    while bench.sftp.wants_client() {
        bench.client(read(&handle, taken, 1).encode(taken as u32));
        taken += 1;
        // All is answered but the first.
        first = first.or_else(|| bench.to_server.pop_front());
        bench.settle(&mut toy);
    }
    assert_eq!(taken, 1024);
    bench.to_server.extend(first);
    bench.settle(&mut toy);
    for id in 0..taken {
        assert_eq!(data(&bench.take(id as u32).unwrap()), &covered[id as usize..=id as usize]);
    }
    assert!(bench.sftp.wants_client());
}

#[test]
fn pieces_of_one_byte_in_any_order_give_the_file() {
    let content = [lines(30), key(8), lines(30)].concat();
    let (mut bench, mut toy, handle, covered) = opened(&content);
    toy.most = Some(1);
    for (id, part) in (0..).zip(covered.chunks(700)) {
        bench.client(read(&handle, id * 700, part.len() as u32).encode(id as u32));
    }
    settle_mixed(&mut bench, &mut toy, 7);
    for (id, part) in (0..).zip(covered.chunks(700)) {
        assert_eq!(data(&bench.take(id).unwrap()), part);
    }
}

#[test]
fn what_waits_for_a_slow_server_has_a_bound() {
    let (mut bench, _, handle, _) = opened(b"");
    let mut taken = 0;
    while bench.sftp.wants_client() {
        bench.client(read(&handle, taken << 17, 128 << 10).encode(taken as u32));
        taken += 1;
    }
    assert_eq!(taken, 128, "16 MiB are under way");
}
