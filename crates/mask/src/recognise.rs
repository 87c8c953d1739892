//! What makes text of the right shape a value: check digits, grouping, words that stand near.

mod account;
mod digits;
mod number;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::fold::{LETTER, Whole};

#[cfg(test)]
pub(crate) use account::COUNTRIES;
pub(crate) use account::{card, iban};
pub(crate) use number::{phone, ssn};

/// How a detector judges text of its shape.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// The shape is enough.
    Nothing,
    /// Judges by the end of the value alone: the answer does not depend on where the value begins.
    Ending(fn(&Sight<'_>) -> bool),
    /// Judges by the whole value.
    Whole(fn(&Sight<'_>) -> bool),
}

impl Check {
    pub(crate) fn accepts(self, sight: &Sight<'_>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Ending(accepts) | Self::Whole(accepts) => accepts(sight),
        }
    }

    /// Whether two beginnings that reach the same state have the same ends.
    pub(crate) const fn forgets_beginnings(self) -> bool {
        match self {
            Self::Nothing | Self::Ending(_) => true,
            Self::Whole(_) => false,
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Ending(_) => "Ending",
            Self::Whole(_) => "Whole",
        })
    }
}

/// Folded text of the right shape, and what stands around it.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) value: &'a [u8],
    /// At most as many bytes as the view keeps.
    pub(crate) before: &'a [u8],
    pub(crate) after: Option<u8>,
    /// Invisible characters stand inside.
    pub(crate) hides: bool,
    /// A control sequence ends right before the value or with its first byte.
    pub(crate) parts: bool,
    /// The control sequences that end in `before`.
    pub(crate) sequences: &'a [Whole],
    /// The position of the value.
    pub(crate) start: usize,
}

impl Sight<'_> {
    /// Whether neither a letter nor a digit stands beside the value.
    fn alone(&self) -> bool {
        let joined = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        (self.parts || !joined(self.before.last())) && !joined(self.after.as_ref())
    }

    /// Whether a control sequence ends right before a byte of what stands before the value, or with it.
    fn follows_a_sequence(&self, index: usize) -> bool {
        let position = self.start.saturating_sub(self.before.len()).saturating_add(index);
        self.sequences.iter().any(|whole| whole.end == position || whole.end.saturating_add(1) == position)
    }

    /// Whether one of these words stands within so many bytes before the value, and is no part of a longer one. Words
    /// are lower case and begin with a letter.
    fn near(&self, words: &[&str], bytes: usize) -> bool {
        let from = self.before.len().saturating_sub(bytes);
        // In columns of numbers there is no letter at all.
        if !self.before.get(from..).unwrap_or_default().iter().any(u8::is_ascii_alphabetic) {
            return false;
        }
        let mut before = None;
        (from..self.before.len()).any(|at| {
            let tail = self.before.get(at..).unwrap_or_default();
            let Some(first) = tail.first() else { return false };
            let inside = before.replace(*first).is_some_and(|byte: u8| byte.is_ascii_alphanumeric());
            let begins_word = || !inside || self.follows_a_sequence(at);
            first.is_ascii_alphabetic() && begins_word() && words.iter().any(|word| begins(tail, word.as_bytes()))
        })
    }
}

/// Whether a text begins with a word that does not go on.
fn begins(text: &[u8], word: &[u8]) -> bool {
    let same = text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    same && !text.get(word.len()).is_some_and(u8::is_ascii_alphabetic)
}

/// Whether no letter or digit follows.
pub(crate) fn standalone(sight: &Sight<'_>) -> bool {
    !sight.after.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// A mail address, but not the login of a repository such as `git@host.example:group/project`.
pub(crate) fn address(sight: &Sight<'_>) -> bool {
    match sight.after {
        Some(b':') => !login(sight),
        Some(byte) => !byte.is_ascii_alphabetic() && byte != LETTER,
        None => true,
    }
}

fn login(sight: &Sight<'_>) -> bool {
    let at = sight.value.iter().rposition(|byte| *byte == b'@').unwrap_or_default();
    let local = sight.value.get(..at).unwrap_or_default();
    let mut back = local.iter().rev().chain(sight.before.iter().rev());
    let git = back.by_ref().take(3).eq(b"tig");
    git && !back.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte) || *byte == LETTER)
}
