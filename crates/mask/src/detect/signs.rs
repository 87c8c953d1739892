//! Where values can begin at all.
//!
//! Every value of a built-in detector shows a *sign* at a known distance from its beginning: letters that all keys of a
//! kind begin with, the first groups of a number, or a word not long before it. One automaton finds the signs of all
//! detectors in one pass over the folded text. Where no sign is near, no candidate is begun.
//!
//! A step of an automaton waits for the one before it, most of the time for nothing else. So a long text is cut into
//! lanes that are read side by side. All lanes but the first begin as if nothing stood before them; the lane before
//! each then reads on into it until it finds itself in the same state, and what that lane found from there on counts.

mod table;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::iter::zip;

use smallvec::SmallVec;

use super::bit;
use table::Table;

pub(crate) use table::Search;

/// How many parts of a text are read side by side.
const LANES: usize = 6;
/// How long each of them may be: what is left of longer ones is read in shorter ones.
const LONG: usize = 170;
const MIDDLE: usize = 64;
const SHORT: usize = 24;

/// What every value of a detector shows, or one of several things of which it shows one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) pattern: &'static str,
    pub(super) place: Place,
}

/// Where a value begins that has a sign, counted in folded bytes from the end of the sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// So many bytes before it.
    Before { least: usize, most: usize },
    /// At most so many bytes before it, which all may stand in the local part of a mail address; or at the quote that
    /// one begins with.
    Local { most: usize },
    /// At most so many bytes after it.
    After { most: usize },
}

/// A sign that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) detectors: u64,
    pub(crate) place: Place,
}

/// The signs of a set of detectors.
pub(crate) struct Signs {
    table: Table,
    /// The detectors that have signs.
    pub(crate) signed: u64,
    /// How far the ends of signs are from beginnings before them, and of which detectors; the farthest first.
    pub(crate) reaches: Vec<(usize, u64)>,
    /// The same, of those behind the local part of a mail address.
    pub(crate) local: (usize, u64),
}

/// The places in a lane before which signs end.
type Hits = SmallVec<[(usize, Search); 8]>;

impl Signs {
    /// Compiles the signs of each detector, in order; none if a table would be too large.
    pub(super) fn compile(each: &[Option<&'static [Sign]>]) -> Option<Self> {
        let signs = each.iter().enumerate().filter_map(|(index, signs)| Some((bit(index), (*signs)?)));
        let all = signs.flat_map(|(detectors, signs)| signs.iter().map(move |sign| (detectors, sign)));
        let all: Vec<_> = all.collect();
        let mut signs = Self { table: Table::compile(&all)?, signed: 0, reaches: Vec::new(), local: (0, 0) };
        for (detectors, sign) in all {
            signs.signed |= detectors;
            match sign.place {
                Place::Before { most, .. } => signs.reach(most, detectors),
                Place::Local { most } => signs.local = (most.max(signs.local.0), detectors | signs.local.1),
                Place::After { .. } => {}
            }
        }
        signs.reaches.sort_unstable_by_key(|(reach, _)| Reverse(*reach));
        Some(signs)
    }

    fn reach(&mut self, most: usize, detectors: u64) {
        match self.reaches.iter_mut().find(|(reach, _)| *reach == most) {
            Some((_, all)) => *all |= detectors,
            None => self.reaches.push((most, detectors)),
        }
    }

    /// A search that has read nothing.
    pub(crate) const fn search(&self) -> Search {
        self.table.start
    }

    /// Reads bytes; tells which signs end before which of them, in order.
    pub(crate) fn read(&self, search: &mut Search, bytes: &[u8], mut tell: impl FnMut(usize, Spot)) {
        let mut from = self.stretches::<LONG>(search, bytes, 0, &mut tell);
        from = self.stretches::<MIDDLE>(search, bytes, from, &mut tell);
        from = self.stretches::<SHORT>(search, bytes, from, &mut tell);
        self.walk(search, bytes.get(from..).unwrap_or_default(), |index, spot| tell(from.saturating_add(index), spot));
    }

    /// Reads as many bytes from a place on as lanes of this length can; tells where they end.
    fn stretches<const LANE: usize>(
        &self,
        search: &mut Search,
        bytes: &[u8],
        mut from: usize,
        tell: &mut impl FnMut(usize, Spot),
    ) -> usize {
        let lanes = bytes.get(from..).unwrap_or_default().as_chunks::<LANE>().0;
        for stretch in lanes.as_chunks::<LANES>().0 {
            self.stretch(search, stretch, &mut |index, spot| tell(from.saturating_add(index), spot));
            from = from.saturating_add(stretch.as_flattened().len());
        }
        from
    }

    /// Reads lanes side by side.
    fn stretch<const LANE: usize>(
        &self,
        search: &mut Search,
        lanes: &[[u8; LANE]; LANES],
        tell: &mut impl FnMut(usize, Spot),
    ) {
        let mut hits = <[Hits; LANES]>::default();
        let ends = self.side_by_side(*search, lanes, &mut hits);
        let mut from = 0_usize;
        for (lane, (end, hits)) in zip(lanes, zip(ends, hits)) {
            let tell = &mut |index: usize, spot| tell(from.saturating_add(index), spot);
            let agreed = if from == 0 { Some(0) } else { self.agree(search, lane, tell) };
            if let Some(agreed) = agreed {
                for (index, search) in hits.into_iter().filter(|(index, _)| *index >= agreed) {
                    self.table.spots(search).iter().for_each(|spot| tell(index, *spot));
                }
                *search = end;
            }
            from = from.saturating_add(LANE);
        }
    }

    /// Tells which signs end with the bytes read so far.
    pub(crate) fn end(&self, search: Search, tell: impl FnMut(Spot)) {
        self.table.spots(self.table.end(search)).iter().copied().for_each(tell);
    }

    /// The detectors that have a sign somewhere in a whole text.
    pub(crate) fn shown(&self, text: &[u8]) -> u64 {
        let (mut shown, mut search) = (0, self.search());
        self.read(&mut search, text, |_, spot| shown |= spot.detectors);
        self.end(search, |spot| shown |= spot.detectors);
        shown
    }

    /// Reads bytes one after the other.
    fn walk(&self, search: &mut Search, bytes: &[u8], mut tell: impl FnMut(usize, Spot)) {
        let mut state = *search;
        for (index, byte) in bytes.iter().enumerate() {
            state = self.table.next(state, *byte);
            if state.ends() {
                self.table.spots(state).iter().for_each(|spot| tell(index, *spot));
                state = state.told();
            }
        }
        *search = state;
    }

    /// Reads lanes side by side, all but the first as if nothing stood before them; tells where each ends.
    fn side_by_side<const LANE: usize>(
        &self,
        first: Search,
        lanes: &[[u8; LANE]; LANES],
        hits: &mut [Hits; LANES],
    ) -> [Search; LANES] {
        let mut states = [self.table.fresh; LANES];
        states[0] = first;
        for index in 0..LANE {
            let mut ends = false;
            for (state, lane) in zip(&mut states, lanes) {
                *state = self.table.next(*state, lane.get(index).copied().unwrap_or_default());
                ends |= state.ends();
            }
            if ends {
                states = note(index, states, hits);
            }
        }
        states
    }

    /// Reads on until a search that began with these bytes would be in the same state; tells how many that took.
    fn agree(&self, search: &mut Search, bytes: &[u8], tell: &mut impl FnMut(usize, Spot)) -> Option<usize> {
        let mut fresh = self.table.fresh;
        for (index, byte) in bytes.iter().enumerate() {
            if *search == fresh {
                return Some(index);
            }
            fresh = self.table.next(fresh, *byte).told();
            *search = self.table.next(*search, *byte);
            if search.ends() {
                self.table.spots(*search).iter().for_each(|spot| tell(index, *spot));
                *search = search.told();
            }
        }
        None
    }
}

#[cold]
fn note(index: usize, mut states: [Search; LANES], hits: &mut [Hits; LANES]) -> [Search; LANES] {
    for (state, hits) in zip(&mut states, hits).filter(|(state, _)| state.ends()) {
        hits.push((index, *state));
        *state = state.told();
    }
    states
}
