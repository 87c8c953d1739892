//! What is wrong with a request before policy is asked.

/// A request that is refused as it stands. Its words are constant: nothing a client sent is in them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Flaw {
    pub(crate) status: u16,
    /// Stable, for programs.
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

impl Flaw {
    pub(crate) const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// 400.
    pub(crate) const fn malformed(message: &'static str) -> Self {
        Self::new(400, "malformed_request", message)
    }
}
