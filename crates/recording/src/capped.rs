//! How much of one operation's frames is written down.

use sha2::{Digest as _, Sha256};
use sluice_model::Digest;

/// How many bytes of one operation are recorded where nothing else is asked for.
pub const DEFAULT_CAP_BYTES: u64 = 1 << 20;

/// Keeps the first bytes of an operation, then counts and hashes the rest. One per operation and direction.
#[derive(Debug)]
pub struct Capped {
    /// How many bytes are still kept.
    room: u64,
    /// Few operations are cut, and a hash at work is large.
    rest: Option<Box<Passing>>,
}

/// What passed after the cap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rest {
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub digest: Digest,
}

#[derive(Debug, Default)]
struct Passing {
    bytes: u64,
    hash: Sha256,
}

impl Capped {
    /// Keeps the first `cap_bytes`.
    #[must_use]
    pub const fn new(cap_bytes: u64) -> Self {
        Self { room: cap_bytes, rest: None }
    }

    /// The part of a frame to write down: all of it, its first bytes, or nothing.
    pub fn keep<'a>(&mut self, frame: &'a [u8]) -> &'a [u8] {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let (kept, rest) = frame.split_at_checked(room).unwrap_or((frame, &[]));
        self.room = self.room.saturating_sub(kept.len() as u64);
        if !rest.is_empty() {
            let passing = self.rest.get_or_insert_default();
            passing.bytes = passing.bytes.saturating_add(rest.len() as u64);
            passing.hash.update(rest);
        }
        kept
    }

    /// What was not kept, if anything, for a `cut` event.
    #[must_use]
    pub fn finish(self) -> Option<Rest> {
        self.rest.map(|passing| Rest { bytes: passing.bytes, digest: Digest(passing.hash.finalize().into()) })
    }
}

impl Default for Capped {
    fn default() -> Self {
        Self::new(DEFAULT_CAP_BYTES)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keeps_everything_up_to_the_cap_and_says_nothing() {
        for len in [0, 9, 10] {
            let mut capped = Capped::new(10);
            assert_eq!(capped.keep(&vec![7; len]).len(), len);
            assert_eq!(capped.finish(), None, "{len} bytes");
        }
    }

    #[test]
    fn counts_and_hashes_what_passes_the_cap() {
        let mut capped = Capped::new(10);
        assert_eq!(capped.keep(b"0123456"), b"0123456");
        assert_eq!(capped.keep(b"789ab"), b"789");
        assert_eq!(capped.keep(b"cd"), b"");
        let rest = capped.finish().unwrap();
        assert_eq!(rest.bytes, 4);
        assert_eq!(rest.digest, Digest(Sha256::digest(b"abcd").into()));
    }
}
