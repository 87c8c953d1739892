//! What a client makes of the answers that it reads: escapes undone, pieces of texts put together.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::codec::{TORN, WHOLE, content_length, head};

/// One answer, as a client reads it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The answers in what a client read; an error where it is no HTTP. The last may be unfinished.
pub(crate) fn answers(read: &[u8]) -> Result<Vec<Answer>, String> {
    let (mut found, mut rest) = (Vec::new(), read);
    while let Some(head) = head(rest) {
        let head = head?;
        let status: StatusCode = head.line[1].parse().map_err(|_| "an answer has no status")?;
        rest = &rest[head.length..];
        let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
        let length = match content_length(&head.headers)? {
            _ if bodiless => 0,
            Some(length) => usize::try_from(length).unwrap().min(rest.len()),
            None => rest.iter().position(|byte| [WHOLE[0], TORN[0]].contains(byte)).unwrap_or(rest.len()),
        };
        let (body, left) = rest.split_at(length);
        rest = if left.starts_with(WHOLE) || left.starts_with(TORN) { &left[1..] } else { left };
        found.push(Answer { status, headers: head.headers, body: body.to_vec() });
    }
    if rest.is_empty() { Ok(found) } else { Err(format!("{} bytes belong to no answer", rest.len())) }
}

/// Every text that can be read in some answers, one a line.
pub(crate) fn texts(read: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for answer in answers(read).unwrap_or_default() {
        let body = String::from_utf8_lossy(&answer.body);
        let mut joined = BTreeMap::new();
        for line in body.lines() {
            if let Ok(value) = serde_json::from_str(line.strip_prefix("data: ").unwrap_or(line)) {
                push(&value, &place(&value), &mut joined, &mut out);
            }
        }
        for text in joined.into_values() {
            push_text(&text, &mut out);
        }
    }
    out.into_bytes()
}

/// What the pieces of one text have in common: the kind of their events, and every index in them.
fn place(value: &Value) -> String {
    let Some(members) = value.as_object() else { return String::new() };
    let names = members.iter().filter(|(name, _)| name.ends_with("index") || *name == "type" || *name == "item_id");
    names.map(|(name, value)| format!("{name}={value} ")).collect()
}

/// Appends every text in a value, and joins it to those at the same place before it.
fn push(value: &Value, at: &str, joined: &mut BTreeMap<String, String>, out: &mut String) {
    match value {
        Value::String(text) => {
            joined.entry(at.to_owned()).or_default().push_str(text);
            push_text(text, out);
        }
        Value::Array(items) => {
            items.iter().for_each(|item| push(item, &format!("{at}/{}", place(item)), joined, out));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            out.push_str(name);
            push(member, &format!("{at}/{name}"), joined, out);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Appends a text, and what is in it where it is JSON itself.
fn push_text(text: &str, out: &mut String) {
    out.push('\n');
    out.push_str(text);
    if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
        push(&inner, "", &mut BTreeMap::new(), out);
    }
}
