//! Keeps a target's own credential out of what its server answers.
//!
//! A server that quotes the key it was shown, as error pages do, would hand it to the client. Its letters are replaced by
//! as many stars, so that nothing else of the answer changes, also where letters are escaped as JSON, addresses or
//! pages escape them, some layers deep, and within Base64.

mod letters;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use sluice_model::{ExposeSecret as _, Secret};

use letters::{LAYERS, LEADS, Letters, is_lead};

/// A secret of fewer bytes could be any word.
const SHORTEST: usize = 8;
/// Bytes that are looked at together, at first.
const WINDOW: usize = 1 << 10;
/// What is held back is looked at again with every piece up to so many bytes, and beyond when it has grown by an eighth.
const AGAIN: usize = 256;
/// The most bytes that are held back: a part that is the same in any case, and so many for each letter of the longest
/// secret. A text that is longer and still may become one is taken for one.
const HELD: (usize, usize) = (16 << 10, 64);

/// Blots secrets out of a body that arrives in pieces.
pub(crate) struct Blot {
    /// The forms in which the server was shown it.
    secrets: Vec<Secret>,
    /// What one of them, or an escape, begins with.
    first: [First; 256],
    /// The end of what came, which may be the beginning of one.
    held: BytesMut,
    /// How much of that was not looked at yet.
    new: usize,
}

/// What a byte begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct First {
    secret: bool,
    escape: bool,
}

/// What follows on a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    More,
    Nothing,
}

/// How a text begins, seen from one secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begins {
    Otherwise,
    /// With the secret, in so many bytes.
    With(usize),
    /// All of it is the beginning of the secret.
    Perhaps,
}

/// What there is of secrets in a text.
#[derive(Debug, Default, Eq, PartialEq)]
struct Found {
    whole: Vec<Range<usize>>,
    /// Where what may become one begins.
    perhaps: Option<usize>,
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
        let mut first = [First::default(); 256];
        let mut mark = |byte: u8, mark: fn(&mut First)| {
            first.iter_mut().skip(usize::from(byte)).take(1).for_each(mark);
        };
        LEADS.iter().for_each(|lead| mark(*lead, |first| first.escape = true));
        let begins = secrets.iter().filter_map(|secret| secret.expose_secret().as_bytes().first());
        begins.for_each(|byte| mark(*byte, |first| first.secret = true));
        Self { secrets, first, held: BytesMut::new(), new: 0 }
    }

    /// Leaves out the headers that hold one, in whatever case.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let lower = |secret: &Secret| secret.expose_secret().to_ascii_lowercase();
        let lowered = Self::of(self.secrets.iter().map(|secret| Secret::from(lower(secret))).collect());
        let found = |blot: &Self, text: &[u8]| !blot.find(text, Then::Nothing).whole.is_empty();
        let holds = |value: &HeaderValue| {
            let value = value.as_bytes();
            found(self, value) || found(&lowered, &value.to_ascii_lowercase())
        };
        let told: Vec<_> = headers.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.clone()).collect();
        told.iter().for_each(|name| drop(headers.remove(name)));
    }

    /// Takes a piece, and gives what may go on.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.secrets.is_empty() {
            return piece;
        }
        if self.held.is_empty() {
            let found = self.find(&piece, Then::More);
            if found == Found::default() {
                return piece;
            }
            self.held.extend_from_slice(&piece);
            return self.release(&found);
        }
        let read = self.held.len().saturating_sub(self.new);
        self.held.extend_from_slice(&piece);
        self.new = self.new.saturating_add(piece.len());
        if read > AGAIN && self.new < read / 8 {
            return Bytes::new();
        }
        let found = self.find(&self.held, Then::More);
        self.release(&found)
    }

    /// What was held at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        let found = self.find(&self.held, Then::Nothing);
        self.release(&found)
    }

    /// Covers what was found, and holds back what may become more.
    fn release(&mut self, found: &Found) -> Bytes {
        self.new = 0;
        found.whole.iter().for_each(|place| cover(&mut self.held, place));
        let all = self.held.len();
        let mut rest = self.held.split_off(found.perhaps.unwrap_or(all).min(all));
        let longest = self.secrets.iter().map(|secret| secret.expose_secret().len()).max().unwrap_or_default();
        if rest.len() > longest.saturating_mul(HELD.1).saturating_add(HELD.0) {
            let length = rest.len();
            cover(&mut rest, &(0..length));
            self.held.unsplit(std::mem::take(&mut rest));
        }
        std::mem::replace(&mut self.held, rest).freeze()
    }

    /// Looks through a text, a window after another.
    fn find(&self, text: &[u8], then: Then) -> Found {
        let mut found = Found::default();
        let mut columns = Vec::new();
        let (mut from, mut size) = (0_usize, WINDOW);
        while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            let window = rest.get(..size).unwrap_or(rest);
            let is_last = window.len() == rest.len();
            #[cfg(test)]
            work::count(window.len());
            let letters = Letters::read(window, &mut columns);
            let then_here = if is_last { then } else { Then::More };
            let stopped = self.look(letters, then_here, |at, length| {
                let at = from.saturating_add(at);
                found.whole.push(at..at.saturating_add(length));
            });
            let Some(at) = stopped.filter(|_| !is_last) else {
                found.perhaps = stopped.map(|at| from.saturating_add(at));
                if is_last {
                    return found;
                }
                (from, size) = (from.saturating_add(window.len()), WINDOW);
                continue;
            };
            // What is too long for a window needs a larger one, so that nothing is looked at over and over.
            size = if at < size / 2 { size.saturating_mul(2) } else { WINDOW };
            from = from.saturating_add(at);
        }
        found
    }

    /// Tells of the secrets in a text, up to where it may hold one that does not end in it.
    fn look(&self, letters: Letters<'_>, then: Then, mut tell: impl FnMut(usize, usize)) -> Option<usize> {
        let text = letters.text();
        let first = |byte: u8| self.first.get(usize::from(byte)).copied().unwrap_or_default();
        let mut from = 0_usize;
        loop {
            let rest = text.get(from..)?;
            let at = from.saturating_add(rest.iter().position(|byte| first(*byte) != First::default())?);
            from = at.saturating_add(1);
            if !self.may_begin(letters, at) {
                continue;
            }
            let (length, perhaps) = self.begins(letters, at);
            if perhaps && then == Then::More {
                return Some(at);
            }
            if let Some(length) = length {
                tell(at, length);
                from = at.saturating_add(length);
            }
        }
    }

    /// Whether what begins there begins like any secret: most escapes are those of lines and quotes.
    fn may_begin(&self, letters: Letters<'_>, at: usize) -> bool {
        let Some(lead) = letters.text().get(at).filter(|byte| is_lead(**byte)) else { return true };
        let secret = |byte: u8| self.first.get(usize::from(byte)).is_some_and(|first| first.secret);
        letters.of_lead(at, *lead).any(|letter| letter.is_none_or(|letter| secret(letter.byte)))
    }

    /// How long the longest secret is that begins there, and whether there may be another.
    fn begins(&self, letters: Letters<'_>, at: usize) -> (Option<usize>, bool) {
        let mut longest = None;
        let mut perhaps = false;
        for secret in &self.secrets {
            match begins(letters, at, secret.expose_secret().as_bytes()) {
                Begins::With(length) => longest = longest.max(Some(length)),
                Begins::Perhaps => perhaps = true,
                Begins::Otherwise => {}
            }
        }
        (longest, perhaps)
    }
}

fn cover(text: &mut [u8], place: &Range<usize>) {
    text.iter_mut().take(place.end).skip(place.start).for_each(|byte| *byte = b'*');
}

/// How a text begins, seen from one secret: as it is, or under layers of escapes.
fn begins(letters: Letters<'_>, at: usize, secret: &[u8]) -> Begins {
    let text = letters.text().get(at..).unwrap_or_default();
    let alike = text.iter().zip(secret).take_while(|(one, other)| one == other).count();
    #[cfg(test)]
    work::count(alike.saturating_add(1));
    match text.get(alike) {
        _ if alike == secret.len() => return Begins::With(alike),
        None => return Begins::Perhaps,
        Some(byte) if !is_lead(*byte) && !text.iter().take(alike).any(|byte| is_lead(*byte)) => {
            return Begins::Otherwise;
        }
        Some(_) => {}
    }
    let mut perhaps = false;
    for layers in 1..=LAYERS {
        match begins_under(letters, at, secret, layers) {
            Begins::Otherwise => {}
            Begins::Perhaps => perhaps = true,
            with @ Begins::With(_) => return with,
        }
    }
    if perhaps { Begins::Perhaps } else { Begins::Otherwise }
}

fn begins_under(letters: Letters<'_>, at: usize, secret: &[u8], layers: usize) -> Begins {
    let mut end = at;
    for byte in secret {
        match letters.letter(end, layers) {
            Some(letter) if letter.byte == *byte => end = end.saturating_add(letter.length()),
            Some(_) => return Begins::Otherwise,
            None => return Begins::Perhaps,
        }
    }
    Begins::With(end.saturating_sub(at))
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
mod oracle;
#[cfg(test)]
mod tests;

/// Counts what is done for a text.
#[cfg(test)]
mod work {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count(steps: usize) {
        STEPS.set(STEPS.get() + steps);
    }

    pub(super) fn taken() -> usize {
        STEPS.take()
    }
}
