//! The same, said plainly: from each byte on, each layer is read anew.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::VecDeque;

const LAYERS: usize = 4;
const ENTITY_DIGITS: usize = 8;

/// The text with stars for the longest secret that begins anywhere.
pub(super) fn blotted(secrets: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(text) = text.get(out.len()..).filter(|text| !text.is_empty()) {
        match secrets.iter().filter_map(|secret| begins(text, secret)).max() {
            Some(length) => out.resize(out.len() + length, b'*'),
            None => out.push(text[0]),
        }
    }
    out
}

fn begins(text: &[u8], secret: &[u8]) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    (1..=LAYERS).find_map(|layers| begins_under(text, secret, layers))
}

fn begins_under(text: &[u8], secret: &[u8], layers: usize) -> Option<usize> {
    let mut letters = Letters::under(text, layers);
    let mut length = 0;
    for byte in secret {
        length = letters.next().filter(|letter| letter.byte == *byte)?.end;
    }
    Some(length)
}

/// A letter of a text, and where it ends in the bytes that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Letter {
    byte: u8,
    end: usize,
}

/// The letters of a text under layers of escapes, as far as they are known: not what may be the beginning of an escape.
struct Letters<'t> {
    below: Below<'t>,
    /// Letters of the layer below that were looked at and not taken.
    ahead: VecDeque<Letter>,
}

/// What letters are made of.
enum Below<'t> {
    Text { text: &'t [u8], at: usize },
    Letters(Box<Letters<'t>>),
}

impl<'t> Letters<'t> {
    fn under(text: &'t [u8], layers: usize) -> Self {
        let mut below = Below::Text { text, at: 0 };
        for _ in 1..layers {
            below = Below::Letters(Box::new(Self { below, ahead: VecDeque::new() }));
        }
        Self { below, ahead: VecDeque::new() }
    }

    /// The letter so many places further on in the layer below.
    fn peek(&mut self, at: usize) -> Option<Letter> {
        while self.ahead.len() <= at {
            let letter = match &mut self.below {
                Below::Text { text, at } => {
                    let byte = *text.get(*at)?;
                    *at = at.saturating_add(1);
                    Letter { byte, end: *at }
                }
                Below::Letters(letters) => letters.next()?,
            };
            self.ahead.push_back(letter);
        }
        self.ahead.get(at).copied()
    }

    fn next(&mut self) -> Option<Letter> {
        let first = self.peek(0)?;
        let (byte, letters) = match first.byte {
            b'\\' => self.backslash()?,
            b'%' => self.percent()?,
            b'&' => self.entity()?,
            byte => (byte, 1),
        };
        let end = self.peek(letters.saturating_sub(1))?.end;
        self.ahead.drain(..letters);
        Some(Letter { byte, end })
    }

    /// `\u002d`, `\x2d`, `\/`, `\\`: the byte and how many letters it takes; `None` where the text ends before it is known.
    fn backslash(&mut self) -> Option<(u8, usize)> {
        let next = self.peek(1)?.byte;
        match next {
            b'u' => {
                for at in 2..4 {
                    if self.peek(at)?.byte != b'0' {
                        return Some((b'\\', 1));
                    }
                }
                self.hex(4, 2)
            }
            b'x' => self.hex(2, 2),
            _ if next.is_ascii_punctuation() => Some((next, 2)),
            _ => Some((b'\\', 1)),
        }
    }

    /// `%2d`, `%u002d`.
    fn percent(&mut self) -> Option<(u8, usize)> {
        let from = match self.peek(1)?.byte {
            b'u' | b'U' if self.peek(2)?.byte == b'0' && self.peek(3)?.byte == b'0' => 4,
            _ => 1,
        };
        self.hex(from, 2)
    }

    /// `&#45;`, `&#x2d;`, `&amp;`.
    fn entity(&mut self) -> Option<(u8, usize)> {
        const AMPERSAND: &[u8] = b"&amp;";
        if self.peek(1)?.byte != b'#' {
            for (at, expected) in AMPERSAND.iter().enumerate().skip(1) {
                if self.peek(at)?.byte.to_ascii_lowercase() != *expected {
                    return Some((b'&', 1));
                }
            }
            return Some((b'&', AMPERSAND.len()));
        }
        let (radix, from) = if self.peek(2)?.byte.eq_ignore_ascii_case(&b'x') { (16, 3_usize) } else { (10, 2) };
        let mut number = 0_u32;
        for at in from..from.saturating_add(ENTITY_DIGITS) {
            let letter = self.peek(at)?.byte;
            match char::from(letter).to_digit(radix) {
                Some(digit) => number = number.saturating_mul(radix).saturating_add(digit),
                None if letter == b';' && at > from => {
                    return Some(u8::try_from(number).map_or((b'&', 1), |byte| (byte, at.saturating_add(1))));
                }
                None => break,
            }
        }
        Some((b'&', 1))
    }

    /// So many hexadecimal digits that begin there, or the first letter by itself.
    fn hex(&mut self, from: usize, digits: usize) -> Option<(u8, usize)> {
        let first = self.peek(0)?.byte;
        let mut number = 0_u32;
        let end = from.saturating_add(digits);
        for at in from..end {
            let Some(digit) = char::from(self.peek(at)?.byte).to_digit(16) else { return Some((first, 1)) };
            number = number.saturating_mul(16).saturating_add(digit);
        }
        Some(u8::try_from(number).map_or((first, 1), |byte| (byte, end)))
    }
}
