//! The HTTP evasion corpus through the broker: nothing leaks, nothing that must not be is forwarded, controls pass.

mod answers;
mod attempt;
mod auth;
mod bodies;
mod controls;
mod judge;
mod report;
mod requests;
mod split;
mod streams;
mod world;

use sluice_tests::canary::{CANARIES, contains};
use sluice_tests::evasion::{Evasion, Evasions};

use crate::attempt::Attempt;
use crate::judge::{Outcome, Recorded, judge};
use crate::report::Report;
use crate::world::World;

/// Cases of what the broker does not have. They are tried nevertheless, and must be denied.
const NOT_APPLICABLE: &[(&str, &str)] = &[
    ("HA-16", "MCP is not spoken yet: its routes do not exist"),
    ("HA-18", "MCP is not spoken yet: its routes do not exist"),
    ("HA-20", "MCP is not spoken yet: there is no route that passes another key on"),
    ("HA-21", "MCP is not spoken yet: its routes do not exist"),
    ("HA-22", "there is no console: approvals are given on a socket that browsers cannot reach"),
];

/// Every attempt at a case.
fn attempts(case: &Evasion, world: &World) -> Vec<Attempt> {
    match case.id.get(..2) {
        Some("HP") => requests::heads(case),
        Some("HF") => requests::framing(case),
        Some("HJ") => bodies::attempts(case),
        Some("HR") => answers::attempts(case),
        Some("HX") => streams::attempts(case),
        Some("HA") => auth::attempts(case, world),
        Some("HZ") => controls::attempts(case),
        Some(_) | None => Vec::new(),
    }
}

fn judged(world: &World, case: &Evasion) -> Vec<Outcome> {
    attempts(case, world).iter().map(|attempt| judge(world, case, attempt)).collect()
}

#[test]
fn corpus() {
    let corpus = Evasions::load();
    let only = std::env::var("SLUICE_CORPUS").ok();
    let world = World::guarded();
    let mut report = Report::default();
    let mut recorded = Vec::new();
    for case in &corpus.cases {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|id| case.id.starts_with(id))) {
            continue;
        }
        let outcomes = judged(&world, case);
        recorded.extend(outcomes.iter().filter_map(|outcome| Some((case.id.clone(), outcome.recorded.clone()?))));
        report.judged(case, outcomes);
        if let Some((id, why)) = NOT_APPLICABLE.iter().find(|(id, _)| *id == case.id) {
            report.not_applicable(id, why);
        }
    }
    let recordings = world.recordings();
    for (id, Recorded { session, mark }) in recorded {
        if !(recordings.contains(&session) && recordings.contains(&mark)) {
            report.faults.push(format!("{id}: UNRECORDED: {mark} in {session}"));
        }
    }
    for canary in CANARIES {
        let kept = world.kept().into_iter().filter(|(_, bytes)| contains(bytes, canary.as_bytes()));
        report.faults.extend(kept.map(|(name, _)| format!("LEAK: {canary} in {name}")));
        if recordings.contains(canary) || world.broker.log().contains(canary) {
            report.faults.push(format!("LEAK: {canary} in a recording or the log"));
        }
    }
    report.print();
    assert!(only.is_some() || report.cases() == corpus.cases.len(), "a part of the corpus was not run");
    world.broker.log_is_clean();
    report.must_be_sound();
}

/// A broker that lets everything through must be found out, or the checks check nothing.
#[test]
fn the_checks_find_what_a_permissive_broker_lets_through() {
    let corpus = Evasions::load();
    let world = World::open();
    let expected = [
        ("HJ-10", "FORWARDED"),
        ("HJ-12", "FORWARDED"),
        ("HJ-13", "LEAK to the server"),
        ("HJ-14", "LEAK to the server"),
        ("HJ-15", "LEAK to the server"),
        ("HJ-23", "LEAK to the server"),
        ("HJ-24", "LEAK to the server"),
        ("HR-01", "LEAK: zq7x.k1"),
        ("HR-02", "LEAK: zq7x.k1"),
        ("HR-07", "LEAK: 900-55-0001"),
        ("HR-09", "in a row"),
        ("HR-10", "as base64"),
        ("HX-05", "in a row"),
        ("HX-09", "in a row"),
        ("HX-10", "NOT DENIED"),
        ("HX-16", "LEAK"),
    ];
    let mut missed = Vec::new();
    for (id, word) in expected {
        let Some(case) = corpus.cases.iter().find(|case| case.id == id) else {
            missed.push(format!("{id} is not in the corpus"));
            continue;
        };
        let faults: Vec<String> = judged(&world, case).into_iter().flat_map(|outcome| outcome.faults).collect();
        if !faults.iter().any(|fault| fault.contains(word)) {
            missed.push(format!("{id}: no `{word}` in {faults:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
