//! Random JSON values, texts that spell them in random ways, and the way back.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::document::{Document, Limits};
use super::entry::Kind;
use super::node::Node;

pub(super) fn parse(text: &str) -> Document {
    Document::parse(text.as_bytes().to_vec(), Limits::STANDARD).unwrap()
}

/// Any value, with names that often meet again.
pub(super) fn values() -> impl Strategy<Value = Value> {
    let string = "[a-c\"\\\\/\n\t\u{0}\u{7f}é\u{2028}😀]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000)
            .prop_map(|thousandths| Value::Number(Number::from_f64(f64::from(thousandths) / 8.0).unwrap())),
        string.prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            btree_map(string, inner, 0..14).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// A text of a value with white space and escapes where a seed puts them.
pub(super) fn spell(value: &Value, seed: u64) -> String {
    let mut speller = Speller { dice: seed | 1, out: String::new() };
    speller.value(value);
    speller.space();
    speller.out
}

/// The value of a node, read through `members`, `items` and `text`.
pub(super) fn read(node: Node<'_>) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Bool => Value::Bool(node.as_bool().unwrap()),
        Kind::Number => serde_json::from_slice(node.raw()).unwrap(),
        Kind::String | Kind::Name => Value::String(node.text().unwrap().into_owned()),
        Kind::Array => node.items().map(read).collect(),
        Kind::Object => node.members().map(|(name, value)| (name.into_owned(), read(value))).collect(),
    }
}

struct Speller {
    dice: u64,
    out: String,
}

impl Speller {
    fn value(&mut self, value: &Value) {
        self.space();
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.out.push_str(&value.to_string()),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.out.push_str(if index == 0 { "" } else { "," });
                    self.value(item);
                    self.space();
                }
                self.out.push(']');
            }
            Value::Object(members) => {
                self.out.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    self.out.push_str(if index == 0 { "" } else { "," });
                    self.space();
                    self.string(name);
                    self.space();
                    self.out.push(':');
                    self.value(member);
                    self.space();
                }
                self.out.push('}');
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            if char < ' ' || char == '"' || char == '\\' || self.roll(8) == 0 {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    self.out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                self.out.push(char);
            }
        }
        self.out.push('"');
    }

    fn space(&mut self) {
        for _ in 0..self.roll(6).saturating_sub(3) {
            let space = *b" \n\r\t".get(self.roll(4)).unwrap();
            self.out.push(char::from(space));
        }
    }

    /// A number below a bound (xorshift).
    fn roll(&mut self, bound: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        usize::try_from(self.dice % 0xFFFF).unwrap() % bound
    }
}
