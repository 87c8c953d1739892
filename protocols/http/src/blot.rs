//! Keeps a target's own credential out of what its server answers.
//!
//! A server that quotes the key it was shown, as error pages do, would hand it to the client. Its letters are replaced by
//! as many stars, so that nothing else of the answer changes, also where letters are escaped as JSON, addresses or
//! pages escape them.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use sluice_model::{ExposeSecret as _, Secret};

/// A secret of fewer bytes could be any word.
const SHORTEST: usize = 8;

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
        let secrets: Vec<_> = secrets.into_iter().filter(long).collect();
        let mut first = [false; 256];
        let begins = secrets.iter().filter_map(|secret| secret.expose_secret().as_bytes().first());
        for byte in begins.chain(b"\\%&") {
            first.iter_mut().skip(usize::from(*byte)).take(1).for_each(|first| *first = true);
        }
        Self { secrets, first, held: BytesMut::new() }
    }

    /// Leaves out the headers that hold one, in whatever case.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let lower = |secret: &Secret| secret.expose_secret().to_ascii_lowercase();
        let lowered = Self::new(self.secrets.iter().map(|secret| Secret::from(lower(secret))));
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
        let all = self.secrets.iter().map(|secret| begins(text, secret.expose_secret().as_bytes()));
        let mut perhaps = false;
        let mut longest = None;
        for begins in all {
            match begins {
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
}

/// How a text begins, seen from one secret.
fn begins(text: &[u8], secret: &[u8]) -> Begins {
    let mut rest = text;
    for byte in secret {
        match spelled(rest, *byte) {
            Begins::With(length) => rest = rest.get(length..).unwrap_or_default(),
            other @ (Begins::Otherwise | Begins::Perhaps) => return other,
        }
    }
    Begins::With(text.len().saturating_sub(rest.len()))
}

/// Whether a text begins with a byte: as it is, as `\u002d`, `\/`, `%2d`, `&#45;` or `&#x2d;`.
fn spelled(text: &[u8], byte: u8) -> Begins {
    let Some(first) = text.first() else { return Begins::Perhaps };
    if *first == byte {
        return Begins::With(1);
    }
    let (hex, decimal) = (hex(byte), [byte / 100, byte / 10 % 10, byte % 10].map(|digit| b'0'.saturating_add(digit)));
    let decimal = decimal.get(usize::from(byte < 100)..).unwrap_or_default();
    let plain = byte.is_ascii_punctuation().then_some(byte);
    let forms: [[&[u8]; 3]; 3] = match first {
        b'\\' => [[b"\\u00", &hex, b""], [b"\\x", &hex, b""], [b"\\", plain.as_slice(), b""]],
        b'%' => [[b"%", &hex, b""], [b"%25", &hex, b""], [b"%u00", &hex, b""]],
        b'&' => [[b"&#x", &hex, b";"], [b"&#", decimal, b";"], [b"&#0", decimal, b";"]],
        _ => return Begins::Otherwise,
    };
    let begun = forms.map(|form| begins_like(text, form.iter().copied().flatten()));
    let with = begun.iter().find(|begins| matches!(begins, Begins::With(length) if *length > 1));
    let perhaps = begun.iter().find(|begins| **begins == Begins::Perhaps);
    with.or(perhaps).copied().unwrap_or(Begins::Otherwise)
}

fn begins_like<'f>(text: &[u8], form: impl Iterator<Item = &'f u8>) -> Begins {
    let mut length = 0_usize;
    for expected in form {
        match text.get(length) {
            None => return Begins::Perhaps,
            Some(byte) if byte.eq_ignore_ascii_case(expected) => length = length.saturating_add(1),
            Some(_) => return Begins::Otherwise,
        }
    }
    Begins::With(length)
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).map_or(b'0', |digit| digit as u8))
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
    fn other_text_passes_and_is_not_copied() {
        let mut blot = Blot::new([Secret::from("sk-srv-1".to_owned())]);
        let piece = Bytes::from_static(b"nothing to see");
        assert_eq!(blot.push(piece.clone()).as_ptr(), piece.as_ptr());
        assert_eq!(blotted("short", &[b"short"]), "short");
    }
}
