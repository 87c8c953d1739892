//! `fixtures/sql`: statements that must be refused or shown masked, and statements that must pass as they are.
//!
//! Statements are separated by lines that begin with `-- expect:`; the word after it is `deny`, `masked`, `allowed` or, of columns of
//! a result, `carries`.

use std::fmt::Write as _;

use super::schema::{Outcome, READING, world};
use crate::{Usage, Verb};

/// The statements of a file with what is expected of each.
fn cases(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("-- expect: ").skip(1);
    blocks.filter_map(|block| block.split_once('\n')).map(|(word, sql)| (word.trim(), sql.trim())).collect()
}

fn check(text: &str, verbs: &[Verb], least: usize) {
    let world = world();
    let cases = cases(text);
    assert!(cases.len() >= least, "only {} statements", cases.len());
    let mut wrong = String::new();
    for (expect, sql) in cases {
        let outcome = world.ask_as(sql, verbs);
        let holds = matches!(
            (expect, &outcome),
            ("deny", Outcome::Refused(_)) | ("masked", Outcome::Rewritten(_)) | ("allowed", Outcome::Allowed)
        );
        // `count(x)` is rewritten as well; what it answers stays the same.
        let holds = holds || expect == "allowed" && matches!(outcome, Outcome::Rewritten(_)) && !world.shows(sql);
        if !holds {
            writeln!(wrong, "expected {expect}, got {outcome:?}:\n  {sql}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn bypasses_stay_closed() {
    check(include_str!("../../../../fixtures/sql/bypass.sql"), &READING, 100);
}

#[test]
fn false_alarms_stay_quiet() {
    check(include_str!("../../../../fixtures/sql/false-alarms.sql"), &READING, 60);
}

#[test]
fn definitions_call_nothing_unasked() {
    let verbs = [&READING[..], &[Verb::Define]].concat();
    check(include_str!("../../../../fixtures/sql/definitions.sql"), &verbs, 90);
}

#[test]
fn who_may_filter_gets_no_value_past_the_wire() {
    let world = world();
    let mut wrong = String::new();
    for (expect, sql) in cases(include_str!("../../../../fixtures/sql/filtering.sql")) {
        assert_eq!(expect, "carries", "{sql}");
        let analysis = world.analyze(sql).unwrap();
        let outputs = analysis.statements.first().and_then(|statement| statement.outputs.as_ref());
        // Where the columns are not certain, all of them count as such.
        let carries = outputs.is_none_or(|outputs| {
            !outputs.columns.is_empty() && outputs.columns.iter().all(|column| !column.carries.is_empty())
        });
        if !carries || analysis.uses.iter().all(|used| matches!(used.usage, Usage::Filter | Usage::Leave)) {
            writeln!(wrong, "{sql}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
