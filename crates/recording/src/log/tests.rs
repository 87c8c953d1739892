#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, reason = "tests")]

use super::*;
use crate::{Header, Writer};

const AT: UnixMicros = UnixMicros(1_700_000_000_000_000);

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn opened(name: &str) -> Entry {
    Entry::Opened { session: session(name), head: Digest::of_parts([name.as_bytes()]) }
}

fn closed(name: &str) -> Entry {
    Entry::Closed { session: session(name), root: Digest::of_parts([name.as_bytes(), b"root"]), end: Ending::Clean }
}

fn lines(entries: &[Entry]) -> Vec<String> {
    let mut chain = Chain::START;
    entries.iter().map(|entry| chain.append(AT, entry)).collect()
}

fn example() -> Vec<String> {
    lines(&[opened("a"), opened("b"), closed("a"), Entry::Cut { bytes: 7 }, closed("b")])
}

#[test]
fn a_whole_log_says_what_was_written() {
    let text = example().concat();
    let ledger = verify(text.as_bytes()).unwrap();
    assert_eq!(ledger.chain.entries(), 5);
    assert_eq!(ledger.whole_bytes, text.len() as u64);
    assert_eq!(ledger.torn_bytes, 0);
    let logged = ledger.session(&session("a")).unwrap();
    assert_eq!(logged.closed, Some((Digest::of_parts([&b"a"[..], b"root"]), Ending::Clean)));
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let mut text = example().concat();
    let mut chain = verify(text.as_bytes()).unwrap().chain;
    text.push_str(&chain.append(AT, &opened("c")));
    assert_eq!(verify(text.as_bytes()).unwrap().chain, chain);
}

#[test]
fn every_flipped_byte_is_found() {
    let text = example().concat().into_bytes();
    let whole = verify(text.as_slice()).unwrap();
    for at in 0..text.len() {
        for bit in [1, 0x20, 0x80] {
            let mut bad = text.clone();
            bad[at] ^= bit;
            match verify(bad.as_slice()) {
                Err(BrokenLog::Damaged { .. }) => {}
                // The last line end is the only byte whose loss looks like a write that stopped short.
                Ok(ledger) => {
                    assert_eq!(at, text.len() - 1, "byte {at}");
                    assert!(ledger.torn_bytes > 0);
                    assert_ne!(ledger.chain, whole.chain);
                }
                Err(BrokenLog::Io(error)) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn deletion_reordering_and_doubling_are_found() {
    let all = example();
    for gone in 0..all.len() - 1 {
        let mut lines = all.clone();
        lines.remove(gone);
        assert!(verify(lines.concat().as_bytes()).is_err(), "line {gone} deleted");
    }
    for at in 0..all.len() - 1 {
        let mut lines = all.clone();
        lines.swap(at, at + 1);
        assert!(verify(lines.concat().as_bytes()).is_err(), "lines {at} and {} swapped", at + 1);
    }
    for at in 0..all.len() {
        let mut lines = all.clone();
        lines.insert(at, all[at].clone());
        assert!(verify(lines.concat().as_bytes()).is_err(), "line {at} doubled");
    }
}

#[test]
fn a_half_written_line_is_told_from_damage() {
    let all = example();
    let (whole, last) = (all[..4].concat(), &all[4]);
    for cut in 1..last.len() {
        let text = format!("{whole}{}", &last[..cut]);
        let ledger = verify(text.as_bytes()).unwrap();
        assert_eq!(ledger.whole_bytes, whole.len() as u64);
        assert_eq!(ledger.torn_bytes, cut as u64);
        assert_eq!(ledger.chain.entries(), 4);
    }
}

#[test]
fn impossible_histories_are_refused_even_when_chained() {
    for entries in [vec![closed("a")], vec![opened("a"), opened("a")], vec![opened("a"), closed("a"), closed("a")]] {
        assert!(verify(lines(&entries).concat().as_bytes()).is_err(), "{entries:?}");
    }
    let endless = vec![b'1'; 10_000];
    assert!(verify(endless.as_slice()).is_err());
}

#[test]
fn recordings_are_compared_with_the_log() {
    let header = Header { session: session("a"), anchor: AT };
    let mut torn = Vec::new();
    let (writer, head) = Writer::begin(&header, &mut torn);
    let mut whole = torn.clone();
    let root = writer.finish(&mut whole).digest;
    let whole = crate::verify(whole.as_slice()).unwrap();
    let torn = crate::verify(torn.as_slice()).unwrap();

    let opened = |head| Entry::Opened { session: session("a"), head };
    let closed = |root| Entry::Closed { session: session("a"), root, end: Ending::Clean };
    let other = Digest([9; 32]);
    for (entries, found, finding) in [
        (vec![opened(head), closed(root)], &whole, None),
        (vec![opened(head)], &torn, None),
        (vec![], &whole, Some(Finding::Unlogged)),
        (vec![opened(other), closed(root)], &whole, Some(Finding::OtherHeader)),
        (vec![opened(head), closed(other)], &whole, Some(Finding::OtherRoot)),
        (vec![opened(head), closed(root)], &torn, Some(Finding::Truncated)),
        (vec![opened(head)], &whole, Some(Finding::Unclosed)),
    ] {
        let ledger = verify(lines(&entries).concat().as_bytes()).unwrap();
        assert_eq!(ledger.check(&session("a"), found), finding, "{entries:?}");
    }
    let ledger = verify(lines(&[opened(head)]).concat().as_bytes()).unwrap();
    assert_eq!(ledger.check(&session("b"), &whole), Some(Finding::OtherSession));
    let present = BTreeSet::from([session("b")]);
    assert_eq!(ledger.missing(&present).collect::<Vec<_>>(), [&session("a")]);
}
