//! Key rules against a matcher that tries everything.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::Value;
use sluice_model::Tag;

use super::entry::Kind;
use super::pattern::{self, Part, folded};
use super::rules::{BadRule, KeyRules};
use super::testing::parse;
use super::walk::{Leaf, Step};

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

fn rules(patterns: &[&str]) -> KeyRules {
    let rules: Vec<(&str, Tag)> =
        patterns.iter().enumerate().map(|(index, pattern)| (*pattern, tag(&format!("t{index}")))).collect();
    KeyRules::compile(&rules).unwrap()
}

/// The sources of the leaves that rules cover, with the number of the rule.
fn covered(patterns: &[&str], text: &str) -> String {
    let (rules, document) = (rules(patterns), parse(text));
    let mut found = Vec::new();
    rules.walk(&document, |leaf| {
        assert_eq!(rules.matches(leaf), leaf.tag());
        if let Some(tag) = leaf.tag() {
            found.push(format!("{tag}={}", str::from_utf8(leaf.node().raw()).unwrap()));
        }
    });
    found.join(" ")
}

#[test]
fn a_rule_covers_what_its_pattern_says() {
    let text = r#"{"user":{"email":"e","name":["n",1,true,null]},"rows":[{"ssn":"s0","x":0},{"ssn":"s1"}],"deep":[[{"apiKey":"k"}]]}"#;
    for (pattern, expected) in [
        ("$.user.email", r#"t0="e""#),
        ("$.user", r#"t0="email" t0="e" t0="name" t0="n" t0=1 t0=true"#),
        ("$.user.name[1]", "t0=1"),
        ("$.user.name[*]", r#"t0="n" t0=1 t0=true"#),
        ("$.user.*", r#"t0="e" t0="n" t0=1 t0=true"#),
        ("$.rows[*].ssn", r#"t0="s0" t0="s1""#),
        ("$.rows[1]", r#"t0="ssn" t0="s1""#),
        ("$.rows.*", ""),
        ("$.rows[*]", r#"t0="ssn" t0="s0" t0="x" t0=0 t0="ssn" t0="s1""#),
        ("$[0]", ""),
        ("$.email", ""),
        ("**.email", r#"t0="e""#),
        ("**.api_key", r#"t0="k""#),
        ("**.API-KEY", r#"t0="k""#),
        ("**[0]", r#"t0="n" t0="ssn" t0="s0" t0="x" t0=0 t0="apiKey" t0="k""#),
        ("$.deep.**.apikey", r#"t0="k""#),
        ("$.user.**.apikey", ""),
        ("$.**.**.ssn", r#"t0="s0" t0="s1""#),
        ("**.user.**[2]", "t0=true"),
        ("$.*[*].ssn", r#"t0="s0" t0="s1""#),
        ("$.*.*", r#"t0="e" t0="n" t0=1 t0=true"#),
    ] {
        assert_eq!(covered(&[pattern], text), expected, "{pattern}");
    }
    assert_eq!(covered(&["$"], "\"lone\""), "t0=\"lone\"");
    assert_eq!(covered(&["$"], "[1,null,{\"a\":2}]"), "t0=1 t0=\"a\" t0=2");
}

#[test]
fn names_are_compared_without_case_and_joints() {
    let text = r#"{"api_key":1,"apiKey":2,"API-KEY":3,"a_p-i__KEY_":4,"\u0061PI\u004bey":5,"api key":6,"apikeys":7,"pi_key":8}"#;
    assert_eq!(covered(&["**.api_key"], text), "t0=1 t0=2 t0=3 t0=4 t0=5");
    assert_eq!(covered(&["**.größe"], r#"{"GRößE":1,"GRÖSSE":2,"GRÖßE":3}"#), "t0=1");
    assert_eq!(covered(&["$.a"], r#"{"_":{"a":1},"":{"a":2},"-a":3}"#), "t0=3");
}

#[test]
fn the_nearest_rule_counts_and_then_the_first() {
    let text = r#"{"user":{"password":"p","name":"n"}}"#;
    assert_eq!(covered(&["**.user", "**.password"], text), r#"t0="password" t1="p" t0="name" t0="n""#);
    assert_eq!(covered(&["**.password", "**.user"], text), r#"t1="password" t0="p" t1="name" t1="n""#);
    assert_eq!(covered(&["$.user.password", "**.password"], text), r#"t0="p""#);
    assert_eq!(covered(&["**.password", "$.user.password"], text), r#"t0="p""#);
}

#[test]
fn rules_may_need_more_than_one_word_of_bits() {
    let names: Vec<String> = (0..200).map(|index| format!("**.a{index}.b[*].c{index}")).collect();
    let patterns: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(covered(&patterns, r#"{"x":[{"A-199":{"b":[1,{"C_199":"hit","c198":"miss"}]}}]}"#), "t199=\"hit\"");
    assert_eq!(covered(&patterns, r#"{"a15":{"b":[{"c15":[1,2]}]},"a16":{"b":[{"c15":3}]}}"#), "t15=1 t15=2");
}

#[test]
fn rules_are_bounded_and_say_what_is_wrong() {
    let long = format!("$.{}", vec!["a"; 4095].join("."));
    assert!(KeyRules::compile(&[(&long, tag("t"))]).is_ok());
    assert_eq!(KeyRules::compile(&[(&long, tag("t")), (&"$".to_owned(), tag("t"))]).unwrap_err(), BadRule::TooMany);
    let refused = KeyRules::compile(&[("**.ok", tag("t")), ("api_key", tag("t"))]).unwrap_err();
    assert_eq!(refused.to_string(), "`api_key` is no key rule: it starts with neither `$` nor `**`");
    assert_eq!(BadRule::TooMany.to_string(), "the key rules have more than 4096 steps in all");
}

#[test]
fn tags_are_those_of_the_rules() {
    assert_eq!(rules(&["$.a", "**.b"]).tags(), [tag("t0"), tag("t1")]);
    assert!(KeyRules::none().tags().is_empty());
    let (none, mut leaves) = (KeyRules::none(), 0);
    none.walk(&parse("{\"a\":[1,\"x\"]}"), |leaf| {
        leaves += 1;
        assert_eq!((leaf.tag(), none.matches(leaf)), (None, None));
    });
    assert_eq!(leaves, 3);
}

/// Whether parts lead along exactly these steps.
fn leads(parts: &[Part], path: &[Step<'_>]) -> bool {
    match (parts, path) {
        ([], []) => true,
        ([Part::Deep, rest @ ..], _) => (0..=path.len()).any(|skipped| leads(rest, path.get(skipped..).unwrap())),
        ([part, parts @ ..], [step, path @ ..]) => {
            let one = match (part, step) {
                (Part::AnyMember, Step::Member(_)) | (Part::AnyItem, Step::Item(_)) => true,
                (Part::Member(name), Step::Member(step)) => folded(step).eq(name.iter().copied()),
                (Part::Item(index), Step::Item(step)) => usize::try_from(*index).unwrap() == *step,
                (Part::Deep | Part::AnyMember | Part::AnyItem | Part::Member(_) | Part::Item(_), _) => false,
            };
            one && leads(parts, path)
        }
        ([], _) | (_, []) => false,
    }
}

/// The rule that covers a leaf, found by trying all of them on every part of the path.
fn expected(patterns: &[String], leaf: &Leaf<'_>) -> Option<usize> {
    if leaf.node().kind() == Kind::Null {
        return None;
    }
    let mut path: Vec<Step<'_>> = leaf.path().collect();
    // A name is covered by what covers its object.
    if leaf.node().kind() == Kind::Name {
        path.pop();
    }
    let covers = |length: usize| {
        let leads = |pattern: &String| leads(&pattern::parse(pattern).unwrap(), path.get(..length).unwrap());
        patterns.iter().position(leads)
    };
    (0..=path.len()).rev().find_map(covers)
}

/// Values with few names, so that patterns meet them.
fn bodies() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::from(7)),
        Just(Value::from("s"))
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let name = prop::sample::select(vec!["a", "A_", "b", "-B", "c", "_"]).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(name, inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let step = prop::sample::select(vec![".a", ".b", ".c", ".*", "[*]", "[0]", "[1]", ".**.a", ".**[0]", ".**.*"]);
    let start = prop::sample::select(vec!["$", "$", "**.b", "**[*]"]);
    let pattern =
        (start, proptest::collection::vec(step, 0..5)).prop_map(|(start, steps)| format!("{start}{}", steps.concat()));
    proptest::collection::vec(pattern, 0..24)
}

proptest! {
    #[test]
    fn rules_find_what_trying_everything_finds(patterns in patterns(), body in bodies()) {
        let patterns: Vec<String> = patterns.into_iter().filter(|pattern| pattern != "$").collect();
        let rules = rules(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        rules.walk(&parse(&body.to_string()), |leaf| {
            let expected = expected(&patterns, leaf).map(|index| tag(&format!("t{index}")));
            assert_eq!(leaf.tag(), expected.as_ref(), "{patterns:?} {body}");
            assert_eq!(rules.matches(leaf), expected.as_ref());
        });
    }
}
