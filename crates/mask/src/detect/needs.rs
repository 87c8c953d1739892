//! What a text must hold so that a detector can find anything in it.

use super::{Automaton, Detector, Overrun, bit};

/// Kinds of bytes of which many values hold at least one.
const KINDS: [&[u8]; 5] = [b"@", b"0123456789", b"-", b"_", b"."];
/// How many kinds there are.
pub(crate) const MARKS: usize = KINDS.len();
/// How many states are looked at to find out whether a value can do without a kind; if there are more, it may.
const STATES: usize = 512;

/// Which detectors find nothing in a text without some kind of byte.
pub(crate) struct Needs {
    /// The kinds that each byte is of, a bit each.
    marks: Box<[u8]>,
    each: [Need; MARKS],
}

/// The detectors that need one kind of byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    pub(crate) detectors: u64,
    /// The longest value of any of them, in folded bytes.
    pub(crate) limit: usize,
}

impl Needs {
    pub(super) fn of(all: &[Detector]) -> Self {
        let marks = (0..=u8::MAX).map(|byte| {
            let kinds = KINDS.iter().enumerate().filter(|(_, kind)| kind.contains(&byte));
            kinds.fold(0, |marks, (index, _)| marks | mark(index))
        });
        let mut each = [Need::default(); MARKS];
        // What outgrows its limit may be redacted without being a value, whatever it holds.
        let able = all.iter().enumerate().filter(|(_, detector)| detector.overrun == Overrun::Release);
        for (index, detector) in able {
            let needed = KINDS.iter().position(|kind| !can_avoid(&detector.automaton, kind));
            if let Some(need) = needed.and_then(|kind| each.get_mut(kind)) {
                need.detectors |= bit(index);
                need.limit = need.limit.max(detector.limit);
            }
        }
        Self { marks: marks.collect(), each }
    }

    /// The kinds that a byte is of.
    #[inline]
    pub(crate) fn marks(&self, byte: u8) -> u8 {
        self.marks.get(usize::from(byte)).copied().unwrap_or_default()
    }

    pub(crate) const fn each(&self) -> &[Need; MARKS] {
        &self.each
    }

    /// The detectors that find nothing in a text whose bytes are of these kinds and of no other.
    pub(crate) fn lacking(&self, marks: u8) -> u64 {
        let lacking = self.each.iter().enumerate().filter(|(index, _)| marks & mark(*index) == 0);
        lacking.fold(0, |all, (_, need)| all | need.detectors)
    }
}

/// The bit of a kind.
pub(crate) const fn mark(kind: usize) -> u8 {
    if kind < MARKS { 1 << kind } else { 0 }
}

/// Whether some value may hold no byte of a kind.
fn can_avoid(automaton: &Automaton, kind: &[u8]) -> bool {
    let (mut left, mut seen) = (automaton.starts(), automaton.starts());
    while let Some(state) = left.pop_first() {
        // The byte after a value shows that it is one, and may be of any kind.
        if seen.len() > STATES || automaton.ends_after(state) {
            return true;
        }
        for byte in (0..=u8::MAX).filter(|byte| !kind.contains(byte)) {
            let (next, _) = automaton.step(state, byte);
            if !automaton.is_dead(next) && seen.insert(next) {
                left.insert(next);
            }
        }
    }
    false
}
