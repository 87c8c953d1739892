//! What a flow does while people are asked: from the filing of a request to its settlement.

use std::sync::Arc;

use sluice_model::{Code, Hold, OpId, Operation, Refusal, Ruling, Stage, Text, Verdict};
use sluice_policy::Approved;
use sluice_recording::Outcome;
use sluice_wire::{FlowError, Input, Link, Machine};

use crate::clock;
use crate::flow::{Flow, ruling};
use crate::hold::{Held, Settled};
use crate::ports::{Approve, BoxFuture};
use crate::state::{Asked, Waiting};

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    /// Ends the wait for people if it is for this operation. A request that is still being filed is taken back when the
    /// machine hears of it and asks again.
    pub(crate) fn take_back(&mut self, op: OpId) -> Result<(), FlowError> {
        match &self.waiting {
            Waiting::People(_, held) if held.op == op => self.settle(&Settled::alone(Outcome::Withdrawn)),
            Waiting::Nothing | Waiting::Filing(..) | Waiting::People(..) | Waiting::Errand(_) => Ok(()),
        }
    }

    /// Stops waiting for people although their answer may still come: an equal operation takes the request up.
    pub(crate) fn leave_standing(&mut self, op: OpId) -> Result<(), FlowError> {
        let held = match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::People(_, held) if held.op == op => held,
            other @ (Waiting::Nothing | Waiting::Filing(..) | Waiting::People(..) | Waiting::Errand(_)) => {
                self.waiting = other;
                return Ok(());
            }
        };
        self.place.holding.set(false);
        self.stay.keep_standing(held.digest, held.standing());
        let pending = Refusal::builtin(Code::Pending, "hold-pending", "the request still waits for approval")
            .with_hint("Ask for exactly the same again; the request stands until it expires.");
        let verdict = self.tape.ruled(op, Verdict::Deny(Arc::new(pending)), false)?;
        self.rule(op, ruling(verdict))
    }

    pub(crate) fn nudge(&mut self) -> Result<(), FlowError> {
        if self.has_left() {
            return self.part();
        }
        match &self.waiting {
            Waiting::People(_, held) => {
                let (op, seconds) = (held.op, held.asked_seconds());
                self.tell(Input::Waiting(op, seconds))
            }
            Waiting::Nothing | Waiting::Filing(..) | Waiting::Errand(_) => Ok(()),
        }
    }

    /// A verdict that people are asked about only where their approval would be of use, and where they can be shown all
    /// that they are asked.
    pub(crate) fn worth_asking(&self, op: OpId, operation: &Operation, verdict: Verdict) -> Verdict {
        // Preparing performs nothing: people are asked when it is performed.
        let Verdict::Hold(hold) = &verdict else { return verdict };
        if operation.stage == Stage::Prepare {
            return verdict;
        }
        if let Some(refusal) = self.machine.unkept(op, &hold.obligations) {
            return Verdict::Deny(Arc::new(refusal));
        }
        let texts = std::iter::once(&operation.text).chain(&operation.bound);
        let shown = self.machine.values(op).map_or(0, |values| values.len());
        let bytes = texts.clone().map(|text| text.content().len()).fold(shown, usize::saturating_add);
        if texts.clone().all(Text::is_whole) && bytes <= self.limits.shown_bytes {
            return verdict;
        }
        let message = "it needs an approval, and is too long to be shown to people whole";
        let refusal =
            Refusal::builtin(Code::Limit, "hold-too-large", message).with_hint("Ask for it in smaller parts.");
        Verdict::Deny(Arc::new(refusal))
    }

    pub(crate) fn hold(&mut self, op: OpId, operation: Operation, hold: Arc<Hold>) -> Result<(), FlowError> {
        let id = crate::random::hold_id().map_err(|_| FlowError::Unrecorded)?;
        let values = self.machine.values(op);
        let held = Held::new(id, op, (operation, values), hold, self.stay, self.role, self.limits.hold_seconds);
        let (held, filing) = match self.stay.take_standing(&held.digest) {
            Some(standing) => {
                let held = held.resume(standing);
                let looking = held.look(self.approve);
                (held, looking)
            }
            None => {
                let filing = held.file(self.approve, self.stay);
                (held, filing)
            }
        };
        self.tape.held(&held)?;
        self.waiting = Waiting::Filing(filing, Box::new(held));
        Ok(())
    }

    pub(crate) fn filed(&mut self, filed: Result<Option<Settled>, Refusal>) -> Result<(), FlowError> {
        let held = match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Filing(_, held) => held,
            other @ (Waiting::Nothing | Waiting::People(..) | Waiting::Errand(_)) => {
                self.waiting = other;
                return Ok(());
            }
        };
        let op = held.op;
        match filed {
            Ok(Some(settled)) => {
                self.waiting = Waiting::People(Asked::Using(Box::pin(std::future::ready(settled))), held);
                Ok(())
            }
            Ok(None) => {
                let notice = held.notice.clone();
                self.waiting = Waiting::People(Asked::Open(held.wait(self.approve)), held);
                self.nudges.reset();
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
    pub(crate) fn settle(&mut self, settled: &Settled) -> Result<(), FlowError> {
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
        let verdict = self.within_budgets(held.op, &held.operation, verdict);
        let ruling = ruling(self.tape.ruled(held.op, verdict, false)?);
        if matches!(ruling, Ruling::Allow(_)) {
            self.tape.allow(held.op);
            self.lapses.note(held.op, settled.expires);
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
        let verdict = self.stay.rulings.rule_approved(&self.stay.asker, &held.operation, clock::now(), approved);
        if held.still_stands(self.stay, self.role) {
            return verdict;
        }
        let changed = Refusal::builtin(Code::Policy, "hold-stale", "policies changed while the request waited")
            .with_hint("Run it again; it is decided anew.");
        Verdict::Deny(Arc::new(changed))
    }
}

pub(crate) fn withdrawing(approve: &Arc<dyn Approve>, held: &Held) -> BoxFuture<'static, ()> {
    let (approve, id) = (Arc::clone(approve), held.notice.id.clone());
    Box::pin(async move { approve.withdraw(id, clock::now()).await })
}
