//! Why a body is no document.

use thiserror::Error;

/// A body that is refused. The message names a place and never what stands there.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    /// One object has two members of the same name, compared after unescaping.
    #[error("the member at byte {at} repeats a name of its object")]
    DuplicateKey {
        /// Where the later name starts.
        at: usize,
    },
    /// Objects and arrays are nested deeper than the limit.
    #[error("the nesting at byte {at} is deeper than the limit")]
    Depth {
        /// Where the container that is too deep starts.
        at: usize,
    },
    /// There are more values and names than the limit.
    #[error("the value at byte {at} is one more than the limit")]
    Nodes {
        /// Where the value or name that is too many starts.
        at: usize,
    },
    /// The body is longer than the limit.
    #[error("the body goes on after byte {at}, which is the limit")]
    Size {
        /// The limit.
        at: usize,
    },
    /// The bytes are no UTF-8.
    #[error("byte {at} is no UTF-8")]
    Utf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// An escape is one half of a surrogate pair.
    #[error("the escape at byte {at} is half a surrogate pair")]
    Surrogate {
        /// Where its backslash is.
        at: usize,
    },
    /// The text is no JSON.
    #[error("byte {at} is not {expected}")]
    Syntax {
        /// The first byte that cannot stand there.
        at: usize,
        /// What can stand there, in constant words.
        expected: &'static str,
    },
}

impl Fault {
    /// The byte it was found at, from 0.
    #[must_use]
    pub const fn at(&self) -> usize {
        match *self {
            Self::DuplicateKey { at }
            | Self::Depth { at }
            | Self::Nodes { at }
            | Self::Size { at }
            | Self::Utf8 { at }
            | Self::Surrogate { at }
            | Self::Syntax { at, .. } => at,
        }
    }

    /// The stable word for it, as errors on the wire carry it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::Depth { .. } => "too_deep",
            Self::Nodes { .. } | Self::Size { .. } => "too_large",
            Self::Utf8 { .. } => "invalid_utf8",
            Self::Surrogate { .. } | Self::Syntax { .. } => "invalid_json",
        }
    }
}
