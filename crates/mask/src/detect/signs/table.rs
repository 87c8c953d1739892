//! An automaton for signs as one flat table.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::{Sign, Spot};

const DETERMINIZE_BYTES: usize = 32 << 20;
const TABLE_BYTES: usize = 4 << 20;

/// The room for all rows, of which what is not needed is never touched. Its size is a power of two, so that no step
/// has to look where the table ends.
const ROOM: usize = 1 << 18;

/// Marks a state before whose last byte signs end.
const ENDS: u32 = 1 << 31;

/// How far a search for signs is: a state of the automaton, as the place of its row, and whether signs end there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Search(u32);

impl Search {
    /// Whether signs end before the byte that led there.
    #[inline]
    pub(super) const fn ends(self) -> bool {
        self.0 & ENDS != 0
    }

    /// The same state, once its signs have been told.
    #[inline]
    pub(super) const fn told(self) -> Self {
        Self(self.0 & !ENDS)
    }
}

/// An automaton that says where signs end.
pub(super) struct Table {
    /// The class of each byte: no sign tells apart the bytes of one.
    classes: [u8; 256],
    /// A row for each state: the next state for each class of bytes and for the end of the text, and last, which of
    /// `spots` the signs are that end there.
    rows: Box<[u32; ROOM]>,
    spots: Vec<Box<[Spot]>>,
    width: usize,
    /// Where a text begins.
    pub(super) start: Search,
    /// Where nothing is known of what was before.
    pub(super) fresh: Search,
}

impl Table {
    /// Compiles signs, each with its detectors; none if the table would be too large.
    pub(super) fn compile(signs: &[(u64, &Sign)]) -> Option<Self> {
        let automaton = determinise(signs)?;
        let fresh = automaton.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        // Where a text begins, something stands before it that is neither a letter nor a digit.
        let start = automaton.next_state(fresh, b'\n');
        // The classes, the end of the text, and what ends there.
        let width = automaton.alphabet_len().saturating_add(1);
        let (mut order, mut known) = (Vec::new(), Vec::new());
        let mut place = |state: StateID, order: &mut Vec<StateID>| {
            let index = state.as_usize() >> automaton.stride2();
            known.resize(known.len().max(index.saturating_add(1)), None);
            let number = *known.get_mut(index)?.get_or_insert_with(|| {
                order.push(state);
                order.len().saturating_sub(1)
            });
            let row = u32::try_from(number.checked_mul(width).filter(|row| *row < ROOM)?).ok()?;
            Some(if automaton.is_match_state(state) { row | ENDS } else { row })
        };
        let (fresh, start) = (Search(place(fresh, &mut order)?), Search(place(start, &mut order)?));
        let mut rows: Box<[u32; ROOM]> = vec![0; ROOM].into_boxed_slice().try_into().ok()?;
        let (mut cells, mut spots) = (rows.iter_mut(), Vec::new());
        while let Some(state) = order.get(spots.len()).copied() {
            for unit in automaton.byte_classes().representatives(..) {
                let end = || automaton.next_eoi_state(state);
                let next = unit.as_u8().map_or_else(end, |byte| automaton.next_state(state, byte));
                *cells.next()? = place(next, &mut order)?;
            }
            *cells.next()? = u32::try_from(spots.len()).ok()?;
            spots.push(ending(&automaton, state, signs));
        }
        let mut classes = [0; 256];
        (0..=u8::MAX).zip(&mut classes).for_each(|(byte, class)| *class = automaton.byte_classes().get(byte));
        Some(Self { classes, rows, spots, width, start, fresh })
    }

    /// Reads a byte.
    #[inline]
    pub(super) fn next(&self, state: Search, byte: u8) -> Search {
        Search(self.column(state, self.classes.get(usize::from(byte)).copied().unwrap_or_default().into()))
    }

    /// Reads the end of the text.
    pub(super) fn end(&self, state: Search) -> Search {
        Search(self.column(state, self.width.saturating_sub(2)))
    }

    /// The signs that end before the byte that led to a state.
    pub(super) fn spots(&self, state: Search) -> &[Spot] {
        let number = self.column(state, self.width.saturating_sub(1));
        usize::try_from(number).ok().and_then(|number| self.spots.get(number)).map_or(&[], |spots| spots)
    }

    #[inline]
    fn column(&self, Search(row): Search, column: usize) -> u32 {
        let place = usize::try_from(row).unwrap_or_default().wrapping_add(column);
        self.rows.get(place % ROOM).copied().unwrap_or_default()
    }
}

fn determinise(signs: &[(u64, &Sign)]) -> Option<dense::DFA<Vec<u32>>> {
    let parse = |sign: &Sign| ParserBuilder::new().unicode(false).utf8(false).build().parse(sign.pattern).ok();
    let patterns: Option<Vec<Hir>> = signs.iter().map(|(_, sign)| parse(sign)).collect();
    let config = thompson::Config::new().utf8(false);
    let nfa = thompson::Compiler::new().configure(config).build_many_from_hir::<Hir>(&patterns?).ok()?;
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .match_kind(MatchKind::All)
        .accelerate(false)
        .determinize_size_limit(Some(DETERMINIZE_BYTES))
        .dfa_size_limit(Some(TABLE_BYTES));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()
}

/// The signs that end in a state.
fn ending(automaton: &dense::DFA<Vec<u32>>, state: StateID, signs: &[(u64, &Sign)]) -> Box<[Spot]> {
    let count = if automaton.is_match_state(state) { automaton.match_len(state) } else { 0 };
    let patterns = (0..count).map(|index| automaton.match_pattern(state, index));
    let signs = patterns.filter_map(|pattern| signs.get(pattern.as_usize()));
    signs.map(|(detectors, sign)| Spot { detectors: *detectors, place: sign.place }).collect()
}
