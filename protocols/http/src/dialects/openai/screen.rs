//! What a client may see of an answer of the OpenAI API: a pure machine between the server's events and the client's.
//!
//! Events and bodies go in, bytes and questions come out. Texts that come in pieces are released as far as the veil
//! can tell what they are; calls of tools are kept until somebody ruled on them; what is known by no rule ends the
//! stream with an error of the API. Nothing of the server's leaves as it came without having been parsed.

mod beside;
mod body;
mod call;
mod chat;
mod choice;
mod chunk;
mod cover;
mod desk;
mod fault;
mod held;
mod items;
mod kinds;
mod known;
mod notes;
mod options;
mod outlet;
mod responses;
#[cfg(test)]
mod tests;
mod text;
mod usage;
mod words;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use sluice_mask::json::{Document, Kind, Limits, Node};
use sluice_wire::Object;

use crate::refusal::Words;
use crate::sse::Event;
use crate::veil::Veil;

pub(crate) use call::{CallKind, CallRuling, ToolCall};
pub(crate) use fault::Fault;
pub(crate) use notes::Notes;
pub(crate) use options::{Firewall, Options, Shape, UsageChunk};
pub(crate) use usage::Usage;

use body::strays;
use chat::Chat;
use cover::{Cover, LIMITS};
use desk::{Desk, Question, Stage, Then};
use kinds::{Form, form_of, is_of_usage, stage_after};
use responses::{OF_STEP, Responses, step_calls};
use words::Failure;

/// Bytes that wait at most: events behind a question, events of calls, texts that are looked at as a whole.
const QUEUE_BYTES: usize = 4 << 20;

/// Values and names in one event.
const MAX_NODES: u32 = 1 << 18;

/// How the server's stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The body was complete.
    Clean,
    /// The connection broke, or the body was cut short.
    Broken,
}

/// What comes out of a screen. `Debug` prints no content.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Next {
    /// For the client, encoded.
    Bytes(Bytes),
    /// Objects that what comes next tells of.
    Told(Vec<Object>),
    /// A call that somebody has to rule on, with [`Screen::ruled`]. Until then nothing comes after it.
    Ask(ToolCall),
    /// The answer is over.
    Finished,
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Told(objects) => write!(f, "Told({})", objects.len()),
            Self::Ask(call) => write!(f, "Ask({call:?})"),
            Self::Finished => f.write_str("Finished"),
        }
    }
}

/// A machine for one answer. Pure: it does no I/O and knows no time.
pub(crate) struct Screen {
    shape: Shape,
    desk: Desk,
    chat: Chat,
    responses: Responses,
    /// The event that is being looked at, kept for its memory.
    document: Document,
    question: Option<Question>,
    waiting: VecDeque<Event>,
    waiting_bytes: usize,
    ending: Option<End>,
    over: bool,
    fault: Option<Fault>,
    /// The answer is one body, which has no place for an error of ours.
    whole: bool,
}

impl Screen {
    /// A screen for one answer.
    pub(crate) fn new(veil: Veil, shape: Shape, options: Options) -> Self {
        let size_bytes = u32::try_from(options.max_event_bytes).unwrap_or(u32::MAX);
        let limits = Limits { size_bytes, nodes: MAX_NODES, ..Limits::STANDARD };
        Self {
            shape,
            desk: Desk::new(Cover::new(veil, options.model_alias.clone()), shape, options),
            chat: Chat::default(),
            responses: Responses::default(),
            document: Document::null(limits),
            question: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            ending: None,
            over: false,
            fault: None,
            whole: false,
        }
    }

    /// Takes an event of the server.
    ///
    /// # Errors
    ///
    /// Why the answer cannot be shown; the error for the client and the end are in the queue then. An event that
    /// waited behind a question fails later, which [`Screen::fault`] tells.
    pub(crate) fn event(&mut self, event: Event) -> Result<(), Fault> {
        if self.over || self.ending.is_some() {
            return Ok(());
        }
        if self.question.is_none() && self.waiting.is_empty() {
            return self.take(event);
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(event.data.len()).saturating_add(size_of::<Event>());
        self.waiting.push_back(event);
        if self.waiting_bytes > QUEUE_BYTES { Err(self.break_off(Fault::TooLarge)) } else { Ok(()) }
    }

    /// Takes a whole JSON body, also one that tells an error.
    ///
    /// # Errors
    ///
    /// Why the body cannot be shown; nothing but the end is in the queue then.
    pub(crate) fn body(&mut self, body: Bytes) -> Result<(), Fault> {
        self.whole = true;
        self.desk.notes.tell_nothing();
        let question = body::body(body, &mut self.desk).map_err(|fault| self.break_off(fault))?;
        self.ask(question).map_err(|fault| self.break_off(fault))
    }

    /// Takes the end of the server's stream.
    pub(crate) fn end(&mut self, how: End) {
        if !self.whole {
            self.ending.get_or_insert(how);
        }
    }

    /// Takes the ruling on the call that was asked about.
    pub(crate) fn ruled(&mut self, ruling: CallRuling) {
        let Some(mut question) = self.question.take() else { return };
        if let (CallRuling::Allow, Some(call)) = (&ruling, question.call()) {
            self.desk.notes.call(&call.id);
        }
        question.rule(ruling);
        if let Some(call) = question.call() {
            self.desk.outlet.ask(call.clone());
            self.question = Some(question);
            return;
        }
        if let Err(fault) = self.resume(question) {
            self.break_off(fault);
        }
    }

    /// Ends the answer with an error of ours. What is held does not leave.
    pub(crate) fn fail(&mut self, words: &Words) {
        self.stop(&Failure::of(words));
    }

    /// The same where nobody takes down any more what is told.
    pub(crate) fn fail_untold(&mut self, words: &Words) {
        self.desk.outlet.forget_told();
        self.stop(&Failure::of(words));
    }

    /// The same where what was told last was not taken down.
    pub(crate) fn fail_at_once(&mut self, words: &Words) {
        self.desk.outlet.clear();
        self.stop(&Failure::of(words));
    }

    /// What comes next, or `None` until something goes in.
    pub(crate) fn next(&mut self) -> Option<Next> {
        loop {
            if let Some(next) = self.desk.outlet.pop() {
                return Some(next);
            }
            if self.over || self.question.is_some() {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                let bytes = event.data.len().saturating_add(size_of::<Event>());
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
                // The client and `fault` are told; nobody waits for this event's own result any more.
                let _told = self.take(event);
            } else if let Some(how) = self.ending.take() {
                self.close(how);
            } else {
                return None;
            }
        }
    }

    /// Whether the server may go on: what it sends while somebody rules on a call has to wait here.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes < QUEUE_BYTES / 4
    }

    /// Reads nothing but the usage of an event or a body.
    pub(crate) fn count(&mut self, json: Bytes) {
        if let Ok(document) = Document::parse(json, LIMITS) {
            self.desk.count_tokens(document.root());
        }
    }

    /// Tokens as the server counted them last.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.desk.usage
    }

    /// The id of what the answer is.
    pub(crate) fn object(&self) -> Option<&str> {
        self.desk.notes.object.as_deref()
    }

    /// Ids that the answer brought into being.
    #[cfg(test)]
    pub(crate) fn notes(&self) -> &Notes {
        &self.desk.notes
    }

    /// Why the answer was broken off, if it was.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    fn take(&mut self, event: Event) -> Result<(), Fault> {
        let question = self.read(event).map_err(|fault| self.break_off(fault))?;
        self.ask(question).map_err(|fault| self.break_off(fault))
    }

    fn read(&mut self, event: Event) -> Result<Option<Question>, Fault> {
        let mark = event.data.trim_ascii() == MARK;
        if event.data.is_empty() || self.desk.stage == Stage::Ended && !(mark && self.shape == Shape::Responses) {
            return Ok(None);
        }
        if mark {
            return self.mark(event);
        }
        let mut document = std::mem::replace(&mut self.document, Document::null(Limits::STANDARD));
        document.reparse(event.data.clone())?;
        let question = self.look(event, &document);
        self.document = document;
        question
    }

    fn look(&mut self, event: Event, document: &Document) -> Result<Option<Question>, Fault> {
        let root = document.root();
        if root.kind() != Kind::Object {
            return Err(Fault::UnknownEvent);
        }
        self.desk.note(root);
        if self.desk.lets_pass() {
            self.pass(event, document)?;
            return Ok(None);
        }
        let form = form_of(self.shape, event.name.as_deref(), root)?;
        if self.desk.asks() {
            let unruled = self.elsewhere(&form, root)?;
            if !unruled.is_empty() {
                return Ok(Some(Question::new(unruled, Then::Event(event))));
            }
        }
        match form {
            Form::Chunk => self.chat.chunk(&event, document, &mut self.desk),
            Form::Typed(kind) => self.responses.event(&kind, event, document, &mut self.desk),
            Form::Error => {
                self.refused(root)?;
                Ok(None)
            }
        }
    }

    /// The calls that stand elsewhere in an event than where events have them, and on which nobody ruled. What comes in
    /// pieces may have nothing but a part of one.
    fn elsewhere(&self, form: &Form<'_>, root: Node<'_>) -> Result<Vec<ToolCall>, Fault> {
        let (in_pieces, is_of_step) = match form {
            Form::Chunk => (true, false),
            Form::Typed(kind) => (kind.ends_with(".delta"), kind == OF_STEP),
            Form::Error => (false, false),
        };
        if self.shape == Shape::Agents {
            let calls = strays::calls_of_session(root)?;
            return if in_pieces && !calls.is_empty() { Err(Fault::Contradiction) } else { self.desk.unruled(calls) };
        }
        let calls = strays::calls_of_event(root, step_calls(root).filter(|_| is_of_step))?;
        if in_pieces && !calls.is_empty() { Err(Fault::Contradiction) } else { self.desk.unruled(calls) }
    }

    /// Sends an event of an answer in which there is nothing to hide and nothing to ask about.
    fn pass(&mut self, event: Event, document: &Document) -> Result<(), Fault> {
        let root = document.root();
        let form = form_of(self.shape, event.name.as_deref(), root);
        if form == Ok(Form::Chunk) && is_of_usage(root) && self.desk.options.usage_chunk == UsageChunk::Swallow {
            return Ok(());
        }
        self.desk.outlet.relay(event.name, root, self.desk.cover.edits(document)?)?;
        match form {
            Ok(Form::Typed(kind)) => self.desk.stage = stage_after(self.shape, &kind).unwrap_or(self.desk.stage),
            Ok(Form::Error) => self.desk.stage = Stage::Ended,
            Ok(Form::Chunk) => {}
            // Nothing is known of how such a stream ends.
            Err(_) => self.desk.stage = Stage::Complete,
        }
        Ok(())
    }

    /// Sends an error of the server, and nothing that stands beside it.
    fn refused(&mut self, root: Node<'_>) -> Result<(), Fault> {
        let error = root.get("error").map_or(Ok(""), |error| str::from_utf8(error.raw())).unwrap_or_default();
        let (name, head) = match self.shape {
            Shape::Responses => (Some("error".into()), r#""type":"error","#),
            Shape::Agents => (None, r#""type":"error","#),
            Shape::Chat | Shape::Completions | Shape::Other => (None, ""),
        };
        let data = self.desk.cover.apply(format!(r#"{{{head}"error":{error}}}"#))?;
        self.desk.outlet.send(name, data);
        self.desk.stage = Stage::Ended;
        Ok(())
    }

    /// Takes `[DONE]`.
    fn mark(&mut self, event: Event) -> Result<Option<Question>, Fault> {
        if let Some(question) = self.chat.mark(&event, &self.desk) {
            return Ok(Some(question));
        }
        self.chat.flush(&mut self.desk)?;
        self.responses.flush(&mut self.desk)?;
        let name = event.name.filter(|name| &**name == "done");
        self.desk.outlet.send(name, Bytes::from_static(MARK));
        self.desk.stage = Stage::Ended;
        Ok(None)
    }

    fn ask(&mut self, question: Option<Question>) -> Result<(), Fault> {
        let Some(question) = question else {
            if self.whole {
                self.over = true;
                self.desk.outlet.finish();
            }
            return Ok(());
        };
        self.desk.count(&question)?;
        if let Some(call) = question.call() {
            self.desk.outlet.ask(call.clone());
        }
        self.question = Some(question);
        Ok(())
    }

    fn resume(&mut self, question: Question) -> Result<(), Fault> {
        let Question { rulings, then, .. } = question;
        match then {
            Then::Item(held, done) => {
                for (call, ruling) in rulings {
                    self.responses.ruled(&held, done.clone(), &ruling, &mut self.desk)?;
                    self.desk.ledger.enter(&call, ruling);
                }
                Ok(())
            }
            Then::Chunk(event) => {
                let document = Document::parse(event.data.clone(), Limits::STANDARD)?;
                self.chat.rule(rulings, Some(document.root()))?;
                self.chat.release(&event, &document, &mut self.desk)
            }
            Then::Mark(event) => {
                self.chat.rule(rulings, None)?;
                self.take(event)
            }
            Then::Event(event) => {
                self.enter(rulings);
                self.take(event)
            }
            Then::Body(bytes) => {
                self.enter(rulings);
                self.body(bytes)
            }
        }
    }

    fn enter(&mut self, rulings: Vec<(ToolCall, CallRuling)>) {
        for (call, ruling) in rulings {
            self.desk.ledger.enter(&call, ruling);
        }
    }

    fn stop(&mut self, failure: &Failure<'_>) {
        if self.over {
            return;
        }
        self.over = true;
        self.question = None;
        for event in std::mem::take(&mut self.waiting) {
            self.count(event.data);
        }
        self.chat.clear();
        self.responses.clear();
        self.desk.outlet.retract();
        if !self.whole && self.desk.stage != Stage::Ended {
            let event = failure.event(self.shape, self.desk.outlet.number_new());
            self.desk.outlet.send(event.name, event.data);
        }
        self.desk.outlet.finish();
    }

    fn close(&mut self, how: End) {
        match how {
            End::Clean if self.desk.stage != Stage::Open => {
                if let Err(fault) = self.responses.flush(&mut self.desk) {
                    self.break_off(fault);
                    return;
                }
                self.over = true;
                self.desk.outlet.finish();
            }
            End::Clean | End::Broken => self.stop(&Failure::TORN),
        }
    }

    fn break_off(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault);
        self.stop(&fault.failure());
        fault
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Screen({:?}, {} waiting, {:?})", self.shape, self.waiting.len(), self.fault)
    }
}

/// The data of the event after the last chunk.
const MARK: &[u8] = b"[DONE]";
