//! The kernel's order without the kernel: one flow, in memory, with its rules checked at every step.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use sluice_model::{Code, Hold, HoldId, OpId, Operation, Refusal, Ruling, Stage, UnixMicros, Verdict};

use super::judge::Judge;
use super::laws::{Breach, Law};
use super::subject::Subject;
use super::trace::{Event, Trace};
use crate::outbox::Errand;
use crate::{Codec, Frame as _, HoldNotice, Input, Machine, Outbox, Side, Step, Violation};

/// One flow of a subject.
pub struct Rig<S: Subject> {
    machine: S::Machine,
    client: Lane<S::Codec>,
    server: Lane<S::Codec>,
    judge: Judge,
    outbox: Outbox<<S::Machine as Machine>::Frame>,
    waiting: Waiting,
    /// Asked and not done.
    open: BTreeSet<OpId>,
    allowed: BTreeSet<OpId>,
    last_asked: OpId,
    over: bool,
    trace: Trace,
}

impl<S: Subject> fmt::Debug for Rig<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig").field("over", &self.over).field("trace", &self.trace).finish_non_exhaustive()
    }
}

/// One side's bytes, both ways.
struct Lane<C> {
    codec: C,
    inbound: BytesMut,
    sent: Vec<u8>,
    /// How much of `sent` was taken.
    taken: usize,
    ended: bool,
}

impl<C> Lane<C> {
    fn new(codec: C) -> Self {
        Self { codec, inbound: BytesMut::new(), sent: Vec::new(), taken: 0, ended: false }
    }
}

enum Waiting {
    Nothing,
    People(OpId, Arc<Hold>),
    Errand(Errand),
}

impl<S: Subject> Rig<S> {
    /// A new flow under a judge.
    #[must_use]
    pub fn new(judge: Judge) -> Self {
        Self {
            machine: S::machine(),
            client: Lane::new(S::codec()),
            server: Lane::new(S::codec()),
            judge,
            outbox: Outbox::default(),
            waiting: Waiting::Nothing,
            open: BTreeSet::new(),
            allowed: BTreeSet::from([OpId::CONNECT]),
            last_asked: OpId::CONNECT,
            over: false,
            trace: Trace::default(),
        }
    }

    /// Replaces the judge, as new policies do.
    pub fn rejudge(&mut self, judge: Judge) {
        self.judge = judge;
    }

    /// Bytes arrive from a side.
    pub fn deliver(&mut self, from: Side, bytes: &[u8]) -> Result<(), Breach> {
        let lane = self.lane(from);
        if !lane.ended {
            lane.inbound.extend_from_slice(bytes);
        }
        self.pump()
    }

    /// People answer the hold, if there is one.
    pub fn settle(&mut self, approved: bool, refusal: Refusal) -> Result<(), Breach> {
        let Waiting::People(op, hold) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else {
            return Ok(());
        };
        let ruling =
            if approved { Ruling::Allow(Arc::clone(&hold.obligations)) } else { Ruling::Deny(Arc::new(refusal)) };
        self.rule(op, ruling)?;
        self.drain()?;
        self.pump()
    }

    /// A side sends the end of its stream.
    pub fn end(&mut self, side: Side) -> Result<(), Breach> {
        if std::mem::replace(&mut self.lane(side).ended, true) || self.over {
            return Ok(());
        }
        if side == Side::Client {
            self.settle(false, super::judge::a_refusal())?;
        }
        self.tell(Input::Ended(side))?;
        self.over |= self.client.ended && self.server.ended;
        self.pump()
    }

    /// The session is revoked, which is the end of the flow.
    pub fn revoke(&mut self, refusal: Refusal) -> Result<(), Breach> {
        if !self.over {
            self.tell(Input::Revoked(refusal))?;
            self.over = true;
        }
        Ok(())
    }

    /// Tells the machine something that a kernel would not say at this moment: an answer, while it waits for none.
    pub fn surprise(&mut self, input: Input<<S::Machine as Machine>::Frame>) -> Result<(), Breach> {
        if self.over || !matches!(self.waiting, Waiting::Nothing) {
            return Ok(());
        }
        self.tell(input)?;
        self.pump()
    }

    /// What was sent to a side since this was last asked.
    pub fn take_sent(&mut self, toward: Side) -> Vec<u8> {
        let lane = self.lane(toward);
        let new = lane.sent.get(lane.taken..).unwrap_or_default().to_vec();
        lane.taken = lane.sent.len();
        new
    }

    /// The steps since this was last asked.
    pub fn take_trace(&mut self) -> Vec<Event> {
        self.trace.take()
    }

    /// Everything that was sent to a side.
    #[must_use]
    pub fn sent(&self, toward: Side) -> &[u8] {
        match toward {
            Side::Client => &self.client.sent,
            Side::Server => &self.server.sent,
        }
    }

    /// Every step.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether people are asked.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.waiting, Waiting::People(..))
    }

    /// Whether the flow has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether more of the client's frames would be taken.
    #[must_use]
    pub fn takes_client_frames(&self) -> bool {
        !self.over && matches!(self.waiting, Waiting::Nothing) && self.machine.wants().client
    }

    /// Operations that were asked for and are not done.
    #[must_use]
    pub fn open_operations(&self) -> usize {
        self.open.len()
    }

    const fn lane(&mut self, side: Side) -> &mut Lane<S::Codec> {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Hands the machine every frame that it takes.
    fn pump(&mut self) -> Result<(), Breach> {
        while !self.over {
            if self.errand_returned() {
                self.trace.push(Event::Returned);
                self.tell(Input::Returned)?;
                continue;
            }
            match self.next_input() {
                Ok(Some(input)) => self.tell(input)?,
                Ok(None) => break,
                Err(violation) => self.broke(violation),
            }
        }
        Ok(())
    }

    fn next_input(&mut self) -> Result<Option<Input<<S::Machine as Machine>::Frame>>, Violation> {
        let wants = self.machine.wants();
        if wants.server
            && let Some(frame) = self.server.codec.decode(Side::Server, &mut self.server.inbound)?
        {
            return Ok(Some(Input::FromServer(frame)));
        }
        if self.takes_client_frames()
            && let Some(frame) = self.client.codec.decode(Side::Client, &mut self.client.inbound)?
        {
            return Ok(Some(Input::FromClient(frame)));
        }
        Ok(None)
    }

    fn errand_returned(&mut self) -> bool {
        let Waiting::Errand(errand) = &mut self.waiting else { return false };
        let returned = errand.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        if returned {
            self.waiting = Waiting::Nothing;
        }
        returned
    }

    fn broke(&mut self, violation: Violation) {
        self.trace.push(Event::Broke(violation));
        self.over = true;
        while self.outbox.pop().is_some() {}
    }

    fn tell(&mut self, input: Input<<S::Machine as Machine>::Frame>) -> Result<(), Breach> {
        if let Err(violation) = self.machine.handle(input, &mut self.outbox) {
            self.broke(violation);
            return Ok(());
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Breach> {
        while let Some(step) = self.outbox.pop() {
            match step {
                Step::Ask(op, operation) => self.ask(op, &operation)?,
                Step::ToServer(op, frame) => self.send(op, Side::Server, frame)?,
                Step::ToClient(op, frame) => self.send(op, Side::Client, frame)?,
                Step::Withdraw(op) => self.take_back(op)?,
                Step::Done(op) => {
                    self.open.remove(&op);
                    self.allowed.remove(&op);
                    self.trace.push(Event::Done(op));
                }
                Step::Note(note) => self.trace.push(Event::Noted(note)),
                Step::Errand(errand) => {
                    if !matches!(self.waiting, Waiting::Nothing) {
                        return Err(breach("an errand was sent out while the flow waited"));
                    }
                    self.waiting = Waiting::Errand(errand);
                    self.trace.push(Event::Errand);
                }
                Step::Close => {
                    self.over = true;
                    self.trace.push(Event::Closed);
                }
            }
        }
        if self.is_held() && !self.over && self.machine.wants().client {
            return Err(breach("the machine takes client frames while a question is open"));
        }
        Ok(())
    }

    fn ask(&mut self, op: OpId, operation: &Operation) -> Result<(), Breach> {
        self.trace.push(Event::asked(op, operation));
        if !matches!(self.waiting, Waiting::Nothing) {
            return Err(breach(format!("operation {} was asked about while the flow waited", op.0)));
        }
        if op <= self.last_asked {
            return Err(breach(format!("operation {} was asked about again", op.0)));
        }
        if self.outbox.pop().is_some() {
            return Err(breach(format!("a step followed the question about operation {}", op.0)));
        }
        if self.machine.wants().client {
            return Err(breach("the machine takes client frames while a question is open"));
        }
        self.last_asked = op;
        self.open.insert(op);
        match self.judge.rule(operation) {
            Verdict::Allow(obligations) => self.rule(op, Ruling::Allow(obligations)),
            Verdict::Deny(refusal) => self.rule(op, Ruling::Deny(refusal)),
            Verdict::Hold(hold) if operation.stage == Stage::Prepare => {
                self.rule(op, Ruling::Allow(Arc::clone(&hold.obligations)))
            }
            Verdict::Hold(hold) => self.hold(op, hold),
        }
    }

    /// Nobody is asked any more.
    fn take_back(&mut self, op: OpId) -> Result<(), Breach> {
        self.trace.push(Event::Withdrawn(op));
        match &self.waiting {
            Waiting::People(held, _) if *held == op => self.waiting = Waiting::Nothing,
            Waiting::Nothing | Waiting::People(..) | Waiting::Errand(_) => return Ok(()),
        }
        let refusal = Refusal::builtin(Code::Withdrawn, "hold-withdrawn", "the request for approval was withdrawn");
        self.rule(op, Ruling::Deny(Arc::new(refusal)))
    }

    fn rule(&mut self, op: OpId, ruling: Ruling) -> Result<(), Breach> {
        let word = match &ruling {
            Ruling::Allow(_) => "allow",
            Ruling::Deny(_) => "deny",
        };
        if matches!(ruling, Ruling::Allow(_)) {
            self.allowed.insert(op);
        }
        self.trace.push(Event::Ruled { op, word });
        if let Err(violation) = self.machine.handle(Input::Ruled(op, ruling), &mut self.outbox) {
            self.broke(violation);
        }
        Ok(())
    }

    fn hold(&mut self, op: OpId, hold: Arc<Hold>) -> Result<(), Breach> {
        let id = HoldId::new(format!("h-{}", op.0)).map_err(|error| breach(error.to_string()))?;
        let notice = HoldNotice {
            id,
            message: hold.refusal.message.clone(),
            approvers: "1 of group `approvers`".to_owned(),
            expires: UnixMicros(60_000_000),
            wait_seconds: 60,
        };
        self.trace.push(Event::Held(op));
        self.waiting = Waiting::People(op, hold);
        if let Err(violation) = self.machine.handle(Input::Held(op, notice), &mut self.outbox) {
            self.broke(violation);
        }
        Ok(())
    }

    fn send(&mut self, op: OpId, toward: Side, frame: <S::Machine as Machine>::Frame) -> Result<(), Breach> {
        match toward {
            Side::Server if !self.allowed.contains(&op) => {
                return Err(breach(format!(
                    "a frame was offered to the server under operation {} without an allow",
                    op.0
                )));
            }
            Side::Client if op != OpId::CONNECT && !self.open.contains(&op) => {
                return Err(breach(format!("a frame was sent to the client under operation {}, which is over", op.0)));
            }
            Side::Client | Side::Server => {}
        }
        let wire = frame.wire().to_vec();
        let lane = self.lane(toward);
        let bytes = lane.codec.encode(frame);
        if *bytes != *wire {
            return Err(breach("the codec sends other bytes than the frame shows the recorder"));
        }
        lane.sent.extend_from_slice(&bytes);
        self.trace.push(Event::Sent { op, toward, bytes: wire });
        Ok(())
    }
}

fn breach(what: impl Into<String>) -> Breach {
    Breach::of(Law::Leave, what)
}
