//! Covers values in what a terminal or a program prints.
//!
//! The stream is split as a terminal would split it ([`token`]), and values are looked for in what it *prints*: control
//! sequences between the characters of a value do not hide it and stay where they are. Each cell of a value becomes
//! `*`, so that the screen keeps its shape. The text of titles and other strings is looked at too, each string by
//! itself.
//!
//! What joins: colours, character sets, modes, erasing, strings, and on a terminal the line break that is sent where a
//! line is exactly as long as the screen is wide. What parts, as a line break would: moves of the cursor, carriage
//! returns, backspaces. A program that draws a value piece by piece in some other order is not seen through.
//!
//! **Invariants:** any cutting of the stream gives the same bytes; without a value and without a refused sequence they
//! are the bytes of the stream; at most [`Terminal::HELD`] bytes are held; memory is bounded whatever the stream holds.

mod cursor;
mod findings;
mod head;
mod kind;
mod raw;
mod stretch;
#[cfg(test)]
mod tests;
mod token;
mod track;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;
use unicode_width::UnicodeWidthChar as _;

use crate::detect::{Detectors, Watch};
use crate::fold::{Rest, blanks, graphic, plain, printable, shown};
use cursor::{Cursor, Effect};
use head::{Head, Motion};
use raw::Raw;
use stretch::{Stretch, unprinted};
use token::{Part, Token, Tokeniser, decode};
use track::Track;

pub use findings::Findings;
pub use kind::{Kind, Kinds};

/// What is held is looked at each time the stream has come to a multiple of this many bytes.
const BLOCK: usize = 1024;
/// So many bytes that are alike are read as what they are; fewer as a [`Stretch`] of whatever it is.
const ALIKE: usize = 16;

/// Who prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// A terminal whose lines wrap after so many columns.
    Pty { columns: usize },
    /// A pipe; each stream has a state of its own.
    Pipe,
}

/// Masks one stream that arrives in pieces.
pub struct Terminal {
    set: Arc<Detectors>,
    watch: Watch,
    refused: Kinds,
    tokens: Tokeniser,
    raw: Raw,
    /// What the stream prints.
    printed: Track,
    /// What its strings say.
    said: Track,
    cursor: Cursor,
    string: Drop,
    /// Whether the last stretch of a pipe was no plain text, so that the next one is likely to be none.
    is_ragged: bool,
    /// Reads each byte by itself, to check that reading many at once changes no result.
    #[cfg(test)]
    slow: bool,
}

/// Whether a string is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Drop {
    No,
    Inside,
    /// It has ended; its terminator goes with it.
    Ended,
}

impl Terminal {
    /// The most bytes of the stream that are held.
    pub const HELD: usize = 4096;

    /// A terminal that covers the watched values of a set; those of one principal's view are [`crate::Covers::watch`].
    #[must_use]
    pub fn new(set: Arc<Detectors>, watch: Watch, mode: Mode) -> Self {
        let columns = match mode {
            Mode::Pty { columns } => Some(columns),
            Mode::Pipe => None,
        };
        let (printed, said) = (Track::new(&set), Track::new(&set));
        let (refused, tokens, raw) = (Kinds::NONE, Tokeniser::default(), Raw::default());
        Self {
            set,
            watch,
            refused,
            tokens,
            raw,
            printed,
            said,
            cursor: Cursor::new(columns),
            string: Drop::No,
            is_ragged: false,
            #[cfg(test)]
            slow: false,
        }
    }

    /// The same terminal, which leaves out control sequences of these kinds, and with them those that are too long to
    /// be told or end in the middle.
    #[must_use]
    pub fn refusing(mut self, kinds: Kinds) -> Self {
        self.refused = kinds;
        self
    }

    /// Takes the next bytes and appends what may leave.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Findings {
        let mut findings = Findings::default();
        if self.watch.is_empty() && self.refused.is_empty() {
            out.extend_from_slice(bytes);
            return findings;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK.saturating_sub(self.raw.end() % BLOCK);
            let (block, tail) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.read(block, &mut findings);
            self.settle(if tail.is_empty() { Rest::Follows } else { Rest::AtHand }, &mut findings);
            self.leave(out);
            let full = self.raw.end().is_multiple_of(BLOCK);
            if full && self.is_full() {
                self.settle(Rest::Follows, &mut findings);
                self.leave(out);
            }
            if full && self.is_full() {
                self.printed.flood(&mut self.raw, &mut findings);
                self.said.flood(&mut self.raw, &mut findings);
                self.leave(out);
            }
            rest = tail;
        }
        findings
    }

    /// Lets what is held leave, because a person waits for it. What is a value so far is hidden, and what belongs to
    /// one that only shows later is hidden from here on. The beginning of a control sequence stays, as it shows nothing.
    pub fn expire(&mut self, out: &mut Vec<u8>) {
        self.printed.expire(&self.set, self.watch, &mut self.raw);
        self.said.expire(&self.set, self.watch, &mut self.raw);
        self.leave(out);
    }

    /// Ends the stream and appends what is left of it; the terminal is then as new, but for its size.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Findings {
        let mut findings = Findings::default();
        let mut tokens: SmallVec<[Token; 4]> = SmallVec::new();
        self.tokens.finish(&mut |token| tokens.push(token));
        tokens.into_iter().for_each(|token| self.take(token, &mut findings));
        self.printed.settle(&self.set, self.watch, Rest::Ends, &mut self.raw, &mut findings);
        self.said.settle(&self.set, self.watch, Rest::Ends, &mut self.raw, &mut findings);
        self.leave(out);
        (self.tokens, self.raw, self.string) = (Tokeniser::default(), Raw::default(), Drop::No);
        self.cursor.restart();
        findings
    }

    /// How many bytes are held back.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.raw.held()
    }

    /// Whether what is held looks like the beginning of a value and not like any word or short number. If not, a caller
    /// need not wait before [`Self::expire`] when the echo of a key has come and nothing follows it.
    #[must_use]
    pub fn suspects(&self) -> bool {
        self.printed.suspects(&self.set) || self.said.suspects(&self.set)
    }

    /// Takes the size of a screen that has changed; of no consequence to a pipe.
    pub fn resize(&mut self, columns: usize) {
        self.cursor.resize(columns);
    }

    /// Whether another block may be more than may be held.
    const fn is_full(&self) -> bool {
        self.raw.held() > Self::HELD.saturating_sub(BLOCK)
    }

    fn read(&mut self, block: &[u8], findings: &mut Findings) {
        let mut rest = block;
        while let Some(first) = rest.first() {
            let length = if self.tokens.is_plain() { self.quick(*first, rest) } else { 0 };
            if length > 0 {
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            self.raw.push(&[*first]);
            let mut tokens: SmallVec<[Token; 4]> = SmallVec::new();
            self.tokens.read(*first, &mut |token| tokens.push(token));
            tokens.into_iter().for_each(|token| self.take(token, findings));
            rest = rest.get(1..).unwrap_or_default();
        }
    }

    /// Reads bytes that are alike at once; tells how many.
    fn quick(&mut self, first: u8, rest: &[u8]) -> usize {
        #[cfg(test)]
        if self.slow {
            return 0;
        }
        if !self.cursor.has_columns() {
            return self.piped(rest);
        }
        match first {
            b' '..=b'~' => self.print(rest.get(..graphic(rest)).unwrap_or_default()),
            0x80.. => self.wide(rest),
            _ => self.pass(blanks(rest), rest),
        }
    }

    /// Reads the next bytes of a pipe; tells how many.
    fn piped(&mut self, rest: &[u8]) -> usize {
        let alike = if self.is_ragged { 0 } else { self.alike(rest) };
        if alike > 0 {
            return alike;
        }
        let stretch = Stretch::read(rest);
        let Some(text) = stretch.text() else { return 0 };
        let bytes = rest.get(..stretch.length).unwrap_or_default();
        let (at, first) = (self.raw.end(), unprinted(bytes));
        self.printed.stretch(text, at.saturating_add(first), stretch.length.saturating_sub(first));
        self.is_ragged = !text.is_empty() && text.as_bytes() != bytes;
        self.pass(stretch.length, rest)
    }

    /// Reads the next bytes of a pipe if enough of them are alike; tells how many.
    fn alike(&mut self, rest: &[u8]) -> usize {
        let plain = plain(rest);
        if plain >= ALIKE {
            self.printed.plain(rest.get(..plain).unwrap_or_default(), self.raw.end());
            return self.pass(plain, rest);
        }
        let shown = shown(rest);
        if shown >= ALIKE || rest.get(shown).is_none_or(|byte| *byte == 0x1b) {
            return self.print(rest.get(..shown).unwrap_or_default());
        }
        let blanks = blanks(rest);
        if blanks >= ALIKE {
            return self.pass(blanks, rest);
        }
        let text = printable(rest);
        if text.len() < ALIKE {
            return 0;
        }
        self.printed.text(text, self.raw.end());
        self.pass(text.len(), rest)
    }

    /// Takes so many bytes that need nothing more; tells how many.
    fn pass(&mut self, length: usize, rest: &[u8]) -> usize {
        if length > 0 {
            self.raw.push(rest.get(..length).unwrap_or_default());
            self.tokens.pass(length);
            self.string = Drop::No;
        }
        length
    }

    /// Prints a run of ASCII; tells how long it is.
    fn print(&mut self, run: &[u8]) -> usize {
        if !run.is_empty() {
            let at = self.raw.end();
            self.owe(at);
            self.cursor.print(run.len());
            self.printed.run(run, at);
        }
        self.pass(run.len(), run)
    }

    /// Prints the next characters as long as they are none of ASCII; tells how many bytes.
    fn wide(&mut self, bytes: &[u8]) -> usize {
        let (at, mut length) = (self.raw.end(), 0_usize);
        while let Some((character, count)) = decode(bytes.get(length..).unwrap_or_default())
            && !matches!(character, '\u{80}'..='\u{9f}')
        {
            let cells = if character == '\u{fffd}' { 1 } else { character.width().unwrap_or_default() };
            let from = at.saturating_add(length);
            self.owe(from);
            self.cursor.wide(cells);
            self.printed.cell(character, from, count, cells);
            length = length.saturating_add(count);
        }
        self.pass(length, bytes)
    }

    /// Reads a carriage return that was no part of a wrap.
    fn owe(&mut self, at: usize) {
        if self.cursor.owes() {
            self.printed.bare('\r', at);
        }
    }

    fn take(&mut self, token: Token, findings: &mut Findings) {
        let Token { length, end, part } = token;
        let from = end.saturating_sub(length);
        match part {
            Part::Print(character) => {
                let cells = character.width().unwrap_or_default();
                self.owe(from);
                self.cursor.wide(cells);
                self.printed.cell(character, from, length, cells);
            }
            Part::Control(byte) => self.control(byte, from),
            Part::Sequence(head) => self.sequence(head, from, end, findings),
            Part::Opens(kind) if self.refused.contains(kind) => {
                findings.refuse();
                self.raw.cut(from, end);
                self.string = Drop::Inside;
                return;
            }
            Part::Opens(_) => {}
            Part::Inside(_) if self.string == Drop::Inside => return self.raw.cut(from, end),
            Part::Inside(character) => self.say(character, from, length),
            Part::Closes if self.string == Drop::Inside => {
                self.raw.cut(from, end);
                self.string = if length > 0 { Drop::No } else { Drop::Ended };
                return;
            }
            Part::Closes => {
                self.said.settle(&self.set, self.watch, Rest::Ends, &mut self.raw, findings);
            }
            Part::Void if self.refused.is_empty() => {}
            Part::Void => self.raw.cut(from, end),
        }
        self.string = Drop::No;
    }

    fn control(&mut self, byte: u8, from: usize) {
        let owed = !matches!(byte, b'\r' | b'\n') && matches!(byte, b'\t' | 0x08 | 0x0b | 0x0c);
        if owed {
            self.owe(from);
        }
        if let Effect::Reads(character) = self.cursor.control(byte) {
            self.printed.bare(character, from);
        }
    }

    fn sequence(&mut self, head: Head, from: usize, end: usize, findings: &mut Findings) {
        let kind = head.kind();
        if self.refused.contains(kind) {
            findings.refuse();
            return self.raw.cut(from, end);
        }
        if head.terminates() && self.string == Drop::Ended {
            return self.raw.cut(from, end);
        }
        let motion = head.motion();
        if motion != Motion::Stays {
            self.owe(end);
            self.cursor.go(motion);
            self.printed.bare('\n', end);
        }
    }

    fn say(&mut self, character: char, from: usize, length: usize) {
        match character {
            '\t' | '\n' | '\r' => self.said.bare(character, from),
            '\0'..='\u{1f}' | '\u{7f}' => {}
            _ => self.said.cell(character, from, length, character.width().unwrap_or_default()),
        }
    }

    fn settle(&mut self, rest: Rest, findings: &mut Findings) {
        self.printed.settle(&self.set, self.watch, rest, &mut self.raw, findings);
        self.said.settle(&self.set, self.watch, rest, &mut self.raw, findings);
    }

    /// Lets everything leave before the first byte that is not decided.
    fn leave(&mut self, out: &mut Vec<u8>) {
        let held = [self.printed.first(), self.said.first(), Some(self.tokens.pending())];
        let to = held.into_iter().flatten().min().unwrap_or_default();
        self.raw.leave(to, out);
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terminal({} bytes held)", self.held())
    }
}
