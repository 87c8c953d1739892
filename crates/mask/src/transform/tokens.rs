//! Tokens and the values they stand for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::fold::{Rest, View};
use crate::sieve::{Cover, Found};

/// The most bytes of tokens and values that are kept.
const MOST_BYTES: usize = 4 << 20;

/// The values behind the tokens of one conversation; the oldest goes first when there are too many.
pub struct Tokens {
    values: HashMap<Arc<str>, Box<str>>,
    order: VecDeque<Arc<str>>,
    most: usize,
    bytes: usize,
}

impl Tokens {
    /// Keeps at most so many values, and at most 4 MiB of them.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), most, bytes: 0 }
    }

    /// Notes the value behind a token. A token that is known keeps its place.
    pub fn note(&mut self, token: &str, value: &str) {
        let size = token.len().saturating_add(value.len());
        if self.most == 0 || size > MOST_BYTES || self.values.contains_key(token) {
            return;
        }
        while self.order.len() >= self.most || self.bytes.saturating_add(size) > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            let value = self.values.remove(&oldest);
            let freed = oldest.len().saturating_add(value.map_or(0, |value| value.len()));
            self.bytes = self.bytes.saturating_sub(freed);
        }
        let token: Arc<str> = token.into();
        self.values.insert(Arc::clone(&token), value.into());
        self.order.push_back(token);
        self.bytes = self.bytes.saturating_add(size);
    }

    /// The value behind a token as somebody wrote it down: case and invisible characters do not count.
    #[must_use]
    pub fn value(&self, token: &str) -> Option<&str> {
        let mut view = View::default();
        view.push(token, Rest::Ends);
        let token = view.slice(0, view.end()).to_ascii_lowercase();
        self.values.get(str::from_utf8(&token).ok()?).map(AsRef::as_ref)
    }

    /// Puts values back in the place of their tokens; a token nobody noted stays as it is.
    #[must_use]
    pub const fn restore(&self) -> Restore<'_> {
        Restore { tokens: self }
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no value is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} values)", self.len())
    }
}

/// The way back from tokens to values, for a sieve over [`Detectors::tokens`](crate::Detectors::tokens).
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    tokens: &'a Tokens,
}

impl Cover for Restore<'_> {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        out.push_str(self.tokens.value(found.text()).unwrap_or(found.text()));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{Detectors, scrub};

    const TOKEN: &str = "tok-email-abcdefghijkl2";

    fn restored(tokens: &Tokens, text: &str) -> String {
        let mut out = String::new();
        let set = Detectors::tokens().unwrap();
        scrub(&set, set.everything(), text, &mut tokens.restore(), &mut out);
        out
    }

    #[test]
    fn tokens_are_found_as_models_write_them() {
        let mut tokens = Tokens::new(4);
        tokens.note(TOKEN, "a@b.example");
        for (text, expected) in [
            ("tok-email-abcdefghijkl2", "a@b.example"),
            ("Write to `tok-email-abcdefghijkl2`.", "Write to `a@b.example`."),
            ("_tok-email-abcdefghijkl2_, tok-email-abcdefghijkl2's", "_a@b.example_, a@b.example's"),
            ("Tok-Email-ABCDEFGHIJKL2!", "a@b.example!"),
            ("tok\\-email\\-abcdefghijkl2", "a@b.example"),
            ("tok‑email‑abcdefghijkl2", "a@b.example"),
            ("tok-email-abcdefghijkl3", "tok-email-abcdefghijkl3"),
            ("tok-email-abcdefghijkl2x", "tok-email-abcdefghijkl2x"),
            ("stok-email-abcdefghijkl2", "stok-email-abcdefghijkl2"),
            ("tok-email-abcdefghijkl", "tok-email-abcdefghijkl"),
        ] {
            assert_eq!(restored(&tokens, text), expected);
        }
    }

    #[test]
    fn the_oldest_value_goes_first() {
        let mut tokens = Tokens::new(2);
        for (token, value) in [("a", "1"), ("b", "2"), ("a", "1"), ("c", "3")] {
            tokens.note(token, value);
        }
        assert_eq!((tokens.value("a"), tokens.value("b"), tokens.value("c")), (None, Some("2"), Some("3")));
        let large = "x".repeat(3 << 20);
        tokens.note("d", &large);
        tokens.note("e", &large);
        assert_eq!((tokens.len(), tokens.value("d"), tokens.value("e").map(str::len)), (1, None, Some(large.len())));
        let mut none = Tokens::new(0);
        none.note("a", "1");
        assert!(none.is_empty());
    }

    #[test]
    fn values_are_in_no_debug_output() {
        let mut tokens = Tokens::new(2);
        tokens.note("a", "secret");
        assert_eq!(format!("{tokens:?}"), "Tokens(1 values)");
    }
}
