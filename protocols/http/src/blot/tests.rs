#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn blotted(secret: &str, pieces: &[&[u8]]) -> String {
    let mut blot = Blot::new([Secret::from(secret.to_owned())]);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&blot.push(Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&blot.finish());
    String::from_utf8(out).unwrap()
}

#[test]
fn the_secret_is_blotted_whatever_the_pieces() {
    let text = b"bad key: sk-srv-sk-srv-1, sk-srv-1. sk-sr";
    let expect = "bad key: sk-srv-********, ********. sk-sr";
    for one in 0..=text.len() {
        for two in one..=text.len() {
            let pieces = [&text[..one], &text[one..two], &text[two..]];
            assert_eq!(blotted("sk-srv-1", &pieces), expect, "cut at {one} and {two}");
        }
    }
}

#[test]
fn escapes_do_not_hide_it() {
    for text in [
        r"\u0073k-srv\u002D1",
        r"sk\-srv-1",
        "sk%2Dsrv%2d1",
        "sk&#45;srv&#x2d;1",
        r"\u0073\u006b\u002d\u0073\u0072\u0076\u002d\u0031",
        r"sk\\-srv\\u002d1",
        r"sk\\\-srv\\\\u002d1",
        r"\u005cu0073k\u005c\u005cx2dsrv-1",
        "sk%252Dsrv%25252d1",
        "sk%5Cu002dsrv-1",
        "sk&amp;#45;srv&amp;amp;#0045;1",
        r"sk\u0026#45;srv-1",
    ] {
        let stars = "*".repeat(text.len());
        for cut in 0..=text.len() {
            let (one, two) = text.split_at(cut);
            let shown = blotted("sk-srv-1", &[b"a ", one.as_bytes(), two.as_bytes(), br" \u0073k-srv-2"]);
            assert_eq!(shown, format!(r"a {stars} \u0073k-srv-2"), "{text} cut at {cut}");
        }
    }
}

#[test]
fn base64_does_not_hide_it_wherever_it_stands() {
    for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in ["", "B", "Bearer ", "user:", "Authorization: Bearer "] {
            for after in ["", "x", "\r\n"] {
                let secret = "sk-srv-~~?>1";
                let text = alphabet.encode(format!("{before}{secret}{after}"));
                let shown = blotted(secret, &[text.as_bytes()]);
                let stars = shown.matches('*').count();
                assert!(stars >= secret.len() * 4 / 3 - 2 && shown.len() == text.len(), "{text} {shown}");
            }
        }
    }
}

/// Each letter is looked at a few times at most, whatever a server sends.
#[test]
fn long_runs_of_escapes_are_read_in_one_go() {
    let text = br"\u005c%25&amp;".repeat(4_000);
    assert_eq!(blotted("sk-srv-1", &[&text]).as_bytes(), text);
}

#[test]
fn other_text_passes_and_is_not_copied() {
    let mut blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
    let piece = Bytes::from_static(b"nothing to see");
    assert_eq!(blot.push(piece.clone()).as_ptr(), piece.as_ptr());
    assert_eq!(blotted("short", &[b"short"]), "short");
}

/// Texts as escapes make them: of a secret, of parts of one, and of what has nothing to do with it.
fn escaped() -> impl Strategy<Value = Vec<u8>> {
    let letter = prop::sample::select(b"sk-rv1\\%&u05xdamp;#27 n\"".to_vec());
    let noise = prop::collection::vec(letter, 0..12);
    let secret = prop::sample::select(SECRETS.to_vec()).prop_flat_map(|secret| {
        let part = (0..=secret.len()).prop_map(move |end| secret.as_bytes()[..end].to_vec());
        prop_oneof![3 => Just(secret.as_bytes().to_vec()), 1 => part]
    });
    let layers = prop::collection::vec(prop::collection::vec(0_u8..12, 1..4), 0..=4);
    let spelled =
        (secret, layers).prop_map(|(secret, layers)| layers.iter().fold(secret, |text, how| spell(&text, how)));
    prop::collection::vec(prop_oneof![noise, spelled], 1..5).prop_map(|parts| parts.concat())
}

const SECRETS: [&str; 4] = ["sk-srv-1", "sk-srv-1-more", r"\srv%2d&", "k-srk-srk-srx"];

/// Spells each letter in one of the ways of a layer.
fn spell(text: &[u8], how: &[u8]) -> Vec<u8> {
    let each = text.iter().zip(how.iter().cycle());
    let spelled = each.map(|(byte, how)| match how {
        0 => format!("\\u{byte:04x}").into_bytes(),
        1 => format!("\\x{byte:02X}").into_bytes(),
        2 => format!("%{byte:02x}").into_bytes(),
        3 => format!("%u{byte:04X}").into_bytes(),
        4 => format!("&#{byte};").into_bytes(),
        5 => format!("&#X{byte:04x};").into_bytes(),
        6 if *byte == b'&' => b"&Amp;".to_vec(),
        7 | 8 if byte.is_ascii_punctuation() => vec![b'\\', *byte],
        _ => vec![*byte],
    });
    spelled.flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What is found is what anybody finds who tries each layer at each byte, however the text comes.
    #[test]
    fn nothing_is_missed_and_nothing_else_is_covered(text in escaped(), cuts in prop::collection::vec(0_usize..400, 0..5)) {
        let secrets: Vec<&[u8]> = SECRETS.iter().map(|secret| secret.as_bytes()).collect();
        let expect = oracle::blotted(&secrets, &text);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let cut: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
        let single: Vec<&[u8]> = text.chunks(1).collect();
        for pieces in [&cut, &single] {
            let mut blot = Blot::of(SECRETS.iter().map(|secret| Secret::from((*secret).to_owned())).collect());
            let mut shown = Vec::new();
            pieces.iter().for_each(|piece| shown.extend_from_slice(&blot.push(Bytes::copy_from_slice(piece))));
            shown.extend_from_slice(&blot.finish());
            prop_assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(&expect), "{}", String::from_utf8_lossy(&text));
        }
    }
}

/// Texts that are all escapes, or nearly: of one layer, of more, and such as end nowhere.
fn corpus() -> Vec<Vec<u8>> {
    let mut units: Vec<String> = [
        "hello world ",
        "\\",
        "%",
        "&",
        "%25",
        "%5c",
        "&amp;",
        "&#x5c;",
        "\\%5c",
        "\\\"",
        "\\\"name\\\":\\\"some value\\\",",
        "\\\\\\\"name\\\\\\\":\\\\\\\"some value\\\\\\\",",
        "C:\\\\Users\\\\name\\\\file.txt ",
        "%E4%BD%A0",
        "\\alpha ",
        "\\u005c",
        "&#0000038",
        "&#%30%30",
        "%u00",
        "&am",
        "s",
        "sk-",
        "sk-srv-",
        "s\\s%s&",
        "\\u0073k%2d",
        "\\\\s",
    ]
    .map(str::to_owned)
    .to_vec();
    for how in [0, 1, 2, 3, 4, 5] {
        let deep = (0..4).fold(b"\\".to_vec(), |text, _| spell(&text, &[how]));
        units.push(String::from_utf8(deep).unwrap());
        let deep = (0..4).fold(b"sk-srv-2".to_vec(), |text, layer| spell(&text, &[how, layer, 7]));
        units.push(String::from_utf8(deep).unwrap());
    }
    units.iter().map(|unit| unit.bytes().cycle().take(20_000).collect()).collect()
}

/// Each byte is looked at a few times at most, whatever a server sends and in whatever pieces.
#[test]
fn the_work_is_that_of_the_text() {
    for text in corpus() {
        for (piece, length, most) in [(text.len(), text.len(), 15), (1_000, text.len(), 20), (1, 3_000, 400)] {
            let text = &text[..length];
            let mut blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
            work::taken();
            let shown: usize = text.chunks(piece).map(|piece| blot.push(Bytes::copy_from_slice(piece)).len()).sum();
            let steps = work::taken() / text.len();
            assert!(
                steps <= most,
                "{steps} steps for each byte of {} in pieces of {piece}",
                String::from_utf8_lossy(&text[..80])
            );
            assert_eq!(shown + blot.finish().len(), text.len());
        }
    }
}

/// Nobody spells a key so that a part of it takes that much, but to have it kept.
#[test]
fn what_is_held_back_is_bounded() {
    let deep = (0..4).fold(b"sk-srv-".to_vec(), |text, _| spell(&text, &[5]));
    let most = HELD.0 + HELD.1 * "sk-srv-1".len() * 2;
    assert!(deep.len() > most);
    let mut blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
    let mut shown = Vec::new();
    for piece in deep.chunks(100) {
        shown.extend_from_slice(&blot.push(Bytes::copy_from_slice(piece)));
        assert!(blot.held.len() <= most + most / 8 + 100, "{}", blot.held.len());
    }
    assert_eq!(shown[..HELD.0], [b'*'; HELD.0]);
}

#[test]
fn one_secret_that_begins_another_is_covered_with_all_of_it() {
    for pieces in [&[&b"sk-srv-1-more"[..]][..], &[b"sk-srv-1", b"-more"], &[b"sk-srv-1-", b"mor", b"e"]] {
        let mut blot = Blot::of(["sk-srv-1", "sk-srv-1-more"].map(|secret| Secret::from(secret.to_owned())).to_vec());
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| blot.push(Bytes::copy_from_slice(piece))).collect();
        shown.extend_from_slice(&blot.finish());
        assert_eq!(shown, [b'*'; 13]);
    }
    assert_eq!(blotted("sk-srv-1", &[b"sk-srv-1-mor"]), "********-mor");
}

#[test]
fn headers_that_hold_it_stay_behind() {
    let blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("a", "SK-srv-1"), ("b", r"x \u0073k-srv-1"), ("c", "&#x73k-srv-1"), ("d", "&#sk-srv-1"), ("e", "sk-srv-")]
    {
        headers.append(name, HeaderValue::from_static(value));
    }
    blot.strip(&mut headers);
    let kept: BTreeSet<_> = headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(kept, BTreeSet::from(["c", "e"]));
}
