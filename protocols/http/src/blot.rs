//! Keeps a target's own credential out of what its server answers.
//!
//! A server that quotes the key it was shown, as error pages do, would hand it to the client. Its letters are replaced by
//! as many stars, so that nothing else of the answer changes.

use bytes::{Bytes, BytesMut};
use sluice_model::{ExposeSecret as _, Secret};

/// A secret of fewer bytes could be any word.
const SHORTEST: usize = 8;

/// Blots one secret out of a body that arrives in pieces.
pub(crate) struct Blot {
    secret: Option<Secret>,
    /// The end of what came, which may be the beginning of the secret.
    held: BytesMut,
}

impl Blot {
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        let secret = secret.filter(|secret| secret.expose_secret().len() >= SHORTEST).cloned();
        Self { secret, held: BytesMut::new() }
    }

    /// Takes a piece, and gives what may go on.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let Some(secret) = &self.secret else { return piece };
        let secret = secret.expose_secret().as_bytes();
        if self.held.is_empty() && beginning(&piece, secret) == 0 && find(&piece, secret).is_none() {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        while let Some(at) = find(&self.held, secret) {
            let blotted = self.held.iter_mut().skip(at).take(secret.len());
            blotted.for_each(|byte| *byte = b'*');
        }
        let keep = beginning(&self.held, secret);
        let rest = self.held.split_off(self.held.len().saturating_sub(keep));
        std::mem::replace(&mut self.held, rest).freeze()
    }

    /// What was held at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }
}

fn find(text: &[u8], secret: &[u8]) -> Option<usize> {
    let first = secret.first()?;
    let mut from = 0;
    while let Some(rest) = text.get(from..) {
        let at = from.checked_add(rest.iter().position(|byte| byte == first)?)?;
        if text.get(at..).is_some_and(|rest| rest.starts_with(secret)) {
            return Some(at);
        }
        from = at.checked_add(1)?;
    }
    None
}

/// How many bytes at the end of a text are the beginning of the secret.
fn beginning(text: &[u8], secret: &[u8]) -> usize {
    let most = secret.len().saturating_sub(1).min(text.len());
    (1..=most)
        .rev()
        .find(|length| {
            let tail = text.get(text.len().saturating_sub(*length)..).unwrap_or_default();
            secret.starts_with(tail)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn blotted(secret: &str, pieces: &[&[u8]]) -> String {
        let mut blot = Blot::new(Some(&Secret::from(secret.to_owned())));
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
    fn other_text_passes_and_is_not_copied() {
        let mut blot = Blot::new(Some(&Secret::from("sk-srv-1".to_owned())));
        let piece = Bytes::from_static(b"nothing to see");
        assert_eq!(blot.push(piece.clone()).as_ptr(), piece.as_ptr());
        assert_eq!(blotted("short", &[b"short"]), "short");
    }
}
