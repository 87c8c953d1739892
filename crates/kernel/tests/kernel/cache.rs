//! Which rulings are given again without asking the engine.

use sluice_model::Environment;

use crate::harness::{POLICIES, Session, Setup, World, laws};

async fn asks(session: &mut Session, name: &str) {
    session.client.say(&format!("ask {name}\n")).await;
    session.server.expect(&format!("ask {name}")).await;
    session.server.say("ok\n").await;
    session.client.expect("ok").await;
}

fn rulings(world: &World) -> Vec<String> {
    let story = world.log.story().into_iter();
    story.filter(|line| line.starts_with("allow") || line.starts_with("deny")).collect()
}

#[tokio::test]
async fn an_equal_operation_is_ruled_on_once() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    for name in ["apple", "pear", "apple", "apple"] {
        asks(&mut session, name).await;
    }
    assert_eq!(rulings(&world), ["allow 1", "allow 2", "allow again 3", "allow again 4"]);
}

#[tokio::test]
async fn a_denial_is_given_again_too() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    session.client.say("ask red\nask red\n").await;
    session.client.expect("refused no-red red is not for you").await;
    session.client.expect("refused no-red red is not for you").await;
    assert_eq!(rulings(&world), ["deny 1 no-red", "deny again 2 no-red"]);
}

#[tokio::test]
async fn rules_that_read_the_time_are_asked_each_time() {
    const TIMED: &str = r#"
        @id("connect") permit (principal, action == Action::"toy.connect", resource);
        @id("by-day") permit (principal, action == Action::"toy.read", resource)
        when { context.base.minute >= 0 && context.base.now > 0 };
    "#;
    let world = World::new(Setup { policies: TIMED, ..Setup::default() });
    let mut session = world.carry_toy().await;
    for _ in 0..3 {
        asks(&mut session, "apple").await;
    }
    assert_eq!(rulings(&world), ["allow 1", "allow 2", "allow 3"]);
}

#[tokio::test]
async fn new_policies_forget_what_was_ruled() {
    let world = World::new(Setup::default());
    let mut session = world.carry_toy().await;
    asks(&mut session, "apple").await;
    asks(&mut session, "apple").await;
    world.replace(&POLICIES.replace("\"red\"", "\"apple\""));
    session.client.say("ask apple\n").await;
    session.client.expect("refused no-red red is not for you").await;
    assert_eq!(rulings(&world), ["allow 1", "allow again 2", "deny 3 no-red"]);
}

#[tokio::test]
async fn a_full_cache_is_emptied() {
    // Connecting is the first ruling of a session.
    for (room, third) in [(3, "allow 4"), (4, "allow again 4"), (5, "allow again 4")] {
        let mut setup = Setup::default();
        setup.limits.cached_rulings = room;
        let world = World::new(setup);
        let mut session = world.carry_toy().await;
        for name in ["apple", "pear", "plum", "apple"] {
            asks(&mut session, name).await;
        }
        assert_eq!(rulings(&world), ["allow 1", "allow 2", "allow 3", third], "room for {room}");
    }
}

#[tokio::test]
async fn a_target_that_moves_to_another_environment_takes_open_sessions_with_it() {
    let policies = format!(
        "{POLICIES}\n@id(\"locked\") @explain(\"public\") @message(\"locked\") \
        forbid (principal, action in [Action::\"toy.read\", Action::\"toy.write\"], resource in Env::\"locked\");"
    );
    let world = World::new(Setup::default());
    world.replace(&policies);
    let mut session = world.carry_toy().await;
    asks(&mut session, "apple").await;
    let mut moved = laws(&policies, world.kernel.laws().policies.epoch() + 1);
    for target in moved.targets.values_mut() {
        target.environment = Environment::new("locked").unwrap();
    }
    world.kernel.replace(moved);
    session.client.say("ask apple\n").await;
    session.client.expect("refused locked locked").await;
}
