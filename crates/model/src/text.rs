//! Text that people typed or servers answered: content, kept out of every log.

use std::fmt;

use bytes::Bytes;

/// Statement or prompt text. `Debug` prints its length only; there is no `Display`.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Text(Bytes);

impl Text {
    /// Wraps content.
    #[must_use]
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self(content.into())
    }

    /// The content, for a parser, a recording or an approver's screen.
    #[must_use]
    pub const fn content(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}
