//! The tables, one step of their history at a time. A step that was released is never edited.

use sqlx::{Row as _, SqlitePool};

use crate::StoreError;

pub(super) const STEPS: &[&str] = &[
    "create table sessions (
        id text primary key, principal text not null, person text, target text not null, environment text not null,
        protocol text not null, client text not null, policy_epoch integer not null, opened integer not null,
        closed integer, reason text, operations integer, refused integer, bytes_to_client integer,
        bytes_to_server integer
    ) strict;
    create index sessions_by_time on sessions (opened);
    create index sessions_open on sessions (id) where closed is null;
    create table tokens (
        id text primary key, kind text not null, principal text not null, created integer not null,
        expires integer not null, label text
    ) strict;
    create table revocations (
        seq integer primary key autoincrement, token text not null unique, at integer not null
    ) strict;
    create table scram_secrets (
        seq integer primary key autoincrement, user text not null unique, token text not null,
        principal text not null, salt blob not null, iterations integer not null, stored_key blob not null, server_key blob not null, expires integer not null
    ) strict;
    create table holds (
        id text primary key, state text not null, digest blob not null, principal text not null, who text not null,
        session text not null, target text not null, action text not null, rule text not null, message text not null,
        approvals text not null, content blob not null, bound blob, requested integer not null,
        expires integer not null, settled integer, settled_by text
    ) strict;
    create index holds_by_time on holds (requested);
    create index holds_open on holds (who) where state in ('requested', 'approved');
    create table votes (
        hold text not null references holds (id), person text not null, groups text not null, at integer not null,
        primary key (hold, person)
    ) strict;",
    "alter table sessions add column run text;
    create index sessions_by_run on sessions (run) where run is not null;
    create table edges (
        run text not null, from_session text not null, from_flow integer not null, from_op integer not null,
        to_session text not null, to_flow integer not null, to_op integer not null, kind text not null,
        confidence text not null,
        primary key (run, from_session, from_flow, from_op, to_session, to_flow, to_op, kind)
    ) strict, without rowid;
    create table budgets (
        rule text not null, unit text not null, window_seconds integer not null, whose text not null,
        window integer not null, used integer not null,
        primary key (rule, unit, window_seconds, whose)
    ) strict, without rowid;
    create table objects (
        target text not null, class text not null, id text not null, owner text not null, made integer not null,
        primary key (target, class, id)
    ) strict, without rowid;",
    "create table ssh_keys (
        seq integer primary key autoincrement, token text not null unique, key blob not null, algorithm text not null,
        fingerprint text not null, comment text not null, principal text not null, created integer not null,
        expires integer not null
    ) strict;
    create index ssh_keys_by_key on ssh_keys (key);",
    "alter table objects add column until integer;
    create index objects_by_end on objects (until) where until is not null;",
    "create table descents (token text primary key, parent text not null) strict;
    create index descents_by_parent on descents (parent);
    alter table votes add column token text;",
    "alter table sessions add column part text;
    alter table holds add column part text;",
];

/// Takes the steps that a store has not taken yet, each with its mark in one transaction.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut change = pool.begin_with("begin immediate").await?;
    sqlx::raw_sql("create table if not exists schema_version (version integer primary key) strict")
        .execute(&mut *change)
        .await?;
    let row = sqlx::query("select coalesce(max(version), 0) from schema_version").fetch_one(&mut *change).await?;
    let found: i64 = row.try_get(0)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::FromTheFuture { found, known });
    }
    for (version, step) in (1_i64..).zip(STEPS) {
        if version > found {
            sqlx::raw_sql(*step).execute(&mut *change).await?;
            sqlx::query("insert into schema_version values (?)").bind(version).execute(&mut *change).await?;
        }
    }
    change.commit().await?;
    Ok(())
}
