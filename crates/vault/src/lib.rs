//! Leases of target credentials from configured sources.
//!
//! **Invariants:** a secret is read anew for every lease, so rotation needs no restart, but for what a command printed and
//! may be kept; no error carries one; what cannot be read, or could have been read by others, is refused.

mod aside;
mod command;
mod source;
mod vault;

pub use command::TokenCommand;
pub use source::{InvalidSource, SecretError, SecretSource};
pub use vault::{Lending, Login, Missing, Vault};
