//! How a flow ends: the last words, the last bytes, and what nobody waits for any more.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use sluice_model::{Code, Refusal};
use sluice_recording::{Outcome, Toward};
use sluice_wire::{FlowError, Input, Link, LinkError, Machine, Side, Step};
use tokio::runtime::Handle;

use crate::clock;
use crate::flow::Flow;
use crate::hold::Settled;
use crate::people::withdrawing;
use crate::state::Waiting;

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    /// Lets the machine say why the flow ends; nothing it says may reach the server.
    pub(crate) fn take_leave(&mut self, error: &FlowError) {
        if matches!(error, FlowError::Unrecorded) {
            // What waits to go out may not have been written down.
            self.client.discard();
            self.server.discard();
        }
        let Some(refusal) = farewell(error) else { return };
        while self.outbox.pop().is_some() {}
        if self.machine.handle(Input::Revoked(refusal), &mut self.outbox).is_err() {
            return;
        }
        while let Some(step) = self.outbox.pop() {
            match step {
                Step::ToClient(op, frame) => {
                    let _best_effort = self.tape.passed(op, Toward::Client, &frame);
                    self.client.feed(frame);
                }
                Step::Settle(op, spent) => self.settle_budgets(op, spent),
                Step::Ask(..)
                | Step::ToServer(..)
                | Step::Withdraw(_)
                | Step::Leave(_)
                | Step::Done(_)
                | Step::Note(_)
                | Step::Errand(_)
                | Step::Close => {}
            }
        }
    }

    /// Settles what is left of budgets: a client that leaves early has used what came until then.
    pub(crate) fn settle_the_rest(&mut self) {
        for (op, reservation) in std::mem::take(&mut self.reserved) {
            if let Some(spent) = self.machine.used(op) {
                self.ledger.settle(&reservation, spent, clock::now());
            }
        }
    }

    /// Takes back a request that nobody waits for any more.
    pub(crate) async fn withdraw(&mut self, result: &Result<(), FlowError>) {
        self.place.holding.set(false);
        if let Waiting::Filing(_, held) | Waiting::People(_, held) =
            std::mem::replace(&mut self.waiting, Waiting::Nothing)
        {
            let revoked = matches!(result, Err(FlowError::Revoked));
            let outcome = if revoked { Outcome::Revoked } else { Outcome::Withdrawn };
            let _best_effort = self.tape.settled(&held, &Settled::alone(outcome));
            self.approve.withdraw(held.notice.id.clone(), clock::now()).await;
        }
    }

    /// Gives both sides one moment to take their last bytes.
    pub(crate) async fn flush_and_close(&mut self) {
        let (mut client, mut server) = (false, false);
        let closed = poll_fn(|cx| {
            if !server {
                server = self.server.poll_close(cx).is_ready();
            }
            if !client {
                client = self.client.poll_close(cx).is_ready();
            }
            if client && server { Poll::Ready(()) } else { Poll::Pending }
        });
        let _best_effort = tokio::time::timeout(Duration::from_secs(self.limits.linger_seconds), closed).await;
    }
}

impl<M: Machine, C, S> Drop for Flow<'_, M, C, S> {
    /// A flow that is given up before its end leaves no request behind that nobody waits for.
    fn drop(&mut self) {
        if let Waiting::Filing(_, held) | Waiting::People(_, held) = &self.waiting
            && let Ok(runtime) = Handle::try_current()
        {
            let _best_effort = self.tape.settled(held, &Settled::alone(Outcome::Withdrawn));
            self.place.holding.set(false);
            runtime.spawn(withdrawing(self.approve, held));
        }
    }
}

/// The words for a client whose flow ends by an error; `None` where the client is gone or has been told.
fn farewell(error: &FlowError) -> Option<Refusal> {
    Some(match error {
        FlowError::Client(LinkError::Violation(violation)) | FlowError::Violation(violation)
            if violation.side == Side::Client =>
        {
            Refusal::builtin(Code::NotUnderstood, "protocol", violation.what)
        }
        FlowError::Violation(_) | FlowError::Server(_) => {
            Refusal::builtin(Code::Unavailable, "server-lost", "the connection to the server was lost")
        }
        FlowError::Unrecorded => {
            Refusal::builtin(Code::Unrecorded, "unrecorded", "the session cannot be recorded, so it ends")
        }
        FlowError::Unruled | FlowError::AskedTwice => {
            Refusal::builtin(Code::Unavailable, "internal", "the broker ended the session because of an internal error")
        }
        FlowError::Client(_) | FlowError::Revoked | FlowError::Refused(_) => return None,
    })
}
