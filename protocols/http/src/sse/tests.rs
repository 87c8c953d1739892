//! The codec against the rules of the standard, at every cutting.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64;

/// Events as `name|data`, then the fault or how the stream ended.
fn read(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(LIMIT);
    let mut seen = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => seen.push(show(&event)),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next(), Err(fault));
                    seen.push(format!("{fault:?}"));
                    return seen;
                }
            }
        }
    }
    if decoder.finish() {
        seen.push("torn".to_owned());
    }
    if decoder.comments() > 0 {
        seen.push(format!("comments={}", decoder.comments()));
    }
    seen
}

fn show(event: &Event) -> String {
    let name = event.name.as_deref().unwrap_or_default();
    format!("{name}|{}", str::from_utf8(&event.data).unwrap())
}

#[test]
fn streams_are_read_as_the_standard_says() {
    for (stream, expected) in [
        ("", &[][..]),
        ("data: a\n\n", &["|a"]),
        ("data:a\n\ndata:  b\n\n", &["|a", "| b"]),
        ("\u{feff}data: a\n\n", &["|a"]),
        ("\u{feff}\u{feff}data: a\n\n", &[]),
        ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", &["|a", "|b", "|c"]),
        ("data: a\rdata: b\r\ndata: c\n\r\n", &["|a\nb\nc"]),
        ("event: x\ndata: a\n\ndata: b\n\n", &["x|a", "|b"]),
        ("event: x\nevent: y\ndata: a\n\n", &["y|a"]),
        ("event: x\nevent:\ndata: a\n\n", &["|a"]),
        ("event: x\n\ndata: a\n\n", &["|a"]),
        ("data\n\n", &["|"]),
        ("data:\n\n", &["|"]),
        ("data\ndata\n\n", &["|\n"]),
        ("data: a\ndata:\ndata: b\n\n", &["|a\n\nb"]),
        (": secret\nid: secret\nretry: 1\nsecret: x\nsecret\nData: x\n data: x\ndata: a\n\n", &["|a", "comments=1"]),
        (":\n\n:\n\n", &["comments=2"]),
        ("data: a:b: c\n\n", &["|a:b: c"]),
        ("data: a\0b\n\n", &["|a\0b"]),
        ("data: a\n", &["torn"]),
        ("data: a", &["torn"]),
        ("data: a\n\ndata: b\n", &["|a", "torn"]),
        ("event: x\n", &[]),
        ("data: \u{2028}\u{85}\n\n", &["|\u{2028}\u{85}"]),
    ] {
        assert_eq!(read(&[stream.as_bytes()]), expected, "{stream:?}");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), expected, "{stream:?} byte by byte");
    }
}

#[test]
fn bytes_that_are_no_utf_8_are_a_fault_wherever_they_stand() {
    for stream in [&b"data: \xff\n\n"[..], b": \xff\n\n", b"event: \xc3\n", b"data: \xed\xa0\x80\n", b"\xff\n"] {
        assert_eq!(read(&[b"data: a\n\n", stream]), ["|a", "Utf8"]);
    }
}

#[test]
fn the_limit_holds_at_its_edge() {
    let line = |length: usize| format!("data:{}\n\n", "x".repeat(length - "data:".len()));
    let lines = |length: usize| format!("data:{}\ndata:{}\n\n", "x".repeat(40), "x".repeat(length - 41));
    for (stream, fits) in [
        (line(LIMIT - 1), true),
        (line(LIMIT), true),
        (line(LIMIT + 1), false),
        (lines(LIMIT - 1), true),
        (lines(LIMIT), true),
        (lines(LIMIT + 1), false),
        (format!(":{}\n", "x".repeat(LIMIT - 1)), true),
        (format!(":{}\n", "x".repeat(LIMIT)), false),
        ("x".repeat(LIMIT), true),
        ("x".repeat(LIMIT + 1), false),
        ("data\n".repeat(LIMIT + 1), true),
        ("data\n".repeat(LIMIT + 2), false),
    ] {
        assert_eq!(read(&[stream.as_bytes()]).last().unwrap() != "TooLong", fits, "{} bytes", stream.len());
    }
}

#[test]
fn a_stream_of_nothing_but_comments_keeps_nothing() {
    let mut decoder = Decoder::new(LIMIT);
    for _ in 0..100_000 {
        decoder.push(b": ping\n\n");
        assert_eq!(decoder.next(), Ok(None));
    }
    assert_eq!(decoder.comments(), 100_000);
    assert!(decoder.buffer.capacity() < 4096);
}

#[test]
fn an_event_is_sent_in_one_way_only() {
    for (name, data, expected) in [
        (None, "{}", "data: {}\n\n"),
        (Some("x"), "{}", "event: x\ndata: {}\n\n"),
        (None, "", "data: \n\n"),
        (None, "a\n\ndata: b\n\n", "data: a\ndata: \ndata: data: b\ndata: \ndata: \n\n"),
        (None, "a\rb\r\nc", "data: a\ndata: b\ndata: c\n\n"),
        (None, " a", "data:  a\n\n"),
        (Some("x\ndata: y"), "a", "event: x\ndata: a\n\n"),
        (Some("x\r\rdata: y"), "a", "event: x\ndata: a\n\n"),
    ] {
        let event = Event { name: name.map(Into::into), data: Bytes::copy_from_slice(data.as_bytes()) };
        assert_eq!(event.encode(), expected);
    }
}

proptest! {
    #[test]
    fn cutting_makes_no_difference(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "data", "event", "id", ":", " ", "\n", "\r", "\r\n", "\n\n", "a", "é", "\u{feff}", "data: x\n", "\u{2028}",
            ]),
            0..60,
        ),
        cuts in proptest::collection::vec(1_usize..8, 1..20),
    ) {
        let stream = tokens.concat();
        let mut rest = stream.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read(&pieces), read(&[stream.as_bytes()]));
    }

    #[test]
    fn what_is_sent_is_read_as_it_was(name in "[a-z.]{0,8}", data in "[a-z:\n é]{0,30}") {
        let event = Event { name: (!name.is_empty()).then(|| name.into()), data: data.into() };
        let mut decoder = Decoder::new(LIMIT);
        decoder.push(&event.encode());
        prop_assert_eq!(decoder.next(), Ok(Some(event)));
        prop_assert_eq!(decoder.next(), Ok(None));
        prop_assert!(!decoder.finish());
    }
}
