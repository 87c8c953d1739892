//! Where candidates are worth beginning, from the signs that values show.

use std::collections::VecDeque;

use crate::detect::{Detectors, Place, Search, Signs, Spot};
use crate::fold::{LETTER, Rest, View};

/// The digits of the longest number that counts because something is hidden in it.
const HIDING: usize = 9;

/// The longest quoted local part of a mail address, with its quotes and what follows it.
const QUOTED: usize = 67;

/// Looks ahead in one text, each byte once.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    /// How far the search for signs is that has come to `read`.
    search: Option<Search>,
    read: usize,
    /// Behind the last byte that may not stand in the local part of a mail address.
    local: usize,
    /// Behind the last window of a local part.
    locals: usize,
    /// The last two quotes.
    quotes: [usize; 2],
    /// The first position at which more text may show a sign of a value.
    known: usize,
    /// Where values may begin, by `from`.
    windows: VecDeque<Window>,
    /// The detectors of which a value may begin before `until`.
    able: u64,
    until: usize,
    /// Finds every detector able, to check that looking ahead changes no result.
    #[cfg(test)]
    pub(super) blind: bool,
}

/// Places near a sign, both ends included.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: usize,
    to: usize,
    detectors: u64,
}

impl Ahead {
    /// The detectors of which a value may begin at a position; the same ones up to [`Self::until`].
    #[inline]
    pub(super) fn able(&mut self, set: &Detectors, at: usize, view: &View, rest: Rest) -> u64 {
        #[cfg(test)]
        if self.blind {
            self.until = at.saturating_add(1);
            return u64::MAX;
        }
        if at >= self.until {
            self.look(set, at, view, rest);
        }
        self.able
    }

    pub(super) const fn until(&self) -> usize {
        self.until
    }

    /// More text has come, or the text has ended: what was not known may be now.
    pub(super) const fn refresh(&mut self) {
        self.until = 0;
    }

    /// The first position at which more text may show a sign of a value.
    pub(super) const fn known(&self) -> usize {
        self.known
    }

    fn look(&mut self, set: &Detectors, at: usize, view: &View, rest: Rest) {
        let Some(signs) = set.signs() else {
            (self.able, self.until) = (u64::MAX, usize::MAX);
            return;
        };
        if self.read < view.end() || !view.hidden_since(self.read).is_empty() {
            self.read(signs, at, view);
        }
        (self.able, self.until) = (!signs.signed, usize::MAX);
        while self.windows.front().is_some_and(|window| window.to < at) {
            self.windows.pop_front();
        }
        for window in &self.windows {
            if window.from > at {
                self.until = self.until.min(window.from);
                break;
            }
            if window.to >= at {
                self.able |= window.detectors;
                self.until = self.until.min(window.to.saturating_add(1));
            }
        }
        if rest == Rest::Ends {
            return;
        }
        if at < self.known {
            self.until = self.until.min(self.known);
        } else {
            let (mut able, mut until) = (self.able, self.until);
            for (index, (from, detectors)) in self.open(signs).enumerate() {
                if from <= at {
                    able |= detectors;
                } else {
                    until = until.min(from);
                    if index > 0 {
                        break;
                    }
                }
            }
            (self.able, self.until) = (able, until);
        }
    }

    /// From which positions on it is not known whether values of which detectors show their sign. The first is that of
    /// the local part of a mail address, if there is one; the others are in order.
    fn open(&self, signs: &Signs) -> impl Iterator<Item = (usize, u64)> {
        let (end, (most, detectors)) = (self.read.saturating_add(1), signs.local);
        let quotes = self.quotes.into_iter().filter(|quote| quote.saturating_add(QUOTED) >= end);
        let local = quotes.fold(self.local, usize::min);
        let local = (detectors != 0).then_some((local.max(end.saturating_sub(most)), detectors));
        local.into_iter().chain(signs.reaches.iter().map(move |(most, all)| (end.saturating_sub(*most), *all)))
    }

    /// Reads what has come.
    fn read(&mut self, signs: &Signs, at: usize, view: &View) {
        let (from, end) = (self.read, view.end());
        for hidden in view.hidden_since(from) {
            let window = Window { from: hidden.saturating_sub(HIDING), to: *hidden, detectors: signs.signed };
            self.add(window);
        }
        let bytes = view.since(from);
        let mut search = self.search.unwrap_or_else(|| signs.search());
        // A value that begins where a control sequence ends need not show what values have before them.
        let mut parts = view.sequences_since(from).iter().map(|whole| whole.end).peekable();
        let part = |from: usize| Window { from, to: from.saturating_add(1), detectors: signs.signed };
        signs.read(&mut search, bytes, |index, spot| {
            let sign = from.saturating_add(index);
            while let Some(place) = parts.next_if(|place| *place <= sign) {
                self.add(part(place));
            }
            self.found(sign, spot, at, view);
        });
        parts.for_each(|place| self.add(part(place)));
        signs.end(search, |spot| self.found(end, spot, at, view));
        self.search = Some(search);
        self.read = end;
        if let Some(other) = bytes.iter().rposition(|byte| !is_local(*byte)) {
            self.local = from.saturating_add(other).saturating_add(1);
        }
        self.quote(from, bytes);
        // The first one and the first of those in order.
        self.known = self.open(signs).take(2).map(|(from, _)| from).min().unwrap_or(end);
    }

    /// Looks for the last two quotes in what has come.
    fn quote(&mut self, from: usize, bytes: &[u8]) {
        let low = bytes.len().saturating_sub(QUOTED);
        let last = bytes.get(low..).unwrap_or_default();
        if !last.iter().fold(false, |any, byte| any | (*byte == b'"')) {
            return;
        }
        let mut quotes = last.iter().enumerate().rev().filter(|(_, byte)| **byte == b'"');
        let mut quotes = quotes.by_ref().map(|(at, _)| from.saturating_add(low).saturating_add(at));
        if let Some(second) = quotes.next() {
            let [_, last] = self.quotes;
            self.quotes = [quotes.next().unwrap_or(last), second];
        }
    }

    /// Takes a sign that ends before a position.
    fn found(&mut self, end: usize, spot: Spot, at: usize, view: &View) {
        let detectors = spot.detectors;
        let window = match spot.place {
            Place::Before { least, .. } if least > end => return,
            Place::Before { least, most } => {
                Window { from: end.saturating_sub(most), to: end.saturating_sub(least), detectors }
            }
            Place::After { most } => Window { from: end, to: end.saturating_add(most), detectors },
            Place::Local { most } => {
                let to = end.saturating_sub(1);
                let low = end.saturating_sub(most).max(at).min(to);
                let Some(from) = self.local(low, to, view) else { return };
                self.locals = to.saturating_add(1);
                Window { from, to, detectors }
            }
        };
        self.add(window);
    }

    /// Where the local part of a mail address may begin that ends before a position, from a lowest one on.
    fn local(&self, low: usize, to: usize, view: &View) -> Option<usize> {
        let close = to.saturating_sub(1);
        if view.byte(close) == Some(b'"') {
            let low = low.max(to.saturating_sub(QUOTED)).min(close);
            return view.slice(low, close).iter().rposition(|byte| *byte == b'"').map(|at| low.saturating_add(at));
        }
        let low = low.max(self.locals).min(to);
        let other = view.slice(low, to).iter().rposition(|byte| !is_local(*byte));
        Some(other.map_or(low, |at| low.saturating_add(at).saturating_add(1)))
    }

    /// Adds a window where it belongs, or to one of the last.
    fn add(&mut self, window: Window) {
        let joins = |last: &Window| {
            last.detectors == window.detectors && window.from >= last.from && window.from <= last.to.saturating_add(1)
        };
        if let Some(last) = self.windows.iter_mut().rev().take(4).find(|last| joins(last)) {
            last.to = last.to.max(window.to);
            return;
        }
        let place = self.windows.iter().rposition(|other| other.from <= window.from);
        self.windows.insert(place.map_or(0, |place| place.saturating_add(1)), window);
    }
}

/// Whether a byte may stand in the local part of a mail address that has no quotes.
const fn is_local(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'%' | b'+' | b'-' | b'.' | b'\'' | LETTER)
}
