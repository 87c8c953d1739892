#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeSet;

use sluice_model::{Person, TokenId, Who};

use super::*;

fn user(name: &str) -> Principal {
    Principal {
        who: Who::User(Person { name: name.to_owned(), groups: BTreeSet::new() }),
        token: TokenId::new("t-1").unwrap(),
        expires: UnixMicros(i64::MAX),
        targets: None,
        run: None,
    }
}

fn agent(name: &str, owner: &str) -> Principal {
    let owner = Person { name: owner.to_owned(), groups: BTreeSet::new() };
    Principal { who: Who::Agent { name: name.to_owned(), purpose: None, groups: BTreeSet::new(), owner }, ..user("x") }
}

fn budget(unit: Unit, amount: u64, per: Per) -> Budget {
    Budget { rule: RuleId::new("r").unwrap(), unit, amount, window_seconds: 60, per }
}

fn at(seconds: i64) -> UnixMicros {
    UnixMicros(seconds * 1_000_000)
}

fn tokens(tokens: u64) -> Spend {
    Spend { tokens, ..Spend::REQUEST }
}

#[test]
fn a_rate_holds_at_its_edge_and_is_full_again_with_the_next_window() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Requests, 2, Per::Principal)]);
    let ask = |now| ledger.reserve(&budgets, &user("ana"), Spend::REQUEST, now).map(drop);
    ask(at(0)).unwrap();
    ask(at(59)).unwrap();
    let refused = ask(at(59)).unwrap_err();
    assert_eq!((refused.code, refused.retry_after_seconds), (Code::Budget, Some(1)));
    assert_eq!(refused.rule.as_str(), "r");
    ask(at(60)).unwrap();
}

#[test]
fn what_was_not_used_is_given_back() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Tokens, 100, Per::Principal)]);
    let first = ledger.reserve(&budgets, &user("ana"), tokens(90), at(0)).unwrap();
    ledger.reserve(&budgets, &user("ana"), tokens(11), at(1)).unwrap_err();
    ledger.settle(&first, tokens(20), at(1));
    ledger.reserve(&budgets, &user("ana"), tokens(80), at(2)).unwrap();
    ledger.reserve(&budgets, &user("ana"), tokens(1), at(2)).unwrap_err();
}

#[test]
fn what_used_more_than_it_reserved_counts_in_full() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Cost, 100, Per::Principal)]);
    let cost = |cost_micros| Spend { cost_micros, ..Spend::REQUEST };
    let first = ledger.reserve(&budgets, &user("ana"), cost(10), at(0)).unwrap();
    ledger.settle(&first, cost(100), at(1));
    ledger.reserve(&budgets, &user("ana"), cost(1), at(0)).unwrap_err();
}

#[test]
fn a_settlement_after_its_window_gives_nothing_back_and_charges_what_is_beyond() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Tokens, 100, Per::Principal)]);
    let first = ledger.reserve(&budgets, &user("ana"), tokens(90), at(0)).unwrap();
    ledger.reserve(&budgets, &user("ana"), tokens(100), at(60)).unwrap();
    ledger.settle(&first, tokens(0), at(61));
    ledger.reserve(&budgets, &user("ana"), tokens(1), at(61)).unwrap_err();
    let long = ledger.reserve(&budgets, &user("ana"), tokens(10), at(120)).unwrap();
    ledger.settle(&long, tokens(70), at(180));
    ledger.reserve(&budgets, &user("ana"), tokens(41), at(181)).unwrap_err();
    ledger.reserve(&budgets, &user("ana"), tokens(40), at(181)).unwrap();
}

#[test]
fn counters_are_the_principals_the_persons_or_the_rules() {
    let check = |per, another: &Principal| {
        let (ledger, budgets) = (Ledger::default(), [budget(Unit::Requests, 1, per)]);
        ledger.reserve(&budgets, &agent("robo", "ana"), Spend::REQUEST, at(0)).unwrap();
        ledger.reserve(&budgets, another, Spend::REQUEST, at(0)).is_ok()
    };
    assert!(check(Per::Principal, &agent("other", "ana")));
    assert!(!check(Per::Principal, &agent("robo", "ana")));
    assert!(!check(Per::Owner, &agent("other", "ana")));
    assert!(!check(Per::Owner, &user("ana")));
    assert!(check(Per::Owner, &user("ben")));
    assert!(!check(Per::Rule, &user("ben")));
}

#[test]
fn nothing_is_reserved_where_one_budget_has_no_room() {
    let ledger = Ledger::default();
    let roomy = budget(Unit::Requests, 1, Per::Principal);
    let full = Budget { rule: RuleId::new("full").unwrap(), ..budget(Unit::Tokens, 5, Per::Principal) };
    let refused = ledger.reserve(&[roomy.clone(), full], &user("ana"), tokens(6), at(0)).unwrap_err();
    assert_eq!((refused.rule.as_str(), refused.retry_after_seconds), ("full", None));
    ledger.reserve(&[roomy], &user("ana"), tokens(6), at(0)).unwrap();
}

#[test]
fn passed_windows_are_forgotten() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Requests, 1, Per::Principal)]);
    ledger.reserve(&budgets, &user("ana"), Spend::REQUEST, at(0)).unwrap();
    ledger.forget_passed(at(59));
    assert_eq!(ledger.0.len(), 1);
    ledger.forget_passed(at(60));
    assert_eq!(ledger.0.len(), 0);
}

#[test]
fn counters_outlive_a_run() {
    let (ledger, budgets) = (Ledger::default(), [budget(Unit::Tokens, 100, Per::Principal)]);
    ledger.reserve(&budgets, &user("ana"), tokens(60), at(0)).unwrap();
    let changed = ledger.changed();
    assert_eq!((changed.len(), changed[0].used), (1, 60));
    assert_eq!(ledger.changed(), []);
    let later = Ledger::default();
    later.resume(changed);
    assert_eq!(later.changed(), []);
    later.reserve(&budgets, &user("ana"), tokens(41), at(1)).unwrap_err();
    later.reserve(&budgets, &user("ana"), tokens(40), at(1)).unwrap();
}
