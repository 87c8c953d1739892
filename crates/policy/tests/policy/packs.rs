//! The packs load, and do what their tables say: every rule of a pack is decisive in its own table.

use sluice_policy::cases::{self, Report};
use sluice_policy::{Policies, Settings, Source};

use crate::api::API;
use crate::world::SQL;

const FILES: &[(&str, &str)] = &[
    ("read-only.cedar", include_str!("../../../../policies/read-only.cedar")),
    ("agent-guardrails.cedar", include_str!("../../../../policies/agent-guardrails.cedar")),
    ("llm.cedar", include_str!("../../../../policies/llm.cedar")),
    ("pii.cedar", include_str!("../../../../policies/pii.cedar")),
    ("prod-approvals.cedar", include_str!("../../../../policies/prod-approvals.cedar")),
];

fn load(names: &[String]) -> Policies {
    let found = FILES.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name));
    let sources: Vec<Source> =
        found.map(|(name, text)| Source { name: (*name).to_owned(), text: (*text).to_owned() }).collect();
    assert_eq!(sources.len(), names.len(), "a pack is missing");
    Policies::compile(&sources, &[&SQL, &API], &Settings::default(), 1).unwrap_or_else(|faults| panic!("{faults}"))
}

fn check(table: &str) {
    let names = cases::packs(table);
    let Report { passed, failures, undecisive } = cases::run(&load(&names), table);
    let told: Vec<String> = failures.iter().map(|f| format!("line {}: {}", f.line, f.message)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(undecisive.is_empty(), "no case shows what these do: {undecisive:?}");
    assert!(passed > 10);
}

#[test]
fn read_only() {
    check(include_str!("../../../../policies/read-only.cases"));
}

#[test]
fn agent_guardrails() {
    check(include_str!("../../../../policies/agent-guardrails.cases"));
}

#[test]
fn llm() {
    check(include_str!("../../../../policies/llm.cases"));
}

#[test]
fn pii() {
    check(include_str!("../../../../policies/pii.cases"));
}

#[test]
fn prod_approvals() {
    check(include_str!("../../../../policies/prod-approvals.cases"));
}

#[test]
fn the_packs_load_together() {
    let names: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let written: usize = FILES.iter().map(|(_, text)| text.matches("@id(").count()).sum();
    assert_eq!(load(&names).ids().count(), written);
}

#[test]
fn a_table_reports_what_is_wrong_with_it_by_line() {
    let table = "packs: read-only.cedar\n\
                 user:alice in analysts @ dev/db | sql.read public.orders | deny default-deny\n\
                 user:alice in analysts @ dev/db | sql.sing public.orders | allow\n\
                 user:alice in analysts @ dev/db | sql.read public.orders ; mood=good | allow\n\
                 nonsense\n";
    let report = cases::run(&load(&cases::packs(table)), table);
    let told: Vec<String> = report.failures.iter().map(|f| format!("{}: {}", f.line, f.message)).collect();
    expect_test::expect![[r#"
        2: expected deny default-deny, but it is allow
        3: `sql.sing` is no verb of any protocol
        4: `mood` is no fact of `stmt`
        5: a case is `WHO @ ENV/TARGET | OPERATION | RULING`"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(report.passed, 0);
}

#[test]
fn a_rule_that_no_case_needs_is_reported() {
    let table = "packs: read-only.cedar\nuser:alice in analysts @ dev/db | sql.read public.orders | allow\n";
    let report = cases::run(&load(&cases::packs(table)), table);
    let idle: Vec<&str> = report.undecisive.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(idle, ["dba-read", "no-bulk-export-from-prod", "support-read"]);
}

#[test]
fn a_table_can_say_everything_that_a_policy_reads() {
    let text = r#"
        @id("office") permit (principal is Workload in Group::"ci", action in Action::"read", resource)
        when { context.base.weekday <= 5 && context.base has client && context.base.client.isInRange(ip("10.0.0.0/8")) };
        @id("call") permit (principal, action in Action::"execute", resource in Schema::"db/app")
        when { context has stmt && context.stmt.functions.contains("app.f") && context.base.stage == "prepare" };
        @id("send") permit (principal, action == Action::"disclose", resource in Tag::"pii");
        @id("few") @max_rows("5") permit (principal, action == Action::"sql.read", resource);"#;
    let table = "
        tag: app.t.c pii.c                                             # no packs: every rule is under test
        workload:job in ci @ dev/db | sql.read app.t ; client 10.0.0.1 | allow ; limits max_rows=5
        workload:job in ci @ dev/db | sql.read app.t ; client 10.0.0.1 ; at weekday=6 minute=1 | deny default-deny
        workload:job in ci @ dev/db | sql.read app.t ; client 11.0.0.1 | deny default-deny
        workload:job in ci @ dev/db | sql.read app.t ; client 10.0.0.1 ; reveal app.t.c | masks app.t.c=redact ; limits max_rows=5
        user:ann @ dev/db | sql.call Function:app.f ; functions=app.f,app.g ; prepare | allow
        user:ann @ dev/db | sql.call Function:app.f ; functions=app.f ; prepare ; disclose pii.c | allow
        user:ann @ dev/db | sql.call app.f ; functions=app.f | deny default-deny";
    let report = cases::run(&crate::world::policies(text), table);
    assert_eq!(report.failures, []);
    assert_eq!((report.passed, report.undecisive.len()), (7, 0));
    let wrong = "workload:job in ci @ dev/db | sql.read app.t ; client 10.0.0.1 | allow ; limits max_rows=6";
    let report = cases::run(&crate::world::policies(text), wrong);
    let told: Vec<&str> = report.failures.iter().map(|failure| failure.message.as_str()).collect();
    assert_eq!(told, ["expected allow ; limits max_rows=6, but it is allow ; limits max_rows=5"]);
}

#[test]
fn a_table_can_say_what_is_withheld_found_and_counted() {
    let text = r#"
        @id("chat") permit (principal, action in Action::"execute", resource) when { context has llm && context.llm.parsed };
        @id("read") permit (principal, action in Action::"read", resource) when { context has stmt && context.stmt.kind == "select" };
        @id("call") permit (principal, action == Action::"tool.call", resource) when { context.tool.name == "search" };
        @id("show") permit (principal, action == Action::"reveal.partial", resource in Tag::"pii.c");
        @id("send") permit (principal, action == Action::"disclose", resource in Env::"dev");
        @id("token") permit (principal, action == Action::"disclose.token", resource in Tag::"pii");
        @id("rate") @requests("60/1m") permit (principal, action == Action::"llm.chat", resource);
        @id("day") @cost("5.00/1d") @tokens("1000/24h") @per("owner") permit (principal, action == Action::"llm.chat", resource);"#;
    let table = "
        facts: parsed=true stmt.kind=select kind=delete tool.name=search
        user:ann @ dev/db  | llm.chat gpt | allow ; budgets rate=requests:60/60s day=tokens:1000/1d/owner day=cost:5/1d/owner
        user:ann @ dev/db  | llm.chat gpt ; disclose secret | allow
        user:ann @ prod/db | llm.chat gpt ; disclose secret,pii.c | allow ; withheld secret=redact pii.c=token
        user:ann @ prod/db | llm.chat gpt ; reveal Value:pii.c ; disclose pii | masks Value:pii.c=partial(keep_last=4) ; withheld pii=token ; limits ; budgets rate=requests:60/1m day=tokens:1000/1d/owner day=cost:5.00/1d/owner
        user:ann @ prod/db | llm.chat gpt ; parsed=false | deny default-deny
        user:ann @ prod/db | sql.read public.t | allow
        user:ann @ prod/db | sql.read public.t ; stmt.kind=delete | deny default-deny
        user:ann @ prod/db | sql.read public.t ; kind=select | allow
        user:ann @ prod/db | tool.call search | allow
        user:ann @ prod/db | tool.call search ; name=other | deny default-deny";
    let report = cases::run(&crate::world::policies(text), table);
    assert_eq!(report.failures, []);
    assert_eq!((report.passed, report.undecisive), (10, Vec::new()));
    let wrong = "facts: parsed=true kind=select llm.kind=x
        user:ann @ prod/db | llm.chat gpt ; disclose pii | allow
        user:ann @ dev/db | llm.chat gpt ; disclose pii | allow ; withheld pii=redact
        user:ann @ prod/db | llm.chat gpt ; reveal Value:pii.c | masks pii.c=partial(keep_last=4)
        user:ann @ dev/db | llm.chat gpt | allow ; budgets rate=requests:61/1m
        user:ann @ dev/db | llm.chat gpt | allow ; budgets rate=requests:60
        user:ann @ dev/db | llm.chat gpt | allow ; budget rate=requests:60/1m
        user:ann @ dev/db | llm.chat gpt ; name=x | allow
        user:ann @ dev/db | llm.chat gpt, tool.call search | allow";
    let report = cases::run(&crate::world::policies(text), wrong);
    let told: Vec<String> = report.failures.iter().map(|f| format!("{}: {}", f.line, f.message)).collect();
    expect_test::expect![[r#"
        1: `llm.kind` is no fact of any protocol
        2: expected allow, but it is allow ; withheld pii=token ; budgets day=tokens:1000/1d/owner day=cost:5/1d/owner rate=requests:60/1m
        3: expected allow ; withheld pii=redact, but it is allow ; budgets day=tokens:1000/1d/owner day=cost:5/1d/owner rate=requests:60/1m
        4: expected masks pii.c=partial(keep_last=4), but it is masks Value:pii.c=partial(keep_last=4) ; budgets day=tokens:1000/1d/owner day=cost:5/1d/owner rate=requests:60/1m
        5: expected allow ; budgets rate=requests:61/1m, but it is allow ; budgets day=tokens:1000/1d/owner day=cost:5/1d/owner rate=requests:60/1m
        6: `60` is no budget
        7: `budget rate=requests:60/1m` is none of withheld, limits, budgets
        8: `name` is no fact of `llm`
        9: `tool.call` carries `tool` and not `llm`: ask for it by itself"#]]
    .assert_eq(&told.join("\n"));
}
