//! What the client says, and how it is noticed that it has left before all that it said is read.

use std::task::{Context, Poll};
use std::time::Duration;

use sluice_recording::Outcome;
use sluice_wire::{FlowError, Gone, Link, Machine, Side};
use tokio::time::Instant;

use crate::flow::{Flow, Happening, happening};
use crate::hold::Settled;
use crate::ports::Settlement;
use crate::state::{Asked, Waiting};

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    pub(crate) fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happening<M::Frame>, FlowError>> {
        let high_water = self.limits.high_water_bytes;
        match &self.waiting {
            Waiting::Nothing if self.machine.wants().client && self.server.backlog() < high_water => {
                if let Some(frame) = self.ahead.take() {
                    return Poll::Ready(Ok(Happening::Frame(Side::Client, frame)));
                }
            }
            Waiting::People(..) if self.ahead.bytes < high_water => {}
            Waiting::Nothing => return self.poll_unread(cx).map(Ok),
            Waiting::People(..) | Waiting::Filing(..) | Waiting::Errand(_) => return Poll::Pending,
        }
        if self.ended.client {
            return Poll::Pending;
        }
        self.client.poll_next(cx).map(|frame| happening(Side::Client, frame).map_err(FlowError::Client))
    }

    /// Ready once a client that has left, and is not read, has had the time that a closing flow has for its last bytes.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<Happening<M::Frame>> {
        while !self.ended.client {
            std::task::ready!(self.nudges.poll_tick(cx));
            if self.client.gone() == Some(Gone::Left) {
                let since = self.ended.left.get_or_insert_with(Instant::now);
                if since.elapsed() >= Duration::from_secs(self.limits.linger_seconds) {
                    return Poll::Ready(Happening::GivenUp);
                }
            }
        }
        Poll::Pending
    }

    /// Whether nobody would see what an approval comes to. A client that only ended its sending counts, too, as it does
    /// where its end is read.
    pub(crate) fn has_left(&self) -> bool {
        self.ended.client || matches!(self.client.gone(), Some(Gone::Silent | Gone::Left))
    }

    /// Whether it is still to be found out if the client is there: what it sent before its end may take a while to come.
    pub(crate) fn is_hidden(&mut self) -> bool {
        if self.ended.client || self.client.gone() != Some(Gone::Hidden) {
            self.ended.hidden = None;
            return false;
        }
        let since = self.ended.hidden.get_or_insert_with(Instant::now);
        since.elapsed() < Duration::from_secs(self.limits.linger_seconds)
    }

    /// Uses up what people have answered, if the client is still there, as far as anybody can tell.
    pub(crate) fn answered(&mut self) -> Result<(), FlowError> {
        let gone = self.has_left() || self.ended.hidden.is_some();
        let Waiting::People(asked, held) = &mut self.waiting else { return Ok(()) };
        let Asked::Answered(settlement) = asked else { return Ok(()) };
        if gone && matches!(settlement, Settlement::Approved { .. }) {
            return self.part();
        }
        let settled = held.conclude(self.approve, settlement.clone());
        *asked = Asked::Using(settled);
        Ok(())
    }

    /// Ends the wait with what the answer has come to. An approval that was used up meanwhile does nothing for a client
    /// that has left.
    pub(crate) fn concluded(&mut self, settled: &Settled) -> Result<(), FlowError> {
        if settled.outcome == Outcome::Approved && self.has_left() {
            return self.part();
        }
        self.settle(settled)
    }

    /// Withdraws the request of a client that has left, and has done with the client.
    pub(crate) fn part(&mut self) -> Result<(), FlowError> {
        if self.ended.client { self.settle(&Settled::alone(Outcome::Withdrawn)) } else { self.end(Side::Client) }
    }

    /// Ends the flow of a client that has left: what it sent is not waited for any more.
    pub(crate) fn give_up(&mut self) -> Result<(), FlowError> {
        self.ahead.forget();
        self.server.discard();
        self.end(Side::Client)?;
        self.ended.flow = true;
        Ok(())
    }
}
