//! What a flow did, step by step.

use std::fmt;

use sluice_model::{OpId, Operation, Spend, Stage};

use super::escape::escape;
use crate::{Note, Side, Violation};

/// One step of a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A question.
    Asked {
        op: OpId,
        action: &'static str,
        stage: Stage,
        text: Vec<u8>,
        bound: Option<Vec<u8>>,
    },
    /// Its answer.
    Ruled {
        op: OpId,
        word: &'static str,
    },
    /// It waits for people.
    Held(OpId),
    Withdrawn(OpId),
    /// The flow waits no longer, and the request stands.
    Left(OpId),
    /// What went out of a frame.
    Sent {
        op: OpId,
        toward: Side,
        bytes: Vec<u8>,
    },
    /// What an operation used up.
    Settled(OpId, Spend),
    /// An operation that is over.
    Done(OpId),
    /// A fact written down.
    Noted(Note),
    /// The flow waits for something outside.
    Errand,
    /// It waits no longer.
    Returned,
    /// The machine ended the flow.
    Closed,
    /// A peer broke the protocol, which ended the flow.
    Broke(Violation),
}

/// Everything a stream's flows did, in order. Frames of one operation that follow each other are one event, because a frame may
/// stand for a run of messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trace(Vec<Event>);

impl Event {
    pub(crate) fn asked(op: OpId, operation: &Operation) -> Self {
        Self::Asked {
            op,
            action: operation.shape.action.name,
            stage: operation.stage,
            text: operation.text.content().to_vec(),
            bound: operation.bound.as_ref().map(|bound| bound.content().to_vec()),
        }
    }
}

impl Trace {
    pub(crate) fn push(&mut self, event: Event) {
        match (self.0.last_mut(), event) {
            (Some(Event::Sent { op, toward, bytes }), Event::Sent { op: same, toward: way, bytes: more })
                if *op == same && *toward == way =>
            {
                bytes.extend(more);
            }
            (_, event) => self.0.push(event),
        }
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.0
    }

    pub(crate) fn last(&self) -> Option<&Event> {
        self.0.last()
    }

    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.0)
    }

    /// The first event in which two traces differ, for a message.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let at = self.0.iter().zip(&other.0).take_while(|(one, two)| one == two).count();
        let show = |trace: &Self| trace.0.get(at).map_or_else(|| "the end".to_owned(), ToString::to_string);
        format!("step {at} is `{}`, and with the bytes cut it is `{}`", show(self), show(other))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { op, action, stage, text, bound } => {
                let stage = match stage {
                    Stage::Prepare => "prepare",
                    Stage::Perform => "perform",
                };
                write!(f, "ask {} {action} {stage}: {}", op.0, escape(text))?;
                match bound {
                    Some(bound) => write!(f, " with {}", escape(bound)),
                    None => Ok(()),
                }
            }
            Self::Ruled { op, word } => write!(f, "{word} {}", op.0),
            Self::Held(op) => write!(f, "held {}", op.0),
            Self::Withdrawn(op) => write!(f, "withdrawn {}", op.0),
            Self::Left(op) => write!(f, "left standing {}", op.0),
            Self::Settled(op, Spend { requests, tokens, cost_micros }) => {
                write!(f, "spent {}: requests={requests} tokens={tokens} cost_micros={cost_micros}", op.0)
            }
            Self::Sent { op, toward, bytes } => write!(f, "to {toward} {}: {}", op.0, escape(bytes)),
            Self::Done(op) => write!(f, "done {}", op.0),
            Self::Noted(note) => {
                write!(f, "note {}", note.kind)?;
                note.values.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
            }
            Self::Errand => f.write_str("errand"),
            Self::Returned => f.write_str("returned"),
            Self::Closed => f.write_str("close"),
            Self::Broke(violation) => write!(f, "{violation}"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}
