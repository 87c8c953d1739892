//! What holds for any set of policies and any asking.

use proptest::prelude::*;
use sluice_model::{Exposure, Fact, Obligations, RuleId, Tag, Usage, Verdict};
use sluice_policy::Policies;

use crate::world::{Asking, access, agent, asks, column, exposure, policies, table, target, user};

const APPROVED: &str = "context.base has approval && context.base.approval.digest_ok";

/// Rules to choose from; the ids tell permits (`p`) from forbids (`f`).
fn rule(index: usize) -> String {
    let groups = ["analysts", "agents"];
    let group = groups.get(index % groups.len()).unwrap();
    match index {
        0..2 => format!(r#"@id("p{index}") permit (principal in Group::"{group}", action in Action::"read", resource);"#),
        2..4 => format!(
            r#"@id("p{index}") permit (principal in Group::"{group}", action in Action::"write", resource in Env::"prod");"#
        ),
        4 => r#"@id("p4") permit (principal, action == Action::"sql.read", resource == Table::"orders-db/public/a");"#.to_owned(),
        5 => r#"@id("p5") permit (principal is User, action, resource in Target::"orders-db") when { context has stmt && context.stmt.multi };"#.to_owned(),
        6 => r#"@id("p6") permit (principal, action == Action::"reveal", resource in Tag::"pii");"#.to_owned(),
        7 => r#"@id("p7") permit (principal in Group::"analysts", action == Action::"filter", resource in Tag::"pii.a");"#.to_owned(),
        8 => r#"@id("p8") permit (principal, action == Action::"disclose.token", resource in Tag::"pii");"#.to_owned(),
        9 => r#"@id("p9") permit (principal in Group::"analysts", action == Action::"disclose", resource in Env::"prod");"#.to_owned(),
        10 => r#"@id("f10") forbid (principal is Agent, action in Action::"write", resource);"#.to_owned(),
        11 => format!(
            r#"@id("f11") @approve("Group::dba") forbid (principal, action in Action::"write", resource in Env::"prod") unless {{ {APPROVED} }};"#
        ),
        12 => r#"@id("f12") forbid (principal, action, resource in Schema::"orders-db/public") when { context has stmt && context.stmt.multi };"#.to_owned(),
        13 => r#"@id("f13") forbid (principal, action == Action::"disclose", resource == Value::"orders-db/pii.a");"#.to_owned(),
        _ => r#"@id("f14") forbid (principal, action == Action::"reveal", resource in Env::"dev");"#.to_owned(),
    }
}

const PERMITS: usize = 10;
const RULES: usize = 15;

fn chosen() -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence((0..RULES).collect::<Vec<_>>(), 0..=RULES)
}

fn askings() -> impl Strategy<Value = Asking> {
    let accesses = prop::collection::vec((prop::bool::ANY, prop::sample::select(vec!["a", "b"])), 1..3);
    let who = prop::sample::select(vec![
        user("alice", &["analysts"]),
        user("eve", &[]),
        agent("bot", &["agents"], "alice", &["analysts"]),
        agent("bot", &["agents", "analysts"], "eve", &[]),
    ]);
    let place = (prop::sample::select(vec!["dev", "prod"]), prop::sample::select(vec!["orders-db", "orders"]));
    let uses = prop::collection::vec((0..4, prop::sample::select(vec!["pii", "pii.a", "secret"])), 0..4);
    (accesses, who, place, uses, prop::bool::ANY, prop::bool::ANY).prop_map(
        |(accesses, who, (environment, name), uses, multi, approved)| {
            let accesses: Vec<_> = accesses
                .into_iter()
                .map(|(write, name)| access(if write { "sql.write" } else { "sql.read" }, table(name)))
                .collect();
            let uses: Vec<_> = uses
                .into_iter()
                .map(|(kind, tag)| match kind {
                    0 => exposure(Usage::Filter, column("c"), &[tag]),
                    1 => exposure(Usage::Reveal, column("c"), &[tag]),
                    2 => Exposure::found(Tag::new(tag).unwrap(), Usage::Reveal),
                    _ => Exposure::found(Tag::new(tag).unwrap(), Usage::Disclose),
                })
                .collect();
            let asking = asks(&accesses).by(who).uses(&uses).facts(&[("multi", Fact::Bool(multi))]);
            let asking = Asking { target: target(environment, name), ..asking };
            if approved { asking.approved(1) } else { asking }
        },
    )
}

fn compiled(chosen: &[usize]) -> Policies {
    policies(&chosen.iter().map(|index| rule(*index)).collect::<String>())
}

/// What a verdict lets through: nothing, what people approve, something; and how much of it is masked or withheld.
fn freedom(verdict: &Verdict) -> (u8, isize) {
    let hidden = |all: &Obligations| -isize::try_from(all.masks.len() + all.withheld.len()).unwrap();
    match verdict {
        Verdict::Deny(_) => (0, 0),
        Verdict::Hold(hold) => (1, hidden(&hold.obligations)),
        Verdict::Allow(obligations) => (2, hidden(obligations)),
    }
}

proptest! {
    #[test]
    fn without_a_permit_nothing_more_is_allowed(chosen in chosen(), asking in askings()) {
        let all = compiled(&chosen);
        let before = freedom(&asking.decided(&all).verdict);
        for index in chosen.into_iter().filter(|index| *index < PERMITS) {
            let rest = all.without(&RuleId::new(format!("p{index}")).unwrap()).unwrap();
            prop_assert!(freedom(&asking.decided(&rest).verdict) <= before, "without p{index}");
        }
    }

    #[test]
    fn without_a_forbid_nothing_less_is_allowed(chosen in chosen(), asking in askings()) {
        let all = compiled(&chosen);
        let before = freedom(&asking.decided(&all).verdict);
        for index in chosen.into_iter().filter(|index| *index >= PERMITS) {
            let rest = all.without(&RuleId::new(format!("f{index}")).unwrap()).unwrap();
            prop_assert!(freedom(&asking.decided(&rest).verdict) >= before, "without f{index}");
        }
    }

    #[test]
    fn a_slice_decides_like_the_whole(chosen in chosen(), asking in askings(), other in askings()) {
        let all = compiled(&chosen);
        let slice = all.slice(&asking.who, &asking.target);
        prop_assert!(slice.len() <= chosen.len());
        prop_assert_eq!(asking.with(|case| slice.decide(case)).verdict, asking.decided(&all).verdict);
        prop_assert_eq!(other.with(|case| slice.decide(case)).verdict, other.decided(&all).verdict);
    }

    #[test]
    fn what_may_be_cached_is_the_same_at_any_time(chosen in chosen(), asking in askings(), minute in 0_u16..1440) {
        let all = compiled(&chosen);
        let decision = asking.decided(&all);
        let mut later = Asking { approval: None, ..asking };
        later.at.minute = minute;
        later.at.now = later.at.now.plus_seconds(i64::from(minute));
        if decision.cacheable {
            prop_assert_eq!(later.decided(&all).verdict, decision.verdict);
        }
    }
}

#[test]
fn a_slice_keeps_the_rules_that_may_apply() {
    let all = compiled(&(0..RULES).collect::<Vec<_>>());
    let slice = all.slice(&user("eve", &[]), &target("prod", "orders"));
    // p6 and p8 are about a tag; f11 about production. The rest names agents, other groups, or things elsewhere.
    assert_eq!((slice.len(), slice.is_empty(), slice.epoch()), (3, false, 7));
}
