//! What an access does, in words that every protocol shares.

use std::fmt;

/// The closed set of effects; a policy about `read` covers protocols that do not exist yet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    Connect,
    Read,
    Write,
    Define,
    Administer,
    Execute,
    /// Could not be told: permitted only where a policy names it.
    Unknown,
}

impl Effect {
    /// Every effect, in the order the documentation lists them.
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Read, Self::Write, Self::Define, Self::Administer, Self::Execute, Self::Unknown];

    /// The name of the Cedar action group.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Write => "write",
            Self::Define => "define",
            Self::Administer => "administer",
            Self::Execute => "execute",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A verb of one protocol, such as `sql.read`; each is a constant in that protocol's [`crate::Schema`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Action {
    pub name: &'static str,
    pub effect: Effect,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
