//! Work in the background that waits for people while its client does not.

use sluice_model::{OpId, Refusal};
use sluice_wire::{HoldNotice, Outbox};

use super::{HttpMachine, State, Turned};
use crate::dialects::openai::{self, Allowed, Found, Held, Later, Whole};
use crate::frame::{Frame, Request};
use crate::refusal::Words;
use crate::request::{Prepared, read};

impl HttpMachine {
    /// Reads a head, which may ask for what waits here.
    pub(super) fn begin(&mut self, head: &Request, out: &mut Outbox<Frame>) {
        self.method = head.method.clone();
        let turned = match self.served.deferred.find(head, &self.served, &self.asker) {
            None => read(head, &self.served, self.share()),
            Some(Found::Made(head)) => read(&head, &self.served, self.share()),
            Some(Found::Waiting(whole, later)) => self.again(head, *whole, later),
            Some(Found::Refused(words)) => Err(words),
            Some(Found::Told((head, body))) => {
                return self.answer_with(OpId::CONNECT, Frame::Response(Box::new(head)), body, out);
            }
        };
        match turned {
            Err(words) => self.refuse(OpId::CONNECT, &words, out),
            Ok(Turned::Ask(prepared)) => self.consider(*prepared, out),
            Ok(Turned::Read(reading)) => self.state = State::Reading(reading),
        }
    }

    /// A request that waits, as it would be read if it came now; what asks for it is read as well.
    fn again(&self, head: &Request, whole: Whole, later: Later) -> Result<Turned, Words> {
        let _asks = read(head, &self.served, self.share())?;
        let _came = read(&whole.head, &self.served, self.share())?;
        let mut share = self.share();
        share.keep(&whole.body)?;
        let prepared = openai::prepare(&whole.head, whole.body, &self.served, share)?;
        Ok(Turned::Ask(Box::new(Prepared { later: Some(later), ..prepared })))
    }

    /// People are asked: whoever waits hears of it, and who does not is answered.
    pub(super) fn held(&mut self, op: OpId, notice: &HoldNotice, out: &mut Outbox<Frame>) {
        if let State::Asked { prepared, .. } = &mut self.state
            && let Some(later) = &mut prepared.later
        {
            match later.held(notice.wait_seconds, &self.served, &self.asker) {
                Held::Stands => return out.leave(op),
                Held::Withdrawn => return out.withdraw(op),
                Held::Waits => prepared.later = None,
            }
        }
        if let State::Asked { prepared, .. } = &mut self.state {
            prepared.rest();
        }
        self.patience.begin(notice);
        self.soothe(out);
    }

    /// The operation was denied, or waits on without its client.
    pub(super) fn denied(&mut self, op: OpId, prepared: Prepared, refusal: &Refusal, out: &mut Outbox<Frame>) {
        match prepared.later.and_then(|later| later.denied(refusal, &self.served, &self.asker)) {
            Some((head, body)) => self.answer_with(op, Frame::Response(Box::new(head)), body, out),
            None => self.refuse(op, &Words::of(refusal), out),
        }
        out.done(op);
    }
}

/// What is sent of a request that was allowed.
pub(super) fn allowed(mut prepared: Prepared) -> Prepared {
    match prepared.later.take().map(Later::allowed) {
        Some(Allowed::Send(ticket)) => {
            if let Some(expectation) = &mut prepared.expected.openai {
                expectation.ticket = ticket;
            }
        }
        Some(Allowed::Told(told)) => prepared.own = Some(told),
        None => {}
    }
    prepared
}
