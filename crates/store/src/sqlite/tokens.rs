//! Tokens in SQLite. A revocation is a row of its own, so that tokens minted elsewhere can be revoked too.

use sluice_kernel::BoxFuture;
use sluice_model::{TokenId, UnixMicros};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Sqlite, boxed, from_json, to_json};
use crate::{Revoked, ScramSecret, StoreError, TokenRow, Tokens};

impl Tokens for Sqlite {
    fn insert_token<'a>(&'a self, token: &'a TokenRow) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            sqlx::query("insert into tokens (id, kind, principal, created, expires, label) values (?, ?, ?, ?, ?, ?)")
                .bind(token.id.as_str())
                .bind(&token.kind)
                .bind(to_json(&token.principal, "principal")?)
                .bind(token.created.0)
                .bind(token.expires.0)
                .bind(&token.label)
                .execute(&self.write)
                .await?;
            Ok(())
        })
    }

    fn descend<'a>(&'a self, token: &'a TokenId, parent: &'a TokenId) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            sqlx::query("insert into descents (token, parent) values (?, ?)")
                .bind(token.as_str())
                .bind(parent.as_str())
                .execute(&mut *change)
                .await?;
            // Whoever revoked the parent a moment ago has revoked this one.
            sqlx::query(
                "insert into revocations (token, at) select ?1, at from revocations where token = ?2 \
                 on conflict (token) do nothing",
            )
            .bind(token.as_str())
            .bind(parent.as_str())
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(())
        })
    }

    fn revoke_token<'a>(&'a self, id: &'a TokenId, now: UnixMicros) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            let done = sqlx::query("insert into revocations (token, at) values (?, ?) on conflict (token) do nothing")
                .bind(id.as_str())
                .bind(now.0)
                .execute(&mut *change)
                .await?;
            sqlx::query(
                "with recursive fallen (token) as \
                 (select token from descents where parent = ?1 \
                 union select descents.token from descents join fallen on descents.parent = fallen.token) \
                 insert into revocations (token, at) select token, ?2 from fallen where true \
                 on conflict (token) do nothing",
            )
            .bind(id.as_str())
            .bind(now.0)
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn list_tokens(&self, limit: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>> {
        boxed(async move {
            let rows = sqlx::query(
                "select tokens.*, at as revoked from tokens left join revocations on token = tokens.id \
                 order by created desc, id desc limit ?",
            )
            .bind(limit)
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(token).collect()
        })
    }

    fn is_revoked<'a>(&'a self, id: &'a TokenId) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let query = sqlx::query("select 1 from revocations where token = ?").bind(id.as_str());
            Ok(query.fetch_optional(&self.read).await?.is_some())
        })
    }

    fn revoked_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<Revoked>, i64), StoreError>> {
        boxed(async move {
            let rows = sqlx::query(
                "select seq, token, expires from revocations left join tokens on id = token where seq > ? order by seq",
            )
            .bind(cursor)
            .fetch_all(&self.read)
            .await?;
            let revoked = rows.iter().map(revoked).collect::<Result<_, _>>()?;
            Ok((revoked, last(&rows, cursor)?))
        })
    }

    fn insert_scram<'a>(&'a self, secret: &'a ScramSecret) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            sqlx::query(
                "insert into scram_secrets (user, token, principal, salt, iterations, stored_key, server_key, \
                 expires) values (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&secret.user)
            .bind(secret.principal.token.as_str())
            .bind(to_json(&secret.principal, "principal")?)
            .bind(&secret.salt)
            .bind(secret.iterations)
            .bind(&secret.stored_key[..])
            .bind(&secret.server_key[..])
            .bind(secret.expires.0)
            .execute(&self.write)
            .await?;
            Ok(())
        })
    }

    fn scram<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Option<ScramSecret>, StoreError>> {
        boxed(async move {
            let query = sqlx::query(
                "select scram_secrets.*, at is not null as revoked from scram_secrets \
                 left join revocations on revocations.token = scram_secrets.token where user = ?",
            );
            query.bind(user).fetch_optional(&self.read).await?.as_ref().map(scram).transpose()
        })
    }

    fn scrams_since(&self, cursor: i64) -> BoxFuture<'_, Result<(Vec<ScramSecret>, i64), StoreError>> {
        boxed(async move {
            let rows = sqlx::query(
                "select scram_secrets.*, at is not null as revoked from scram_secrets \
                 left join revocations on revocations.token = scram_secrets.token \
                 where scram_secrets.seq > ? order by scram_secrets.seq",
            )
            .bind(cursor)
            .fetch_all(&self.read)
            .await?;
            let secrets = rows.iter().map(scram).collect::<Result<_, _>>()?;
            Ok((secrets, last(&rows, cursor)?))
        })
    }
}

/// The cursor after some rows.
pub(super) fn last(rows: &[SqliteRow], cursor: i64) -> Result<i64, StoreError> {
    Ok(rows.last().map(|row| row.try_get("seq")).transpose()?.unwrap_or(cursor))
}

fn revoked(row: &SqliteRow) -> Result<Revoked, StoreError> {
    let expires: Option<i64> = row.try_get("expires")?;
    Ok(Revoked { token: token_id(row, "token")?, expires: expires.map(UnixMicros) })
}

fn token(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let revoked: Option<i64> = row.try_get("revoked")?;
    Ok(TokenRow {
        id: token_id(row, "id")?,
        kind: row.try_get("kind")?,
        principal: from_json(row.try_get("principal")?, "principal")?,
        created: UnixMicros(row.try_get("created")?),
        expires: UnixMicros(row.try_get("expires")?),
        label: row.try_get("label")?,
        revoked: revoked.map(UnixMicros),
    })
}

fn scram(row: &SqliteRow) -> Result<ScramSecret, StoreError> {
    let key = |name: &str| {
        let bytes: &[u8] = row.try_get(name)?;
        <[u8; 32]>::try_from(bytes).map_err(|_| StoreError::Unreadable("secret"))
    };
    Ok(ScramSecret {
        user: row.try_get("user")?,
        principal: from_json(row.try_get("principal")?, "principal")?,
        salt: row.try_get("salt")?,
        iterations: row.try_get("iterations")?,
        stored_key: key("stored_key")?,
        server_key: key("server_key")?,
        expires: UnixMicros(row.try_get("expires")?),
        revoked: row.try_get("revoked")?,
    })
}

fn token_id(row: &SqliteRow, column: &str) -> Result<TokenId, StoreError> {
    TokenId::new(row.try_get::<&str, _>(column)?).map_err(|_| StoreError::Unreadable("token"))
}
