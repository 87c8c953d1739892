//! Groups of facts: each kind of operation is told with its own.

use sluice_model::{Action, ActionSpec, Effect, Fact, FactGroup, Resource, Schema};
use sluice_policy::{Policies, Settings, schema_text};

use crate::world::{SQL, WEB, access, asks, facts_of, faults, policies};

const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

#[test]
fn each_action_reads_the_facts_of_its_group() {
    let policies = policies(
        r#"@id("chat") permit (principal, action == Action::"llm.chat", resource) when { context.llm.stream };
        @id("tool") permit (principal, action == Action::"tool.call", resource) when { context.tool.size < 5 };
        @id("get") permit (principal, action in Action::"read", resource) when { context has http && context.http.parsed };"#,
    );
    let chat = || asks(&[access("llm.chat", Resource::new("Model", ["gpt"]))]);
    assert_eq!(chat().told(&policies), "deny default-deny");
    assert_eq!(chat().facts(&[("stream", Fact::Bool(true))]).told(&policies), "allow");
    let tool = || asks(&[access("tool.call", Resource::new("Tool", ["search"]))]);
    assert_eq!(tool().told(&policies), "allow");
    assert_eq!(tool().facts(&[("size", Fact::Long(5))]).told(&policies), "deny default-deny");
    assert_eq!(asks(&[access("http.get", Resource::new("Endpoint", ["/v1"]))]).told(&policies), "allow");
}

#[test]
fn a_policy_that_reads_another_groups_facts_does_not_load() {
    expect_test::expect![[r#"
        a.cedar:1:77: attribute `llm` in context for Action::"tool.call" not found (did you mean `base`?)
        a.cedar:2:1: policy is impossible: the policy expression evaluates to false for all valid requests
        a.cedar:3:99: attribute `llm` in context for Action::"tool.call" not found (did you mean `base`?)"#]].assert_eq(&faults(
        r#"@id("a") permit (principal, action == Action::"tool.call", resource) when { context.llm.stream };
@id("b") forbid (principal, action == Action::"tool.call", resource) when { context has llm };
@id("c") permit (principal, action in [Action::"llm.chat", Action::"tool.call"], resource) when { context.llm.stream };"#,
    ));
}

/// A forbid that asks `context has tool` would not see an access whose operation carries other facts.
#[test]
fn an_operation_with_facts_of_another_group_is_refused() {
    let policies = policies(ALL);
    let chat = access("llm.chat", Resource::new("Model", ["gpt"]));
    let embed = access("llm.embed", Resource::new("Model", ["gpt"]));
    let tool = access("tool.call", Resource::new("Tool", ["search"]));
    assert_eq!(asks(&[chat.clone(), embed]).told(&policies), "allow");
    assert_eq!(asks(&[chat.clone(), tool.clone()]).told(&policies), "deny policy-error");
    let mut wrong = asks(std::slice::from_ref(&chat));
    wrong.shape.facts = facts_of("tool.call", &[]);
    assert_eq!(wrong.told(&policies), "deny policy-error");
    let mut headline = asks(&[tool]);
    headline.shape.action = chat.action;
    assert_eq!(headline.told(&policies), "deny policy-error");
    let mut unknown = asks(&[chat]);
    unknown.shape.facts.group = "prompt";
    assert_eq!(unknown.told(&policies), "deny policy-error");
}

static TWICE: Schema = Schema {
    protocol: "ldap",
    version: 1,
    actions: &[
        ActionSpec {
            action: Action { name: "ldap.search", effect: Effect::Read },
            on: &[Resource::TARGET],
            facts: "stmt",
            doc: "",
        },
        ActionSpec {
            action: Action { name: "ldap.bind", effect: Effect::Connect },
            on: &[Resource::TARGET],
            facts: "http",
            doc: "",
        },
    ],
    resources: &[],
    facts: &[FactGroup { name: "stmt", facts: &[] }, FactGroup { name: "base", facts: &[] }],
};

#[test]
fn a_group_belongs_to_one_protocol_and_is_declared_by_it() {
    let faults = Policies::compile(&[], &[&SQL, &WEB, &TWICE], &Settings::default(), 1).unwrap_err();
    expect_test::expect![[r#"
        schema:1:1: action `ldap.bind` is badly named, declared twice, or declared with something unknown
        schema:1:1: facts group `base` is badly named, declared twice, or declared with something unknown
        schema:1:1: facts group `stmt` is badly named, declared twice, or declared with something unknown"#]]
    .assert_eq(&faults.to_string());
}

#[test]
fn each_group_is_a_type_of_the_schema() {
    let text = schema_text(&[&WEB]);
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("type Http") || line.starts_with("action \"llm.chat") || line.contains("context.")
        })
        .collect();
    expect_test::expect![[r#"
        // http: context.http
        type HttpHttpFacts = {
        // http: context.llm
        type HttpLlmFacts = {
        // http: context.tool
        type HttpToolFacts = {
        action "llm.chat" in ["execute"] appliesTo { principal: [User, Agent, Workload], resource: [Model], context: { base: BaseContext, llm: HttpLlmFacts } };"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn neutral_facts_are_those_of_the_actions_group() {
    let facts = WEB.neutral_facts("tool.call").unwrap();
    assert_eq!(facts.group, "tool");
    assert_eq!(facts.values, [("name", Fact::Text("".into())), ("size", Fact::Long(0))]);
    assert_eq!(WEB.neutral_facts("http.connect").unwrap().group, "http");
    assert!(WEB.neutral_facts("sql.read").is_none());
    assert!(WEB.group("stmt").is_none());
}
