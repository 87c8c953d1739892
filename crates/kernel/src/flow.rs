//! The only relay loop.
//!
//! The order never changes: ask, decide, write the verdict down, tell the machine, the machine forwards under that
//! operation, check the operation, write the frame down, send. Everything that goes out was appended to the recording
//! first, and [`Flow::run`] commits the recording before it lets a link write a byte (I3).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use sluice_model::{OpId, Operation, Refusal, Ruling, Spend, Stage, Verdict};
use sluice_recording::{self as recording, Event, Outcome};
use sluice_wire::{FlowError, Input, Link, LinkError, Machine, Note, Outbox, Side, Step};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::clock;
use crate::hold::Settled;
use crate::lapses::Lapses;
use crate::ledger::{Ledger, Reservation};
use crate::limits::Limits;
use crate::ports::{Approve, BoxFuture};
use crate::register::{Place, Signal};
use crate::state::{Ahead, Asked, Ended, Waiting};
use crate::stay::Stay;
use crate::tape::Tape;

/// Events handled between two commits at most, so that neither side starves.
const BATCH: usize = 256;
/// What a machine may look at on a thread that other flows share, in bytes: mostly well under a millisecond's work.
const LIGHT_BYTES: usize = 64 << 10;
/// What it may look at in many small inputs before the other flows of its thread have their turn, in bytes.
const TURN_BYTES: usize = 2 * LIGHT_BYTES;

/// One flow at work.
pub(crate) struct Flow<'a, M: Machine, C, S> {
    pub(crate) machine: M,
    pub(crate) client: C,
    pub(crate) server: S,
    pub(crate) stay: &'a Stay,
    pub(crate) ledger: &'a Ledger,
    /// What operations have reserved of their budgets and not settled.
    pub(crate) reserved: BTreeMap<OpId, Reservation>,
    pub(crate) tape: &'a mut Tape,
    pub(crate) place: &'a mut Place,
    pub(crate) approve: &'a Arc<dyn Approve>,
    pub(crate) limits: Limits,
    pub(crate) role: &'a str,
    pub(crate) outbox: Outbox<M::Frame>,
    pub(crate) waiting: Waiting,
    pub(crate) ahead: Ahead<M::Frame>,
    pub(crate) ended: Ended,
    pub(crate) lapses: Lapses,
    /// Bytes that the machine has looked at since others had their turn.
    pub(crate) looked: usize,
    /// Beats while people are asked, or the client is not read.
    pub(crate) nudges: tokio::time::Interval,
}

/// One thing that happened.
pub(crate) enum Happening<F> {
    Frame(Side, F),
    Ended(Side),
    Signal(Signal),
    Filed(Result<Option<Settled>, Refusal>),
    /// People have answered, and nothing of the client is left to be heard before.
    Answered,
    Settled(Settled),
    /// People still have not answered.
    Nudge,
    /// A client that has left is not waited for any more.
    GivenUp,
    Returned,
}

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    /// Carries the flow to its end and tells the client why, where that is not plain.
    pub(crate) async fn run(&mut self) -> Result<(), FlowError> {
        let mut result = self.relay().await;
        if let Err(error) = &result {
            self.take_leave(error);
        }
        self.settle_the_rest();
        self.withdraw(&result).await;
        if let Err(error) = self.write_down().await
            && !matches!(result, Err(FlowError::Unrecorded))
        {
            self.take_leave(&error);
            result = Err(error);
        }
        self.flush_and_close().await;
        result
    }

    async fn relay(&mut self) -> Result<(), FlowError> {
        while !self.ended.flow {
            self.write_down().await?;
            let happening = poll_fn(|cx| self.poll_flush(cx).and_poll(|| self.poll_happening(cx))).await?;
            self.handle(happening)?;
            self.handle_what_is_ready().await?;
            self.give_way().await;
        }
        Ok(())
    }

    /// Text that is slow to look at, and never ends, stops nobody else.
    async fn give_way(&mut self) {
        if self.looked >= TURN_BYTES {
            self.looked = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Nothing goes out, and nobody is asked for leave, before this.
    async fn write_down(&mut self) -> Result<(), FlowError> {
        self.tape.commit()?;
        self.tape.sync_if_due().await
    }

    /// Handles what needs no waiting, so that one commit and one write serve a whole batch.
    async fn handle_what_is_ready(&mut self) -> Result<(), FlowError> {
        for _ in 0..BATCH {
            let turn_over = self.looked >= TURN_BYTES;
            if self.ended.flow || turn_over || matches!(self.waiting, Waiting::Filing(..)) {
                break;
            }
            let ready = poll_fn(|cx| match self.poll_happening(cx) {
                Poll::Ready(happening) => Poll::Ready(Some(happening)),
                Poll::Pending => Poll::Ready(None),
            });
            match ready.await {
                Some(happening) => self.handle(happening?)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Writes what is queued on both sides. A side that cannot take more only delays itself.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Flushed {
        if let Poll::Ready(Err(error)) = self.client.poll_flush(cx) {
            return Flushed(Err(FlowError::Client(error)));
        }
        match self.server.poll_flush(cx) {
            // A server that has hung up may still have said why; its last frames are read first.
            Poll::Ready(Err(error)) if self.ended.server => Flushed(Err(FlowError::Server(error))),
            Poll::Ready(_) | Poll::Pending => Flushed(Ok(())),
        }
    }

    fn poll_happening(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happening<M::Frame>, FlowError>> {
        if let Poll::Ready(Some(signal)) = self.place.signals.poll_recv(cx) {
            return Poll::Ready(Ok(Happening::Signal(signal)));
        }
        if let Poll::Ready(happening) = self.poll_waiting(cx) {
            return Poll::Ready(Ok(happening));
        }
        if matches!(&self.waiting, Waiting::People(Asked::Answered(_), _)) {
            // What the client has said by now comes first: it may have been its last word.
            let heard = self.poll_client(cx);
            // The nudges have it looked at again.
            let waits = heard.is_ready() || self.is_hidden();
            return if waits { heard } else { Poll::Ready(Ok(Happening::Answered)) };
        }
        // The sides take turns, so that neither starves the other.
        for side in [self.ahead.turn, self.ahead.turn.other()] {
            let polled = match side {
                Side::Client => self.poll_client(cx),
                Side::Server => self.poll_server(cx),
            };
            if polled.is_ready() {
                self.ahead.turn = side.other();
                return polled;
            }
        }
        Poll::Pending
    }

    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happening<M::Frame>, FlowError>> {
        let room = self.client.backlog() < self.limits.high_water_bytes;
        if self.ended.server || !room || !self.machine.wants().server {
            return Poll::Pending;
        }
        self.server.poll_next(cx).map(|frame| happening(Side::Server, frame).map_err(FlowError::Server))
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Happening<M::Frame>> {
        match &mut self.waiting {
            Waiting::Nothing => Poll::Pending,
            Waiting::Filing(filing, _) => filing.as_mut().poll(cx).map(Happening::Filed),
            Waiting::People(asked, _) => match asked.poll(cx) {
                Poll::Ready(settled) => Poll::Ready(Happening::Settled(settled)),
                Poll::Pending => self.nudges.poll_tick(cx).map(|_| Happening::Nudge),
            },
            Waiting::Errand(errand) => errand.as_mut().poll(cx).map(|()| Happening::Returned),
        }
    }

    fn handle(&mut self, happening: Happening<M::Frame>) -> Result<(), FlowError> {
        match happening {
            Happening::Frame(Side::Client, frame) => {
                if matches!(self.waiting, Waiting::People(..)) {
                    self.ahead.keep(frame);
                    return Ok(());
                }
                self.tell(Input::FromClient(frame))
            }
            Happening::Frame(Side::Server, frame) => self.tell(Input::FromServer(frame)),
            Happening::Ended(side) => self.end(side),
            Happening::Signal(Signal::Withdraw) => self.settle(&Settled::alone(Outcome::Withdrawn)),
            Happening::Signal(Signal::Revoke(refusal)) => self.revoke(*refusal),
            Happening::Filed(filed) => self.filed(filed),
            Happening::Answered => self.answered(),
            Happening::Settled(settled) => self.concluded(&settled),
            Happening::Nudge => self.nudge(),
            Happening::GivenUp => self.give_up(),
            Happening::Returned => {
                self.waiting = Waiting::Nothing;
                self.tell(Input::Returned)
            }
        }
    }

    /// Tells the machine something and does what it asks for.
    pub(crate) fn tell(&mut self, input: Input<M::Frame>) -> Result<(), FlowError> {
        self.inform(input)?;
        while let Some(step) = self.outbox.pop() {
            match step {
                Step::Ask(op, operation) => self.ask(op, operation)?,
                Step::ToServer(op, frame) => self.send_server(op, frame)?,
                Step::ToClient(op, frame) => self.send_client(op, frame)?,
                Step::Withdraw(op) => self.take_back(op)?,
                Step::Leave(op) => self.leave_standing(op)?,
                Step::Settle(op, spent) => self.settle_budgets(op, spent),
                Step::Done(op) => {
                    self.reserved.remove(&op);
                    self.tape.done(op)?;
                }
                Step::Note(note) => self.note(&note)?,
                Step::Errand(errand) => self.run_errand(errand.0)?,
                Step::Close => self.ended.flow = true,
            }
        }
        Ok(())
    }

    fn send_server(&mut self, op: OpId, frame: M::Frame) -> Result<(), FlowError> {
        if !self.tape.is_allowed(op) {
            return Err(FlowError::Unruled);
        }
        self.tape.passed(op, recording::Toward::Server, &frame)?;
        self.server.feed(frame);
        Ok(())
    }

    fn send_client(&mut self, op: OpId, frame: M::Frame) -> Result<(), FlowError> {
        self.tape.passed(op, recording::Toward::Client, &frame)?;
        self.client.feed(frame);
        Ok(())
    }

    fn note(&mut self, note: &Note) -> Result<(), FlowError> {
        let pairs = note.values.iter().map(|(name, value)| recording::Pair::new(*name, value.as_str())).collect();
        self.tape.write(&Event::Noted(recording::Noted { kind: note.kind.into(), pairs }))
    }

    fn run_errand(&mut self, errand: BoxFuture<'static, ()>) -> Result<(), FlowError> {
        if !matches!(self.waiting, Waiting::Nothing) {
            return Err(FlowError::AskedTwice);
        }
        self.waiting = Waiting::Errand(errand);
        Ok(())
    }

    fn ask(&mut self, op: OpId, operation: Operation) -> Result<(), FlowError> {
        if !matches!(self.waiting, Waiting::Nothing) {
            return Err(FlowError::AskedTwice);
        }
        self.tape.asked(op, &operation)?;
        let answer = self.stay.rulings.rule(&self.stay.asker, &operation, clock::now());
        let verdict = self.within_budgets(op, &operation, self.worth_asking(op, &operation, answer.verdict));
        let verdict = self.tape.ruled(op, verdict, answer.cached)?;
        match verdict {
            Verdict::Allow(obligations) => self.rule(op, Ruling::Allow(obligations)),
            Verdict::Deny(refusal) => self.rule(op, Ruling::Deny(refusal)),
            // Preparing performs nothing: people are asked when it is performed.
            Verdict::Hold(hold) if operation.stage == Stage::Prepare => {
                self.rule(op, Ruling::Allow(Arc::clone(&hold.obligations)))
            }
            Verdict::Hold(hold) => self.hold(op, operation, hold),
        }
    }

    /// An allow, as far as the budgets that it names have room. Preparing performs nothing, so it uses nothing.
    pub(crate) fn within_budgets(&mut self, op: OpId, operation: &Operation, verdict: Verdict) -> Verdict {
        let Verdict::Allow(obligations) = &verdict else { return verdict };
        let budgets = &obligations.controls.budgets;
        if budgets.is_empty() || operation.stage == Stage::Prepare {
            return verdict;
        }
        match self.ledger.reserve(budgets, &self.stay.asker.who, operation.spend, clock::now()) {
            Ok(reservation) => {
                self.reserved.insert(op, reservation);
                verdict
            }
            Err(refusal) => Verdict::Deny(Arc::new(refusal)),
        }
    }

    pub(crate) fn settle_budgets(&mut self, op: OpId, spent: Spend) {
        if let Some(reservation) = self.reserved.remove(&op) {
            self.ledger.settle(&reservation, spent, clock::now());
        }
    }

    pub(crate) fn rule(&mut self, op: OpId, ruling: Ruling) -> Result<(), FlowError> {
        if matches!(ruling, Ruling::Allow(_)) {
            self.tape.allow(op);
        }
        // The machine's answer joins the steps that `tell` is draining.
        self.inform(Input::Ruled(op, ruling))
    }

    /// Tells the machine something. While it looks at much, the flows that share this thread go on elsewhere.
    fn inform(&mut self, input: Input<M::Frame>) -> Result<(), FlowError> {
        self.tell_lapses();
        let Self { machine, outbox, looked, .. } = self;
        let elsewhere = || Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        let weight = machine.weight(&input);
        *looked = looked.saturating_add(weight);
        if weight > LIGHT_BYTES && elsewhere() {
            block_in_place(|| machine.handle(input, outbox))?;
        } else {
            machine.handle(input, outbox)?;
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, side: Side) -> Result<(), FlowError> {
        match side {
            Side::Client => self.ended.client = true,
            Side::Server => self.ended.server = true,
        }
        if matches!(self.waiting, Waiting::People(..)) && side == Side::Client {
            self.settle(&Settled::alone(Outcome::Withdrawn))?;
            self.ahead.forget();
        }
        self.tell(Input::Ended(side))?;
        self.ended.flow |= self.ended.client && self.ended.server;
        Ok(())
    }

    fn revoke(&mut self, refusal: Refusal) -> Result<(), FlowError> {
        self.tape.refused(&refusal)?;
        self.tell(Input::Revoked(refusal))?;
        self.ended.flow = true;
        Err(FlowError::Revoked)
    }
}

pub(crate) fn happening<F>(side: Side, frame: Result<Option<F>, LinkError>) -> Result<Happening<F>, LinkError> {
    Ok(match frame? {
        Some(frame) => Happening::Frame(side, frame),
        None => Happening::Ended(side),
    })
}

/// What a machine is told of a verdict after which nobody is asked any more.
pub(crate) fn ruling(verdict: Verdict) -> Ruling {
    match verdict {
        Verdict::Allow(obligations) => Ruling::Allow(obligations),
        Verdict::Deny(refusal) => Ruling::Deny(refusal),
        Verdict::Hold(hold) => Ruling::Deny(Arc::clone(&hold.refusal)),
    }
}

/// The result of a flush attempt that may still be under way.
struct Flushed(Result<(), FlowError>);

impl Flushed {
    fn and_poll<T>(self, next: impl FnOnce() -> Poll<Result<T, FlowError>>) -> Poll<Result<T, FlowError>> {
        match self.0 {
            Ok(()) => next(),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
