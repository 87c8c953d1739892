//! Requests for approval in SQLite. Every change of state is one statement that names the state it starts from.

use std::collections::BTreeSet;

use sluice_kernel::{ApprovalRequest, BoxFuture};
use sluice_model::{
    Approval, Digest, Group, HoldId, Part, Person, Principal, RuleId, SessionId, TargetName, Text, UnixMicros, Who,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Sqlite, boxed, from_json, to_json};
use crate::{Approvals, HoldFilter, HoldRow, MAX_OPEN_HOLDS, NotCounted, State, StoreError, Tally, Vote};

impl Approvals for Sqlite {
    fn request<'a>(&'a self, request: &'a ApprovalRequest) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let who = request.principal.to_string();
            let done = sqlx::query(
                "insert into holds (id, state, digest, principal, who, session, target, action, rule, message, \
                 approvals, content, bound, requested, expires, part) \
                 select ?1, 'requested', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?16 \
                 where (select count(*) from holds where who = ?4 and state = 'requested' and expires > ?13) < ?15",
            )
            .bind(request.id.as_str())
            .bind(&request.digest.0[..])
            .bind(to_json(&request.principal, "principal")?)
            .bind(who)
            .bind(request.session.as_str())
            .bind(request.target.as_str())
            .bind(request.action)
            .bind(request.rule.as_str())
            .bind(&request.message)
            .bind(to_json(&request.approvals, "request")?)
            .bind(&request.text)
            .bind(&request.bound)
            .bind(request.requested.0)
            .bind(request.expires.0)
            .bind(MAX_OPEN_HOLDS)
            .bind(request.part.as_ref().map(Part::as_str))
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn approve<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<Tally, NotCounted>> {
        boxed(self.count(id, approver, now))
    }

    fn deny<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), NotCounted>> {
        boxed(self.refuse(id, approver, now, (State::Requested, State::Denied)))
    }

    fn revoke_approval<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), NotCounted>> {
        boxed(self.refuse(id, approver, now, (State::Approved, State::Revoked)))
    }

    fn withdraw<'a>(&'a self, id: &'a HoldId, now: UnixMicros) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let done = sqlx::query(
                "update holds set state = iif(expires <= ?1, 'expired', 'cancelled'), settled = ?1 \
                 where id = ?2 and state in ('requested', 'approved')",
            )
            .bind(now.0)
            .bind(id.as_str())
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn consume<'a>(
        &'a self,
        id: &'a HoldId,
        digest: &'a Digest,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            // Votes may have lost their worth since they were enough.
            let enough = find(&mut change, id).await?.is_some_and(|hold| hold.tally.complete());
            if !enough {
                return Ok(false);
            }
            let done = sqlx::query(
                "update holds set state = 'consumed', settled = ?1 \
                 where id = ?2 and state = 'approved' and expires > ?1 and digest = ?3",
            )
            .bind(now.0)
            .bind(id.as_str())
            .bind(&digest.0[..])
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    fn expire_holds(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>> {
        boxed(async move {
            let done = sqlx::query(
                "update holds set state = 'expired', settled = ?1 \
                 where state in ('requested', 'approved') and expires <= ?1",
            )
            .bind(now.0)
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected())
        })
    }

    fn cancel_open_holds(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>> {
        boxed(async move {
            let done = sqlx::query(
                "update holds set state = 'cancelled', settled = ?1 where state in ('requested', 'approved')",
            )
            .bind(now.0)
            .execute(&self.write)
            .await?;
            Ok(done.rows_affected())
        })
    }

    fn list_holds(&self, filter: HoldFilter) -> BoxFuture<'_, Result<Vec<HoldRow>, StoreError>> {
        boxed(async move {
            // One transaction, so that a row and its votes are of the same moment.
            let mut read = self.read.begin().await?;
            let rows = sqlx::query(
                "select * from holds where (?1 is null or state = ?1) order by requested desc, id desc limit ?2",
            )
            .bind(filter.state.map(State::name))
            .bind(filter.limit)
            .fetch_all(&mut *read)
            .await?;
            let mut holds = Vec::with_capacity(rows.len());
            for row in &rows {
                holds.push(hold(&mut read, row).await?);
            }
            Ok(holds)
        })
    }

    fn show_hold<'a>(&'a self, id: &'a HoldId) -> BoxFuture<'a, Result<Option<HoldRow>, StoreError>> {
        boxed(async move {
            let mut read = self.read.begin().await?;
            find(&mut read, id).await
        })
    }
}

impl Sqlite {
    async fn count(&self, id: &HoldId, approver: &Principal, now: UnixMicros) -> Result<Tally, NotCounted> {
        let mut change = self.write.begin_with("begin immediate").await.map_err(StoreError::from)?;
        let found = answerable(&mut change, id, approver, now, State::Requested).await?;
        // Whoever has another token in the place of one that was revoked votes anew.
        sqlx::query(
            "insert into votes (hold, person, groups, at, token) values (?, ?, ?, ?, ?) on conflict (hold, person) do update \
             set groups = excluded.groups, at = excluded.at, token = excluded.token \
             where votes.token in (select token from revocations)",
        )
        .bind(id.as_str())
        .bind(&found.person.name)
        .bind(to_json(&found.person.groups, "vote")?)
        .bind(now.0)
        .bind(approver.token.as_str())
        .execute(&mut *change)
        .await
        .map_err(StoreError::from)?;
        let (_, tally) = votes(&mut change, id, &found.hold.approvals).await?;
        if tally.complete() {
            sqlx::query("update holds set state = 'approved' where id = ? and state = 'requested'")
                .bind(id.as_str())
                .execute(&mut *change)
                .await
                .map_err(StoreError::from)?;
        }
        change.commit().await.map_err(StoreError::from)?;
        Ok(tally)
    }

    async fn refuse(
        &self,
        id: &HoldId,
        approver: &Principal,
        now: UnixMicros,
        (from, to): (State, State),
    ) -> Result<(), NotCounted> {
        let mut change = self.write.begin_with("begin immediate").await.map_err(StoreError::from)?;
        let found = answerable(&mut change, id, approver, now, from).await?;
        sqlx::query("update holds set state = ?, settled = ?, settled_by = ? where id = ? and state = ?")
            .bind(to.name())
            .bind(now.0)
            .bind(&found.person.name)
            .bind(id.as_str())
            .bind(from.name())
            .execute(&mut *change)
            .await
            .map_err(StoreError::from)?;
        change.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}

/// A request and a person whose answer to it counts.
struct Answerable<'a> {
    hold: HoldRow,
    person: &'a Person,
}

/// Checks that a principal may answer a request that stands in a state.
async fn answerable<'a>(
    connection: &mut SqliteConnection,
    id: &HoldId,
    approver: &'a Principal,
    now: UnixMicros,
    state: State,
) -> Result<Answerable<'a>, NotCounted> {
    let Who::User(person) = &approver.who else {
        return Err(NotCounted::NotAPerson);
    };
    let hold = find(connection, id).await?.ok_or(NotCounted::Unknown)?;
    if hold.state != state {
        return Err(NotCounted::Settled(hold.state));
    }
    if hold.expires <= now {
        return Err(NotCounted::Settled(State::Expired));
    }
    let asker = hold.principal.person().map(|asker| asker.name.as_str());
    if asker == Some(person.name.as_str()) || hold.principal.name() == person.name {
        return Err(NotCounted::OwnRequest);
    }
    if !hold.approvals.iter().any(|approval| person.groups.contains(&approval.approvers)) {
        return Err(NotCounted::NotAnApprover);
    }
    Ok(Answerable { hold, person })
}

async fn find(connection: &mut SqliteConnection, id: &HoldId) -> Result<Option<HoldRow>, StoreError> {
    let query = sqlx::query("select * from holds where id = ?").bind(id.as_str());
    match query.fetch_optional(&mut *connection).await? {
        Some(row) => hold(connection, &row).await.map(Some),
        None => Ok(None),
    }
}

async fn hold(connection: &mut SqliteConnection, row: &SqliteRow) -> Result<HoldRow, StoreError> {
    const WHAT: StoreError = StoreError::Unreadable("request");
    let id = HoldId::new(row.try_get::<&str, _>("id")?).map_err(|_| WHAT)?;
    let approvals: Vec<Approval> = from_json(row.try_get("approvals")?, "request")?;
    let (votes, tally) = votes(connection, &id, &approvals).await?;
    let bound: Option<Vec<u8>> = row.try_get("bound")?;
    let settled: Option<i64> = row.try_get("settled")?;
    Ok(HoldRow {
        id,
        state: State::parse(row.try_get("state")?).ok_or(WHAT)?,
        digest: Digest(row.try_get::<&[u8], _>("digest")?.try_into().map_err(|_| WHAT)?),
        principal: from_json(row.try_get("principal")?, "principal")?,
        session: SessionId::new(row.try_get::<&str, _>("session")?).map_err(|_| WHAT)?,
        target: TargetName::new(row.try_get::<&str, _>("target")?).map_err(|_| WHAT)?,
        part: row.try_get::<Option<String>, _>("part")?.map(Part::new),
        action: row.try_get("action")?,
        rule: RuleId::new(row.try_get::<&str, _>("rule")?).map_err(|_| WHAT)?,
        message: row.try_get("message")?,
        approvals,
        text: Text::new(row.try_get::<Vec<u8>, _>("content")?),
        bound: bound.map(Text::new),
        requested: UnixMicros(row.try_get("requested")?),
        expires: UnixMicros(row.try_get("expires")?),
        settled: settled.map(UnixMicros),
        settled_by: row.try_get("settled_by")?,
        votes,
        tally,
    })
}

/// The votes that count: those of tokens that nobody has revoked.
async fn votes(
    connection: &mut SqliteConnection,
    id: &HoldId,
    approvals: &[Approval],
) -> Result<(Vec<Vote>, Tally), StoreError> {
    let query = sqlx::query(
        "select person, groups, at from votes where hold = ? \
         and (token is null or token not in (select token from revocations)) order by at, person",
    );
    let rows = query.bind(id.as_str()).fetch_all(connection).await?;
    let mut votes = Vec::with_capacity(rows.len());
    let mut groups: Vec<BTreeSet<Group>> = Vec::with_capacity(rows.len());
    for row in &rows {
        votes.push(Vote { person: row.try_get("person")?, at: UnixMicros(row.try_get("at")?) });
        groups.push(from_json(row.try_get("groups")?, "vote")?);
    }
    Ok((votes, tally(approvals, &groups)))
}

/// Counts, for each approval, the people in its group; no approval takes more than it needs. An approval for nobody
/// still needs one person, and a request without approvals can never be complete.
fn tally(approvals: &[Approval], voters: &[BTreeSet<Group>]) -> Tally {
    let mut tally = Tally { given: 0, needed: u32::from(approvals.is_empty()) };
    for approval in approvals {
        let needed = approval.count.max(1);
        let people = voters.iter().filter(|groups| groups.contains(&approval.approvers)).count();
        let given = u32::try_from(people).unwrap_or(u32::MAX).min(needed);
        tally.given = tally.given.saturating_add(given);
        tally.needed = tally.needed.saturating_add(needed);
    }
    tally
}
