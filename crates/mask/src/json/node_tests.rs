//! Reading values, and walking over them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use proptest::prelude::*;

use super::entry::Kind;
use super::testing::{parse, read, spell, values};
use super::walk::Step;

#[test]
fn text_is_borrowed_unless_something_is_escaped() {
    let document = parse(r#"["plain", "a\u0040b", "\u0000", {"\u006bey": 1}]"#);
    let texts: Vec<_> = document.root().items().map(|item| item.text()).collect();
    assert!(matches!(texts.first().unwrap(), Some(Cow::Borrowed("plain"))));
    assert_eq!(texts.get(1).unwrap().as_deref(), Some("a@b"));
    assert_eq!(texts.get(2).unwrap().as_deref(), Some("\0"));
    assert_eq!(texts.get(3).unwrap(), &None);
    assert_eq!(document.root().at(&["3", "key"]).unwrap().as_i64(), Some(1));
}

#[test]
fn a_value_is_read_as_its_own_kind_only() {
    let document = parse(r#"{"n":null,"t":true,"f":false,"i":-7,"x":1.5,"s":"1","a":[],"o":{}}"#);
    let root = document.root();
    let kinds: Vec<Kind> = root.members().map(|(_, value)| value.kind()).collect();
    assert_eq!(
        kinds,
        [Kind::Null, Kind::Bool, Kind::Bool, Kind::Number, Kind::Number, Kind::String, Kind::Array, Kind::Object,]
    );
    assert_eq!(root.get("t").unwrap().as_bool(), Some(true));
    assert_eq!(root.get("f").unwrap().as_bool(), Some(false));
    for (name, value) in root.members() {
        assert_eq!(value.is_null(), name == "n");
        assert_eq!(value.as_bool().is_some(), ["t", "f"].contains(&&*name));
        assert_eq!(value.as_i64(), (name == "i").then_some(-7));
        assert_eq!(value.as_f64().is_some(), ["i", "x"].contains(&&*name));
        assert_eq!(value.text().is_some(), name == "s");
        assert_eq!(value.get("a").map(|_| ()), None);
        assert_eq!(value.items().count() + value.members().count(), 0);
    }
}

#[test]
fn numbers_are_read_where_they_fit() {
    for (text, integer, float) in [
        ("-0", Some(0), Some(-0.0)),
        ("9223372036854775807", Some(i64::MAX), Some(9_223_372_036_854_775_807.0)),
        ("9223372036854775808", None, Some(9_223_372_036_854_775_808.0)),
        ("1e3", None, Some(1000.0)),
        ("1.0", None, Some(1.0)),
        ("1e999", None, None),
        ("1e-999", None, Some(0.0)),
    ] {
        let document = parse(text);
        assert_eq!((document.root().as_i64(), document.root().as_f64()), (integer, float), "{text}");
        assert_eq!(document.root().raw(), text.as_bytes());
    }
}

#[test]
fn a_path_leads_to_a_value() {
    let document = parse(r#" {"choices":[{"delta":{"content":"hi"}},{"0":1}],"a/b":2,"":3} "#);
    let root = document.root();
    for (path, raw) in [
        (&["choices", "0", "delta", "content"][..], Some("\"hi\"")),
        (&["choices", "1", "0"], Some("1")),
        (&["a/b"], Some("2")),
        (&[""], Some("3")),
        (&["choices", "2"], None),
        (&["choices", "00"], None),
        (&["choices", "01"], None),
        (&["choices", "+1"], None),
        (&["choices", "-"], None),
        (&["choices", ""], None),
        (&["choices", "99999999999999999999999"], None),
        (&["a/b", "0"], None),
        (&["Choices"], None),
    ] {
        assert_eq!(root.at(path).map(|node| node.raw()), raw.map(str::as_bytes), "{path:?}");
    }
    assert_eq!(root.at(&[]).unwrap().span(), 1..document.bytes().len() - 1);
}

#[test]
fn a_walk_comes_to_every_leaf_and_name_with_its_path() {
    let document = parse(r#"{"a":[1,["x",{}],{"b\u0063":null}],"d":[],"e":{"f":true}}"#);
    let mut seen = Vec::new();
    document.walk(|leaf| {
        let path: String = leaf
            .path()
            .map(|step| match step {
                Step::Member(name) => format!(".{name}"),
                Step::Item(index) => format!("[{index}]"),
            })
            .collect();
        let raw = str::from_utf8(leaf.node().raw()).unwrap().to_owned();
        seen.push(format!("{path} {} {raw}", leaf.key().unwrap()));
        assert!(leaf.tag().is_none() && leaf.outer().is_none());
    });
    assert_eq!(
        seen,
        [
            r#".a a "a""#,
            ".a[0] a 1",
            r#".a[1][0] a "x""#,
            r#".a[2].bc bc "b\u0063""#,
            ".a[2].bc bc null",
            r#".d d "d""#,
            r#".e e "e""#,
            r#".e.f f "f""#,
            ".e.f f true",
        ]
    );
}

#[test]
fn a_lone_value_has_no_path_and_no_key() {
    let mut seen = 0;
    parse("\"x\"").walk(|leaf| {
        seen += 1;
        assert_eq!((leaf.key(), leaf.path().count()), (None, 0));
    });
    assert_eq!(seen, 1);
}

proptest! {
    #[test]
    fn the_path_of_a_leaf_leads_back_to_it(value in values(), seed: u64) {
        let document = parse(&spell(&value, seed));
        let mut leaves = 0;
        document.walk(|leaf| {
            let path: Vec<String> = leaf.path().map(|step| match step {
                Step::Member(name) => name.into_owned(),
                Step::Item(index) => index.to_string(),
            }).collect();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let found = document.root().at(&path).unwrap();
            if leaf.node().kind() == Kind::Name {
                assert_eq!(leaf.node().text().as_deref(), path.last().copied());
            } else {
                leaves += 1;
                assert_eq!(found.span(), leaf.node().span());
            }
        });
        let containers = |text: &str| text.matches("[]").count() + text.matches("{}").count();
        prop_assert!(leaves > 0 || containers(&value.to_string()) > 0);
        prop_assert_eq!(read(document.root()), value);
    }
}
