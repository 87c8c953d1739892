//! Calls that stand elsewhere in a document than where answers have them: in what is read back, and in what waits for the
//! client. Nothing can stand in their place, so the whole document, or stream, depends on them.

use std::collections::BTreeSet;

use sluice_mask::json::{Document, Kind, Node};

use super::super::call::{APPROVAL, BODY};
use super::{Fault, ToolCall, calls_of, listed, messages, objects, single};

/// Entries of `tool_calls` that a step of a run tells of and nobody but the model's side carries out.
const HOSTED: [&str; 2] = ["code_interpreter", "file_search"];

/// The calls that stand elsewhere in a body, in their order.
pub(super) fn calls(document: &Document) -> Result<Vec<ToolCall>, Fault> {
    let mut known = Known::default();
    for object in objects(document) {
        for (_, message) in messages(object) {
            known.extend(calls_of(message)?.into_iter().map(|(call, _)| call));
        }
        known.extend(items(object));
    }
    let mut found = Vec::new();
    gather(document.root(), &known, &mut found)?;
    Ok(found)
}

/// The calls that stand elsewhere in an event or a chunk than there.
pub(in super::super) fn calls_of_event<'d>(
    root: Node<'d>,
    there: impl Iterator<Item = Node<'d>>,
) -> Result<Vec<ToolCall>, Fault> {
    let mut known = Known::default();
    known.extend(there);
    known.extend(root.get("item"));
    known.extend(root.get("response").into_iter().flat_map(items));
    for choice in root.get("choices").into_iter().flat_map(|choices| choices.items()) {
        // Pieces of calls are put together, whole ones are no part of a chunk.
        if let Some(delta) = choice.get("delta") {
            known.extend(listed(delta)?.into_iter().flat_map(|calls| calls.items()).chain(single(delta)?));
        }
    }
    let mut found = Vec::new();
    calls_at(root, &known, &mut found)?;
    within(root, &known, &mut found)?;
    Ok(found)
}

/// The calls in an event of a session of an agent, wherever they stand.
pub(in super::super) fn calls_of_session(root: Node<'_>) -> Result<Vec<ToolCall>, Fault> {
    let mut known = Known::default();
    let mut found = Vec::new();
    if let Some(item) = root.get("item")
        && let Some(call) = ToolCall::of_item(item)
    {
        found.push(call);
        known.extend([item]);
    }
    gather(root, &known, &mut found)?;
    Ok(found)
}

/// Tells whether a call is one that the model's side makes.
pub(in super::super) fn is_hosted(call: Node<'_>) -> bool {
    call.get("type").and_then(|kind| kind.text()).is_some_and(|kind| HOSTED.contains(&&*kind))
}

/// Where calls are that are asked about at their places.
#[derive(Default)]
struct Known(BTreeSet<usize>);

impl Known {
    fn extend<'a>(&mut self, nodes: impl IntoIterator<Item = Node<'a>>) {
        self.0.extend(nodes.into_iter().map(|node| node.span().start));
    }

    fn has(&self, node: Node<'_>) -> bool {
        self.0.contains(&node.span().start)
    }
}

fn items(response: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    response.get("output").into_iter().flat_map(|output| output.items())
}

/// `INVARIANT:` a document has a limit on its depth, and so has this recursion.
fn gather(node: Node<'_>, known: &Known, found: &mut Vec<ToolCall>) -> Result<(), Fault> {
    if node.kind() == Kind::Object && !known.has(node) {
        if is_call(node)
            && let Some(call) = ToolCall::of_item(node)
        {
            found.push(call);
            return Ok(());
        }
        calls_at(node, known, found)?;
    }
    within(node, known, found)
}

fn within(node: Node<'_>, known: &Known, found: &mut Vec<ToolCall>) -> Result<(), Fault> {
    for item in node.items() {
        gather(item, known, found)?;
    }
    for (name, member) in node.members() {
        match (&*name, member.kind()) {
            ("tool_calls", Kind::Array) => {}
            // What an agent waits for is for the client to do, of whatever sort it is.
            ("required_actions", Kind::Array) => {
                for action in member.items() {
                    match ToolCall::of_item(action) {
                        Some(call) => found.push(call),
                        None => gather(action, known, found)?,
                    }
                }
            }
            ("function_call", Kind::Object) if is_body(member) => {}
            _ => gather(member, known, found)?,
        }
    }
    Ok(())
}

/// The calls of an object that may be a message, or describe one: a schema of calls is none.
fn calls_at(node: Node<'_>, known: &Known, found: &mut Vec<ToolCall>) -> Result<(), Fault> {
    let mut calls = Vec::new();
    match node.get("tool_calls") {
        Some(list) if list.kind() == Kind::Array => calls.extend(list.items().filter(|call| !is_hosted(*call))),
        Some(other) if is_text_of_calls(other) || has_body(other) => return Err(Fault::Contradiction),
        Some(_) | None => {}
    }
    match node.get("function_call") {
        Some(call) if call.kind() == Kind::Object && is_body(call) => calls.push(call),
        Some(other) if is_text_of_calls(other) || other.items().any(is_body) => return Err(Fault::Contradiction),
        Some(_) | None => {}
    }
    found.extend(calls.into_iter().filter(|call| !known.has(*call)).map(ToolCall::of_message));
    Ok(())
}

/// Tells whether there are calls in an object that should be a list.
fn has_body(calls: Node<'_>) -> bool {
    let is_entry = |call: Node<'_>| ["function", "custom"].iter().filter_map(|name| call.get(name)).any(is_body);
    is_entry(calls) || calls.members().any(|(_, call)| is_entry(call))
}

fn is_body(call: Node<'_>) -> bool {
    BODY.iter().any(|name| call.get(name).is_some_and(|value| value.kind() == Kind::String))
}

fn is_text_of_calls(calls: Node<'_>) -> bool {
    calls.text().is_some_and(|text| text.trim_start().starts_with(['{', '[']))
}

fn is_call(item: Node<'_>) -> bool {
    let kind = item.get("type").and_then(|kind| kind.text());
    kind.is_some_and(|kind| kind.ends_with("_call") || kind.ends_with(APPROVAL))
}
