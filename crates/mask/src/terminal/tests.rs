#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use sluice_model::Tag;

use super::*;
use crate::{BUILTINS, Cover, Found, Spec, scrub};

const EMAIL: &str = "zq7x.k1@leak.example";
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const PTY: Mode = Mode::Pty { columns: 20 };

fn all() -> Arc<Detectors> {
    let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
    Arc::new(Detectors::compile(&specs).unwrap())
}

fn terminal(set: &Arc<Detectors>, mode: Mode) -> Terminal {
    Terminal::new(Arc::clone(set), set.everything(), mode)
}

/// The stream in these pieces, and what was found in it.
fn masked<'a>(terminal: &mut Terminal, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Findings) {
    let (mut out, mut findings) = (Vec::new(), Findings::default());
    for piece in pieces {
        findings.absorb(terminal.push(piece, &mut out));
        assert!(terminal.held() <= Terminal::HELD, "{} bytes held", terminal.held());
    }
    findings.absorb(terminal.finish(&mut out));
    assert_eq!(terminal.held(), 0);
    (out, findings)
}

fn text(terminal: &mut Terminal, stream: &str) -> String {
    String::from_utf8(masked(terminal, [stream.as_bytes()]).0).unwrap()
}

fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// What a stream prints, as text: moves of the cursor are line breaks.
fn printed(stream: &[u8], mode: Mode) -> String {
    let columns = if let Mode::Pty { columns } = mode { Some(columns) } else { None };
    let (mut tokens, mut cursor, mut text) = (Tokeniser::default(), Cursor::new(columns), String::new());
    let mut parts = Vec::new();
    stream.iter().for_each(|byte| tokens.read(*byte, &mut |token| parts.push(token.part)));
    tokens.finish(&mut |token| parts.push(token.part));
    for part in parts {
        let joins = matches!(part, Part::Control(b'\r' | b'\n'));
        match part {
            Part::Print(character) => {
                text.extend(cursor.owes().then_some('\r'));
                cursor.wide(character.width().unwrap_or_default());
                text.push(character);
            }
            Part::Control(byte) => {
                if !joins && matches!(byte, b'\t' | 8 | 0x0b | 0x0c) {
                    text.extend(cursor.owes().then_some('\r'));
                }
                if let Effect::Reads(character) = cursor.control(byte) {
                    text.push(character);
                }
            }
            Part::Sequence(head) if head.motion() != Motion::Stays => {
                text.extend(cursor.owes().then_some('\r'));
                cursor.go(head.motion());
                text.push('\n');
            }
            Part::Sequence(_) | Part::Opens(_) | Part::Inside(_) | Part::Closes | Part::Void => {}
        }
    }
    text
}

/// How a stream's sequences are written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Writing {
    /// There are none, or such whose last byte is no part of a text.
    None,
    Ordinary,
    Odd,
}

fn writing(stream: &[u8]) -> Writing {
    let (mut tokens, mut all) = (Tokeniser::default(), vec![Writing::None]);
    let mut take = |token: Token| {
        let manner = written::manner(&stream[token.end - token.length..token.end]);
        match token.part {
            Part::Sequence(_) | Part::Opens(_) if manner == written::Manner::Odd => all.push(Writing::Odd),
            Part::Sequence(_) | Part::Opens(_) => all.push(Writing::Ordinary),
            Part::Void => all.push(Writing::Odd),
            Part::Print(_) | Part::Control(_) | Part::Inside(_) | Part::Closes => {}
        }
    };
    stream.iter().for_each(|byte| tokens.read(*byte, &mut take));
    tokens.finish(&mut take);
    all.into_iter().max().unwrap()
}

/// A character for each cell of a text, and for each control.
fn cells(text: &str) -> Vec<char> {
    text.chars().flat_map(|character| std::iter::repeat_n(character, character.width().unwrap_or(1))).collect()
}

/// Covers each cell and keeps controls.
struct Stars;

impl Cover for Stars {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        for character in found.text().chars() {
            match character.width() {
                Some(cells) => out.extend(std::iter::repeat_n('*', cells)),
                None => out.push(character),
            }
        }
    }
}

fn scrubbed(set: &Detectors, text: &str) -> String {
    let mut out = String::new();
    scrub(set, set.everything(), text, &mut Stars, &mut out);
    out
}

#[test]
fn values_become_stars_and_keep_their_width() {
    let (set, star) = (all(), |value: &str| "*".repeat(value.len()));
    for mode in [PTY, Mode::Pty { columns: 0 }, Mode::Pipe] {
        let mut terminal = terminal(&set, mode);
        for value in [EMAIL, KEY, TOKEN, "4111 1111 1111 1111", "900-55-0001"] {
            assert_eq!(text(&mut terminal, &format!("a {value} b")), format!("a {} b", star(value)));
            assert_eq!(text(&mut terminal, value), star(value));
        }
        assert_eq!(text(&mut terminal, "ｚｑ７ｘ@leak.example x"), "********************* x");
    }
}

#[test]
fn sequences_inside_of_a_value_stay_and_do_not_hide_it() {
    let set = all();
    let mut terminal = terminal(&set, Mode::Pty { columns: 80 });
    for between in
        ["\x1b[31m", "\x1b[m\x1b[K", "\x1b]0;a title\x07", "\x1b]8;;x\x1b\\", "\x1b(B", "\0", "\u{9b}1m", "\x1b[?25l"]
    {
        let stream: String = KEY.chars().map(|letter| format!("{letter}{between}")).collect();
        let expected = format!("*{between}").repeat(KEY.len());
        assert_eq!(text(&mut terminal, &stream), expected, "{between:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_hidden_inside_of_a_value_only() {
    let set = all();
    let stream = [b"\xff 900-55\xff-0001 \xfe\xc3\x1a".repeat(30).as_slice(), b"\x80 900-55-0001\xe4"].concat();
    let expected = [b"\xff ************ \xfe\xc3\x1a".repeat(30).as_slice(), b"\x80 ***********\xe4"].concat();
    for mode in [PTY, Mode::Pipe] {
        let mut terminal = terminal(&set, mode);
        for size in [1, 7, 1000] {
            let (out, findings) = masked(&mut terminal, stream.chunks(size));
            assert_eq!(out, expected, "{mode:?}");
            assert_eq!(findings.counts().map(|(_, count)| count).collect::<Vec<_>>(), [31]);
        }
    }
}

#[test]
fn a_line_that_the_screen_wraps_is_one() {
    let set = all();
    let mut terminal = terminal(&set, PTY);
    let stream = "0123456789 AKIAIOSFO\r\nDNN7EXAMPLE\r\n";
    assert_eq!(text(&mut terminal, stream), "0123456789 *********\r\n***********\r\n");
    let mut other = self::terminal(&set, Mode::Pty { columns: 21 });
    assert_eq!(text(&mut other, stream), stream);
    other.resize(20);
    assert_eq!(text(&mut other, &format!("\r{stream}")), "\r0123456789 *********\r\n***********\r\n");
    assert_eq!(
        text(&mut terminal, "\r01234567890123456789\rAKIAIOSFODNN7\rEXAMPLE"),
        "\r01234567890123456789\rAKIAIOSFODNN7\rEXAMPLE"
    );
}

#[test]
fn strings_are_looked_at_by_themselves() {
    let set = all();
    let mut terminal = terminal(&set, Mode::Pipe);
    let stream = format!("a\x1b]0;{KEY} and\x07b \x1b]2;{EMAIL}\x1b\\ \x1bP1$r{TOKEN}\x1b\\ \x1b_{KEY}\x1b\\c");
    let out = text(&mut terminal, &stream);
    let stars = |value: &str| "*".repeat(value.len());
    let expected = stream.replace(KEY, &stars(KEY)).replace(EMAIL, &stars(EMAIL)).replace(TOKEN, &stars(TOKEN));
    assert_eq!(out, expected);
}

#[test]
fn a_private_key_is_hidden_line_by_line() {
    let set = all();
    let lines = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\r\n".repeat(60);
    let key = format!("-----BEGIN PRIVATE KEY-----\r\n{lines}-----END PRIVATE KEY-----");
    let stream = format!("key:\r\n{key}\r\nend\r\n");
    for mode in [Mode::Pipe, Mode::Pty { columns: 80 }] {
        let mut terminal = terminal(&set, mode);
        let hidden: String = key.chars().map(|letter| if letter.is_control() { letter } else { '*' }).collect();
        for size in [1, 7, 1000, 100_000] {
            let (out, findings) = masked(&mut terminal, stream.as_bytes().chunks(size));
            assert_eq!(String::from_utf8(out).unwrap(), format!("key:\r\n{hidden}\r\nend\r\n"));
            assert_eq!(
                findings.counts().map(|(tag, count)| (tag.as_str(), count)).collect::<Vec<_>>(),
                [("secret.key", 1)]
            );
        }
        let (mut out, mut findings) = (Vec::new(), Findings::default());
        for line in stream.split_inclusive('\n') {
            findings.absorb(terminal.push(line.as_bytes(), &mut out));
            terminal.expire(&mut out);
            assert_eq!(terminal.held(), 0);
        }
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("MIIE") && out.starts_with("key:\r\n") && out.ends_with("*\r\nend\r\n"), "{out}");
        assert_eq!(out.len(), stream.len());
        assert_eq!(findings.counts().count(), 1);
    }
}

#[test]
fn what_is_released_in_time_hides_the_rest_of_its_value() {
    let set = all();
    let mut terminal = terminal(&set, Mode::Pty { columns: 80 });
    let mut out = Vec::new();
    terminal.push(b"$ AKIAIOSF", &mut out);
    assert_eq!((out.as_slice(), terminal.held()), (&b"$ "[..], 8));
    terminal.expire(&mut out);
    assert_eq!((out.as_slice(), terminal.held()), (&b"$ AKIAIOSF"[..], 0));
    let mut findings = terminal.push(b"ODNN7EXAMPLE", &mut out);
    terminal.expire(&mut out);
    findings.absorb(terminal.push(b" ok", &mut out));
    findings.absorb(terminal.finish(&mut out));
    assert_eq!(String::from_utf8(out).unwrap(), "$ AKIAIOSF************ ok");
    assert_eq!(findings.counts().map(|(tag, count)| (tag.as_str(), count)).collect::<Vec<_>>(), [("secret.key", 1)]);
    let mut out = Vec::new();
    terminal.push(TOKEN.as_bytes(), &mut out);
    terminal.expire(&mut out);
    assert_eq!(out, "*".repeat(TOKEN.len()).into_bytes(), "a value that could be longer is one already");
    terminal.push(b"x\x1b[3", &mut out);
    terminal.expire(&mut out);
    terminal.push(b"1m", &mut out);
    terminal.finish(&mut out);
    assert_eq!(out, format!("{}\x1b[31m", "*".repeat(TOKEN.len() + 1)).into_bytes());
}

#[test]
fn the_echo_of_a_key_need_not_wait() {
    let set = all();
    for (echo, expected) in [
        ("l", false),
        ("ls -la", false),
        ("x 22", false),
        ("", false),
        ("ab@", true),
        ("x 9005", true),
        ("ghp_", true),
        ("-----BEGIN ", true),
        (TOKEN, true),
        ("\x1b]0;ghp_", true),
    ] {
        let mut terminal = terminal(&set, Mode::Pty { columns: 80 });
        terminal.push(echo.as_bytes(), &mut Vec::new());
        assert_eq!(terminal.suspects(), expected, "{echo:?}");
    }
}

/// The cells of a screen after a stream, as a terminal draws them that knows the moves in `PARTS` and no more.
fn screen(stream: &[u8], columns: usize) -> Vec<Vec<char>> {
    let (mut rows, mut row, mut column) = (vec![vec![' '; columns]], 0, 0);
    let mut parts = Vec::new();
    let mut tokens = Tokeniser::default();
    stream.iter().for_each(|byte| tokens.read(*byte, &mut |token| parts.push(token.part)));
    tokens.finish(&mut |token| parts.push(token.part));
    for part in parts {
        match part {
            Part::Print(character) => {
                let cells = character.width().unwrap_or_default();
                if cells > 0 && column + cells > columns {
                    (row, column) = (row + 1, 0);
                }
                rows.resize(rows.len().max(row + 1), vec![' '; columns]);
                for cell in 0..cells {
                    rows[row][column] = if cell == 0 { character } else { '\0' };
                    column += 1;
                }
            }
            Part::Control(b'\n') => row += 1,
            Part::Control(b'\r') => column = 0,
            Part::Control(8) => column = column.min(columns - 1).saturating_sub(1),
            Part::Control(b'\t') => column = ((column / 8 + 1) * 8).min(columns - 1),
            Part::Sequence(head) => match head.motion() {
                Motion::Right(count) => column = (column + usize::try_from(count).unwrap()).min(columns - 1),
                Motion::Left(count) => {
                    column = column.min(columns - 1).saturating_sub(usize::try_from(count).unwrap());
                }
                Motion::To(to) => column = (usize::try_from(to).unwrap() - 1).min(columns - 1),
                Motion::Stays | Motion::Column => {}
            },
            Part::Control(_) | Part::Opens(_) | Part::Inside(_) | Part::Closes | Part::Void => {}
        }
    }
    rows
}

#[test]
fn a_masked_screen_differs_from_the_plain_one_in_stars_only() {
    let set = all();
    // About half of the streams are odd.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { max_global_rejects: 6000, ..cases(600) });
    let law = |(stream, size): (Vec<u8>, usize)| {
        let mut terminal = terminal(&set, PTY);
        // What is odd enough to hold a value moves no cursor any more.
        prop_assume!(writing(&stream) < Writing::Odd);
        let (out, findings) = masked(&mut terminal, stream.chunks(size));
        let (plain, covered) = (screen(&stream, 20), screen(&out, 20));
        prop_assert_eq!(plain.len(), covered.len());
        for (cell, hidden) in plain.iter().flatten().zip(covered.iter().flatten()) {
            prop_assert!(cell == hidden || *hidden == '*', "{cell:?} became {hidden:?}");
            prop_assert!(cell == hidden || !findings.is_empty());
        }
        Ok(())
    };
    // A wide character that does not fit into its line leaves a gap there, and stars do not.
    let narrow: Vec<&[u8]> = PARTS.iter().copied().filter(|part| !part.iter().any(|byte| *byte >= 0xe3)).collect();
    let stream = prop::collection::vec(prop::sample::select(narrow), 0..40).prop_map(|parts| parts.concat());
    runner.run(&(stream, 1_usize..50), law).unwrap();
}

#[test]
fn what_is_too_long_to_be_held_is_hidden() {
    let set = all();
    let long = format!("eyJhbGciOiJIUzI1NiJ9{} end", "aB3".repeat(1400));
    let colours = format!("AKIA{}IOSFODNN7EXAMPLE end", "\x1b[38;5;1m".repeat(1000));
    let title = format!("\x1b]0;eyJhbGciOiJIUzI1NiJ9{}\x07", "aB3".repeat(1600));
    for mode in [Mode::Pipe, Mode::Pty { columns: 80 }] {
        let mut terminal = terminal(&set, mode);
        for stream in [&long, &colours, &title] {
            let (whole, findings) = masked(&mut terminal, [stream.as_bytes()]);
            for size in [1, 3, 700, 1500] {
                assert!(masked(&mut terminal, stream.as_bytes().chunks(size)).0 == whole, "in pieces of {size}");
            }
            let out = String::from_utf8(whole).unwrap();
            assert_eq!((findings.overflows(), out.len()), (1, stream.len()));
            assert!(!out.contains("eyJ") && !out.contains("AKIA") && !out.contains("IOSF"), "{out}");
        }
    }
}

#[test]
fn refused_sequences_are_left_out_whole() {
    let set = all();
    for size in [1, 2, 1000] {
        let mut terminal = terminal(&set, Mode::Pty { columns: 80 }).refusing(Kinds::HAZARDS);
        for (stream, expected, count) in [
            ("a\x1b]52;c;aGk=\x07b", "ab", 1),
            ("a\x1b]52;c;aGk=\x1b\\b", "ab", 1),
            ("a\x1b[6nb\x1b[c\x1b[31mc", "ab\x1b[31mc", 2),
            ("a\x1bP$qm\x1b\\b\x1bPq#0\x1b\\", "ab\x1bPq#0\x1b\\", 1),
            ("\x1b]0;title\x07x\x1b]9;call\x07", "\x1b]0;title\x07x", 1),
            ("a\u{9d}52;c;\u{9c}b\x1b[21t\x1b[", "ab", 2),
            ("x\x1b]52;never ends", "x", 1),
        ] {
            let (out, findings) = masked(&mut terminal, stream.as_bytes().chunks(size));
            assert_eq!((String::from_utf8(out).unwrap().as_str(), findings.refused()), (expected, count), "{stream:?}");
        }
        let long = format!("a\x1b[{}21tb", "0;".repeat(200));
        assert_eq!(masked(&mut terminal, long.as_bytes().chunks(size)).0, b"ab");
    }
}

/// Fragments of values and of what stands between them.
const PARTS: &[&[u8]] = &[
    b"a",
    b"@",
    b".",
    b"com",
    b"leak.example",
    b"zq7x",
    b" ",
    b"\r\n",
    b"\n",
    b"\r",
    b"\t",
    b"\x08",
    b"9",
    b"900",
    b"55",
    b"0001",
    b"-",
    b"4111",
    b"1111 1111 1111",
    b"eyJ",
    b"hbGciOiJIUzI1NiJ9",
    b"AKIA",
    b"IOSFODNN7EXAMPLE",
    b"ghp_",
    b"0123456789abcdefghijABCDEFGHIJ012345",
    b"-----BEGIN PRIVATE KEY-----",
    b"-----END PRIVATE KEY-----",
    b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    b"\x1b",
    b"\x1b[",
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[K",
    b"\x1b[2;3H",
    b"\x1b[5C",
    b"\x1b[D",
    b"\x1b[1;",
    b"m",
    b"\x1b]0;",
    b"\x1b]52;c;",
    b"\x07",
    b"\x1b\\",
    b"\x1bP1$q",
    b"\x1b_G",
    b"\x1b(B",
    b"\x18",
    b"\0",
    b"\x7f",
    b"\xc2\x9b",
    b"\xc2\x9d",
    b"\xc2\x9c",
    b"\xff",
    b"\xe4",
    b"\xb8\xad",
    "中".as_bytes(),
    "é".as_bytes(),
    "e\u{301}".as_bytes(),
    "😀".as_bytes(),
    "９".as_bytes(),
    "\u{200b}".as_bytes(),
    b"\\u0040",
    b"%40",
    b"&#64;",
    b"\\e[1m",
    b"\\u001b[",
    b"^[[",
    b"0123456789",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(PARTS), 0..40).prop_map(|parts| parts.concat())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

#[test]
fn every_cutting_gives_the_same_bytes_and_only_values_change_them() {
    let set = all();
    let terminals = [PTY, Mode::Pipe].map(|mode| (mode, std::cell::RefCell::new(terminal(&set, mode))));
    let cuttings = prop::collection::vec(any::<usize>(), 0..12);
    let mut runner = proptest::test_runner::TestRunner::new(cases(1500));
    let law = |(stream, cuts): (Vec<u8>, Vec<usize>)| {
        for (mode, terminal) in &terminals {
            let terminal = &mut *terminal.borrow_mut();
            let (whole, findings) = masked(terminal, [stream.as_slice()]);
            prop_assert_eq!(&masked(terminal, pieces(&stream, &cuts)).0, &whole);
            let (single, counted) = masked(terminal, stream.chunks(1));
            prop_assert_eq!((&single, &counted), (&whole, &findings));
            if findings.is_empty() {
                prop_assert_eq!(&whole, &stream);
            }
            // A hidden wide character at the edge moves the column by one.
            let wide = stream.iter().any(|byte| matches!(byte, 0xe3..=0xf4));
            if *mode == Mode::Pipe || !wide {
                // What is printed is what the printed text is as a whole, and less near what may hide a value.
                let (before, after) = (printed(&stream, *mode), printed(&whole, *mode));
                let expected = scrubbed(&set, &before);
                match writing(&stream) {
                    Writing::None => prop_assert_eq!(expected, after),
                    Writing::Ordinary => {
                        let less = |(one, other): (char, char)| one == other || other == '*';
                        let (expected, after) = (cells(&expected), cells(&after));
                        prop_assert_eq!(expected.len(), after.len());
                        prop_assert!(expected.iter().copied().zip(after).all(less));
                    }
                    Writing::Odd => {}
                }
            }
        }
        Ok(())
    };
    runner.run(&(stream(), cuttings), law).unwrap();
}

#[test]
fn a_sequence_that_goes_on_in_controls_is_not_held() {
    let set = all();
    for begin in ["\x1b", "\x1b[1;", "\x1b[", "\u{9b}", "\x1bP", "\x1bP1"] {
        for control in ["\r\n", "\0", "\x7f", "\x08"] {
            for mode in [Mode::Pipe, PTY] {
                let stream = format!("{begin}{}m zq7x.k1@leak.example.com", control.repeat(5000));
                let (out, findings) = masked(&mut terminal(&set, mode), stream.as_bytes().chunks(700));
                assert_eq!(out.len(), stream.len(), "{begin:?} {control:?}");
                assert!(!findings.is_empty() && !out.windows(4).any(|four| four == b"leak"), "{begin:?} {control:?}");
            }
        }
    }
}

#[test]
fn a_value_shows_through_no_decoration() {
    let set = all();
    let between = prop::sample::select(
        &["", "\x1b[1m", "\x1b]0;title\x07", "\x1b[K", "\x1b(B", "\0", "\u{200b}", "\x1b[38;2;1;2;3m"][..],
    );
    let value = prop::sample::select(&[EMAIL, KEY, TOKEN, "4111 1111 1111 1111"][..]);
    let strategy = (value, prop::collection::vec(between, 48), 1_usize..60, 2_usize..50);
    let mut runner = proptest::test_runner::TestRunner::new(cases(1000));
    let law = |(value, between, size, columns): (&str, Vec<&str>, usize, usize)| {
        let mut stream = String::from("is ");
        let mut column = 3;
        for (letter, between) in value.chars().zip(between.iter().cycle()) {
            if column == columns {
                stream.push_str("\r\n");
                column = 0;
            }
            stream.push(letter);
            stream.push_str(between);
            column += 1;
        }
        stream.push_str(" so");
        // A screen so narrow that the first words wrap has no place for this test's wraps.
        prop_assume!(columns > 3);
        let mut terminal = terminal(&set, Mode::Pty { columns });
        let (out, _) = masked(&mut terminal, stream.as_bytes().chunks(size));
        let shown: String = printed(&out, Mode::Pty { columns });
        prop_assert_eq!(shown.replace('\u{200b}', ""), format!("is {} so", "*".repeat(value.len())));
        Ok(())
    };
    runner.run(&strategy, law).unwrap();
}

/// A generator of numbers that is the same every time (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below
    }

    fn stream(&mut self) -> Vec<u8> {
        let mut stream = Vec::new();
        for _ in 0..self.next(14) {
            match self.next(3) {
                0 => stream.push(u8::try_from(self.next(256)).unwrap()),
                1 => stream.extend_from_slice(PARTS.get(self.next(PARTS.len())).unwrap()),
                _ => stream.push(*b"\x1b[]P;?0;m\x9b\xc2\x07\\ hK".get(self.next(18)).unwrap_or(&b'x')),
            }
        }
        for _ in 0..self.next(3) {
            let at = self.next(stream.len() + 1);
            if let Some(byte) = stream.get_mut(at) {
                *byte ^= 1 << self.next(8);
            }
        }
        stream
    }
}

#[test]
fn any_bytes_are_split_into_parts_that_lie_side_by_side() {
    let mut numbers = Numbers(0x5_1075_ce5e);
    for _ in 0..120_000 {
        let stream = numbers.stream();
        let (mut tokens, mut at, mut open) = (Tokeniser::default(), 0, false);
        let mut take = |token: Token| {
            if token.length > 0 {
                assert_eq!(token.end - token.length, at, "{stream:?}");
                at = token.end;
            }
            match token.part {
                Part::Opens(_) => assert!(!std::mem::replace(&mut open, true), "{stream:?}"),
                Part::Closes => assert!(std::mem::replace(&mut open, false), "{stream:?}"),
                Part::Inside(_) => assert!(open, "{stream:?}"),
                Part::Print(_) | Part::Sequence(_) => assert!(!open, "{stream:?}"),
                Part::Control(_) | Part::Void => {}
            }
        };
        for byte in &stream {
            tokens.read(*byte, &mut take);
        }
        tokens.finish(&mut take);
        assert_eq!((at, open, tokens.is_plain()), (stream.len(), false, true), "{stream:?}");
    }
}

#[test]
fn any_bytes_pass_a_terminal_unchanged_where_nothing_is_found() {
    let set = Arc::new(Detectors::compile(&[Spec::custom("x", Tag::new("x").unwrap(), "QQ+Z")]).unwrap());
    let mut numbers = Numbers(0xca11_ab1e);
    let mut terminals = [PTY, Mode::Pipe].map(|mode| terminal(&set, mode));
    for _ in 0..20_000 {
        let stream = numbers.stream();
        let size = numbers.next(9) + 1;
        for terminal in &mut terminals {
            let (out, findings) = masked(terminal, stream.chunks(size));
            assert!(findings.is_empty());
            assert_eq!(out, stream);
        }
    }
}

/// Bytes of a kind that changes every now and then, with values in them that other bytes stand inside of.
fn binary(numbers: &mut Numbers, program: &[u8]) -> Vec<u8> {
    const VALUES: &[&str] = &[
        EMAIL,
        KEY,
        TOKEN,
        "4111 1111 1111 1111",
        "900-55-0001",
        "ssn 900\u{1f600}55\u{2028}0001",
        "tel. 5550123 4",
        "+1 212 555 0123",
        "z\u{e9}q@lea\u{301}k.example",
        "\u{ff5a}q\u{ff17}x@le\u{ad}ak.example",
        "AKIA\\u0049OSFODNN7EXAMPLE",
        "secret-abc-7",
    ];
    const BETWEEN: &[&[u8]] =
        &[b"", b"\0", b"\x01\x7f", b"\x1b[1m", b"\xff", b"\xc3", b"\xe2\x82", b"\x08", b"\xc2\x9bm"];
    const FEW: &[u8] = b"\0\x01a9@.-+ \xff\x80\xc2\xc3\xe2\x82\xf0\x9f\x0b\x1a";
    let mut stream = Vec::new();
    for _ in 0..numbers.next(8) {
        let from = numbers.next(program.len());
        match numbers.next(5) {
            0 => stream.extend((0..numbers.next(150)).map(|_| u8::try_from(numbers.next(256)).unwrap())),
            1 => stream.extend(program.iter().skip(from).take(numbers.next(300))),
            2 => stream.extend((0..numbers.next(100)).map(|_| FEW[numbers.next(FEW.len())])),
            3 => stream.extend(PARTS[numbers.next(PARTS.len())].repeat(numbers.next(20))),
            _ => {
                let (between, often) = (BETWEEN[numbers.next(BETWEEN.len())], numbers.next(30) + 1);
                for byte in VALUES[numbers.next(VALUES.len())].bytes() {
                    stream.push(byte);
                    stream.extend_from_slice(if numbers.next(often) == 0 { between } else { b"" });
                }
            }
        }
    }
    stream
}

#[test]
fn reading_many_bytes_of_a_pipe_at_once_changes_no_result() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
    specs.push(Spec::custom("word", Tag::new("x").unwrap(), "secret-[a-z]+-[0-9]"));
    specs.push(Spec::custom("symbols", Tag::new("y").unwrap(), r"[\x80-\x82]{4,9}z"));
    let set = Arc::new(Detectors::compile(&specs).unwrap());
    let (mut fast, mut slow) = (terminal(&set, Mode::Pipe), terminal(&set, Mode::Pipe));
    slow.slow = true;
    let (mut numbers, mut found) = (Numbers(0xb17_e5ee), 0);
    for round in 0..4000 {
        if round % 1000 == 999 {
            (fast, slow) = (fast.refusing(Kinds::HAZARDS), slow.refusing(Kinds::HAZARDS));
        }
        let (stream, size) = (binary(&mut numbers, &program), numbers.next(700) + 1);
        let (mut quick, mut plain) = (Vec::new(), Vec::new());
        let mut rest = stream.as_slice();
        while let Some((piece, tail)) = rest.split_at_checked((numbers.next(size) + 1).min(rest.len()))
            && !piece.is_empty()
        {
            let findings = fast.push(piece, &mut quick);
            assert_eq!(findings, slow.push(piece, &mut plain), "{stream:?}");
            if numbers.next(40) == 0 {
                fast.expire(&mut quick);
                slow.expire(&mut plain);
            }
            assert!(quick == plain, "{stream:?}");
            assert_eq!((fast.held(), fast.suspects()), (slow.held(), slow.suspects()), "{stream:?}");
            found += findings.counts().count();
            rest = tail;
        }
        assert_eq!(fast.finish(&mut quick), slow.finish(&mut plain), "{stream:?}");
        assert!(quick == plain, "{stream:?}");
    }
    assert!(found > 800, "{found}");
}
