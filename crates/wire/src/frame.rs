//! One unit of a protocol, as it stands on the wire.

use std::fmt;

/// The two sides of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A frame: what is sent is what is recorded.
pub trait Frame: Send {
    /// Its exact bytes on the wire. A frame may stand for a run of adjacent protocol messages.
    fn wire(&self) -> &[u8];

    /// How much of it is written down.
    fn kept(&self) -> Kept {
        Kept::UpToLimit
    }
}

/// How much of a frame a recording keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// What the limit of its operation leaves room for; the rest is counted and hashed.
    UpToLimit,
    /// All of it, whatever the limit is: a terminal cannot be shown again with a hole in it.
    Whole,
    /// The same as up to the limit, but with a lower limit: it is one of many that nobody reads.
    Bulk,
    /// Nothing: it is counted. Not hashed, for a hash of what somebody types tells it to whoever guesses.
    Counted,
}
