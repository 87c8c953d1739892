//! Covers values in what is read from a file, in whatever order and sizes it is read.
//!
//! **Invariant:** what is read is what the whole file covered at once gives. A read is widened by the cover's reach on both
//! sides, covered, and cut to what was asked; the stand-in is as long as the value, so no offset moves. Where nothing in that
//! is suspected it need not be covered, and is shown as it came.
//!
//! **Limit:** who may write to a file can change a value until no detector knows it. A handle for both is refused; that a
//! covered file is not written to through another handle is for policy to say.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sluice_mask::{Detectors, Watch, blot, is_clear};
use sluice_model::Tag;

/// Covers values in place.
pub trait Cover: fmt::Debug + Send + Sync {
    /// How far from a byte the bytes can be that decide whether it is covered.
    fn reach(&self) -> usize;

    /// Covers every value of a window, and tells the classes of what was found.
    fn cover(&self, window: &mut [u8]) -> BTreeSet<Tag>;

    /// A look at what is read in order, which tells where windows need be covered.
    fn lookout(&self) -> Box<dyn Lookout>;
}

/// Looks at each byte of what is read in order once.
///
/// **Invariant:** of every byte that is covered, a part within the cover's reach is suspected, however parts are cut.
pub trait Lookout: fmt::Debug + Send {
    /// Reads the next part; tells whether there is a reason to cover what lies around it.
    fn suspects(&mut self, part: &[u8]) -> bool;
}

impl Lookout for sluice_mask::Lookout {
    fn suspects(&mut self, part: &[u8]) -> bool {
        Self::suspects(self, part)
    }
}

/// Half as much again as the longest value of a detector, a private key of 16 KiB.
const REACH: usize = 24 << 10;

/// Puts stars in the place of what detectors find.
///
/// **Limit:** of a value that is longer than the reach, what lies farther from its beginning is not covered.
#[derive(Clone)]
pub struct Stars {
    set: Arc<Detectors>,
    watch: Watch,
}

impl Stars {
    /// Stars for the watched values of a set.
    #[must_use]
    pub const fn new(set: Arc<Detectors>, watch: Watch) -> Self {
        Self { set, watch }
    }
}

impl fmt::Debug for Stars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stars").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Cover for Stars {
    fn reach(&self) -> usize {
        REACH
    }

    fn cover(&self, window: &mut [u8]) -> BTreeSet<Tag> {
        let mut tags = BTreeSet::new();
        if is_clear(&self.set, self.watch, window) {
            return tags;
        }
        let mut covered: Vec<u8> = Vec::with_capacity(window.len());
        match str::from_utf8(window) {
            Ok(text) => self.add(text, &mut tags, &mut covered),
            // Bytes that are no text are no part of a value either.
            Err(_) => window.utf8_chunks().for_each(|chunk| {
                self.add(chunk.valid(), &mut tags, &mut covered);
                covered.extend_from_slice(chunk.invalid());
            }),
        }
        // INVARIANT: each text was taken over with its length.
        debug_assert_eq!(covered.len(), window.len());
        for (place, byte) in window.iter_mut().zip(covered) {
            *place = byte;
        }
        tags
    }

    fn lookout(&self) -> Box<dyn Lookout> {
        Box::new(sluice_mask::Lookout::new(Arc::clone(&self.set), self.watch))
    }
}

impl Stars {
    /// Appends a text with its values covered.
    fn add(&self, text: &str, tags: &mut BTreeSet<Tag>, covered: &mut Vec<u8>) {
        let mut out = String::with_capacity(text.len());
        tags.extend(blot(&self.set, self.watch, text, &mut out));
        if out.len() == text.len() {
            covered.extend_from_slice(out.as_bytes());
        } else {
            // Offsets must not move, whatever happens: nothing of this text is shown.
            covered.extend(std::iter::repeat_n(b'*', text.len()));
        }
    }
}
