//! Leases of target credentials from configured sources.
//!
//! **Invariants:** a secret is read anew for every lease, so rotation needs no restart; no error carries one; what
//! cannot be read, or could have been read by others, is refused.

mod source;
mod vault;

pub use source::{InvalidSource, SecretError, SecretSource};
pub use vault::{Lending, Missing, Vault};
