//! The traps of the language and of the model, each with the test that falls into it.

use sluice_model::{Action, Effect, Fact, Resource, Verdict};

use crate::world::{Asking, access, agent, asks, faults, policies, principal, reads, table, target, tell, user};

const READ: &str = r#"@id("r") permit (principal, action in Action::"read", resource);"#;

/// Trap 1: Cedar skips a policy that errs, a forbid too.
#[test]
fn a_policy_that_errs_denies() {
    let base = r#"@id("p") permit (principal, action == Action::"ssh.exec", resource);"#;
    let overflow = "when { context.exec.size + 9223372036854775807 > 0 }";
    let forbid = format!(r#"{base} @id("f") forbid (principal, action == Action::"ssh.exec", resource) {overflow};"#);
    let permit = format!(r#"{base} @id("f") permit (principal, action == Action::"ssh.exec", resource) {overflow};"#);
    let limit = format!(
        r#"{base} @id("f") @max_rows("1") permit (principal, action == Action::"ssh.exec", resource) {overflow};"#
    );
    let mut asking = asks(&[access("ssh.exec", Resource::target())]);
    for text in [forbid, permit, limit] {
        let policies = policies(&text);
        asking = asking.facts(&[("size", Fact::Long(1))]);
        let decision = asking.decided(&policies);
        assert_eq!(tell(&decision.verdict), "deny policy-error");
        assert_eq!(decision.erring.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(), ["f"]);
        assert!(!decision.cacheable);
    }
    asking = asking.facts(&[("size", Fact::Long(-1))]);
    let text = format!(
        r#"{base} @id("f") forbid (principal, action == Action::"ssh.exec", resource) when {{ context.exec.size > 0 }};"#
    );
    assert_eq!(asking.told(&policies(&text)), "allow");
}

/// Trap 3: a list contains all of nothing.
#[test]
fn an_empty_set_is_in_every_list_so_facts_say_whether_they_are_known() {
    let list = r#"["ls", "cat"].containsAll(context.exec.programs)"#;
    let head = r#"permit (principal, action == Action::"ssh.exec", resource)"#;
    let careless = policies(&format!(r#"@id("p") {head} when {{ {list} }};"#));
    let careful = policies(&format!(r#"@id("p") {head} when {{ context.exec.parsed && {list} }};"#));
    let mut asking = asks(&[access("ssh.exec", Resource::target())]);
    asking = asking.facts(&[("parsed", Fact::Bool(false))]);
    assert_eq!(asking.told(&careless), "allow");
    assert_eq!(asking.told(&careful), "deny default-deny");
    asking.shape.understood = false;
    assert_eq!(asking.told(&careless), "deny not-understood");
}

/// Trap 4: local time is context, and whatever reads it is not cached.
#[test]
fn time_is_context_and_is_never_cached() {
    let text = r#"@id("office") permit (principal, action in Action::"read", resource)
        when { context.base.weekday <= 5 && context.base.minute >= 540 && context.base.minute < 1080 };
        @id("w") permit (principal, action in Action::"write", resource);"#;
    let policies = policies(text);
    let mut asking = reads();
    assert_eq!(asking.told(&policies), "allow");
    assert!(!asking.decided(&policies).cacheable);
    asking.at.weekday = 6;
    assert_eq!(asking.told(&policies), "deny default-deny");
    assert!(!asking.decided(&policies).cacheable);
    let writes = asks(&[access("sql.write", table("t"))]);
    assert!(writes.decided(&policies).cacheable, "no rule about writing reads the time");
}

#[test]
fn the_session_the_client_and_the_stage_are_never_cached_either() {
    for condition in [
        "context.base.session == \"s1\"",
        "context.base.stage == \"perform\"",
        "context.base has client && context.base.client.isLoopback()",
        "context.base has approval.count",
        "context == context",
    ] {
        let policies = policies(&format!(
            r#"{READ} @id("f") forbid (principal, action == Action::"sql.read", resource) when {{ !({condition}) }};"#
        ));
        assert!(!reads().decided(&policies).cacheable, "{condition}");
    }
}

#[test]
fn a_client_of_either_family_can_be_told() {
    let policies = policies(
        r#"@id("r") permit (principal, action in Action::"read", resource)
        when { context.base has client && context.base.client.isInRange(ip("10.0.0.0/8")) };"#,
    );
    let from = |client: &str| {
        let mut asking = reads();
        asking.at.client = Some(client.parse().unwrap());
        asking.told(&policies)
    };
    assert_eq!(from("10.1.2.3"), "allow");
    assert_eq!(from("::ffff:10.1.2.3"), "allow");
    assert_eq!(from("::1"), "deny default-deny");
    assert_eq!(reads().told(&policies), "deny default-deny");
}

#[test]
fn not_understood_cannot_be_overridden() {
    let mut asking = reads();
    asking.shape.understood = false;
    assert_eq!(asking.told(&policies(r#"@id("all") permit (principal, action, resource);"#)), "deny not-understood");
}

#[test]
fn nothing_permitted_is_a_denial_in_plain_words() {
    let Verdict::Deny(refusal) = reads().decided(&policies("")).verdict else { panic!("it must be denied") };
    assert_eq!(refusal.rule.as_str(), "default-deny");
    assert_eq!(refusal.message, "no policy permits you to read this (`sql.read`)");
    assert!(refusal.hint.is_some());
}

#[test]
fn a_forbid_speaks_with_its_own_words() {
    let text =
        format!(r#"{READ} @id("f") @message("Not today.") @hint("Tomorrow.") forbid (principal, action, resource);"#);
    let Verdict::Deny(refusal) = reads().decided(&policies(&text)).verdict else { panic!("it must be denied") };
    assert_eq!((refusal.rule.as_str(), refusal.message.as_str()), ("f", "Not today."));
    assert_eq!(refusal.hint.as_deref(), Some("Tomorrow."));
}

#[test]
fn what_could_not_be_told_is_permitted_by_name_only() {
    let told = |text: &str| asks(&[access("sql.unknown", Resource::target())]).told(&policies(text));
    assert_eq!(told(r#"@id("p") permit (principal, action, resource);"#), "deny default-deny");
    assert_eq!(
        told(r#"@id("p") permit (principal, action in [Action::"read", Action::"execute"], resource);"#),
        "deny default-deny"
    );
    assert_eq!(told(r#"@id("p") permit (principal, action in Action::"unknown", resource);"#), "allow");
    assert_eq!(told(r#"@id("p") permit (principal, action == Action::"sql.unknown", resource);"#), "allow");
}

#[test]
fn every_access_needs_its_permit() {
    let both = asks(&[access("sql.read", table("a")), access("sql.write", table("b"))]);
    assert_eq!(both.told(&policies(READ)), "deny default-deny");
    let text = format!(r#"{READ} @id("w") permit (principal, action in Action::"write", resource);"#);
    assert_eq!(both.told(&policies(&text)), "allow");
    let text = format!(r#"{text} @id("f") forbid (principal, action, resource == Table::"orders-db/public/b");"#);
    assert_eq!(both.told(&policies(&text)), "deny f");
}

#[test]
fn an_operation_without_accesses_is_asked_about_the_target() {
    let mut asking = asks(&[access("postgres.connect", Resource::target())]);
    asking.shape.accesses.clear();
    let text = r#"@id("c") permit (principal, action in Action::"connect", resource == Target::"orders-db");"#;
    assert_eq!(asking.told(&policies(text)), "allow");
    assert_eq!(asking.told(&policies(READ)), "deny default-deny");
}

/// What an operation is called is asked about, whatever its accesses leave out.
#[test]
fn an_operation_whose_accesses_lack_its_own_verb_is_asked_about_the_target_too() {
    let mut asking = asks(&[access("sql.define", Resource::target())]);
    asking.shape.accesses = std::iter::once(access("sql.read", table("customers"))).collect();
    let define = r#"@id("d") permit (principal, action == Action::"sql.define", resource == Target::"orders-db");"#;
    assert_eq!(asking.told(&policies(READ)), "deny default-deny");
    assert_eq!(asking.told(&policies(define)), "deny default-deny");
    assert_eq!(asking.told(&policies(&format!("{READ} {define}"))), "allow");
    let forbid = r#"@id("f") forbid (principal, action == Action::"sql.define", resource);"#;
    assert_eq!(asking.told(&policies(&format!("{READ} {define} {forbid}"))), "deny f");
    // A verb that cannot be done to a target as a whole is none that could be asked about.
    asking.shape.action = access("sql.call", Resource::target()).action;
    let all = r#"@id("p") permit (principal, action, resource);"#;
    assert_eq!(asking.told(&policies(all)), "deny policy-error");
}

#[test]
fn an_agent_needs_an_allow_for_itself_and_for_its_owner() {
    let policies = policies(
        r#"@id("a") permit (principal in Group::"agents", action in Action::"read", resource);
        @id("u") permit (principal == User::"alice", action in Action::"read", resource);
        @id("o") forbid (principal is Agent, action, resource) when { principal.owner == User::"mallory" };"#,
    );
    let told = |who| reads().by(who).told(&policies);
    assert_eq!(told(agent("bot", &["agents"], "alice", &[])), "allow");
    assert_eq!(told(agent("bot", &[], "alice", &["agents"])), "deny default-deny");
    assert_eq!(told(agent("bot", &["agents"], "bob", &[])), "deny default-deny");
    assert_eq!(told(agent("alice", &[], "alice", &[])), "deny default-deny", "an agent is not the user of its name");
    assert_eq!(told(agent("bot", &["agents"], "mallory", &["agents"])), "deny o");
    let Verdict::Deny(refusal) = reads().by(agent("bot", &["agents"], "bob", &[])).decided(&policies).verdict else {
        panic!("it must be denied")
    };
    assert_eq!(refusal.message, "no policy permits the owner of this agent to read this (`sql.read`)");
}

#[test]
fn a_credential_is_good_for_its_targets_only() {
    let mut who = user("alice", &[]);
    who.targets = Some([target("prod", "other-db").name].into());
    assert_eq!(reads().by(who.clone()).told(&policies(READ)), "deny token-scope");
    who.targets = Some([target("prod", "orders-db").name].into());
    assert_eq!(reads().by(who).told(&policies(READ)), "allow");
}

#[test]
fn names_with_separators_are_not_other_names() {
    let text = format!(
        r#"{READ} @id("f") forbid (principal, action, resource in Schema::"orders-db/a");
        @id("g") forbid (principal, action, resource == Table::"orders-db/a%2Fb/c");"#
    );
    let policies = policies(&text);
    let told = |path: [&str; 2]| asks(&[access("sql.read", Resource::new("Table", path))]).told(&policies);
    assert_eq!(told(["a", "b"]), "deny f");
    assert_eq!(told(["a/b", "c"]), "deny g");
    assert_eq!(told(["a", "b/c"]), "deny f");
    assert_eq!(told(["a%2Fb", "c"]), "allow");
    assert_eq!(told(["b", "a"]), "allow");
}

#[test]
fn targets_of_like_names_are_apart() {
    let policies = policies(r#"@id("r") permit (principal, action in Action::"read", resource in Target::"orders");"#);
    let told = |name: &str| Asking { target: target("prod", name), ..reads() }.told(&policies);
    assert_eq!(told("orders"), "allow");
    assert_eq!(told("orders-db"), "deny default-deny");
}

/// What a protocol did not declare is unknown, and unknown is refused.
#[test]
fn what_no_protocol_declares_is_refused() {
    let policies = policies(r#"@id("all") permit (principal, action, resource);"#);
    assert_eq!(reads().told(&policies), "allow");
    let mut undeclared = reads();
    undeclared.shape.accesses.iter_mut().for_each(|a| a.action = Action { name: "sql.raed", effect: Effect::Read });
    let mut other_effect = reads();
    other_effect.shape.accesses.iter_mut().for_each(|a| a.action.effect = Effect::Connect);
    let mut wrong_kind = reads();
    wrong_kind.shape.accesses.iter_mut().for_each(|a| a.resource = Resource::new("Setting", ["x"]));
    let mut short_path = reads();
    short_path.shape.accesses.iter_mut().for_each(|a| a.resource = Resource::new("Table", ["x"]));
    let mut missing_fact = reads();
    missing_fact.shape.facts.values.pop();
    let mut wrong_type = reads();
    wrong_type.shape.facts.values.iter_mut().for_each(|(_, fact)| *fact = Fact::Long(1));
    for asking in [undeclared, other_effect, wrong_kind, short_path, missing_fact, wrong_type] {
        assert_eq!(asking.told(&policies), "deny policy-error");
    }
}

#[test]
fn limits_join_to_the_strictest_and_permit_nothing() {
    let limits = r#"@id("a") @max_rows("100") @max_bytes("2KiB") permit (principal, action in Action::"read", resource);
        @id("b") @max_rows("50") @timeout("2s") permit (principal in Group::"analysts", action, resource);
        @id("c") @max_rows("1") permit (principal in Group::"others", action, resource);"#;
    assert_eq!(reads().told(&policies(limits)), "deny default-deny");
    let Verdict::Allow(obligations) = reads().decided(&policies(&format!("{READ} {limits}"))).verdict else {
        panic!("it must be allowed")
    };
    let controls = &obligations.controls;
    assert_eq!((controls.max_rows, controls.max_bytes, controls.timeout_ms), (Some(50), Some(2048), Some(2000)));
    let rules: Vec<&str> = obligations.rules.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(rules, ["a", "b", "r"]);
}

#[test]
fn a_workload_is_told_by_its_issuer() {
    let policies = policies(
        r#"@id("w") permit (principal is Workload in Group::"ci", action in Action::"read", resource)
        when { principal.issuer == "gitlab" };"#,
    );
    let told = |issuer: &str| {
        let groups = crate::world::groups(&["ci"]);
        let who = sluice_model::Who::Workload { name: "job".to_owned(), issuer: issuer.to_owned(), groups };
        reads().by(principal(who)).told(&policies)
    };
    assert_eq!(told("gitlab"), "allow");
    assert_eq!(told("github"), "deny default-deny");
}

#[test]
fn an_unconstrained_action_covers_no_verb_of_the_product() {
    assert_eq!(faults(r#"@id("all") permit (principal, action, resource);"#), "compiles");
    let policies = policies(r#"@id("all") permit (principal, action, resource);"#);
    let exposed = crate::world::exposure(sluice_model::Usage::Reveal, crate::world::column("email"), &["pii"]);
    assert_eq!(reads().uses(&[exposed]).told(&policies), "allow public.customers.email=redact");
}
