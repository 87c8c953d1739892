//! Reads many bytes of a stream at once, as far as that changes nothing.

use unicode_width::UnicodeWidthChar as _;

use super::stretch::{Stretch, unprinted};
use super::token::decode;
use super::{Drop, Terminal};
use crate::fold::{blanks, graphic, plain, printable, shown};

/// So many bytes that are alike are read as what they are; fewer as a [`Stretch`] of whatever it is.
const ALIKE: usize = 16;

impl Terminal {
    /// Reads bytes that are alike at once; tells how many.
    pub(super) fn quick(&mut self, first: u8, rest: &[u8]) -> usize {
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
        let (place, rest_length) = (at.saturating_add(first), stretch.length.saturating_sub(first));
        self.show(text, place, |track| track.stretch(text, place, rest_length));
        self.is_ragged = !text.is_empty() && text.as_bytes() != bytes;
        self.pass(stretch.length, rest)
    }

    /// Reads the next bytes of a pipe if enough of them are alike; tells how many.
    fn alike(&mut self, rest: &[u8]) -> usize {
        let plain = plain(rest);
        if plain >= ALIKE {
            let (run, at) = (rest.get(..plain).unwrap_or_default(), self.raw.end());
            self.show(run, at, |track| track.plain(run, at));
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
        let at = self.raw.end();
        self.show(text, at, |track| track.text(text, at));
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
            self.show(run, at, |track| track.run(run, at));
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
            self.show_one(character, from, |track| track.cell(character, from, count, cells));
            length = length.saturating_add(count);
        }
        self.pass(length, bytes)
    }
}
