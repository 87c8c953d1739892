//! The scan over one text: which candidates are open, and what may leave.

use super::ahead::Ahead;
use super::cluster::{Cluster, Size, Tail};
use super::lane::{Known, Lane};
use super::thread::{APART, Stage, Thread};
use super::{Exit, Found};
use regex_automata::util::primitives::StateID;

use crate::detect::{Detector, Detectors, Run, Watch, bit};
use crate::fold::{Rest, View, is_strange};

/// How many bytes are looked at before a candidate is followed; most end within them.
const GLANCE: usize = 3;
/// The longest word that is looked at as a whole.
const WORD: usize = 24;

/// So many digits may become a number that is a value.
const DIGITS: usize = 4;

/// Everything that is known about one text.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    view: View,
    /// The position whose candidates are being decided; all before it are.
    at: usize,
    threads: Vec<Thread>,
    begun: Begun,
    /// The detectors whose candidate at the position before this one found nothing and was in a loop there.
    vain: u64,
    pub(super) ahead: Ahead,
    /// One for each detector.
    lanes: Vec<Lane>,
    cluster: Option<Cluster>,
    tails: Vec<Tail>,
    covered: u64,
    #[cfg(test)]
    pub(super) steps: u64,
    /// Walks every way anew, to check that lanes change no result.
    #[cfg(test)]
    pub(super) forgetful: bool,
}

/// Whether the candidates of a position are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begun {
    No,
    Yes,
}

impl Scan {
    pub(crate) fn new(set: &Detectors) -> Self {
        Self {
            view: View::default(),
            at: 0,
            threads: Vec::new(),
            begun: Begun::No,
            vain: 0,
            ahead: Ahead::default(),
            lanes: (0..set.len()).map(|_| Lane::default()).collect(),
            cluster: None,
            tails: Vec::new(),
            covered: 0,
            #[cfg(test)]
            steps: 0,
            #[cfg(test)]
            forgetful: false,
        }
    }

    /// A scan that lets every character of a text leave, however many cannot be seen.
    pub(crate) fn complete(set: &Detectors) -> Self {
        Self { view: View::complete(), ..Self::new(set) }
    }

    /// The same for a text that holds stand-ins.
    pub(crate) fn faithful(set: &Detectors) -> Self {
        Self { view: View::faithful(), ..Self::new(set) }
    }

    /// A scan that goes on from what is not decided of this one.
    pub(crate) fn fork(&self, set: &Detectors) -> Self {
        Self {
            view: self.view.clone(),
            at: self.at,
            vain: self.vain,
            ahead: self.ahead.clone(),
            cluster: self.cluster.clone(),
            tails: self.tails.clone(),
            ..Self::faithful(set)
        }
    }

    /// The position after the last one that was folded.
    pub(crate) fn end(&self) -> usize {
        self.view.end()
    }

    /// Whether everything before a position is decided.
    pub(crate) fn is_open_after(&self, position: usize) -> bool {
        self.at >= position && self.cluster.is_none()
    }

    /// Takes note that the next piece begins with so many bytes that stand for themselves wherever they stand.
    pub(crate) const fn foresee(&mut self, plain: usize) {
        self.view.foresee(plain);
    }

    /// Reads on, and lets go of what may leave.
    pub(crate) fn read(&mut self, set: &Detectors, watch: Watch, piece: &str, rest: Rest, exit: &mut impl Exit) {
        self.view.push(piece, rest);
        self.ahead.refresh();
        loop {
            self.skip(set, watch, rest);
            let Some(byte) = self.view.byte(self.at) else { break };
            if self.waits(rest) {
                break;
            }
            if self.cluster.is_some() {
                self.follow(set, byte);
                self.close(set, exit);
            }
            if self.begun == Begun::No {
                self.begin(set, watch, byte, rest);
            }
            if !self.threads.is_empty() {
                if self.decide(set, rest) == Stage::Open {
                    break;
                }
                self.absorb(set, byte);
            }
            self.begun = Begun::No;
            self.at = self.at.saturating_add(1);
        }
        if rest == Rest::Ends {
            if let Some(cluster) = &mut self.cluster
                && !self.tails.is_empty()
            {
                cluster.end = self.at;
            }
            self.tails.clear();
            self.close(set, exit);
        }
        self.release(rest, exit);
    }

    /// Forgets the text, but not how often texts were covered.
    pub(crate) fn reset(&mut self) {
        self.view = self.view.anew();
        self.at = 0;
        self.threads.clear();
        self.begun = Begun::No;
        self.vain = 0;
        self.ahead = Ahead::default();
        self.lanes.iter_mut().for_each(Lane::reset);
        self.cluster = None;
        self.tails.clear();
    }

    /// Whether what is not decided shows more of a value than ordinary words and short numbers do.
    pub(crate) fn suspects(&self, set: &Detectors) -> bool {
        let open = self.view.since(self.at);
        let digits = open.iter().filter(|byte| byte.is_ascii_digit()).count();
        let shows = || set.signs().is_none_or(|signs| signs.shown(&[open, b"\n\n"].concat()) != 0);
        self.cluster.is_some() || digits >= DIGITS || is_strange(open) || shows()
    }

    pub(crate) fn held(&self) -> usize {
        self.view.held()
    }

    pub(crate) const fn covered(&self) -> u64 {
        self.covered
    }

    /// Passes the bytes at which nothing can begin.
    fn skip(&mut self, set: &Detectors, watch: Watch, rest: Rest) {
        if self.cluster.is_some() || self.begun == Begun::Yes {
            return;
        }
        let end = self.view.end();
        while self.at < end {
            let able = Watch(self.ahead.able(set, self.at, &self.view, rest) & watch.0);
            let until = self.ahead.until().min(end);
            let passed = if able.is_empty() { None } else { self.try_begin(set, able, until) };
            if let Some(at) = passed {
                self.at = at;
                return;
            }
            if able.is_empty() {
                self.vain = 0;
            }
            self.at = until;
        }
    }

    /// The first position up to another one at which some detector begins.
    fn try_begin(&mut self, set: &Detectors, able: Watch, until: usize) -> Option<usize> {
        let bytes = self.view.slice(self.at, until);
        let has_sequences = !self.view.sequences_since(self.at.saturating_sub(1)).is_empty();
        let mut index = 0_usize;
        loop {
            let rest = bytes.get(index..).unwrap_or_default();
            let idle = set.idle(rest, able);
            if idle > 0 {
                // Where nothing can begin, nothing loops.
                self.vain = 0;
            }
            let byte = *rest.get(idle)?;
            let vain = self.vain & set.looping(byte);
            index = index.saturating_add(idle);
            let at = self.at.saturating_add(index);
            self.vain = vain;
            let mut before = at.checked_sub(1).and_then(|before| self.view.byte(before));
            if has_sequences && self.view.parts(at) {
                (before, self.vain) = (APART, 0);
            }
            if set.begin(before, byte, able) & !self.vain != 0 {
                return Some(at);
            }
            index = index.saturating_add(1);
        }
    }

    /// Whether the next candidates can wait for the text that is at hand.
    const fn waits(&self, rest: Rest) -> bool {
        matches!((rest, self.begun), (Rest::AtHand, Begun::No))
            && self.cluster.is_none()
            && self.at >= self.ahead.known()
    }

    fn before(&self) -> Option<u8> {
        if self.view.parts(self.at) { APART } else { self.at.checked_sub(1).and_then(|before| self.view.byte(before)) }
    }

    /// Lets values that outgrew their limit go on through this byte.
    fn follow(&mut self, set: &Detectors, byte: u8) {
        let at = self.at;
        let Some(cluster) = &mut self.cluster else { return };
        if self.tails.is_empty() {
            return;
        }
        self.tails.retain_mut(|tail| tail.reads(set, at, byte));
        if !self.tails.is_empty() {
            cluster.end = cluster.end.max(at);
        }
    }

    /// Covers the cluster if nothing can extend it.
    fn close(&mut self, set: &Detectors, exit: &mut impl Exit) {
        let Some(cluster) = self.cluster.take_if(|cluster| self.tails.is_empty() && cluster.end <= self.at) else {
            return;
        };
        let to = self.view.start(cluster.end);
        match cluster.size {
            Size::Kept if let Some(owner) = set.detector(cluster.owner) => {
                self.view.release(cluster.from, |text| exit.keep(text));
                let text = self.view.text(cluster.from, to);
                exit.cover(&Found { set, owner, among: cluster.among, text });
                self.covered = self.covered.saturating_add(1);
            }
            Size::Kept | Size::Outgrown => self.redact(cluster.from, cluster.among, exit),
            Size::Redacted => {}
        }
        self.view.release(to, |text| exit.hide(text));
    }

    /// Decides the candidates of this position, if the text that has arrived suffices.
    fn decide(&mut self, set: &Detectors, rest: Rest) -> Stage {
        let mut open = false;
        for thread in &mut self.threads {
            let (detector, lane) = (set.detector(thread.detector), self.lanes.get_mut(thread.detector));
            if let (Stage::Open, Some(detector), Some(lane)) = (thread.stage, detector, lane) {
                thread.run(detector, &self.view, lane, rest);
            }
            open |= thread.stage == Stage::Open;
        }
        if open { Stage::Open } else { Stage::Done }
    }

    /// Starts a candidate of every detector whose values can begin here.
    fn begin(&mut self, set: &Detectors, watch: Watch, byte: u8, rest: Rest) {
        self.begun = Begun::Yes;
        let busy = self.tails.iter().fold(0, |mask, tail| mask | tail.bit());
        let (before, ahead) = (self.before(), self.view.since(self.at.saturating_add(1)));
        let looping = set.looping(byte);
        self.vain = if self.view.parts(self.at) { 0 } else { self.vain & looping };
        let able = self.ahead.able(set, self.at, &self.view, rest);
        let mut mask = set.begin(before, byte, watch) & !busy & !self.vain & able;
        while let Ok(index) = usize::try_from(mask.trailing_zeros())
            && mask != 0
        {
            mask &= mask.wrapping_sub(1);
            let Some((detector, lane)) = set.detector(index).zip(self.lanes.get_mut(index)) else { continue };
            #[cfg(test)]
            {
                self.steps += 1 + GLANCE as u64;
                if self.forgetful {
                    lane.reset();
                }
            }
            // Most candidates end here: at their first bytes, or in the middle of a word whose beginning was none.
            let state = detector.automaton.start(before);
            let (next, run) = detector.automaton.step(state, byte);
            if run == Run::Dies {
                continue;
            }
            let loops = looping & bit(index) != 0;
            let vain = match lane.known(self.at, next) {
                Known::Vain => true,
                Known::Way if adds_nothing(self.cluster.as_ref(), index, detector, lane) => continue,
                Known::Way => false,
                Known::Nothing if loops => word_dies(set, index, next, ahead),
                Known::Nothing => dies_soon(detector, next, ahead),
            };
            if vain {
                self.vain |= bit(index) & looping;
            } else {
                lane.begin(self.at);
                self.threads.push(Thread::new(index, state, self.at));
            }
        }
    }

    /// Takes what the candidates of this position found into the cluster.
    fn absorb(&mut self, set: &Detectors, byte: u8) {
        for thread in self.threads.drain(..) {
            #[cfg(test)]
            {
                self.steps = self.steps.saturating_add(thread.steps);
            }
            if thread.is_vain() {
                self.vain |= bit(thread.detector) & set.looping(byte);
            }
            #[cfg(test)]
            if self.forgetful {
                self.vain = 0;
            }
            if (thread.best > self.at && !thread.begins_later(set, &self.lanes, &self.view))
                || thread.stage == Stage::Over
            {
                let cluster = self.cluster.get_or_insert_with(|| Cluster::new(self.at, &self.view));
                cluster.add(set, &thread, self.at, &self.view);
                self.tails.extend(Tail::of(&thread));
            }
        }
    }

    /// Lets go of all text that no candidate and no cluster needs.
    fn release(&mut self, rest: Rest, exit: &mut impl Exit) {
        let mut needed = self.at;
        match &mut self.cluster {
            Some(cluster) if cluster.size == Size::Kept => {
                let from = cluster.from;
                needed = needed.min(cluster.end);
                self.view.release(from, |text| exit.keep(text));
            }
            Some(cluster) => {
                needed = needed.min(cluster.end);
                let outgrown = std::mem::replace(&mut cluster.size, Size::Redacted) == Size::Outgrown;
                let (from, among) = (cluster.from, cluster.among);
                if outgrown {
                    self.redact(from, among, exit);
                }
                self.view.release(self.view.start(needed), |text| exit.hide(text));
            }
            None if rest == Rest::Ends => self.view.release(self.view.raw_end(), |text| exit.keep(text)),
            None => self.view.release(self.view.start(self.at), |text| exit.keep(text)),
        }
        self.view.forget(needed);
    }

    fn redact(&mut self, from: usize, among: u64, exit: &mut impl Exit) {
        self.view.release(from, |text| exit.keep(text));
        exit.redact(among);
        self.covered = self.covered.saturating_add(1);
    }
}

/// Whether the value that a candidate finds on a known way lies in one of the same detector that is covered anyway.
fn adds_nothing(cluster: Option<&Cluster>, index: usize, detector: &Detector, lane: &Lane) -> bool {
    let covered =
        |cluster: &Cluster| cluster.among & bit(index) != 0 && lane.decided().is_some_and(|end| end <= cluster.end);
    detector.check.forgets_beginnings() && cluster.is_some_and(covered)
}

/// Whether one of the next bytes kills a candidate before it has found anything.
fn dies_soon(detector: &Detector, mut state: StateID, ahead: &[u8]) -> bool {
    for byte in ahead.iter().take(GLANCE) {
        let (next, run) = detector.automaton.step(state, *byte);
        match run {
            Run::Dies => return true,
            Run::Ends => return false,
            Run::Lives => state = next,
        }
    }
    false
}

/// Whether the byte after the rest of a word kills a candidate that is in a loop.
fn word_dies(set: &Detectors, index: usize, state: StateID, ahead: &[u8]) -> bool {
    let Some(detector) = set.detector(index) else { return false };
    let mut word = ahead.iter().take(WORD.min(detector.limit));
    let after = word.find(|byte| set.looping(**byte) & bit(index) == 0);
    after.is_some_and(|byte| detector.automaton.step(state, *byte).1 == Run::Dies)
}
