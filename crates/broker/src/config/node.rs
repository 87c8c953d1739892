//! A YAML document as a tree that knows where everything stands, so that every error can be shown at once.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::fault::Fault;

/// Bytes of the document.
pub(crate) type Span = Range<usize>;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

/// The kinds of value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// Parses a document; a syntax error or a duplicate key is one fault.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options) {
        Ok(tree) => Ok(Node { value: tree.value, span: span_of(&tree.referenced) }),
        Err(error) => {
            let at = error.location().map_or(0..0, |location| span_of(&location));
            Err(Fault::new(plain(&error), at))
        }
    }
}

/// The parser's message without the position, which is shown beside it.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first.get(..end).unwrap_or(first).trim_end_matches('.').to_owned()
}

fn span_of(location: &Location) -> Span {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
    let len = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
    start..start.saturating_add(len)
}

impl Node {
    /// A node for what the file leaves out: an empty mapping at its end.
    pub(crate) const fn empty_map(at: Span) -> Self {
        Self { value: Value::Map(Vec::new()), span: at }
    }

    /// The entry of a mapping; `None` for other kinds.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key)
    }

    /// Every entry of a mapping, with a fault for another kind.
    pub(crate) fn entries(&self, what: &str) -> Result<&[Entry], Fault> {
        if let Value::Map(entries) = &self.value { Ok(entries) } else { Err(self.not_a(what, "a mapping")) }
    }

    /// Every item of a list, with a fault for another kind.
    pub(crate) fn items(&self, what: &str) -> Result<&[Self], Fault> {
        if let Value::List(items) = &self.value { Ok(items) } else { Err(self.not_a(what, "a list")) }
    }

    fn not_a(&self, what: &str, expected: &str) -> Fault {
        Fault::new(format!("{what} is {expected}, found {}", self.value.kind()), self.span.clone())
    }

    /// Splits a mapping into the entries named and the others.
    pub(crate) fn split(&self, keys: &[&str]) -> (Self, Self) {
        let entries = if let Value::Map(entries) = &self.value { entries.clone() } else { Vec::new() };
        let (named, rest) = entries.into_iter().partition(|entry| keys.contains(&entry.key.as_str()));
        let part = |entries| Self { value: Value::Map(entries), span: self.span.clone() };
        (part(named), part(rest))
    }

    /// Takes an entry out at any depth, by where its key stands.
    pub(crate) fn prune(&mut self, key_span: &Span) -> bool {
        match &mut self.value {
            Value::Map(entries) => {
                let before = entries.len();
                entries.retain(|entry| entry.key_span != *key_span);
                entries.len() < before || entries.iter_mut().any(|entry| entry.node.prune(key_span))
            }
            Value::List(items) => items.iter_mut().any(|item| item.prune(key_span)),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Text(_) => false,
        }
    }

    /// The spans of values that may be secrets somebody wrote into the file by mistake.
    pub(crate) fn secrets(&self, found: &mut Vec<Span>) {
        match &self.value {
            Value::Map(entries) => {
                for entry in entries {
                    if is_secret_key(&entry.key) { entry.node.leaves(found) } else { entry.node.secrets(found) }
                }
            }
            Value::List(items) => items.iter().for_each(|item| item.secrets(found)),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Text(_) => {}
        }
    }

    fn leaves(&self, found: &mut Vec<Span>) {
        match &self.value {
            Value::Map(entries) => entries.iter().for_each(|entry| entry.node.leaves(found)),
            Value::List(items) => items.iter().for_each(|item| item.leaves(found)),
            Value::Text(text) if is_reference(text) => {}
            Value::Text(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Unsigned(_)
            | Value::Float(_) => found.push(self.span.clone()),
        }
    }
}

/// Keys whose value is a credential.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "secret", "passphrase", "private_key", "api_key"].iter().any(|word| key.contains(word))
}

/// Whether a text is a reference to a secret rather than a secret.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

impl Value {
    /// The kind in words.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Unsigned(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element::<Spanned<Value>>()? {
            items.push(Node { value: item.value, span: span_of(&item.referenced) });
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = from.next_key::<Spanned<String>>()? {
            let item = from.next_value::<Spanned<Value>>()?;
            let node = Node { value: item.value, span: span_of(&item.referenced) };
            entries.push(Entry { key: key.value, key_span: span_of(&key.referenced), node });
        }
        Ok(Value::Map(entries))
    }
}

/// The spans of values on lines that name a secret, for a text that cannot be parsed.
pub(crate) fn secret_lines(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut start = 0_usize;
    let mut within: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let end = start.saturating_add(line.len());
        let indent = line.len().saturating_sub(line.trim_start().len());
        let blank = line.trim().is_empty();
        if within.is_some_and(|outer| blank || indent > outer) {
            found.push(start..end);
        } else {
            within = None;
            if let Some((key, _)) = line.split_once(':').filter(|_| is_secret_key(line)) {
                within = Some(indent);
                found.push(start.saturating_add(key.len()).saturating_add(1)..end);
            }
        }
        start = end;
    }
    found
}
