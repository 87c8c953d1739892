//! What machines are told of allows that count no longer.

use std::sync::{Arc, Mutex};

use sluice_kernel::Settlement;
use sluice_model::{OpId, UnixMicros};
use sluice_wire::{Input, Lapse, Machine, Outbox, Violation, Wants};

use crate::harness::{POLICIES, Session, Setup, World, patiently};
use crate::toy::{Line, Toy};

type Heard = Arc<Mutex<Vec<Lapse>>>;

/// A toy that remembers what lapsed.
#[derive(Default)]
struct Attentive {
    toy: Toy,
    heard: Heard,
}

impl Machine for Attentive {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        self.toy.handle(input, out)
    }

    fn wants(&self) -> Wants {
        self.toy.wants()
    }

    fn lapsed(&mut self, lapse: Lapse) {
        self.heard.lock().unwrap().push(lapse);
    }
}

async fn pings(session: &mut Session) {
    session.client.say("ping\n").await;
    session.server.expect("ping").await;
    session.server.say("pong\n").await;
    session.client.expect("pong").await;
}

#[tokio::test]
async fn other_policies_are_told_once_and_before_the_next_frame() {
    let world = World::new(Setup::default());
    let machine = Attentive::default();
    let heard = Arc::clone(&machine.heard);
    let mut session = world.carry(machine).await;
    pings(&mut session).await;
    assert_eq!(*heard.lock().unwrap(), []);
    world.replace(POLICIES);
    session.server.say("news it rains\n").await;
    session.client.expect("news it rains").await;
    assert_eq!(*heard.lock().unwrap(), [Lapse::Everything], "what a server says unasked may be shown no longer");
    for _ in 0..2 {
        pings(&mut session).await;
        assert_eq!(*heard.lock().unwrap(), [Lapse::Everything]);
    }
}

#[tokio::test]
async fn an_approval_that_runs_out_is_told_once() {
    // Of these policies, none looks at when an approval ends.
    let policies = r#"
        @id("items") permit (principal, action, resource);
        @id("gold-gate") @approve("Group::dba") @approve_ttl("20s") @message("gold needs an approval")
        forbid (principal, action == Action::"toy.write", resource) when { context.toy.name == "gold" }
        unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1 };
    "#;
    let mut world = World::new(Setup { policies, ..Setup::default() });
    let machine = Attentive::default();
    let heard = Arc::clone(&machine.heard);
    let mut session = world.carry(machine).await;
    for (op, expires) in [(1, UnixMicros(1)), (2, UnixMicros(i64::MAX / 2))] {
        session.client.say("put gold x\n").await;
        let request = patiently(world.desk.filed.recv()).await.unwrap();
        assert!(session.client.line().await.starts_with("held "));
        world.people.settle(&request.id, Settlement::Approved { by: vec!["dan".to_owned()], expires });
        session.server.expect("put gold x").await;
        session.server.say("ok\n").await;
        session.client.expect("ok").await;
        assert!(world.log.has(&format!("approved {op} by dan")));
    }
    for _ in 0..2 {
        pings(&mut session).await;
        assert_eq!(*heard.lock().unwrap(), [Lapse::Operation(OpId(1))]);
    }
}
