//! Streams of chunks: chat completions and the old completions.

use std::collections::BTreeMap;

use sluice_mask::json::{Document, Edits, Node};

use crate::sse::Event;

use super::call::{CallRuling, ToolCall};
use super::choice::Choice;
use super::chunk::Frame;
use super::cover::LIMITS;
use super::desk::{Desk, Question, Stage, Then};
use super::kinds::is_of_usage;
use super::known::Known;
use super::text::{Place, Rest, Step, Texts, nest, spans_of, texts_of};
use super::words::quoted;
use super::{Fault, QUEUE_BYTES, UsageChunk};

/// Choices of one completion.
const MAX_CHOICES: usize = 256;

/// What is known of a stream of chunks.
#[derive(Default)]
pub(super) struct Chat {
    choices: BTreeMap<i64, Choice>,
    texts: Texts,
    known: Known,
    /// Bytes of calls that are put together.
    assembled: usize,
    /// The last chunk that left something to be told.
    skeleton: Option<Event>,
}

impl Chat {
    /// Takes a chunk: first the pieces of calls in it, then, if nobody has to rule on one, everything else.
    pub(super) fn chunk(
        &mut self,
        event: &Event,
        document: &Document,
        desk: &mut Desk,
    ) -> Result<Option<Question>, Fault> {
        let root = document.root();
        let mut asked = Vec::new();
        if assembles(desk) {
            for (index, choice) in choices_of(root)? {
                asked.extend(self.absorb(index, choice, desk)?);
            }
        }
        if !asked.is_empty() {
            return Ok(Some(Question::new(asked, Then::Chunk(event.clone()))));
        }
        self.release(event, document, desk)?;
        Ok(None)
    }

    /// Takes the end mark: what is not finished is finished by it.
    pub(super) fn mark(&mut self, event: &Event, desk: &Desk) -> Option<Question> {
        let asked: Vec<ToolCall> = self.choices.values().flat_map(Choice::unruled).collect();
        (desk.asks() && !asked.is_empty()).then(|| Question::new(asked, Then::Mark(event.clone())))
    }

    /// Takes the rulings on the calls of the choices that a chunk ends, or of all.
    pub(super) fn rule(&mut self, rulings: Vec<(ToolCall, CallRuling)>, chunk: Option<Node<'_>>) -> Result<(), Fault> {
        let ended: Vec<i64> = match chunk {
            Some(root) => choices_of(root)?
                .into_iter()
                .filter(|(_, choice)| is_finishing(*choice))
                .map(|(index, _)| index)
                .collect(),
            None => self.choices.keys().copied().collect(),
        };
        let mut rulings = rulings.into_iter().map(|(_, ruling)| ruling);
        for index in ended {
            let Some(choice) = self.choices.get_mut(&index) else { continue };
            for _ in choice.unruled() {
                if let Some(ruling) = rulings.next() {
                    choice.rule(ruling);
                }
            }
        }
        Ok(())
    }

    /// Sends what a chunk leaves over.
    pub(super) fn release(&mut self, event: &Event, document: &Document, desk: &mut Desk) -> Result<(), Fault> {
        let root = document.root();
        let choices = choices_of(root)?;
        let mut spans = Vec::new();
        for text in choices.iter().flat_map(|(_, choice)| texts_in(*choice)) {
            spans_of(text, &mut spans)?;
        }
        let mut edits = self.known.edits(document, spans, &desk.cover)?;
        let mut blank = assembles(desk) && !choices.is_empty();
        for (index, choice) in choices {
            self.strain(index, choice, &mut edits, desk)?;
            let removed = assembles(desk) && remove_calls(choice, &mut edits)?;
            blank &= removed && is_blank(choice);
            if is_finishing(choice) {
                let left = self.finish(index, &Frame::of(root, &desk.cover)?, desk)?;
                if left == Left::Nothing
                    && let Some(reason) = choice.get("finish_reason").filter(|reason| is_of_calls(*reason))
                {
                    edits.replace_text(reason, "stop")?;
                }
            }
        }
        let swallowed = desk.options.usage_chunk == UsageChunk::Swallow && is_of_usage(root);
        let counts = root.get("usage").is_some_and(|usage| !usage.is_null());
        if !(swallowed || blank && !counts) {
            desk.outlet.send(None, edits.apply());
        }
        if self.texts.holds() || self.choices.values().any(Choice::has_calls) {
            self.skeleton = Some(event.clone());
        }
        if root.get("error").is_some_and(|error| !error.is_null()) {
            self.clear();
            desk.stage = Stage::Ended;
        }
        Ok(())
    }

    /// Sends what is held of every text and call, at a regular end.
    pub(super) fn flush(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        let Some(skeleton) = self.skeleton.take() else { return Ok(()) };
        let document = Document::parse(skeleton.data, LIMITS)?;
        let frame = Frame::of(document.root(), &desk.cover)?;
        let indexes: Vec<i64> = self.choices.keys().copied().collect();
        for index in indexes {
            self.finish(index, &frame, desk)?;
        }
        Ok(())
    }

    /// Forgets everything that is held.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Tells whether no more is kept than an unfinished text needs.
    #[cfg(test)]
    pub(super) fn is_small(&self) -> bool {
        self.choices.len() <= 1 && self.assembled == 0
    }

    fn absorb(&mut self, index: i64, choice: Node<'_>, desk: &Desk) -> Result<Vec<ToolCall>, Fault> {
        let state = self.choice(index)?;
        let mut added = 0;
        if let Some(delta) = choice.get("delta") {
            added = state.absorb(delta, desk.options.max_call_bytes)?;
            state.said |= delta.get("content").and_then(|content| content.text()).is_some_and(|text| !text.is_empty());
        }
        // A chunk has no whole message; calls in one would reach clients that look for it.
        if desk.asks() && choice.get("message").is_some_and(has_calls) {
            return Err(Fault::Contradiction);
        }
        let asked = if is_finishing(choice) && desk.asks() { state.unruled() } else { Vec::new() };
        self.assembled = self.assembled.saturating_add(added);
        if self.assembled > QUEUE_BYTES { Err(Fault::TooLarge) } else { Ok(asked) }
    }

    /// Puts what may be released in the place of each piece of a text.
    fn strain(&mut self, index: i64, choice: Node<'_>, edits: &mut Edits<'_>, desk: &Desk) -> Result<(), Fault> {
        if desk.cover.is_open() {
            return Ok(());
        }
        let finished = self.choice(index)?.finished;
        let (untouched, ends) = (edits.is_empty(), is_finishing(choice));
        let scope = scope_of(index);
        let texts = &mut self.texts;
        let mut visit = |node: Node<'_>, steps: &[Step<'_>]| {
            let piece = node.text().unwrap_or_default();
            let call = matches!(steps, [_, Step::Member(name), ..] if is_call(name));
            if call || piece.is_empty() && !ends {
                return Ok(());
            }
            if finished && !piece.is_empty() {
                return Err(Fault::Late);
            }
            let mut released = String::with_capacity(piece.len());
            texts.push(Place { scope: &scope, frame: FRAME, steps }, &piece, &desk.cover, &mut released)?;
            if ends {
                texts.finish(&desk.cover, &mut released)?;
            }
            if !untouched || released != piece {
                edits.replace_text(node, &released)?;
            }
            Ok(())
        };
        for (name, node) in TEXTS.iter().filter_map(|name| Some((*name, choice.get(name)?))) {
            texts_of(node, &mut vec![Step::Member(name.into())], &mut visit)?;
        }
        Ok(())
    }

    /// Sends what is held of a choice, then its calls.
    fn finish(&mut self, index: i64, frame: &Frame, desk: &mut Desk) -> Result<Left, Fault> {
        for rest in self.texts.end(&scope_of(index), &desk.cover)? {
            desk.outlet.send(None, frame.chunk(index, &members(&rest)));
        }
        let state = self.choice(index)?;
        state.finished = true;
        let outcome = state.settle(desk.options.firewall);
        for delta in &outcome.deltas {
            desk.outlet.send(None, frame.delta(index, delta, &desk.cover)?);
        }
        if let Some(words) = &outcome.words {
            desk.outlet.send(None, frame.chunk(index, &format!(r#""delta":{{"content":{}}}"#, quoted(words))));
        }
        Ok(if outcome.deltas.is_empty() && outcome.words.is_some() { Left::Nothing } else { Left::AsItWas })
    }

    fn choice(&mut self, index: i64) -> Result<&mut Choice, Fault> {
        if self.choices.len() >= MAX_CHOICES && !self.choices.contains_key(&index) {
            return Err(Fault::TooMany);
        }
        Ok(self.choices.entry(index).or_default())
    }
}

/// Members of a choice with texts in pieces.
const TEXTS: [&str; 2] = ["delta", "text"];

fn texts_in(choice: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    TEXTS.iter().filter_map(move |name| choice.get(name))
}

/// What stands around the steps of a text in a chunk.
const FRAME: [&str; 2] = [r#"{"choices":["#, "]}"];

/// Whether a choice had calls and has none any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    Nothing,
    AsItWas,
}

/// The choices of a chunk with their indexes.
fn choices_of(root: Node<'_>) -> Result<Vec<(i64, Node<'_>)>, Fault> {
    let mut choices: Vec<(i64, Node<'_>)> = Vec::new();
    for choice in root.get("choices").into_iter().flat_map(|choices| choices.items()) {
        let index = match choice.get("index") {
            Some(index) => index.as_i64().ok_or(Fault::Contradiction)?,
            None => 0,
        };
        if choices.iter().any(|(other, _)| *other == index) {
            return Err(Fault::Contradiction);
        }
        if choices.len() >= MAX_CHOICES {
            return Err(Fault::TooMany);
        }
        choices.push((index, choice));
    }
    Ok(choices)
}

/// Tells whether calls are put together: to be asked about, or because half of one cannot be masked.
fn assembles(desk: &Desk) -> bool {
    desk.asks() || !desk.cover.is_open()
}

fn scope_of(index: i64) -> String {
    format!("choice={index}\n")
}

/// The members of a choice that tell the rest of a text.
fn members(rest: &Rest) -> String {
    let nested = nest(&rest.steps, &rest.text);
    nested.strip_prefix('{').and_then(|nested| nested.strip_suffix('}')).unwrap_or_default().to_owned()
}

fn is_finishing(choice: Node<'_>) -> bool {
    // Some servers say an empty one all along.
    choice.get("finish_reason").is_some_and(|reason| !reason.is_null() && reason.raw() != b"\"\"")
}

fn is_of_calls(reason: Node<'_>) -> bool {
    reason.text().is_some_and(|reason| matches!(&*reason, "tool_calls" | "function_call"))
}

fn is_call(name: &str) -> bool {
    matches!(name, "tool_calls" | "function_call")
}

fn has_calls(message: Node<'_>) -> bool {
    message.members().any(|(name, value)| is_call(&name) && !value.is_null())
}

/// Takes the pieces of calls out of a choice; tells whether there were any.
fn remove_calls(choice: Node<'_>, edits: &mut Edits<'_>) -> Result<bool, Fault> {
    let mut removed = false;
    let members = choice.get("delta").into_iter().flat_map(|delta| delta.members());
    for (_, value) in members.filter(|(name, value)| is_call(name) && !value.is_null()) {
        edits.remove(value)?;
        removed = true;
    }
    Ok(removed)
}

/// Tells whether nothing but calls is in a choice.
fn is_blank(choice: Node<'_>) -> bool {
    let mut members = choice.get("delta").into_iter().flat_map(|delta| delta.members());
    !is_finishing(choice) && members.all(|(name, value)| is_call(&name) || value.is_null())
}
