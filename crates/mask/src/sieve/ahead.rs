//! Where the bytes stand without which detectors find nothing.

use crate::detect::{Detectors, MARKS, mark};
use crate::fold::{Rest, View};

/// Looks ahead in one text, each byte once.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    kinds: [Kind; MARKS],
    /// The detectors of which no candidate that begins before `until` is a value.
    barren: u64,
    until: usize,
    /// Finds every detector able, to check that looking ahead changes no result.
    #[cfg(test)]
    pub(super) blind: bool,
}

/// One kind of byte.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// The next byte of the kind, if `found`; else where looking has come to.
    at: usize,
    found: bool,
}

impl Ahead {
    /// The detectors that find nothing from a position on, as nothing that they need is within their reach.
    #[inline]
    pub(super) fn barren(&mut self, set: &Detectors, at: usize, view: &View, rest: Rest) -> u64 {
        #[cfg(test)]
        if self.blind {
            return 0;
        }
        if at >= self.until {
            self.look(set, at, view, rest);
        }
        self.barren
    }

    /// More text has come, or the text has ended: what was not known may be now.
    pub(super) const fn refresh(&mut self) {
        self.until = 0;
    }

    #[cold]
    fn look(&mut self, set: &Detectors, at: usize, view: &View, rest: Rest) {
        (self.barren, self.until) = (0, usize::MAX);
        for (index, (kind, need)) in self.kinds.iter_mut().zip(set.needs().each()).enumerate() {
            if need.detectors == 0 {
                continue;
            }
            kind.seek(at, view, |byte| set.needs().marks(byte) & mark(index) != 0);
            let known = if kind.found || rest == Rest::Follows { kind.at } else { usize::MAX };
            // Bytes up to the limit after its first are part of a value at most.
            let free = known.saturating_sub(need.limit);
            if at < free {
                self.barren |= need.detectors;
                self.until = self.until.min(free);
            } else {
                self.until = self.until.min(kind.at.saturating_add(1));
            }
        }
    }
}

impl Kind {
    /// Finds the first byte of the kind at or after a position.
    fn seek(&mut self, at: usize, view: &View, is_of_it: impl Fn(u8) -> bool) {
        if self.found && self.at >= at {
            return;
        }
        let from = self.at.max(at);
        let ahead = view.since(from);
        let place = ahead.iter().position(|byte| is_of_it(*byte));
        self.found = place.is_some();
        self.at = from.saturating_add(place.unwrap_or(ahead.len()));
    }
}
