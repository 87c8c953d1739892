//! What the kernel does when a machine or the recorder fails it.

use std::sync::Arc;

use sluice_model::OpId;
use sluice_recording::Toward;
use sluice_wire::{FlowError, Input, LinkError, Machine, Outbox, Side, Violation, Wants};

use crate::harness::{Setup, World};
use crate::recorder::{Entry, Faults};
use crate::toy::{self, Line, Toy, operation};

/// A toy that does something wrong when a server sends `news WORD`.
#[derive(Default)]
struct Rogue(Toy);

impl Machine for Rogue {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        let read = |name: &str| operation(toy::READ, name, &Line::of(name).0);
        let Input::FromServer(Line(bytes)) = &input else { return self.0.handle(input, out) };
        match &bytes[..] {
            b"news unasked\n" => out.to_server(OpId(99), Line::of("smuggled")),
            b"news refused\n" => {
                out.ask(OpId(50), read("red"));
                out.to_server(OpId(50), Line::of("smuggled"));
            }
            b"news done\n" => {
                out.ask(OpId(50), read("apple"));
                out.done(OpId(50));
                out.to_server(OpId(50), Line::of("smuggled"));
            }
            b"news again\n" => {
                out.ask(OpId(50), read("apple"));
                out.ask(OpId(50), read("red"));
                out.to_server(OpId(50), Line::of("smuggled"));
            }
            b"news connect\n" => out.ask(OpId::CONNECT, read("red")),
            b"news twice\n" => out.ask(OpId(51), read("apple")),
            _ => return self.0.handle(input, out),
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        self.0.wants()
    }
}

async fn rogue(word: &str) -> (FlowError, World) {
    let world = World::new(Setup::default());
    let mut session = world.carry(Rogue::default()).await;
    session.server.say(&format!("news {word}\n")).await;
    session.client.expect("closed the broker ended the session because of an internal error").await;
    session.client.expect("").await;
    assert_eq!(session.server.rest().await, "");
    let error = session.ended().await.unwrap_err();
    assert_eq!(world.log.closing().reason, "violation");
    (error, world)
}

#[tokio::test]
async fn a_frame_without_an_allow_ends_the_flow() {
    for word in ["unasked", "refused", "done"] {
        let (error, _) = rogue(word).await;
        assert!(matches!(error, FlowError::Unruled), "{word}: {error}");
    }
}

#[tokio::test]
async fn no_operation_inherits_the_allow_of_another() {
    for word in ["again", "connect"] {
        let (error, _) = rogue(word).await;
        assert!(matches!(error, FlowError::AskedTwice), "{word}: {error}");
    }
}

#[tokio::test]
async fn a_second_question_while_one_is_held_ends_the_flow() {
    let mut world = World::new(Setup::default());
    let mut session = world.carry(Rogue::default()).await;
    session.client.say("put gold x\n").await;
    let request = world.desk.filed.recv().await.unwrap();
    assert!(session.client.line().await.starts_with("held "));
    session.server.say("news twice\n").await;
    session.client.expect("closed the broker ended the session because of an internal error").await;
    assert!(matches!(session.ended().await, Err(FlowError::AskedTwice)));
    assert_eq!(world.desk.withdrawn.recv().await, Some(request.id));
}

/// Plays a conversation with requests, a denial and an answer until the flow ends.
async fn play(faults: Faults) -> (Result<(), FlowError>, World, String) {
    let world = World::new(Setup { faults, ..Setup::default() });
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\nping\nask red\nask pear\n").await;
    let mut server = session.server;
    let answering = tokio::spawn(async move {
        loop {
            match server.line().await.as_str() {
                "" => break,
                "ping" => server.say("pong\n").await,
                _ => server.say("row 1\nok\n").await,
            }
        }
    });
    let mut read = String::new();
    loop {
        let line = session.client.line().await;
        read.push_str(&line);
        read.push('\n');
        if line.is_empty() || read.matches("ok").count() == 2 {
            break;
        }
    }
    session.client.hang_up().await;
    read.push_str(&session.client.rest().await);
    let result = session.carrying.await.unwrap();
    answering.await.unwrap();
    (result, world, read)
}

/// The bytes that went to a side.
fn wrote(world: &World, side: Toward) -> String {
    let bytes = world.log.entries().into_iter().filter_map(|entry| match entry {
        Entry::Wrote(toward, bytes) if toward == side => Some(bytes),
        _ => None,
    });
    String::from_utf8(bytes.flatten().collect()).unwrap()
}

const FAREWELL: &str = "closed the session cannot be recorded, so it ends\n";

#[tokio::test]
async fn what_cannot_be_written_down_does_not_happen() {
    let (result, world, _) = play(Faults::default()).await;
    result.unwrap();
    let calls = |kind: fn(&Entry) -> bool| world.log.entries().iter().filter(|entry| kind(entry)).count();
    // The last `done` is written by the close of the flow, when nothing goes out any more.
    let appends = calls(|entry| matches!(entry, Entry::Appended(_) | Entry::Passed(..))) - 1;
    let (commits, syncs) = (calls(|entry| *entry == Entry::Committed), calls(|entry| *entry == Entry::Synced));
    assert!(appends > 12 && commits > 1 && syncs == 1, "{appends} {commits} {syncs}");
    let append = (1..=appends).map(|n| Faults { append: Some(n), ..Faults::default() });
    let sync = (1..=syncs).map(|n| Faults { sync: Some(n), ..Faults::default() });
    // How many commits there are depends on what comes together; the first there always is.
    let commit = std::iter::once(Faults { commit: Some(1), ..Faults::default() });
    for faults in append.chain(commit).chain(sync) {
        let (result, world, read) = play(faults).await;
        assert!(matches!(result, Err(FlowError::Unrecorded)), "{faults:?}: {result:?}");
        assert!(read.contains(FAREWELL), "{faults:?}: {read}");
        assert_eq!(world.log.closing().reason, "unrecorded");
        let recorded = |side: Toward| {
            let (mut pending, mut committed) = (Vec::new(), Vec::new());
            for entry in world.log.entries() {
                match entry {
                    Entry::Passed(toward, bytes) if toward == side => pending.extend(bytes),
                    Entry::Committed => committed.append(&mut pending),
                    _ => {}
                }
            }
            String::from_utf8(committed).unwrap()
        };
        assert!(recorded(Toward::Server).starts_with(&wrote(&world, Toward::Server)), "{faults:?}");
        let heard = wrote(&world, Toward::Client);
        let heard = heard.strip_suffix(FAREWELL).unwrap();
        assert!(recorded(Toward::Client).starts_with(heard), "{faults:?}: {heard}");
        assert!(faults.sync.is_none() || !heard.contains("refused"), "{heard}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_and_nothing_of_it_leaves() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("drop everything\nask apple\n").await;
    session.client.expect("closed the line is not understood").await;
    session.client.expect("").await;
    assert_eq!(session.server.rest().await, "");
    assert!(matches!(session.ended().await, Err(FlowError::Violation(Violation { side: Side::Client, .. }))));
    assert_eq!(world.log.closing().reason, "violation");
}

#[tokio::test]
async fn a_line_over_the_codecs_limit_ends_the_flow() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say(&"x".repeat(toy::LINE_LIMIT)).await;
    session.client.expect("closed a line is too long").await;
    assert!(matches!(session.ended().await, Err(FlowError::Client(LinkError::Violation(_)))));
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_ends_the_flow() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.server.say("row of nothing\n").await;
    session.client.expect("closed the connection to the server was lost").await;
    assert!(matches!(session.ended().await, Err(FlowError::Violation(Violation { side: Side::Server, .. }))));
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask app").await;
    session.client.hang_up().await;
    assert!(matches!(session.ended().await, Err(FlowError::Client(LinkError::Truncated))));
    assert_eq!(world.log.closing().reason, "client-lost");
}

#[tokio::test]
async fn open_operations_are_limited() {
    // The connection itself is one of them.
    for (asked, fits) in [(2, true), (3, true), (4, false)] {
        let mut setup = Setup::default();
        setup.limits.open_operations = 4;
        let world = World::new(setup);
        let mut session = world.carry_toy().await;
        session.client.say(&"ask apple\n".repeat(asked)).await;
        session.client.hang_up().await;
        if fits {
            for _ in 0..asked {
                session.server.expect("ask apple").await;
                session.server.say("ok\n").await;
            }
            session.ended().await.unwrap();
        } else {
            session.client.expect("closed too many operations are open at once").await;
            assert!(matches!(session.ended().await, Err(FlowError::Violation(_))));
        }
    }
}

#[tokio::test]
async fn an_errand_is_waited_for() {
    let world = World::new(Setup::default());
    let done = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&done);
    let toy = Toy::with_errands(move || {
        let waits = Arc::clone(&waits);
        Box::pin(async move { waits.notified().await })
    });
    let mut session = world.carry(toy).await;
    session.client.say("renew\nask apple\n").await;
    session.server.say("news it rains\n").await;
    session.client.expect("news it rains").await;
    assert!(!world.log.has("ask 1 toy.read"), "the client's frames wait for the errand");
    done.notify_one();
    session.client.expect("renewed").await;
    session.server.expect("ask apple").await;
}
