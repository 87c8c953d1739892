//! Sessions that several flows share.

use std::time::Duration;

use sluice_kernel::{ApprovalRequest, Limits, Settlement};
use sluice_model::{Code, HoldId, Refusal};
use sluice_wire::{Broker as _, Grant as _, Input, Machine, Outbox, Violation, Wants};

use crate::harness::{Session, Setup, World, ana, patiently, peer, target_name};
use crate::recorder::Faults;
use crate::toy::{Line, Toy};

fn brief() -> Setup {
    Setup { limits: Limits { idle_seconds: 1, ..Limits::STANDARD }, ..Setup::default() }
}

/// Watches until a session has ended because it was idle.
async fn idle_ends(world: &World) {
    let kernel = std::sync::Arc::clone(&world.kernel);
    let watching = tokio::spawn(async move { kernel.watch().await });
    patiently(async {
        while !world.log.has("finish idle") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    watching.abort();
}

#[tokio::test]
async fn flows_of_one_credential_at_one_target_are_one_session() {
    let world = World::new(Setup::default());
    let first = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    let second = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    assert_eq!(first.session(), second.session());
    assert_eq!(world.kernel.live().len(), 1);
    let alone = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    assert_ne!(first.session(), alone.session());
    let mut elsewhere = peer();
    elsewhere.address.set_ip("192.0.2.99".parse().unwrap());
    let elsewhere = world.kernel.join(&ana(), &target_name("shop"), elsewhere).await.unwrap();
    assert_ne!(first.session(), elsewhere.session());
}

#[tokio::test]
async fn nobody_joins_a_session_whose_recording_failed() {
    let faults = Faults { append: Some(3), ..Faults::default() };
    let world = World::new(Setup { faults, ..brief() });
    let mut session = world.share_toy().await;
    let first = world.kernel.live()[0].session.clone();
    session.client.say("ask apple\n").await;
    session.client.expect("closed the session cannot be recorded, so it ends").await;
    session.ended().await.unwrap_err();
    let next = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    assert_ne!(*next.session(), first);
    // The one that failed ends like any other.
    let gone = Refusal::builtin(Code::Unavailable, "gone", "the server is gone");
    world.kernel.abandon(next, &gone).await;
    idle_ends(&world).await;
    world.kernel.shutdown(Duration::from_secs(10)).await;
    assert_eq!(world.kernel.live().len(), 0);
}

#[tokio::test]
async fn many_first_flows_at_once_open_one_session() {
    let world = World::new(Setup::default());
    let joining = (0..20).map(|_| {
        let kernel = std::sync::Arc::clone(&world.kernel);
        tokio::spawn(async move { kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap().session().clone() })
    });
    let mut sessions = std::collections::BTreeSet::new();
    for joined in joining.collect::<Vec<_>>() {
        sessions.insert(patiently(joined).await.unwrap());
    }
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_session_without_flows_ends_and_the_next_flow_begins_another() {
    let world = World::new(brief());
    let grant = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    let session = grant.session().clone();
    let gone = Refusal::builtin(Code::Unavailable, "gone", "the server is gone");
    world.kernel.abandon(grant, &gone).await;
    assert!(!world.log.has("finish idle"), "a session that is shared outlives its flow");
    idle_ends(&world).await;
    assert_eq!(world.kernel.live().len(), 0);
    let next = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    assert_ne!(*next.session(), session);
}

#[tokio::test]
async fn what_a_flow_wrote_does_not_wait_for_another() {
    let world = World::new(Setup::default());
    let _other = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    let grant = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    let gone = Refusal::builtin(Code::Unavailable, "gone", "the server is gone");
    world.kernel.abandon(grant, &gone).await;
    assert_eq!(world.log.story().last().map(String::as_str), Some("commit"));
}

#[tokio::test]
async fn revocation_ends_every_flow_and_the_session() {
    let world = World::new(Setup::default());
    let mut one = world.share_toy().await;
    let mut two = world.share_toy().await;
    one.client.say("ping\n").await;
    one.server.expect("ping").await;
    world.revoked.revoke("t-ana");
    let kernel = std::sync::Arc::clone(&world.kernel);
    let watching = tokio::spawn(async move { kernel.watch().await });
    for session in [&mut one, &mut two] {
        session.client.expect("closed the token of this session was revoked").await;
    }
    one.ended().await.unwrap_err();
    two.ended().await.unwrap_err();
    patiently(async {
        while !world.log.has("finish revoked") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn shutting_down_leaves_shared_flows_their_time() {
    let world = World::new(Setup::default());
    let (mut one, mut two) = (world.share_toy().await, world.share_toy().await);
    let start = tokio::time::Instant::now();
    let kernel = std::sync::Arc::clone(&world.kernel);
    let stopping = tokio::spawn(async move { kernel.shutdown(Duration::from_secs(30)).await });
    tokio::time::sleep(Duration::from_secs(29)).await;
    one.client.say("ask apple\n").await;
    one.server.expect("ask apple").await;
    one.server.say("ok\n").await;
    one.client.expect("ok").await;
    one.client.hang_up().await;
    one.ended().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 29);
    // The other does not end by itself.
    two.client.expect("closed the broker is shutting down").await;
    assert_eq!(start.elapsed().as_secs(), 30);
    stopping.await.unwrap();
    assert!(world.kernel.live().is_empty() && start.elapsed().as_secs() < 32, "{:?}", start.elapsed());
}

#[tokio::test]
async fn shutting_down_finishes_shared_sessions() {
    let world = World::new(Setup::default());
    let grant = world.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
    let gone = Refusal::builtin(Code::Unavailable, "gone", "the server is gone");
    world.kernel.abandon(grant, &gone).await;
    world.kernel.shutdown(Duration::from_secs(10)).await;
    assert!(world.log.has("finish idle"), "nothing of it was cut");
    assert_eq!(world.kernel.live().len(), 0);
}

/// A toy that does not wait for people, but leaves its request standing.
#[derive(Default)]
struct Hasty(Toy);

impl Machine for Hasty {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        if let Input::Waiting(op, _) = input {
            out.leave(op);
            return Ok(());
        }
        self.0.handle(input, out)
    }

    fn wants(&self) -> Wants {
        self.0.wants()
    }
}

/// A flow that has left its request standing, and the request.
async fn left_standing() -> (World, Session, HoldId) {
    let (world, session, request) = left_under(Limits { nudge_seconds: 1, ..Limits::STANDARD }).await;
    (world, session, request.id)
}

async fn left_under(limits: Limits) -> (World, Session, ApprovalRequest) {
    let mut world = World::new(Setup { limits, ..Setup::default() });
    let mut session = world.share(Hasty::default()).await;
    session.client.say("put gold x\n").await;
    let request = patiently(world.desk.filed.recv()).await.unwrap();
    session.client.expect(&format!("held {} gold needs an approval", request.id)).await;
    session.client.expect("refused hold-pending the request still waits for approval").await;
    (world, session, request)
}

#[tokio::test]
async fn a_session_is_not_idle_while_people_are_asked() {
    let limits = Limits { nudge_seconds: 1, idle_seconds: 1, hold_seconds: 5, ..Limits::STANDARD };
    let (mut world, mut session, request) = left_under(limits).await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    idle_ends(&world).await;
    assert!(sluice_kernel::clock::now() >= request.expires, "it ended while somebody could approve");
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(request.id));
}

#[tokio::test]
async fn an_equal_operation_takes_a_standing_request_up() {
    let (mut world, mut first, id) = left_standing().await;
    world.people.approve(&id);
    first.client.hang_up().await;
    let mut second = world.share(Hasty::default()).await;
    second.client.say("put gold x\n").await;
    // It is allowed as if nobody had had to be asked: there is nothing to wait for.
    second.server.expect("put gold x").await;
    assert_eq!(world.people.used(), 1);
    assert!(world.desk.filed.try_recv().is_err(), "nobody is asked twice");
}

/// Two flows of a session that ask for the same at one time leave a request each, and none of them is lost.
#[tokio::test]
async fn equal_requests_that_stand_are_taken_up_in_turn() {
    let (mut world, _first, one) = left_standing().await;
    let mut second = world.share(Hasty::default()).await;
    // It takes the first up, so that a third flow finds none and files its own.
    second.client.say("put gold x\n").await;
    second.client.expect(&format!("held {one} gold needs an approval")).await;
    let mut third = world.share(Hasty::default()).await;
    third.client.say("put gold x\n").await;
    let two = patiently(world.desk.filed.recv()).await.unwrap().id;
    third.client.expect(&format!("held {two} gold needs an approval")).await;
    for session in [&mut second, &mut third] {
        session.client.expect("refused hold-pending the request still waits for approval").await;
    }
    world.people.approve(&one);
    world.people.approve(&two);
    for session in [&mut second, &mut third] {
        session.client.say("put gold x\n").await;
        session.server.expect("put gold x").await;
    }
    assert_eq!(world.people.used(), 2);
    assert!(world.desk.filed.try_recv().is_err(), "nobody is asked a third time");
}

#[tokio::test]
async fn a_request_that_nobody_has_answered_is_waited_for_by_whoever_comes_back() {
    let (world, mut session, id) = left_standing().await;
    session.client.say("put gold x\n").await;
    session.client.expect(&format!("held {id} gold needs an approval")).await;
    world.people.approve(&id);
    session.server.expect("put gold x").await;
}

#[tokio::test]
async fn another_operation_does_not() {
    let (mut world, mut session, id) = left_standing().await;
    session.client.say("put gold y\n").await;
    let other = patiently(world.desk.filed.recv()).await.unwrap();
    assert_ne!(other.id, id);
    // Nor does another session.
    let mut alone = world.carry_toy().await;
    alone.client.say("put gold x\n").await;
    let third = patiently(world.desk.filed.recv()).await.unwrap();
    assert_ne!(third.id, id);
}

#[tokio::test]
async fn a_denial_reaches_whoever_comes_back() {
    let (world, mut session, id) = left_standing().await;
    world.people.settle(&id, Settlement::Denied { by: "dan".to_owned() });
    session.client.say("put gold x\n").await;
    session.client.expect("refused hold-denied the request for approval was denied").await;
}

#[tokio::test]
async fn a_request_that_stands_is_withdrawn_with_its_session() {
    let (mut world, mut session, id) = left_standing().await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    world.kernel.shutdown(Duration::from_secs(10)).await;
    assert_eq!(patiently(world.desk.withdrawn.recv()).await, Some(id));
}
