#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use sluice_kernel::{ApprovalRequest, Spent};
use sluice_model::{
    Approval, Digest, Environment, FlowId, Group, HoldId, OpId, Part, Person, Principal, RuleId, RunId, Scope,
    SessionId, TargetName, TokenId, Unit, UnixMicros, Who,
};
use sluice_wire::{Made, Object};
use tempfile::TempDir;

use super::{Sqlite, schema};
use crate::{
    Added, Approvals, Budgets, Confidence, Edge, Edges, HoldFilter, MAX_OPEN_HOLDS, NotCounted, Owned, Place,
    ScramSecret, SessionEnd, SessionFilter, SessionStart, Sessions, SshKeyRow, SshKeys, State, StoreError, Tally, Tie,
    TokenRow, Tokens,
};

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

async fn store() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&dir.path().join("sluice.db")).await.unwrap();
    (dir, store)
}

fn person(name: &str, groups: &[&str]) -> Person {
    Person { name: name.to_owned(), groups: groups.iter().map(|group| Group::new(group).unwrap()).collect() }
}

fn principal(who: Who) -> Principal {
    Principal { who, token: TokenId::new("t-1").unwrap(), expires: NOW.plus_seconds(3600), targets: None, run: None }
}

fn user(name: &str, groups: &[&str]) -> Principal {
    principal(Who::User(person(name, groups)))
}

fn agent(name: &str, owner: &str) -> Principal {
    let owner = person(owner, &["dba"]);
    principal(Who::Agent { name: name.to_owned(), purpose: None, groups: BTreeSet::new(), owner })
}

fn session(id: &str, who: Principal, opened: UnixMicros) -> SessionStart {
    SessionStart {
        id: SessionId::new(id).unwrap(),
        principal: who,
        target: TargetName::new("shop").unwrap(),
        part: Some(Part::new("stock")),
        environment: Environment::new("prod").unwrap(),
        protocol: "postgres".to_owned(),
        client: "127.0.0.1:5000".to_owned(),
        policy_epoch: 3,
        opened,
    }
}

fn end(reason: &str) -> SessionEnd {
    SessionEnd {
        reason: reason.to_owned(),
        closed: NOW.plus_seconds(5),
        operations: 4,
        refused: 1,
        bytes_to_client: 100,
        bytes_to_server: 50,
    }
}

fn hold(id: &str) -> HoldId {
    HoldId::new(id).unwrap()
}

fn request(id: &str, who: Principal, approvals: &[(&str, u32)]) -> ApprovalRequest {
    let approval = |(group, count): &(&str, u32)| Approval {
        approvers: Group::new(group).unwrap(),
        count: *count,
        scope: Scope::Statement,
        ttl_seconds: 60,
    };
    ApprovalRequest {
        id: hold(id),
        session: SessionId::new("s-1").unwrap(),
        principal: who,
        target: TargetName::new("shop").unwrap(),
        part: Some(Part::new("stock")),
        action: "sql.write",
        rule: RuleId::new("prod-write").unwrap(),
        message: "writes need approval".to_owned(),
        approvals: approvals.iter().map(approval).collect(),
        text: b"delete from t where id = $1".to_vec(),
        bound: Some(vec![0, 1, 255]),
        digest: Digest([7; 32]),
        requested: NOW,
        expires: NOW.plus_seconds(60),
    }
}

async fn state(store: &Sqlite, id: &str) -> State {
    store.show_hold(&hold(id)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_store_opens_again_is_private_and_refuses_a_newer_schema() {
    let (dir, store) = store().await;
    let path = dir.path().join("sluice.db");
    store.open_session(&session("s-1", user("ana", &[]), NOW)).await.unwrap();
    store.close().await;
    let again = Sqlite::open(&path).await.unwrap();
    assert!(again.show_session(&SessionId::new("s-1").unwrap()).await.unwrap().is_some());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    sqlx::query("insert into schema_version values (999)").execute(&again.write).await.unwrap();
    again.close().await;
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::FromTheFuture { found: 999, .. }));
}

#[tokio::test]
async fn a_store_of_before_there_were_runs_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.db");
    std::fs::write(&path, b"").unwrap();
    let old = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::raw_sql(*schema::STEPS.first().unwrap()).execute(&old).await.unwrap();
    sqlx::raw_sql(
        "create table schema_version (version integer primary key) strict; insert into schema_version values (1)",
    )
    .execute(&old)
    .await
    .unwrap();
    let principal = r#"{"who":{"kind":"user","name":"ana","groups":[]},"token":"t-1","expires":1,"targets":null}"#;
    sqlx::query("insert into sessions values ('s-1', ?, 'ana', 'shop', 'prod', 'postgres', 'here', 1, 5, null, null, null, null, null, null)")
        .bind(principal)
        .execute(&old)
        .await
        .unwrap();
    old.close().await;
    let store = Sqlite::open(&path).await.unwrap();
    let row = store.show_session(&SessionId::new("s-1").unwrap()).await.unwrap().unwrap();
    assert_eq!((row.start.principal.name(), &row.start.principal.run), ("ana", &None));
    assert!(store.edges(&RunId::new("r-1").unwrap()).await.unwrap().is_empty());
    let version: i64 =
        sqlx::query_scalar("select max(version) from schema_version").fetch_one(&store.read).await.unwrap();
    assert_eq!(version, i64::try_from(schema::STEPS.len()).unwrap());
}

#[tokio::test]
async fn the_sessions_of_a_run_are_found() {
    let (_dir, store) = store().await;
    let run = |name: &str| Some(RunId::new(name).unwrap());
    let of = |id: &str, run| session(id, Principal { run, ..agent("triage", "ana") }, NOW);
    for start in [of("s-1", run("r-1")), of("s-2", None), of("s-3", run("r-2")), of("s-4", run("r-1"))] {
        store.open_session(&start).await.unwrap();
    }
    let listed = async |run: Option<RunId>| -> Vec<String> {
        let rows = store.list_sessions(&SessionFilter { run, ..SessionFilter::newest(10) }).await.unwrap();
        rows.into_iter().map(|row| row.start.id.to_string()).collect()
    };
    assert_eq!(listed(run("r-1")).await, ["s-4", "s-1"]);
    assert_eq!(listed(run("r-3")).await, [""; 0]);
    assert_eq!(listed(None).await.len(), 4);
    let row = store.show_session(&SessionId::new("s-4").unwrap()).await.unwrap().unwrap();
    assert_eq!(row.start.principal.run, run("r-1"));
}

#[tokio::test]
async fn edges_of_a_run_are_replaced_as_a_whole() {
    let (_dir, store) = store().await;
    let place =
        |session: &str, flow, op| Place { session: SessionId::new(session).unwrap(), flow: FlowId(flow), op: OpId(op) };
    let edge = |tie, confidence| Edge { from: place("s-1", 4, 2), to: place("s-2", 0, 1), tie, confidence };
    let first = [
        edge(Tie::Calls, Confidence::ExactId),
        edge(Tie::Causes, Confidence::Digest),
        edge(Tie::Returns, Confidence::Time),
    ];
    let (run, other) = (RunId::new("r-1").unwrap(), RunId::new("r-2").unwrap());
    store.replace_edges(&run, &first).await.unwrap();
    store.replace_edges(&other, &first[..1]).await.unwrap();
    store.replace_edges(&run, &first).await.unwrap();
    assert_eq!(store.edges(&run).await.unwrap(), first);
    let second = [edge(Tie::Causes, Confidence::Time)];
    store.replace_edges(&run, &second).await.unwrap();
    assert_eq!(store.edges(&run).await.unwrap(), second);
    assert_eq!(store.edges(&other).await.unwrap(), first[..1]);
}

#[tokio::test]
async fn counters_of_budgets_survive_until_their_window_has_passed() {
    let (dir, store) = store().await;
    let minute = NOW.seconds().div_euclid(60);
    let spent = |whose: &str, unit, window, used| Spent {
        rule: RuleId::new("agent-rate").unwrap(),
        unit,
        window_seconds: 60,
        whose: whose.to_owned(),
        window,
        used,
    };
    let ana = |window, used| spent("user:ana", Unit::Requests, window, used);
    store.keep_spent(&[ana(minute, 1), spent("", Unit::Cost, minute, 9)], NOW).await.unwrap();
    store.keep_spent(&[ana(minute, 3)], NOW).await.unwrap();
    store.close().await;
    let store = Sqlite::open(&dir.path().join("sluice.db")).await.unwrap();
    let both = [spent("", Unit::Cost, minute, 9), ana(minute, 3)];
    assert_eq!(store.spent(NOW).await.unwrap(), both);
    let end = UnixMicros((minute + 1) * 60_000_000);
    assert_eq!(store.spent(UnixMicros(end.0 - 1)).await.unwrap().len(), 2);
    assert_eq!(store.spent(end).await.unwrap(), []);
    store.keep_spent(&[ana(minute + 1, 1)], end).await.unwrap();
    assert_eq!(store.spent(NOW).await.unwrap(), [ana(minute + 1, 1)], "the passed one is deleted");
}

#[tokio::test]
async fn the_read_connections_cannot_write() {
    let (_dir, store) = store().await;
    let done = sqlx::query("insert into revocations (token, at) values ('t', 1)").execute(&store.read).await;
    assert!(done.is_err());
}

#[tokio::test]
async fn sessions_open_close_once_and_are_listed() {
    let (_dir, store) = store().await;
    let first = session("s-1", user("ana", &["staff"]), NOW);
    let second = session("s-2", agent("triage", "bob"), NOW.plus_seconds(1));
    store.open_session(&first).await.unwrap();
    store.open_session(&second).await.unwrap();
    assert!(store.open_session(&first).await.is_err(), "an id is used once");
    assert!(store.close_session(&first.id, &end("client")).await.unwrap());
    assert!(!store.close_session(&first.id, &end("server")).await.unwrap());

    let row = store.show_session(&first.id).await.unwrap().unwrap();
    assert_eq!((row.start, row.end), (first.clone(), Some(end("client"))));
    assert!(store.show_session(&SessionId::new("none").unwrap()).await.unwrap().is_none());

    let listed = async |filter: SessionFilter| -> Vec<String> {
        let rows = store.list_sessions(&filter).await.unwrap();
        rows.into_iter().map(|row| row.start.id.to_string()).collect()
    };
    let all = SessionFilter::newest(10);
    assert_eq!(listed(all.clone()).await, ["s-2", "s-1"]);
    assert_eq!(listed(SessionFilter::newest(1)).await, ["s-2"]);
    assert_eq!(listed(SessionFilter { open: Some(true), ..all.clone() }).await, ["s-2"]);
    assert_eq!(listed(SessionFilter { open: Some(false), ..all.clone() }).await, ["s-1"]);
    assert_eq!(listed(SessionFilter { person: Some("bob".to_owned()), ..all.clone() }).await, ["s-2"]);
    assert_eq!(listed(SessionFilter { since: Some(NOW.plus_seconds(1)), ..all.clone() }).await, ["s-2"]);
    let target = Some(TargetName::new("other").unwrap());
    assert!(listed(SessionFilter { target, ..all }).await.is_empty());
}

#[tokio::test]
async fn a_restart_closes_open_sessions_as_crashed() {
    let (_dir, store) = store().await;
    let closed = session("s-1", user("ana", &[]), NOW);
    let open = session("s-2", user("ana", &[]), NOW);
    store.open_session(&closed).await.unwrap();
    store.open_session(&open).await.unwrap();
    store.close_session(&closed.id, &end("client")).await.unwrap();
    assert_eq!(store.crash_open_sessions(NOW.plus_seconds(9)).await.unwrap(), 1);
    let row = store.show_session(&open.id).await.unwrap().unwrap();
    assert_eq!(row.end, Some(SessionEnd::crash(NOW.plus_seconds(9))));
    assert_eq!(store.show_session(&closed.id).await.unwrap().unwrap().end, Some(end("client")));
}

#[tokio::test]
async fn tokens_are_revoked_once_and_the_cursor_sees_each_revocation_once() {
    let (_dir, store) = store().await;
    let token = TokenRow {
        id: TokenId::new("t-1").unwrap(),
        kind: "jwt".to_owned(),
        principal: user("ana", &["staff"]),
        created: NOW,
        expires: NOW.plus_seconds(60),
        label: Some("laptop".to_owned()),
        revoked: None,
    };
    store.insert_token(&token).await.unwrap();
    assert_eq!(store.list_tokens(10).await.unwrap().first(), Some(&token));
    assert!(!store.is_revoked(&token.id).await.unwrap());
    assert_eq!(store.revoked_since(0).await.unwrap(), (vec![], 0));

    assert!(store.revoke_token(&token.id, NOW).await.unwrap());
    assert!(!store.revoke_token(&token.id, NOW).await.unwrap());
    assert!(store.is_revoked(&token.id).await.unwrap());
    assert_eq!(store.list_tokens(10).await.unwrap().first().unwrap().revoked, Some(NOW));
    let (revoked, cursor) = store.revoked_since(0).await.unwrap();
    assert_eq!(revoked, [crate::Revoked { token: token.id, expires: Some(token.expires) }]);

    let foreign = TokenId::new("from-an-issuer").unwrap();
    assert!(store.revoke_token(&foreign, NOW).await.unwrap());
    let (revoked, next) = store.revoked_since(cursor).await.unwrap();
    assert_eq!(revoked, [crate::Revoked { token: foreign, expires: None }]);
    assert_eq!(store.revoked_since(next).await.unwrap(), (vec![], next));
}

#[tokio::test]
async fn what_was_made_with_a_token_is_revoked_with_it() {
    let (_dir, store) = store().await;
    let [root, run, key, other] = ["root", "run", "key", "other"].map(|id| TokenId::new(id).unwrap());
    store.descend(&run, &root).await.unwrap();
    store.descend(&key, &run).await.unwrap();
    store.descend(&other, &TokenId::new("elsewhere").unwrap()).await.unwrap();
    assert!(store.descend(&key, &root).await.is_err(), "it is made once");
    assert!(store.revoke_token(&run, NOW).await.unwrap());
    assert!(store.revoke_token(&root, NOW).await.unwrap());
    assert!(!store.revoke_token(&key, NOW).await.unwrap(), "it was revoked with the run");
    assert_eq!(store.revoked_since(0).await.unwrap().0.len(), 3);
    assert!(!store.is_revoked(&other).await.unwrap());
    // What is made with a token that was revoked a moment ago never counts.
    let late = TokenId::new("late").unwrap();
    store.descend(&late, &key).await.unwrap();
    assert!(store.is_revoked(&late).await.unwrap());
}

#[tokio::test]
async fn the_vote_of_a_token_that_was_revoked_does_not_count() {
    let (_dir, store) = store().await;
    let voter = |name: &str, token: &str| Principal { token: TokenId::new(token).unwrap(), ..user(name, &["dba"]) };
    let (bob, carol) = (voter("bob", "t-bob"), voter("carol", "t-carol"));
    let filed = request("h-1", user("ana", &[]), &[("dba", 2)]);
    store.request(&filed).await.unwrap();
    store.approve(&filed.id, &bob, NOW).await.unwrap();
    store.revoke_token(&bob.token, NOW).await.unwrap();
    assert_eq!(store.approve(&filed.id, &carol, NOW).await.unwrap(), Tally { given: 1, needed: 2 });
    let people = async || {
        let hold = store.show_hold(&filed.id).await.unwrap().unwrap();
        hold.votes.into_iter().map(|vote| vote.person).collect::<Vec<_>>()
    };
    assert_eq!(people().await, ["carol"]);
    // With another token he votes anew; once.
    let again = voter("bob", "t-bob-2");
    assert!(store.approve(&filed.id, &again, NOW).await.unwrap().complete());
    assert_eq!((people().await.len(), state(&store, "h-1").await), (2, State::Approved));
    // Nor is what has been approved used up without enough votes.
    store.revoke_token(&carol.token, NOW).await.unwrap();
    assert!(!store.consume(&filed.id, &filed.digest, NOW).await.unwrap());
    store.request(&request("h-2", user("ana", &[]), &[("dba", 1)])).await.unwrap();
    store.approve(&hold("h-2"), &again, NOW).await.unwrap();
    assert!(store.consume(&hold("h-2"), &filed.digest, NOW).await.unwrap());
}

#[tokio::test]
async fn scram_secrets_are_found_and_follow_their_token() {
    let (_dir, store) = store().await;
    let secret = ScramSecret {
        user: "ana-1".to_owned(),
        principal: user("ana", &[]),
        salt: vec![1, 2, 3],
        iterations: 4096,
        stored_key: [4; 32],
        server_key: [5; 32],
        expires: NOW,
        revoked: false,
    };
    store.insert_scram(&secret).await.unwrap();
    assert!(store.insert_scram(&secret).await.is_err(), "a user name is given once");
    assert_eq!(store.scram("ana-1").await.unwrap(), Some(secret.clone()));
    assert_eq!(store.scram("nobody").await.unwrap(), None);
    assert_eq!(store.scrams_since(0).await.unwrap(), (vec![secret.clone()], 1));
    assert_eq!(store.scrams_since(1).await.unwrap(), (vec![], 1));
    assert!(!format!("{secret:?}").contains('4'), "keys are not shown");
    store.revoke_token(&secret.principal.token, NOW).await.unwrap();
    assert!(store.scram("ana-1").await.unwrap().unwrap().revoked);
}

#[tokio::test]
async fn a_request_shows_an_approver_everything() {
    let (_dir, store) = store().await;
    let filed = request("h-1", agent("triage", "ana"), &[("dba", 2)]);
    assert!(store.request(&filed).await.unwrap());
    let row = store.show_hold(&filed.id).await.unwrap().unwrap();
    assert_eq!(row.text.content(), &filed.text);
    assert_eq!(row.bound.unwrap().content(), filed.bound.as_ref().unwrap());
    assert_eq!((row.digest, row.principal), (filed.digest, filed.principal));
    assert_eq!((row.state, row.tally), (State::Requested, Tally { given: 0, needed: 2 }));
    assert_eq!((row.expires, row.approvals), (filed.expires, filed.approvals));
    let open = HoldFilter { state: Some(State::Requested), limit: 5 };
    assert_eq!(store.list_holds(open).await.unwrap().len(), 1);
    let denied = HoldFilter { state: Some(State::Denied), limit: 5 };
    assert!(store.list_holds(denied).await.unwrap().is_empty());
}

#[tokio::test]
async fn approvals_count_distinct_people_of_the_right_groups() {
    let (_dir, store) = store().await;
    store.request(&request("h-1", user("ana", &["dba"]), &[("dba", 2), ("security", 1)])).await.unwrap();
    let approve = async |who: &Principal| store.approve(&hold("h-1"), who, NOW).await;
    let tally = |given| Tally { given, needed: 3 };
    assert_eq!(approve(&user("bob", &["dba"])).await.unwrap(), tally(1));
    assert_eq!(approve(&user("bob", &["dba"])).await.unwrap(), tally(1), "twice is once");
    assert_eq!(approve(&user("cem", &["dba"])).await.unwrap(), tally(2));
    assert_eq!(approve(&user("dan", &["dba"])).await.unwrap(), tally(2), "a third is not a substitute");
    assert_eq!(state(&store, "h-1").await, State::Requested);
    assert_eq!(approve(&user("eve", &["security"])).await.unwrap(), tally(3));
    assert_eq!(state(&store, "h-1").await, State::Approved);
    let late = approve(&user("fay", &["dba"])).await;
    assert!(matches!(late, Err(NotCounted::Settled(State::Approved))));
}

#[tokio::test]
async fn who_asked_or_stands_behind_it_cannot_answer() {
    let (_dir, store) = store().await;
    store.request(&request("h-1", user("ana", &["dba"]), &[("dba", 1)])).await.unwrap();
    store.request(&request("h-2", agent("triage", "ana"), &[("dba", 1)])).await.unwrap();
    let workload = principal(Who::Workload {
        name: "ci".to_owned(),
        issuer: "github".to_owned(),
        groups: BTreeSet::from([Group::new("dba").unwrap()]),
    });
    for id in ["h-1", "h-2"] {
        let approve = async |who: &Principal| store.approve(&hold(id), who, NOW).await;
        let deny = async |who: &Principal| store.deny(&hold(id), who, NOW).await;
        let own = user("ana", &["dba"]);
        assert!(matches!(approve(&own).await, Err(NotCounted::OwnRequest)));
        assert!(matches!(deny(&own).await, Err(NotCounted::OwnRequest)));
        assert!(matches!(approve(&user("triage", &["dba"])).await, Err(NotCounted::OwnRequest)) == (id == "h-2"));
    }
    store.request(&request("h-3", user("ana", &[]), &[("dba", 1)])).await.unwrap();
    let approve = async |who: &Principal| store.approve(&hold("h-3"), who, NOW).await;
    assert!(matches!(approve(&agent("triage", "bob")).await, Err(NotCounted::NotAPerson)));
    assert!(matches!(approve(&workload).await, Err(NotCounted::NotAPerson)));
    assert!(matches!(approve(&user("bob", &["staff"])).await, Err(NotCounted::NotAnApprover)));
    let unknown = store.approve(&hold("h-9"), &user("bob", &["dba"]), NOW).await;
    assert!(matches!(unknown, Err(NotCounted::Unknown)));
    assert_eq!(state(&store, "h-3").await, State::Requested);
}

#[tokio::test]
async fn an_approval_is_consumed_once_for_its_digest_before_its_expiry() {
    let (_dir, store) = store().await;
    let filed = request("h-1", user("ana", &[]), &[("dba", 1)]);
    store.request(&filed).await.unwrap();
    let consume = async |digest: Digest, now: UnixMicros| store.consume(&hold("h-1"), &digest, now).await.unwrap();
    assert!(!consume(filed.digest, NOW).await, "nobody approved");
    store.approve(&filed.id, &user("bob", &["dba"]), NOW).await.unwrap();
    assert!(!consume(Digest([8; 32]), NOW).await, "another statement");
    assert!(!consume(filed.digest, filed.expires).await, "expired");
    assert!(consume(filed.digest, UnixMicros(filed.expires.0 - 1)).await);
    assert!(!consume(filed.digest, NOW).await, "used up");
    assert_eq!(state(&store, "h-1").await, State::Consumed);
    assert!(!store.withdraw(&filed.id, NOW).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_consumers_one_wins() {
    let (dir, store) = store().await;
    // A second process on the same file.
    let other = Sqlite::open(&dir.path().join("sluice.db")).await.unwrap();
    for round in 0..50 {
        let id = format!("h-{round}");
        let filed = request(&id, user("ana", &[]), &[("dba", 1)]);
        store.request(&filed).await.unwrap();
        store.approve(&filed.id, &user("bob", &["dba"]), NOW).await.unwrap();
        let consumers = [store.clone(), other.clone()].map(|store| {
            let (id, digest) = (filed.id.clone(), filed.digest);
            tokio::spawn(async move { store.consume(&id, &digest, NOW).await.unwrap() })
        });
        let mut won = 0;
        for consumer in consumers {
            won += u32::from(consumer.await.unwrap());
        }
        assert_eq!(won, 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_given_at_the_same_moment_are_all_counted() {
    let (dir, store) = store().await;
    let other = Sqlite::open(&dir.path().join("sluice.db")).await.unwrap();
    store.request(&request("h-1", user("ana", &[]), &[("dba", 8)])).await.unwrap();
    let voters: Vec<_> = (0..8)
        .map(|number| {
            let store = if number % 2 == 0 { store.clone() } else { other.clone() };
            let voter = user(&format!("voter-{number}"), &["dba"]);
            tokio::spawn(async move { store.approve(&hold("h-1"), &voter, NOW).await.unwrap() })
        })
        .collect();
    let mut complete = 0;
    for voter in voters {
        complete += u32::from(voter.await.unwrap().complete());
    }
    assert_eq!(complete, 1);
    assert_eq!(state(&store, "h-1").await, State::Approved);
}

#[tokio::test]
async fn nothing_is_approved_at_or_after_its_expiry() {
    let (_dir, store) = store().await;
    let filed = request("h-1", user("ana", &[]), &[("dba", 1)]);
    store.request(&filed).await.unwrap();
    let bob = user("bob", &["dba"]);
    let late = store.approve(&filed.id, &bob, filed.expires).await;
    assert!(matches!(late, Err(NotCounted::Settled(State::Expired))));
    assert_eq!(store.expire_holds(UnixMicros(filed.expires.0 - 1)).await.unwrap(), 0);
    assert_eq!(store.expire_holds(filed.expires).await.unwrap(), 1);
    assert_eq!(state(&store, "h-1").await, State::Expired);
    assert!(matches!(store.approve(&filed.id, &bob, NOW).await, Err(NotCounted::Settled(State::Expired))));
}

#[tokio::test]
async fn requests_are_denied_withdrawn_revoked_and_cancelled() {
    let (_dir, store) = store().await;
    let bob = user("bob", &["dba"]);
    for id in ["denied", "withdrawn", "late", "revoked", "open", "approved"] {
        store.request(&request(id, user("ana", &[]), &[("dba", 1)])).await.unwrap();
    }
    store.deny(&hold("denied"), &bob, NOW).await.unwrap();
    let denied = store.show_hold(&hold("denied")).await.unwrap().unwrap();
    assert_eq!((denied.state, denied.settled_by.as_deref()), (State::Denied, Some("bob")));
    assert!(matches!(store.approve(&hold("denied"), &bob, NOW).await, Err(NotCounted::Settled(State::Denied))));

    assert!(store.withdraw(&hold("withdrawn"), NOW).await.unwrap());
    assert!(!store.withdraw(&hold("withdrawn"), NOW).await.unwrap());
    assert_eq!(state(&store, "withdrawn").await, State::Cancelled);
    assert!(store.withdraw(&hold("late"), NOW.plus_seconds(60)).await.unwrap());
    assert_eq!(state(&store, "late").await, State::Expired);

    assert!(store.revoke_approval(&hold("revoked"), &bob, NOW).await.is_err(), "not approved yet");
    store.approve(&hold("revoked"), &bob, NOW).await.unwrap();
    store.revoke_approval(&hold("revoked"), &bob, NOW).await.unwrap();
    assert!(!store.consume(&hold("revoked"), &Digest([7; 32]), NOW).await.unwrap());

    store.approve(&hold("approved"), &bob, NOW).await.unwrap();
    assert_eq!(store.cancel_open_holds(NOW).await.unwrap(), 2);
    for id in ["open", "approved"] {
        assert_eq!(state(&store, id).await, State::Cancelled);
        assert!(!store.consume(&hold(id), &Digest([7; 32]), NOW).await.unwrap());
    }
}

#[tokio::test]
async fn one_principal_has_a_limited_number_of_open_requests() {
    let (_dir, store) = store().await;
    for number in 0..MAX_OPEN_HOLDS {
        let filed = request(&format!("h-{number}"), user("ana", &[]), &[("dba", 1)]);
        assert!(store.request(&filed).await.unwrap());
    }
    let over = request("over", user("ana", &[]), &[("dba", 1)]);
    assert!(!store.request(&over).await.unwrap());
    assert!(store.request(&request("other", user("bob", &[]), &[("dba", 1)])).await.unwrap());
    store.withdraw(&hold("h-0"), NOW).await.unwrap();
    assert!(store.request(&over).await.unwrap());
}

#[tokio::test]
async fn a_request_that_needs_nobody_cannot_be_complete() {
    let (_dir, store) = store().await;
    store.request(&request("none", user("ana", &[]), &[])).await.unwrap();
    store.request(&request("zero", user("ana", &[]), &[("dba", 0)])).await.unwrap();
    let bob = user("bob", &["dba"]);
    assert!(matches!(store.approve(&hold("none"), &bob, NOW).await, Err(NotCounted::NotAnApprover)));
    assert_eq!(store.show_hold(&hold("zero")).await.unwrap().unwrap().tally, Tally { given: 0, needed: 1 });
    assert!(store.approve(&hold("zero"), &bob, NOW).await.unwrap().complete());
}

fn ssh_key(id: &str, owner: &str, created: UnixMicros) -> SshKeyRow {
    SshKeyRow {
        principal: Principal { token: TokenId::new(id).unwrap(), ..user(owner, &["dba"]) },
        key: vec![1, 2, 3],
        algorithm: "ssh-ed25519".to_owned(),
        fingerprint: "SHA256:x".to_owned(),
        comment: "laptop".to_owned(),
        created,
        revoked: None,
    }
}

#[tokio::test]
async fn an_ssh_key_is_one_principals_until_it_is_removed_or_ends() {
    let (_dir, store) = store().await;
    let first = ssh_key("k-1", "ana", NOW);
    assert_eq!(store.insert_ssh_key(&first).await.unwrap(), Added::New);
    let taken = Added::Taken(Box::new(first.principal.clone()));
    assert_eq!(store.insert_ssh_key(&ssh_key("k-2", "bob", NOW)).await.unwrap(), taken);
    assert_eq!(store.ssh_keys_since(0).await.unwrap(), (vec![first.clone()], 1));
    assert_eq!(store.list_tokens(10).await.unwrap().len(), 1, "what was not added left nothing");

    assert!(store.revoke_token(&first.principal.token, NOW).await.unwrap());
    let (revoked, _) = store.revoked_since(0).await.unwrap();
    assert_eq!(revoked.first().unwrap().expires, Some(first.principal.expires));
    let second = ssh_key("k-2", "bob", NOW);
    assert_eq!(store.insert_ssh_key(&second).await.unwrap(), Added::New);
    assert_eq!(store.ssh_keys_since(1).await.unwrap(), (vec![second.clone()], 2));
    let third = ssh_key("k-3", "ana", second.principal.expires);
    assert_eq!(store.insert_ssh_key(&third).await.unwrap(), Added::New);
    let listed = store.list_ssh_keys(10).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.revoked).collect::<Vec<_>>(), [None, None, Some(NOW)]);
    assert_eq!(store.ssh_key(&second.principal.token).await.unwrap(), Some(second));
    assert_eq!(store.ssh_key(&TokenId::new("k-9").unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn keys_of_runs_are_listed_until_they_are_removed() {
    let (_dir, store) = store().await;
    let of_run = |id: &str, key: u8| {
        let row = ssh_key(id, "ana", NOW);
        let principal = Principal { run: Some(RunId::new("r-1").unwrap()), ..row.principal };
        SshKeyRow { principal, key: vec![key], ..row }
    };
    for row in [ssh_key("k-1", "ana", NOW), of_run("k-2", 7), of_run("k-3", 8)] {
        assert_eq!(store.insert_ssh_key(&row).await.unwrap(), Added::New);
    }
    for id in ["k-1", "k-2"] {
        assert!(store.revoke_token(&TokenId::new(id).unwrap(), NOW).await.unwrap());
    }
    let listed = store.list_ssh_keys(10).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|row| row.principal.token.as_str()).collect();
    assert_eq!(ids, ["k-3", "k-1"]);
    assert!(store.ssh_key(&TokenId::new("k-2").unwrap()).await.unwrap().unwrap().revoked.is_some());
}

fn made(id: &str, days: Option<u16>) -> Made {
    Made { object: Object { class: "response".to_owned(), id: id.to_owned() }, days }
}

/// Whose these are at the target.
async fn owners(store: &Sqlite, ids: &[&str]) -> Vec<Option<String>> {
    let objects: Vec<Object> = ids.iter().map(|id| made(id, None).object).collect();
    store.object_owners(&TargetName::new("api").unwrap(), &objects).await.unwrap()
}

#[tokio::test]
async fn an_object_is_its_first_owners_until_it_is_over() {
    const DAY: i64 = 24 * 60 * 60;
    let (_dir, store) = store().await;
    let target = TargetName::new("api").unwrap();
    let (ann, bob) = (Some("ann".to_owned()), Some("bob".to_owned()));
    let all = [made("file-1", None), made("resp_1", Some(90)), made("resp_2", Some(90))];
    store.claim_objects(&target, "ann", &all, NOW).await.unwrap();
    store.claim_objects(&target, "bob", &all, NOW).await.unwrap();
    let ids = ["file-1", "resp_1", "resp_2"];
    assert_eq!(owners(&store, &ids).await, [ann.clone(), ann.clone(), ann.clone()]);
    // Told of once more it lasts longer, and nobody else can make it last or end.
    let later = NOW.plus_seconds(60 * DAY);
    store.claim_objects(&target, "ann", &[made("resp_2", Some(90))], later).await.unwrap();
    store.claim_objects(&target, "bob", &[made("resp_2", Some(0)), made("resp_1", Some(900))], later).await.unwrap();
    let over = NOW.plus_seconds(90 * DAY + 1);
    store.claim_objects(&target, "bob", &[made("resp_3", Some(90))], over).await.unwrap();
    assert_eq!(owners(&store, &ids).await, [ann.clone(), None, ann.clone()]);
    assert_eq!(owners(&store, &["resp_3"]).await, [bob]);
    let long_over = NOW.plus_seconds(1000 * DAY);
    store.claim_objects(&target, "bob", &[], long_over).await.unwrap();
    assert_eq!(owners(&store, &["file-1", "resp_2", "resp_3"]).await, [ann, None, None]);
}
