//! Text that people typed or servers answered: content, kept out of every log.

use std::fmt;

use bytes::Bytes;

/// Statement or prompt text. `Debug` prints its length only; there is no `Display`.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Text {
    content: Bytes,
    left_out: usize,
}

impl Text {
    /// Wraps content.
    #[must_use]
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), left_out: 0 }
    }

    /// The beginning of a text of which the last bytes are left out: for recordings, and not for approval.
    ///
    /// The content ends with how many they are, for whoever reads it.
    #[must_use]
    pub fn beginning(mut content: String, left_out: usize) -> Self {
        if left_out > 0 {
            content.push_str(&format!(" [… {left_out} more bytes]"));
        }
        Self { content: content.into(), left_out }
    }

    /// The content, for a parser, a recording or an approver's screen.
    #[must_use]
    pub const fn content(&self) -> &Bytes {
        &self.content
    }

    /// Whether nothing is left out.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.left_out == 0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.content.len())
    }
}
