//! Operations that wait for people.

use sluice_kernel::{Limits, Settlement};
use sluice_model::{Code, HoldId, Obligations, OpId, Part, Refusal, Stage};
use sluice_wire::{FlowError, Gone, Input, Interrupted, Machine, Outbox, Violation, Wants};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Duration, Instant};

use crate::harness::{POLICIES, Session, Setup, World, patiently};
use crate::recorder::Entry;
use crate::toy::{Line, Toy};

/// A session whose client waits for an approval.
async fn held(setup: Setup) -> (World, Session, HoldId) {
    let mut world = World::new(setup);
    let mut session = world.carry_toy().await;
    session.client.say("put gold x\n").await;
    let request = patiently(world.desk.filed.recv()).await.unwrap();
    session.client.expect(&format!("held {} gold needs an approval", request.id)).await;
    (world, session, request.id)
}

/// The flow works as if nothing had happened.
async fn is_usable(session: &mut Session) {
    session.client.say("ask pear\n").await;
    session.server.expect("ask pear").await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
}

#[tokio::test]
async fn a_request_says_what_would_happen_and_is_recorded_before_anyone_is_asked() {
    let mut world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("put gold x\n").await;
    let request = patiently(world.desk.filed.recv()).await.unwrap();
    let before = world.people.story_at_filing();
    assert_eq!(before, ["ask 1 toy.write", "hold 1 gold-gate", "hold 1 for dba", "commit", "sync"]);
    assert_eq!((request.action, request.text.as_slice()), ("toy.write", &b"put gold x\n"[..]));
    assert_eq!((request.rule.as_str(), request.message.as_str()), ("gold-gate", "gold needs an approval"));
    assert_eq!(request.approvals[0].approvers.as_str(), "dba");
    assert_eq!(request.expires, request.requested.plus_seconds(20));
    let asked = crate::toy::operation(crate::toy::WRITE, "gold", &b"put gold x\n".to_vec().into());
    assert_eq!(asked.stage, Stage::Perform);
    assert!(session.client.line().await.starts_with("held h-"));
    session.client.hang_up().await;
    session.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_is_for_one_part_of_its_target() {
    let mut world = World::new(Setup::default());
    let mut asked = Vec::new();
    for part in [None, Some(""), Some("attic"), Some("cellar"), Some("attic")] {
        let mut session = match part {
            Some(part) => world.carry_toy_at(part).await,
            None => world.carry_toy().await,
        };
        session.client.say("put gold x\n").await;
        let request = patiently(world.desk.filed.recv()).await.unwrap();
        assert_eq!(request.part.as_ref().map(Part::as_str), part);
        asked.push(request.digest);
    }
    assert_eq!(asked.pop(), Some(asked[2]));
    asked.dedup();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn an_approved_operation_is_forwarded_once_and_what_came_later_follows_it() {
    let (world, mut session, id) = held(Setup::default()).await;
    session.client.say("ping\nput gold y\n").await;
    world.people.approve(&id);
    session.server.expect("put gold x").await;
    session.server.expect("ping").await;
    assert_eq!(world.people.used(), 1);
    assert!(session.client.line().await.starts_with("held "), "another operation needs another approval");
    session.server.say("ok\npong\n").await;
    session.client.expect("ok").await;
    session.client.expect("pong").await;
    assert!(world.log.has("approved 1 by dan"));
    session.client.hang_up().await;
    assert_eq!(session.server.rest().await, "");
    session.ended().await.unwrap();
    world.log.check_order();
}

#[tokio::test]
async fn a_denied_request_is_a_refusal() {
    let (world, mut session, id) = held(Setup::default()).await;
    world.people.settle(&id, Settlement::Denied { by: "dan".to_owned() });
    session.client.expect("refused hold-denied the request for approval was denied").await;
    is_usable(&mut session).await;
    assert!(world.log.has("denied 1 by dan") && world.log.has("deny 1 hold-denied"));
    session.client.hang_up().await;
    session.ended().await.unwrap();
    assert_eq!(world.log.closing().refused, 1);
}

#[tokio::test]
async fn a_request_that_was_cancelled_elsewhere_is_a_refusal() {
    let (world, mut session, id) = held(Setup::default()).await;
    world.people.settle(&id, Settlement::Cancelled);
    session.client.expect("refused hold-withdrawn the request for approval was withdrawn").await;
    is_usable(&mut session).await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_expires() {
    let start = Instant::now();
    let (mut world, mut session, id) = held(Setup::default()).await;
    session.client.expect("refused hold-expired nobody approved the request in time").await;
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!(world.desk.withdrawn.recv().await, Some(id));
    assert!(world.log.has("expired 1 by "));
    is_usable(&mut session).await;
}

#[tokio::test(start_paused = true)]
async fn no_rule_makes_a_hold_longer_than_the_limit() {
    for (limit, waits) in [(19, 19), (20, 20), (21, 20)] {
        let mut setup = Setup::default();
        setup.limits.hold_seconds = limit;
        let start = Instant::now();
        let (_world, mut session, _id) = held(setup).await;
        session.client.expect("refused hold-expired nobody approved the request in time").await;
        assert_eq!(start.elapsed().as_secs(), waits);
    }
}

#[tokio::test]
async fn an_interrupt_withdraws_a_hold_and_nothing_else() {
    let (mut world, mut session, id) = held(Setup::default()).await;
    assert_eq!(session.interrupt.withdraw(), Interrupted::Hold);
    session.client.expect("refused hold-withdrawn the request for approval was withdrawn").await;
    assert_eq!(world.desk.withdrawn.recv().await, Some(id));
    assert_eq!(session.interrupt.withdraw(), Interrupted::Nothing);
    is_usable(&mut session).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    // What it sent after the operation must not keep its leaving from being seen.
    for later in ["", "ping\n", "ping\nask apple\nput gold y\n"] {
        let (mut world, mut session, id) = held(Setup::default()).await;
        session.client.say(later).await;
        drop(session.client);
        assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
        assert_eq!(session.server.rest().await, "");
        session.carrying.await.unwrap().unwrap();
        assert!(world.log.has("withdrawn 1 by "), "{later}");
    }
}

/// A hold before which more than the flow reads ahead waits, so that the client's end cannot be read.
async fn crowded() -> (World, Session, HoldId) {
    let mut setup = Setup { room: 4_000, ..Setup::default() };
    setup.limits.high_water_bytes = 100;
    let (world, mut session, id) = held(setup).await;
    session.client.say(&"ping\n".repeat(400)).await;
    (world, session, id)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_whatever_waits_before_its_end() {
    for gone in [Gone::Silent, Gone::Left] {
        let (mut world, mut session, id) = crowded().await;
        session.absence.set(gone);
        let start = Instant::now();
        assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
        assert!(start.elapsed() <= Duration::from_secs(2));
        assert_eq!(session.server.rest().await, "");
        session.carrying.await.unwrap().unwrap();
        assert!(world.log.has("withdrawn 1 by "));
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_not_used_up_for_a_client_that_has_left() {
    let (mut world, mut session, id) = crowded().await;
    session.absence.set(Gone::Left);
    world.people.approve(&id);
    assert_eq!(session.server.rest().await, "");
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
    assert_eq!(world.people.used(), 0);
    assert!(world.log.has("withdrawn 1 by ") && !world.log.has("approved 1 by dan"));
}

#[tokio::test(start_paused = true)]
async fn an_approval_waits_until_it_is_known_that_the_client_is_there() {
    let (world, mut session, id) = crowded().await;
    session.absence.set(Gone::Hidden);
    tokio::time::sleep(Duration::from_secs(10)).await;
    // That alone withdraws nothing.
    world.people.approve(&id);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.people.used(), 0);
    session.absence.clear();
    session.server.expect("put gold x").await;
    assert_eq!(world.people.used(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_not_used_up_for_a_client_of_which_nobody_can_tell() {
    let (mut world, mut session, id) = crowded().await;
    session.absence.set(Gone::Hidden);
    world.people.approve(&id);
    let start = Instant::now();
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
    assert!(start.elapsed() <= Duration::from_secs(Limits::STANDARD.linger_seconds + 2), "{:?}", start.elapsed());
    assert_eq!(session.server.rest().await, "");
    assert_eq!(world.people.used(), 0);
}

#[tokio::test]
async fn the_last_word_of_a_client_comes_before_an_approval_of_the_same_moment() {
    let (mut world, mut session, id) = held(Setup::default()).await;
    world.people.approve(&id);
    session.client.hang_up().await;
    assert_eq!(session.server.rest().await, "");
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
    assert_eq!(world.people.used(), 0);
}

#[tokio::test]
async fn a_flow_that_is_given_up_leaves_no_request_behind() {
    let (mut world, session, id) = held(Setup::default()).await;
    session.carrying.abort();
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
}

#[tokio::test(start_paused = true)]
async fn what_a_waiting_client_sends_is_bounded() {
    let mut setup = Setup { room: 64, ..Setup::default() };
    setup.limits.high_water_bytes = 1_000;
    let (world, mut session, id) = held(setup).await;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(1), session.client.stream.write_all(b"ping\n")).await.is_ok() {
        sent += 5;
        assert!(sent < 1_000_000, "there is no bound");
    }
    // What was kept, what was read with it, and what the stream itself holds.
    assert!((1_000..=1_000 + 5 + 64 + 64).contains(&sent), "{sent}");
    world.people.approve(&id);
    session.server.expect("put gold x").await;
}

#[tokio::test]
async fn policies_that_change_meanwhile_make_an_approval_stale() {
    let (world, mut session, id) = held(Setup::default()).await;
    world.replace(POLICIES);
    world.people.approve(&id);
    session.client.expect("refused hold-stale policies changed while the request waited").await;
    assert!(world.log.has("deny 1 hold-stale"));
    is_usable(&mut session).await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
}

#[tokio::test]
async fn an_approval_that_was_used_up_is_no_approval() {
    let (world, mut session, id) = held(Setup::default()).await;
    world.people.use_up(&id);
    world.people.approve(&id);
    session.client.expect("refused hold-expired nobody approved the request in time").await;
    is_usable(&mut session).await;
}

#[tokio::test]
async fn too_few_approvals_are_no_approval() {
    let (world, mut session, id) = held(Setup::default()).await;
    world.people.settle(&id, Settlement::Approved { by: Vec::new(), expires: sluice_model::UnixMicros(i64::MAX / 2) });
    session.client.expect("refused gold-gate gold needs an approval").await;
    is_usable(&mut session).await;
}

#[tokio::test]
async fn the_server_is_heard_during_a_hold() {
    let mut world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nput gold x\n").await;
    session.server.expect("ask apple").await;
    let request = patiently(world.desk.filed.recv()).await.unwrap();
    session.client.expect(&format!("held {} gold needs an approval", request.id)).await;
    session.server.say("row 1\nnews it rains\nok\n").await;
    for line in ["row 1", "news it rains", "ok"] {
        session.client.expect(line).await;
    }
    world.people.approve(&request.id);
    session.server.expect("put gold x").await;
}

#[tokio::test]
async fn what_is_too_long_to_be_shown_is_refused_and_nobody_is_asked() {
    let limits = Limits { shown_bytes: "put gold x\n".len(), ..Limits::STANDARD };
    let (mut world, mut session, id) = held(Setup { limits, ..Setup::default() }).await;
    world.people.approve(&id);
    session.server.expect("put gold x").await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
    session.client.say("put gold xy\n").await;
    session
        .client
        .expect("refused hold-too-large it needs an approval, and is too long to be shown to people whole")
        .await;
    assert!(world.log.has("deny 2 hold-too-large"));
    assert!(world.desk.filed.try_recv().is_err());
    is_usable(&mut session).await;
}

#[tokio::test]
async fn nobody_to_ask_is_a_refusal() {
    let world = World::new(Setup { people_away: true, ..Setup::default() });
    let mut session = world.carry_toy().await;
    session.client.say("put gold x\n").await;
    session.client.expect("refused nobody-home nobody can be asked").await;
    assert!(world.log.has("deny 1 nobody-home"));
    is_usable(&mut session).await;
}

/// A toy that can do nothing with an allow.
#[derive(Default)]
struct Unable(Toy);

impl Machine for Unable {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        self.0.handle(input, out)
    }

    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn unkept(&self, _: OpId, _: &Obligations) -> Option<Refusal> {
        Some(Refusal::builtin(Code::Unsupported, "unable", "nothing can be covered here"))
    }
}

#[tokio::test]
async fn nobody_is_asked_for_what_would_be_refused_in_the_end() {
    let mut world = World::new(Setup::default());
    let mut session = world.carry(Unable::default()).await;
    session.client.say("put gold x\n").await;
    session.client.expect("refused unable nothing can be covered here").await;
    assert!(world.log.has("deny 1 unable") && !world.log.has("hold 1 gold-gate"));
    assert!(world.desk.filed.try_recv().is_err());
    is_usable(&mut session).await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_takes_its_request_with_it() {
    let (mut world, mut session, id) = held(Setup::default()).await;
    let watching = std::sync::Arc::clone(&world.kernel);
    let watch = tokio::spawn(async move { watching.watch().await });
    world.revoked.revoke("t-ana");
    let start = Instant::now();
    session.client.expect("closed the token of this session was revoked").await;
    assert!(start.elapsed() <= Duration::from_secs(10));
    assert!(matches!(session.ended().await, Err(FlowError::Revoked)));
    assert_eq!(world.desk.withdrawn.recv().await, Some(id));
    assert!(world.log.has("revoked 1 by "));
    assert!(
        !world.log.entries().iter().any(|entry| matches!(entry, Entry::Wrote(sluice_recording::Toward::Server, _)))
    );
    watch.abort();
}
