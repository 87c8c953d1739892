//! Budgets: what loads, which apply, and that they permit nothing.

use expect_test::expect;
use sluice_model::{Per, Unit, Verdict};
use sluice_policy::Policies;

use crate::world::{Asking, access, agent, asks, faults, policies, reads, table, user};

const READ: &str = r#"@id("r") permit (principal, action in Action::"read", resource);"#;

fn budgets(asking: &Asking, policies: &Policies) -> Vec<String> {
    let Verdict::Allow(obligations) = asking.decided(policies).verdict else { panic!("it must be allowed") };
    obligations.controls.budgets.iter().map(ToString::to_string).collect()
}

#[test]
fn every_satisfied_rule_is_a_counter_of_its_own() {
    let policies = policies(&format!(
        r#"{READ}
        @id("b-day") @requests("1000/1d") @tokens("200000/1d") @cost("5.00/1d") @per("owner")
        permit (principal, action in Action::"read", resource);
        @id("a-rate") @requests("60/1m") permit (principal in Group::"analysts", action, resource in Env::"prod");
        @id("c-all") @requests("5000/1h") @per("rule") permit (principal, action, resource) when {{ context has stmt && context.stmt.parsed }};
        @id("elsewhere") @requests("1/1d") permit (principal, action, resource in Env::"dev");
        @id("others") @requests("1/1d") permit (principal in Group::"others", action, resource);
        @id("writes") @requests("1/1d") permit (principal, action in Action::"write", resource);"#
    ));
    assert_eq!(
        budgets(&reads(), &policies),
        [
            "a-rate=requests:60/1m",
            "b-day=requests:1000/1d/owner",
            "b-day=tokens:200000/1d/owner",
            "b-day=cost:5/1d/owner",
            "c-all=requests:5000/1h/rule"
        ]
    );
    let Verdict::Allow(obligations) = reads().decided(&policies).verdict else { panic!("it must be allowed") };
    let rules: Vec<&str> = obligations.rules.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(rules, ["a-rate", "b-day", "c-all", "r"]);
    let cost = obligations.controls.budgets.iter().find(|budget| budget.unit == Unit::Cost).unwrap();
    assert_eq!((cost.amount, cost.window_seconds, cost.per), (5_000_000, 86_400, Per::Owner));
    assert!(!obligations.controls.limits_results());
    assert!(reads().decided(&policies).cacheable);
}

#[test]
fn a_budget_permits_nothing() {
    let alone = policies(r#"@id("b") @requests("60/1m") @per("rule") permit (principal, action, resource);"#);
    assert_eq!(reads().told(&alone), "deny default-deny");
    let near = reads().with(|case| alone.explain(case)).asked;
    let told: Vec<_> = near.into_iter().map(|asked| asked.outcome).collect();
    assert_eq!(told, [sluice_policy::Outcome::Silent(Vec::new())]);
}

#[test]
fn budgets_and_limits_stand_on_one_rule_and_limits_alone_are_named() {
    let policies = policies(&format!(
        r#"{READ} @id("both") @requests("60/1m") @max_rows("10") permit (principal, action, resource);
        @id("budget") @tokens("9/1h") permit (principal, action, resource);
        @id("limit") @timeout("1s") permit (principal, action, resource);"#
    ));
    let named: Vec<&str> = policies.unkept(|_| false).map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(named, ["both", "limit"]);
    let policies = crate::world::policies(&format!(
        r#"{READ} @id("kept") @max_rows("10") permit (principal, action == Action::"sql.read", resource);
        @id("group") @max_rows("10") permit (principal, action in Action::"read", resource);
        @id("time") @timeout("1s") permit (principal, action == Action::"sql.read", resource);
        @id("any") @max_bytes("1KiB") permit (principal, action, resource);"#
    ));
    let unkept: Vec<&str> = policies.unkept(|verb| verb.starts_with("sql.")).map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(unkept, ["any", "group"]);
    let policies = crate::world::policies(&format!(
        r#"{READ} @id("both") @requests("60/1m") @max_rows("10") permit (principal, action, resource);
        @id("budget") @tokens("9/1h") permit (principal, action, resource);
        @id("limit") @timeout("1s") permit (principal, action, resource);"#
    ));
    assert_eq!(budgets(&reads(), &policies), ["both=requests:60/1m", "budget=tokens:9/1h"]);
}

/// Several accesses, an agent and its owner: the operation counts once.
#[test]
fn a_rule_that_applies_several_times_sets_one_budget() {
    let policies = policies(&format!(
        r#"{READ} @id("b") @requests("60/1m") permit (principal, action, resource);
        @id("person") @requests("5/1m") permit (principal is User, action, resource);
        @id("agent") @requests("7/1m") permit (principal is Agent, action, resource);"#
    ));
    let both = asks(&[access("sql.read", table("a")), access("sql.read", table("b"))]);
    assert_eq!(budgets(&both, &policies), ["b=requests:60/1m", "person=requests:5/1m"]);
    let bot = both.by(agent("bot", &[], "alice", &[]));
    assert_eq!(budgets(&bot, &policies), ["agent=requests:7/1m", "b=requests:60/1m", "person=requests:5/1m"]);
}

#[test]
fn a_slice_keeps_budgets() {
    let all = policies(&format!(
        r#"{READ} @id("b") @requests("60/1m") permit (principal in Group::"analysts", action, resource in Env::"prod");"#
    ));
    let asking = reads();
    let slice = all.slice(&asking.who, &asking.target);
    assert_eq!(asking.with(|case| slice.decide(case)).verdict, asking.decided(&all).verdict);
    assert_eq!(slice.len(), 2);
    assert_eq!(all.slice(&user("eve", &[]), &asking.target).len(), 1);
}

/// Trap 1 again: a budget that cannot be told is not no budget.
#[test]
fn a_budget_that_errs_denies() {
    let policies = policies(&format!(
        r#"{READ} @id("b") @requests("60/1m") permit (principal, action in Action::"read", resource)
        when {{ context.base.now + 9223372036854775807 > 0 }};"#
    ));
    assert_eq!(reads().told(&policies), "deny policy-error");
}

#[test]
fn budgets_are_typed() {
    expect![[r#"
        a.cedar:1:10: @requests: `60` is no budget (write AMOUNT/WINDOW, such as 60/1m)
        a.cedar:2:10: @requests: `many` is not a whole number of at least 1
        a.cedar:3:10: @requests: `0` is not a whole number of at least 1
        a.cedar:4:10: @tokens: `1.5` is not a whole number of at least 1
        a.cedar:5:10: @tokens: `1w` is not a window (write a number of s, m, h or d, at most 366d)
        a.cedar:6:10: @tokens: `0d` is not a window (write a number of s, m, h or d, at most 366d)
        a.cedar:7:10: @cost: `5.0000001` has more than 6 decimals
        a.cedar:8:10: @cost: `5,00` is not an amount of money (write units and decimals, such as 5.00)
        a.cedar:9:10: @requests: a limit belongs to a permit, and this is a forbid (write a permit that carries only limits)
        a.cedar:10:10: @per: it says whose budget but sets none (add @requests, @tokens or @cost)
        a.cedar:11:29: @per: `team` is none of principal, owner, rule
        a.cedar:13:3: @cost: `x` is not an amount of money (write units and decimals, such as 5.00)
        a.cedar:14:10: @request: unknown annotation (known annotations: id, message, hint, approve, approve_count, approve_scope, approve_ttl, explain, mode, max_rows, max_bytes, timeout, requests, tokens, cost, per)"#]].assert_eq(&faults(
        r#"@id("a") @requests("60") permit (principal, action in Action::"read", resource);
@id("b") @requests("many/1m") permit (principal, action in Action::"read", resource);
@id("c") @requests("0/1m") permit (principal, action in Action::"read", resource);
@id("d") @tokens("1.5/1m") permit (principal, action in Action::"read", resource);
@id("e") @tokens("5/1w") permit (principal, action in Action::"read", resource);
@id("f") @tokens("5/0d") permit (principal, action in Action::"read", resource);
@id("g") @cost("5.0000001/1d") permit (principal, action in Action::"read", resource);
@id("h") @cost("5,00/1d") permit (principal, action in Action::"read", resource);
@id("i") @requests("60/1m") forbid (principal, action in Action::"read", resource);
@id("j") @per("owner") permit (principal, action in Action::"read", resource);
@id("k") @requests("60/1m") @per("team") permit (principal, action in Action::"read", resource);
@id("l")
  @cost("x/y") @per("rule") permit (principal, action in Action::"read", resource);
@id("m") @request("60/1m") permit (principal, action in Action::"read", resource);"#,
    ));
}

/// What is shown and sent is not counted: such a limit would do nothing without a word.
#[test]
fn a_limit_on_the_products_own_verbs_does_not_load() {
    expect![[r#"
        a.cedar:1:1: a limit on `disclose` would never apply: only operations of protocols are limited
        a.cedar:2:1: a limit on `reveal` would never apply: only operations of protocols are limited"#]]
    .assert_eq(&faults(
        r#"@id("a") @requests("60/1m") permit (principal, action == Action::"disclose", resource);
@id("b") @max_rows("5") permit (principal, action in [Action::"llm.chat", Action::"reveal"], resource);
@id("c") @requests("60/1m") permit (principal, action in Action::"execute", resource);"#,
    ));
}
