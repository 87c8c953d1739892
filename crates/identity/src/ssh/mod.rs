//! SSH keys and certificates: whose a key is, and which authorities may say so.
//!
//! The protocol has checked that the client holds the key (RFC 4252 §7); everything else about it is checked here.

mod authority;
mod certificate;
mod host_key;
mod key;
mod logins;
mod pair;
mod signature;
mod source;

#[cfg(test)]
mod tests;

pub use authority::{Authorities, AuthorityConfig};
pub use certificate::CertificateError;
pub use host_key::{HostKey, HostKeyError};
pub use key::{KeyError, PublicKey};
pub use logins::{SshKeys, SshLogins};
pub use pair::{NewKey, NoKey};
