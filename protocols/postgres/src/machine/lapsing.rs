//! What was bound or declared, and is executed or read when other policies are in force, or its approval has run out: it is
//! asked about again, once, before anything of it happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, Obligations, OpId, Refusal, Stage};
use sluice_sql::{Analysis, Cursor};
use sluice_wire::{Lapse, Outbox, Violation};

use super::question::{Asked, Question, schema_changed, time};
use super::values::Values;
use super::{Portal, PostgresMachine, requests};
use crate::frame::Frame;
use crate::names::Found;
use crate::operation::{Known, understand};

/// Bound values up to this size are kept, in bytes, to be asked about again.
const KEPT_BYTES: usize = 16 * 1024;

/// How often policies changed, as far as a machine was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Laws(u64);

/// What lapsed so far.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    pub(super) laws: Laws,
    /// Those in force when no transaction was open last: what functions opened since was asked about later.
    at_rest: Laws,
    /// Operations whose approval has run out, as far as a portal stands on them.
    expired: BTreeSet<OpId>,
}

/// What a portal stands on: what was asked when it was bound or declared, or the last time since, and the answer.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    op: OpId,
    laws: Laws,
    known: Arc<Known>,
    bound: Bound,
    obligations: Arc<Obligations>,
    /// The view of the schema that the text was read against.
    epoch: u64,
}

/// Values that an operation was asked for with.
#[derive(Clone, Debug)]
enum Bound {
    Kept(Option<Values>),
    TooLong,
}

impl Stand {
    pub(super) fn of(question: &Question, obligations: &Arc<Obligations>) -> Self {
        let fits = question.bound.as_ref().is_none_or(|bound| bound.bytes.len() <= KEPT_BYTES);
        Self {
            op: question.op,
            laws: question.laws,
            known: Arc::clone(&question.known),
            bound: if fits { Bound::Kept(question.bound.clone()) } else { Bound::TooLong },
            obligations: Arc::clone(obligations),
            epoch: question.epoch,
        }
    }
}

impl PostgresMachine {
    pub(super) fn lapse(&mut self, lapse: Lapse) {
        match lapse {
            Lapse::Everything => {
                self.lapses.laws.0 = self.lapses.laws.0.wrapping_add(1);
                self.lapses.expired.clear();
                if self.status == b'I' && self.pipeline.len() == 0 {
                    self.is_at_rest();
                }
            }
            Lapse::Operation(op) => {
                self.lapses.expired.insert(op);
                let portals = &self.portals;
                self.lapses
                    .expired
                    .retain(|op| portals.any(|portal| portal.stand.op == *op || portal.source == Some(*op)));
            }
        }
    }

    /// No transaction is open.
    pub(super) const fn is_at_rest(&mut self) {
        self.lapses.at_rest = self.lapses.laws;
    }

    /// Whether a cursor that only the server knows may have been opened under other policies.
    pub(super) fn unknown_may_be_stale(&self) -> bool {
        self.lapses.at_rest != self.lapses.laws
    }

    fn is_lapsed(&self, portal: &Portal) -> bool {
        let expired = &self.lapses.expired;
        let mut grounds = std::iter::once(&portal.stand.op).chain(&portal.source);
        portal.stand.laws != self.lapses.laws || grounds.any(|op| expired.contains(op))
    }

    /// The operation that a cursor stands on.
    pub(super) fn stands_on(&self, name: &str) -> Option<OpId> {
        match self.portals.find(name.as_bytes(), self.batch) {
            Found::Known(portal) => Some(portal.stand.op),
            Found::Unknown | Found::Unsettled => None,
        }
    }

    /// Whether any portal may be read that stands no longer on anything.
    pub(super) fn any_lapsed(&self) -> bool {
        self.portals.any(|portal| self.is_lapsed(portal))
    }

    /// What must be asked about again before a portal is executed: itself, or what it fetches from.
    pub(super) fn lapsed_by(&self, name: &[u8], portal: &Portal) -> Option<(Bytes, Portal)> {
        if self.is_lapsed(portal) {
            return Some((Bytes::copy_from_slice(name), portal.clone()));
        }
        if portal.filled.is_some() {
            return None;
        }
        self.lapsed_source(portal.naming.as_ref()?.cursor.as_ref()?)
    }

    /// The first that a text fetches from, and that must be asked about again.
    pub(super) fn lapsed_in(&self, analysis: &Analysis) -> Option<(Bytes, Portal)> {
        let mut cursors = analysis.statements.iter().filter_map(|statement| statement.cursor.as_ref());
        cursors.find_map(|cursor| self.lapsed_source(cursor))
    }

    fn lapsed_source(&self, cursor: &Cursor) -> Option<(Bytes, Portal)> {
        let name = cursor.reads()?.as_bytes();
        match self.portals.find(name, self.batch) {
            Found::Known(portal) if self.is_lapsed(portal) => Some((Bytes::copy_from_slice(name), portal.clone())),
            Found::Known(_) | Found::Unknown | Found::Unsettled => None,
        }
    }

    /// Asks again for what a portal was made for. The message that needs it is looked at anew once that is allowed.
    pub(super) fn ask_again(&mut self, (name, portal): (Bytes, Portal), frame: Frame, out: &mut Outbox<Frame>) {
        let Portal { stand, filled, .. } = portal;
        let view = self.schemas.view();
        let epoch = view.catalog.epoch();
        let known = if stand.epoch == epoch {
            Ok(Arc::clone(&stand.known))
        } else {
            let again = understand(&stand.known.text, &view, &sluice_sql::NoPrepared);
            if again.analysis == stand.known.analysis { Ok(again) } else { Err(schema_changed()) }
        };
        // What a FETCH has read the server keeps, whatever became of the cursor since.
        let askable = match (filled, stand.bound.clone()) {
            (None, Bound::Kept(bound)) => known.map(|known| (known, bound)),
            (Some(_), _) | (None, Bound::TooLong) => Err(stale()),
        };
        match askable {
            Ok((known, bound)) => {
                let asked = Asked::Again { name, stand: Box::new(stand) };
                self.ask(Question::new(frame, known, epoch, asked, bound), Stage::Perform, out);
            }
            Err(refusal) => {
                requests::note(&refusal, out);
                self.poison(OpId::CONNECT, frame.tag(), Arc::new(refusal), out);
            }
        }
    }

    /// The portal stands again, where the answer is what it was.
    pub(super) fn stands_again(
        &mut self,
        question: Question,
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Violation> {
        let Asked::Again { name, stand } = &question.asked else { return Ok(()) };
        if question.known.refusal.is_some() || !is_same(&stand.obligations, obligations) {
            let refusal = question.known.refusal.clone().unwrap_or_else(stale);
            requests::note(&refusal, out);
            self.poison(question.op, question.frame.tag(), Arc::new(refusal), out);
            return Ok(());
        }
        let now = Stand::of(&question, obligations);
        let before = (stand.op, stand.laws);
        self.portals.amend(name, |portal| {
            if (portal.stand.op, portal.stand.laws) == before {
                portal.stand = now.clone();
            }
        });
        out.done(question.op);
        self.request(question.frame, out)
    }
}

/// Whether what is shown would be masked and limited as it was.
fn is_same(then: &Obligations, now: &Obligations) -> bool {
    let limits = |of: &Obligations| (of.controls.max_rows, of.controls.max_bytes, time(of));
    then.masks == now.masks && then.withheld == now.withheld && limits(then) == limits(now)
}

fn stale() -> Refusal {
    let message = "the portal was bound, or the cursor declared, under other policies";
    Refusal::builtin(Code::Policy, "stale-portal", message).with_hint("Bind it, or declare it, again.")
}
