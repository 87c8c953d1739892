//! The product's own verbs.

use sluice_model::{Environment, Group, Principal};
use sluice_policy::{Place, Policies, Verb};

use crate::world::{agent, at, policies, target, user};

const RULES: &str = r#"
    @id("approve") permit (principal in Group::"dba", action == Action::"approve", resource in Env::"prod");
    @id("replay") permit (principal in Group::"auditors", action == Action::"replay", resource);
    @id("not-this") @message("Nobody watches this one.")
    forbid (principal, action == Action::"replay", resource == Target::"hr-db");
    @id("all") permit (principal in Group::"everything", action, resource);
    @id("admin") permit (principal in Group::"admins", action == Action::"admin", resource in Env::"prod");
"#;

fn approves(policies: &Policies, who: &Principal, requester: &Principal, at_env: &str) -> String {
    let approvers = Group::new("dba").unwrap();
    let target = target(at_env, "orders-db");
    let verb = Verb::Approve { approvers: &approvers, requester };
    told(policies, who, verb, Place::Target(&target))
}

fn told(policies: &Policies, who: &Principal, verb: Verb<'_>, place: Place<'_>) -> String {
    policies.may(who, verb, place, at()).map_or_else(|refusal| refusal.rule.to_string(), |()| "allow".to_owned())
}

#[test]
fn approvers_are_people_of_the_group_that_is_asked_and_never_who_asked() {
    let policies = policies(RULES);
    let (alice, dan, eve) = (user("alice", &["analysts"]), user("dan", &["dba"]), user("eve", &["dba"]));
    let dans_bot = agent("bot", &["dba"], "dan", &["dba"]);
    assert_eq!(approves(&policies, &dan, &alice, "prod"), "allow");
    assert_eq!(approves(&policies, &dan, &dan, "prod"), "own-request");
    assert_eq!(approves(&policies, &dan, &dans_bot, "prod"), "own-request");
    assert_eq!(approves(&policies, &eve, &dans_bot, "prod"), "allow");
    assert_eq!(approves(&policies, &dans_bot, &alice, "prod"), "not-an-approver");
    assert_eq!(approves(&policies, &alice, &dan, "prod"), "not-an-approver");
    assert_eq!(approves(&policies, &dan, &alice, "dev"), "default-deny");
}

#[test]
fn replay_is_decided_like_everything_else() {
    let policies = policies(RULES);
    let (ann, all) = (user("ann", &["auditors"]), user("all", &["everything"]));
    let (orders, people) = (target("prod", "orders-db"), target("prod", "hr-db"));
    assert_eq!(told(&policies, &ann, Verb::Replay, Place::Target(&orders)), "allow");
    assert_eq!(told(&policies, &ann, Verb::Replay, Place::Target(&people)), "not-this");
    assert_eq!(told(&policies, &ann, Verb::Kill, Place::Target(&orders)), "default-deny");
    assert_eq!(told(&policies, &all, Verb::Replay, Place::Target(&orders)), "default-deny", "it must be named");
    let bot = agent("bot", &["auditors"], "ann", &[]);
    assert_eq!(told(&policies, &bot, Verb::Replay, Place::Target(&orders)), "default-deny", "its owner may not");
}

#[test]
fn a_whole_environment_is_not_for_a_credential_of_some_targets() {
    let policies = policies(RULES);
    let prod = Environment::new("prod").unwrap();
    let mut ada = user("ada", &["admins"]);
    assert_eq!(told(&policies, &ada, Verb::Admin, Place::Environment(&prod)), "allow");
    assert_eq!(
        told(&policies, &ada, Verb::Admin, Place::Environment(&Environment::new("dev").unwrap())),
        "default-deny"
    );
    ada.targets = Some([target("prod", "orders-db").name].into());
    assert_eq!(told(&policies, &ada, Verb::Admin, Place::Environment(&prod)), "token-scope");
}
