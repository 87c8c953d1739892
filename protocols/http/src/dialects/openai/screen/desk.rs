//! What every part of a screen works with.

use std::collections::VecDeque;

use bytes::Bytes;
use sluice_mask::json::Node;

use crate::sse::Event;

use super::call::{CallRuling, Ledger, ToolCall};
use super::cover::Cover;
use super::held::Held;
use super::outlet::Outlet;
use super::usage::Usage;
use super::{Fault, Firewall, Notes, Options, Shape};

/// Questions about one answer.
const MAX_QUESTIONS: usize = 4096;

/// The parts of a screen that do not depend on the form of the answer.
pub(super) struct Desk {
    pub(super) cover: Cover,
    pub(super) shape: Shape,
    pub(super) options: Options,
    pub(super) outlet: Outlet,
    pub(super) ledger: Ledger,
    pub(super) usage: Option<Usage>,
    pub(super) notes: Notes,
    pub(super) stage: Stage,
    questions: usize,
}

impl Desk {
    pub(super) fn new(cover: Cover, shape: Shape, options: Options) -> Self {
        Self {
            cover,
            shape,
            outlet: Outlet::beginning_after(options.after),
            notes: Notes::of(options.yields.clone()),
            options,
            ledger: Ledger::default(),
            usage: None,
            stage: Stage::Open,
            questions: 0,
        }
    }

    /// Tells whether calls are operations.
    pub(super) fn asks(&self) -> bool {
        match self.options.firewall {
            Firewall::On => true,
            Firewall::Off => false,
        }
    }

    /// Tells whether there is nothing to hide and nothing to ask, so that all that is JSON passes.
    pub(super) fn lets_pass(&self) -> bool {
        self.cover.is_open() && !self.asks()
    }

    /// Those of these calls that nobody ruled on. Nothing can stand in the place of one that was refused.
    pub(super) fn unruled(&self, calls: Vec<ToolCall>) -> Result<Vec<ToolCall>, Fault> {
        let looked_up = if calls.is_empty() { Vec::new() } else { self.ledger.look_up(calls)? };
        let unruled: Vec<ToolCall> =
            looked_up.iter().filter(|(_, ruling)| ruling.is_none()).map(|(call, _)| call.clone()).collect();
        let allowed =
            looked_up.iter().all(|(_, ruling)| ruling.as_ref().is_none_or(|ruling| *ruling == CallRuling::Allow));
        if unruled.is_empty() && !allowed { Err(Fault::Refused) } else { Ok(unruled) }
    }

    /// Takes down what a document says that the answer took so far.
    pub(super) fn count_tokens(&mut self, root: Node<'_>) {
        self.usage = Usage::of(root).or(self.usage);
    }

    /// Counts the calls of a question.
    pub(super) fn count(&mut self, question: &Question) -> Result<(), Fault> {
        self.questions = self.questions.saturating_add(question.calls.len());
        if self.questions > MAX_QUESTIONS { Err(Fault::TooMany) } else { Ok(()) }
    }

    /// Writes down what a document says of itself.
    pub(super) fn note(&mut self, root: Node<'_>) {
        self.count_tokens(root);
        self.notes.read(root);
        let told = self.notes.take_told();
        if !told.is_empty() {
            self.outlet.tell(told);
        }
        if !self.asks() {
            self.notes.read_calls(root);
        }
    }
}

/// How far the server's stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// The end would come too early.
    Open,
    /// The end may come.
    Complete,
    /// Nothing else may come.
    Ended,
}

/// Calls that somebody has to rule on, and what comes then.
pub(super) struct Question {
    calls: VecDeque<ToolCall>,
    pub(super) rulings: Vec<(ToolCall, CallRuling)>,
    pub(super) then: Then,
}

/// What goes on after the last ruling.
pub(super) enum Then {
    /// A call of a response, and its last event.
    Item(Box<Held>, Event),
    /// A typed event with a whole response in it.
    Event(Event),
    /// A chunk that ends choices.
    Chunk(Event),
    /// The end mark of chunks.
    Mark(Event),
    Body(Bytes),
}

impl Question {
    pub(super) fn new(calls: Vec<ToolCall>, then: Then) -> Self {
        Self { calls: calls.into(), rulings: Vec::new(), then }
    }

    /// The call that is asked about.
    pub(super) fn call(&self) -> Option<&ToolCall> {
        self.calls.front()
    }

    /// Takes the ruling for that call.
    pub(super) fn rule(&mut self, ruling: CallRuling) {
        if let Some(call) = self.calls.pop_front() {
            self.rulings.push((call, ruling));
        }
    }
}
