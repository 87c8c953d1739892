//! The kernel's order without the kernel: one client's stream, in memory, with its rules checked at every step.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use sluice_model::{Digest, Hold, HoldId, OpId, Refusal, Ruling};

use super::judge::{Judge, lost, withdrawn};
use super::laws::{Breach, Law};
use super::subject::{Phase, Subject};
use super::trace::{Event, Trace};
use crate::outbox::Errand;
use crate::{Codec, Input, Machine, Outbox, Side, Step, Violation};

type FrameOf<S> = <<S as Subject>::Machine as Machine>::Frame;

/// A client's stream through a subject: one flow, or one after another where a flow is one exchange.
pub struct Rig<S: Subject> {
    machine: S::Machine,
    client: Lane<S::Codec>,
    server: Lane<S::Codec>,
    judge: Judge,
    outbox: Outbox<FrameOf<S>>,
    waiting: Waiting,
    /// Requests that stand although their flows wait no longer, by what is asked for.
    standing: BTreeMap<Digest, HoldId>,
    /// Asked and not done.
    open: BTreeSet<OpId>,
    allowed: BTreeSet<OpId>,
    last_asked: OpId,
    /// How many flows there were before this one.
    flows: usize,
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
    end: End,
}

impl<C> Lane<C> {
    fn new(codec: C) -> Self {
        Self { codec, inbound: BytesMut::new(), sent: Vec::new(), taken: 0, end: End::Open }
    }
}

/// How far the end of a side's stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Open,
    /// It comes after what is not read yet.
    Coming,
    Told,
}

enum Waiting {
    Nothing,
    People(Held),
    Errand(Errand),
}

/// What people are asked about.
struct Held {
    op: OpId,
    hold: Arc<Hold>,
    id: HoldId,
    digest: Digest,
}

impl<S: Subject> Rig<S> {
    /// A new stream under a judge.
    #[must_use]
    pub fn new(judge: Judge) -> Self {
        Self {
            machine: S::machine(),
            client: Lane::new(S::codec()),
            server: Lane::new(S::codec()),
            judge,
            outbox: Outbox::default(),
            waiting: Waiting::Nothing,
            standing: BTreeMap::new(),
            open: BTreeSet::new(),
            allowed: BTreeSet::from([OpId::CONNECT]),
            last_asked: OpId::CONNECT,
            flows: 0,
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
        if lane.end == End::Open {
            lane.inbound.extend_from_slice(bytes);
        }
        self.pump()
    }

    /// People answer the hold, if there is one.
    pub fn settle(&mut self, approved: bool, refusal: Refusal) -> Result<(), Breach> {
        let Some(held) = self.no_longer_held() else { return Ok(()) };
        let ruling =
            if approved { Ruling::Allow(Arc::clone(&held.hold.obligations)) } else { Ruling::Deny(Arc::new(refusal)) };
        self.rule(held.op, ruling)?;
        self.drain()?;
        self.go_on()?;
        self.pump()
    }

    /// The request for approval is taken back, if there is one.
    pub fn withdraw(&mut self) -> Result<(), Breach> {
        self.settle(false, withdrawn())
    }

    /// People have not answered the hold for so many seconds, if there is one.
    pub fn wait(&mut self, seconds: u32) -> Result<(), Breach> {
        let Waiting::People(held) = &self.waiting else { return Ok(()) };
        let op = held.op;
        self.tell(Input::Waiting(op, seconds))?;
        self.pump()
    }

    /// A side sends the end of its stream.
    pub fn end(&mut self, side: Side) -> Result<(), Breach> {
        let lane = self.lane(side);
        if lane.end == End::Open {
            lane.end = End::Coming;
        }
        self.pump()
    }

    /// The connection to the server fails, which is the end of the flow: the machine has one word for its client.
    pub fn lose(&mut self) -> Result<(), Breach> {
        if self.over {
            return Ok(());
        }
        self.over = true;
        if self.machine.handle(Input::Revoked(lost()), &mut self.outbox).is_ok() {
            while let Some(step) = self.outbox.pop() {
                if let Step::ToClient(op, frame) = step {
                    self.send(op, Side::Client, frame)?;
                }
            }
        }
        self.trace.push(Event::Closed);
        Ok(())
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
    pub fn surprise(&mut self, input: Input<FrameOf<S>>) -> Result<(), Breach> {
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

    /// How many bytes of a side were not read.
    #[must_use]
    pub fn unread(&self, from: Side) -> usize {
        match from {
            Side::Client => self.client.inbound.len(),
            Side::Server => self.server.inbound.len(),
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

    /// How many flows have ended and made room for another.
    #[must_use]
    pub const fn flows(&self) -> usize {
        self.flows
    }

    /// Whether the stream has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
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

    /// Hands the machine every frame that it takes, and every end that is due.
    fn pump(&mut self) -> Result<(), Breach> {
        while !self.over {
            match S::phase(&self.client.codec) {
                Phase::Open => {}
                Phase::Over => {
                    self.conclude()?;
                    self.begin_anew()?;
                    continue;
                }
                Phase::Torn => return self.conclude(),
            }
            if self.errand_returned() {
                self.trace.push(Event::Returned);
                self.tell(Input::Returned)?;
                continue;
            }
            match self.next_input() {
                Ok(Some(Input::Ended(Side::Client))) => self.client_leaves()?,
                Ok(Some(input)) => self.tell(input)?,
                Ok(None) => break,
                Err(violation) => self.broke(violation),
            }
            self.go_on()?;
            self.over |= self.client.end == End::Told && self.server.end == End::Told;
        }
        Ok(())
    }

    fn next_input(&mut self) -> Result<Option<Input<FrameOf<S>>>, Violation> {
        let wants = self.machine.wants();
        if wants.server {
            if let Some(frame) = self.server.codec.decode(Side::Server, &mut self.server.inbound)? {
                return Ok(Some(Input::FromServer(frame)));
            }
            if self.server.end == End::Coming {
                self.server.end = End::Told;
                return Ok(Some(Input::Ended(Side::Server)));
            }
        }
        let takes = matches!(self.waiting, Waiting::Nothing) && wants.client;
        if takes && let Some(frame) = self.client.codec.decode(Side::Client, &mut self.client.inbound)? {
            return Ok(Some(Input::FromClient(frame)));
        }
        // A client that leaves while people are asked is noticed.
        if (takes || self.is_held()) && self.client.end == End::Coming {
            self.client.end = End::Told;
            return Ok(Some(Input::Ended(Side::Client)));
        }
        Ok(None)
    }

    /// The client's part of the flow is over: nobody waits for people any more, and the machine is told.
    fn client_leaves(&mut self) -> Result<(), Breach> {
        if let Some(held) = self.no_longer_held() {
            self.client.inbound.clear();
            self.rule(held.op, Ruling::Deny(Arc::new(withdrawn())))?;
            self.drain()?;
        }
        if self.over { Ok(()) } else { self.tell(Input::Ended(Side::Client)) }
    }

    /// The flow's exchange is over, and so is the flow.
    fn conclude(&mut self) -> Result<(), Breach> {
        self.client_leaves()?;
        if self.trace.last() != Some(&Event::Closed) {
            return Err(breach("a flow goes on after its exchange"));
        }
        self.all_is_done()
    }

    /// A machine that ends its flow with its exchange ends no more than that.
    fn go_on(&mut self) -> Result<(), Breach> {
        let closed = self.over && self.trace.last() == Some(&Event::Closed);
        if closed && S::phase(&self.client.codec) == Phase::Over { self.begin_anew() } else { Ok(()) }
    }

    /// No operation outlives its flow.
    fn all_is_done(&self) -> Result<(), Breach> {
        let Some(op) = self.open.first() else { return Ok(()) };
        let trace = &self.trace;
        Err(Breach::of(Law::Bound, format!("operation {} is left open by an exchange that is over:\n{trace}", op.0)))
    }

    /// The next flow of the stream. A connection to the server ends with its flow, and with what was on its way.
    fn begin_anew(&mut self) -> Result<(), Breach> {
        self.all_is_done()?;
        self.machine = S::machine();
        self.client.codec = S::codec();
        self.server.codec = S::codec();
        self.server.inbound.clear();
        self.server.taken = self.server.sent.len();
        self.server.end = End::Open;
        self.waiting = Waiting::Nothing;
        self.allowed = BTreeSet::from([OpId::CONNECT]);
        self.last_asked = OpId::CONNECT;
        self.flows = self.flows.saturating_add(1);
        self.over = self.client.end == End::Told;
        Ok(())
    }

    fn no_longer_held(&mut self) -> Option<Held> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::People(held) => Some(held),
            other @ (Waiting::Nothing | Waiting::Errand(_)) => {
                self.waiting = other;
                None
            }
        }
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

    fn tell(&mut self, input: Input<FrameOf<S>>) -> Result<(), Breach> {
        if let Err(violation) = self.machine.handle(input, &mut self.outbox) {
            self.broke(violation);
            return Ok(());
        }
        self.drain()
    }
}

fn breach(what: impl Into<String>) -> Breach {
    Breach::of(Law::Leave, what)
}
