#![expect(clippy::unwrap_used, clippy::string_slice, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::Spec;
use crate::detect::BUILTINS;

const EMAIL: &str = "zq7x.k1@leak.example.com";
const SSN: &str = "900-55-0001";

/// Writes the name of the detector.
struct Names;

impl Cover for Names {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        out.push('<');
        out.push_str(found.name());
        out.push('>');
    }
}

/// Writes everything a cover can see.
struct Sees;

impl Cover for Sees {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        let tags: Vec<&str> = found.tags().map(Tag::as_str).collect();
        out.push_str(&format!("<{} {tags:?} {:?}>", found.name(), found.text()));
    }
}

fn builtins() -> Vec<Spec> {
    BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect()
}

fn all() -> Detectors {
    Detectors::compile(&builtins()).unwrap()
}

fn custom(patterns: &[&str]) -> Vec<Spec> {
    let spec = |(index, pattern): (usize, &&str)| {
        Spec::custom(&format!("c{index}"), Tag::new(format!("test.c{index}")).unwrap(), pattern)
    };
    patterns.iter().enumerate().map(spec).collect()
}

fn written<'a>(cover: &'a mut dyn Cover, out: &'a mut String) -> Written<'a> {
    Written { cover, out }
}

fn scrubbed(set: &Detectors, text: &str, cover: &mut dyn Cover) -> String {
    let mut out = String::new();
    scrub(set, set.everything(), text, cover, &mut out);
    out
}

/// Covers with as many stars as the value has bytes.
struct Same;

impl Cover for Same {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        out.extend(std::iter::repeat_n('*', found.text().len()));
    }
}

/// The text in pieces that end at these places.
fn pieces<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| text.floor_char_boundary(cut % (text.len() + 1))).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn sieved(sieve: &mut Sieve, pieces: &[&str], cover: &mut dyn Cover) -> String {
    let mut out = String::new();
    for piece in pieces {
        sieve.push(piece, cover, &mut out);
    }
    sieve.finish(cover, &mut out);
    assert_eq!(sieve.held(), 0);
    out
}

fn characters(text: &str) -> Vec<&str> {
    text.char_indices().map(|(at, character)| &text[at..at + character.len_utf8()]).collect()
}

/// Steps of all automata for each byte of a text that arrives in pieces.
fn steps(set: &Detectors, pieces: &[&str]) -> (f64, usize, String) {
    let mut scan = Scan::new(set);
    let (mut out, mut held) = (String::new(), 0);
    for piece in pieces {
        scan.read(set, set.everything(), piece, Rest::Follows, &mut written(&mut Names, &mut out));
        held = held.max(scan.held());
    }
    scan.read(set, set.everything(), "", Rest::Ends, &mut written(&mut Names, &mut out));
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    (scan.steps as f64 / bytes as f64, held, out)
}

#[test]
fn values_are_covered_and_nothing_else() {
    let set = all();
    for (text, expected) in [
        ("mail zq7x.k1@leak.example.com.", "mail <email>."),
        ("ssn 900-55-0001, card 4111 1111 1111 1111!", "ssn <us-ssn>, card <payment-card>!"),
        ("a zq7x.k1@leak.example.com,900-55-0001 z", "a <email>,<us-ssn> z"),
        ("", ""),
        ("\u{feff}zq7x.k1@leak.example.com", "\u{feff}<email>"),
    ] {
        assert_eq!(scrubbed(&set, text, &mut Names), expected);
    }
}

#[test]
fn overlapping_values_are_one_and_name_all_their_tags() {
    let set = Detectors::compile(&custom(&["ab+c", "cd+", "dde"])).unwrap();
    for (text, expected) in [
        ("xabcx", r#"x<c0 ["test.c0"] "abc">x"#),
        ("xabcddx", r#"x<c0 ["test.c0", "test.c1"] "abcdd">x"#),
        ("xabcdddex", r#"x<c1 ["test.c0", "test.c1", "test.c2"] "abcddde">x"#),
        ("abcabc", r#"<c0 ["test.c0"] "abc"><c0 ["test.c0"] "abc">"#),
    ] {
        assert_eq!(scrubbed(&set, text, &mut Sees), expected);
    }
}

#[test]
fn a_value_that_may_be_seen_hides_none_that_may_not() {
    let set = all();
    let watch = set.watch(|tag| tag.as_str() != "pii.contact.email");
    let mut out = String::new();
    scrub(&set, watch, "900-55-0001@x.example", &mut Names, &mut out);
    assert_eq!(out, "<us-ssn>@x.example");
    out.clear();
    assert_eq!(scrub(&set, set.watch(|_| false), EMAIL, &mut Names, &mut out), 0);
    assert_eq!(out, EMAIL);
}

#[test]
fn what_fails_its_check_hides_no_value_in_it() {
    let set = all();
    for (text, expected) in [
        ("4111 1111 1111 1112 4111 1111 1111 1111", "4111 1111 1111 1112 <payment-card>"),
        ("12 900-55-0001", "12 <us-ssn>"),
        ("000-12-3456 900-55-0001", "000-12-3456 <us-ssn>"),
        ("900 55 000 900 55 0001", "900 55 000 <us-ssn>"),
    ] {
        assert_eq!(scrubbed(&set, text, &mut Names), expected);
    }
}

#[test]
fn clean_text_is_untouched() {
    let set = Arc::new(all());
    let zalgo = "z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}a\u{30a}l\u{30b}g\u{30c}o";
    for text in [
        "emoji 😀 Ελληνικά 中文 RTL עברית",
        "👨‍👩‍👧‍👦 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} 1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣9️⃣ e\u{301}",
        "user@localhost",
        "version 1.2.3-55-0001",
        "order 900-5-0001",
        zalgo,
        "ليس هنا شيء، हिन्दी में पाठ, ข้อความภาษาไทย, 日本語のテキスト、한국어 텍스트",
        "C:\\new\\table \\u0041 50% off & more &amp; %41 \\",
        "\u{200b}\u{200d}\u{2060}\u{202e}abc\u{ad}def",
        "fn main() { let x = v[0..9].iter().map(|y| y * 2).sum::<u64>(); } // 3.14159265358979",
        "2026-11-22T10:15:30.123456789Z 192.168.100.200 fe80::1 550e8400-e29b-41d4-a716-446655440000",
    ] {
        assert_eq!(scrubbed(&set, text, &mut Names), text);
        assert_eq!(sieved(&mut Sieve::new(Arc::clone(&set)), &characters(text), &mut Names), text);
    }
}

#[test]
fn text_without_values_is_untouched_in_any_script() {
    let set = Arc::new(all());
    let mut sieve = Sieve::new(Arc::clone(&set));
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let sieve = std::cell::RefCell::new(&mut sieve);
    let law = |text: String| {
        let mut plain = true;
        text.chars().for_each(|letter| crate::fold::fold(letter, &mut |byte| plain &= !b"@0123456789".contains(&byte)));
        if plain {
            prop_assert_eq!(&scrubbed(&set, &text, &mut Names), &text);
            prop_assert_eq!(&sieved(&mut sieve.borrow_mut(), &characters(&text), &mut Names), &text);
        }
        Ok(())
    };
    runner.run(&"\\PC{0,60}", law).unwrap();
    runner.run(&"(.|[a-zéж中😀\u{200d}\u{301}%&\\\\-]){0,60}", law).unwrap();
}

#[test]
fn long_runs_of_invisible_characters_lose_their_excess() {
    let set = all();
    let run = "\u{200b}".repeat(5000);
    let kept = "\u{200b}".repeat(32);
    assert_eq!(scrubbed(&set, &format!("a{run}b"), &mut Names), format!("a{kept}b"));
    assert_eq!(scrubbed(&set, &format!("9{run}00-55-00{run}01"), &mut Names), "<us-ssn>");
    let (_, held, out) = steps(&set, &characters(&format!("900{run}-55-0001")));
    assert_eq!(out, "<us-ssn>");
    assert!(held < 200, "{held}");
}

/// Fragments that begin values, end them, or nearly do.
const PARTS: &[&str] = &[
    "a",
    "b",
    "x",
    "z",
    "k1",
    "@",
    ".",
    "com",
    "leak.example",
    "zq7x",
    "-",
    " ",
    "\n",
    "9",
    "0",
    "900",
    "55",
    "0001",
    "ssn ",
    "4111",
    "1111",
    " 1111",
    "(212)",
    "555",
    "+1",
    "eyJ",
    "hbGciOiJIUzI1NiJ9",
    "sk-",
    "proj-",
    "abcdefghij0123456789",
    "ghp_",
    "AKIA",
    "IOSFODNN7EXAMPLE",
    "DE89",
    "3704 0044 0532 0130 00",
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "-----END ",
    "\u{200b}",
    "\x1b[31m",
    "\x1b[",
    "1;31m",
    "\u{9b}1",
    "\\e[",
    "\\033[1m",
    "^[",
    "[0m",
    "\\u001b[m",
    "\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}\u{200b}\u{ad}",
    "\u{ad}",
    "\u{301}",
    "９",
    "–",
    "·",
    "中",
    "ж",
    "é",
    "😀",
    "\\",
    "u0040",
    "\\u00",
    "%",
    "40",
    "%2d",
    "&#",
    "64;",
    "&shy;",
    "\"",
    "'",
    "_",
    "tel ",
    "aab",
    "abc",
    "cdd",
    "xyy",
    "ⅸ",
    "⑨",
    "git@h.io:",
    "tok-a-bcdefghijklmn",
    "\"a b\"@x.io",
    "\"ab@c\"@x.io ",
    "social security ",
    "s.s.n: ",
    "phone: ",
    "0033 1 42 68 53 00",
    "06 12 34 56 78",
    " 212 555 0123 ",
    "+49 (30) 1234567",
    "378282246310005",
    "4111-1111-1111-1111",
    "gb82 west 1234 5698 7654 32",
    "AKIAIOSFODNN7EXAMPLE ",
    "hf_0123456789abcdefghijABCDEFGHIJ",
    "xoxb-0123456789-abcdef",
    "https://hooks.slack.com/services/T0123456/B0123456/abc",
    "aws_secret_key = ",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PARTS), 0..24).prop_map(|parts| parts.concat())
}

const CUSTOM: &[&str] =
    &["(?:aa)+b", "[ab]{3,}c", "x[^\\n]*y", "(?m)^z+$", "\\bab\\b", "cd+", "(?s)900.*0001", "é[a-z]*com", "a.{2,5}"];

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) }
}

fn sets() -> [Arc<Detectors>; 3] {
    let both = || [builtins(), custom(CUSTOM)].concat();
    [all(), Detectors::compile(&both()).unwrap(), Detectors::compile(&both()).unwrap().limited(12)].map(Arc::new)
}

#[test]
fn every_cutting_gives_what_the_whole_text_gives() {
    let sets = sets();
    let mut sieves = sets.each_ref().map(|set| Sieve::new(Arc::clone(set)));
    let cuttings = prop::collection::vec(prop::collection::vec(any::<usize>(), 0..12), 4);
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let sieves = std::cell::RefCell::new(&mut sieves);
    let law = |(text, cuttings): (String, Vec<Vec<usize>>)| {
        for (set, sieve) in sets.iter().zip(sieves.borrow_mut().iter_mut()) {
            let whole = scrubbed(set, &text, &mut Sees);
            for cuts in &cuttings {
                prop_assert_eq!(&sieved(sieve, &pieces(&text, cuts), &mut Sees), &whole);
            }
            prop_assert_eq!(&sieved(sieve, &characters(&text), &mut Sees), &whole);
        }
        Ok(())
    };
    runner.run(&(text(), cuttings), law).unwrap();
}

/// Puts stars in the place of values.
struct Stars;

impl Cover for Stars {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        out.extend(std::iter::repeat_n('*', found.text().len()));
    }
}

/// Where the parts of a text lie that a lookout does not suspect, those that follow each other as one.
fn unsuspected(set: &Arc<Detectors>, parts: &[&str]) -> Vec<std::ops::Range<usize>> {
    let mut lookout = Lookout::new(Arc::clone(set), set.everything());
    let (mut at, mut all) = (0, Vec::<std::ops::Range<usize>>::new());
    for part in parts {
        let end = at + part.len();
        match all.last_mut() {
            _ if lookout.suspects(part.as_bytes()) => {}
            Some(last) if last.end == at => last.end = end,
            _ => all.push(at..end),
        }
        at = end;
    }
    all
}

#[test]
fn no_value_lies_in_parts_that_a_lookout_does_not_suspect() {
    // No value of these texts is as long.
    const AROUND: usize = 512;
    let filler =
        prop::sample::select(vec!["the quick brown fox\n", "a word, and one more; ", "12 apples (3 of them red) "]);
    let filler = (filler, 0usize..80).prop_map(|(words, count)| words.repeat(count));
    let text = prop::collection::vec((filler, text()), 1..4);
    let text = text.prop_map(|parts| parts.into_iter().map(|(filler, text)| filler + &text).collect::<String>());
    let (set, seen) = (Arc::new(all()), std::cell::Cell::new([0_usize; 2]));
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let law = |(text, cuts): (String, Vec<usize>)| {
        let covered = scrubbed(&set, &text, &mut Stars);
        // Of what outgrew a limit, or holds too much that cannot be seen, no place is known.
        prop_assume!(covered.len() == text.len());
        for parts in [pieces(&text, &cuts), pieces(&text, &[]), characters(&text)] {
            for clear in unsuspected(&set, &parts) {
                let (from, to) = (clear.start + AROUND, clear.end.saturating_sub(AROUND));
                let from = if clear.start == 0 { 0 } else { from };
                let to = if clear.end == text.len() { clear.end } else { to };
                if from < to {
                    prop_assert_eq!(&covered.as_bytes()[from..to], &text.as_bytes()[from..to]);
                    let [clear, values] = seen.get();
                    seen.set([clear + 1, values + usize::from(covered != text)]);
                }
            }
        }
        Ok(())
    };
    runner.run(&(text, prop::collection::vec(any::<usize>(), 0..12)), law).unwrap();
    assert!(seen.get().iter().all(|count| *count > 500), "{:?}", seen.get());
}

#[test]
fn a_lookout_suspects_what_shows_a_sign_and_what_has_none_to_show() {
    let set = Arc::new(all());
    let plain = "the quick brown fox jumps over a lazy dog\n".repeat(100);
    for (text, suspected) in [(&*plain, false), ("x@", true), ("caf\u{e9}", true), ("100 %", true), ("AKI", false)] {
        let mut lookout = Lookout::new(Arc::clone(&set), set.everything());
        assert_eq!(lookout.suspects(text.as_bytes()), suspected, "{text:?}");
        assert!(suspected || lookout.suspects(b"A") == (text == "AKI"), "{text:?}");
        assert_eq!(is_clear(&set, set.everything(), text.as_bytes()), !suspected, "{text:?}");
    }
    let custom = Arc::new(Detectors::compile(&custom(&["zz"])).unwrap());
    assert!(Lookout::new(Arc::clone(&custom), custom.everything()).suspects(b"a"));
    assert!(is_clear(&custom, custom.everything(), b"a"));
    assert!(!Lookout::new(custom, Watch(0)).suspects("caf\u{e9} zz".as_bytes()));
}

#[test]
fn what_cannot_be_seen_hides_no_value_from_a_detector_that_is_alone() {
    let set = Detectors::compile(&[Spec::builtin("email").unwrap()]).unwrap();
    for hidden in ["\u{200b}", "\x1b[31m", "\\e[1m"] {
        let text = format!("abcdefghijklmnopqrstuvwxyz{hidden}zq7x.k1@leak.example");
        let expected =
            if hidden.len() > 3 { format!("abcdefghijklmnopqrstuvwxyz{hidden}<email>") } else { "<email>".into() };
        assert_eq!(scrubbed(&set, &text, &mut Names), expected);
    }
}

/// Control sequences as they stand in files, and as programs and documents spell them.
const SEQUENCES: &[&str] = &[
    "\x1b[31m",
    "\x1b[m",
    "\x1b[1;31m",
    "\x1b[01;31m\x1b[K",
    "\x1b[38;2;255;128;0m",
    "\x1b[1",
    "\x1b[?1",
    "\x1b[1 ",
    "\u{9b}31m",
    "\\u001b[31m",
    "\\u001B[1m",
    "\\\\u001b[31m",
    "\\u{1b}[31m",
    "\\x1b[31m",
    "\\x1B[0;1m",
    "\\u009b31m",
    "\\e[31m",
    "\\E[31m",
    "\\033[31m",
    "\\\\033[1;31m",
    "\\33[31m",
    "\\033\\[31m",
    "^[[31m",
    "^[[1;31m^[[K",
    "%1b[31m",
    "%1B%5B31m",
    "&#27;[31m",
    "&#x1b;[31m",
    "\x1b)B",
    "\x1b(B",
    "\x1b(B\x1b[m",
    "\x1b=",
    "\x1bM",
    "\x1bP1$q",
    "\x1b]8;;http://a\x1b\\",
    "\\e(B",
    "\\033(B",
    "^[(B",
    "\\u001b(B",
];
const COLOURED: &[&str] = &[
    EMAIL,
    "AKIAIOSFODNN7EXAMPLE",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "sk-ant-api03-Ab1cAb1cAb1cAb1cAb1cAb1c",
    "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOp",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "hf_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111",
    "4111111111111111",
    "900-55-0001",
    "+49 30 901820",
    "(212) 555-0123",
    "0033 1 42 68 53 00",
    "06 12 34 56 78",
];

#[test]
fn a_value_behind_a_control_sequence_is_found_however_that_is_written() {
    let set = Arc::new(all());
    for sequence in SEQUENCES {
        for value in COLOURED {
            let number = !value.starts_with(|first: char| first.is_ascii_alphabetic());
            if number && sequence.ends_with(['1', ' ']) {
                continue;
            }
            for before in ["", "x", "log ", "{\"a\":\"", "9"] {
                let ended = format!("{before}{sequence}{value}\x1b[0m end");
                assert!(!scrubbed(&set, &ended, &mut Same).contains(value), "{ended:?}");
                let text = format!("{before}{sequence}{value} end");
                let out = scrubbed(&set, &text, &mut Same);
                // Of a mail address, the letter that ends a sequence is not hidden.
                let taken = usize::from(*value == EMAIL && sequence.ends_with(['1', ' ']));
                // One character of which nothing is seen makes what is before it a part of the address.
                if *value == EMAIL && sequence.contains(['\u{9b}', '9', 'M']) && !before.is_empty() {
                    assert!(!out.contains(value), "{text:?}");
                } else {
                    assert_eq!(out, text.replace(&value[taken..], &"*".repeat(value.len() - taken)), "{text:?}");
                }
                let mut sieve = Sieve::new(Arc::clone(&set));
                for cut in 0..text.len() {
                    assert_eq!(sieved(&mut sieve, &pieces(&text, &[cut]), &mut Same), out);
                }
                assert_eq!(sieved(&mut sieve, &characters(&text), &mut Same), out);
                let mut blots = String::new();
                blot(&set, set.everything(), &text, &mut blots);
                assert_eq!(blots, out);
                assert!(!is_clear(&set, set.everything(), text.as_bytes()));
            }
        }
    }
}

#[test]
fn a_name_behind_a_control_sequence_says_what_a_number_is() {
    let set = all();
    for (text, expected) in [
        ("\x1b[1mSSN\x1b[0m: 900550001", "\x1b[1mSSN\x1b[0m: <us-ssn>"),
        ("\\e[1mPhone:\\e[0m 5550123", "\\e[1mPhone:\\e[0m <phone>"),
        ("\x1b]8;;http://a\x1b\\npm_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "\x1b]8;;http://a\x1b\\<vendor-key>"),
        ("\x1b[491701234567m.zq7x@leak.example", "\x1b[<email>"),
        ("mSSN: 900550001 [1mPhone: 5550123", "mSSN: 900550001 [1mPhone: 5550123"),
    ] {
        assert_eq!(scrubbed(&set, text, &mut Names), expected);
    }
}

#[test]
fn what_only_resembles_a_control_sequence_parts_nothing() {
    let set = all();
    for text in [
        "[31mAKIAIOSFODNN7EXAMPLE",
        "[31m4111111111111111",
        "e[31mAKIAIOSFODNN7EXAMPLE",
        "033[31mAKIAIOSFODNN7EXAMPLE",
        "\\03[31mAKIAIOSFODNN7EXAMPLE",
        "^[31mAKIAIOSFODNN7EXAMPLE",
        "\\e31mAKIAIOSFODNN7EXAMPLE",
        "\x1b]31mAKIAIOSFODNN7EXAMPLE",
        "\x1b[31mxAKIAIOSFODNN7EXAMPLE",
        "\x1b[3 1mAKIAIOSFODNN7EXAMPLE",
        "C:\\examples\\exAKIAIOSFODNN7EXAMPLE",
        "^[xAKIAIOSFODNN7EXAMPLE",
    ] {
        assert_eq!(scrubbed(&set, text, &mut Names), text);
    }
}

#[test]
fn neither_lanes_nor_looking_ahead_change_a_result() {
    let sets = sets();
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let law = |text: String| {
        for set in &sets {
            let mut scan = Scan::new(set);
            scan.forgetful = true;
            scan.ahead.blind = true;
            let mut out = String::new();
            scan.read(set, set.everything(), &text, Rest::Ends, &mut written(&mut Sees, &mut out));
            prop_assert_eq!(out, scrubbed(set, &text, &mut Sees));
        }
        Ok(())
    };
    runner.run(&text(), law).unwrap();
}

#[test]
fn blots_keep_the_length_and_cover_what_a_cover_covers() {
    let sets = sets();
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let law = |(text, gap, cut): (String, usize, usize)| {
        for (index, set) in sets.iter().enumerate() {
            let mut out = String::new();
            let tags = blot(set, set.everything(), &text, &mut out);
            prop_assert_eq!(tags.is_empty(), out == text);
            // What outgrows its limit becomes three stars of a text, however long it is.
            let same = scrubbed(set, &text, &mut Same);
            prop_assert!(index == 2 || same.len() != text.len() || out == same);
            let (head, tail) = text.split_at(text.floor_char_boundary(cut % (text.len() + 1)));
            let apart = [head, &"\0".repeat(gap), tail].concat();
            let mut out = String::new();
            blot(set, set.everything(), &apart, &mut out);
            prop_assert_eq!(out.len(), apart.len());
            prop_assert!(out.bytes().zip(apart.bytes()).all(|(shown, byte)| shown == byte || shown == b'*'));
        }
        Ok(())
    };
    runner.run(&(text(), 0_usize..90, any::<usize>()), law).unwrap();
}

#[test]
fn text_that_lacks_what_values_need_costs_no_steps() {
    let set = all();
    for unit in ["1", "a", "Two of the three parcels came; "] {
        let text = unit.repeat((1 << 16) / unit.len());
        assert_eq!(steps(&set, &[&text]).0.round(), 0.0, "{unit}");
        // One byte of the kind brings back only the candidates that reach it.
        let text = format!("{text}@");
        assert!(steps(&set, &[&text]).0 < 0.5, "{unit}");
        let pieces: Vec<&str> = pieces(&text, &(0..text.len() / 7).map(|index| index * 7).collect::<Vec<_>>());
        assert!(steps(&set, &pieces).0 < 10.0, "{unit}");
    }
}

#[test]
fn a_sign_brings_back_only_the_candidates_near_it() {
    let set = all();
    for line in [
        "203.0.113.7 - - [05/Nov/2026:19:19:18 +0000] \"GET /items/25991?page=12 HTTP/1.1\" 200 48211 537.36\n",
        "2026-11-05T19:19:18.123Z INFO took=1234ms bytes=312243 id=1763000000000 mail=<ops@corp.example>\n",
        "00000010: 09ed a7a4 0bb7 2f0e 4265 7683 d4ee 9da8  ......../.Bev...\n",
        "Q2hpbGRyZW4/YXJl+dGhlIG9ubHkgb25lcyB3aG8gYXJl/IGJyYXZlIGVub3VnaCB0byBkby\n",
        "852798299,7661,742.55,1735499245557,93,13514.714,408904016504\n",
    ] {
        let text = line.repeat((1 << 16) / line.len());
        let (whole, ..) = steps(&set, &[&text]);
        assert!(whole < 2.0, "{whole} steps a byte: {line}");
        let pieces: Vec<&str> = pieces(&text, &(0..text.len() / 500).map(|index| index * 500).collect::<Vec<_>>());
        let (cut, ..) = steps(&set, &pieces);
        assert!(cut < 3.0, "{cut} steps a byte in pieces: {line}");
    }
}

#[test]
fn no_beginning_of_a_value_leaves_before_its_end_is_known() {
    let set = Arc::new(all());
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".repeat(30)
    );
    for value in [EMAIL, SSN, "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", &key, "AKIAIOSFODNN7EXAMPLE"] {
        for before in ["", "x ", "(", "中", "😀 ", "a\n"] {
            let text = format!("{before}{value} and more");
            let mut sieve = Sieve::new(Arc::clone(&set));
            let mut out = String::new();
            for piece in characters(&text) {
                sieve.push(piece, &mut Names, &mut out);
                let raw = out.strip_prefix(before).unwrap_or_default();
                assert!(raw.is_empty() || raw.starts_with('<'), "{value}: {out}");
            }
            sieve.finish(&mut Names, &mut out);
            assert!(out.ends_with("> and more"), "{out}");
        }
    }
}

#[test]
fn what_is_held_when_the_text_ends_is_covered() {
    let set = Arc::new(all());
    let mut sieve = Sieve::new(set);
    let mut out = String::new();
    sieve.push("to zq7x.k1@leak.exam", &mut Names, &mut out);
    assert_eq!((out.as_str(), sieve.held()), ("to ", 17));
    sieve.push("ple.com", &mut Names, &mut out);
    assert_eq!(out, "to ");
    sieve.finish(&mut Names, &mut out);
    assert_eq!((out.as_str(), sieve.covered()), ("to <email>", 1));
    let open = format!("-----BEGIN RSA PRIVATE KEY-----\n{}", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(3));
    assert_eq!(sieved(&mut sieve, &[&open], &mut Names), "<private-key>\n");
}

#[test]
fn what_outgrows_its_limit_is_redacted_to_its_end() {
    let set = Arc::new(all());
    let run = "a1B2".repeat(20_000);
    let mails = "ab@cd.ef".repeat(10_000);
    for (text, expected) in [
        (format!("key sk-proj-{run} end"), "key *** end"),
        (format!("eyJhbGciOiJIUzI1NiJ9.{run}.x end"), "*** end"),
        (format!("-----BEGIN PRIVATE KEY-----\n{run}\n-----END PRIVATE KEY-----\nend"), "***\nend"),
        (format!("{mails} end"), "*** end"),
    ] {
        assert_eq!(scrubbed(&set, &text, &mut Names), expected);
        let portions: Vec<&str> = pieces(&text, &(0..text.len() / 7).map(|index| index * 7).collect::<Vec<_>>());
        let (steps, held, out) = steps(&set, &portions);
        assert_eq!(out, expected);
        assert!(held < 20_000 && steps < 24.0, "{held} bytes held, {steps} steps");
    }
}

#[test]
fn a_configured_pattern_without_an_end_redacts_what_it_may_have_begun() {
    let set = Detectors::compile(&custom(&["(?s)BEGIN.*END"])).unwrap();
    let text = format!("a BEGIN {} END b", "x ".repeat(10_000));
    assert_eq!(scrubbed(&set, &text, &mut Names), "a ***");
    assert_eq!(scrubbed(&set, "a BEGIN x y", &mut Names), "a BEGIN x y");
}

#[test]
fn adversarial_text_costs_a_bounded_number_of_steps() {
    let set = Detectors::compile(&[builtins(), custom(&["(?:[a-z]+ )+!", "[A-Za-z0-9+/]{40,}!", "(?:aa)+b"])].concat())
        .unwrap();
    const BYTES: usize = 1 << 16;
    for (unit, most) in [
        ("1", 8.0),
        ("1 ", 64.0),
        ("41 ", 64.0),
        ("1-", 64.0),
        ("a@", 20.0),
        ("a.", 20.0),
        ("a@a.", 20.0),
        ("a@aa.aa", 20.0),
        ("aB3/", 16.0),
        ("eyJ", 20.0),
        ("sk-", 24.0),
        ("sk-aaaaaaaaaaaaaaaaaaaa@", 40.0),
        ("-----BEGIN PRIVATE KEY-----\n", 16.0),
        ("a ", 20.0),
        ("aa", 8.0),
        ("\"", 8.0),
        ("+(", 16.0),
        ("DE89 ", 32.0),
        ("9\u{200b}", 16.0),
        ("\x1b[m", 40.0),
        ("\x1b[1mab@cd.ef ", 40.0),
        ("\u{9b}1", 16.0),
        ("\\e[1", 16.0),
        ("^[[a", 40.0),
        ("\x1b[31ma.b", 40.0),
        ("\x1b[ma", 40.0),
    ] {
        let text = unit.repeat(BYTES / unit.len());
        let (whole, ..) = steps(&set, &[&text]);
        let (part, ..) = steps(&set, &[&text[..text.floor_char_boundary(1 << 14)]]);
        let (single, held, _) = steps(&set, &characters(&text[..text.floor_char_boundary(1 << 14)]));
        assert!(whole <= most && single <= most, "{unit:?}: {whole} steps a byte, {single} character by character");
        assert!(whole < part * 1.1 + 0.5, "{unit:?}: {part} steps a byte, {whole} where there is more of it");
        assert!(held <= 20 << 10, "{unit:?}: {held} bytes held");
    }
}
