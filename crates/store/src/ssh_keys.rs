//! SSH public keys and whose they are.

use sluice_kernel::BoxFuture;
use sluice_model::{Principal, TokenId, UnixMicros};

use crate::StoreError;

/// One public key of a principal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SshKeyRow {
    /// Who signs in by it, until when, and by which handle it is revoked.
    pub principal: Principal,
    /// In the encoding of RFC 4253 §6.6.
    pub key: Vec<u8>,
    /// Its type, fingerprint and comment, for people.
    pub algorithm: String,
    pub fingerprint: String,
    pub comment: String,
    pub created: UnixMicros,
    pub revoked: Option<UnixMicros>,
}

/// What became of a key that was to be added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Added {
    /// It signs in from now on.
    New,
    /// It counts already, for this principal.
    Taken(Box<Principal>),
}

/// Operations on SSH public keys.
pub trait SshKeys: Send + Sync {
    /// Writes down a key and its handle among the tokens, unless it counts for somebody at `row.created`.
    fn insert_ssh_key<'a>(&'a self, row: &'a SshKeyRow) -> BoxFuture<'a, Result<Added, StoreError>>;

    /// The newest keys, removed and expired ones too, except removed ones of runs.
    fn list_ssh_keys(&self, limit: u32) -> BoxFuture<'_, Result<Vec<SshKeyRow>, StoreError>>;

    /// A key by its handle.
    fn ssh_key<'a>(&'a self, id: &'a TokenId) -> BoxFuture<'a, Result<Option<SshKeyRow>, StoreError>>;

    /// The keys added after a cursor, and the next cursor; begin with 0.
    fn ssh_keys_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<SshKeyRow>, i64), StoreError>>;
}
