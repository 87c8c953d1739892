//! What was allowed and stands no longer: policies changed, or an approval has run out.
//!
//! A protocol may be allowed something now that it begins later: a portal is bound, and executed when its client likes. Its
//! machine is told here when what it was allowed counts no longer, and asks again. What has begun goes on to its end.

use sluice_model::{OpId, UnixMicros};
use sluice_wire::{Lapse, Link, Machine};

use crate::clock;
use crate::flow::Flow;

/// What a flow's machine has been told of so far, and what it will have to be told.
#[derive(Debug)]
pub(crate) struct Lapses {
    /// Of the policies that the machine last heard of.
    epoch: u64,
    /// What people approved, until when.
    approved: Vec<(UnixMicros, OpId)>,
}

impl Lapses {
    pub(crate) const fn new(epoch: u64) -> Self {
        Self { epoch, approved: Vec::new() }
    }

    /// Notes an operation that is allowed until a moment.
    pub(crate) fn note(&mut self, op: OpId, expires: UnixMicros) {
        self.approved.push((expires, op));
    }

    /// Takes the operations out whose approval has run out.
    fn expired(&mut self) -> Vec<OpId> {
        if self.approved.is_empty() {
            return Vec::new();
        }
        let now = clock::now();
        self.approved.extract_if(.., |(expires, _)| *expires <= now).map(|(_, op)| op).collect()
    }
}

impl<M, C, S> Flow<'_, M, C, S>
where
    M: Machine,
    C: Link<Frame = M::Frame>,
    S: Link<Frame = M::Frame>,
{
    /// Tells the machine what stands no longer, before any input: by a client's it may begin something, and what a server says
    /// unasked may be shown no longer.
    pub(crate) fn tell_lapses(&mut self) {
        let epoch = self.stay.rulings.epoch_in_force();
        if epoch != self.lapses.epoch {
            self.lapses.epoch = epoch;
            self.machine.lapsed(Lapse::Everything);
        }
        for op in self.lapses.expired() {
            self.machine.lapsed(Lapse::Operation(op));
        }
    }
}
