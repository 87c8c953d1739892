//! Sessions in SQLite.

use sluice_kernel::BoxFuture;
use sluice_model::{Environment, Part, RunId, SessionId, TargetName, UnixMicros};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Sqlite, boxed, from_json, signed, to_json, unsigned};
use crate::{SessionEnd, SessionFilter, SessionRow, SessionStart, Sessions, StoreError};

impl Sessions for Sqlite {
    fn open_session<'a>(&'a self, start: &'a SessionStart) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            sqlx::query(
                "insert into sessions (id, principal, person, target, environment, protocol, client, policy_epoch, \
                 opened, run, part) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(start.id.as_str())
            .bind(to_json(&start.principal, "principal")?)
            .bind(start.principal.person().map(|person| person.name.as_str()))
            .bind(start.target.as_str())
            .bind(start.environment.as_str())
            .bind(&start.protocol)
            .bind(&start.client)
            .bind(signed(start.policy_epoch))
            .bind(start.opened.0)
            .bind(start.principal.run.as_ref().map(RunId::as_str))
            .bind(start.part.as_ref().map(Part::as_str))
            .execute(&self.write)
            .await?;
            Ok(())
        })
    }

    fn close_session<'a>(&'a self, id: &'a SessionId, end: &'a SessionEnd) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let done = sqlx::query(
                "update sessions set closed = ?, reason = ?, operations = ?, refused = ?, bytes_to_client = ?, \
                 bytes_to_server = ? where id = ? and closed is null",
            )
            .bind(end.closed.0)
            .bind(&end.reason)
            .bind(signed(end.operations))
            .bind(signed(end.refused))
            .bind(signed(end.bytes_to_client))
            .bind(signed(end.bytes_to_server))
            .bind(id.as_str())
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn list_sessions<'a>(&'a self, filter: &'a SessionFilter) -> BoxFuture<'a, Result<Vec<SessionRow>, StoreError>> {
        boxed(async move {
            let rows = sqlx::query(
                "select * from sessions where (?1 is null or target = ?1) and (?2 is null or person = ?2) \
                 and (?3 is null or opened >= ?3) and (?4 is null or (closed is null) = ?4) \
                 and (?6 is null or run = ?6) order by opened desc, id desc limit ?5",
            )
            .bind(filter.target.as_ref().map(TargetName::as_str))
            .bind(filter.person.as_deref())
            .bind(filter.since.map(|since| since.0))
            .bind(filter.open)
            .bind(filter.limit)
            .bind(filter.run.as_ref().map(RunId::as_str))
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(session).collect()
        })
    }

    fn show_session<'a>(&'a self, id: &'a SessionId) -> BoxFuture<'a, Result<Option<SessionRow>, StoreError>> {
        boxed(async move {
            let query = sqlx::query("select * from sessions where id = ?").bind(id.as_str());
            query.fetch_optional(&self.read).await?.as_ref().map(session).transpose()
        })
    }

    fn crash_open_sessions(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>> {
        boxed(async move {
            let done = sqlx::query(
                "update sessions set closed = ?, reason = 'crash', operations = 0, refused = 0, bytes_to_client = 0, \
                 bytes_to_server = 0 where closed is null",
            )
            .bind(now.0)
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected())
        })
    }
}

fn session(row: &SqliteRow) -> Result<SessionRow, StoreError> {
    let unreadable = |_| StoreError::Unreadable("session");
    let start = SessionStart {
        id: SessionId::new(row.try_get::<&str, _>("id")?).map_err(unreadable)?,
        principal: from_json(row.try_get("principal")?, "principal")?,
        target: TargetName::new(row.try_get::<&str, _>("target")?).map_err(unreadable)?,
        part: row.try_get::<Option<String>, _>("part")?.map(Part::new),
        environment: Environment::new(row.try_get::<&str, _>("environment")?).map_err(unreadable)?,
        protocol: row.try_get("protocol")?,
        client: row.try_get("client")?,
        policy_epoch: unsigned(row.try_get("policy_epoch")?, "session")?,
        opened: UnixMicros(row.try_get("opened")?),
    };
    let closed: Option<i64> = row.try_get("closed")?;
    let count = |name: &str| unsigned(row.try_get(name)?, "session");
    let end = match closed {
        None => None,
        Some(closed) => Some(SessionEnd {
            reason: row.try_get("reason")?,
            closed: UnixMicros(closed),
            operations: count("operations")?,
            refused: count("refused")?,
            bytes_to_client: count("bytes_to_client")?,
            bytes_to_server: count("bytes_to_server")?,
        }),
    };
    Ok(SessionRow { start, end })
}
