//! What is a document and what is not.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::document::{Document, Limits};
use super::entry::Kind;
use super::fault::Fault;
use super::testing::{parse, read, spell, values};

const LIMITS: Limits = Limits { size_bytes: 1 << 20, depth: 128, nodes: 1 << 20 };

fn fault(body: impl AsRef<[u8]>) -> Fault {
    Document::parse(body.as_ref().to_vec(), LIMITS).unwrap_err()
}

fn takes(body: &str, limits: Limits) -> Result<(), Fault> {
    Document::parse(body.as_bytes().to_vec(), limits).map(drop)
}

#[test]
fn documents_are_what_rfc_8259_says() {
    for body in [
        "null",
        " \t\r\ntrue \t\r\n",
        "false",
        "0",
        "-0",
        "-0.0e-0",
        "120.5E+09",
        "1e999",
        "123456789012345678901234567890",
        r#""""#,
        r#""\"\\\/\b\f\n\r\t\u0000\ud83d\uDE00""#,
        "\"\u{7f}\u{80}\u{feff}\u{2028}\u{10ffff}\"",
        "[]",
        "[ ]",
        "{}",
        "{\n}",
        r#"[1,"a",[null],{"a":{"a":[]}}]"#,
        r#"{"a":1,"A":2,"":3,"\u0000":4}"#,
    ] {
        assert_eq!(takes(body, LIMITS), Ok(()), "{body}");
    }
}

#[test]
fn a_fault_names_the_place_and_what_could_stand_there() {
    for (body, at, expected) in [
        ("", 0, "a value"),
        ("  ", 2, "a value"),
        ("\u{feff}{}", 0, "a value"),
        ("nul", 3, "a value"),
        ("True", 0, "a value"),
        ("NaN", 0, "a value"),
        ("+1", 0, "a value"),
        (".5", 0, "a value"),
        ("'a'", 0, "a value"),
        ("[1,]", 3, "a value"),
        ("[,1]", 1, "a value"),
        ("{\"a\":}", 5, "a value"),
        ("[1}", 2, "a comma or `]`"),
        ("[1 2]", 3, "a comma or `]`"),
        ("[1", 2, "a comma or `]`"),
        ("{\"a\":1]", 6, "a comma or `}`"),
        ("{\"a\":1,}", 7, "a member's name"),
        ("{,}", 1, "a member's name"),
        ("{a:1}", 1, "a member's name"),
        ("{1:1}", 1, "a member's name"),
        ("{\"a\" 1}", 5, "a colon"),
        ("{\"a\"}", 4, "a colon"),
        ("{} {}", 3, "the end of the document"),
        ("1 2", 2, "the end of the document"),
        ("01", 1, "the end of the document"),
        ("[]]", 2, "the end of the document"),
        ("null\0", 4, "the end of the document"),
        ("// c\n1", 0, "a value"),
        ("-", 1, "a digit"),
        ("-a", 1, "a digit"),
        ("1.", 2, "a digit"),
        ("1.e1", 2, "a digit"),
        ("1e", 2, "a digit"),
        ("1e+", 3, "a digit"),
        ("\"a", 2, "the end of a string"),
        ("\"a\\", 3, "an escape"),
        ("\"\\x41\"", 2, "an escape"),
        ("\"\\u12g4\"", 3, "four hexadecimal digits"),
        ("\"\\u+123\"", 3, "four hexadecimal digits"),
        ("\"\\u12\"", 3, "four hexadecimal digits"),
        ("\"a\nb\"", 2, "a control character that is escaped"),
        ("\"\0\"", 1, "a control character that is escaped"),
        ("\"\u{1f}\"", 1, "a control character that is escaped"),
    ] {
        assert_eq!(fault(body), Fault::Syntax { at, expected }, "{body:?}");
    }
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_stands() {
    for (body, at) in [
        (&b"\xff"[..], 0),
        (b"\xef\xbb", 0),
        (b"{\"a\":\"\xff\xfe\"}", 6),
        (b"\"\xc0\xaf\"", 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"[] \xf5", 3),
    ] {
        assert_eq!(fault(body), Fault::Utf8 { at });
    }
    assert_eq!(fault("[]".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()).code(), "invalid_json");
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for (body, at) in [
        (r#""\ud800""#, 1),
        (r#""a\udc00""#, 2),
        (r#""\ud83dx""#, 1),
        (r#""\ud83d\n""#, 1),
        (r#""\ud83d\u0041""#, 1),
        (r#""\ud83d\ud83d\ude00""#, 1),
        (r#""\ud83d\ude00\ude00""#, 13),
        (r#"{"\udfff":1}"#, 2),
    ] {
        assert_eq!(fault(body), Fault::Surrogate { at }, "{body}");
    }
}

#[test]
fn a_name_stands_once_in_an_object_however_it_is_spelled() {
    for (body, at) in [
        (r#"{"model":"gpt-small","model":"gpt-huge","messages":[]}"#, 21),
        (r#"{"a":1,"\u0061":2}"#, 7),
        (r#"{"\u0061":1,"a":2}"#, 12),
        (r#"{"\u0061\u0062":1,"a\u0062":2}"#, 18),
        (r#"{"\ud83d\ude00":1,"😀":2}"#, 18),
        (r#"{"/":1,"\/":2}"#, 7),
        (r#"{"\n":1,"\u000A":2}"#, 8),
        (r#"{"":1,"":2}"#, 6),
        (r#"{"\u0000":1,"\u0000":2}"#, 12),
        (r#"[{"a":{"b":[{"c":1,"d":2,"c":3}]}}]"#, 25),
        (r#"{"a":{"a":1},"b":2,"a":3}"#, 19),
        (r#"{"a":1,"b":2,"b":3,"a":4}"#, 13),
    ] {
        let refused = fault(body);
        assert_eq!((refused, refused.code()), (Fault::DuplicateKey { at }, "duplicate_key"), "{body}");
    }
    assert_eq!(takes(r#"{"a":{"a":[{"a":1},{"a":2}]},"A":0,"á":0,"a\u0301":0}"#, LIMITS), Ok(()));
}

#[test]
fn names_are_compared_in_objects_of_every_size() {
    for count in [2, 9, 10, 11, 12, 100] {
        for twice in [0, count / 2, count - 1] {
            let name = |index: usize| format!("\"name-{index}\":{index},");
            let all: String = (0..count).map(name).collect();
            let object = |last: &str| format!("{{{all}{last}:0}}");
            assert_eq!(takes(&object("\"other\""), LIMITS), Ok(()));
            let at = object("").len() - 3;
            assert_eq!(fault(object(&format!("\"name-{twice}\""))), Fault::DuplicateKey { at });
            assert_eq!(fault(object(&format!("\"\\u006eame-{twice}\""))), Fault::DuplicateKey { at });
        }
    }
}

#[test]
fn an_object_may_have_very_many_members() {
    let members: Vec<String> = (0..100_000).map(|index| format!("\"{index:0>50}\":0")).collect();
    let limits = Limits { size_bytes: 1 << 24, ..LIMITS };
    let body = format!("{{{}}}", members.join(","));
    assert_eq!(takes(&body, limits), Ok(()));
    let twice = format!("{{{},{}}}", members.join(","), members.first().unwrap());
    assert_eq!(takes(&twice, limits), Err(Fault::DuplicateKey { at: body.len() }));
}

#[test]
fn nesting_is_refused_beyond_the_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for limit in [1, 2, 128] {
        let limits = Limits { depth: limit, ..LIMITS };
        let depth = usize::try_from(limit).unwrap();
        assert_eq!(takes(&nested(depth).replacen("[]", "0", 1), limits), Ok(()));
        assert_eq!(takes(&nested(depth), limits), Ok(()));
        assert_eq!(takes(&nested(depth + 1), limits), Err(Fault::Depth { at: depth }));
    }
    assert_eq!(takes("[[],[[]],{\"a\":[]}]", Limits { depth: 3, ..LIMITS }), Ok(()));
    assert_eq!(takes("[[],{\"a\":[]}]", Limits { depth: 2, ..LIMITS }), Err(Fault::Depth { at: 9 }));
    assert_eq!(takes("0", Limits { depth: 0, ..LIMITS }), Ok(()));
    assert_eq!(takes("{}", Limits { depth: 0, ..LIMITS }).unwrap_err().code(), "too_deep");
}

#[test]
fn nesting_takes_no_stack() {
    let depth = 200_000;
    let body = format!("{}\"x\"{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
    let limits = Limits { size_bytes: 1 << 24, depth: 1 << 20, nodes: 1 << 20 };
    let document = Document::parse(body, limits).unwrap();
    let mut leaves = 0;
    document.walk(|leaf| leaves += usize::from(leaf.node().kind() == Kind::String && leaf.path().count() == 2 * depth));
    assert_eq!(leaves, 1);
}

#[test]
fn values_and_names_are_counted() {
    let body = r#"{"a":[1,2]}"#;
    for (nodes, taken) in [(4, Err(Fault::Nodes { at: 8 })), (5, Ok(())), (6, Ok(()))] {
        assert_eq!(takes(body, Limits { nodes, ..LIMITS }), taken);
    }
    assert_eq!(Fault::Nodes { at: 8 }.code(), "too_large");
}

#[test]
fn bytes_are_counted_before_anything_is_read() {
    for (size_bytes, taken) in [(3, Err(Fault::Size { at: 3 })), (4, Ok(())), (5, Ok(()))] {
        assert_eq!(takes("[1] ", Limits { size_bytes, ..LIMITS }), taken);
    }
    let limits = Limits { size_bytes: 3, ..LIMITS };
    let refused = Document::parse(vec![0xff; 4], limits).unwrap_err();
    assert_eq!((refused, refused.code(), refused.at()), (Fault::Size { at: 3 }, "too_large", 3));
}

#[test]
fn a_fault_prints_no_content() {
    let shown = fault(r#"{"secret":1,"secret":2}"#).to_string();
    assert_eq!(shown, "the member at byte 12 repeats a name of its object");
    assert_eq!(fault("[\"secret\" x]").to_string(), "byte 10 is not a comma or `]`");
    assert_eq!(format!("{:?}", parse("[\"secret\"]")), "Document(10 bytes, 2 nodes)");
    assert_eq!(format!("{:?}", parse("[\"secret\"]").root()), "Node(Array, 0..10)");
}

#[test]
fn a_document_is_filled_again_in_place() {
    let mut document = Document::null(LIMITS);
    assert!(document.root().is_null());
    document.reparse(&b"{\"a\":[1,2,3]}"[..]).unwrap();
    let table = document.entries().as_ptr();
    document.reparse(&b"[true, {\"b\": \"c\"}]"[..]).unwrap();
    assert_eq!(document.root().at(&["1", "b"]).unwrap().text().unwrap(), "c");
    assert_eq!(document.entries().as_ptr(), table);
    assert_eq!(document.reparse(&b"[1,"[..]).unwrap_err().at(), 3);
    assert!(document.root().is_null());
    assert_eq!(document.bytes(), "null");
    document.reparse(&b"7"[..]).unwrap();
    assert_eq!(document.root().as_i64(), Some(7));
}

#[test]
fn bytes_are_shared_and_not_copied() {
    let body = Bytes::from_static(b" [1] ");
    let document = Document::parse(body.clone(), LIMITS).unwrap();
    assert_eq!(document.bytes().as_ptr(), body.as_ptr());
    assert_eq!(document.root().raw().as_ptr(), body.slice(1..).as_ptr());
}

/// Pieces that make texts which are nearly JSON.
fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "0",
        "1",
        "-",
        ".",
        "e",
        "+",
        "true",
        "false",
        "null",
        "\"a\":",
        "[1,2]",
        "{\"a\":",
        "\t",
        "\u{1}",
        "é",
        "nul",
    ]);
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in values(), seed: u64) {
        let text = spell(&value, seed);
        prop_assert_eq!(read(parse(&text).root()), value);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
        let _parsed = Document::parse(bytes, LIMITS);
    }

    #[test]
    fn a_damaged_document_panics_nowhere(value in values(), seed: u64, at: usize, byte: u8) {
        let mut bytes = spell(&value, seed).into_bytes();
        let at = at % bytes.len();
        *bytes.get_mut(at).unwrap() = byte;
        if let Ok(document) = Document::parse(bytes, LIMITS) {
            document.walk(|leaf| {
                let node = leaf.node();
                let _read = (leaf.key(), leaf.path().count(), node.text(), node.as_i64(), node.as_f64());
            });
        }
    }

    #[test]
    fn a_prefix_of_a_container_is_no_document(value in values(), at: usize) {
        let text = Value::Array(vec![value]).to_string();
        let at = at % text.len();
        prop_assert!(Document::parse(text.as_bytes().get(..at).unwrap().to_vec(), LIMITS).is_err());
    }

    #[test]
    fn another_parser_takes_the_same_texts(text in pieces()) {
        let ours = Document::parse(text.clone(), LIMITS);
        let theirs: Result<Value, _> = serde_json::from_str(&text);
        match ours {
            Ok(document) => prop_assert_eq!(Some(read(document.root())), theirs.ok(), "{}", text),
            Err(Fault::DuplicateKey { .. }) => {}
            Err(fault) => prop_assert!(theirs.is_err(), "{}: {}", text, fault),
        }
    }
}
