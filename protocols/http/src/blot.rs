//! Keeps a target's own credential out of what its server answers.
//!
//! A server that quotes the key it was shown, as error pages do, would hand it to the client. Its letters are replaced by
//! as many stars, so that nothing else of the answer changes, also where letters are escaped as JSON, addresses or
//! pages escape them, some layers deep, and within Base64.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use sluice_model::{ExposeSecret as _, Secret};

/// A secret of fewer bytes could be any word.
const SHORTEST: usize = 8;
/// What an escape begins with: in JSON and programs, in addresses, in pages.
const LEADS: &[u8] = b"\\%&";
/// Escapes within escapes, such as JSON in a string of JSON.
const LAYERS: usize = 4;
/// The most digits of a letter in a page.
const ENTITY_DIGITS: usize = 8;

/// Blots secrets out of a body that arrives in pieces.
pub(crate) struct Blot {
    /// The forms in which the server was shown it.
    secrets: Vec<Secret>,
    /// The bytes that one of them, or an escape, begins with.
    first: [bool; 256],
    /// The end of what came, which may be the beginning of one.
    held: BytesMut,
}

/// How a text begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begins {
    Otherwise,
    /// With a secret of so many bytes.
    With(usize),
    /// All of it is the beginning of a secret.
    Perhaps,
}

impl Blot {
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let long = |secret: &Secret| secret.expose_secret().len() >= SHORTEST;
        let mut secrets: Vec<_> = secrets.into_iter().filter(long).collect();
        let within: Vec<_> = secrets.iter().flat_map(|secret| encoded(secret.expose_secret())).filter(long).collect();
        secrets.extend(within);
        Self::of(secrets)
    }

    fn of(secrets: Vec<Secret>) -> Self {
        let mut first = [false; 256];
        let begins = secrets.iter().filter_map(|secret| secret.expose_secret().as_bytes().first());
        for byte in begins.chain(LEADS) {
            first.iter_mut().skip(usize::from(*byte)).take(1).for_each(|first| *first = true);
        }
        Self { secrets, first, held: BytesMut::new() }
    }

    /// Leaves out the headers that hold one, in whatever case.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let lower = |secret: &Secret| secret.expose_secret().to_ascii_lowercase();
        let lowered = Self::of(self.secrets.iter().map(|secret| Secret::from(lower(secret))).collect());
        let holds = |value: &HeaderValue| {
            let value = value.as_bytes();
            let found = |blot: &Self, text: &[u8]| matches!(blot.next(text, 0), Some((_, Begins::With(_))));
            found(self, value) || found(&lowered, &value.to_ascii_lowercase())
        };
        let told: Vec<_> = headers.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.clone()).collect();
        told.iter().for_each(|name| drop(headers.remove(name)));
    }

    /// Takes a piece, and gives what may go on.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.secrets.is_empty() || self.held.is_empty() && self.next(&piece, 0).is_none() {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let mut from = 0;
        while let Some((at, begins)) = self.next(&self.held, from) {
            let Begins::With(length) = begins else {
                let rest = self.held.split_off(at);
                return std::mem::replace(&mut self.held, rest).freeze();
            };
            self.held.iter_mut().skip(at).take(length).for_each(|byte| *byte = b'*');
            from = at.saturating_add(length);
        }
        self.held.split().freeze()
    }

    /// What was held at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }

    /// Where a secret, or what may become one, next is.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, Begins)> {
        let first = |byte: u8| self.first.get(usize::from(byte)).copied().unwrap_or_default();
        let places = text.iter().enumerate().skip(from).filter(|(_, byte)| first(**byte));
        places
            .map(|(at, _)| (at, self.begins(text.get(at..).unwrap_or_default())))
            .find(|(_, begins)| *begins != Begins::Otherwise)
    }

    fn begins(&self, text: &[u8]) -> Begins {
        if !self.may_begin(text) {
            return Begins::Otherwise;
        }
        let mut perhaps = false;
        let mut longest = None;
        for secret in &self.secrets {
            match begins(text, secret.expose_secret().as_bytes()) {
                Begins::With(length) => longest = longest.max(Some(length)),
                Begins::Perhaps => perhaps = true,
                Begins::Otherwise => {}
            }
        }
        match longest {
            Some(length) => Begins::With(length),
            None if perhaps => Begins::Perhaps,
            None => Begins::Otherwise,
        }
    }

    /// Whether a text that may begin with an escape begins like any secret: most escapes are those of lines and quotes.
    fn may_begin(&self, text: &[u8]) -> bool {
        if !text.first().is_some_and(|byte| LEADS.contains(byte)) {
            return true;
        }
        match Letters::under(text, 1).next() {
            Some(letter) if letter.end > 1 && LEADS.contains(&letter.byte) => true,
            Some(letter) => {
                let mut firsts = self.secrets.iter().map(|secret| secret.expose_secret().as_bytes().first());
                firsts.any(|first| first == Some(&letter.byte))
            }
            None => true,
        }
    }
}

/// How a text begins, seen from one secret: as it is, or under layers of escapes.
fn begins(text: &[u8], secret: &[u8]) -> Begins {
    let alike = text.iter().zip(secret).take_while(|(one, other)| one == other).count();
    match text.get(alike) {
        _ if alike == secret.len() => return Begins::With(alike),
        None => return Begins::Perhaps,
        Some(byte) if !LEADS.contains(byte) && !text.get(..alike).is_some_and(has_lead) => return Begins::Otherwise,
        Some(_) => {}
    }
    let mut perhaps = false;
    for layers in 1..=LAYERS {
        match begins_under(text, secret, layers) {
            Begins::Otherwise => {}
            Begins::Perhaps => perhaps = true,
            with @ Begins::With(_) => return with,
        }
    }
    if perhaps { Begins::Perhaps } else { Begins::Otherwise }
}

fn has_lead(text: &[u8]) -> bool {
    text.iter().any(|byte| LEADS.contains(byte))
}

fn begins_under(text: &[u8], secret: &[u8], layers: usize) -> Begins {
    let mut letters = Letters::under(text, layers);
    let mut length = 0;
    for byte in secret {
        match letters.next() {
            Some(letter) if letter.byte == *byte => length = letter.end,
            Some(_) => return Begins::Otherwise,
            None => return Begins::Perhaps,
        }
    }
    Begins::With(length)
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

/// How a secret stands within Base64 of something longer, which it may begin anywhere in: without the letters at its ends,
/// which tell of what is beside it as well (RFC 4648 §4, §5).
fn encoded(secret: &str) -> impl Iterator<Item = Secret> {
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD].into_iter().flat_map(move |alphabet| {
        (0..3_usize).map(move |shift| {
            let mut bytes = vec![0; shift];
            bytes.extend_from_slice(secret.as_bytes());
            let whole = bytes.len().saturating_mul(8) / 6;
            let begin = shift.saturating_mul(8).div_ceil(6);
            let text = alphabet.encode(&bytes);
            Secret::from(text.get(begin..whole).unwrap_or_default().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn blotted(secret: &str, pieces: &[&[u8]]) -> String {
        let mut blot = Blot::new([Secret::from(secret.to_owned())]);
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&blot.push(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&blot.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_secret_is_blotted_whatever_the_pieces() {
        let text = b"bad key: sk-srv-sk-srv-1, sk-srv-1. sk-sr";
        let expect = "bad key: sk-srv-********, ********. sk-sr";
        for one in 0..=text.len() {
            for two in one..=text.len() {
                let pieces = [&text[..one], &text[one..two], &text[two..]];
                assert_eq!(blotted("sk-srv-1", &pieces), expect, "cut at {one} and {two}");
            }
        }
    }

    #[test]
    fn escapes_do_not_hide_it() {
        for text in [
            r"\u0073k-srv\u002D1",
            r"sk\-srv-1",
            "sk%2Dsrv%2d1",
            "sk&#45;srv&#x2d;1",
            r"\u0073\u006b\u002d\u0073\u0072\u0076\u002d\u0031",
            r"sk\\-srv\\u002d1",
            r"sk\\\-srv\\\\u002d1",
            r"\u005cu0073k\u005c\u005cx2dsrv-1",
            "sk%252Dsrv%25252d1",
            "sk%5Cu002dsrv-1",
            "sk&amp;#45;srv&amp;amp;#0045;1",
            r"sk\u0026#45;srv-1",
        ] {
            let stars = "*".repeat(text.len());
            for cut in 0..=text.len() {
                let (one, two) = text.split_at(cut);
                let shown = blotted("sk-srv-1", &[b"a ", one.as_bytes(), two.as_bytes(), br" \u0073k-srv-2"]);
                assert_eq!(shown, format!(r"a {stars} \u0073k-srv-2"), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn base64_does_not_hide_it_wherever_it_stands() {
        for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in ["", "B", "Bearer ", "user:", "Authorization: Bearer "] {
                for after in ["", "x", "\r\n"] {
                    let secret = "sk-srv-~~?>1";
                    let text = alphabet.encode(format!("{before}{secret}{after}"));
                    let shown = blotted(secret, &[text.as_bytes()]);
                    let stars = shown.matches('*').count();
                    assert!(stars >= secret.len() * 4 / 3 - 2 && shown.len() == text.len(), "{text} {shown}");
                }
            }
        }
    }

    /// Each letter is looked at a few times at most, whatever a server sends.
    #[test]
    fn long_runs_of_escapes_are_read_in_one_go() {
        let text = br"\u005c%25&amp;".repeat(4_000);
        assert_eq!(blotted("sk-srv-1", &[&text]).as_bytes(), text);
    }

    #[test]
    fn other_text_passes_and_is_not_copied() {
        let mut blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
        let piece = Bytes::from_static(b"nothing to see");
        assert_eq!(blot.push(piece.clone()).as_ptr(), piece.as_ptr());
        assert_eq!(blotted("short", &[b"short"]), "short");
    }
}
