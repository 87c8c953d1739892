//! Values that control sequences are to hide.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::{BUILTINS, Spec};

const PTY: Mode = Mode::Pty { columns: 80 };
const CARD: &str = "4111 1111 1111 1111";
const SSN: &str = "900-55-0001";
const VALUES: &[&str] = &[
    CARD,
    SSN,
    "4111111111111111",
    "+1 212 555 0123",
    "DE89 3704 0044 0532 0130 00",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "zq7x.k1@leak.example",
    "４１１１ １１１１ １１１１ １１１１",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
];
/// What a value is put behind, or into.
const HEADS: &[&str] = &[
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x1bX",
    "\x1b^",
    "\x1b_",
    "\u{9b}",
    "\u{9d}",
    "\u{90}",
    "\u{98}",
    "\u{9f}",
    "\x1b]0;",
    "\x1b]8;;",
    "\x1b]52;c;",
    "\x1bPq",
    "\x1bP1$q",
    "\x1b_Gi=1;",
    "\x1b[ ",
    "\x1b[?",
    "\x1b(",
];
/// The same without any text of its own.
const BREAKS: &[&str] = &[
    "\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1bX", "\x1b^", "\x1b_", "\u{9b}", "\u{9d}", "\u{90}", "\u{98}", "\u{9f}",
    "\x1b]0;", "\x1b]2;", "\x1bP1$q",
];
/// What ends a sequence.
const ENDS: &[&str] = &["", " m", " q", " ", "\x07", "\x1b\\", "\u{9c}", "\x18", "\r\n", "\x1b[m", "; m"];

fn all() -> Arc<Detectors> {
    let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
    Arc::new(Detectors::compile(&specs).unwrap())
}

fn masked(set: &Arc<Detectors>, mode: Mode, stream: &[u8], size: usize) -> (Vec<u8>, Findings) {
    let mut terminal = Terminal::new(Arc::clone(set), set.everything(), mode);
    let (mut out, mut findings) = (Vec::new(), Findings::default());
    for piece in stream.chunks(size) {
        findings.absorb(terminal.push(piece, &mut out));
        assert!(terminal.held() <= Terminal::HELD);
    }
    findings.absorb(terminal.finish(&mut out));
    (out, findings)
}

/// How many bytes of a value are still there in one piece.
fn left(out: &[u8], value: &str) -> usize {
    let value = value.as_bytes();
    (1..=value.len())
        .rfind(|count| value.windows(*count).any(|part| out.windows(*count).any(|shown| shown == part)))
        .unwrap_or(0)
}

#[test]
fn numbers_are_hidden_wherever_a_sequence_has_them() {
    let set = all();
    for stream in [
        format!("\x1b[{CARD}"),
        format!("\x1b[{CARD} q"),
        format!("\x1b[{CARD}m so"),
        format!("\u{9b}{CARD}m so"),
        format!("\x1b[31;{CARD}m so"),
        format!("x\x1b[?{CARD}m so"),
        format!("9\x1b[{CARD}m so"),
        format!("\x1bP{CARD}q..\x1b\\"),
        format!("\x1b]{CARD}\x07"),
        format!("\x1b_{CARD}\x1b\\"),
        format!("\x1b[{} {CARD} m", "9".repeat(140)),
        format!("\x1b[{} {SSN} m", "9".repeat(140)),
        format!("\x1b[{}４１１１ １１１１ １１１１ １１１１ m", " ".repeat(140)),
        format!("\x1b[{CARD}\x18"),
        format!("\x1b[{CARD}\x1b[m"),
        "\x1b[4111 1111 m 1111 1111".to_owned(),
        "4111 \x1b[1111 1111 1111".to_owned(),
        "4111 1111 \x1b]1111 1111\x07".to_owned(),
        "900-\x1b[55-0001m".to_owned(),
    ] {
        for mode in [Mode::Pipe, PTY] {
            let (whole, findings) = masked(&set, mode, stream.as_bytes(), stream.len());
            let shown = String::from_utf8_lossy(&whole);
            assert!(
                !["1111", "１１", "0001", "900-"].iter().any(|part| shown.contains(part)),
                "{mode:?} {stream:?} {shown:?}"
            );
            assert_eq!(findings.counts().map(|(_, count)| count).max(), Some(1), "{stream:?}");
            for size in [1, 2, 7] {
                assert_eq!(
                    masked(&set, mode, stream.as_bytes(), size),
                    (whole.clone(), findings.clone()),
                    "{stream:?}"
                );
            }
        }
    }
}

#[test]
fn a_value_whose_beginning_a_sequence_takes_is_hidden() {
    let set = all();
    for value in VALUES {
        for head in HEADS {
            for before in ["", "x", "9", "so \x1b[1m", "\x1b[31mred\x1b[0m "] {
                for mode in [Mode::Pipe, PTY] {
                    let stream = format!("{before}{head}{value} so");
                    let (whole, _) = masked(&set, mode, stream.as_bytes(), 4096);
                    let most = left(&whole, value);
                    assert!(most <= 3, "{mode:?} {stream:?} {:?}", String::from_utf8_lossy(&whole));
                    assert_eq!(masked(&set, mode, stream.as_bytes(), 1).0, whole, "{stream:?}");
                }
            }
        }
    }
}

/// Ordinary sequences without their final byte.
const ORDINARY: &[&str] = &[
    "\x1b[1",
    "\x1b[?1",
    "\x1b[>4;2",
    "\x1b[1;31",
    "\x1b[38:2::255:128:0",
    "\u{9b}1",
    "\x1b[1 ",
    "\x1b[1!",
    "\x1bP1",
    "\x1bP1;2$",
];

#[test]
fn a_value_whose_first_letter_an_ordinary_sequence_takes_is_hidden() {
    const KEYS: &[&str] = &[
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOp",
        "sk-ant-api03-Ab1cAb1cAb1cAb1cAb1cAb1c",
        "AIzaSyA1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q",
        "glpat-a1B2c3D4e5F6g7H8i9J0",
        "hf_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7",
    ];
    let set = all();
    let begins_with_a_letter = |value: &&&str| value.starts_with(|first: char| first.is_ascii_alphabetic());
    for value in VALUES.iter().filter(begins_with_a_letter).chain(KEYS) {
        for head in ORDINARY {
            for before in ["", "x", "9", "so \x1b[1m", "\x1b[31mred\x1b[0m "] {
                for mode in [Mode::Pipe, PTY] {
                    let stream = format!("{before}{head}{value} so");
                    let (whole, findings) = masked(&set, mode, stream.as_bytes(), 4096);
                    assert!(left(&whole, value) <= 3, "{mode:?} {stream:?} {:?}", String::from_utf8_lossy(&whole));
                    assert_eq!(masked(&set, mode, stream.as_bytes(), 1), (whole, findings), "{stream:?}");
                }
            }
        }
    }
}

#[test]
fn a_key_behind_a_whole_sequence_is_hidden_whatever_stands_before_that() {
    let set = all();
    for value in ["AKIAIOSFODNN7EXAMPLE", "sk-ant-api03-Ab1cAb1cAb1cAb1cAb1cAb1c", "DE89 3704 0044 0532 0130 00", CARD]
    {
        for sequence in
            ["\x1b[31m", "\x1b[m", "\x1b[K", "\x1b[1;31m\x1b[K", "\u{9b}1m", "\x1b[1 q", "\x1b(B", "\x1b[+1m"]
        {
            for before in ["", "x", "9", "red\x1b[0m"] {
                for mode in [Mode::Pipe, PTY] {
                    let stream = format!("{before}{sequence}{value} so");
                    let (whole, findings) = masked(&set, mode, stream.as_bytes(), 4096);
                    let expected = stream.replace(value, &"*".repeat(value.len()));
                    assert_eq!(String::from_utf8_lossy(&whole), expected, "{mode:?} {stream:?}");
                    assert_eq!(masked(&set, mode, stream.as_bytes(), 1), (whole, findings), "{stream:?}");
                }
            }
        }
    }
    let (out, _) = masked(&set, Mode::Pipe, b"\x1b[mAK\x1b]0;IAIOSFODNN7EXAMPLE\x07", 4096);
    assert_eq!(out, b"\x1b[m**\x1b]0;******************\x07");
}

#[test]
fn a_sequence_that_leaves_the_cursor_alone_parts_no_value() {
    let set = all();
    for sequence in [
        "\x1b7",
        "\x1b[s",
        "\x1b[2;40s",
        "\x1b#3",
        "\x1b#4",
        "\x1b#5",
        "\x1b#6",
        "\x1b[1$r",
        "\x1b[1;1;2;2;4$r",
        "\x1b[1;1;2;2;4$t",
        "\x1b[1;1;2;2;1;5;5;1$v",
        "\x1b[32;1;1;2;2$x",
        "\x1b[1;1;2;2$z",
        "\x1b[1;1;2;2${",
        "\x1b[1'}",
        "\x1b[1'~",
        "\x1b[1 @",
        "\x1b[1 A",
        "\x1b[?47l",
        "\x1b[?1047l",
        "\x1b[?1049l",
        "\x1b[P",
        "\x1b[1P",
        "\x1b[@",
        "\x1b[2@",
        "\x1b[24;1r",
        "\x1b[1;1;1;1;1T",
    ] {
        for (value, cut) in [(CARD, 9), (SSN, 4), ("AKIAIOSFODNN7EXAMPLE", 7), ("zq7x.k1@leak.example", 5)] {
            for mode in [Mode::Pipe, PTY] {
                let (first, rest) = value.split_at(cut);
                let stream = format!("is {first}{sequence}{rest} so");
                let (out, findings) = masked(&set, mode, stream.as_bytes(), 4096);
                let expected = format!("is {}{sequence}{} so", "*".repeat(cut), "*".repeat(value.len() - cut));
                assert_eq!(String::from_utf8_lossy(&out), expected, "{mode:?} {stream:?}");
                assert_eq!(masked(&set, mode, stream.as_bytes(), 1), (out, findings));
            }
        }
    }
}

/// Whether the cursor of a terminal goes elsewhere between two parts of a value, so that it is not shown as one.
fn moves(head: &str, rest: &str) -> bool {
    let (mut tokens, mut moves) = (Tokeniser::default(), Vec::new());
    let mut take = |token: Token| {
        if let Part::Sequence(head) = token.part {
            moves.push(head.motion() != Motion::Stays);
        }
    };
    [head, rest].concat().bytes().for_each(|byte| tokens.read(byte, &mut take));
    moves.first() == Some(&true)
}

/// Whether a sequence ends with the last letter of a word, which is not told from an end that is none of the word.
fn ends_a_word(head: &str, rest: &str) -> bool {
    let text = [head, rest].concat();
    let (mut tokens, mut ends) = (Tokeniser::default(), Vec::new());
    let mut take = |token: Token| {
        if matches!(token.part, Part::Sequence(_) | Part::Opens(_)) {
            ends.push(token.end);
        }
    };
    text.bytes().for_each(|byte| tokens.read(byte, &mut take));
    let (last, next) =
        ends.first().map_or((None, None), |end| (text.as_bytes().get(end - 1), text.as_bytes().get(*end)));
    last.is_some_and(u8::is_ascii_alphanumeric) && !next.is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether the rest of a value behind a bare introducer is an ordinary sequence with a number, as programs write them.
fn passes_for_ordinary(head: &str, rest: &str) -> bool {
    let numbers = rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'?')).count();
    let ends = rest.as_bytes().get(numbers).is_none_or(|byte| matches!(byte, b'@'..=b'~'));
    (1..=5).contains(&numbers) && ends && !matches!(head, "\x1b" | "\x1b(" | "\x1bX" | "\x1b^" | "\x1b_")
}

#[test]
fn a_value_in_before_or_across_a_sequence_leaves_nothing() {
    const WORDS: &[&str] = &["", "so ", "\x1b[31m", "a line\r\n", "\x1b[0m \x1b[2K"];
    let (set, mut shown, mut ends, mut words) = (all(), Vec::new(), ENDS.iter().cycle(), WORDS.iter().cycle());
    for (value, head) in VALUES.iter().flat_map(|value| BREAKS.iter().map(move |head| (value, head))) {
        for (cut, _) in value.char_indices().step_by(value.len() / 12 + 1) {
            let (first, rest) = value.split_at(cut);
            // Of a value in which an escape takes the letter that begins a string, that letter is lost.
            let opens = cut > 0 && *head == "\x1b" && rest.starts_with(['P', 'X', '_', '^', '[', ']']);
            if opens || passes_for_ordinary(head, rest) || (cut > 0 && ends_a_word(head, rest)) {
                continue;
            }
            let (before, end) = (words.next().unwrap(), ends.next().unwrap());
            let across = format!("{before}{first}{head}{rest}{end} so");
            let modes = if cut > 0 && moves(head, rest) { &[Mode::Pipe][..] } else { &[Mode::Pipe, PTY] };
            for mode in modes.iter().copied() {
                let (whole, findings) = masked(&set, mode, across.as_bytes(), across.len());
                if left(&whole, value) > 4 {
                    shown.push(format!("{mode:?} {across:?} {:?}", String::from_utf8_lossy(&whole)));
                }
                assert_eq!(masked(&set, mode, across.as_bytes(), cut % 7 + 1), (whole, findings));
            }
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn ordinary_sequences_beside_numbers_and_names_change_nothing() {
    let set = all();
    for stream in [
        "\x1b[32m345678901234\x1b[0m\x1b[39m",
        "\x1b[01;31m\x1b[K411111111111\x1b[m\x1b[K7",
        " \x1b[1m\x1b[m@app.route\x1b[39m",
        " \x1b[35m@app.route\x1b[39m",
        "\x1b[12;40H1234\x1b[13;40H5678\x1b[14;40H4111\x1b[15;40H1111",
        "\x1b[38;2;255;128;0;48;2;17;34;51m411111111111\x1b[38:2::1:11:1m",
        "\x1b]8;;file:///2/20231105\x1b\\20231105\x1b]8;;\x1b\\",
        "\x1b[?1049h\x1b[22;0;0t\x1b[1;24r\x1b(B\x1b[m\x1b[4l\x1b[?7h\x1b[39;49m\x1b[?25l\x1b[H\x1b[2J",
        "\x1b7\x1b[r\x1b8\x1b[24;1H\x1b=\x1b>",
    ] {
        for mode in [Mode::Pipe, PTY] {
            for size in [1, 5, 4096] {
                let (out, findings) = masked(&set, mode, stream.as_bytes(), size);
                assert!(findings.is_empty(), "{stream:?}");
                assert_eq!(out, stream.as_bytes(), "{:?}", String::from_utf8_lossy(&out));
            }
        }
    }
}

#[test]
fn a_word_before_a_move_is_not_hidden_with_a_value_behind_it() {
    let set = all();
    for (mode, stream, expected) in [
        (PTY, "foo\x1b[Hzq7x@leak.example", "foo\x1b[H*****************"),
        (PTY, "foo\x1b[H@bar.example zq7x@leak.example", "foo\x1b[H@bar.example *****************"),
        (PTY, "foo\x1b[5;1Hzq7x@leak.example", "foo\x1b[5;1H*****************"),
        (Mode::Pipe, "foo \x1b[31mzq7x@leak.example\x1b[m", "foo \x1b[31m*****************\x1b[m"),
        (PTY, "foo \x1b[mzq7x@leak.example\x1b[K", "foo \x1b[m*****************\x1b[K"),
    ] {
        let (out, findings) = masked(&set, mode, stream.as_bytes(), 4096);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(findings.counts().map(|(_, count)| count).sum::<u64>(), 1);
    }
}

/// What stands between two values, how many bytes of words before it, a value, where it is cut, and by what.
type Piece<'a> = (&'a str, usize, &'a str, prop::sample::Index, &'a str);

#[test]
fn when_a_text_beside_the_printed_one_is_dropped_makes_no_difference() {
    let set = all();
    let words = "so the words go on and on, one after the other, 12 of them or 4111 \x1b[32mof\x1b[0m ".repeat(30);
    let fill =
        prop::sample::select(&["", "a", "\x1b[m", "\x1b[K", "\x1b]0;t\x07", "ssn ", "\n", "eyJhbGciOiJIUzI1NiJ9"][..]);
    let part =
        (fill, 0..words.len(), prop::sample::select(VALUES), any::<prop::sample::Index>(), prop::sample::select(HEADS));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let law = |(parts, sizes): (Vec<Piece<'_>>, [usize; 3])| {
        let mut stream = String::new();
        for (fill, length, value, cut, head) in parts {
            let at = value.floor_char_boundary(cut.index(value.len() + 1));
            stream.extend([&words[..length], fill, &value[..at], head, &value[at..]]);
        }
        for mode in [Mode::Pipe, PTY] {
            let whole = masked(&set, mode, stream.as_bytes(), stream.len().max(1));
            for size in sizes {
                prop_assert!(masked(&set, mode, stream.as_bytes(), size) == whole, "{mode:?} {size} {stream:?}");
            }
        }
        Ok(())
    };
    runner.run(&(prop::collection::vec(part, 1..5), [1..4_usize, 4..300, 300..1500]), law).unwrap();
}
