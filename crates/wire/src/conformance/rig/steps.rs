//! What a machine asks for, done as the kernel does it.

use std::sync::Arc;

use sluice_model::{Hold, HoldId, OpId, Operation, Refusal, Ruling, Stage, UnixMicros, Verdict};

use super::{FrameOf, Held, Rig, Waiting, breach};
use crate::conformance::judge::{pending, withdrawn};
use crate::conformance::laws::Breach;
use crate::conformance::subject::Subject;
use crate::conformance::trace::Event;
use crate::{Codec as _, Frame as _, HoldNotice, Input, Machine as _, Side, Step};

impl<S: Subject> Rig<S> {
    pub(super) fn drain(&mut self) -> Result<(), Breach> {
        while let Some(step) = self.outbox.pop() {
            match step {
                Step::Ask(op, operation) => self.ask(op, &operation)?,
                Step::ToServer(op, frame) => self.send(op, Side::Server, frame)?,
                Step::ToClient(op, frame) => self.send(op, Side::Client, frame)?,
                Step::Withdraw(op) => self.take_back(op)?,
                Step::Leave(op) => self.leave_standing(op)?,
                Step::Settle(op, spent) => {
                    if !self.allowed.contains(&op) {
                        return Err(breach(format!("operation {} used something up and has no allow", op.0)));
                    }
                    self.trace.push(Event::Settled(op, spent));
                }
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
            Verdict::Hold(hold) => self.hold(op, operation, hold),
        }
    }

    /// Nobody is asked any more.
    fn take_back(&mut self, op: OpId) -> Result<(), Breach> {
        self.trace.push(Event::Withdrawn(op));
        self.no_longer_wait(op, withdrawn()).map(drop)
    }

    /// The flow waits no longer, and an equal operation takes the request up.
    fn leave_standing(&mut self, op: OpId) -> Result<(), Breach> {
        self.trace.push(Event::Left(op));
        if let Some(held) = self.no_longer_wait(op, pending())? {
            self.standing.insert(held.digest, held.id);
        }
        Ok(())
    }

    fn no_longer_wait(&mut self, op: OpId, refusal: Refusal) -> Result<Option<Held>, Breach> {
        match &self.waiting {
            Waiting::People(held) if held.op == op => {}
            Waiting::Nothing | Waiting::People(_) | Waiting::Errand(_) => return Ok(None),
        }
        let held = self.no_longer_held();
        self.rule(op, Ruling::Deny(Arc::new(refusal)))?;
        Ok(held)
    }

    pub(super) fn rule(&mut self, op: OpId, ruling: Ruling) -> Result<(), Breach> {
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

    fn hold(&mut self, op: OpId, operation: &Operation, hold: Arc<Hold>) -> Result<(), Breach> {
        let digest = operation.digest();
        let id = match self.standing.remove(&digest) {
            Some(id) => id,
            None => self.hold_id(op)?,
        };
        let notice = HoldNotice {
            id: id.clone(),
            message: hold.refusal.message.clone(),
            approvers: "1 of group `approvers`".to_owned(),
            expires: UnixMicros(60_000_000),
            wait_seconds: 60,
        };
        self.trace.push(Event::Held(op));
        self.waiting = Waiting::People(Held { op, hold, id, digest });
        if let Err(violation) = self.machine.handle(Input::Held(op, notice), &mut self.outbox) {
            self.broke(violation);
        }
        Ok(())
    }

    /// `h-2` in the first flow, `h-3.2` in the third.
    fn hold_id(&self, op: OpId) -> Result<HoldId, Breach> {
        let text = match self.flows {
            0 => format!("h-{}", op.0),
            before => format!("h-{}.{}", before.saturating_add(1), op.0),
        };
        HoldId::new(text).map_err(|error| breach(error.to_string()))
    }

    pub(super) fn send(&mut self, op: OpId, toward: Side, frame: FrameOf<S>) -> Result<(), Breach> {
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
        let shown = S::sent(frame.wire());
        let lane = self.lane(toward);
        let bytes = lane.codec.encode(frame);
        let framing = bytes.strip_prefix(&*shown);
        if !framing.is_some_and(|framing| framing.is_empty() || S::framing().contains(&framing)) {
            return Err(breach("the codec sends other bytes than the frame shows the recorder"));
        }
        lane.sent.extend_from_slice(&bytes);
        self.trace.push(Event::Sent { op, toward, bytes: bytes.to_vec() });
        Ok(())
    }
}
