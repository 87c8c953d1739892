//! A session whose target is configured otherwise by now: what runs may end, and nothing more begins.

use std::sync::Arc;

use sluice_model::{OpId, Ruling};
use sluice_wire::Outbox;

use super::{Doubt, Errand, Farewell, PostgresMachine, requests};
use crate::frame::Frame;
use crate::tenure;

/// What begins an operation, or goes on with one.
const OPERATIONS: &[u8] = b"QFPBDEC";

/// An answer that comes too late: nothing is allowed any more.
pub(super) fn dismissed(ruling: Ruling) -> Ruling {
    match ruling {
        Ruling::Allow(_) => Ruling::Deny(Arc::new(tenure::changed())),
        denied @ Ruling::Deny(_) => denied,
    }
}

impl PostgresMachine {
    /// Whether a message comes too late. A `Sync` does not as long as the server owes answers: it waits for it.
    pub(super) fn dismisses(&self, tag: u8) -> bool {
        let late = || self.pipeline.len() == 0 || (!self.pipeline.discarding && OPERATIONS.contains(&tag));
        self.tenure.is_over() && late()
    }

    /// Ends the session in the place of an operation, or refuses it until the server has answered what came before.
    pub(super) fn dismiss(&mut self, tag: u8, out: &mut Outbox<Frame>) {
        let refusal = tenure::changed();
        requests::note(&refusal, out);
        if self.pipeline.len() == 0 {
            self.end_session(&refusal, out);
        } else {
            self.poison(OpId::CONNECT, tag, Arc::new(refusal), out);
        }
    }

    /// Ends the session once everything has been answered.
    pub(super) fn part_if_dismissed(&mut self, out: &mut Outbox<Frame>) {
        let at_rest = self.pipeline.len() == 0 && self.question.is_none() && self.parked.is_none();
        let at_rest = at_rest && matches!((&self.doubt, self.errand), (Doubt::None, Errand::None));
        if at_rest && self.farewell == Farewell::Unsaid && self.tenure.is_over() {
            let refusal = tenure::changed();
            requests::note(&refusal, out);
            self.end_session(&refusal, out);
        }
    }
}
