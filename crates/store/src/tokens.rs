//! Minted credentials and their revocation.

use std::fmt;

use sluice_kernel::BoxFuture;
use sluice_model::{Principal, TokenId, UnixMicros};

use crate::StoreError;

/// What is kept of a minted token; never the token.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct TokenRow {
    pub id: TokenId,
    /// The form it was minted in, such as `jwt` or `scram`.
    pub kind: String,
    pub principal: Principal,
    pub created: UnixMicros,
    pub expires: UnixMicros,
    pub label: Option<String>,
    pub revoked: Option<UnixMicros>,
}

/// One revocation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    pub token: TokenId,
    /// When the token would have ended by itself; `None` if it was minted elsewhere.
    pub expires: Option<UnixMicros>,
}

/// What a server keeps of a password (RFC 5802 §3): enough to check a proof, not to make one.
#[derive(Clone, Eq, PartialEq)]
pub struct ScramSecret {
    pub user: String,
    pub principal: Principal,
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
    pub expires: UnixMicros,
    pub revoked: bool,
}

impl fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramSecret").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Operations on tokens.
pub trait Tokens: Send + Sync {
    /// Writes down a minted token.
    fn insert_token<'a>(&'a self, token: &'a TokenRow) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes down that a credential is made with another, before it is given out: it is revoked with that one, which may
    /// be one that was minted elsewhere.
    fn descend<'a>(&'a self, token: &'a TokenId, parent: &'a TokenId) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Revokes a token, also one that was minted elsewhere, and everything that was made with it; `false` if it was revoked
    /// before.
    fn revoke_token<'a>(&'a self, id: &'a TokenId, now: UnixMicros) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The newest tokens that were minted here.
    fn list_tokens(&self, limit: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>>;

    /// Whether a token was revoked.
    fn is_revoked<'a>(&'a self, id: &'a TokenId) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The tokens revoked after a cursor, and the next cursor; begin with 0.
    fn revoked_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<Revoked>, i64), StoreError>>;

    /// Writes down the SCRAM secret of a user. Its revocation is that of its principal's token.
    fn insert_scram<'a>(&'a self, secret: &'a ScramSecret) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The SCRAM secret of a user, revoked and expired ones too.
    fn scram<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Option<ScramSecret>, StoreError>>;

    /// The SCRAM secrets added after a cursor, and the next cursor; begin with 0.
    fn scrams_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<ScramSecret>, i64), StoreError>>;
}
