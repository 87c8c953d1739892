//! Cases, decided and compared.

use sluice_model::{RuleId, SessionId};

use super::parse::{Asking, Head, What, asking};
use super::ruling::{Got, Terms};
use crate::case::Case;
use crate::policies::Policies;
use crate::verb::Place;

/// What a table of cases showed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many cases came out as written.
    pub passed: usize,
    /// Those that did not, and lines that are no cases.
    pub failures: Vec<Failure>,
    /// Rules of the pack under test (of all packs, where the table names none) without which every case would come out
    /// the same: nothing shows that they do anything.
    pub undecisive: Vec<RuleId>,
}

/// One line that did not come out as written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// From 1.
    pub line: usize,
    /// What differs.
    pub message: String,
}

/// The packs that a table wants loaded, the one under test first.
#[must_use]
pub fn packs(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("packs:"));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Decides every case of a table and compares.
#[must_use]
pub fn run(policies: &Policies, text: &str) -> Report {
    let mut report = Report::default();
    let mut head = Head::default();
    let mut askings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let number = index + 1;
        let read = match head.read(line, &policies.compiled.vocabulary) {
            Ok(true) => continue,
            Ok(false) if line.is_empty() => continue,
            Ok(false) => asking(line, &head, &policies.compiled.vocabulary),
            Err(message) => Err(message),
        };
        let checked = read.and_then(|asking| {
            let got = ruling(policies, &asking)?;
            got.compare(&asking.expected).map(|()| (asking, got))
        });
        match checked {
            Ok(asked) => askings.push(asked),
            Err(message) => report.failures.push(Failure { line: number, message }),
        }
    }
    report.passed = askings.len();
    report.undecisive = undecisive(policies, &askings, packs(text).first());
    report
}

fn undecisive(policies: &Policies, askings: &[(Asking, Got)], pack: Option<&String>) -> Vec<RuleId> {
    let tested = policies.ids().filter(|(_, file)| pack.is_none_or(|pack| pack == file));
    let idle = |rule: &RuleId| {
        policies.without(rule).is_some_and(|rest| {
            askings.iter().all(|(asking, got)| ruling(&rest, asking).is_ok_and(|other| other == *got))
        })
    };
    tested.map(|(rule, _)| rule).filter(|rule| idle(rule)).cloned().collect()
}

fn ruling(policies: &Policies, asking: &Asking) -> Result<Got, String> {
    let operation = match &asking.what {
        What::Verb(verb) => {
            let answer = policies.permits_verb(&asking.who, verb, verb, Place::Target(&asking.target), asking.at);
            return Ok(answer.map_or_else(|refusal| Got::Deny(refusal.rule), |()| Got::Allow(Terms::default())));
        }
        What::Operation(operation) => operation,
    };
    let session = SessionId::new("cases").map_err(|error| error.to_string())?;
    let case = Case {
        who: &asking.who,
        target: &asking.target,
        operation,
        at: asking.at,
        session: &session,
        approval: asking.approval,
    };
    Ok(Got::of(&policies.decide(&case).verdict))
}
