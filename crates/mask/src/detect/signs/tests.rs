#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::detect::BUILTINS;
use crate::{Detectors, Spec};

/// What signs consist of, and what nearly is one.
const PARTS: &[&str] = &[
    "a",
    "z",
    "0",
    "12",
    "900",
    "55",
    "0001",
    "4111",
    "2",
    "00",
    "01",
    "@",
    " ",
    "  ",
    "-",
    ".",
    "\n",
    "(",
    ") ",
    "+",
    "\"",
    "_",
    "\t",
    "s",
    "e",
    "ssn",
    "s.s.n",
    "itin ",
    "social-sec",
    "tel",
    "phone",
    "phones ",
    "sms",
    "fax:",
    "DE89",
    "gb",
    "eyJ",
    "-----",
    "BEGIN ",
    "AKI",
    "A",
    "aws_",
    "secret",
    "sk-",
    "gh",
    "o_",
    "glpat-",
    "xox",
    "b-",
    "hooks.slack",
    ".com",
    "AIza",
    "ya29.",
    "sk_live_",
    "whsec_",
    "hf_",
    "SG.",
    "SK0",
    "hvs.",
    "tok-",
    "the request was served from ",
    "2026-11-05T12:34:56.789Z",
    "0123456789012345",
    "\u{80}",
    "ssnsnssn",
    "----------",
];

fn set() -> Detectors {
    let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
    Detectors::compile(&specs).unwrap()
}

/// What a search finds that reads a text piece by piece.
fn found(signs: &Signs, pieces: &[&[u8]], read: impl Fn(&Signs, &mut Search, &[u8], &mut Vec<String>)) -> Vec<String> {
    let (mut search, mut all) = (signs.search(), Vec::new());
    for piece in pieces {
        all.push(format!("{} bytes", piece.len()));
        read(signs, &mut search, piece, &mut all);
        signs.end(search, |spot| all.push(format!("at the end: {spot:?}")));
    }
    all
}

fn side_by_side(signs: &Signs, search: &mut Search, bytes: &[u8], all: &mut Vec<String>) {
    signs.read(search, bytes, |index, spot| all.push(format!("{index}: {spot:?}")));
}

fn in_turn(signs: &Signs, search: &mut Search, bytes: &[u8], all: &mut Vec<String>) {
    signs.walk(search, bytes, |index, spot| all.push(format!("{index}: {spot:?}")));
}

fn agrees(signs: &Signs, pieces: &[&[u8]]) -> Result<usize, TestCaseError> {
    let expected = found(signs, pieces, in_turn);
    prop_assert_eq!(&found(signs, pieces, side_by_side), &expected);
    Ok(expected.len().saturating_sub(pieces.len()))
}

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) }
}

#[test]
fn lanes_find_what_one_search_finds() {
    let set = set();
    let signs = set.signs().unwrap();
    let total = std::cell::Cell::new(0);
    let text = prop::collection::vec(prop::sample::select(PARTS), 300..900).prop_map(|parts| parts.concat());
    let folded = text.prop_map(|text| text.replace('\u{80}', "\u{1}").into_bytes());
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let law = |(mut text, size): (Vec<u8>, usize)| {
        text.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0x80);
        total.set(total.get() + agrees(signs, &[&text])?);
        agrees(signs, &text.chunks(size).collect::<Vec<_>>())?;
        Ok(())
    };
    runner.run(&(folded, 100_usize..2600), law).unwrap();
    let bytes = prop::collection::vec(prop_oneof![b' '..=b'~', 0x80_u8..0x83, b'0'..=b'9'], 1000..2500);
    runner.run(&bytes, |text| agrees(signs, &[&text]).map(drop)).unwrap();
    assert!(total.get() > 20_000, "{}", total.get());
}

#[test]
fn a_lane_that_never_agrees_counts_for_nothing() {
    let set = set();
    let signs = set.signs().unwrap();
    // The first number began before the second lane, so a telephone number may end in any lane.
    for text in [format!(" 001{}-1 ", "2".repeat(900)), format!(" 4111{}-1111 ", "1".repeat(2000)), "ssn".repeat(400)] {
        agrees(signs, &[text.as_bytes()]).unwrap();
        agrees(signs, &text.as_bytes().chunks(700).collect::<Vec<_>>()).unwrap();
    }
}
