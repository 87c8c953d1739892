//! A field of a form, and the members that servers take it for: objects and lists are flattened into names.
//!
//! How is not written down in one place. `a[b]` is the member `b` of `a` to PHP (<https://www.php.net/manual/en/faq.html.php>),
//! Rack and qs, `a.b` to Spring and ASP.NET, and `a[]` and `a[0]` are elements. To PHP `a.b` and `a b` are `a_b`
//! (<https://www.php.net/manual/en/language.variables.external.php>). What is covered by any of these is covered.

use std::cmp::Reverse;
use std::ops::Range;

use bytes::Bytes;
use sluice_mask::json::{Document, Kind, Node, escape_into};

use crate::dialects::rest::JSON_LIMITS;
use crate::veil::Veil;

/// The innermost steps of a name that count; no server goes deeper.
const MAX_STEPS: usize = 100;
/// Up to which element a place in a list is told; the others stand for the first.
const MAX_INDEX: usize = 15;

/// What some servers read as `_`.
const JOINED: [char; 2] = ['.', ' '];

/// A name and a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step<'n> {
    Member(&'n str),
    Item(usize),
}

/// How a name is taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Reading {
    dots: Dots,
    digits: Digits,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dots {
    Divide,
    Join,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Digits {
    AreItems,
    AreMembers,
}

const READINGS: [Reading; 4] = [
    Reading { dots: Dots::Divide, digits: Digits::AreItems },
    Reading { dots: Dots::Divide, digits: Digits::AreMembers },
    Reading { dots: Dots::Join, digits: Digits::AreItems },
    Reading { dots: Dots::Join, digits: Digits::AreMembers },
];

impl Field {
    /// A field, if it can be read as JSON.
    pub(crate) fn new(name: String, value: String) -> Option<Self> {
        let field = Self { name, value };
        if field.texts().all(|text| Document::parse(text, JSON_LIMITS).is_ok()) { Some(field) } else { None }
    }

    /// As an object with one member of exactly this name, then as whatever else it may be.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Document> {
        self.texts().filter_map(|text| Document::parse(text, JSON_LIMITS).ok())
    }

    /// The field as it may be seen.
    pub(crate) fn covered(&self, veil: &Veil) -> Self {
        let value = hidden(self.documents().skip(1), veil);
        let named = Self { name: self.covered_name(veil), value: self.value.clone() };
        let exact = named.documents().next();
        let edits = exact.as_ref().map(|document| veil.edits(document)).filter(|edits| !edits.is_empty());
        let covered = edits.map_or(named, |edits| Self::within(edits.apply()));
        Self { value: value.unwrap_or(covered.value), ..covered }
    }

    /// The name without what stands in it below a member that is covered.
    pub(crate) fn covered_name(&self, veil: &Veil) -> String {
        let mut name = self.name.clone();
        if !veil.has_keys() {
            return name;
        }
        let mut covered: Vec<(Range<usize>, String)> = Vec::new();
        for document in self.documents().skip(1).filter(|document| veil.hides_by_name(document)) {
            covered.extend(self.covered_steps(&document, veil));
        }
        covered.sort_by_key(|(place, _)| Reverse(place.start));
        let mut end = name.len();
        for (place, cover) in covered {
            // What two readings cover is covered once.
            if place.end <= end {
                end = place.start;
                name.replace_range(place, &cover);
            }
        }
        name
    }

    /// Where steps of a reading stand in the name that are covered, and with what.
    fn covered_steps(&self, document: &Document, veil: &Veil) -> Vec<(Range<usize>, String)> {
        let Ok(covered) = Document::parse(veil.edits(document).apply(), JSON_LIMITS) else { return Vec::new() };
        let plain = |text: &str| text.replace(JOINED, "_");
        // Readings that join dots write as many bytes in their place, and the innermost step is the last of the name.
        let (name, mut end) = (plain(&self.name), self.name.len());
        let mut places = Vec::new();
        for (step, cover) in members(document).into_iter().zip(members(&covered)).rev() {
            let Some(start) = name.get(..end).and_then(|outer| outer.rfind(&plain(&step))) else { continue };
            if step != cover {
                places.push((start..start.saturating_add(step.len()), cover));
            }
            end = start;
        }
        places
    }

    /// What is seen of the value where members of its name are covered.
    pub(crate) fn hidden(&self, veil: &Veil) -> Option<String> {
        hidden(self.documents(), veil)
    }

    /// The field that an object is; what cannot be told is not shown.
    fn within(object: Bytes) -> Self {
        let document = Document::parse(object, JSON_LIMITS).ok();
        let member = document.as_ref().and_then(|document| document.root().members().next());
        let (name, value) = member.map_or_else(Default::default, |(name, value)| (name.into_owned(), innermost(value)));
        Self { name, value }
    }

    /// Name and value.
    pub(crate) fn pair(&self) -> (&str, &str) {
        (&self.name, &self.value)
    }

    /// Objects with the value in the place that each reading of the name gives it.
    fn texts(&self) -> impl Iterator<Item = String> {
        let mut all = vec![object(&[Step::Member(&self.name)], &self.value)];
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !self.name.bytes().all(is_word) {
            let joined = self.name.replace(JOINED, "_");
            for reading in READINGS {
                let name = if reading.dots == Dots::Join { &joined } else { &self.name };
                let text = object(&steps(name, reading), &self.value);
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
        all.into_iter()
    }
}

fn hidden(mut documents: impl Iterator<Item = Document>, veil: &Veil) -> Option<String> {
    if !veil.has_keys() {
        return None;
    }
    let document = documents.find(|document| veil.hides_by_name(document))?;
    let covered = Document::parse(veil.edits(&document).apply(), JSON_LIMITS).ok();
    Some(covered.map_or_else(String::new, |covered| innermost(covered.root())))
}

/// Takes a name apart, from the outside.
fn steps(name: &str, reading: Reading) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for (index, segment) in name.split('[').enumerate() {
        let (inner, after) = segment.split_once(']').unwrap_or((segment, ""));
        if index > 0 && inner.is_empty() {
            steps.push(Step::Item(0));
        }
        let after = after.trim_start_matches('.');
        for member in [inner, after].into_iter().flat_map(|text| text.split(['.', ']'])).map(str::trim) {
            match member.parse().ok().filter(|_| reading.digits == Digits::AreItems && !steps.is_empty()) {
                _ if member.is_empty() => {}
                Some(place) => steps.push(Step::Item(if place > MAX_INDEX { 0 } else { place })),
                None => steps.push(Step::Member(member)),
            }
        }
    }
    steps.split_off(steps.len().saturating_sub(MAX_STEPS))
}

/// A document in which a value stands at a place.
fn object(steps: &[Step<'_>], value: &str) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Member(name) => {
                text.push_str("{\"");
                escape_into(name, &mut text);
                text.push_str("\":");
            }
            Step::Item(place) => {
                text.push('[');
                (0..*place).for_each(|_| text.push_str("null,"));
            }
        }
    }
    text.push('"');
    escape_into(value, &mut text);
    text.push('"');
    text.extend(steps.iter().rev().map(|step| if matches!(step, Step::Member(_)) { '}' } else { ']' }));
    text
}

/// The text at the end of the only way into a document.
fn innermost(mut node: Node<'_>) -> String {
    loop {
        let inner = match node.kind() {
            Kind::Object => node.members().next().map(|(_, value)| value),
            Kind::Array => node.items().last(),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Name => {
                return node.text().map(|text| text.into_owned()).unwrap_or_default();
            }
        };
        let Some(inner) = inner else { return String::new() };
        node = inner;
    }
}

/// The names on the only way into a document.
fn members(document: &Document) -> Vec<String> {
    let (mut names, mut node) = (Vec::new(), document.root());
    loop {
        let member = node.members().next();
        let Some(inner) = member.as_ref().map(|(_, value)| *value).or_else(|| node.items().last()) else {
            return names;
        };
        names.extend(member.map(|(name, _)| name.into_owned()));
        node = inner;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn readings(name: &str) -> Vec<String> {
        Field::new(name.to_owned(), "v".to_owned()).unwrap().texts().collect()
    }

    #[test]
    fn a_name_is_whatever_some_server_takes_it_for() {
        for (name, expected) in [
            ("a", &[r#"{"a":"v"}"#][..]),
            ("api_key-1", &[r#"{"api_key-1":"v"}"#]),
            ("a[]", &[r#"{"a[]":"v"}"#, r#"{"a":["v"]}"#]),
            ("a[b]", &[r#"{"a[b]":"v"}"#, r#"{"a":{"b":"v"}}"#]),
            ("a[b][c]", &[r#"{"a[b][c]":"v"}"#, r#"{"a":{"b":{"c":"v"}}}"#]),
            ("a[][b]", &[r#"{"a[][b]":"v"}"#, r#"{"a":[{"b":"v"}]}"#]),
            ("a.b", &[r#"{"a.b":"v"}"#, r#"{"a":{"b":"v"}}"#, r#"{"a_b":"v"}"#]),
            ("a b", &[r#"{"a b":"v"}"#, r#"{"a_b":"v"}"#]),
            (
                "a[2].b",
                &[
                    r#"{"a[2].b":"v"}"#,
                    r#"{"a":[null,null,{"b":"v"}]}"#,
                    r#"{"a":{"2":{"b":"v"}}}"#,
                    r#"{"a":[null,null,{"_b":"v"}]}"#,
                    r#"{"a":{"2":{"_b":"v"}}}"#,
                ],
            ),
            ("a[99]", &[r#"{"a[99]":"v"}"#, r#"{"a":["v"]}"#, r#"{"a":{"99":"v"}}"#]),
            ("a[b", &[r#"{"a[b":"v"}"#, r#"{"a":{"b":"v"}}"#]),
            ("[a]", &[r#"{"[a]":"v"}"#, r#"{"a":"v"}"#]),
            ("a[ b ]", &[r#"{"a[ b ]":"v"}"#, r#"{"a":{"b":"v"}}"#, r#"{"a":{"_b_":"v"}}"#]),
            ("[]", &[r#"{"[]":"v"}"#, r#"["v"]"#]),
            ("", &[r#"{"":"v"}"#]),
            ("a\"b]", &["{\"a\\\"b]\":\"v\"}", "{\"a\\\"b\":\"v\"}"]),
        ] {
            assert_eq!(readings(name), expected, "{name}");
        }
        let deep = Field::new("a[".repeat(5_000) + ".".repeat(5_000).as_str() + "z", "v".to_owned()).unwrap();
        assert!(deep.documents().all(|document| innermost(document.root()) == "v"));
    }
}
