//! What goes on of an exchange once nothing more of it goes to the client: an answer that is read on for what it used.
//!
//! Only its end tells what a server has read besides the request, such as an earlier response, so that whoever leaves
//! before would use as much of it as they like.

use sluice_model::{Obligations, Unit};
use sluice_wire::Outbox;

use super::{HttpMachine, Prepared, State, settle};
use crate::frame::Frame;

/// What becomes of the rest of an answer that the client does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// Nobody needs it.
    Dropped,
    /// It is read, as it tells what a budget has to know.
    Counted,
    /// It is being read, and the client gets nothing of it.
    Alone,
}

impl Rest {
    /// Of what is sent under an allow with these obligations.
    pub(super) fn of(prepared: &Prepared, obligations: &Obligations) -> Self {
        let counted = |unit: Unit| matches!(unit, Unit::Tokens | Unit::Cost);
        let open = prepared.expected.openai.as_ref().is_some_and(|expectation| expectation.open);
        let counts = obligations.controls.budgets.iter().any(|budget| counted(budget.unit));
        if open && counts { Self::Counted } else { Self::Dropped }
    }
}

impl HttpMachine {
    /// The client has left, or has all that it gets.
    pub(super) fn client_left(&mut self, out: &mut Outbox<Frame>) {
        self.gone = true;
        if !self.is_left_alone(out) {
            out.close();
        }
    }

    /// Whether an answer is read on without the client, from here on or already.
    pub(super) fn is_left_alone(&mut self, out: &mut Outbox<Frame>) -> bool {
        let State::Sent(sent) = &mut self.state else { return false };
        match sent.rest {
            Rest::Dropped => false,
            Rest::Alone => true,
            Rest::Counted if sent.answer.leave() => {
                sent.rest = Rest::Alone;
                if let Some(question) = sent.question.take() {
                    out.withdraw(question);
                    out.done(question);
                }
                out.note("llm.read_on", vec![("op", sent.op.0.to_string())]);
                true
            }
            Rest::Counted => false,
        }
    }

    /// Goes on with such an answer, up to its end.
    pub(super) fn read_on(&mut self, out: &mut Outbox<Frame>) {
        if let State::Sent(sent) = &mut self.state
            && !sent.answer.leave()
        {
            self.leave_off(out);
        }
    }

    /// Settles what such an answer has used.
    pub(super) fn leave_off(&mut self, out: &mut Outbox<Frame>) {
        if let State::Sent(sent) = std::mem::replace(&mut self.state, State::Over) {
            settle(&sent, out);
            out.done(sent.op);
        }
        if self.gone {
            out.close();
        }
    }
}

#[cfg(test)]
mod tests;
