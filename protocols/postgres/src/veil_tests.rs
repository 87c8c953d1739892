#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const KEY: MaskKey = MaskKey([7; 32]);

fn column(type_oid: u32, type_name: &str) -> Column {
    Column { attnum: 1, name: "c".into(), type_oid, type_name: type_name.into(), generated: false }
}

fn veiled(type_oid: u32, type_name: &str, transform: Transform) -> Veiled {
    Veiled::new(&column(type_oid, type_name), transform, Tag::new("pii.ssn").unwrap())
}

fn text(type_oid: u32, type_name: &str, transform: Transform, value: &str) -> Option<String> {
    let shown = veiled(type_oid, type_name, transform).cover(value.as_bytes(), false, &KEY);
    shown.map(|shown| String::from_utf8(shown).unwrap())
}

#[test]
fn values_keep_their_types_in_text() {
    assert_eq!(text(25, "text", Transform::Redact, "secret").unwrap(), "***");
    assert_eq!(text(1043, "character varying(4)", Transform::Hash, "secret").unwrap().len(), 4);
    assert_eq!(text(25, "text", Transform::Partial { keep_last: 2 }, "secret").unwrap(), "***et");
    assert!(text(23, "integer", Transform::Hash, "123456").unwrap().parse::<i32>().is_ok());
    assert!(text(21, "smallint", Transform::Token, "-5").unwrap().parse::<i16>().is_ok());
    assert_eq!(text(20, "bigint", Transform::Fpe, "1234567").unwrap().len(), 7);
    assert_eq!(text(23, "integer", Transform::Redact, "5"), None);
    let id = text(2950, "uuid", Transform::Token, "00000000-0000-0000-0000-000000000001").unwrap();
    assert_eq!(id.len(), 36);
    assert!(text(17, "bytea", Transform::Hash, "\\x0102").unwrap().starts_with("\\x"));
    assert!(serde_json::from_str::<String>(&text(3802, "jsonb", Transform::Token, "{\"a\": 1}").unwrap()).is_ok());
    for (oid, name) in [(1700, "numeric"), (1082, "date"), (16, "boolean"), (20_000, "public.mood")] {
        assert_eq!(text(oid, name, Transform::Hash, "1"), None, "{name}");
    }
}

/// The mask of a value does not depend on the format that it is asked for in.
#[test]
fn binary_says_what_text_says() {
    let both = |oid, name: &str, transform: Transform, text: &[u8], binary: &[u8]| {
        let veiled = veiled(oid, name, transform);
        (veiled.cover(text, false, &KEY).unwrap(), veiled.cover(binary, true, &KEY).unwrap())
    };
    let (shown, binary) = both(23, "integer", Transform::Hash, b"-77", &(-77_i32).to_be_bytes());
    assert_eq!(String::from_utf8(shown).unwrap(), i32::from_be_bytes(binary.try_into().unwrap()).to_string());
    let (shown, binary) = both(20, "bigint", Transform::Fpe, b"1234567", &1_234_567_i64.to_be_bytes());
    assert_eq!(String::from_utf8(shown).unwrap(), i64::from_be_bytes(binary.try_into().unwrap()).to_string());
    let (shown, binary) = both(2950, "uuid", Transform::Hash, b"01010101-0101-0101-0101-010101010101", &[1; 16]);
    assert_eq!(unhex(&shown).unwrap(), binary);
    let (shown, binary) = both(17, "bytea", Transform::Hash, b"\\x0102", &[1, 2]);
    assert_eq!(unhex(shown.strip_prefix(br"\x").unwrap()).unwrap(), binary);
    let (shown, binary) = both(3802, "jsonb", Transform::Token, b"{}", b"\x01{}");
    assert_eq!([&[1], &*shown].concat(), binary);
    let (shown, binary) = both(25, "text", Transform::Hash, b"x", b"x");
    assert_eq!(shown, binary);
}

fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let frame = Frame::build(b'D', |out| {
        out.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            match value {
                Some(value) => put_value(out, value).unwrap(),
                None => out.put_i32(-1),
            }
        }
    });
    frame.wire().to_vec()
}

#[test]
fn runs_of_rows_are_masked_row_by_row() {
    let veil = Veil::new(vec![None, Some(veiled(25, "text", Transform::Redact))], &KEY);
    let rows = [row(&[Some(b"1"), Some(b"secret")]), row(&[None, None])].concat();
    let drawn = veil.draw(&Frame::framed(b'D', rows.into(), Extent::Whole)).unwrap().unwrap();
    assert_eq!(drawn.wire(), [row(&[Some(b"1"), Some(b"***")]), row(&[None, Some(b"***")])].concat());
    let narrow = Frame::framed(b'D', row(&[Some(b"secret")]).into(), Extent::Whole);
    assert!(veil.draw(&narrow).is_err());
    let torn = row(&[Some(b"1"), Some(b"secret")]);
    for end in 1..torn.len() {
        let piece = Frame::framed(b'D', torn.iter().take(end).copied().collect::<Vec<u8>>().into(), Extent::Whole);
        assert!(veil.draw(&piece).is_err(), "{end}");
    }
    let piece = Frame::framed(b'D', torn.into(), Extent::First);
    assert_eq!(veil.draw(&piece), Ok(None));
}

/// As at the source: a mask that says nothing of a value does not say that there is none.
#[test]
fn what_says_nothing_says_nothing_of_null() {
    for (transform, type_oid, shown) in [
        (Transform::Redact, 25, Some(&b"***"[..])),
        (Transform::Constant("x".into()), 25, Some(b"x")),
        (Transform::Null, 25, None),
        (Transform::Hash, 25, None),
        (Transform::Partial { keep_last: 2 }, 25, None),
        (Transform::Redact, 23, None),
        (Transform::Constant("x".into()), 3802, None),
    ] {
        let veil = Veil::new(vec![Some(veiled(type_oid, "t", transform.clone()))], &KEY);
        let drawn = veil.draw(&Frame::framed(b'D', row(&[None]).into(), Extent::Whole)).unwrap().unwrap();
        assert_eq!(drawn.wire(), row(&[shown]), "{transform:?} of {type_oid}");
    }
}

#[test]
fn a_result_must_be_the_one_that_was_read() {
    let veil = Veil::new(vec![None, Some(veiled(25, "text", Transform::Hash))], &KEY);
    assert_eq!((veil.covers(0, 23), veil.covers(1, 25)), (Ok(false), Ok(true)));
    assert_eq!((veil.covers(1, 23), veil.covers(2, 25)), (Err(Changed), Err(Changed)));
}
