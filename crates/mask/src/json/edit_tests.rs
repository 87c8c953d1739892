//! Edits against the same edits of a value tree.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::document::{Document, Limits};
use super::edit::{Edits, Unedited};
use super::entry::Kind;
use super::node::Node;
use super::testing::{parse, read, spell, values};

/// Removes what paths lead to.
fn without(text: &str, paths: &[&[&str]]) -> String {
    let document = parse(text);
    let mut edits = Edits::new(&document);
    for path in paths {
        edits.remove(document.root().at(path).unwrap()).unwrap();
    }
    String::from_utf8(edits.apply().to_vec()).unwrap()
}

#[test]
fn without_edits_the_bytes_are_the_same_ones() {
    let document = parse(" {\"a\" : 1} ");
    let edits = Edits::new(&document);
    assert!(edits.is_empty());
    assert_eq!(edits.apply().as_ptr(), document.bytes().as_ptr());
}

#[test]
fn a_replacement_leaves_all_other_bytes() {
    let document = parse(" { \"a\" : \"x\\u0040y\", \"b\":[ 1.50e0 ,\ttrue ] }\n");
    let mut edits = Edits::new(&document);
    edits.replace_text(document.root().get("a").unwrap(), "\"new\"\n").unwrap();
    edits.replace_raw(document.root().at(&["b", "1"]).unwrap(), "{\"c\": []}").unwrap();
    assert_eq!(edits.apply(), " { \"a\" : \"\\\"new\\\"\\n\", \"b\":[ 1.50e0 ,\t{\"c\": []} ] }\n");
}

#[test]
fn what_is_removed_takes_one_comma_with_it() {
    let object = r#"{ "a":1 , "b":{"x":1} , "c":3 }"#;
    for (paths, expected) in [
        (&[&["a"][..]][..], r#"{ "b":{"x":1} , "c":3 }"#),
        (&[&["b"]], r#"{ "a":1 , "c":3 }"#),
        (&[&["c"]], r#"{ "a":1 , "b":{"x":1} }"#),
        (&[&["b"], &["a"]], r#"{ "c":3 }"#),
        (&[&["a"], &["c"]], r#"{ "b":{"x":1} }"#),
        (&[&["b"], &["c"]], r#"{ "a":1 }"#),
        (&[&["a"], &["b"], &["c"]], "{  }"),
        (&[&["b", "x"]], r#"{ "a":1 , "b":{} , "c":3 }"#),
        (&[&["b", "x"], &["c"]], r#"{ "a":1 , "b":{} }"#),
        (&[&["b", "x"], &["b"], &["b"]], r#"{ "a":1 , "c":3 }"#),
    ] {
        assert_eq!(without(object, paths), expected, "{paths:?}");
    }
    for (paths, expected) in [
        (&[&["0"][..]][..], "[[2],3]"),
        (&[&["1"]], "[1,3]"),
        (&[&["2"]], "[1,[2]]"),
        (&[&["1", "0"], &["2"]], "[1,[]]"),
        (&[&["0"], &["1", "0"], &["2"]], "[[]]"),
    ] {
        assert_eq!(without("[1,[2],3]", paths), expected, "{paths:?}");
    }
}

#[test]
fn a_member_is_inserted_at_the_end() {
    for (text, removed, expected) in [
        ("{}", None, r#"{"n":1,"m":[]}"#),
        ("{ }", None, r#"{"n":1,"m":[] }"#),
        (r#"{ "a":{} }"#, None, r#"{ "a":{},"n":1,"m":[] }"#),
        (r#"{ "a":{} }"#, Some("a"), r#"{ "n":1,"m":[] }"#),
        (r#"{"a":1, "n":2}"#, Some("n"), r#"{"a":1,"n":1,"m":[]}"#),
        (r#"{"n":1, "a":2}"#, Some("n"), r#"{"a":2,"n":1,"m":[]}"#),
    ] {
        let document = parse(text);
        let root = document.root();
        let mut edits = Edits::new(&document);
        if let Some(name) = removed {
            edits.remove(root.get(name).unwrap()).unwrap();
        }
        edits.insert_member(root, "n", "1").unwrap();
        edits.insert_member(root, "m", "[]").unwrap();
        assert_eq!(edits.apply(), expected, "{text}");
    }
}

#[test]
fn an_inserted_name_is_escaped_and_new() {
    let document = parse(r#"{"a\u0062":{"x":1}}"#);
    let root = document.root();
    let mut edits = Edits::new(&document);
    assert_eq!(edits.insert_member(root, "ab", "1"), Err(Unedited::Repeated));
    edits.insert_member(root, "\"\n", "1").unwrap();
    assert_eq!(edits.insert_member(root, "\"\n", "2"), Err(Unedited::Repeated));
    edits.insert_member(root.get("ab").unwrap(), "ab", "2").unwrap();
    assert_eq!(edits.apply(), r#"{"a\u0062":{"x":1,"ab":2},"\"\n":1}"#);
}

#[test]
fn the_outermost_edit_counts_and_then_the_last() {
    let document = parse(r#"{"a":{"b":[1,2]},"c":3}"#);
    let (root, inner) = (document.root(), document.root().at(&["a", "b", "0"]).unwrap());
    let a = root.get("a").unwrap();
    let mut edits = Edits::new(&document);
    edits.replace_text(inner, "inside").unwrap();
    edits.insert_member(a, "new", "1").unwrap();
    edits.replace_raw(a, "1").unwrap();
    edits.replace_raw(a, "2").unwrap();
    edits.remove(inner).unwrap();
    assert_eq!(edits.apply(), r#"{"a":2,"c":3}"#);
    edits.remove(a).unwrap();
    edits.replace_raw(a, "3").unwrap();
    assert_eq!(edits.apply(), r#"{"c":3}"#);
    edits.replace_text(root, "all").unwrap();
    assert_eq!(edits.apply(), "\"all\"");
}

#[test]
fn what_cannot_be_edited_says_so() {
    let (document, other) = (parse(r#"{"a":[1]}"#), parse(r#"{"a":[1]}"#));
    let (root, foreign) = (document.root(), other.root());
    let mut edits = Edits::new(&document);
    assert_eq!(edits.replace_text(foreign, "x"), Err(Unedited::Foreign));
    assert_eq!(edits.replace_raw(foreign, "1"), Err(Unedited::Foreign));
    assert_eq!(edits.remove(foreign.get("a").unwrap()), Err(Unedited::Foreign));
    assert_eq!(edits.insert_member(foreign, "b", "1"), Err(Unedited::Foreign));
    assert_eq!(edits.remove(root), Err(Unedited::Root));
    assert_eq!(edits.insert_member(root.get("a").unwrap(), "b", "1"), Err(Unedited::Objectless));
    for raw in ["", "1,2", "{\"a\":1,\"a\":2}", "1}", "\"\\ud800\"", "nul"] {
        assert!(matches!(edits.replace_raw(root, raw), Err(Unedited::Raw(_))), "{raw}");
        assert!(matches!(edits.insert_member(root, "b", raw), Err(Unedited::Raw(_))), "{raw}");
    }
    assert!(edits.is_empty());
    assert_eq!(format!("{edits:?}"), "Edits(0 of Document(9 bytes, 4 nodes))");
}

#[test]
fn a_renamed_member_keeps_its_value_and_a_name_of_its_own() {
    let document = parse(r#"{"a":1,"b":{"a":2},"c":3,"x~2":4,"d":5}"#);
    let mut edits = Edits::new(&document);
    let names: Vec<Node<'_>> = document.root().pairs().map(|(name, _)| name).collect();
    for index in [4, 0, 2] {
        edits.replace_text(*names.get(index).unwrap(), "x").unwrap();
    }
    let inner = document.root().get("b").unwrap().pairs().next().unwrap().0;
    assert_eq!(edits.replace_raw(inner, "\"x\""), Err(Unedited::Name));
    edits.replace_text(inner, "y").unwrap();
    edits.replace_text(inner, "x\"").unwrap();
    edits.replace_raw(document.root().get("c").unwrap(), "0").unwrap();
    assert_eq!(edits.apply(), r#"{"x":1,"b":{"x\"":2},"x~3":0,"x~2":4,"x~4":5}"#);
    edits.remove(*names.first().unwrap()).unwrap();
    assert_eq!(edits.apply(), r#"{"b":{"x\"":2},"x":0,"x~2":4,"x~3":5}"#);
}

#[test]
fn many_edits_of_one_container_are_made() {
    let count = 20_000;
    let list: Vec<String> = (0..count).map(|index| index.to_string()).collect();
    let document = parse(&format!("[{}]", list.join(",")));
    let mut edits = Edits::new(&document);
    for item in document.root().items().filter(|item| item.as_i64().unwrap() % 2 == 1) {
        edits.remove(item).unwrap();
    }
    let even: Vec<Value> = (0..count).filter(|index| index % 2 == 0).map(Value::from).collect();
    assert_eq!(serde_json::from_slice::<Value>(&edits.apply()).unwrap(), Value::Array(even));
    let members: Map<String, Value> = (0..count).map(|index| (index.to_string(), Value::Null)).collect();
    let document = parse(&Value::Object(members).to_string());
    let mut edits = Edits::new(&document);
    for (name, _) in document.root().pairs() {
        edits.replace_text(name, "same").unwrap();
    }
    assert_eq!(parse(str::from_utf8(&edits.apply()).unwrap()).root().members().count(), count);
}

/// Edits as a tree editor would make them.
#[derive(Default)]
struct Model {
    removed: BTreeSet<u32>,
    replaced: BTreeMap<u32, Value>,
    renamed: BTreeMap<u32, String>,
    inserted: BTreeMap<u32, Vec<(String, Value)>>,
}

impl Model {
    /// The value after the edits, or `None` if it is removed.
    fn value(&self, node: Node<'_>) -> Option<Value> {
        if self.removed.contains(&node.index()) {
            return None;
        }
        if let Some(value) = self.replaced.get(&node.index()) {
            return Some(value.clone());
        }
        Some(match node.kind() {
            Kind::Array => node.items().filter_map(|item| self.value(item)).collect(),
            Kind::Object => self.object(node),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Name => read(node),
        })
    }

    fn object(&self, node: Node<'_>) -> Value {
        let new = self.inserted.get(&node.index()).cloned().unwrap_or_default();
        let renamed = |name: &Node<'_>, value: &Node<'_>| {
            self.renamed.get(&name.index()).filter(|_| !self.removed.contains(&value.index()))
        };
        let kept = node.pairs().filter(|(name, value)| renamed(name, value).is_none());
        let mut taken: BTreeSet<String> = kept.map(|(name, _)| name.text().unwrap().into_owned()).collect();
        taken.extend(new.iter().map(|(name, _)| name.clone()));
        let mut members = Map::from_iter(new);
        let mut number = 1;
        for (name, value) in node.pairs() {
            let name = match renamed(&name, &value) {
                None => name.text().unwrap().into_owned(),
                Some(to) => {
                    let mut unique = to.clone();
                    while !taken.insert(unique.clone()) {
                        number += 1;
                        unique = format!("{to}~{number}");
                    }
                    unique
                }
            };
            if let Some(value) = self.value(value) {
                members.insert(name, value);
            }
        }
        Value::Object(members)
    }
}

/// Makes one edit both ways.
fn edit(edits: &mut Edits<'_>, model: &mut Model, node: Node<'_>, what: u8, text: &str) {
    let name = node.kind() == Kind::Name;
    match what {
        0 | 1 => {
            edits.replace_text(node, text).unwrap();
            if name {
                model.renamed.insert(node.index(), text.to_owned());
            } else {
                model.replaced.insert(node.index(), json!(text));
            }
        }
        2 if !name => {
            let value = json!({ text: [text, 1] });
            edits.replace_raw(node, &value.to_string()).unwrap();
            model.replaced.insert(node.index(), value);
        }
        3 if node.kind() == Kind::Object => {
            if edits.insert_member(node, text, "[ 0 ]").is_ok() {
                model.inserted.entry(node.index()).or_default().push((text.to_owned(), json!([0])));
            }
        }
        _ => {
            if edits.remove(node).is_ok() {
                model.removed.insert(node.index() + u32::from(name));
            }
        }
    }
}

proptest! {
    #[test]
    fn edits_are_those_of_a_tree(
        value in values(),
        seed: u64,
        list in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..6, "[a-c\"]{0,2}"), 0..12),
    ) {
        let document = parse(&spell(&value, seed));
        let (mut edits, mut model) = (Edits::new(&document), Model::default());
        for (index, what, text) in list {
            let index = u32::try_from(index.index(document.entries().len())).unwrap();
            edit(&mut edits, &mut model, Node::new(&document, index), what, &text);
        }
        let edited = Document::parse(edits.apply(), Limits::STANDARD).unwrap();
        prop_assert_eq!(Some(read(edited.root())), model.value(document.root()));
    }

    #[test]
    fn untouched_bytes_survive(value in values(), seed: u64, picks in proptest::collection::vec(any::<bool>(), 0..40)) {
        let document = parse(&spell(&value, seed));
        let mut edits = Edits::new(&document);
        let (mut expected, mut at, mut picks) = (Vec::new(), 0, picks.into_iter());
        let source = document.bytes();
        document.walk(|leaf| {
            if leaf.node().kind() != Kind::Name && picks.next() == Some(true) {
                edits.replace_text(leaf.node(), "masked").unwrap();
                expected.extend_from_slice(source.get(at..leaf.node().span().start).unwrap());
                expected.extend_from_slice(b"\"masked\"");
                at = leaf.node().span().end;
            }
        });
        expected.extend_from_slice(source.get(at..).unwrap());
        prop_assert_eq!(edits.apply(), expected);
    }

    #[test]
    fn what_stays_keeps_its_bytes_when_neighbours_go(value in values(), seed: u64, gone in proptest::collection::vec(any::<bool>(), 0..20)) {
        let document = parse(&spell(&value, seed));
        let root = document.root();
        let mut edits = Edits::new(&document);
        let mut kept: Vec<&[u8]> = Vec::new();
        let children = root.items().chain(root.pairs().map(|(_, value)| value));
        for (child, gone) in children.zip(gone.into_iter().chain(std::iter::repeat(false))) {
            if gone {
                edits.remove(child).unwrap();
            } else {
                kept.push(child.raw());
            }
        }
        let edited = Document::parse(edits.apply(), Limits::STANDARD).unwrap();
        let left: Vec<&[u8]> = edited.root().items().chain(edited.root().pairs().map(|(_, value)| value)).map(|child| child.raw()).collect();
        prop_assert_eq!(left, kept);
    }
}

/// Every object of a long list is changed: what an edit costs depends on its own object only, or this never ends.
#[test]
fn each_of_many_objects_can_be_changed() {
    const MANY: usize = 150_000;
    let document = parse(&format!("[{}]", vec![r#"{"a":1,"b":2}"#; MANY].join(",")));
    let mut edits = Edits::new(&document);
    for item in document.root().items() {
        edits.remove(item.get("a").unwrap()).unwrap();
        edits.replace_text(document_name(item), "c").unwrap();
        edits.insert_member(item, "a", "3").unwrap();
        assert_eq!(edits.insert_member(item, "a", "4").unwrap_err(), Unedited::Repeated);
    }
    assert_eq!(edits.apply(), format!("[{}]", vec![r#"{"c":2,"a":3}"#; MANY].join(",")));
}

/// The name of the last member.
fn document_name(object: Node<'_>) -> Node<'_> {
    object.pairs().last().unwrap().0
}
