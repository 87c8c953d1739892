//! The folded view of a text, in which nothing that cannot be seen hides a value.
//!
//! **Shape:** each visible character becomes one byte (a ligature several): ASCII for whatever has an ASCII form, else
//! one of three bytes above it. With every byte goes the place of its character in the text, so that what is found in
//! the view is replaced in the text, with everything invisible inside it. Escapes that a text spells out (`\u0040`,
//! `%40`, `&#64;`) fold to the character they stand for.

mod class;
mod escape;
mod pages;
mod plain;
mod sequence;
mod stand;
mod starts;

use std::fmt;

use escape::Escape;
use sequence::Sequences;
pub(crate) use sequence::{SEQUENCE, Whole};
use starts::Starts;

pub(crate) use class::{LETTER, SYMBOL, fold};
use plain::tell;
pub(crate) use plain::{blanks, graphic, is_all_plain, is_strange, plain, printable, shown};
pub(crate) use stand::{LONE, stand_in, stands_for};
use stand::{pair, stands};

/// How many invisible characters may follow a visible one; the rest of such a run is left out of the text, so that
/// what is held back has a bound.
const UNSEEN: usize = 32;
/// How many folded bytes before the oldest needed one stay readable.
pub(crate) const CONTEXT: usize = 64;

/// How many folded bytes are forgotten at a time.
const STALE: usize = 512;

/// A window over a text that arrives in pieces. All positions count from the beginning of the text.
#[derive(Clone, Default)]
pub(crate) struct View {
    excess: Excess,
    controls: Controls,
    raw: String,
    /// Where `raw` begins in the text.
    raw_base: usize,
    /// Up to where the text is folded.
    folded: usize,
    bytes: Vec<u8>,
    starts: Starts,
    /// The position of the first of `bytes`.
    base: usize,
    /// How many invisible characters came last.
    unseen: usize,
    /// The positions before which invisible characters stand, keycaps of emoji aside.
    hidden: Vec<usize>,
    sequences: Sequences,
    /// The next piece begins with so many bytes that are known to be plain.
    foreseen: usize,
}

/// What becomes of invisible characters of which there are too many.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Excess {
    /// They are left out of the text.
    #[default]
    LeftOut,
    /// They stay, and each counts as a symbol: they end a value.
    Seen,
}

/// What controls are that are no white space.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Controls {
    /// They cannot be seen.
    #[default]
    Unseen,
    /// They stand for other characters.
    StandIns,
}

/// Whether more text follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    Follows,
    /// It is there already and comes next, so nothing need be decided that it decides.
    AtHand,
    Ends,
}

impl View {
    /// A view that leaves nothing out.
    pub(crate) fn complete() -> Self {
        Self { excess: Excess::Seen, ..Self::default() }
    }

    /// The same of a text that holds stand-ins.
    pub(crate) fn faithful() -> Self {
        Self { controls: Controls::StandIns, ..Self::complete() }
    }

    /// An empty view of the same kind.
    pub(crate) fn anew(&self) -> Self {
        Self { excess: self.excess, controls: self.controls, ..Self::default() }
    }

    /// Takes note that the next piece begins with so many bytes that stand for themselves wherever they stand.
    pub(crate) const fn foresee(&mut self, plain: usize) {
        self.foreseen = plain;
    }

    /// Adds a piece of text and folds all of it whose meaning no further text can change.
    pub(crate) fn push(&mut self, piece: &str, rest: Rest) {
        let foreseen = std::mem::take(&mut self.foreseen).min(piece.len());
        if foreseen > 0 && self.folded == self.raw_end() {
            self.starts.extend(self.end(), self.folded);
            self.bytes.extend_from_slice(piece.as_bytes().get(..foreseen).unwrap_or_default());
            self.folded = self.folded.saturating_add(foreseen);
            self.unseen = 0;
        }
        self.raw.push_str(piece);
        let mut excess = None;
        loop {
            if excess.is_none() && self.run() > 0 {
                continue;
            }
            let from = self.folded.saturating_sub(self.raw_base);
            let text = self.raw.get(from..).unwrap_or_default();
            let Some(first) = text.chars().next() else { break };
            if first == SEQUENCE && self.controls == Controls::StandIns {
                self.sequences.unseen(first, self.base.saturating_add(self.bytes.len()));
                self.folded = self.folded.saturating_add(first.len_utf8());
                continue;
            }
            let (character, length) = match first {
                '\\' | '%' | '&' | '^' => match self.escape(text.as_bytes()) {
                    Escape::Cut if rest != Rest::Ends => break,
                    Escape::Cut | Escape::Absent => {
                        self.sequences.seen(text.as_bytes(), self.base.saturating_add(self.bytes.len()));
                        (first, 1)
                    }
                    Escape::Stands { character, length } => (character, length),
                },
                _ => (first, first.len_utf8()),
            };
            let seen = self.bytes.len();
            let (bytes, starts, start, base) = (&mut self.bytes, &mut self.starts, self.folded, self.base);
            fold(character, &mut |byte| {
                starts.add(base.saturating_add(bytes.len()), start);
                bytes.push(byte);
            });
            if self.bytes.len() > seen {
                self.unseen = 0;
                if let Some(excess) = excess.take() {
                    self.leave_out(excess, seen);
                }
            } else if self.excess == Excess::Seen && self.unseen >= UNSEEN {
                self.starts.add(self.end(), self.folded);
                self.bytes.push(SYMBOL);
            } else {
                self.hide(character);
                self.unseen = self.unseen.saturating_add(1);
                if self.unseen > UNSEEN && excess.is_none() {
                    excess = Some(self.folded);
                }
            }
            self.sequences.unseen(character, self.base.saturating_add(self.bytes.len()));
            self.folded = self.folded.saturating_add(length);
        }
        if let Some(excess) = excess {
            self.leave_out(excess, self.bytes.len());
        }
        self.sequences.read(&self.bytes, self.base);
    }

    /// Hands out the text before a place and forgets it.
    pub(crate) fn release(&mut self, raw: usize, take: impl FnOnce(&str)) {
        let count = raw.saturating_sub(self.raw_base).min(self.raw.len());
        if let Some(text) = self.raw.get(..count).filter(|text| !text.is_empty()) {
            take(text);
        }
        self.raw.drain(..count);
        self.raw_base = self.raw_base.saturating_add(count);
    }

    /// Forgets the bytes that lie further before a position than any context reaches, many at a time.
    pub(crate) fn forget(&mut self, needed: usize) {
        let count = needed.saturating_sub(CONTEXT).saturating_sub(self.base).min(self.bytes.len());
        if count < STALE {
            return;
        }
        self.bytes.drain(..count);
        self.base = self.base.saturating_add(count);
        let base = self.base;
        self.starts.forget(base);
        self.hidden.retain(|position| *position >= base);
        self.sequences.forget(base);
    }

    /// The folded byte at a position.
    #[inline]
    pub(crate) fn byte(&self, position: usize) -> Option<u8> {
        self.bytes.get(position.checked_sub(self.base)?).copied()
    }

    /// Where the character of a position begins in the text; past the last one, where folding has come to.
    #[inline]
    pub(crate) fn start(&self, position: usize) -> usize {
        if position < self.end() { self.starts.of(position) } else { self.folded }
    }

    /// The position after the last folded byte.
    pub(crate) fn end(&self) -> usize {
        self.base.saturating_add(self.bytes.len())
    }

    /// The folded bytes from a position on.
    #[inline]
    pub(crate) fn since(&self, position: usize) -> &[u8] {
        self.bytes.get(position.saturating_sub(self.base)..).unwrap_or_default()
    }

    /// The folded bytes between two positions.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from.saturating_sub(self.base)..to.saturating_sub(self.base)).unwrap_or_default()
    }

    /// Whether invisible characters stand inside what lies between two positions.
    pub(crate) fn hides(&self, from: usize, to: usize) -> bool {
        let first = self.hidden.partition_point(|position| *position <= from);
        self.hidden.get(first).is_some_and(|position| *position < to)
    }

    /// The positions from one on before which invisible characters stand.
    pub(crate) fn hidden_since(&self, position: usize) -> &[usize] {
        let first = self.hidden.partition_point(|hidden| *hidden < position);
        self.hidden.get(first..).unwrap_or_default()
    }

    /// Whether a value may begin at a position whatever stands before it: at the end of a control sequence, or behind it.
    #[inline]
    pub(crate) fn parts(&self, position: usize) -> bool {
        self.sequences.part(position)
    }

    /// The control sequences that end at a position or behind it.
    pub(crate) fn sequences_since(&self, position: usize) -> &[Whole] {
        self.sequences.since(position)
    }

    /// The control sequences that end between two positions.
    pub(crate) fn sequences_between(&self, from: usize, to: usize) -> &[Whole] {
        let all = self.sequences_since(from);
        all.get(..all.partition_point(|whole| whole.end < to)).unwrap_or_default()
    }

    /// The end of the character that a position lies in or behind.
    pub(crate) fn whole(&self, mut end: usize) -> usize {
        while end < self.end() && end > 0 && self.start(end) == self.start(end.saturating_sub(1)) {
            end = end.saturating_add(1);
        }
        end
    }

    /// The text between two places.
    pub(crate) fn text(&self, from: usize, to: usize) -> &str {
        self.raw.get(from.saturating_sub(self.raw_base)..to.saturating_sub(self.raw_base)).unwrap_or_default()
    }

    /// Where the text ends that has arrived.
    pub(crate) fn raw_end(&self) -> usize {
        self.raw_base.saturating_add(self.raw.len())
    }

    /// How many bytes of text are held.
    pub(crate) fn held(&self) -> usize {
        self.raw.len()
    }

    /// Folds characters that take a place each and are found in a table; tells how many bytes.
    fn run(&mut self) -> usize {
        let text = self.raw.as_bytes().get(self.folded.saturating_sub(self.raw_base)..).unwrap_or_default();
        let (faithful, mut length) = (self.controls == Controls::StandIns, 0_usize);
        let mut is_ragged = false;
        loop {
            let rest = text.get(length..).unwrap_or_default();
            if rest.first().is_some_and(u8::is_ascii) {
                let (position, seen) = (self.end(), self.bytes.len());
                let plain = if is_ragged { 0 } else { plain(rest) };
                self.bytes.extend_from_slice(rest.get(..plain).unwrap_or_default());
                // Where stand-ins come one by one, there are more of them.
                is_ragged = faithful && rest.get(plain).is_some_and(|byte| stands(*byte) || is_ragged);
                if is_ragged {
                    tell(rest.get(plain..).unwrap_or_default(), &mut self.bytes);
                }
                let told = self.bytes.len().saturating_sub(seen);
                if told > 0 {
                    self.starts.extend(position, self.folded.saturating_add(length));
                }
                length = length.saturating_add(told);
            }
            let rest = text.get(length..).unwrap_or_default();
            let other = match rest.first() {
                None => break,
                Some(byte @ (b'\\' | b'%' | b'&' | b'^')) => match self.escape(rest) {
                    Escape::Absent => {
                        self.sequences.seen(rest, self.base.saturating_add(self.bytes.len()));
                        Some((*byte, 1))
                    }
                    Escape::Stands { character, length } => pages::visible(character).map(|byte| (byte, length)),
                    Escape::Cut => None,
                },
                Some(0x80..) => pages::first(rest),
                Some(_) if faithful => pair(rest),
                Some(_) => None,
            };
            let Some((byte, taken)) = other else { break };
            self.starts.add(self.end(), self.folded.saturating_add(length));
            self.bytes.push(byte);
            length = length.saturating_add(taken);
        }
        if length > 0 {
            self.folded = self.folded.saturating_add(length);
            self.unseen = 0;
        }
        length
    }

    /// Reads the escape that a text begins with. A backslash behind the escape character ends a string of a terminal.
    fn escape(&self, text: &[u8]) -> Escape {
        match text {
            [b'\\', ..] if self.sequences.is_escaped(self.end()) => escape::backslashes(text),
            _ => escape::read(text),
        }
    }

    fn hide(&mut self, character: char) {
        let position = self.end();
        if !decorates(character) && self.hidden.last() != Some(&position) {
            self.hidden.push(position);
        }
    }

    /// Removes text from a place up to where folding has come to; the bytes from `index` on lie behind it.
    fn leave_out(&mut self, from: usize, index: usize) {
        let to = self.folded;
        let (low, high) = (from.saturating_sub(self.raw_base), to.saturating_sub(self.raw_base));
        self.raw.replace_range(low..high, "");
        self.folded = from;
        self.starts.join(self.base.saturating_add(index), self.end(), from);
    }
}

/// Whether a character makes a keycap of the one before it, which hides nothing.
const fn decorates(character: char) -> bool {
    matches!(character, '\u{fe0f}' | '\u{20e3}')
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} bytes)", self.raw.len())
    }
}
