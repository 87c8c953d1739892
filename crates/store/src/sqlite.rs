//! The embedded store.

mod approvals;
mod budgets;
mod edges;
mod objects;
mod schema;
mod sessions;
mod ssh_keys;
#[cfg(test)]
mod tests;
mod tokens;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_kernel::BoxFuture;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::StoreError;

/// How long a statement waits for another process's lock, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// A SQLite file: one connection writes, a few read.
#[derive(Clone, Debug)]
pub struct Sqlite {
    write: SqlitePool,
    read: SqlitePool,
}

impl Sqlite {
    /// Opens a store, making or migrating it where needed. Only its owner may read the file.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its journal the mode of the file, so the file must not be made by SQLite.
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A consumed approval must not come back after a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE);
        let write = pool().max_connections(1).connect_with(options.clone()).await?;
        schema::migrate(&write).await?;
        let read = pool().max_connections(READERS).connect_with(options.pragma("query_only", "on")).await?;
        Ok(Self { write, read })
    }

    /// Waits for what is under way and closes every connection.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A future of the store behind a trait object.
fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

fn to_json(value: &impl Serialize, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Unreadable(what))
}

fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(what))
}

/// SQLite's integers are signed; no counter gets near the difference.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(count).map_err(|_| StoreError::Unreadable(what))
}
