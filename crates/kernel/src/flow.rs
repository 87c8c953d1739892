//! The only relay loop.
//!
//! The order never changes: ask, decide, write the verdict down, tell the machine, the machine forwards under that
//! operation, check the operation, write the frame down, send. Everything that goes out was appended to the recording
//! first, and [`Flow::run`] commits the recording before it lets a link write a byte (I3).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use sluice_model::{Code, OpId, Operation, Refusal, Ruling, Stage, Verdict};
use sluice_policy::Approved;
use sluice_recording::{self as recording, Event, Outcome};
use sluice_wire::{FlowError, Frame, Input, Link, LinkError, Machine, Note, Outbox, Side, Step};

use crate::clock;
use crate::gate::Gate;
use crate::hold::{Held, Settled};
use crate::limits::Limits;
use crate::ports::{Approve, BoxFuture};
use crate::register::{Place, Signal};
use crate::state::{Ahead, Ended, Waiting};
use crate::tape::Tape;

/// Events handled between two commits at most, so that neither side starves.
const BATCH: usize = 256;

/// One flow at work.
pub(crate) struct Flow<'a, M: Machine, C, S> {
    pub(crate) machine: M,
    pub(crate) client: C,
    pub(crate) server: S,
    pub(crate) gate: &'a mut Gate,
    pub(crate) tape: &'a mut Tape,
    pub(crate) place: &'a mut Place,
    pub(crate) approve: &'a Arc<dyn Approve>,
    pub(crate) limits: Limits,
    pub(crate) role: &'a str,
    pub(crate) outbox: Outbox<M::Frame>,
    pub(crate) waiting: Waiting,
    pub(crate) ahead: Ahead<M::Frame>,
    pub(crate) ended: Ended,
}

/// One thing that happened.
enum Happening<F> {
    Frame(Side, F),
    Ended(Side),
    Signal(Signal),
    Filed(Result<(), Refusal>),
    Settled(Settled),
    Returned,
}

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    /// Carries the flow to its end and tells the client why, where that is not plain.
    pub(crate) async fn run(mut self) -> Result<(), FlowError> {
        let mut result = self.relay().await;
        if let Err(error) = &result {
            self.take_leave(error);
        }
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
        }
        Ok(())
    }

    /// Nothing goes out, and nobody is asked for leave, before this.
    async fn write_down(&mut self) -> Result<(), FlowError> {
        self.tape.commit()?;
        self.tape.sync_if_due().await
    }

    /// Handles what needs no waiting, so that one commit and one write serve a whole batch.
    async fn handle_what_is_ready(&mut self) -> Result<(), FlowError> {
        for _ in 0..BATCH {
            if self.ended.flow || matches!(self.waiting, Waiting::Filing(..)) {
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

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happening<M::Frame>, FlowError>> {
        let high_water = self.limits.high_water_bytes;
        match &self.waiting {
            Waiting::Nothing if self.machine.wants().client && self.server.backlog() < high_water => {
                if let Some(frame) = self.ahead.take() {
                    return Poll::Ready(Ok(Happening::Frame(Side::Client, frame)));
                }
            }
            Waiting::People(..) if self.ahead.bytes < high_water => {}
            Waiting::Nothing | Waiting::People(..) | Waiting::Filing(..) | Waiting::Errand(_) => return Poll::Pending,
        }
        if self.ended.client {
            return Poll::Pending;
        }
        self.client.poll_next(cx).map(|frame| happening(Side::Client, frame).map_err(FlowError::Client))
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Happening<M::Frame>> {
        match &mut self.waiting {
            Waiting::Nothing => Poll::Pending,
            Waiting::Filing(filing, _) => filing.as_mut().poll(cx).map(Happening::Filed),
            Waiting::People(people, _) => people.as_mut().poll(cx).map(Happening::Settled),
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
            Happening::Signal(Signal::Revoke(refusal)) => self.revoke(refusal),
            Happening::Filed(filed) => self.filed(filed),
            Happening::Settled(settled) => self.settle(&settled),
            Happening::Returned => {
                self.waiting = Waiting::Nothing;
                self.tell(Input::Returned)
            }
        }
    }

    /// Tells the machine something and does what it asks for.
    fn tell(&mut self, input: Input<M::Frame>) -> Result<(), FlowError> {
        self.machine.handle(input, &mut self.outbox)?;
        while let Some(step) = self.outbox.pop() {
            match step {
                Step::Ask(op, operation) => self.ask(op, operation)?,
                Step::ToServer(op, frame) => self.send_server(op, frame)?,
                Step::ToClient(op, frame) => self.send_client(op, frame)?,
                Step::Withdraw(op) => self.take_back(op)?,
                Step::Done(op) => self.tape.done(op)?,
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
        self.tape.passed(op, recording::Toward::Server, frame.wire())?;
        self.server.feed(frame);
        Ok(())
    }

    fn send_client(&mut self, op: OpId, frame: M::Frame) -> Result<(), FlowError> {
        self.tape.passed(op, recording::Toward::Client, frame.wire())?;
        self.client.feed(frame);
        Ok(())
    }

    fn note(&mut self, note: &Note) -> Result<(), FlowError> {
        let pairs = note.values.iter().map(|(name, value)| recording::Pair::new(*name, value.as_str())).collect();
        self.tape.write(&Event::Noted(recording::Noted { kind: note.kind.into(), pairs }))
    }

    /// Ends the wait for people if it is for this operation. A request that is still being filed is taken back when the
    /// machine hears of it and asks again.
    fn take_back(&mut self, op: OpId) -> Result<(), FlowError> {
        match &self.waiting {
            Waiting::People(_, held) if held.op == op => self.settle(&Settled::alone(Outcome::Withdrawn)),
            Waiting::Nothing | Waiting::Filing(..) | Waiting::People(..) | Waiting::Errand(_) => Ok(()),
        }
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
        let answer = self.gate.rule(&operation, clock::now());
        let verdict = self.tape.ruled(op, answer.verdict, answer.cached)?;
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

    fn rule(&mut self, op: OpId, ruling: Ruling) -> Result<(), FlowError> {
        if matches!(ruling, Ruling::Allow(_)) {
            self.tape.allow(op);
        }
        // The machine's answer joins the steps that `tell` is draining.
        self.machine.handle(Input::Ruled(op, ruling), &mut self.outbox)?;
        Ok(())
    }

    fn hold(&mut self, op: OpId, operation: Operation, hold: Arc<sluice_model::Hold>) -> Result<(), FlowError> {
        let id = crate::random::hold_id().map_err(|_| FlowError::Unrecorded)?;
        let held = Held::new(id, op, operation, hold, self.gate, self.role, self.limits.hold_seconds);
        self.tape.held(&held)?;
        let filing = held.file(self.approve, self.gate);
        self.waiting = Waiting::Filing(filing, Box::new(held));
        Ok(())
    }

    fn filed(&mut self, filed: Result<(), Refusal>) -> Result<(), FlowError> {
        let held = match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Filing(_, held) => held,
            other @ (Waiting::Nothing | Waiting::People(..) | Waiting::Errand(_)) => {
                self.waiting = other;
                return Ok(());
            }
        };
        let op = held.op;
        match filed {
            Ok(()) => {
                let notice = held.notice.clone();
                self.waiting = Waiting::People(held.wait(self.approve), held);
                self.place.holding.set(true);
                self.tell(Input::Held(op, notice))
            }
            Err(refusal) => {
                let verdict = self.tape.ruled(op, Verdict::Deny(Arc::new(refusal)), false)?;
                self.tell(Input::Ruled(op, ruling(verdict)))
            }
        }
    }

    /// Ends the wait for people with an outcome. One that comes too late changes nothing.
    fn settle(&mut self, settled: &Settled) -> Result<(), FlowError> {
        let held = match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::People(_, held) => held,
            other @ (Waiting::Nothing | Waiting::Filing(..) | Waiting::Errand(_)) => {
                self.waiting = other;
                return Ok(());
            }
        };
        self.place.holding.set(false);
        self.tape.settled(&held, settled)?;
        if settled.outcome == Outcome::Withdrawn {
            // The flow goes on meanwhile; a request that stays behind can no longer be used up by anyone.
            tokio::spawn(withdrawing(self.approve, &held));
        }
        let verdict = self.verdict_after(&held, settled);
        let ruling = ruling(self.tape.ruled(held.op, verdict, false)?);
        if matches!(ruling, Ruling::Allow(_)) {
            self.tape.allow(held.op);
        }
        self.tell(Input::Ruled(held.op, ruling))
    }

    fn verdict_after(&mut self, held: &Held, settled: &Settled) -> Verdict {
        let refusal = match settled.outcome {
            Outcome::Approved => return self.rule_approved(held, settled),
            Outcome::Withdrawn => {
                Refusal::builtin(Code::Withdrawn, "hold-withdrawn", "the request for approval was withdrawn")
            }
            Outcome::Denied => Refusal::builtin(Code::Policy, "hold-denied", "the request for approval was denied"),
            Outcome::Expired => Refusal::builtin(Code::Expired, "hold-expired", "nobody approved the request in time"),
            Outcome::Revoked => Refusal::builtin(Code::Revoked, "hold-revoked", "the session ended while it waited"),
        };
        Verdict::Deny(Arc::new(refusal))
    }

    /// The approval counts only if policies in force now, told of it, allow the same operation.
    fn rule_approved(&mut self, held: &Held, settled: &Settled) -> Verdict {
        let approved = Approved {
            count: u32::try_from(settled.people.len()).unwrap_or(u32::MAX),
            expires: settled.expires,
            digest_ok: true,
        };
        let verdict = self.gate.rule_approved(&held.operation, clock::now(), approved);
        if held.still_stands(self.gate, self.role) {
            return verdict;
        }
        let changed = Refusal::builtin(Code::Policy, "hold-stale", "policies changed while the request waited")
            .with_hint("Run it again; it is decided anew.");
        Verdict::Deny(Arc::new(changed))
    }

    fn end(&mut self, side: Side) -> Result<(), FlowError> {
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

fn happening<F>(side: Side, frame: Result<Option<F>, LinkError>) -> Result<Happening<F>, LinkError> {
    Ok(match frame? {
        Some(frame) => Happening::Frame(side, frame),
        None => Happening::Ended(side),
    })
}

fn withdrawing(approve: &Arc<dyn Approve>, held: &Held) -> BoxFuture<'static, ()> {
    let (approve, id) = (Arc::clone(approve), held.notice.id.clone());
    Box::pin(async move { approve.withdraw(id, clock::now()).await })
}

/// What a machine is told of a verdict after which nobody is asked any more.
fn ruling(verdict: Verdict) -> Ruling {
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
