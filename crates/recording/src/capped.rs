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
    /// How many bytes were kept.
    kept: u64,
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
        Self { room: cap_bytes, kept: 0, rest: None }
    }

    /// The part of a frame to write down: all of it, its first bytes, or nothing.
    pub fn keep<'a>(&mut self, frame: &'a [u8]) -> &'a [u8] {
        self.keep_up_to(u64::MAX, frame)
    }

    /// The same, with nothing of the frame beyond the first `most_bytes` of the operation.
    pub fn keep_up_to<'a>(&mut self, most_bytes: u64, frame: &'a [u8]) -> &'a [u8] {
        let room = self.room.min(most_bytes.saturating_sub(self.kept));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (kept, rest) = frame.split_at_checked(room).unwrap_or((frame, &[]));
        self.room = self.room.saturating_sub(kept.len() as u64);
        self.kept = self.kept.saturating_add(kept.len() as u64);
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
    fn what_nobody_reads_has_less_room_and_leaves_the_rest_to_others() {
        let mut capped = Capped::new(10);
        assert_eq!(capped.keep_up_to(4, b"012"), b"012");
        assert_eq!(capped.keep_up_to(4, b"345"), b"3");
        assert_eq!(capped.keep(b"6789abc"), b"6789ab");
        assert_eq!(capped.keep_up_to(4, b"d"), b"");
        let rest = capped.finish().unwrap();
        assert_eq!((rest.bytes, rest.digest), (4, Digest(Sha256::digest(b"45cd").into())));
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
