//! A body that is read before it is looked at.

use bytes::{Bytes, BytesMut};

/// A body that is put together from pieces, up to a limit.
#[derive(Debug)]
pub(crate) struct Gathered {
    bytes: BytesMut,
    limit: usize,
}

impl Gathered {
    pub(crate) fn new(limit: u64) -> Self {
        Self { bytes: BytesMut::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Adds a piece; false where it is one too many.
    #[must_use]
    pub(crate) fn push(&mut self, piece: &[u8]) -> bool {
        let fits = self.bytes.len().saturating_add(piece.len()) <= self.limit;
        if fits {
            self.bytes.extend_from_slice(piece);
        }
        fits
    }

    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}
