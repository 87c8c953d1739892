//! A peer sends any body: what is read as JSON is what another reader reads, and what is masked stays JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluice_mask::json::{Document, KeyRules, Kind, Limits, Node, mask_strings};

/// What no string of the masked body has, however it is spelled. No letter of it ends an escape, as `r` would: what is an
/// object or an array within a string is looked at as what its strings say.
const CANARY: &str = "zq";
/// How many strings within strings are looked into.
const NESTED: u8 = 3;

fn reads_alike(node: Node<'_>, value: &Value) -> bool {
    match (node.kind(), value) {
        (Kind::Null, Value::Null) | (Kind::Number, Value::Number(_)) => true,
        (Kind::Bool, Value::Bool(is)) => node.as_bool() == Some(*is),
        (Kind::String, Value::String(text)) => node.text().is_some_and(|read| read == *text),
        (Kind::Array, Value::Array(items)) => {
            node.items().count() == items.len() && node.items().zip(items).all(|(node, item)| reads_alike(node, item))
        }
        (Kind::Object, Value::Object(members)) => {
            let mut all = node.members().zip(members);
            node.members().count() == members.len()
                && all.all(|((name, node), (other, member))| name == *other && reads_alike(node, member))
        }
        _ => false,
    }
}

/// Whether a value holds the canary, in objects and arrays within strings too, as deep as those are looked into.
fn shows(value: &Value, nested: u8) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(CANARY) || (nested > 0 && inside(text, nested - 1)),
        Value::Array(items) => items.iter().any(|item| shows(item, nested)),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains(CANARY) || shows(value, nested)),
    }
}

fn inside(text: &str, nested: u8) -> bool {
    let inner = serde_json::from_str::<Value>(text).ok();
    inner.is_some_and(|inner| (inner.is_object() || inner.is_array()) && shows(&inner, nested))
}

fuzz_target!(|input: &[u8]| {
    let Ok(document) = Document::parse(input.to_vec(), Limits { depth: 100, ..Limits::STANDARD }) else { return };
    let value: Value = match serde_json::from_slice(input) {
        Ok(value) => value,
        // A number that fits in no double is one for us: nothing is computed with it.
        Err(error) if error.to_string().contains("number out of range") => return,
        Err(error) => panic!("{error}"),
    };
    assert!(reads_alike(document.root(), &value));
    let rules = KeyRules::none();
    let cover = |text: &str| text.contains(CANARY).then(|| text.replace(CANARY, "*"));
    let masked = mask_strings(&document, &rules, |_, text| cover(text)).apply();
    // Names that become one another are refused, and no body is made of them.
    if let Ok(again) = serde_json::from_slice::<Value>(&masked) {
        assert!(!shows(&again, NESTED));
    } else {
        panic!("no JSON any more");
    }
    if !shows(&value, NESTED) {
        assert_eq!(masked, input);
    }
});
