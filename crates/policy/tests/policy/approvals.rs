//! Holds: only where approval, and nothing else, is missing.

use sluice_model::{Fact, Scope, Verdict};

use crate::world::{Asking, access, agent, asks, column, exposure, policies, table, target, tell, user};

const WRITE: &str = r#"@id("w") permit (principal, action in [Action::"write", Action::"read"], resource);"#;

fn gate(id: &str, action: &str, count: &str, needs: &str) -> String {
    format!(
        r#"@id("{id}") @approve("Group::dba") @approve_count("{count}") @approve_scope("session") @approve_ttl("5m")
        forbid (principal, action in Action::"{action}", resource in Env::"prod")
        unless {{ context.base has approval && context.base.approval.digest_ok
                 && context.base.approval.count >= {needs} && context.base.now < context.base.approval.expires }};"#
    )
}

fn writes() -> Asking {
    asks(&[access("sql.write", table("customers"))])
}

#[test]
fn an_operation_waits_for_exactly_what_is_annotated() {
    let policies = policies(&(WRITE.to_owned() + &gate("g", "write", "2", "2")));
    let decision = writes().decided(&policies);
    assert!(!decision.cacheable);
    let Verdict::Hold(hold) = decision.verdict else { panic!("it must wait") };
    let approval = hold.approvals.first().unwrap();
    assert_eq!(hold.approvals.len(), 1);
    assert_eq!((approval.approvers.as_str(), approval.count, approval.ttl_seconds), ("dba", 2, 300));
    assert_eq!(approval.scope, Scope::Session);
    assert_eq!(writes().approved(1).told(&policies), "hold g for 1");
    assert_eq!(writes().approved(2).told(&policies), "allow");
    let staging = Asking { target: target("staging", "orders-db"), ..writes() };
    assert_eq!(staging.told(&policies), "allow");
    assert!(staging.decided(&policies).cacheable, "the rule that reads approvals is about production");
}

#[test]
fn an_approval_of_something_else_or_of_long_ago_is_none() {
    let policies = policies(&(WRITE.to_owned() + &gate("g", "write", "1", "1")));
    let mut changed = writes().approved(1);
    changed.approval.iter_mut().for_each(|approval| approval.digest_ok = false);
    assert_eq!(changed.told(&policies), "hold g for 1");
    let mut late = writes().approved(1);
    late.at.now = late.at.now.plus_seconds(60);
    assert_eq!(late.told(&policies), "hold g for 1");
    late.at.now = late.at.now.plus_seconds(-1);
    assert_eq!(late.told(&policies), "allow");
}

#[test]
fn a_wrong_annotation_can_only_deny() {
    let too_few = policies(&(WRITE.to_owned() + &gate("g", "write", "1", "2")));
    assert_eq!(writes().told(&too_few), "deny g");
    let never = r#"@id("g") @approve("Group::dba") forbid (principal, action in Action::"write", resource);"#;
    assert_eq!(writes().told(&policies(&(WRITE.to_owned() + never))), "deny g");
}

#[test]
fn approval_gives_nobody_what_nothing_permits() {
    assert_eq!(writes().told(&policies(&gate("g", "write", "1", "1"))), "deny default-deny");
}

#[test]
fn every_forbid_must_be_one_that_approval_lifts() {
    let text = WRITE.to_owned()
        + &gate("a-gate", "write", "1", "1")
        + r#"@id("z-hard") forbid (principal, action == Action::"sql.write", resource) when { !context.stmt.has_where };"#;
    let policies = policies(&text);
    assert_eq!(writes().told(&policies), "deny z-hard");
    assert_eq!(writes().facts(&[("has_where", Fact::Bool(true))]).told(&policies), "hold a-gate for 1");
}

#[test]
fn a_hard_forbid_on_another_access_denies() {
    let text = WRITE.to_owned()
        + &gate("g", "write", "1", "1")
        + r#"@id("hard") forbid (principal, action, resource == Table::"orders-db/public/salaries");"#;
    let both = asks(&[access("sql.write", table("customers")), access("sql.read", table("salaries"))]);
    assert_eq!(both.told(&policies(&text)), "deny hard");
}

#[test]
fn the_approvals_of_agent_and_owner_are_both_asked_for() {
    let for_whom = |id: &str, head: &str| gate(id, "write", "1", "1").replace("(principal,", &format!("({head},"));
    let text = WRITE.to_owned() + &for_whom("agents", "principal is Agent") + &for_whom("people", "principal is User");
    let policies = policies(&text);
    assert_eq!(writes().by(agent("bot", &[], "alice", &[])).told(&policies), "hold agents for 2");
    assert_eq!(writes().told(&policies), "hold people for 1");
    assert_eq!(writes().by(agent("bot", &[], "alice", &[])).approved(1).told(&policies), "allow");
}

#[test]
fn a_hold_says_what_will_be_masked() {
    let policies = policies(&(WRITE.to_owned() + &gate("g", "write", "1", "1")));
    let email = exposure(sluice_model::Usage::Reveal, column("email"), &["pii"]);
    let Verdict::Hold(hold) = writes().uses(&[email]).decided(&policies).verdict else { panic!("it must wait") };
    assert_eq!(tell(&Verdict::Allow(hold.obligations.clone())), "allow public.customers.email=redact");
}

#[test]
fn what_approval_could_not_mend_is_denied_at_once() {
    let policies = policies(&(WRITE.to_owned() + &gate("g", "write", "1", "1")));
    let email = exposure(sluice_model::Usage::Filter, column("email"), &["pii"]);
    assert_eq!(writes().uses(&[email]).told(&policies), "deny masked-filter");
    assert_eq!(writes().by(user("bob", &[])).told(&policies), "hold g for 1");
}
