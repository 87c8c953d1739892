//! Whether a stretch of text can be passed without a look at each of its characters.
//!
//! Every value of a built-in detector shows a *sign* not long after its beginning, or the word that makes a number one
//! not long before it. Where no sign is, no value is.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ParserBuilder;

/// The most bytes between the beginning of a value and the end of its sign.
pub(crate) const REACH: usize = 448;

const DETERMINIZE_BYTES: usize = 32 << 20;
const TABLE_BYTES: usize = 4 << 20;

/// How near that end is for values that white space may part before their sign shows.
pub(crate) const NEAR: usize = 128;

/// What is no plain text: escapes (as [`crate::fold`] reads them), controls, all beyond ASCII.
const STRANGE: &str = r"\\[^A-Za-mo-qsvwyz]|%[0-9A-Fa-f]{2}|&(?:#|[A-Za-z]{1,7};)|[^\t\n\r -~]";

/// The signs of a set of detectors.
pub(crate) struct Signs {
    table: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Signs {
    /// Compiles signs; none if the table would be too large.
    pub(crate) fn compile<'a>(signs: impl Iterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<String> = signs.chain([STRANGE]).map(|sign| format!("(?:{sign})")).collect();
        let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(&all.join("|")).ok()?;
        let nfa = thompson::Compiler::new().configure(thompson::Config::new().utf8(false)).build_from_hir(&hir).ok()?;
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::All)
            .determinize_size_limit(Some(DETERMINIZE_BYTES))
            .dfa_size_limit(Some(TABLE_BYTES));
        let table = dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()?;
        let start = table.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        Some(Self { table, start })
    }

    /// How many bytes come before the end of the first sign, after bytes without any; `None` if those have one.
    pub(crate) fn clear(&self, before: &[u8], bytes: &[u8]) -> Option<usize> {
        // Where a text begins, something stands before it that is neither a letter nor a digit.
        let state = self.table.next_state(self.start, b'\n');
        let (state, read) = self.walk(state, before);
        if read < before.len() {
            return None;
        }
        Some(self.walk(state, bytes).1)
    }

    /// A match shows one byte late.
    fn walk(&self, mut state: StateID, bytes: &[u8]) -> (StateID, usize) {
        for (index, byte) in bytes.iter().enumerate() {
            state = self.table.next_state(state, *byte);
            if self.table.is_special_state(state) && !self.table.is_start_state(state) {
                return (state, index);
            }
        }
        (state, bytes.len())
    }
}
