//! What letters a text has under layers of escapes, wherever one begins to read it.
//!
//! A letter is known by where it begins alone, so the letters of a layer are read once, from the end of the text, out of
//! those of the layer below: a few looks for each escape, however many layers there are.

use std::num::NonZeroU16;

/// What an escape begins with: in JSON and programs, in addresses, in pages.
pub(super) const LEADS: &[u8] = b"\\%&";
/// Escapes within escapes, such as JSON in a string of JSON.
pub(super) const LAYERS: usize = 4;
/// The most digits of a letter in a page, with what ends them.
const ENTITY_DIGITS: usize = 8;

/// A letter of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Letter {
    pub(super) byte: u8,
    /// The bytes that it takes: an escape has at most eleven letters of the layer below, so these are at most 11⁴.
    length: NonZeroU16,
}

/// The letters that begin at one place, under one layer and under more; `None` where the text ends before it is known.
pub(super) type Column = [Option<Letter>; LAYERS];

/// The letters of a text.
#[derive(Clone, Copy)]
pub(super) struct Letters<'t> {
    text: &'t [u8],
    /// One for each byte of the text; only those of leads are ever looked at.
    columns: &'t [Column],
}

/// Why a letter is no escape.
enum Not {
    /// The text ends before it is known what it is.
    Known,
    /// It is what it looks like.
    Escaped,
}

/// A way through the letters of a layer.
struct Walk<'t> {
    letters: Letters<'t>,
    layer: usize,
    at: usize,
    /// A letter was passed that is another one in a layer above.
    has_met_more: bool,
}

impl Letter {
    /// A byte that stands for itself.
    pub(super) const fn plain(byte: u8) -> Self {
        Self { byte, length: NonZeroU16::MIN }
    }

    pub(super) fn length(self) -> usize {
        usize::from(self.length.get())
    }

    /// Where the next one begins, seen from behind the first byte of this one.
    fn behind(self) -> usize {
        self.length().saturating_sub(1)
    }
}

impl<'t> Letters<'t> {
    /// Reads a text; `columns` is where its letters are kept.
    pub(super) fn read(text: &'t [u8], columns: &'t mut Vec<Column>) -> Self {
        if has_lead(text) && columns.len() < text.len() {
            columns.resize(text.len(), [None; LAYERS]);
        }
        for (at, byte) in text.iter().enumerate().rev().filter(|(_, byte)| is_lead(**byte)) {
            let Some((before, behind)) = columns.split_at_mut_checked(at.saturating_add(1)) else { continue };
            let Some(column) = before.last_mut() else { continue };
            Letters { text: text.get(at.saturating_add(1)..).unwrap_or_default(), columns: behind }.lead(*byte, column);
        }
        Self { text, columns }
    }

    pub(super) const fn text(self) -> &'t [u8] {
        self.text
    }

    /// The letter that begins there under so many layers.
    pub(super) fn letter(self, at: usize, layers: usize) -> Option<Letter> {
        let byte = *self.text.get(at)?;
        if is_lead(byte) { self.above(at, byte, layers).next()? } else { Some(Letter::plain(byte)) }
    }

    /// What a lead that is there begins: as it is, and under each of the layers.
    pub(super) fn of_lead(self, at: usize, lead: u8) -> impl Iterator<Item = Option<Letter>> {
        self.above(at, lead, 0)
    }

    /// The letters of a lead under so many layers and under more.
    fn above(self, at: usize, lead: u8, layers: usize) -> impl Iterator<Item = Option<Letter>> {
        #[cfg(test)]
        super::work::count(1);
        let plain = (layers == 0).then_some(Some(Letter::plain(lead)));
        let column = self.columns.get(at).and_then(|column| column.get(layers.saturating_sub(1)..));
        plain.into_iter().chain(column.unwrap_or_default().iter().copied())
    }

    /// What a lead before this text begins, layer by layer.
    fn lead(self, lead: u8, column: &mut Column) {
        let mut letter = Letter::plain(lead);
        let mut above = column.as_mut_slice();
        for layer in 0..LAYERS {
            let mut walk = Walk { letters: self, layer, at: letter.behind(), has_met_more: false };
            let is_settled = match walk.escape(letter.byte) {
                Ok(byte) => {
                    let length = u16::try_from(walk.at).ok().and_then(|at| NonZeroU16::MIN.checked_add(at));
                    let Some(length) = length else { break };
                    letter = Letter { byte, length };
                    !is_lead(byte)
                }
                Err(Not::Known) => break,
                Err(Not::Escaped) => !walk.has_met_more,
            };
            if is_settled {
                // Nothing changes in the layers above either.
                return above.fill(Some(letter));
            }
            let Some((place, rest)) = above.split_first_mut() else { return };
            *place = Some(letter);
            above = rest;
        }
        above.fill(None);
    }
}

impl Walk<'_> {
    fn next(&mut self) -> Result<u8, Not> {
        #[cfg(test)]
        super::work::count(1);
        let byte = *self.letters.text.get(self.at).ok_or(Not::Known)?;
        if !is_lead(byte) {
            self.at = self.at.saturating_add(1);
            return Ok(byte);
        }
        let column = self.letters.columns.get(self.at).ok_or(Not::Known)?;
        let (letter, above) = match self.layer.checked_sub(1).and_then(|layer| column.get(layer..)?.split_first()) {
            Some((letter, above)) => (letter.ok_or(Not::Known)?, above),
            None => (Letter::plain(byte), &column[..]),
        };
        self.has_met_more |= above.iter().any(|other| *other != Some(letter));
        self.at = self.at.saturating_add(letter.length());
        Ok(letter.byte)
    }

    /// The byte that a lead and what follows on it stand for.
    fn escape(&mut self, lead: u8) -> Result<u8, Not> {
        match lead {
            b'\\' => self.backslash(),
            b'%' => self.percent(),
            _ => self.entity(),
        }
    }

    /// `\u002d`, `\x2d`, `\/`, `\\`.
    fn backslash(&mut self) -> Result<u8, Not> {
        match self.next()? {
            b'u' if self.next()? == b'0' && self.next()? == b'0' => self.hex(),
            b'x' => self.hex(),
            next if next.is_ascii_punctuation() => Ok(next),
            _ => Err(Not::Escaped),
        }
    }

    /// `%2d`, `%u002d`.
    fn percent(&mut self) -> Result<u8, Not> {
        let first = self.next()?;
        if matches!(first, b'u' | b'U') {
            let is_long = self.next()? == b'0' && self.next()? == b'0';
            return if is_long { self.hex() } else { Err(Not::Escaped) };
        }
        byte(digit(first)?, digit(self.next()?)?)
    }

    /// `&#45;`, `&#x2d;`, `&amp;`.
    fn entity(&mut self) -> Result<u8, Not> {
        let mut next = self.next()?;
        if next != b'#' {
            for expected in b"amp;" {
                if next.to_ascii_lowercase() != *expected {
                    return Err(Not::Escaped);
                }
                if *expected != b';' {
                    next = self.next()?;
                }
            }
            return Ok(b'&');
        }
        next = self.next()?;
        let radix = if next.eq_ignore_ascii_case(&b'x') { 16 } else { 10 };
        if radix == 16 {
            next = self.next()?;
        }
        let mut number = 0_u32;
        for digits in 0..ENTITY_DIGITS {
            match char::from(next).to_digit(radix) {
                Some(digit) => number = number.saturating_mul(radix).saturating_add(digit),
                None if next == b';' && digits > 0 => return u8::try_from(number).map_err(|_| Not::Escaped),
                None => break,
            }
            if digits.saturating_add(1) < ENTITY_DIGITS {
                next = self.next()?;
            }
        }
        Err(Not::Escaped)
    }

    /// Two hexadecimal digits.
    fn hex(&mut self) -> Result<u8, Not> {
        let high = digit(self.next()?)?;
        byte(high, digit(self.next()?)?)
    }
}

pub(super) const fn is_lead(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&')
}

fn has_lead(text: &[u8]) -> bool {
    text.iter().any(|byte| is_lead(*byte))
}

fn digit(letter: u8) -> Result<u8, Not> {
    let digit = char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digit.ok_or(Not::Escaped)
}

const fn byte(high: u8, low: u8) -> Result<u8, Not> {
    Ok(high << 4 | low)
}
