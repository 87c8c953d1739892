//! A call of a response while it is under way: none of its events leaves before somebody ruled on it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sluice_mask::json::{Document, Edits, Kind, Node};

use crate::sse::Event;

use super::cover::{Cover, LIMITS};
use super::kinds::is_whole;
use super::outlet::Outlet;
use super::{Fault, QUEUE_BYTES};

/// The events of one call, without the pieces of its text but for the first: what was ruled on is the whole text, and
/// the client gets that in one piece.
pub(super) struct Held {
    pub(super) output_index: i64,
    item_id: Option<String>,
    events: Vec<Event>,
    /// Texts that came in pieces, by kind and command.
    pieces: BTreeSet<(&'static str, Option<i64>)>,
    /// Bytes of events that are kept.
    kept_bytes: usize,
    /// Bytes of pieces, kept or not.
    text_bytes: usize,
    /// Pieces are not kept, so that their numbers are missing.
    gaps: bool,
}

impl Held {
    /// A call of which nothing was seen.
    pub(super) fn new(output_index: i64, item: Option<Node<'_>>) -> Self {
        let item_id = item.and_then(|item| item.get("id")?.text()).map(Cow::into_owned);
        Self {
            output_index,
            item_id,
            events: Vec::new(),
            pieces: BTreeSet::new(),
            kept_bytes: 0,
            text_bytes: 0,
            gaps: false,
        }
    }

    /// Tells whether an event is about this call.
    pub(super) fn owns(&self, root: Node<'_>) -> bool {
        let index = root.get("output_index").and_then(|index| index.as_i64());
        let item_id = root.get("item_id").and_then(|id| id.text());
        index == Some(self.output_index) || (item_id.is_some() && item_id.as_deref() == self.item_id.as_deref())
    }

    /// Keeps what is needed of an event.
    pub(super) fn absorb(&mut self, kind: &str, event: Event, root: Node<'_>, max_bytes: usize) -> Result<(), Fault> {
        if let Some(delta) = root.get("delta") {
            self.text_bytes = self.text_bytes.saturating_add(delta.raw().len());
            if self.text_bytes > max_bytes {
                return Err(Fault::TooLarge);
            }
            // A piece of something that is no part of the call as it is ruled on does not leave at all.
            let Some((family, "delta")) = family_of(kind) else {
                self.gaps = true;
                return Ok(());
            };
            if !self.pieces.insert((family.base, command_of(root))) {
                self.gaps = true;
                return Ok(());
            }
        }
        self.kept_bytes = self.kept_bytes.saturating_add(event.data.len());
        self.events.push(event);
        if self.kept_bytes > QUEUE_BYTES { Err(Fault::TooLarge) } else { Ok(()) }
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Sends the events of an allowed call. Whatever they say of the call is what its last event says.
    pub(super) fn release(&self, done: Event, cover: &Cover, outlet: &mut Outlet) -> Result<(), Fault> {
        let covered = Document::parse(cover.apply(done.data.clone())?, LIMITS)?;
        let item = covered.root().get("item").unwrap_or_else(|| covered.root());
        let texts: Vec<Text<'_>> = FAMILIES.iter().map(|family| Text::of(family, item)).collect();
        if self.gaps {
            outlet.disturb();
        }
        for event in &self.events {
            let document = Document::parse(event.data.clone(), LIMITS)?;
            let root = document.root();
            let kind = root.get("type").and_then(|kind| kind.text()).unwrap_or_default();
            let mut edits = if is_whole(&kind) { cover.edits(&document)? } else { cover.edits_beside(&document)? };
            if self.agree(root, item, &texts, &mut edits)? {
                outlet.relay(event.name.clone(), root, edits)?;
            } else {
                outlet.disturb();
            }
        }
        let document = Document::parse(done.data, LIMITS)?;
        outlet.relay(done.name, document.root(), cover.edits(&document)?)
    }

    /// Makes an event say what the item says; tells whether it has anything to say.
    fn agree(&self, root: Node<'_>, item: Node<'_>, texts: &[Text<'_>], edits: &mut Edits<'_>) -> Result<bool, Fault> {
        let kind = root.get("type").and_then(|kind| kind.text()).unwrap_or_default();
        if kind == "response.output_item.added" {
            if let Some(added) = root.get("item") {
                edits.replace_raw(added, &self.opened(item)?)?;
            }
            return Ok(true);
        }
        let Some((family, end)) = family_of(&kind) else { return Ok(true) };
        let command = command_of(root);
        let text = texts.iter().find(|text| text.base == family.base).and_then(|text| text.find(command));
        let Some(text) = text else { return Ok(false) };
        let (member, text) = match end {
            "delta" => ("delta", text),
            "added" if self.pieces.contains(&(family.base, command)) => (family.member, Cow::Borrowed("")),
            _ => (family.member, text),
        };
        if let Some(node) = root.get(member).filter(|node| node.text().as_deref() != Some(&*text)) {
            edits.replace_text(node, &text)?;
        }
        Ok(true)
    }

    /// The item as it is before its text: what comes in pieces is not there yet.
    fn opened(&self, item: Node<'_>) -> Result<String, Fault> {
        let raw = item.raw().to_vec();
        let document = Document::parse(raw, LIMITS)?;
        let mut edits = Edits::new(&document);
        if let Some(status) = document.root().get("status") {
            edits.replace_text(status, "in_progress")?;
        }
        let bases: BTreeSet<&str> = self.pieces.iter().map(|(base, _)| *base).collect();
        for family in FAMILIES.iter().filter(|family| bases.contains(family.base)) {
            if let Some(node) = document.root().at(family.path) {
                edits.replace_raw(node, if node.kind() == Kind::Array { "[]" } else { "\"\"" })?;
            }
        }
        Ok(String::from_utf8_lossy(&edits.apply()).into_owned())
    }
}

/// Tells whether events of that kind tell the text of a call.
pub(super) fn tells_call(kind: &str) -> bool {
    family_of(kind).is_some()
}

/// A text of a call that comes in pieces.
struct Family {
    base: &'static str,
    /// Where the whole text is in the event of its end.
    member: &'static str,
    /// Where it is in the item; the index of a command comes after it.
    path: &'static [&'static str],
}

/// A text of an item, or its commands, gathered once: each has events of its own.
struct Text<'a> {
    base: &'static str,
    whole: Option<Node<'a>>,
    commands: Vec<Node<'a>>,
}

impl<'a> Text<'a> {
    fn of(family: &Family, item: Node<'a>) -> Self {
        let node = item.at(family.path);
        let is_list = node.is_some_and(|node| node.kind() == Kind::Array);
        let commands = node.into_iter().flat_map(|node| node.items()).collect();
        Self { base: family.base, whole: node.filter(|_| !is_list), commands }
    }

    fn find(&self, command: Option<i64>) -> Option<Cow<'a, str>> {
        match self.whole {
            Some(node) => node.text(),
            None => self.commands.get(usize::try_from(command?).ok()?)?.text(),
        }
    }
}

/// Pieces of texts of calls ([streaming events](https://platform.openai.com/docs/api-reference/responses-streaming)).
const FAMILIES: &[Family] = &[
    Family { base: "response.function_call_arguments", member: "arguments", path: &["arguments"] },
    Family { base: "response.custom_tool_call_input", member: "input", path: &["input"] },
    Family { base: "response.shell_call_command", member: "command", path: &["action", "commands"] },
    Family { base: "response.apply_patch_call_operation_diff", member: "diff", path: &["operation", "diff"] },
];

/// The text that events of a kind tell, and how: `added`, `delta`, `done`.
fn family_of(kind: &str) -> Option<(&'static Family, &str)> {
    let (base, end) = kind.rsplit_once('.')?;
    Some((FAMILIES.iter().find(|family| family.base == base)?, end))
}

fn command_of(root: Node<'_>) -> Option<i64> {
    root.get("command_index").and_then(|index| index.as_i64())
}
