//! Why a case is decided as it is.

use sluice_policy::{Explanation, Outcome};

use crate::world::{Asking, access, agent, asks, policies, reads, table, tell};

fn explained(asking: &Asking, text: &str) -> Explanation {
    asking.with(|case| policies(text).explain(case))
}

#[test]
fn the_nearest_permits_come_first_and_are_at_most_three() {
    let text = r#"
        @id("three") permit (principal, action == Action::"sql.read", resource)
          when { context.stmt.multi && context.stmt.kind == "copy" } unless { context.stmt.parsed };
        @id("one") @explain("public") permit (principal, action == Action::"sql.read", resource)
          when { context.stmt.parsed && context.stmt.multi };
        @id("two") permit (principal, action == Action::"sql.read", resource)
          when { context.stmt.multi && context.stmt.parsed && context.base has approval };
        @id("four") permit (principal, action == Action::"sql.read", resource)
          when { context.stmt.multi && context.stmt.kind == "copy" && !context.stmt.parsed && context.stmt.has_where };
        @id("other") permit (principal, action in Action::"write", resource);
        @id("elsewhere") permit (principal, action in Action::"read", resource in Env::"dev");
        @id("limit") @max_rows("1") permit (principal, action == Action::"sql.read", resource) when { context.stmt.multi };"#;
    let explanation = explained(&reads(), text);
    assert_eq!(tell(&explanation.decision.verdict), "deny default-deny");
    let asked = explanation.asked.first().unwrap();
    assert_eq!(asked.resource, r#"Table::"orders-db/public/customers""#);
    let Outcome::Silent(near) = &asked.outcome else { panic!("nothing permits it") };
    let told: Vec<String> = near.iter().map(|n| format!("{} {} {:?}", n.rule, n.public, n.unmet)).collect();
    expect_test::expect![[r#"
        one true ["context.stmt.multi"]
        two false ["context.stmt.multi", "context.base has approval"]
        three false ["context.stmt.multi", "context.stmt.kind == \"copy\"", "!context.stmt.parsed"]"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn every_question_is_listed_with_its_rules() {
    let text = r#"@id("r") permit (principal, action in Action::"read", resource);
        @id("f") forbid (principal is Agent, action == Action::"sql.write", resource);"#;
    let asking =
        asks(&[access("sql.read", table("a")), access("sql.write", table("b"))]).by(agent("bot", &[], "alice", &[]));
    let told: Vec<String> = explained(&asking, text)
        .asked
        .iter()
        .map(|asked| format!("{} {} {:?}", asked.principal, asked.action, asked.outcome))
        .collect();
    expect_test::expect![[r#"
        Agent::"bot" sql.read Permit([RuleId("r")])
        User::"alice" sql.read Permit([RuleId("r")])
        Agent::"bot" sql.write Forbid([RuleId("f")])
        User::"alice" sql.write Silent([])"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_shadow_rule_is_told_and_does_not_enforce() {
    let text = r#"@id("r") permit (principal, action in Action::"read", resource);
        @id("s") @mode("shadow") forbid (principal, action in Action::"read", resource);
        @id("t") @mode("enforce") permit (principal, action in Action::"write", resource);"#;
    let explanation = explained(&reads(), text);
    assert_eq!(tell(&explanation.decision.verdict), "allow");
    assert_eq!(tell(&explanation.with_shadow.unwrap()), "deny s");
    assert!(explained(&reads(), r#"@id("r") permit (principal, action, resource);"#).with_shadow.is_none());
    let policies = policies(text);
    assert_eq!(policies.ids().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["r", "t"]);
}
