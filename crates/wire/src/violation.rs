//! What a peer did that its protocol forbids.

use thiserror::Error;

use crate::Side;

/// A protocol violation: the peer's fault, and the end of the flow.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the {side} broke the protocol: {what}")]
pub struct Violation {
    pub side: Side,
    /// A constant sentence; never content.
    pub what: &'static str,
}

impl Violation {
    /// A violation by the client.
    #[must_use]
    pub const fn client(what: &'static str) -> Self {
        Self { side: Side::Client, what }
    }

    /// A violation by the server.
    #[must_use]
    pub const fn server(what: &'static str) -> Self {
        Self { side: Side::Server, what }
    }
}
