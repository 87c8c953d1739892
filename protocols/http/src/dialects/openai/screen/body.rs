//! Answers that are one JSON document: completions, responses, lists of them, errors, and everything else.

mod strays;

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
    let mut settled = document.bytes().clone();
    if desk.asks() {
        let calls = unruled(&document, &desk.ledger)?;
        if !calls.is_empty() {
            return Ok(Some(Question::new(calls, Then::Body(settled))));
        }
        let mut edits = Edits::new(&document);
        settle(&document, &desk.ledger, &mut edits)?;
        let mut elsewhere = desk.ledger.look_up(strays::calls(&document))?.into_iter();
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

/// Tells whether a run of Assistants waits for the client to carry calls out, which nobody could refuse for it.
pub(super) fn is_run_with_calls(root: Node<'_>) -> bool {
    root.get("required_action").is_some_and(|action| !action.is_null())
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
    let chat = objects(document).flat_map(messages).flat_map(|(_, message)| calls_of(message));
    for some in [chat.map(|(_, call)| call).collect(), strays::calls(document)] {
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
    let sites: Vec<_> = objects(document).flat_map(messages).collect();
    let calls = sites.iter().flat_map(|(_, message)| calls_of(*message)).map(|(_, call)| call).collect();
    let mut rulings = ledger.look_up(calls)?.into_iter().map(|(_, ruling)| ruling);
    for (choice, message) in sites {
        let calls: Vec<Node<'_>> = calls_of(message).map(|(node, _)| node).collect();
        let ruled: Vec<_> = calls.iter().map(|node| (*node, rulings.next().flatten())).collect();
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
fn calls_of(message: Node<'_>) -> impl Iterator<Item = (Node<'_>, ToolCall)> {
    let calls = message.get("tool_calls").into_iter().flat_map(|calls| calls.items());
    let old = message.get("function_call").filter(|call| call.kind() == Kind::Object);
    calls.chain(old).map(|call| (call, ToolCall::of_message(call)))
}
