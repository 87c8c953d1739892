//! Streams of typed events: Responses, images, speech, transcripts, Assistants, agents.

use std::collections::HashSet;

use sluice_mask::json::{Document, Edits, Node};

use crate::sse::Event;

use super::body::strays::is_hosted;
use super::call::{CallRuling, ToolCall};
use super::cover::{LIMITS, erase};
use super::desk::{Desk, Question, Stage, Then};
use super::held::{Held, tells_call};
use super::items::{Named, send_refusal};
use super::kinds::{ended_by, is_whole, scope_of, stage_after};
use super::known::Known;
use super::text::{Place, Rest, Texts, nest, spans_of, texts_of};
use super::{Fault, QUEUE_BYTES, Shape};

/// Calls under way at once, and those of one stream that are over.
const MAX_CALLS: usize = 1024;

/// What is known of a stream of typed events.
#[derive(Default)]
pub(super) struct Responses {
    texts: Texts,
    known: Known,
    held: Vec<Held>,
    /// Where calls were that are over: nothing more may be told of them.
    over: HashSet<i64>,
}

/// What happens to an event when calls are operations.
enum Route {
    Pass,
    /// It is kept, or drops out.
    Stay,
    Ask(Box<Question>),
}

impl Responses {
    /// Takes an event of that kind.
    pub(super) fn event(
        &mut self,
        kind: &str,
        event: Event,
        document: &Document,
        desk: &mut Desk,
    ) -> Result<Option<Question>, Fault> {
        let root = document.root();
        if desk.shape == Shape::Agents {
            self.pass(kind, &event, document, desk)?;
            desk.stage = Stage::Complete;
            return Ok(None);
        }
        if desk.asks() && kind == OF_STEP {
            return self.step(event, document, desk);
        }
        if desk.asks() {
            match self.route(kind, &event, root, desk)? {
                Route::Pass => {}
                Route::Stay => return Ok(None),
                Route::Ask(question) => return Ok(Some(*question)),
            }
            if let Some(response) = root.get("response") {
                let calls = desk.ledger.unruled(response)?;
                if !calls.is_empty() {
                    return Ok(Some(Question::new(calls, Then::Event(event))));
                }
            }
            if !self.held.is_empty() {
                desk.outlet.disturb();
            }
        }
        self.pass(kind, &event, document, desk)?;
        if let Some(stage) = stage_after(desk.shape, kind) {
            self.clear();
            desk.stage = stage;
        }
        Ok(None)
    }

    /// Takes a piece of a step of a run. Calls that the client makes do not leave in pieces: it is told of them as a whole,
    /// when the run waits for them.
    fn step(&mut self, event: Event, document: &Document, desk: &mut Desk) -> Result<Option<Question>, Fault> {
        let mut edits = Edits::new(document);
        let mut left = 0_usize;
        for call in step_calls(document.root()) {
            if is_hosted(call) {
                left = left.saturating_add(1);
            } else {
                edits.remove(call)?;
            }
        }
        if edits.is_empty() {
            self.pass(OF_STEP, &event, document, desk)?;
        } else if left > 0 {
            let rest = Document::parse(edits.apply(), LIMITS)?;
            let event = Event { data: rest.bytes().clone(), ..event };
            self.pass(OF_STEP, &event, &rest, desk)?;
        }
        Ok(None)
    }

    /// Sends what a call became: its events, or a message.
    pub(super) fn ruled(
        &mut self,
        held: &Held,
        done: Event,
        ruling: &CallRuling,
        desk: &mut Desk,
    ) -> Result<(), Fault> {
        if self.over.len() >= MAX_CALLS {
            return Err(Fault::TooMany);
        }
        self.over.insert(held.output_index);
        if !self.held.is_empty() {
            desk.outlet.disturb();
        }
        match ruling.words() {
            None => held.release(done, &desk.cover, &mut desk.outlet),
            Some(words) => {
                let named = if done.name.is_some() { Named::Yes } else { Named::No };
                send_refusal(held.output_index, &words, named, &mut desk.outlet);
                Ok(())
            }
        }
    }

    /// Sends what is held of every text, at a regular end.
    pub(super) fn flush(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        for rest in self.texts.end("", &desk.cover)? {
            send_rest(&rest, desk)?;
        }
        self.held.clear();
        Ok(())
    }

    /// Forgets everything that is held.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.held.clear();
    }

    /// Tells whether nothing is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.texts.is_empty() && self.held.is_empty()
    }

    fn route(&mut self, kind: &str, event: &Event, root: Node<'_>, desk: &mut Desk) -> Result<Route, Fault> {
        let index = root.get("output_index").and_then(|index| index.as_i64());
        let item = root.get("item").and_then(ToolCall::of_item);
        if index.is_some_and(|index| self.over.contains(&index)) {
            desk.outlet.disturb();
            return Ok(Route::Stay);
        }
        let at = self.held.iter().position(|held| held.owns(root));
        match (kind, at, item) {
            ("response.output_item.done", at, Some(call)) => {
                let index = index.ok_or(Fault::Contradiction)?;
                if call.arguments.len() > desk.options.max_call_bytes {
                    return Err(Fault::TooLarge);
                }
                let held = match at {
                    Some(at) => self.held.remove(at),
                    None => Held::new(index, root.get("item")),
                };
                let then = Then::Item(Box::new(held), event.clone());
                Ok(Route::Ask(Box::new(Question::new(vec![call], then))))
            }
            // The last word on an item has to be of the same sort as the first one.
            ("response.output_item.done", Some(_), None) | ("response.output_item.added", Some(_), _) => {
                Err(Fault::Contradiction)
            }
            ("response.output_item.added", None, Some(_)) => {
                if self.held.len() >= MAX_CALLS {
                    return Err(Fault::TooMany);
                }
                self.held.push(Held::new(index.ok_or(Fault::Contradiction)?, root.get("item")));
                self.absorb(self.held.len().saturating_sub(1), kind, event, root, desk)
            }
            (_, Some(at), _) => self.absorb(at, kind, event, root, desk),
            (_, None, _) if tells_call(kind) => Err(Fault::Contradiction),
            (_, None, Some(_)) => Err(Fault::UnknownEvent),
            (_, None, None) => Ok(Route::Pass),
        }
    }

    fn absorb(&mut self, at: usize, kind: &str, event: &Event, root: Node<'_>, desk: &Desk) -> Result<Route, Fault> {
        if let Some(held) = self.held.get_mut(at) {
            held.absorb(kind, event.clone(), root, desk.options.max_call_bytes)?;
        }
        let kept: usize = self.held.iter().map(Held::kept_bytes).sum();
        if kept > QUEUE_BYTES { Err(Fault::TooLarge) } else { Ok(Route::Stay) }
    }

    fn pass(&mut self, kind: &str, event: &Event, document: &Document, desk: &mut Desk) -> Result<(), Fault> {
        let root = document.root();
        let mut whole = is_whole(kind);
        if !desk.cover.is_open()
            && let Some(scope) = ended_by(desk.shape, kind, root)
        {
            // The end of a text tells all of it, once, of whatever kind it is.
            whole |= kind.ends_with(".done") && self.texts.has(&scope);
            for rest in self.texts.end(&scope, &desk.cover)? {
                send_rest(&rest, desk)?;
            }
        }
        let mut edits = if whole {
            desk.cover.edits(document)?
        } else {
            let mut spans = Vec::new();
            if let Some(delta) = delta_of(kind, root) {
                spans_of(delta, &mut spans)?;
            }
            self.known.edits(document, spans, &desk.cover)?
        };
        if desk.asks()
            && let Some(response) = root.get("response")
        {
            desk.ledger.replace(response, &mut edits)?;
        }
        if !desk.cover.is_open() {
            self.strain(kind, event, root, &mut edits, desk)?;
        }
        desk.outlet.relay(event.name.clone(), root, edits)
    }

    /// Puts what may be released in the place of each piece of a text.
    fn strain(
        &mut self,
        kind: &str,
        event: &Event,
        root: Node<'_>,
        edits: &mut Edits<'_>,
        desk: &Desk,
    ) -> Result<(), Fault> {
        if let Some(member) = sound_of(kind) {
            return root.get(member).map_or(Ok(()), |sound| erase(sound, edits));
        }
        let Some(base) = kind.strip_suffix(".delta") else { return Ok(()) };
        let Some(delta) = delta_of(kind, root) else { return Ok(()) };
        let scope = scope_of(Some(base), kind, root);
        let frame = if base == OF_SHELL { FRAME_OF_OUTPUT } else { FRAME };
        let untouched = edits.is_empty();
        texts_of(delta, &mut Vec::new(), &mut |node, steps| {
            let piece = node.text().unwrap_or_default();
            let mut released = String::with_capacity(piece.len());
            self.texts.push(Place { scope: &scope, frame, steps }, &piece, &desk.cover, &mut released)?;
            self.texts.keep(event);
            if !untouched || released != piece {
                edits.replace_text(node, &released)?;
            }
            Ok(())
        })
    }
}

/// The texts in pieces of an event.
fn delta_of<'d>(kind: &str, root: Node<'d>) -> Option<Node<'d>> {
    if kind.ends_with(".delta") && sound_of(kind).is_none() { root.get("delta") } else { None }
}

/// The member of an event with a piece of sound.
fn sound_of(kind: &str) -> Option<&'static str> {
    SOUNDS.iter().find(|(sounds, _)| *sounds == kind).map(|(_, member)| *member)
}

/// The calls in a piece of a step, each of which is a piece itself.
pub(super) fn step_calls(root: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    root.at(&["delta", "step_details", "tool_calls"]).into_iter().flat_map(|calls| calls.items())
}

/// The kind of event that tells a piece of a step of a run.
pub(super) const OF_STEP: &str = "thread.run.step.delta";

/// Sends a delta with what was held of a text, in the form of the last one.
fn send_rest(rest: &Rest, desk: &mut Desk) -> Result<(), Fault> {
    let Some(skeleton) = &rest.skeleton else { return Ok(()) };
    let document = Document::parse(skeleton.data.clone(), LIMITS)?;
    let root = document.root();
    let mut edits = desk.cover.edits_beside(&document)?;
    if let Some(delta) = root.get("delta") {
        edits.replace_raw(delta, &nest(&rest.steps, &rest.text))?;
    }
    desk.outlet.insert(skeleton.name.clone(), root, edits)
}

/// What stands around the steps of a text in a typed event.
const FRAME: [&str; 2] = [r#"{"delta":"#, "}"];

/// What a shell says in pieces, and where it stands as a whole.
const OF_SHELL: &str = "response.shell_call_output_content";
const FRAME_OF_OUTPUT: [&str; 2] = [r#"{"output":["#, "]}"];

/// Pieces of sound, which nobody can look into: the kind of their events and the member.
const SOUNDS: [(&str, &str); 3] =
    [("response.audio.delta", "delta"), ("response.output_audio.delta", "delta"), ("speech.audio.delta", "audio")];
