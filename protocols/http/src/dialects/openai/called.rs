//! A call that a model asks for, as an operation.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_mask::json::{Document, Kind, Leaf, Limits, Step};
use sluice_model::{
    Access, Exposure, Fact, Facts, Meaning, Operation, Resource, Shape, Spend, Stage, Tag, Text, Usage,
};

use super::rules::Rules;
use super::screen::{CallKind, ToolCall};
use crate::classes::Veils;
use crate::request::tag_fact;
use crate::schema::{CALL, CALL_TOOL, TOOL};
use crate::veil::{Veil, reads_as_object};

/// Arguments that are told to policies; a call with more counts as not parsed.
const MOST_ARGUMENTS: usize = 256;
/// The longest argument that is told to policies, in bytes.
const MOST_BYTES: usize = 4_096;
/// The most bytes of arguments that stand in an operation's text: no one is asked to approve longer ones.
const TEXT_BYTES: usize = 256 * 1024;
const LIMITS: Limits = Limits { size_bytes: 1 << 20, depth: 64, nodes: 65_536 };

/// What policies are told of the arguments.
#[derive(Default)]
struct Arguments {
    parsed: bool,
    values: Vec<Box<str>>,
    keys: BTreeSet<String>,
    tags: BTreeSet<Tag>,
}

/// The operation that a call is. Values that a detector finds are not in its facts and its text, but their classes are;
/// its digest covers its exact name and arguments.
pub(super) fn operation(call: &ToolCall, model: &str, rules: &Rules, classes: &Veils) -> Operation {
    let exact = full_name(call);
    let scope = call.scope.as_deref().unwrap_or_default();
    // A model can name a call after a value.
    let shown_of = |text: &str| classes.everything().scrub(text).into_owned();
    let (name, full) = (shown_of(&call.name), shown_of(&exact));
    let mut arguments = arguments(&call.arguments, classes);
    arguments.tags.extend(classes.found_in(&exact));
    let exposures = arguments.tags.iter().map(|tag| Exposure::found(tag.clone(), Usage::Reveal)).collect();
    let facts = Facts {
        group: CALL,
        values: vec![
            ("name", Fact::Text(name.as_str().into())),
            ("scope", Fact::Text(shown_of(scope).into())),
            ("kind", Fact::Text(kind(call.kind).into())),
            ("parsed", Fact::Bool(arguments.parsed)),
            ("args", Fact::Set(arguments.values)),
            ("keys", Fact::Set(arguments.keys.into_iter().map(String::into_boxed_str).collect())),
            ("destructive", Fact::Bool(rules.destroys(&exact) || rules.destroys(&call.name))),
            ("model", Fact::Text(model.into())),
            ("tags", tag_fact(&arguments.tags)),
        ],
    };
    // A rule about the tool counts wherever it is from, and so does one about that of a namespace or server.
    let names = std::iter::once(&name).chain((full != name).then_some(&full));
    let accesses = names.map(|name| Access { action: CALL_TOOL, resource: Resource::new(TOOL, [name.as_str()]) });
    let meaning = Meaning {
        action: CALL_TOOL,
        accesses: accesses.collect(),
        exposures,
        facts,
        // What is known to no rule is no call that anybody can judge.
        understood: call.kind != CallKind::Unknown && !call.name.is_empty() && is_readable(call, classes),
    };
    let parts = [kind(call.kind).as_bytes(), scope.as_bytes(), call.name.as_bytes(), &call.arguments];
    let shape = Shape::new(meaning, parts);
    let shown = shown(&call.arguments, classes.everything());
    let text = match shown.split_at(shown.floor_char_boundary(TEXT_BYTES)) {
        (shown, "") => Text::new(format!("{full}({shown})")),
        (shown, rest) => Text::beginning(format!("{full}({shown}"), rest.len()),
    };
    Operation { shape: shape.into(), text, stage: Stage::Perform, bound: None, spend: Spend::REQUEST }
}

/// The call as the client gets it, with the values that tokens stand for.
pub(super) fn restored(mut call: ToolCall, restoring: &Veil) -> ToolCall {
    if !restoring.is_open() {
        let text = String::from_utf8_lossy(&call.arguments).into_owned();
        call.arguments = Bytes::from(restoring.whole(&text).into_owned());
    }
    call
}

/// Whether its members can be told, where some are covered by their names: clients read more than strict JSON.
fn is_readable(call: &ToolCall, classes: &Veils) -> bool {
    let text = String::from_utf8_lossy(&call.arguments);
    !classes.has_keys() || !reads_as_object(&text) || Document::parse(call.arguments.clone(), LIMITS).is_ok()
}

fn full_name(call: &ToolCall) -> String {
    match &call.scope {
        Some(scope) => format!("{scope}.{}", call.name),
        None => call.name.clone(),
    }
}

const fn kind(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Function => "function",
        CallKind::Custom => "custom",
        CallKind::Shell => "shell",
        CallKind::LocalShell => "local_shell",
        CallKind::ApplyPatch => "apply_patch",
        CallKind::Computer => "computer",
        CallKind::McpApproval => "mcp_approval",
        CallKind::Approval => "approval",
        CallKind::ToolSearch => "tool_search",
        CallKind::Unknown => "unknown",
    }
}

fn arguments(bytes: &Bytes, classes: &Veils) -> Arguments {
    let Ok(document) = Document::parse(bytes.clone(), LIMITS) else {
        let tags = classes.found_in(&String::from_utf8_lossy(bytes));
        return Arguments { tags, ..Arguments::default() };
    };
    let mut told = Arguments { parsed: true, tags: classes.found_within(&document), ..Arguments::default() };
    // Nothing else of what a call holds becomes a fact.
    let Ok(covered) = Document::parse(classes.everything().edits(&document).apply(), LIMITS) else {
        return Arguments { tags: told.tags, ..Arguments::default() };
    };
    covered.walk(|leaf| {
        if leaf.node().kind() == Kind::Name || !told.parsed {
            return;
        }
        let Some(path) = path(leaf) else {
            told.parsed = false;
            return;
        };
        let value = match leaf.node().text() {
            Some(text) => text.into_owned(),
            None => String::from_utf8_lossy(leaf.node().raw()).into_owned(),
        };
        told.parsed &= told.values.len() < MOST_ARGUMENTS && value.len() <= MOST_BYTES;
        if told.parsed {
            told.values.push(format!("{path}={value}").into_boxed_str());
            told.keys.insert(path);
        }
    });
    if !told.parsed {
        told.values.clear();
        told.keys.clear();
    }
    told
}

/// `items[0].id`, so that no two arguments have one path: what separates steps stands after a backslash in a name, and a
/// name without characters is `[]`. Nothing where it is too long to be told.
fn path(leaf: &Leaf<'_>) -> Option<String> {
    let mut path = String::new();
    for (index, step) in leaf.path().enumerate() {
        match step {
            Step::Member(name) => {
                path.push_str(if index > 0 { "." } else { "" });
                path.push_str(if name.is_empty() { "[]" } else { "" });
                for letter in name.chars().take(MOST_BYTES) {
                    path.push_str(if matches!(letter, '.' | '[' | ']' | '=' | '\\') { "\\" } else { "" });
                    path.push(letter);
                }
            }
            Step::Item(item) => {
                path.push('[');
                path.push_str(&item.to_string());
                path.push(']');
            }
        }
        if path.len() > MOST_BYTES {
            return None;
        }
    }
    Some(path)
}

/// The arguments as people are shown them.
fn shown(bytes: &Bytes, everything: &Veil) -> String {
    match Document::parse(bytes.clone(), LIMITS) {
        Ok(document) => String::from_utf8_lossy(&everything.edits(&document).apply()).into_owned(),
        Err(_) => everything.whole(&String::from_utf8_lossy(bytes)).into_owned(),
    }
}

#[cfg(test)]
mod path_tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    /// The paths of all values; `None` where one is too long.
    fn paths(text: &str) -> Option<Vec<String>> {
        let mut paths = Vec::new();
        Document::parse(text.to_owned(), LIMITS).unwrap().walk(|leaf| {
            if leaf.node().kind() != Kind::Name {
                paths.push(path(leaf));
            }
        });
        paths.into_iter().collect()
    }

    #[test]
    fn a_path_says_which_argument_it_is() {
        for (text, expected) in [
            (r#"{"config":{"env":1}}"#, "config.env"),
            (r#"{"config.env":1}"#, r"config\.env"),
            (r#"{"items":[{"id":1}]}"#, "items[0].id"),
            (r#"{"items[0]":{"id":1}}"#, r"items\[0\].id"),
            (r#"{"to=bob":1}"#, r"to\=bob"),
            (r#"{"a\\":{"b":1}}"#, r"a\\.b"),
            (r#"{"a\\.b":1}"#, r"a\\\.b"),
            (r#"{"":{"a":1}}"#, "[].a"),
            (r#"{"a":{"":1}}"#, "a.[]"),
            (r#"{"":[1]}"#, "[][0]"),
            ("[1]", "[0]"),
            (r#"{"[]":1}"#, r"\[\]"),
            ("1", ""),
        ] {
            assert_eq!(paths(text).unwrap(), [expected], "{text}");
        }
        let long = "a".repeat(MOST_BYTES + 1);
        assert_eq!(paths(&format!(r#"{{"{long}":{{"a":1}}}}"#)), None);
        assert!(paths(&format!(r#"{{"{}":1}}"#, "a".repeat(MOST_BYTES))).is_some());
    }

    /// Ways to a value, of names in which everything stands that means something in a path.
    fn way() -> impl Strategy<Value = Vec<Result<String, usize>>> {
        let step = prop_oneof![r"[\.\[\]=\\a0]{0,3}".prop_map(Ok), (0..3_usize).prop_map(Err)];
        prop::collection::vec(step, 0..4)
    }

    /// One value behind a way, and nothing else but `null`s before it in a list.
    fn behind(way: &[Result<String, usize>]) -> String {
        way.iter().rev().fold("1".to_owned(), |inner, step| match step {
            Ok(name) => format!("{{{}:{inner}}}", serde_json::Value::from(name.as_str())),
            Err(index) => format!("[{}{inner}]", "null,".repeat(*index)),
        })
    }

    proptest! {
        #[test]
        fn two_ways_are_two_paths(one in way(), other in way()) {
            let path = |way: &[Result<String, usize>]| {
                let paths = paths(&behind(way)).unwrap();
                paths.last().unwrap().clone()
            };
            prop_assert_eq!(one == other, path(&one) == path(&other));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use crate::classes::Classes;
    use crate::target::Target;

    use super::*;

    /// A call of that tool, as policies see it.
    fn asked(scope: Option<&str>, name: &str) -> Operation {
        let target = r#"{"url":"https://api.example.com/v1","dialect":"openai","destructive_tools":["delete_*"]}"#;
        let target: Target = serde_json::from_str(target).unwrap();
        let classes = Veils::new(Classes::of(&target).unwrap(), [7; 32]);
        let call = ToolCall {
            id: "c".to_owned(),
            kind: CallKind::Function,
            name: name.to_owned(),
            scope: scope.map(str::to_owned),
            arguments: Bytes::from_static(b"{}"),
        };
        operation(&call, "m", &Rules::of(&target), &classes)
    }

    #[test]
    fn a_tool_of_a_namespace_is_asked_about_by_either_name() {
        for (scope, name, names) in
            [(None, "delete_all", &["delete_all"][..]), (Some("x"), "delete_all", &["delete_all", "x.delete_all"])]
        {
            let operation = asked(scope, name);
            let meaning = operation.shape.meaning();
            let tools: Vec<Resource> = names.iter().map(|name| Resource::new(TOOL, [*name])).collect();
            assert_eq!(meaning.accesses.iter().map(|access| access.resource.clone()).collect::<Vec<_>>(), tools);
            let fact = |name: &str| meaning.facts.values.iter().find(|(other, _)| *other == name).map(|(_, fact)| fact);
            assert_eq!(fact("name"), Some(&Fact::Text("delete_all".into())));
            assert_eq!(fact("scope"), Some(&Fact::Text(scope.unwrap_or_default().into())));
            assert_eq!(fact("destructive"), Some(&Fact::Bool(true)));
        }
        let digest = |scope, name| asked(scope, name).shape.digest().0;
        assert_ne!(digest(Some("a"), "b"), digest(None, "a.b"));
    }
}
