//! Newtypes for ids, digests and times that could be confused.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One operation of one flow; [`OpId::CONNECT`] is the connection itself.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpId(pub u64);

impl OpId {
    /// The operation that `open` ruled on: protocol housekeeping travels under it.
    pub const CONNECT: Self = Self(0);

    /// The id after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One flow of a session, counted from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowId(pub u32);

/// Microseconds since 1970-01-01T00:00:00Z. Pure code is handed one, it never asks a clock.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// This moment plus a number of seconds, saturating.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests parts with their lengths, so that no two lists of parts collide by concatenation.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Lower-case hexadecimal form, 64 characters.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Digests whatever can be hashed: what `Hash` feeds it tells apart all that `Eq` does, each string with its end and each
/// list with its length.
#[derive(Default)]
pub(crate) struct Digesting(Sha256);

impl Digesting {
    pub(crate) fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks for so little of it.
    fn finish(&self) -> u64 {
        0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.hex())
    }
}

/// Why a string is not an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an id is 1 to 128 characters of A-Z a-z 0-9 . _ : @ - ")]
pub struct InvalidId;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and wraps an id: 1 to 128 characters of `A-Z a-z 0-9 . _ : @ -`.
            pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
                let id = id.as_ref();
                let fits = !id.is_empty() && id.len() <= 128;
                let clean = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@-".contains(&b));
                if fits && clean { Ok(Self(id.into())) } else { Err(InvalidId) }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use text_id;

text_id! {
    /// One session: a principal's stay at a target.
    SessionId
}
text_id! {
    /// One run of a command (`sluice run`): what joins the sessions that it has at several targets.
    RunId
}
text_id! {
    /// One request for approval, as people type it.
    HoldId
}
text_id! {
    /// One ruling, as refusals quote it.
    DecisionId
}
text_id! {
    /// The rule that decided, as the auditor sees it (`@id` of a policy, or a built-in).
    RuleId
}
text_id! {
    /// One minted token (`jti`), the handle of its revocation.
    TokenId
}
