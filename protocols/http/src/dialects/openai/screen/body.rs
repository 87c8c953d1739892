//! Answers that are one JSON document: completions, responses, lists of them, errors, and everything else.

pub(super) mod strays;

use bytes::Bytes;
use sluice_mask::json::{Document, Edits, Kind, Node};

use super::Fault;
use super::call::{CallRuling, Ledger, ToolCall};
use super::cover::LIMITS;
use super::desk::{Desk, Question, Then};
use super::words::quoted;

/// Takes a body whose calls have rulings, or asks for them.
pub(super) fn body(bytes: Bytes, desk: &mut Desk) -> Result<Option<Question>, Fault> {
    let document = Document::parse(bytes, LIMITS)?;
    desk.count_tokens(document.root());
    let mut settled = document.bytes().clone();
    if desk.asks() {
        let calls = unruled(&document, &desk.ledger)?;
        if !calls.is_empty() {
            return Ok(Some(Question::new(calls, Then::Body(settled))));
        }
        let mut edits = Edits::new(&document);
        settle(&document, &desk.ledger, &mut edits)?;
        let mut elsewhere = desk.ledger.look_up(strays::calls(&document)?)?.into_iter();
        if elsewhere.any(|(_, ruling)| ruling != Some(CallRuling::Allow)) {
            return Err(Fault::Refused);
        }
        settled = edits.apply();
    }
    desk.note(document.root());
    let covered = desk.cover.apply(settled)?;
    desk.outlet.send_body(covered);
    Ok(None)
}

/// The objects of a body that can have calls in them: itself, or the entries of a list.
fn objects(document: &Document) -> impl Iterator<Item = Node<'_>> {
    let root = document.root();
    std::iter::once(root).chain(root.get("data").into_iter().flat_map(|data| data.items()))
}

fn unruled(document: &Document, ledger: &Ledger) -> Result<Vec<ToolCall>, Fault> {
    let mut calls = Vec::new();
    for object in objects(document) {
        calls.extend(ledger.unruled(object)?);
    }
    let mut chat = Vec::new();
    for (_, message) in objects(document).flat_map(messages) {
        chat.extend(calls_of(message)?.into_iter().map(|(_, call)| call));
    }
    for some in [chat, strays::calls(document)?] {
        let looked_up = ledger.look_up(some)?;
        calls.extend(looked_up.into_iter().filter(|(_, ruling)| ruling.is_none()).map(|(call, _)| call));
    }
    Ok(calls)
}

/// Takes out what was refused. A call without a ruling goes too.
fn settle(document: &Document, ledger: &Ledger, edits: &mut Edits<'_>) -> Result<(), Fault> {
    for object in objects(document) {
        ledger.replace(object, edits)?;
    }
    let mut sites = Vec::new();
    let mut calls = Vec::new();
    for (choice, message) in objects(document).flat_map(messages) {
        let (nodes, own): (Vec<Node<'_>>, Vec<ToolCall>) = calls_of(message)?.into_iter().unzip();
        calls.extend(own);
        sites.push((choice, message, nodes));
    }
    let mut rulings = ledger.look_up(calls)?.into_iter().map(|(_, ruling)| ruling);
    for (choice, message, nodes) in sites {
        let ruled: Vec<_> = nodes.into_iter().map(|node| (node, rulings.next().flatten())).collect();
        take_out(choice, message, &ruled, edits)?;
    }
    Ok(())
}

fn take_out(
    choice: Node<'_>,
    message: Node<'_>,
    ruled: &[(Node<'_>, Option<CallRuling>)],
    edits: &mut Edits<'_>,
) -> Result<(), Fault> {
    let refused = ruled.iter().filter(|(_, ruling)| *ruling != Some(CallRuling::Allow));
    let mut words = String::new();
    let mut count = 0_usize;
    for (call, ruling) in refused {
        edits.remove(*call)?;
        count = count.saturating_add(1);
        if let Some(sentence) = ruling.as_ref().and_then(CallRuling::words) {
            words.push_str("\n\n");
            words.push_str(&sentence);
        }
    }
    if count == 0 {
        return Ok(());
    }
    if count == ruled.len() {
        if let Some(calls) = message.get("tool_calls") {
            edits.remove(calls)?;
        }
        let reason = choice
            .get("finish_reason")
            .filter(|reason| reason.text().is_some_and(|reason| matches!(&*reason, "tool_calls" | "function_call")));
        if let Some(reason) = reason {
            edits.replace_text(reason, "stop")?;
        }
    }
    add_content(message, &words, edits)
}

/// Appends words to what the message says.
fn add_content(message: Node<'_>, words: &str, edits: &mut Edits<'_>) -> Result<(), Fault> {
    let first = words.trim_start();
    match message.get("content") {
        None => edits.insert_member(message, "content", &quoted(first))?,
        Some(content) => match content.text().filter(|content| !content.is_empty()) {
            Some(said) => edits.replace_text(content, &format!("{said}{words}"))?,
            None => edits.replace_text(content, first)?,
        },
    }
    Ok(())
}

/// The choices of a completion with their messages.
fn messages(object: Node<'_>) -> impl Iterator<Item = (Node<'_>, Node<'_>)> {
    let choices = object.get("choices").into_iter().flat_map(|choices| choices.items());
    choices.filter_map(|choice| Some((choice, choice.get("message")?)))
}

/// The calls of a message, each with its place.
fn calls_of(message: Node<'_>) -> Result<Vec<(Node<'_>, ToolCall)>, Fault> {
    let calls = listed(message)?.into_iter().flat_map(|calls| calls.items()).chain(single(message)?);
    Ok(calls.map(|call| (call, ToolCall::of_message(call))).collect())
}

/// The list of calls of a message. What is no list could be read as one by some client.
pub(super) fn listed(message: Node<'_>) -> Result<Option<Node<'_>>, Fault> {
    let calls = message.get("tool_calls").filter(|calls| !calls.is_null());
    if calls.is_some_and(|calls| calls.kind() != Kind::Array) { Err(Fault::Contradiction) } else { Ok(calls) }
}

/// The one call of an old message.
pub(super) fn single(message: Node<'_>) -> Result<Option<Node<'_>>, Fault> {
    let call = message.get("function_call").filter(|call| !call.is_null());
    if call.is_some_and(|call| call.kind() != Kind::Object) { Err(Fault::Contradiction) } else { Ok(call) }
}
