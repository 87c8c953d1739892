//! The SQL evasion corpus through the broker: nothing leaks, nothing that must not be is forwarded, controls pass.

mod case;
mod report;
mod wire;
mod worlds;

use sluice_tests::corpus::{Corpus, Expect};

use crate::case::{Outcome, judge};
use crate::report::Report;
use crate::worlds::Worlds;

/// Cases without a script that can be run as they stand are run in `wire.rs`; these are not run, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("WIRE-24", "in wire.rs: guessed_cancel_keys_reach_nobody"),
    ("WIRE-25", "in wire.rs: a_cancel_key_reaches_its_own_session_only"),
    ("WIRE-28", "in wire.rs: nothing_of_a_session_is_left_for_the_next"),
    ("WIRE-31", "in wire.rs: a_server_that_sends_rows_of_the_wrong_width_ends_the_session"),
    ("WIRE-32", "in wire.rs: a_server_that_describes_a_result_twice_ends_the_session"),
    ("WIRE-36", "in wire.rs: an_oversized_startup_is_refused"),
    ("DOS-05", "in wire.rs: prepared_statements_have_a_limit"),
    ("DOS-06", "in wire.rs: a_select_list_has_a_limit"),
];

/// `masked` is expected, and the corpus grants that pinning the search path refuses it.
const MAY_BE_REFUSED: &[&str] = &["MAT-08", "SESS-08"];

#[test]
fn corpus() {
    let corpus = Corpus::load();
    let only = std::env::var("SLUICE_CORPUS").ok();
    let worlds = Worlds::guarded(&corpus.schema);
    let mut report = Report::default();
    for case in &corpus.cases {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|id| case.id.starts_with(id))) {
            continue;
        }
        match NOT_RUN.iter().find(|(id, _)| *id == case.id) {
            Some((id, why)) => report.left_out(id, why),
            None => report.judged(case, judge(&worlds, case)),
        }
    }
    report.print();
    if only.is_none() {
        assert!(report.count(Expect::Deny) > 80 && report.count(Expect::Masked) > 40, "most of the corpus was not run");
        let refused = report.over_blocked().filter(|id| !MAY_BE_REFUSED.contains(id)).count();
        let all = report.count(Expect::Masked) - MAY_BE_REFUSED.len();
        assert!(refused * 20 <= all, "{refused} of {all} cases are refused that could be shown masked");
    }
    worlds.broker.log_is_clean();
    report.must_be_sound();
}

/// A broker that lets everything through must be found out, or the checks check nothing.
#[test]
fn the_checks_find_what_a_permissive_broker_lets_through() {
    let corpus = Corpus::load();
    let worlds = Worlds::open(&corpus.schema);
    let expected = [
        ("DML-01", ["FORWARDED", "CHANGED"]),
        ("DML-13", ["FORWARDED", "CHANGED"]),
        ("MAT-01", ["FORWARDED", "CHANGED"]),
        ("MAT-12", ["FORWARDED", "CHANGED"]),
        ("EXF-06", ["FORWARDED", "CHANGED"]),
        ("WIRE-14", ["FORWARDED", "CHANGED"]),
        ("FILE-01", ["LEAK", "DELIVERED"]),
        ("INF-02", ["FORWARDED", "NOT DENIED"]),
        ("INF-15", ["FORWARDED", "DELIVERED"]),
        ("ERR-11", ["LEAK", "FORWARDED"]),
        ("LND-01", ["LEAK: 900-55-0001", "LEAK: it depends"]),
        ("LND-07", ["LEAK: 900-55-0001", "LEAK: it depends"]),
        ("LND-23", ["(hex)", "LEAK: it depends"]),
        ("LND-24", ["(base64", "LEAK: it depends"]),
        ("LND-29", ["LEAK: it depends", "LEAK: it depends"]),
        ("OK-17", ["LEAK: it depends", "LEAK: it depends"]),
        ("WIRE-09", ["LEAK: zq7x.k1", "LEAK: it depends"]),
    ];
    let mut missed = Vec::new();
    for (id, words) in expected {
        let Some(case) = corpus.cases.iter().find(|case| case.id == id) else {
            missed.push(format!("{id} is not in the corpus"));
            continue;
        };
        let Outcome { faults, verdict } = judge(&worlds, case);
        let unseen = words.iter().filter(|word| !faults.iter().any(|fault| fault.contains(*word)));
        missed.extend(unseen.map(|word| format!("{id}: no `{word}` in {faults:?}, {verdict:?}")));
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
