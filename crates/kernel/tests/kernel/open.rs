//! Who may open a session, and when none is opened.

use std::collections::BTreeSet;

use sluice_model::{Code, Part, Refusal, UnixMicros};
use sluice_wire::{Broker as _, Grant as _};

use crate::harness::{POLICIES, Setup, World, ana, peer, target_name};
use crate::recorder::Faults;

async fn refused(world: &World, target: &str) -> Refusal {
    world.kernel.open(&ana(), &target_name(target), None, peer()).await.unwrap_err()
}

#[tokio::test]
async fn a_missing_and_a_forbidden_target_read_the_same() {
    let world = World::new(Setup::default());
    let missing = refused(&world, "nowhere").await;
    let forbidden = World::new(Setup { policies: "", ..Setup::default() });
    assert_eq!(refused(&forbidden, "shop").await, missing);
    let mut scoped = ana();
    scoped.targets = Some(BTreeSet::from([target_name("vault")]));
    assert_eq!(world.kernel.open(&scoped, &target_name("shop"), None, peer()).await.unwrap_err(), missing);
    assert_eq!(missing.code, Code::Policy);
}

#[tokio::test]
async fn policies_tell_parts_of_a_target_apart() {
    let closed = r#"@id("closed") forbid (principal, action == Action::"toy.connect", resource) when { context.base.part == "attic" };
        @id("kept") forbid (principal, action == Action::"toy.write", resource) when { context.base.part == "cellar" };"#;
    let policies = Box::leak(format!("{POLICIES}{closed}").into_boxed_str());
    let world = World::new(Setup { policies, ..Setup::default() });
    let attic = world.kernel.open(&ana(), &target_name("shop"), Some(Part::new("attic")), peer()).await;
    assert_eq!(attic.unwrap_err(), refused(&world, "nowhere").await);
    let (mut cellar, mut whole) = (world.carry_toy_at("cellar").await, world.carry_toy().await);
    cellar.client.say("put pear x\n").await;
    assert!(cellar.client.line().await.starts_with("refused kept "));
    whole.client.say("put pear x\n").await;
    whole.server.expect("put pear x").await;
    let parts: Vec<Option<Part>> = world.kernel.live().into_iter().map(|live| live.target.part).collect();
    assert!(parts.contains(&Some(Part::new("cellar"))) && parts.contains(&None), "{parts:?}");
}

#[tokio::test]
async fn connecting_cannot_be_held() {
    const HELD: &str = r#"
        @id("connect") permit (principal, action == Action::"toy.connect", resource);
        @id("gate") @approve("Group::dba") forbid (principal, action == Action::"toy.connect", resource)
        unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
                 && context.base.now < context.base.approval.expires };
    "#;
    let world = World::new(Setup { policies: HELD, ..Setup::default() });
    assert_eq!(refused(&world, "shop").await.rule.as_str(), "connect-hold");
}

#[tokio::test]
async fn no_session_without_a_recording_or_a_credential() {
    for faults in [Faults { admit: true, ..Faults::default() }, Faults { begin: true, ..Faults::default() }] {
        let world = World::new(Setup { faults, ..Setup::default() });
        assert_eq!(refused(&world, "shop").await.code, Code::Unrecorded, "{faults:?}");
        assert!(world.kernel.live().is_empty());
    }
    let world = World::new(Setup::default());
    assert_eq!(refused(&world, "vault").await.rule.as_str(), "no-credential");
    assert!(world.kernel.live().is_empty());
}

#[tokio::test]
async fn open_sessions_are_limited_and_leave_room_when_they_end() {
    let mut setup = Setup::default();
    setup.limits.sessions = 2;
    let world = World::new(setup);
    let one = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    let two = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    assert_eq!(refused(&world, "shop").await.rule.as_str(), "sessions");
    world.kernel.abandon(one, &Refusal::builtin(Code::Unavailable, "gone", "the server is gone")).await;
    assert!(world.log.has("note session-ended gone"));
    assert_eq!(world.log.closing().reason, "refused");
    let live = world.kernel.live();
    assert_eq!((live.len(), live[0].target.name.as_str()), (1, "shop"));
    let three = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    drop((two, three));
    assert!(world.kernel.live().is_empty());
}

#[tokio::test]
async fn approvers_are_told_by_policy() {
    let world = World::new(Setup::default());
    let group = sluice_model::Group::new("dba").unwrap();
    let may = |world: &World| world.kernel.may_approve(&ana(), &group, &ana(), &target_name("shop"));
    assert!(may(&world).is_err());
    world.replace(&format!("{POLICIES} @id(\"approve\") permit (principal, action == Action::\"approve\", resource);"));
    assert_eq!(may(&world).unwrap_err().rule.as_str(), "own-request");
    assert!(world.kernel.may_approve(&ana(), &group, &ana(), &target_name("nowhere")).is_err());
    assert!(ana().expires > UnixMicros(0));
}

#[tokio::test]
async fn a_session_ends_with_the_last_of_its_flows() {
    let world = World::new(Setup::default());
    let gone = Refusal::builtin(Code::Unavailable, "gone", "the server is gone");
    let first = world.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
    let second = world.kernel.branch(&world.kernel.stem(&first)).await.unwrap();
    assert_eq!(first.session(), second.session());
    assert_eq!(world.kernel.live().len(), 1);
    world.kernel.abandon(first, &gone).await;
    assert_eq!(world.kernel.live().len(), 1, "a flow is left");
    world.kernel.abandon(second, &gone).await;
    assert!(world.kernel.live().is_empty());
}

#[tokio::test]
async fn who_may_connect_is_told_without_opening_anything() {
    let world = World::new(Setup::default());
    assert!(world.kernel.admits(&ana(), &target_name("shop"), peer()));
    assert!(!world.kernel.admits(&ana(), &target_name("nowhere"), peer()));
    assert!(world.kernel.live().is_empty());
}
