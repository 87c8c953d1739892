//! A pattern as a table that reads one folded byte in one step.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ParserBuilder;

use super::DetectorError;
use crate::fold::fold;

/// The longest pattern of a configuration, in bytes.
const PATTERN_BYTES: usize = 4096;
const NFA_BYTES: usize = 1 << 19;
const DETERMINIZE_BYTES: usize = 8 << 20;
const TABLE_BYTES: usize = 2 << 20;

/// A dense automaton that matches only where it is started.
pub(crate) struct Automaton {
    table: dense::DFA<Vec<u32>>,
    /// The state to begin in after each byte, and last at the beginning of the text.
    starts: Box<[StateID]>,
}

/// What one step led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Run {
    /// No continuation is a value.
    Dies,
    Lives,
    /// A value ends *before* the byte just read; boundaries need that byte.
    Ends,
}

impl Automaton {
    /// Compiles a pattern; also tells the longest text it matches, if there is one.
    pub(crate) fn compile(name: &str, pattern: &str) -> Result<(Self, Option<usize>), DetectorError> {
        let large = || DetectorError::Large { name: name.to_owned() };
        if pattern.len() > PATTERN_BYTES {
            return Err(large());
        }
        let hir = ParserBuilder::new().unicode(false).utf8(false).nest_limit(64).build().parse(&spell(name, pattern)?);
        let hir = hir.map_err(|error| DetectorError::Unreadable { name: name.to_owned(), reason: reason(&error) })?;
        match hir.properties().minimum_len() {
            Some(0) => return Err(DetectorError::Empty { name: name.to_owned() }),
            None => return Err(DetectorError::Barren { name: name.to_owned() }),
            Some(_) => {}
        }
        let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(NFA_BYTES));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir).map_err(|_| large())?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .determinize_size_limit(Some(DETERMINIZE_BYTES))
            .dfa_size_limit(Some(TABLE_BYTES));
        let table = dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|_| large())?;
        let start = |before| table.start_state(&start::Config::new().anchored(Anchored::Yes).look_behind(before));
        let starts: Result<_, _> = (0..=u8::MAX).map(Some).chain([None]).map(start).collect();
        Ok((Self { starts: starts.map_err(|_| large())?, table }, hir.properties().maximum_len()))
    }

    /// The state to begin in after a byte, or at the beginning of the text.
    #[inline]
    pub(crate) fn start(&self, before: Option<u8>) -> StateID {
        let index = before.map_or(256, usize::from);
        self.starts.get(index).copied().unwrap_or(StateID::ZERO)
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn step(&self, state: StateID, byte: u8) -> (StateID, Run) {
        let next = self.table.next_state(state, byte);
        (next, self.run(next))
    }

    /// Whether no continuation is a value.
    pub(crate) fn is_dead(&self, state: StateID) -> bool {
        self.run(state) == Run::Dies
    }

    /// Whether a value ends with the text.
    pub(crate) fn ends(&self, state: StateID) -> bool {
        self.table.is_match_state(self.table.next_eoi_state(state))
    }

    /// Whether some value begins with a byte.
    pub(crate) fn begins(&self, byte: u8) -> bool {
        self.starts.iter().any(|state| self.step(*state, byte).1 != Run::Dies)
    }

    /// The bytes that lead to one state from every beginning and keep it: where a candidate that begins with one of
    /// them fails, so do those that begin further on in the same run of them.
    pub(crate) fn loops(&self) -> Vec<u8> {
        let to = |byte: u8| {
            let mut states = self.starts.iter().map(|state| self.step(*state, byte));
            let (first, run) = states.next()?;
            let same = states.all(|(state, _)| state == first);
            (same && run == Run::Lives && self.step(first, byte).0 == first).then_some((byte, first))
        };
        let loops: Vec<(u8, StateID)> = (0..=u8::MAX).filter_map(to).collect();
        let Some((_, most)) = loops.first().copied() else { return Vec::new() };
        loops.into_iter().filter(|(_, state)| *state == most).map(|(byte, _)| byte).collect()
    }

    #[inline]
    fn run(&self, state: StateID) -> Run {
        if !self.table.is_special_state(state) {
            Run::Lives
        } else if self.table.is_match_state(state) {
            Run::Ends
        } else if self.table.is_dead_state(state) || self.table.is_quit_state(state) {
            Run::Dies
        } else {
            Run::Lives
        }
    }
}

/// Spells the characters of a pattern as the text will spell them once folded.
fn spell(name: &str, pattern: &str) -> Result<String, DetectorError> {
    let mut spelled = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        if character.is_ascii() {
            spelled.push(character);
            continue;
        }
        let mut bytes = Vec::new();
        fold(character, &mut |byte| bytes.push(byte));
        let [byte] = bytes.as_slice() else {
            return Err(DetectorError::Unfoldable { name: name.to_owned(), character });
        };
        spelled.push_str(&format!("\\x{byte:02x}"));
    }
    Ok(spelled)
}

/// The first line of a complaint, which says all; the lines after it draw.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().lines().last().unwrap_or_default().to_owned(),
    }
}
