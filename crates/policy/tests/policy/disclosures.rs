//! What a target is sent of protected values, and what a client sees of values that a detector found.

use sluice_model::Usage::{Disclose, Filter, Reveal};
use sluice_model::{Exposure, Level, Principal, Resource, Tag, Transform, Usage};
use sluice_policy::{Policies, Settings};

use crate::world::{
    Asking, SQL, WEB, access, agent, asks, exposure, faults, policies, reads, sources, target, tell, user,
};

const CHAT: &str = r#"@id("chat") permit (principal, action == Action::"llm.chat", resource);"#;

/// A person of `analysts` asks a model at a target in production.
fn chats() -> Asking {
    asks(&[access("llm.chat", Resource::new("Model", ["gpt"]))])
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

fn found(usage: Usage, names: &[&str]) -> Vec<Exposure> {
    names.iter().map(|name| Exposure::found(tag(name), usage)).collect()
}

fn sends(rules: &str, who: Principal, names: &[&str]) -> String {
    chats().by(who).uses(&found(Disclose, names)).told(&policies(&format!("{CHAT} {rules}")))
}

fn permit(verb: &str, head: &str) -> String {
    let id = head.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!(r#"@id("{verb}{id}") permit (principal, action == Action::"{verb}", resource {head});"#)
}

#[test]
fn a_value_is_withheld_unless_a_policy_lets_it_go() {
    let alice = || user("alice", &[]);
    let pii = |verb| permit(verb, r#"in Tag::"pii""#);
    for (rules, expected) in [
        (String::new(), "allow -pii.contact=redact"),
        (pii("disclose.token"), "allow -pii.contact=token"),
        (pii("disclose"), "allow"),
        (pii("disclose") + &pii("disclose.token"), "allow"),
        (permit("disclose", r#"in Tag::"secret""#), "allow -pii.contact=redact"),
        (permit("disclose", r#"in Tag::"pii.contact.email""#), "allow -pii.contact=redact"),
        (pii("reveal") + &pii("reveal.token"), "allow -pii.contact=redact"),
        (r#"@id("all") permit (principal, action, resource);"#.to_owned(), "allow -pii.contact=redact"),
    ] {
        assert_eq!(sends(&rules, alice(), &["pii.contact"]), expected, "{rules}");
    }
}

#[test]
fn a_forbid_beats_a_permit_and_the_next_less_is_tried() {
    let alice = || user("alice", &[]);
    let both = permit("disclose", r#"in Tag::"pii""#) + &permit("disclose.token", r#"in Tag::"pii""#);
    let forbid = |verbs: &str| {
        format!(r#"{both} @id("f") forbid (principal, action in [{verbs}], resource in Tag::"pii.contact");"#)
    };
    let as_it_is = forbid(r#"Action::"disclose""#);
    assert_eq!(sends(&as_it_is, alice(), &["pii.contact.email", "pii.age"]), "allow -pii.contact.email=token");
    let at_all = forbid(r#"Action::"disclose", Action::"disclose.token""#);
    assert_eq!(sends(&at_all, alice(), &["pii.contact.email", "pii.age"]), "allow -pii.contact.email=redact");
    let token = forbid(r#"Action::"disclose.token""#);
    assert_eq!(sends(&token, alice(), &["pii.contact.email"]), "allow");
}

#[test]
fn approval_does_not_lift_what_is_withheld() {
    let rules = permit("disclose", r#"in Tag::"pii""#)
        + r#"@id("f") @approve("Group::dba") forbid (principal, action == Action::"disclose", resource in Tag::"pii")
        unless { context.base has approval && context.base.approval.digest_ok };"#;
    assert_eq!(sends(&rules, user("alice", &[]), &["pii"]), "allow -pii=redact");
}

/// Trap 1 again: a policy that errs refuses the whole operation, it withholds nothing.
#[test]
fn a_disclose_policy_that_errs_refuses_the_operation() {
    let overflow = "when { context.base.now + 9223372036854775807 > 0 }";
    for verb in ["disclose", "disclose.token"] {
        for effect in ["permit", "forbid"] {
            let rule = format!(r#"@id("bad") {effect} (principal, action == Action::"{verb}", resource) {overflow};"#);
            let policies = policies(&format!("{CHAT} {rule}"));
            let decision = chats().uses(&found(Disclose, &["pii"])).decided(&policies);
            assert_eq!(tell(&decision.verdict), "deny policy-error", "{rule}");
            assert_eq!(decision.erring.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(), ["bad"]);
            assert!(!decision.cacheable);
            assert_eq!(chats().told(&policies), "allow", "nothing is disclosed, so nothing is asked");
        }
    }
}

#[test]
fn an_agent_and_its_owner_must_both_be_allowed() {
    let rules = r#"@id("u") permit (principal in Group::"support", action == Action::"disclose", resource in Tag::"pii");
        @id("t") permit (principal in Group::"agents", action == Action::"disclose.token", resource in Tag::"pii");"#;
    let told = |who| sends(rules, who, &["pii.contact"]);
    assert_eq!(told(user("sue", &["support"])), "allow");
    assert_eq!(told(agent("bot", &["agents"], "sue", &["support"])), "allow -pii.contact=token");
    assert_eq!(told(agent("bot", &["support"], "bob", &[])), "allow -pii.contact=redact");
    assert_eq!(told(agent("bot", &["support"], "sue", &["support"])), "allow");
}

#[test]
fn values_lie_in_their_target_its_environment_and_their_classes() {
    let alice = || user("alice", &[]);
    for head in [
        r#"in Env::"prod""#,
        r#"in Target::"orders-db""#,
        r#"in Tag::"pii""#,
        r#"== Value::"orders-db/pii.contact""#,
        "is Value",
        "",
    ] {
        assert_eq!(sends(&permit("disclose", head), alice(), &["pii.contact"]), "allow", "{head}");
        let rules = format!("{CHAT} {}", permit("reveal", head));
        let shown = chats().uses(&found(Reveal, &["pii.contact"])).told(&policies(&rules));
        assert_eq!(shown, "allow", "{head}");
    }
    for head in [
        r#"in Env::"dev""#,
        r#"in Target::"orders""#,
        r#"in Tag::"pii.contact.email""#,
        r#"== Value::"orders-db/pii""#,
        r#"== Value::"orders/pii.contact""#,
    ] {
        assert_eq!(sends(&permit("disclose", head), alice(), &["pii.contact"]), "allow -pii.contact=redact", "{head}");
    }
    let dev = permit("disclose", r#"in Env::"dev""#);
    let below = Asking { target: target("dev", "orders-db"), ..chats() }.uses(&found(Disclose, &["pii.contact"]));
    assert_eq!(below.told(&policies(&format!("{CHAT} {dev}"))), "allow");
}

/// A rule about a tag itself would load and never apply: what is asked about lies in a tag.
#[test]
fn a_rule_about_the_tag_itself_does_not_load() {
    for verb in ["reveal", "reveal.token", "filter", "disclose", "disclose.token"] {
        let rule = format!(r#"@id("f") forbid (principal, action == Action::"{verb}", resource == Tag::"secret");"#);
        assert_eq!(
            faults(&rule),
            "a.cedar:1:1: unable to find an applicable action given the policy scope constraints \
             (try replacing `==` with `in` in the resource clause)",
            "{rule}"
        );
    }
}

#[test]
fn a_found_value_is_masked_like_a_column() {
    let told =
        |rules: &str, exposures: &[Exposure]| chats().uses(exposures).told(&policies(&format!("{CHAT} {rules}")));
    let reveal = |names: &[&str]| found(Reveal, names);
    assert_eq!(told("", &reveal(&["pii.contact"])), "allow Value:pii.contact=redact");
    let some = permit("reveal.partial", r#"in Tag::"pii.contact""#) + &permit("reveal.token", r#"in Tag::"secret""#);
    assert_eq!(
        told(&some, &reveal(&["secret.key", "pii.contact", "pii.age"])),
        "allow Value:pii.age=redact Value:pii.contact=partial(keep_last=4) Value:secret.key=token"
    );
    assert_eq!(told("", &found(Filter, &["pii"])), "deny masked-filter");
    let forbid = r#"@id("f") forbid (principal, action == Action::"reveal", resource in Tag::"pii.contact");"#;
    let all = permit("reveal", "") + forbid;
    assert_eq!(told(&all, &reveal(&["pii.contact", "pii.age"])), "allow Value:pii.contact=redact");
}

#[test]
fn what_is_shown_and_what_is_sent_are_apart() {
    let rules = permit("reveal", r#"in Tag::"pii""#) + &permit("disclose.token", r#"in Tag::"pii""#);
    let mut uses = found(Disclose, &["pii"]);
    uses.extend(found(Reveal, &["pii", "secret"]));
    let told = chats().uses(&uses).told(&policies(&format!("{CHAT} {rules}")));
    assert_eq!(told, "allow Value:secret=redact -pii=token");
}

#[test]
fn columns_and_found_values_are_ruled_by_the_same_policy() {
    let rules = format!(r#"@id("r") permit (principal, action, resource); {}"#, permit("reveal", r#"in Tag::"pii""#));
    let uses = [
        exposure(Reveal, Resource::new("Column", ["public", "t", "email"]), &["pii"]),
        Exposure::found(tag("pii"), Reveal),
        Exposure::found(tag("secret"), Reveal),
    ];
    assert_eq!(reads().uses(&uses).told(&policies(&rules)), "allow Value:secret=redact");
}

/// Whatever the exposure is about, each of its tags is asked about by itself.
#[test]
fn each_tag_is_withheld_once_and_by_itself() {
    let uses = [
        exposure(Disclose, Resource::target(), &["secret", "pii.contact"]),
        exposure(Disclose, Resource::new("Model", ["gpt"]), &["pii.contact"]),
        Exposure::found(tag("pii.age"), Disclose),
    ];
    let rules = format!("{CHAT} {}", permit("disclose", r#"in Tag::"pii.age""#));
    assert_eq!(chats().uses(&uses).told(&policies(&rules)), "allow -pii.contact=redact -secret=redact");
}

#[test]
fn a_value_that_is_not_of_its_own_class_is_refused() {
    let policies = policies(&format!("{CHAT} {}", permit("reveal", "")));
    let of = |path: &[&str], tags: &[&str]| {
        let value = Resource::new(Resource::VALUE, path.iter().copied());
        chats().uses(&[exposure(Reveal, value, tags)]).told(&policies)
    };
    assert_eq!(of(&["pii"], &["pii"]), "allow");
    for (path, tags) in [
        (&["pii"][..], &["secret"][..]),
        (&["pii"], &["pii", "secret"]),
        (&["pii"], &[]),
        (&["pii", "secret"], &["pii", "secret"]),
        (&[], &[]),
        (&["no tag"], &[]),
    ] {
        assert_eq!(of(path, tags), "deny policy-error", "{path:?} {tags:?}");
    }
}

#[test]
fn an_access_is_never_done_to_a_value() {
    let mut asking = chats();
    asking.shape.accesses.iter_mut().for_each(|access| access.resource = Resource::value(&tag("pii")));
    assert_eq!(asking.told(&policies(CHAT)), "deny policy-error");
}

#[test]
fn transforms_are_those_of_the_classification() {
    let settings = Settings {
        transforms: vec![
            (tag("pii"), Level::Token, Transform::Hash),
            (tag("secret"), Level::Redact, Transform::Constant("gone".to_owned())),
        ],
    };
    let text = format!("{CHAT} {}", permit("disclose.token", r#"in Tag::"pii""#));
    let policies = Policies::compile(&sources(&text), &[&SQL, &WEB], &settings, 1).unwrap();
    let told = chats().uses(&found(Disclose, &["pii.contact", "secret.key"])).told(&policies);
    assert_eq!(told, "allow -pii.contact=hash -secret.key=constant");
}

#[test]
fn a_hold_says_what_will_be_withheld() {
    let rules = format!(
        r#"{CHAT} @id("g") @approve("Group::dba") forbid (principal, action == Action::"llm.chat", resource)
        unless {{ context.base has approval && context.base.approval.digest_ok }};"#
    );
    let verdict = chats().uses(&found(Disclose, &["pii"])).decided(&policies(&rules)).verdict;
    let sluice_model::Verdict::Hold(hold) = verdict else { panic!("it must wait") };
    assert_eq!(tell(&sluice_model::Verdict::Allow(hold.obligations.clone())), "allow -pii=redact");
}

#[test]
fn what_reads_the_time_is_not_cached() {
    let rule =
        r#"@id("d") permit (principal, action == Action::"disclose", resource) when { context.base.minute < 700 };"#;
    let policies = policies(&format!("{CHAT} {rule}"));
    assert!(!chats().uses(&found(Disclose, &["pii"])).decided(&policies).cacheable);
    assert!(chats().decided(&policies).cacheable);
}

#[test]
fn a_policy_writer_refuses_by_an_ordinary_rule() {
    let rules = format!(
        r#"{CHAT} @id("no-keys") @message("Keys are sent to nobody.")
        forbid (principal, action == Action::"llm.chat", resource) when {{ context.llm.tags.contains("secret.key") }};"#
    );
    let detected = |names: &[&str]| {
        let tags = sluice_model::Fact::Set(names.iter().map(|name| Box::from(*name)).collect());
        chats().facts(&[("tags", tags)]).uses(&found(Disclose, names)).told(&policies(&rules))
    };
    assert_eq!(detected(&["pii"]), "allow -pii=redact");
    assert_eq!(detected(&["pii", "secret.key"]), "deny no-keys");
}

#[test]
fn both_verbs_are_explained_on_the_value() {
    let policies = policies(&format!("{CHAT} {}", permit("disclose.token", r#"in Tag::"pii""#)));
    let asked = chats().uses(&found(Disclose, &["pii.contact"])).with(|case| policies.explain(case)).asked;
    let told: Vec<String> =
        asked.iter().map(|asked| format!("{} {} {:?}", asked.action, asked.resource, asked.outcome)).collect();
    expect_test::expect![[r#"
        llm.chat Model::"orders-db/gpt" Permit([RuleId("chat")])
        disclose Value::"orders-db/pii.contact" Silent([])
        disclose.token Value::"orders-db/pii.contact" Permit([RuleId("disclose.tokenin-Tag---pii-")])"#]]
    .assert_eq(&told.join("\n"));
}
