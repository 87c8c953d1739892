//! Where values can begin at all.
//!
//! Every value of a built-in detector shows a *sign* at a known distance from its beginning: letters that all keys of a
//! kind begin with, the first groups of a number, or a word not long before it. One automaton finds the signs of all
//! detectors in one pass over the folded text. Where no sign is near, no candidate is begun.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::bit;

const DETERMINIZE_BYTES: usize = 32 << 20;
const TABLE_BYTES: usize = 4 << 20;

/// What every value of a detector shows, or one of several things of which it shows one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) made: Made,
    pub(super) pattern: &'static str,
    pub(super) place: Place,
}

/// What a sign consists of: one automaton for both would be many times as large as the two are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Made {
    OfDigits,
    OfLetters,
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
    digits: Table,
    letters: Table,
    /// The detectors that have signs.
    pub(crate) signed: u64,
    /// How far the ends of signs are from beginnings before them, and of which detectors.
    pub(crate) reaches: Vec<(usize, u64)>,
    /// The same, of those behind the local part of a mail address.
    pub(crate) local: (usize, u64),
}

/// How far the search for signs is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    digits: StateID,
    letters: StateID,
}

impl Signs {
    /// Compiles the signs of each detector, in order; none if a table would be too large.
    pub(super) fn compile(each: &[Option<&'static [Sign]>]) -> Option<Self> {
        let all = || {
            let signs = each.iter().enumerate().filter_map(|(index, signs)| Some((bit(index), (*signs)?)));
            signs.flat_map(|(detectors, signs)| signs.iter().map(move |sign| (detectors, sign)))
        };
        let table = |made| Table::compile(all().filter(|(_, sign)| sign.made == made));
        let (digits, letters) = (table(Made::OfDigits)?, table(Made::OfLetters)?);
        let mut signs = Self { digits, letters, signed: 0, reaches: Vec::new(), local: (0, 0) };
        for (detectors, sign) in all() {
            signs.signed |= detectors;
            match sign.place {
                Place::Before { most, .. } => signs.reach(most, detectors),
                Place::Local { most } => signs.local = (most.max(signs.local.0), detectors | signs.local.1),
                Place::After { .. } => {}
            }
        }
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
        Search { digits: self.digits.start, letters: self.letters.start }
    }

    /// Reads bytes; tells which signs end before which of them.
    pub(crate) fn read(&self, search: &mut Search, bytes: &[u8], mut tell: impl FnMut(usize, Spot)) {
        let Search { mut digits, mut letters } = *search;
        for (index, byte) in bytes.iter().enumerate() {
            digits = self.digits.table.next_state(digits, *byte);
            letters = self.letters.table.next_state(letters, *byte);
            if self.digits.table.is_special_state(digits) || self.letters.table.is_special_state(letters) {
                self.digits.spots(digits, |spot| tell(index, spot));
                self.letters.spots(letters, |spot| tell(index, spot));
            }
        }
        *search = Search { digits, letters };
    }

    /// Tells which signs end with the bytes read so far.
    pub(crate) fn end(&self, search: Search, mut tell: impl FnMut(Spot)) {
        self.digits.spots(self.digits.table.next_eoi_state(search.digits), &mut tell);
        self.letters.spots(self.letters.table.next_eoi_state(search.letters), &mut tell);
    }

    /// The detectors that have a sign somewhere in a whole text.
    pub(crate) fn shown(&self, text: &[u8]) -> u64 {
        let (mut shown, mut search) = (0, self.search());
        self.read(&mut search, text, |_, spot| shown |= spot.detectors);
        self.end(search, |spot| shown |= spot.detectors);
        shown
    }
}

/// An automaton for some of the signs.
struct Table {
    table: dense::DFA<Vec<u32>>,
    start: StateID,
    /// One for each pattern.
    spots: Vec<Spot>,
}

impl Table {
    fn compile<'a>(signs: impl Iterator<Item = (u64, &'a Sign)>) -> Option<Self> {
        let (mut patterns, mut spots) = (Vec::new(), Vec::new());
        for (detectors, sign) in signs {
            patterns.push(ParserBuilder::new().unicode(false).utf8(false).build().parse(sign.pattern).ok()?);
            spots.push(Spot { detectors, place: sign.place });
        }
        let config = thompson::Config::new().utf8(false);
        let nfa = thompson::Compiler::new().configure(config).build_many_from_hir::<Hir>(&patterns).ok()?;
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::All)
            .accelerate(false)
            .determinize_size_limit(Some(DETERMINIZE_BYTES))
            .dfa_size_limit(Some(TABLE_BYTES));
        let table = dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()?;
        let start = table.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        // Where a text begins, something stands before it that is neither a letter nor a digit.
        let start = table.next_state(start, b'\n');
        Some(Self { table, start, spots })
    }

    fn spots(&self, state: StateID, mut tell: impl FnMut(Spot)) {
        if self.table.is_match_state(state) {
            let patterns = (0..self.table.match_len(state)).map(|index| self.table.match_pattern(state, index));
            patterns.filter_map(|pattern| self.spots.get(pattern.as_usize())).for_each(|spot| tell(*spot));
        }
    }
}
