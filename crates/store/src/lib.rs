//! Sessions, tokens, approvals and budgets in SQLite; recordings on disk; the kernel's ports `Keep` and `Approve` over
//! both.
//!
//! **Invariant:** a failure here refuses or ends a session. Nothing falls back to going on without a record.

mod approvals;
mod budgets;
mod edges;
mod holds;
mod keep;
mod objects;
mod recordings;
mod sessions;
mod sqlite;
mod ssh_keys;
mod tokens;

use thiserror::Error;

pub use approvals::{Approvals, HoldFilter, HoldRow, MAX_OPEN_HOLDS, NotCounted, State, Tally, Vote};
pub use budgets::Budgets;
pub use edges::{Confidence, Edge, Edges, Place, Tie};
pub use holds::Holds;
pub use keep::Keeper;
pub use objects::Owned;
pub use recordings::{
    Archive, ArchiveReport, Checked, Limits, LocalDisk, RecordingError, RecordingFile, Recordings, Recovered,
};
pub use sessions::{SessionEnd, SessionFilter, SessionRow, SessionStart, Sessions};
pub use sqlite::Sqlite;
pub use ssh_keys::{Added, SshKeyRow, SshKeys};
pub use tokens::{Revoked, ScramSecret, TokenRow, Tokens};

/// What the broker keeps besides recordings, as operations of its domain.
pub trait Store: Sessions + Tokens + SshKeys + Approvals + Budgets + Edges + Owned {}

impl<T: Sessions + Tokens + SshKeys + Approvals + Budgets + Edges + Owned> Store for T {}

/// The store could not do what it was asked for.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the store failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the store's file could not be made: {0}")]
    File(#[from] std::io::Error),
    /// A row is not what this program writes.
    #[error("the store holds a {0} that cannot be read")]
    Unreadable(&'static str),
    #[error("the store has schema version {found}; this program knows versions up to {known}")]
    FromTheFuture { found: i64, known: i64 },
}
