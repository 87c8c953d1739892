//! One candidate: a detector that reads on from one character.

use regex_automata::util::primitives::StateID;

use super::lane::{Ending, Known, Lane};
use crate::detect::{Detector, Detectors, Overrun, Run};
use crate::fold::{CONTEXT, Rest, View};
use crate::recognise::Sight;

/// The most text of one candidate, invisible characters included.
pub(super) const RAW_LIMIT: usize = 64 << 10;

/// What stands before a value that begins where a control sequence ends, so to speak.
pub(super) const APART: Option<u8> = Some(b'\n');

/// A detector at work.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) detector: usize,
    pub(super) stage: Stage,
    /// Where the longest value so far ends; where the candidate begins if there is none.
    pub(super) best: usize,
    /// The state before the byte at `position`.
    pub(super) state: StateID,
    pub(super) position: usize,
    start: usize,
    /// The last end of the right shape, value or not.
    last: usize,
    #[cfg(test)]
    pub(super) steps: u64,
}

/// How far a candidate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// More text may make a longer value of it.
    Open,
    /// No continuation is a longer value.
    Dead,
    /// It reached the limit, or the end of the text; what it found counts.
    Done,
    /// It reached the limit and goes on; all of it is redacted.
    Over,
}

/// Why a candidate reads no further.
enum Course {
    /// The candidate before it went the same way from here.
    Joined,
    /// It is decided, or more text is needed.
    Stopped,
}

impl Thread {
    pub(super) const fn new(detector: usize, state: StateID, start: usize) -> Self {
        Self {
            detector,
            stage: Stage::Open,
            best: start,
            state,
            position: start,
            start,
            last: start,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Whether it found nothing, whatever text would have followed.
    pub(super) const fn is_vain(&self) -> bool {
        matches!(self.stage, Stage::Dead) && self.last == self.start
    }

    /// Reads on until the candidate is decided or the text ends that has arrived.
    pub(super) fn run(&mut self, detector: &Detector, view: &View, lane: &mut Lane, rest: Rest) {
        while let Course::Joined = self.walk(detector, view, lane) {
            if lane.last() > self.position {
                (self.last, self.best) = (lane.last(), lane.last());
            }
            (self.position, self.state) = lane.tip().unwrap_or((self.position, self.state));
            if detector.automaton.is_dead(self.state) {
                self.end(Stage::Dead, lane);
            }
        }
        if self.stage == Stage::Open && rest == Rest::Ends {
            if detector.automaton.ends(self.state) {
                self.judge(detector, view, None);
            }
            self.end(Stage::Done, lane);
        }
    }

    /// Reads on; stops where the candidate before this one went on from the same state.
    fn walk(&mut self, detector: &Detector, view: &View, lane: &mut Lane) -> Course {
        if self.stage != Stage::Open {
            return Course::Stopped;
        }
        let free = detector.check.forgets_beginnings();
        for byte in view.since(self.position) {
            if self.exceeds(detector, view) {
                let over = self.best > self.start || detector.overrun == Overrun::Redact;
                self.end(if over { Stage::Over } else { Stage::Done }, lane);
                break;
            }
            #[cfg(test)]
            {
                self.steps += 1;
            }
            let (next, run) = detector.automaton.step(self.state, *byte);
            self.state = next;
            let known = lane.visit(self.position, next);
            match run {
                Run::Dies => {
                    self.position = self.position.saturating_add(1);
                    self.end(Stage::Dead, lane);
                    break;
                }
                Run::Ends => self.judge(detector, view, Some(*byte)),
                Run::Lives => {}
            }
            if known && (free || lane.last() <= self.position) {
                return Course::Joined;
            }
            self.position = self.position.saturating_add(1);
        }
        Course::Stopped
    }

    /// Whether the value that was found is one without the bytes of a control sequence that it begins with: from behind
    /// them, the detector goes the same way.
    pub(super) fn begins_later(&self, set: &Detectors, lanes: &[Lane], view: &View) -> bool {
        let within = view.sequences_since(self.start).first().filter(|whole| whole.from <= self.start);
        let Some((detector, lane)) = set.detector(self.detector).zip(lanes.get(self.detector)) else { return false };
        let next = within.filter(|whole| whole.is_ordinary).map(|whole| whole.end.saturating_add(1));
        let Some((next, byte)) = next.and_then(|next| Some((next, view.byte(next)?))) else { return false };
        let (state, run) = detector.automaton.step(detector.automaton.start(APART), byte);
        let is_same = run == Run::Lives && lane.known(next, state) == Known::Way && lane.last() == self.best;
        is_same && self.best > next && detector.check.forgets_beginnings()
    }

    fn end(&mut self, stage: Stage, lane: &mut Lane) {
        let ending = match stage {
            Stage::Dead => Ending::Dead,
            Stage::Open | Stage::Done | Stage::Over => Ending::Alive,
        };
        lane.close(self.position, self.last, ending);
        self.stage = stage;
    }

    fn exceeds(&self, detector: &Detector, view: &View) -> bool {
        // Looked at in the same places whatever the beginning, so that candidates that join agree.
        let wide = || view.start(self.position).saturating_sub(view.start(self.start)) > RAW_LIMIT;
        self.position.saturating_sub(self.start) > detector.limit || (self.position.is_multiple_of(64) && wide())
    }

    /// Judges the text up to here, which has the right shape.
    fn judge(&mut self, detector: &Detector, view: &View, after: Option<u8>) {
        let from = self.start.saturating_sub(CONTEXT);
        let sight = Sight {
            value: view.slice(self.start, self.position),
            before: view.slice(from, self.start),
            after,
            parts: view.parts(self.start),
            sequences: view.sequences_between(from, self.start),
            start: self.start,
            hides: view.hides(self.start, self.position),
        };
        let accepted = self.position > self.start && detector.check.accepts(&sight);
        if accepted {
            self.best = self.position;
        }
        if accepted || !detector.check.forgets_beginnings() {
            self.last = self.position;
        }
    }
}
