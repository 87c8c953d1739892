//! SSH public keys in SQLite. A key that was removed or has ended may be added again, also for somebody else.

use sluice_kernel::BoxFuture;
use sluice_model::{TokenId, UnixMicros};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::tokens::last;
use super::{Sqlite, boxed, from_json, to_json};
use crate::{Added, SshKeyRow, SshKeys, StoreError};

const SELECT: &str = "select ssh_keys.*, at as revoked from ssh_keys left join revocations \
                      on revocations.token = ssh_keys.token";

impl SshKeys for Sqlite {
    fn insert_ssh_key<'a>(&'a self, row: &'a SshKeyRow) -> BoxFuture<'a, Result<Added, StoreError>> {
        boxed(async move {
            // Immediate: no other process adds the same key between the look and the write.
            let mut change = self.write.begin_with("begin immediate").await?;
            let taken = sqlx::query(
                "select principal from ssh_keys where key = ? and expires > ? \
                 and not exists (select 1 from revocations where revocations.token = ssh_keys.token)",
            );
            let taken = taken.bind(&row.key).bind(row.created.0).fetch_optional(&mut *change).await?;
            if let Some(taken) = taken {
                let owner = from_json(taken.try_get("principal")?, "principal")?;
                return Ok(Added::Taken(Box::new(owner)));
            }
            let principal = to_json(&row.principal, "principal")?;
            sqlx::query("insert into tokens (id, kind, principal, created, expires, label) values (?, ?, ?, ?, ?, ?)")
                .bind(row.principal.token.as_str())
                .bind("ssh-key")
                .bind(&principal)
                .bind(row.created.0)
                .bind(row.principal.expires.0)
                .bind(&row.fingerprint)
                .execute(&mut *change)
                .await?;
            sqlx::query(
                "insert into ssh_keys (token, key, algorithm, fingerprint, comment, principal, created, expires) \
                 values (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(row.principal.token.as_str())
            .bind(&row.key)
            .bind(&row.algorithm)
            .bind(&row.fingerprint)
            .bind(&row.comment)
            .bind(&principal)
            .bind(row.created.0)
            .bind(row.principal.expires.0)
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(Added::New)
        })
    }

    fn list_ssh_keys(&self, limit: u32) -> BoxFuture<'_, Result<Vec<SshKeyRow>, StoreError>> {
        boxed(async move {
            // Every run has a key for a while: they would push those of people out of the list.
            let listed = "where at is null or json_extract(ssh_keys.principal, '$.run') is null";
            let query = sqlx::AssertSqlSafe(format!("{SELECT} {listed} order by ssh_keys.seq desc limit ?"));
            let rows = sqlx::query(query).bind(limit).fetch_all(&self.read).await?;
            rows.iter().map(ssh_key).collect()
        })
    }

    fn ssh_key<'a>(&'a self, id: &'a TokenId) -> BoxFuture<'a, Result<Option<SshKeyRow>, StoreError>> {
        boxed(async move {
            let query = sqlx::AssertSqlSafe(format!("{SELECT} where ssh_keys.token = ?"));
            let found = sqlx::query(query).bind(id.as_str()).fetch_optional(&self.read).await?;
            found.as_ref().map(ssh_key).transpose()
        })
    }

    fn ssh_keys_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<SshKeyRow>, i64), StoreError>> {
        boxed(async move {
            let query = sqlx::AssertSqlSafe(format!("{SELECT} where ssh_keys.seq > ? order by ssh_keys.seq"));
            let rows = sqlx::query(query).bind(cursor).fetch_all(&self.read).await?;
            let keys = rows.iter().map(ssh_key).collect::<Result<_, _>>()?;
            Ok((keys, last(&rows, cursor)?))
        })
    }
}

fn ssh_key(row: &SqliteRow) -> Result<SshKeyRow, StoreError> {
    let revoked: Option<i64> = row.try_get("revoked")?;
    Ok(SshKeyRow {
        principal: from_json(row.try_get("principal")?, "principal")?,
        key: row.try_get("key")?,
        algorithm: row.try_get("algorithm")?,
        fingerprint: row.try_get("fingerprint")?,
        comment: row.try_get("comment")?,
        created: UnixMicros(row.try_get("created")?),
        revoked: revoked.map(UnixMicros),
    })
}
