//! An automaton for signs as one flat table.

use std::collections::BTreeMap;

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

/// Marks a state before whose last byte signs end.
const ENDS: u32 = 1 << 31;

/// The state of a table: where its row begins, and whether signs end there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct State(u32);

impl State {
    /// Whether signs end before the byte that led to one of these states.
    #[inline]
    pub(super) const fn ends(self, other: Self) -> bool {
        (self.0 | other.0) & ENDS != 0
    }

    /// The same state, whose signs have been told.
    #[inline]
    pub(super) const fn told(self) -> Self {
        Self(self.0 & !ENDS)
    }
}

/// Which bytes no sign of several tables tells apart.
#[derive(Debug)]
pub(super) struct Classes {
    of: [u8; 256],
    /// One byte of each.
    bytes: Vec<u8>,
}

impl Classes {
    fn common(one: &dense::DFA<Vec<u32>>, other: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let (mut of, mut bytes, mut known) = ([0; 256], Vec::new(), BTreeMap::new());
        for byte in 0..=u8::MAX {
            let pair = (one.byte_classes().get(byte), other.byte_classes().get(byte));
            let next = u8::try_from(known.len()).ok();
            let class = known.entry(pair).or_insert(next);
            if *class == next {
                bytes.push(byte);
            }
            *of.get_mut(usize::from(byte))? = (*class)?;
        }
        Some(Self { of, bytes })
    }

    /// The class of a byte.
    #[inline]
    pub(super) fn of(&self, byte: u8) -> u8 {
        self.of.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// An automaton that says where signs end.
pub(super) struct Table {
    /// A row for each state: the next state for each class of bytes and for the end of the text, and last, which of
    /// `spots` the signs are that end there.
    rows: Vec<u32>,
    spots: Vec<Box<[Spot]>>,
    /// Where a text begins.
    pub(super) start: State,
    /// Where nothing is known of what was before.
    pub(super) fresh: State,
    width: usize,
}

impl Table {
    /// Compiles the signs of two kinds into one table each; none if one would be too large.
    pub(super) fn pair(one: &[(u64, &Sign)], other: &[(u64, &Sign)]) -> Option<(Classes, Self, Self)> {
        let (first, second) = (determinise(one)?, determinise(other)?);
        let classes = Classes::common(&first, &second)?;
        let (first, second) = (Self::flat(&first, &classes, one)?, Self::flat(&second, &classes, other)?);
        Some((classes, first, second))
    }

    fn flat(automaton: &dense::DFA<Vec<u32>>, classes: &Classes, signs: &[(u64, &Sign)]) -> Option<Self> {
        let fresh = automaton.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        // Where a text begins, something stands before it that is neither a letter nor a digit.
        let start = automaton.next_state(fresh, b'\n');
        // The classes, the end of the text, and what ends there.
        let width = classes.bytes.len().saturating_add(2);
        let (mut order, mut known) = (Vec::new(), BTreeMap::new());
        let mut place = |state, order: &mut Vec<StateID>| {
            let row = *known.entry(state).or_insert_with(|| {
                order.push(state);
                order.len().saturating_sub(1).saturating_mul(width)
            });
            let mark = if automaton.is_match_state(state) { ENDS } else { 0 };
            u32::try_from(row).ok().filter(|row| row & ENDS == 0).map(|row| row | mark)
        };
        let (fresh, start) = (State(place(fresh, &mut order)?), State(place(start, &mut order)?));
        let (mut rows, mut spots, mut next) = (Vec::new(), Vec::new(), 0_usize);
        while let Some(state) = order.get(next).copied() {
            for byte in &classes.bytes {
                rows.push(place(automaton.next_state(state, *byte), &mut order)?);
            }
            rows.push(place(automaton.next_eoi_state(state), &mut order)?);
            rows.push(u32::try_from(next).ok()?);
            spots.push(ending(automaton, state, signs));
            next = next.saturating_add(1);
        }
        Some(Self { rows, spots, start, fresh, width })
    }

    /// Reads a byte of a class.
    #[inline]
    pub(super) fn next(&self, state: State, class: u8) -> State {
        State(self.column(state, usize::from(class)))
    }

    /// Reads the end of the text.
    pub(super) fn end(&self, state: State) -> State {
        State(self.column(state.told(), self.width.saturating_sub(2)))
    }

    /// The signs that end before the byte that led to a state.
    pub(super) fn spots(&self, state: State) -> &[Spot] {
        let number = self.column(state.told(), self.width.saturating_sub(1));
        usize::try_from(number).ok().and_then(|number| self.spots.get(number)).map_or(&[], |spots| spots)
    }

    #[inline]
    fn column(&self, state: State, column: usize) -> u32 {
        let row = usize::try_from(state.0).unwrap_or(usize::MAX);
        self.rows.get(row.wrapping_add(column)).copied().unwrap_or_default()
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
