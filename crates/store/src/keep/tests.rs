#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_kernel::{ApprovalRequest, Approve as _, Settlement};
use sluice_model::{
    Approval, Digest, Environment, Group, HoldId, OpId, Part, Person, Principal, RuleId, RunId, Scope, Target,
    TargetName, TokenId, Unit, UnixMicros, Who,
};
use sluice_recording::{Content, Passed, Stored, Toward};
use sluice_wire::Peer;
use tempfile::TempDir;

use super::*;
use crate::{Approvals as _, Archive, Holds, Limits, Sessions as _, Sqlite};

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);
const LIMITS: Limits = Limits { min_free_percent: 0, ample_bytes: 0, min_free_bytes: 0, reserve_bytes: 4096 };

struct Bench {
    dir: TempDir,
    store: Arc<Sqlite>,
    keeper: Keeper,
}

impl Bench {
    async fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&dir.path().join("db")).await.unwrap());
        let recordings = Arc::new(Recordings::open(&dir.path().join("recordings"), limits, NOW).unwrap());
        let keeper = Keeper::new(recordings, Arc::<Sqlite>::clone(&store), "0.0.0-test");
        Self { dir, store, keeper }
    }

    fn archive(&self) -> Archive {
        Archive::at(self.dir.path().join("recordings"))
    }
}

fn user(name: &str, group: &str) -> Principal {
    let groups = BTreeSet::from([Group::new(group).unwrap()]);
    Principal {
        who: Who::User(Person { name: name.to_owned(), groups }),
        token: TokenId::new("t-1").unwrap(),
        expires: NOW.plus_seconds(60),
        targets: None,
        run: None,
    }
}

fn opening(id: &str) -> Opening {
    Opening {
        session: SessionId::new(id).unwrap(),
        principal: user("ana", "staff"),
        target: Target {
            name: TargetName::new("shop").unwrap(),
            environment: Environment::new("prod").unwrap(),
            protocol: "postgres",
            part: Some(Part::new("stock")),
        },
        peer: Peer { address: "127.0.0.1:5000".parse().unwrap() },
        policy_epoch: 7,
        schema_version: 1,
        at: NOW,
    }
}

fn closing() -> Closing {
    Closing {
        reason: "client",
        at: NOW.plus_seconds(3),
        operations: 2,
        refused: 1,
        bytes_to_client: 30,
        bytes_to_server: 40,
    }
}

#[tokio::test]
async fn a_session_is_kept_from_its_opening_to_its_close() {
    let bench = Bench::new(LIMITS).await;
    let session = SessionId::new("s-1").unwrap();
    let mut opening = opening("s-1");
    opening.principal.run = Some(RunId::new("r-1").unwrap());
    let mut recorder = bench.keeper.begin(opening).await.unwrap();
    assert!(bench.store.show_session(&session).await.unwrap().unwrap().end.is_none());
    let passed = Passed { op: OpId(1), toward: Toward::Client, frame: Content(b"Z") };
    let mut batch = Batch::default();
    batch.add(FlowId(0), 10, &Event::Passed(passed)).unwrap();
    recorder.append(&mut batch).unwrap();
    assert!(batch.is_empty());
    recorder.commit().unwrap();
    recorder.sync().await.unwrap();
    recorder.finish(20, closing()).await.unwrap();

    let end = bench.store.show_session(&session).await.unwrap().unwrap().end.unwrap();
    assert_eq!((end.reason.as_str(), end.operations, end.bytes_to_server), ("client", 2, 40));
    assert!(bench.archive().verify_all().unwrap().is_sound());
    let mut replay = bench.archive().replay(&session).unwrap();
    let Some(Stored { event: Event::Opened(opened), .. }) = replay.next_event().unwrap() else {
        unreachable!("the first event opens the session")
    };
    assert_eq!((&*opened.client, &*opened.policy_epoch), ("127.0.0.1:5000", "7"));
    assert_eq!((&*opened.broker_version, opened.run.as_deref()), ("0.0.0-test", Some("r-1")));
    assert!(replay.next_event().unwrap().is_some());
    let last = replay.next_event().unwrap().unwrap().event;
    assert_eq!(last, Event::Closed(closed(&closing())));
    assert!(replay.next_event().unwrap().is_none());
}

#[tokio::test]
async fn a_session_that_cannot_be_recorded_does_not_begin() {
    let limits = Limits { min_free_bytes: u64::MAX, ..LIMITS };
    let bench = Bench::new(limits).await;
    assert!(bench.keeper.admits().is_err());
    assert!(bench.keeper.begin(opening("s-1")).await.is_err());
    let row = bench.store.show_session(&SessionId::new("s-1").unwrap()).await.unwrap().unwrap();
    assert_eq!(row.end.unwrap().reason, "unrecorded");
    assert!(bench.archive().sessions().unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_recorder_closes_its_session_as_crashed() {
    let bench = Bench::new(LIMITS).await;
    let recorder = bench.keeper.begin(opening("s-1")).await.unwrap();
    bench.keeper.tend().await;
    let session = SessionId::new("s-1").unwrap();
    assert!(bench.store.show_session(&session).await.unwrap().unwrap().end.is_none());
    drop(recorder);
    bench.keeper.tend().await;
    assert_eq!(bench.store.show_session(&session).await.unwrap().unwrap().end.unwrap().reason, "crash");
    assert!(bench.archive().verify_all().unwrap().is_sound());
}

fn request(id: &str) -> ApprovalRequest {
    ApprovalRequest {
        id: HoldId::new(id).unwrap(),
        session: SessionId::new("s-1").unwrap(),
        principal: user("ana", "staff"),
        target: TargetName::new("shop").unwrap(),
        part: Some(Part::new("stock")),
        action: "sql.write",
        rule: RuleId::new("r").unwrap(),
        message: "m".to_owned(),
        approvals: vec![Approval {
            approvers: Group::new("dba").unwrap(),
            count: 1,
            scope: Scope::Statement,
            ttl_seconds: 60,
        }],
        text: b"x".to_vec(),
        bound: None,
        digest: Digest([1; 32]),
        requested: NOW,
        expires: NOW.plus_seconds(60),
    }
}

/// An answer that must come: a wait that hangs fails the test instead.
async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
}

#[tokio::test]
async fn who_waits_is_woken_by_every_kind_of_answer() {
    let bench = Bench::new(LIMITS).await;
    let holds = Holds::new(Arc::<Sqlite>::clone(&bench.store));
    let bob = user("bob", "dba");
    for id in ["approved", "denied", "withdrawn", "elsewhere"] {
        let filed = request(id);
        holds.request(filed.clone()).await.unwrap();
        let waiting = {
            let (holds, id) = (holds.clone(), filed.id.clone());
            tokio::spawn(async move { holds.settled(id).await })
        };
        tokio::task::yield_now().await;
        let expected = match id {
            "approved" => {
                holds.approve(&filed.id, &bob, NOW).await.unwrap();
                Settlement::Approved { by: vec!["bob".to_owned()], expires: filed.expires }
            }
            "denied" => {
                holds.deny(&filed.id, &bob, NOW).await.unwrap();
                Settlement::Denied { by: "bob".to_owned() }
            }
            "withdrawn" => {
                sluice_kernel::Approve::withdraw(&holds, filed.id.clone(), NOW).await;
                Settlement::Cancelled
            }
            // Written by another process: found without being told.
            _ => {
                bench.store.approve(&filed.id, &bob, NOW).await.unwrap();
                Settlement::Approved { by: vec!["bob".to_owned()], expires: filed.expires }
            }
        };
        assert_eq!(soon(waiting).await.unwrap(), expected, "{id}");
    }
    let nobody = holds.settled(HoldId::new("unknown").unwrap());
    assert_eq!(soon(nobody).await, Settlement::Cancelled);
}

#[tokio::test]
async fn the_port_consumes_an_approval_once() {
    let bench = Bench::new(LIMITS).await;
    let holds = Holds::new(Arc::<Sqlite>::clone(&bench.store));
    let filed = request("h-1");
    holds.request(filed.clone()).await.unwrap();
    holds.approve(&filed.id, &user("bob", "dba"), NOW).await.unwrap();
    assert!(holds.consume(filed.id.clone(), filed.digest, NOW).await);
    assert!(!holds.consume(filed.id.clone(), filed.digest, NOW).await);
}

#[tokio::test]
async fn the_port_keeps_budgets_until_their_window_has_passed() {
    let bench = Bench::new(LIMITS).await;
    let day = clock::now().seconds().div_euclid(86_400);
    let spent = |window| Spent {
        rule: RuleId::new("daily").unwrap(),
        unit: Unit::Tokens,
        window_seconds: 86_400,
        whose: "user:ana".to_owned(),
        window,
        used: 7,
    };
    bench.keeper.keep_spent(vec![spent(day)]).await.unwrap();
    // A test that runs over midnight sees the next day.
    let kept = bench.keeper.spent().await.unwrap();
    assert!(kept == [spent(day)] || clock::now().seconds().div_euclid(86_400) > day);
    bench.keeper.keep_spent(vec![spent(day - 1)]).await.unwrap();
    assert_eq!(bench.keeper.spent().await.unwrap(), []);
}
