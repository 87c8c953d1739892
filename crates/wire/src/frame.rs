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
}
