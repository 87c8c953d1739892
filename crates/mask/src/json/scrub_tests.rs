//! Masks on text, and on JSON inside it.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::Value;
use sluice_model::Tag;

use super::entry::Kind;
use super::rules::KeyRules;
use super::scrub::mask_strings;
use super::testing::{parse, read, spell, values};

/// Masks with rules, and mail addresses in text.
fn masked(patterns: &[&str], text: &str) -> String {
    let tagged: Vec<(&str, Tag)> = patterns.iter().map(|pattern| (*pattern, Tag::new("secret").unwrap())).collect();
    let (rules, document) = (KeyRules::compile(&tagged).unwrap(), parse(text));
    let edits = mask_strings(&document, &rules, |leaf, text| match leaf.tag() {
        Some(tag) => Some(format!("[{tag}]")),
        None => text.contains("a@b").then(|| text.replace("a@b", "[mail]")),
    });
    let bytes = edits.apply();
    parse(str::from_utf8(&bytes).unwrap());
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn text_is_masked_as_it_reads_and_not_as_it_is_spelled() {
    for (text, expected) in [
        (r#"{"content":"mail a@b now"}"#, r#"{"content":"mail [mail] now"}"#),
        (r#"{"content":"a\u0040b"}"#, r#"{"content":"[mail]"}"#),
        (r#"{"content":"\u0061\u0040\u0062\n"}"#, r#"{"content":"[mail]\n"}"#),
        (r#" [ "a@b" , 1.0 , "\u0041" ] "#, r#" [ "[mail]" , 1.0 , "\u0041" ] "#),
        (r#"{"a@b":1}"#, r#"{"[mail]":1}"#),
        (
            r#"{"a@b":1,"\u0061@b":{"a@bc":"a@b"}}"#.replace(",\"\\u0061@b", ",\"xa@b").as_str(),
            r#"{"[mail]":1,"x[mail]":{"[mail]c":"[mail]"}}"#,
        ),
    ] {
        assert_eq!(masked(&[], text), expected);
    }
}

#[test]
fn covered_values_become_strings() {
    let text = r#"{"api_key":"k","pin":1234,"ok":true,"none":null,"n":5,"all":{"a":[1,"x",false,null]}}"#;
    assert_eq!(
        masked(&["**.api_key", "**.pin", "**.ok", "**.none", "$.all"], text),
        r#"{"api_key":"[secret]","pin":"[secret]","ok":"[secret]","none":null,"n":5,"all":{"[secret]":["[secret]","[secret]","[secret]",null]}}"#
    );
}

#[test]
fn names_below_what_is_covered_are_covered() {
    for (text, expected) in [
        (r#"{"api_key":{"K":true}}"#, r#"{"api_key":{"[secret]":"[secret]"}}"#),
        (
            r#"{"api_key":{"K":1,"L":null,"M":{"N":{}}},"K":1}"#,
            r#"{"api_key":{"[secret]":"[secret]","[secret]~2":null,"[secret]~3":{"[secret]":{}}},"K":1}"#,
        ),
        (r#"{"api_key":[{"K":1},[{"L":[]}]]}"#, r#"{"api_key":[{"[secret]":"[secret]"},[{"[secret]":[]}]]}"#),
        (r#"[{"api_key":{"\u004b":1}}]"#, r#"[{"api_key":{"[secret]":"[secret]"}}]"#),
        (
            r#"{"out":"{\"api_key\":{\"K\":1}}\n{\"api_key\":[{\"K\":null}]}"}"#,
            r#"{"out":"{\"api_key\":{\"[secret]\":\"[secret]\"}}\n{\"api_key\":[{\"[secret]\":null}]}"}"#,
        ),
        // The name that a rule knows is no secret, and neither is one beside it.
        (r#"{"api_key":1,"K":{"api_key":2}}"#, r#"{"api_key":"[secret]","K":{"api_key":"[secret]"}}"#),
        (r#"{"api_key":{"api_key":{"K":3}}}"#, r#"{"api_key":{"[secret]":{"[secret]":"[secret]"}}}"#),
        // Neither a name that stays nor one that is new stands twice.
        (
            r#"{"api_key":{"[secret]":1,"K":2,"[secret]~2":3}}"#,
            r#"{"api_key":{"[secret]":"[secret]","[secret]~2":"[secret]","[secret]~3":"[secret]"}}"#,
        ),
    ] {
        assert_eq!(masked(&["**.api_key"], text), expected, "{text}");
    }
}

#[test]
fn lines_of_json_in_strings_are_masked_inside_each() {
    for (text, expected) in [
        (r#"{"out":"{\"a\":1}\n{\"apiKey\": \"k\"}\n"}"#, r#"{"out":"{\"a\":1}\n{\"apiKey\": \"[secret]\"}\n"}"#),
        (r#"{"out":"{\"a\":1}\r\n\n [\"a@b\"] "}"#, r#"{"out":"{\"a\":1}\r\n\n [\"[mail]\"] "}"#),
        (r#"{"out":"{\"a\":1}\n{\"a\":2}"}"#, r#"{"out":"{\"a\":1}\n{\"a\":2}"}"#),
        // Prose, and JSON of several lines that breaks off.
        (r#"{"out":"{\"a\":1}\nthen a@b"}"#, r#"{"out":"{\"a\":1}\nthen [mail]"}"#),
        (r#"{"out":"{\"a\":\n\"a@b\""}"#, r#"{"out":"{\"a\":\n\"[mail]\""}"#),
        // What a rule covers is one value.
        (r#"{"apiKey":"{\"a\":1}\n{\"b\":2}"}"#, r#"{"apiKey":"[secret]"}"#),
    ] {
        assert_eq!(masked(&["**.api_key"], text), expected, "{text}");
    }
}

#[test]
fn a_leaf_knows_what_it_is_in() {
    let document = parse(r#"{"a":[{"role":"tool","b":["x"]}]}"#);
    let mut seen = Vec::new();
    document.walk(|leaf| {
        if leaf.node().text().as_deref() == Some("x") {
            seen = leaf.containers().map(|node| (node.kind(), node.raw().len())).collect();
        }
    });
    assert_eq!(seen, [(Kind::Array, 5), (Kind::Object, 25), (Kind::Array, 27), (Kind::Object, 33)]);
}

#[test]
fn json_in_strings_is_masked_inside_and_keeps_its_other_bytes() {
    for (text, expected) in [
        (
            r#"{"arguments":" {\"apiKey\" : \"k\", \"n\":1.50}\n"}"#,
            r#"{"arguments":" {\"apiKey\" : \"[secret]\", \"n\":1.50}\n"}"#,
        ),
        (r#"{"arguments":"[\"a\\u0040b\", \"\\u0041\"]"}"#, r#"{"arguments":"[\"[mail]\", \"\\u0041\"]"}"#),
        (r#"["{\"a@b\":{\"c\":null}}"]"#, r#"["{\"[mail]\":{\"c\":null}}"]"#),
        (r#"["{\"pin\":1234,\"ok\":true}"]"#, r#"["{\"pin\":\"[secret]\",\"ok\":true}"]"#),
        (
            r#"["{\"n\":1}","{}","[]","{","[x] a@b","{\"a\":1} a@b"]"#,
            r#"["{\"n\":1}","{}","[]","{","[x] [mail]","{\"a\":1} [mail]"]"#,
        ),
    ] {
        assert_eq!(masked(&["**.api_key", "**.pin"], text), expected);
    }
}

#[test]
fn a_lax_reader_of_the_inner_text_finds_nothing_more() {
    let twice = r#"["{\"pin\":1,\"pin\":2}"]"#;
    assert_eq!(masked(&["**.pin"], twice), r#"["{\"pin\":\"[secret]\",\"pin\":\"[secret]\"}"]"#);
    let half = r#"["{\"x\":\"\\ud800\",\"pin\":1}"]"#;
    assert_eq!(masked(&["**.pin"], half), r#"["{\"x\":\"\\ud800\",\"pin\":\"[secret]\"}"]"#);
}

#[test]
fn a_covered_string_is_one_value_whatever_it_holds() {
    assert_eq!(masked(&["**.env"], r#"{"env":"{\"a\":\"b\"}"}"#), r#"{"env":"[secret]"}"#);
}

#[test]
fn a_covered_string_that_is_left_is_masked_inside() {
    let rules = [("$.user", "contact"), ("**.pin", "secret")].map(|(pattern, tag)| (pattern, Tag::new(tag).unwrap()));
    let rules = KeyRules::compile(&rules).unwrap();
    let document = parse(r#"{"user":["{\"pin\":1,\"x\":\"a@b\"}","{no json"]}"#);
    let mut seen = Vec::new();
    let edits = mask_strings(&document, &rules, |leaf, text| {
        assert_eq!(rules.matches(leaf), leaf.tag());
        seen.push(format!("{} {text}", leaf.tag().map_or("-", Tag::as_str)));
        (leaf.tag()?.as_str() == "secret").then(|| "***".to_owned())
    });
    assert_eq!(edits.apply(), r#"{"user":["{\"pin\":\"***\",\"x\":\"a@b\"}","{no json"]}"#);
    assert_eq!(
        seen,
        [
            "- user",
            r#"contact {"pin":1,"x":"a@b"}"#,
            "contact pin",
            "secret 1",
            "contact x",
            "contact a@b",
            "contact {no json"
        ]
    );
}

#[test]
fn rules_go_on_into_a_string_and_start_anew_in_it() {
    let text = r#"{"call":{"arguments":"{\"rows\":[{\"ssn\":\"1\"},{\"ssn\":2}]}"}}"#;
    let expected = r#"{"call":{"arguments":"{\"rows\":[{\"ssn\":\"[secret]\"},{\"ssn\":\"[secret]\"}]}"}}"#;
    for pattern in ["$.call.arguments.rows[*].ssn", "$.rows[*].ssn", "**.ssn", "**.call.**.ssn", "$.call.**.ssn"] {
        assert_eq!(masked(&[pattern], text), expected, "{pattern}");
    }
    for pattern in ["$.arguments.rows[*].ssn", "$.ssn", "$[*].ssn"] {
        assert_eq!(masked(&[pattern], text), text, "{pattern}");
    }
}

/// `text` as a string in a list, so many times.
fn wrapped(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| Value::Array(vec![Value::String(text)]).to_string())
}

#[test]
fn strings_in_strings_are_read_three_deep() {
    for times in 0..=3 {
        assert_eq!(masked(&["**.pin"], &wrapped(r#"{"pin":1}"#, times)), wrapped(r#"{"pin":"[secret]"}"#, times));
    }
    assert_eq!(masked(&["**.pin"], &wrapped(r#"{"pin":1}"#, 4)), wrapped(r#"{"pin":1}"#, 4));
    assert_eq!(masked(&["**.pin"], &wrapped(r#"{"x":"a@b"}"#, 4)), wrapped(r#"{"x":"[mail]"}"#, 4));
}

#[test]
fn a_leaf_knows_the_string_around_its_document() {
    let document = parse(r#"{"arguments":"[[\"x\"]]"}"#);
    let rules = KeyRules::compile(&[("$.arguments[0]", Tag::new("t").unwrap())]).unwrap();
    let mut seen = Vec::new();
    let edits = mask_strings(&document, &rules, |leaf, text| {
        assert_eq!(rules.matches(leaf), leaf.tag());
        let outer = leaf.outer().map(|outer| (outer.path().count(), outer.node().kind()));
        seen.push((
            text.to_owned(),
            leaf.key().unwrap().into_owned(),
            leaf.path().count(),
            outer,
            leaf.tag().is_some(),
        ));
        None
    });
    assert!(edits.is_empty());
    assert_eq!(
        seen,
        [
            ("arguments".to_owned(), "arguments".to_owned(), 1, None, false),
            ("x".to_owned(), "arguments".to_owned(), 2, Some((1, Kind::String)), true),
        ]
    );
}

#[test]
fn the_same_text_is_no_edit() {
    let document = parse(r#"{"\u0061":"\u0062","c":"{\"d\":1}"}"#);
    let edits = mask_strings(&document, &KeyRules::none(), |leaf, text| {
        (leaf.node().kind() != Kind::Number).then(|| text.to_owned())
    });
    assert!(edits.is_empty());
    assert_eq!(edits.apply().as_ptr(), document.bytes().as_ptr());
}

/// A value in which every text that is no container is upper case.
fn shouted(value: &Value) -> Value {
    match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Array(_) | Value::Object(_))) => Value::String(shouted(&inner).to_string()),
            Ok(_) | Err(_) => Value::String(text.to_uppercase()),
        },
        Value::Array(items) => items.iter().map(shouted).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shouted(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

proptest! {
    #[test]
    fn a_mask_reaches_every_text(value in values(), seed: u64, wrap in 0_usize..3) {
        let mut value = value;
        for _ in 0..wrap {
            value = Value::Array(vec![Value::String(value.to_string()), Value::from("x")]);
        }
        let document = parse(&spell(&value, seed));
        let edits = mask_strings(&document, &KeyRules::none(), |leaf, text| {
            (leaf.node().kind() == Kind::String).then(|| text.to_uppercase())
        });
        let masked = parse(str::from_utf8(&edits.apply()).unwrap());
        prop_assert_eq!(normal(&read(masked.root())), normal(&shouted(&value)));
    }

    #[test]
    fn a_mask_panics_on_no_text(text in "[\\[\\]{}:,\"\\\\ua0-9 ]{0,40}", wrap in 0_usize..4) {
        let document = parse(&wrapped(&Value::from(text).to_string(), wrap));
        let edits = mask_strings(&document, &KeyRules::none(), |_, text| Some(format!("{text}\"\\")));
        parse(str::from_utf8(&edits.apply()).unwrap());
    }
}

/// A value whose texts that are containers are spelled in one way.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Array(_) | Value::Object(_))) => Value::String(normal(&inner).to_string()),
            Ok(_) | Err(_) => value.clone(),
        },
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), normal(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
