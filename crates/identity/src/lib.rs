//! Claims into principals: Sluice tokens and the JWTs of configured issuers, through one strict verifier.
//!
//! **Invariants:** `verify` is the only caller of `jsonwebtoken`; symmetric algorithms do not exist in [`Algorithm`];
//! time enters as an argument; no error carries a token, a claim or a key.

mod algorithm;
mod authority;
mod cache;
mod error;
mod fetch;
mod identity;
mod issuer;
mod json;
mod keys;
mod keyset;
mod mint;
mod revocation;
mod scram;
mod ssh;
mod tls;
mod token;
mod verify;
mod vouch;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod testing;

pub use algorithm::Algorithm;
pub use error::{ConfigError, KeysError, MintError, SetupError, TokenError};
pub use identity::Identity;
pub use issuer::{IssuerConfig, Kind};
pub use keys::Keys;
pub use mint::{Lifetimes, MintRequest, mint};
pub use revocation::{Revocations, RevokedTokens};
pub use scram::{Iterations, ScramLogin, ScramLogins, ScramSecrets, ScramVerifier};
pub use ssh::{
    Authorities, AuthorityConfig, CertificateError, HostKey, HostKeyError, KeyError, NewKey, NoKey, PublicKey, SshKeys,
    SshLogins,
};
pub use tls::{ClientAuthorities, ClientAuthorityConfig, Subject};
