//! How sessions end: revocation, shutdown, and peers that close.

use std::sync::Arc;

use sluice_kernel::Limits;
use sluice_model::{Code, Refusal, SessionId, UnixMicros};
use sluice_wire::{Broker as _, FlowError, Gone};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};

use crate::harness::{POLICIES, Session, Setup, World, ana, peer, target_name};

/// Longest that a revoked session may go on.
const AT_ONCE: Duration = Duration::from_secs(10);

fn watch(world: &World) -> JoinHandle<()> {
    let kernel = Arc::clone(&world.kernel);
    tokio::spawn(async move { kernel.watch().await })
}

/// A result is under way whose end never comes.
async fn ends_mid_result(revoke: impl FnOnce(&World), farewell: &str) {
    let world = World::new(Setup::default());
    let _watch = watch(&world);
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\n").await;
    session.server.expect("ask apple").await;
    session.server.say("row 1\n").await;
    session.client.expect("row 1").await;
    let start = Instant::now();
    revoke(&world);
    session.client.expect(&format!("closed {farewell}")).await;
    session.client.expect("").await;
    assert_eq!(session.server.rest().await, "");
    assert!(matches!(session.ended().await, Err(FlowError::Revoked)));
    assert!(start.elapsed() <= AT_ONCE, "{:?}", start.elapsed());
    assert_eq!(world.log.closing().reason, "revoked");
    assert!(world.kernel.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_its_sessions_mid_result() {
    ends_mid_result(|world| world.revoked.revoke("t-ana"), "the token of this session was revoked").await;
}

#[tokio::test(start_paused = true)]
async fn what_counts_no_longer_ends_the_sessions_that_signed_in_with_it_mid_result() {
    let farewell = "what this session signed in with does not count any more";
    ends_mid_result(|world| world.revoked.doubt("t-ana"), farewell).await;
}

#[tokio::test(start_paused = true)]
async fn policies_that_no_longer_let_it_connect_end_a_session_mid_result() {
    let farewell = "leave to connect to this target was withdrawn";
    let without = POLICIES.replace(r#"@id("connect") permit"#, r#"@id("connect") forbid"#);
    ends_mid_result(|world| world.replace(&without), farewell).await;
}

#[tokio::test(start_paused = true)]
async fn other_policies_let_a_session_go_on() {
    let world = World::new(Setup::default());
    let _watch = watch(&world);
    let mut session = world.carry_toy().await;
    world.replace(&POLICIES.replace("\"red\"", "\"apple\""));
    tokio::time::advance(AT_ONCE).await;
    session.client.say("ask red\nask apple\n").await;
    session.server.expect("ask red").await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
    session.client.expect("refused no-red red is not for you").await;
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_token() {
    let world = World::new(Setup::default());
    let mut who = ana();
    who.expires = UnixMicros(sluice_kernel::clock::now().0 - 1);
    let grant = world.kernel.open(&who, &target_name("shop"), None, peer()).await.unwrap();
    let _watch = watch(&world);
    let ((client, near), (_server, far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
    let link = |stream, side| sluice_wire::Framed::new(stream, crate::toy::Codec, side, bytes::BytesMut::new());
    let (near, far) = (link(near, sluice_wire::Side::Client), link(far, sluice_wire::Side::Server));
    let start = Instant::now();
    let result = world.kernel.carry(grant, crate::toy::Toy::default(), near, far).await;
    assert!(matches!(result, Err(FlowError::Revoked)) && start.elapsed() <= AT_ONCE);
    drop(client);
    assert!(world.log.has("note session-ended token-expired"));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_client_that_does_not_read_is_cut_off() {
    let world = World::new(Setup { room: 16, ..Setup::default() });
    let _watch = watch(&world);
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nask pear\n").await;
    session.server.expect("ask apple").await;
    session.server.say("row 12345678901234567890\nok\n").await;
    let start = Instant::now();
    world.revoked.revoke("t-ana");
    let result = session.carrying.await.unwrap();
    assert!(matches!(result, Err(FlowError::Revoked)));
    assert!(start.elapsed() <= AT_ONCE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_tells_every_client_and_waits_for_them_to_leave() {
    let world = World::new(Setup::default());
    let (mut one, mut two) = (world.carry_toy().await, world.carry_toy().await);
    assert_eq!(world.kernel.live().len(), 2);
    let start = Instant::now();
    world.kernel.shutdown(Duration::from_secs(30)).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(world.kernel.live().is_empty());
    for session in [&mut one, &mut two] {
        session.client.expect("closed the broker is shutting down").await;
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_ever() {
    let world = World::new(Setup::default());
    let grant = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    let start = Instant::now();
    world.kernel.shutdown(Duration::from_secs(30)).await;
    // It is told once more at its deadline.
    assert_eq!(start.elapsed().as_secs(), 32);
    drop(grant);
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_its_answers() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nask red\nask pear\n").await;
    session.client.hang_up().await;
    for line in ["ask apple", "ask pear"] {
        session.server.expect(line).await;
        session.server.say("row 1\nok\n").await;
    }
    let told = "row 1\nok\nrefused no-red red is not for you\nrow 1\nok\n";
    assert_eq!(session.client.rest().await, told);
    assert_eq!(session.server.rest().await, "");
    session.ended().await.unwrap();
    world.log.check_order();
}

#[tokio::test]
async fn a_server_that_closes_has_its_last_words_relayed() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nask pear\n").await;
    session.server.expect("ask apple").await;
    session.server.say("row 1\nok\nrow 2\n").await;
    drop(session.server);
    assert_eq!(session.client.rest().await, "row 1\nok\nrow 2\nclosed the server is gone\n");
    session.carrying.await.unwrap().unwrap();
    world.log.check_order();
}

#[tokio::test]
async fn a_client_that_vanishes_ends_the_flow() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\n").await;
    session.server.expect("ask apple").await;
    drop(session.client);
    session.server.stream.write_all(b"row 1\nok\n").await.unwrap();
    let result = session.carrying.await.unwrap();
    assert!(matches!(result, Ok(()) | Err(FlowError::Client(_))), "{result:?}");
    assert_eq!(session.server.rest().await, "");
}

#[tokio::test]
async fn an_operator_ends_one_session_and_no_other() {
    let world = World::new(Setup::default());
    let (mut first, mut second) = (world.carry_toy().await, world.carry_toy().await);
    for session in [&mut first, &mut second] {
        session.client.say("ask apple\n").await;
        session.server.expect("ask apple").await;
    }
    let mut live = world.kernel.live();
    live.sort_by(|one, other| one.session.cmp(&other.session));
    let refusal = Refusal::builtin(Code::Revoked, "ended-by-operator", "an operator ended this session");
    assert!(!world.kernel.end(&SessionId::new("s-other").unwrap(), &refusal).await);
    let (ended, other) = (live[0].session.clone(), live[1].session.clone());
    assert!(world.kernel.end(&ended, &refusal).await);
    let (mut cut, mut left) = match tokio::select! {
        () = first.client.expect("closed an operator ended this session") => true,
        () = second.client.expect("closed an operator ended this session") => false,
    } {
        true => (first, second),
        false => (second, first),
    };
    cut.client.expect("").await;
    assert!(matches!(cut.ended().await, Err(FlowError::Revoked)));
    assert!(world.log.has("note session-ended ended-by-operator"));
    let open: Vec<SessionId> = world.kernel.live().into_iter().map(|live| live.session).collect();
    assert_eq!(open, [other]);
    left.server.say("ok\n").await;
    left.client.expect("ok").await;
    assert!(!world.kernel.end(&ended, &refusal).await, "it is no longer open");
}

/// A request under way whose server takes nothing more, and so much of the client behind it that its end is not read.
async fn stuck(gone: Gone) -> (World, Session) {
    let mut setup = Setup { room: 64, ..Setup::default() };
    setup.limits.high_water_bytes = 100;
    let world = World::new(setup);
    let mut session = world.carry_toy().await;
    while timeout(Duration::from_millis(1), session.client.stream.write_all(b"ask apple\n")).await.is_ok() {}
    session.absence.set(gone);
    (world, session)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_left_is_not_waited_for_however_much_it_sent() {
    let (world, session) = stuck(Gone::Left).await;
    let start = Instant::now();
    session.ended().await.unwrap();
    assert!(start.elapsed() <= 2 * Duration::from_secs(Limits::STANDARD.linger_seconds + 1), "{:?}", start.elapsed());
    assert_eq!(world.log.closing().reason, "client");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_more_or_may_be_gone_is_carried_on() {
    for gone in [Gone::Silent, Gone::Hidden] {
        let (_world, mut session) = stuck(gone).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        session.server.expect("ask apple").await;
        session.server.say("ok\n").await;
        session.client.expect("ok").await;
    }
}
