//! What stands beside the texts of a stream: names, counts, and what no rule knows.
//!
//! A value that comes in pieces is only found where the pieces are joined, and that is done where texts are known to
//! come in pieces. What stands elsewhere in an event that tells a part of something leaves if it is a name; any other
//! string is covered as a whole.

use std::ops::Range;

use sluice_mask::json::{Document, Edits, Kind, Node};

use super::Fault;
use super::kinds::is_kind;

/// What stands for a string of which nobody knows whether it is a piece of something.
pub(super) const COVERED: &str = "***";

/// Covers every string of a document but for names and the texts at those places, which are in order.
pub(super) fn cover(document: &Document, texts: &[Range<usize>], edits: &mut Edits<'_>) -> Result<(), Fault> {
    members(document.root(), ROOT, texts, edits)
}

/// Tells whether a member has a name, of a sort or a thing, and no text that anybody joins to another.
pub(super) fn is_naming(member: &str) -> bool {
    SORTS.contains(&member) || member == "id" || member.ends_with("_id")
}

/// Tells whether a string is a name, by its member and its letters: no piece of an address, of a number or of a key.
pub(super) fn is_name(member: &str, text: &str) -> bool {
    let all = |plain: fn(u8) -> bool| (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain);
    let is_word = |marks: &str| {
        let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_' || marks.contains(letter);
        all(|_| true) && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.chars().all(plain)
    };
    match member {
        "format" => is_word("-0123456789"),
        "object" => is_word("") || (text.starts_with("chat.") || text.starts_with("thread.")) && is_word("."),
        "type" => is_kind(text) || is_word(".") && text.matches('.').count() < 2,
        "model" | "system_fingerprint" => all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte)),
        "obfuscation" => is_padding(text),
        _ if SORTS.contains(&member) => is_word(""),
        _ => is_naming(member) && all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
    }
}

/// Tells whether a string fills an event up, as servers do so that nobody can tell texts by the size of events.
fn is_padding(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Covers the members of an object that is itself the member of that name, or the root.
///
/// `INVARIANT:` a document has a limit on its depth, and so has this recursion.
fn members(node: Node<'_>, around: &str, texts: &[Range<usize>], edits: &mut Edits<'_>) -> Result<(), Fault> {
    for (name, value) in node.members() {
        if value.kind() == Kind::String {
            if !value.text().is_some_and(|text| is_name(&name, &text)) {
                string(value, texts, edits)?;
            }
        } else if !(WHOLE.contains(&(around, &*name)) || name.ends_with("logprobs")) {
            within(value, &name, texts, edits)?;
        }
    }
    Ok(())
}

fn within(node: Node<'_>, name: &str, texts: &[Range<usize>], edits: &mut Edits<'_>) -> Result<(), Fault> {
    for item in node.items() {
        if item.kind() == Kind::String {
            string(item, texts, edits)?;
        } else {
            within(item, "", texts, edits)?;
        }
    }
    members(node, name, texts, edits)
}

fn string(node: Node<'_>, texts: &[Range<usize>], edits: &mut Edits<'_>) -> Result<(), Fault> {
    if node.raw() != b"\"\"" && !is_text(node, texts) {
        edits.replace_text(node, COVERED)?;
    }
    Ok(())
}

fn is_text(node: Node<'_>, texts: &[Range<usize>]) -> bool {
    let start = node.span().start;
    texts.binary_search_by_key(&start, |text| text.start).is_ok()
}

const MAX_NAME_BYTES: usize = 128;

/// Members that say what sort of thing something is.
const SORTS: [&str; 10] = [
    "finish_reason",
    "format",
    "native_finish_reason",
    "object",
    "phase",
    "role",
    "service_tier",
    "severity",
    "status",
    "type",
];

/// Members that say something as a whole, each after what is around it: an error, which ends what it is said in, and
/// sources of a text.
const WHOLE: [(&str, &str); 2] = [(ROOT, "error"), ("delta", "annotations")];

const ROOT: &str = "$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_their_members_and_letters() {
        for (member, text, expect) in [
            ("role", "assistant", true),
            ("role", "zq7x.k1", false),
            ("role", "Some words", false),
            ("type", "reasoning.text", true),
            ("type", "response.output_text.delta", true),
            ("type", "leak.example.com", false),
            ("object", "thread.message.delta", true),
            ("object", "leak.example.com", false),
            ("format", "some-model-v1", true),
            ("type", "-proj-", false),
            ("type", "900", false),
            ("id", "call_AbC-1", true),
            ("item_id", "msg_1", true),
            ("item_id", "a@b", false),
            ("id", "", false),
            ("id", &"x".repeat(129), false),
            ("model", "ft:gpt-4o:org::id", true),
            ("text", "word", false),
        ] {
            assert_eq!(is_name(member, text), expect, "{member} {text}");
        }
    }
}
