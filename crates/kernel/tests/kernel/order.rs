//! The order that never changes, and what the recording says.

use sluice_recording::Toward;

use crate::harness::{Setup, World};
use crate::recorder::Entry;

#[tokio::test]
async fn a_request_and_its_answer_are_written_down_before_they_go_out() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\n").await;
    session.server.expect("ask apple").await;
    session.server.say("row name:apple\nok\n").await;
    session.client.expect("row name:apple").await;
    session.client.expect("ok").await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    let wanted = [
        "ask 1 toy.read",
        "allow 1",
        "pass to server: ask apple",
        "commit",
        "write to server: ask apple",
        "pass to client: row name:apple",
        "pass to client: ok",
        "done 1",
        "commit",
        "write to client: row name:apple|ok",
        "done 0",
        "finish client",
    ];
    assert_eq!(world.log.story(), wanted);
}

#[tokio::test]
async fn a_denial_is_durable_before_the_client_hears_of_it_and_the_flow_goes_on() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask red\nput red x\nask apple\n").await;
    session.client.expect("refused no-red red is not for you").await;
    session.client.expect("refused no-red red is not for you").await;
    session.server.expect("ask apple").await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
    drop(session.client);
    drop(session.server);
    session.carrying.await.unwrap().unwrap();
    let story = world.log.story();
    let at = |line: &str| story.iter().position(|told| told.starts_with(line)).unwrap();
    assert!(at("deny 1 no-red") < at("commit") && at("commit") < at("sync") && at("sync") < at("write to client"));
    world.log.check_order();
    assert_eq!((world.log.closing().operations, world.log.closing().refused), (3, 2));
}

#[tokio::test]
async fn what_is_masked_is_nowhere_in_the_recording_either() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask person\n").await;
    session.server.expect("ask person").await;
    session.server.say("row name:ana secret:canary4711\nok\n").await;
    session.client.expect("row name:ana secret:***").await;
    session.client.expect("ok").await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    assert!(!format!("{:?}", world.log.story()).contains("canary"));
    world.log.check_order();
}

#[tokio::test]
async fn every_byte_is_counted_and_every_operation_is_accounted_for() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nping\nask pear\n").await;
    for line in ["ask apple", "ping", "ask pear"] {
        session.server.expect(line).await;
    }
    session.server.say("row 1\nok\npong\nrow 2\n").await;
    for line in ["row 1", "ok", "pong", "row 2"] {
        session.client.expect(line).await;
    }
    session.server.hang_up().await;
    session.client.expect("closed the server is gone").await;
    session.client.expect("").await;
    session.ended().await.unwrap();
    let closing = world.log.closing();
    assert_eq!((closing.operations, closing.refused), (2, 0));
    let wrote = |side: Toward| -> u64 {
        let lengths = world.log.entries().into_iter().map(|entry| match entry {
            Entry::Wrote(toward, bytes) if toward == side => u64::try_from(bytes.len()).unwrap(),
            _ => 0,
        });
        lengths.sum()
    };
    assert_eq!((closing.bytes_to_client, closing.bytes_to_server), (wrote(Toward::Client), wrote(Toward::Server)));
    let done = world.log.story().into_iter().filter(|line| line.starts_with("done"));
    assert_eq!(done.collect::<Vec<_>>(), ["done 1", "done 0", "done 2"]);
}

#[tokio::test]
async fn what_passes_the_cap_is_counted_and_not_kept() {
    for (cap, cut) in [(13, None), (12, Some("cut 1 1 to client")), (9, Some("cut 1 4 to client"))] {
        let mut setup = Setup::default();
        setup.limits.recorded_bytes = cap;
        let world = World::new(setup);
        let mut session = world.carry_toy().await;
        session.client.say("ask a\n").await;
        session.server.expect("ask a").await;
        // 13 bytes of one operation.
        session.server.say("row 12345\nok\n").await;
        session.client.expect("row 12345").await;
        session.client.expect("ok").await;
        session.client.hang_up().await;
        session.ended().await.unwrap();
        let found = world.log.story().into_iter().find(|line| line.starts_with("cut"));
        assert_eq!(found.as_deref(), cut, "cap {cap}");
        assert_eq!(world.log.closing().bytes_to_client, 13);
    }
}

#[tokio::test]
async fn what_asks_to_be_kept_whole_is_whatever_the_cap_and_takes_none_of_it() {
    let mut setup = Setup::default();
    setup.limits.recorded_bytes = 9;
    let world = World::new(setup);
    let mut session = world.carry_toy().await;
    session.client.say("ask a\n").await;
    session.server.expect("ask a").await;
    let whole = format!("row whole:{}", "x".repeat(100));
    session.server.say(&format!("{whole}\n")).await;
    session.client.expect(&whole).await;
    // 13 bytes of the same operation.
    session.server.say("row 12345\nok\n").await;
    session.client.expect("row 12345").await;
    session.client.expect("ok").await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    assert!(world.log.has(&format!("pass to client: {whole}")), "{:?}", world.log.story());
    assert!(world.log.has("cut 1 4 to client"), "{:?}", world.log.story());
}

#[tokio::test]
async fn what_nobody_reads_has_a_cap_of_its_own() {
    let mut setup = Setup::default();
    setup.limits.recorded_bulk_bytes = 11;
    let world = World::new(setup);
    let mut session = world.carry_toy().await;
    session.client.say("ask a\n").await;
    session.server.expect("ask a").await;
    session.server.say("row bulk:1234\nok\n").await;
    session.client.expect("row bulk:1234").await;
    session.client.expect("ok").await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    assert!(world.log.has("pass to client: row bulk:12"), "{:?}", world.log.story());
    assert!(world.log.has("pass to client: ok") && world.log.has("cut 1 3 to client"), "{:?}", world.log.story());
}

#[tokio::test]
async fn what_is_counted_is_nowhere_in_the_recording_and_its_length_is() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask key:1234\n").await;
    session.server.expect("ask key:1234").await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
    session.client.hang_up().await;
    session.ended().await.unwrap();
    assert!(!world.log.has("pass to server: ask key:1234"), "{:?}", world.log.story());
    assert!(world.log.has("gap of 13 to the server are counted, not recorded"), "{:?}", world.log.story());
    assert_eq!(world.log.closing().bytes_to_server, 13);
}
