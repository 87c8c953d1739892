//! Covers values in what a terminal or a program prints.
//!
//! The stream is split as a terminal would split it ([`token`]), and values are looked for in what it *prints*: control
//! sequences between the characters of a value do not hide it and stay where they are. Each cell of a value becomes
//! `*`, so that the screen keeps its shape. The text of titles and other strings is looked at too, each string by
//! itself.
//!
//! Near a sequence the stream is also read with the bytes of sequences in it ([`aside`]), for whoever reads it without a
//! terminal.
//!
//! What joins: colours, character sets, modes, erasing, strings, and on a terminal the line break that is sent where a
//! line is exactly as long as the screen is wide. What parts, as a line break would: moves of the cursor, carriage
//! returns, backspaces. A program that draws a value piece by piece in some other order is not seen through.
//!
//! **Invariants:** any cutting of the stream gives the same bytes; without a value and without a refused sequence they
//! are the bytes of the stream; at most [`Terminal::HELD`] bytes are held; memory is bounded whatever the stream holds.

mod aside;
mod cursor;
mod findings;
mod head;
#[cfg(test)]
mod hiding_tests;
mod kind;
mod raw;
mod runs;
mod stretch;
#[cfg(test)]
mod tests;
mod token;
mod track;
mod written;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;
use unicode_width::UnicodeWidthChar as _;

use crate::detect::{Detectors, Watch};
use crate::fold::Rest;
use aside::Aside;
use cursor::{Cursor, Effect};
use head::{Head, Motion};
use raw::Raw;
use token::{Part, Token, Tokeniser};
use track::Track;

pub use findings::Findings;
pub use kind::{Kind, Kinds};

/// What is held is looked at each time the stream has come to a multiple of this many bytes.
const BLOCK: usize = 1024;

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
    /// Both with the bytes of sequences, near one.
    aside: Option<Box<Aside>>,
    /// What was counted while a person waited.
    late: Findings,
    cursor: Cursor,
    string: Drop,
    /// Whether the string that is open is a link.
    links: bool,
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
            aside: None,
            late: Findings::default(),
            cursor: Cursor::new(columns),
            string: Drop::No,
            links: false,
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
        let mut findings = std::mem::take(&mut self.late);
        if self.watch.is_empty() && self.refused.is_empty() {
            out.extend_from_slice(bytes);
            return findings;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK.saturating_sub(self.raw.end() % BLOCK);
            let (block, tail) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.read(block, &mut findings);
            self.settle(if tail.is_empty() { Rest::Follows } else { Rest::AtHand });
            self.leave(out, &mut findings);
            let full = self.raw.end().is_multiple_of(BLOCK);
            if full && self.is_full() {
                self.settle(Rest::Follows);
                self.leave(out, &mut findings);
            }
            if full && self.is_full() {
                self.flood(&mut findings);
                self.leave(out, &mut findings);
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
        if let Some(aside) = &mut self.aside {
            aside.expire(&self.set, self.watch, &mut self.raw);
        }
        let mut late = std::mem::take(&mut self.late);
        self.leave(out, &mut late);
        self.late = late;
    }

    /// Ends the stream and appends what is left of it; the terminal is then as new, but for its size.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Findings {
        let mut findings = std::mem::take(&mut self.late);
        let mut tokens: SmallVec<[Token; 4]> = SmallVec::new();
        self.tokens.finish(&mut |token| tokens.push(token));
        tokens.into_iter().for_each(|token| self.take(token, &mut findings));
        self.settle(Rest::Ends);
        self.leave(out, &mut findings);
        self.aside = None;
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
        let aside = self.aside.as_ref();
        self.printed.suspects(&self.set)
            || self.said.suspects(&self.set)
            || aside.is_some_and(|aside| aside.suspects(&self.set))
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

    /// Reads a carriage return that was no part of a wrap.
    fn owe(&mut self, at: usize) {
        if self.cursor.owes() {
            self.show_one('\r', at, |track| track.bare('\r', at));
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
                self.show_one(character, from, |track| track.cell(character, from, length, cells));
            }
            Part::Control(byte) => self.control(byte, from, length),
            Part::Sequence(head) => self.sequence(head, from, end, findings),
            Part::Opens(kind) if self.refused.contains(kind) => {
                findings.refuse();
                self.raw.cut(from, end);
                self.string = Drop::Inside;
                return;
            }
            Part::Opens(kind) => self.open(kind, from, end),
            Part::Inside(_) if self.string == Drop::Inside => return self.raw.cut(from, end),
            Part::Inside(character) => self.say(character, from, length),
            Part::Closes if self.string == Drop::Inside => {
                self.raw.cut(from, end);
                self.string = if length > 0 { Drop::No } else { Drop::Ended };
                return;
            }
            Part::Closes => {
                self.said.settle(&self.set, self.watch, Rest::Ends, &mut self.raw);
                self.close(end);
            }
            Part::Void if self.refused.is_empty() => self.spell(from, end),
            Part::Void => self.raw.cut(from, end),
        }
        self.string = Drop::No;
    }

    fn control(&mut self, byte: u8, from: usize, length: usize) {
        let is_within = length == 0;
        if is_within {
            // As the sequence is written, this is in the middle of it.
            self.look_aside();
        }
        let owed = !matches!(byte, b'\r' | b'\n') && matches!(byte, b'\t' | 0x08 | 0x0b | 0x0c);
        if owed {
            self.owe(from);
        }
        if let Effect::Reads(character) = self.cursor.control(byte) {
            if is_within {
                return self.printed.bare(character, from);
            }
            self.show_one(character, from, |track| track.bare(character, from));
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
        if head.terminates() {
            return;
        }
        self.written(head, from, end);
        let motion = head.motion();
        if motion != Motion::Stays {
            self.owe(end);
            self.cursor.go(motion);
            self.printed.bare('\n', end);
        }
    }

    fn say(&mut self, character: char, from: usize, length: usize) {
        let say = |track: &mut Track| match character {
            '\t' | '\n' | '\r' => track.bare(character, from),
            '\0'..='\u{1f}' | '\u{7f}' => {}
            _ => track.cell(character, from, length, character.width().unwrap_or_default()),
        };
        say(&mut self.said);
        self.say_aside(character, from, say);
    }

    fn settle(&mut self, rest: Rest) {
        self.printed.settle(&self.set, self.watch, rest, &mut self.raw);
        self.said.settle(&self.set, self.watch, rest, &mut self.raw);
        if let Some(aside) = &mut self.aside {
            aside.settle(&self.set, self.watch, rest, &mut self.raw);
            if aside.is_vain(&self.printed) {
                self.aside = None;
            }
        }
    }

    /// Hides everything that is not decided.
    fn flood(&mut self, findings: &mut Findings) {
        let printed = self.printed.flood(&mut self.raw);
        let said = self.said.flood(&mut self.raw);
        let aside = self.aside.as_mut().is_some_and(|aside| aside.flood(&mut self.raw));
        if printed || said || aside {
            findings.overflow();
        }
    }

    /// Lets everything leave before the first byte that is not decided.
    fn leave(&mut self, out: &mut Vec<u8>, findings: &mut Findings) {
        let aside = self.aside.as_ref().and_then(|aside| aside.first());
        let held = [self.printed.first(), self.said.first(), aside, Some(self.tokens.pending())];
        let to = held.into_iter().flatten().min().unwrap_or_default();
        self.raw.leave(to, out);
        self.raw.count(|among| findings.count(self.set.among(among)));
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terminal({} bytes held)", self.held())
    }
}
