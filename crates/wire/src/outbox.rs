//! What a machine asks the kernel to do, in order.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use sluice_model::{OpId, Operation, Spend};

/// One step.
#[derive(Debug)]
pub enum Step<F> {
    /// May this operation happen? Answered by one `Ruled`, after a `Held` if people must decide.
    Ask(OpId, Operation),
    /// Send to the server, under an operation that was allowed.
    ToServer(OpId, F),
    /// Send to the client, as part of an operation's answer.
    ToClient(OpId, F),
    /// Nobody needs the answer to this question any more: if people are asked, they are told so. A `Ruled` still follows.
    Withdraw(OpId),
    /// The flow waits no longer for the people who were asked, but the request stands: an equal operation of the same
    /// session takes it up. A `Ruled` still follows.
    Leave(OpId),
    /// What an operation used up in truth, where its budgets were reserved by an estimate.
    Settle(OpId, Spend),
    /// Nothing more follows for this operation; its allow is withdrawn.
    Done(OpId),
    /// Write a fact down that no frame shows.
    Note(Note),
    /// Wait for something outside the flow before more client frames are taken; answered by `Returned`.
    Errand(Errand),
    /// End the flow once everything before is sent.
    Close,
}

/// Something outside the flow that the protocol waits for: a fresh catalog, say. It carries no frame and no verdict.
pub struct Errand(pub Pin<Box<dyn Future<Output = ()> + Send>>);

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}

/// A fact for the recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    pub kind: &'static str,
    pub values: Vec<(&'static str, String)>,
}

/// The queue of steps; a machine pushes, the kernel drains it after every input.
#[derive(Debug)]
pub struct Outbox<F> {
    steps: VecDeque<Step<F>>,
}

impl<F> Default for Outbox<F> {
    fn default() -> Self {
        Self { steps: VecDeque::new() }
    }
}

impl<F> Outbox<F> {
    /// Asks whether an operation may happen.
    pub fn ask(&mut self, op: OpId, operation: Operation) {
        self.steps.push_back(Step::Ask(op, operation));
    }

    /// Sends a frame to the server under an operation.
    pub fn to_server(&mut self, op: OpId, frame: F) {
        self.steps.push_back(Step::ToServer(op, frame));
    }

    /// Sends a frame to the client.
    pub fn to_client(&mut self, op: OpId, frame: F) {
        self.steps.push_back(Step::ToClient(op, frame));
    }

    /// Takes a question back.
    pub fn withdraw(&mut self, op: OpId) {
        self.steps.push_back(Step::Withdraw(op));
    }

    /// Stops waiting for people, and leaves the request standing.
    pub fn leave(&mut self, op: OpId) {
        self.steps.push_back(Step::Leave(op));
    }

    /// Says what an operation used up.
    pub fn settle(&mut self, op: OpId, spent: Spend) {
        self.steps.push_back(Step::Settle(op, spent));
    }

    /// Ends an operation.
    pub fn done(&mut self, op: OpId) {
        self.steps.push_back(Step::Done(op));
    }

    /// Writes a fact down.
    pub fn note(&mut self, kind: &'static str, values: Vec<(&'static str, String)>) {
        self.steps.push_back(Step::Note(Note { kind, values }));
    }

    /// Waits for something outside the flow.
    pub fn errand(&mut self, errand: impl Future<Output = ()> + Send + 'static) {
        self.steps.push_back(Step::Errand(Errand(Box::pin(errand))));
    }

    /// Ends the flow.
    pub fn close(&mut self) {
        self.steps.push_back(Step::Close);
    }

    /// Takes the oldest step.
    pub fn pop(&mut self) -> Option<Step<F>> {
        self.steps.pop_front()
    }
}
