//! Errors, by whom they blame.

use std::io;
use std::path::PathBuf;

use sluice_model::{Code, Refusal};
use thiserror::Error;

/// Why a token was not believed: for the operator's log, never for the client.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TokenError {
    #[error("larger than 16 KiB")]
    TooLarge,
    #[error("not three parts of base64url JSON with unique names")]
    Malformed,
    #[error("a header member that is not accepted")]
    Header,
    #[error("not of an accepted type")]
    Type,
    #[error("the issuer is not configured")]
    UnknownIssuer,
    #[error("the algorithm is not accepted for the issuer and key")]
    Algorithm,
    #[error("no key of the issuer has this id")]
    UnknownKey,
    #[error("the issuer's keys cannot be read")]
    KeysUnavailable,
    #[error("the signature does not hold")]
    Signature,
    #[error("a claim is missing or has the wrong shape")]
    Claims,
    #[error("for another audience")]
    Audience,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYetValid,
    #[error("valid for longer than the issuer may grant")]
    Lifetime,
    #[error("the subject cannot name a principal")]
    Subject,
    #[error("the groups are missing or cannot be represented")]
    Groups,
    #[error("revoked")]
    Revoked,
}

impl TokenError {
    /// What the client reads: enough for an honest user, the same sentence for every kind of forgery.
    pub(crate) fn refusal(self) -> Refusal {
        let deny = |rule, message| Refusal::builtin(Code::Unauthenticated, rule, message);
        match self {
            Self::TooLarge | Self::Malformed | Self::Header | Self::Type | Self::Claims => {
                deny("identity.malformed", "the token is malformed")
                    .with_hint("sign in with a Sluice token or a token of a configured issuer")
            }
            Self::UnknownIssuer => deny("identity.issuer", "the issuer of the token is not known"),
            Self::Algorithm | Self::UnknownKey | Self::Signature => deny("identity.invalid", "the token is not valid"),
            Self::KeysUnavailable => Refusal::builtin(
                Code::Unavailable,
                "identity.keys",
                "the token cannot be checked because the keys of its issuer cannot be read",
            ),
            Self::Audience => deny("identity.audience", "the token is for another audience"),
            Self::Expired => deny("identity.expired", "the token has expired").with_hint("sign in again"),
            Self::NotYetValid => {
                deny("identity.not-yet-valid", "the token is not valid yet").with_hint("check the clocks")
            }
            Self::Lifetime => deny("identity.lifetime", "the token is valid for longer than its issuer may grant"),
            Self::Subject => deny("identity.subject", "the subject of the token cannot be used"),
            Self::Groups => deny("identity.groups", "the groups of the token are missing or cannot be used"),
            Self::Revoked => {
                Refusal::builtin(Code::Revoked, "identity.revoked", "the token was revoked").with_hint("sign in again")
            }
        }
    }
}

/// What is wrong with a configured issuer, by field.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("issuer `{issuer}`: `{field}` {reason}")]
pub struct ConfigError {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Why identities cannot be checked at all.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Every mistake at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Issuers(Vec<ConfigError>),
    #[error("the TLS client cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why the broker's signing key cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    #[error("the signing key `{}` cannot be read or written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the signing key `{}` can be read by others; make it readable by its owner only (mode 0600)", .0.display())]
    Exposed(PathBuf),
    #[error("`{}` is not an Ed25519 key in PKCS#8 form", .0.display())]
    NotAKey(PathBuf),
    #[error("no key could be generated")]
    Generate,
}

/// Why a token was not minted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum MintError {
    #[error("a token lives from 1 to {maximum_seconds} seconds")]
    Lifetime { maximum_seconds: u32 },
    #[error("a name is 1 to 320 printable ASCII characters without leading or trailing spaces")]
    Name,
    #[error("a purpose is at most 500 characters without control characters")]
    Purpose,
    #[error("a scope names at least one target; leave it out for a token that is not scoped")]
    EmptyScope,
    #[error("the groups and targets do not fit in a token of 16 KiB")]
    TooLarge,
    #[error("the token could not be signed")]
    Sign,
    #[error("the system has no randomness to give")]
    Randomness,
}
