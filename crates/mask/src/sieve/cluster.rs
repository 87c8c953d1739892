//! Values that overlap, covered as one.

use regex_automata::util::primitives::StateID;

use super::thread::{RAW_LIMIT, Stage, Thread};
use crate::detect::{Detectors, Run, bit};
use crate::fold::View;

/// A region of the text that will be covered.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    start: usize,
    /// Where its text begins.
    pub(super) from: usize,
    /// The position after its last byte, as far as it is known.
    pub(super) end: usize,
    /// The detector of the longest value in it, and how long that is.
    pub(super) owner: usize,
    reach: usize,
    /// Every detector with a value in it.
    pub(super) among: u64,
    pub(super) size: Size,
}

/// Whether a cluster is small enough to be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Size {
    Kept,
    /// Its text is not kept: it will be redacted.
    Outgrown,
    /// It has been redacted, and what belongs to it is dropped as it arrives.
    Redacted,
}

/// A detector whose value reached the limit and goes on.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    detector: usize,
    state: StateID,
    position: usize,
}

impl Cluster {
    pub(super) fn new(at: usize, view: &View) -> Self {
        Self { start: at, from: view.start(at), end: at, owner: 0, reach: 0, among: 0, size: Size::Kept }
    }

    /// Adds a candidate that was found at a position.
    pub(super) fn add(&mut self, set: &Detectors, thread: &Thread, at: usize, view: &View) {
        let end = view.whole(if thread.stage == Stage::Over { thread.position } else { thread.best });
        let reach = end.saturating_sub(at);
        if reach > self.reach {
            (self.owner, self.reach) = (thread.detector, reach);
        }
        self.among |= bit(thread.detector);
        self.end = self.end.max(end);
        let long = self.end.saturating_sub(self.start) > set.region();
        let wide = view.start(self.end.saturating_sub(1)).saturating_sub(self.from) > RAW_LIMIT;
        if self.size == Size::Kept && (long || wide || thread.stage == Stage::Over) {
            self.size = Size::Outgrown;
        }
    }
}

impl Tail {
    pub(super) fn of(thread: &Thread) -> Option<Self> {
        let Thread { detector, state, position, stage, .. } = *thread;
        (stage == Stage::Over).then_some(Self { detector, state, position })
    }

    pub(super) const fn bit(&self) -> u64 {
        bit(self.detector)
    }

    /// Reads the byte at a position, once the scan has come there; tells whether the value goes on.
    pub(super) fn reads(&mut self, set: &Detectors, at: usize, byte: u8) -> bool {
        if at < self.position {
            return true;
        }
        let Some(detector) = set.detector(self.detector) else { return false };
        let (next, run) = detector.automaton.step(self.state, byte);
        self.state = next;
        self.position = at.saturating_add(1);
        run != Run::Dies
    }
}
