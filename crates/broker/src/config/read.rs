//! A node of the tree into a type, with the place of every mistake.
//!
//! Messages never repeat a value: it may be a secret that somebody wrote where a reference belongs.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::node::{Entry, Node, Span, Value};

/// Reads a node as a type. Every unknown key is reported; after another mistake the node is given up.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, faults: &mut Vec<Fault>) -> Option<T> {
    let mut node = node.clone();
    loop {
        let mistake = match T::deserialize(From(&node)) {
            Ok(value) => return Some(value),
            Err(mistake) => mistake,
        };
        let key = mistake.unknown_key.then(|| mistake.span.clone()).flatten();
        let span = mistake.span.unwrap_or_else(|| node.span.clone());
        faults.push(Fault { message: mistake.message, help: mistake.help, span });
        match key {
            Some(key) if node.prune(&key) => {}
            _ => return None,
        }
    }
}

/// A mistake whose place is known once it has passed the node it happened in.
#[derive(Debug)]
struct Mistake {
    message: String,
    help: Option<String>,
    span: Option<Span>,
    unknown_key: bool,
}

impl Mistake {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, span: None, unknown_key: false }
    }

    fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", kind(&found)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}", quoted(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let help = nearest(field, expected)
            .map_or_else(|| format!("known keys: {}", quoted(expected)), |near| format!("did you mean `{near}`?"));
        Self { help: Some(help), unknown_key: true, ..Self::new(format!("unknown key `{field}`")) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing key `{field}`"))
    }
}

/// The names between backticks, with commas.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name that is at most two edits away.
pub(crate) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&'a str| (edits(typed, name), *name);
    known.iter().map(distance).min().filter(|(edits, _)| *edits <= 2).map(|(_, name)| name)
}

/// Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, r) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal.saturating_add(usize::from(l != r));
            diagonal = *cell;
            before = replaced.min(before.saturating_add(1)).min(cell.saturating_add(1));
            *cell = before;
        }
    }
    row.last().copied().unwrap_or(0)
}

const fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "something else",
    }
}

/// Deserializes from a node.
struct From<'a>(&'a Node);

impl From<'_> {
    fn wrong<T>(&self, expected: &str) -> Result<T, Mistake> {
        let found = self.0.value.kind();
        let quote = matches!(self.0.value, Value::Integer(_) | Value::Unsigned(_) | Value::Bool(_) | Value::Float(_));
        let help = (quote && expected == "a text").then(|| "put it between quotes".to_owned());
        Err(Mistake { help, ..Mistake::new(format!("expected {expected}, found {found}")) }.at(&self.0.span))
    }

    fn integer(&self, least: i128, most: i128) -> Result<i128, Mistake> {
        let value = match self.0.value {
            Value::Integer(value) => i128::from(value),
            Value::Unsigned(value) => i128::from(value),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                return self.wrong("a whole number");
            }
        };
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(Mistake::new(format!("expected a whole number from {least} to {most}")).at(&self.0.span))
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            let value = self.integer(i128::from(<$type>::MIN), i128::from(<$type>::MAX))?;
            let value = <$type>::try_from(value).map_err(|_| Mistake::new("the number is out of range"))?;
            visitor.$visit(value).map_err(|mistake: Mistake| mistake.at(&self.0.span))
        }
    )*};
}

impl<'de> Deserializer<'de> for From<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let node = self.0;
        let done = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        };
        done.map_err(|mistake| mistake.at(&node.span))
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if matches!(self.0.value, Value::Bool(_)) { self.deserialize_any(visitor) } else { self.wrong("true or false") }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if matches!(self.0.value, Value::Text(_)) { self.deserialize_any(visitor) } else { self.wrong("a text") }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if matches!(self.0.value, Value::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if matches!(self.0.value, Value::List(_)) { self.deserialize_any(visitor) } else { self.wrong("a list") }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if matches!(self.0.value, Value::Map(_)) { self.deserialize_any(visitor) } else { self.wrong("a mapping") }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let node = self.0;
        let chosen = match &node.value {
            Value::Text(text) => Choice { name: text, at: &node.span, content: None },
            Value::Map(entries) => match entries.as_slice() {
                [entry] => Choice { name: &entry.key, at: &entry.key_span, content: Some(&entry.node) },
                _ => return self.wrong(&format!("one of {}", quoted(variants))),
            },
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::List(_) => return self.wrong(&format!("one of {}", quoted(variants))),
        };
        visitor.visit_enum(chosen).map_err(|mistake| mistake.at(&node.span))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        self.0.next().map(|node| seed.deserialize(From(node)).map_err(|m| m.at(&node.span))).transpose()
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(&entry.node);
        let key = StrDeserializer::<Mistake>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|mistake| mistake.at(&entry.key_span))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let Some(node) = self.value.take() else { return Err(Mistake::new("a key without a value")) };
        seed.deserialize(From(node)).map_err(|mistake| mistake.at(&node.span))
    }
}

struct Choice<'a> {
    name: &'a str,
    at: &'a Span,
    content: Option<&'a Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Mistake> {
        let name = StrDeserializer::<Mistake>::new(self.name);
        let variant = seed.deserialize(name).map_err(|mistake| mistake.at(self.at))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content {
            None => Ok(()),
            Some(node) => Err(Mistake::new(format!("`{}` takes no value", self.name)).at(&node.span)),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mistake> {
        seed.deserialize(From(self.content()?))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        From(self.content()?).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Mistake> {
        From(self.content()?).deserialize_map(visitor)
    }
}

impl<'a> Choice<'a> {
    fn content(&self) -> Result<&'a Node, Mistake> {
        self.content.ok_or_else(|| Mistake::new(format!("`{}` needs a value", self.name)).at(self.at))
    }
}
