//! Cases, decided and compared.

use std::collections::BTreeSet;

use sluice_model::{Controls, Mask, Obligations, RuleId, SessionId, Verdict};

use super::parse::{Asking, Head, What, asking};
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
        let read = match head.read(line) {
            Ok(true) => continue,
            Ok(false) if line.is_empty() => continue,
            Ok(false) => asking(line, &head, &policies.compiled.vocabulary),
            Err(message) => Err(message),
        };
        let checked = read.and_then(|asking| {
            let got = ruling(policies, &asking)?;
            compare(&asking.expected, &got).map(|()| (asking, got))
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

/// A verdict, as far as a case can tell.
#[derive(Debug, Eq, PartialEq)]
enum Got {
    Allow(BTreeSet<String>, Controls),
    Deny(RuleId),
    Hold(RuleId, BTreeSet<String>, Controls),
}

fn ruling(policies: &Policies, asking: &Asking) -> Result<Got, String> {
    let operation = match &asking.what {
        What::Verb(verb) => {
            let answer = policies.permits_verb(&asking.who, verb, verb, Place::Target(&asking.target), asking.at);
            let allow = || Got::Allow(BTreeSet::new(), Controls::default());
            return Ok(answer.map_or_else(|refusal| Got::Deny(refusal.rule), |()| allow()));
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
    let decision = policies.decide(&case);
    let masks = |obligations: &Obligations| obligations.masks.iter().map(shown).collect();
    Ok(match decision.verdict {
        Verdict::Allow(obligations) => Got::Allow(masks(&obligations), obligations.controls),
        Verdict::Deny(refusal) => Got::Deny(refusal.rule.clone()),
        Verdict::Hold(hold) => {
            Got::Hold(hold.refusal.rule.clone(), masks(&hold.obligations), hold.obligations.controls)
        }
    })
}

fn shown(mask: &Mask) -> String {
    let filter = if mask.filterable { "+filter" } else { "" };
    format!("{}={}{filter}", mask.resource.path.join("."), mask.transform)
}

fn compare(expected: &str, got: &Got) -> Result<(), String> {
    let mut parts = expected.split(';').map(str::trim);
    let mut words = parts.next().unwrap_or_default().split_whitespace();
    let head = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let same = match (head, got) {
        ("allow", Got::Allow(masks, _)) => rest.is_empty() && masks.is_empty(),
        ("masks", Got::Allow(masks, _)) => {
            rest.iter().map(|mask| (*mask).to_owned()).collect::<BTreeSet<_>>() == *masks
        }
        ("deny", Got::Deny(rule)) | ("hold", Got::Hold(rule, ..)) => rest == [rule.as_str()],
        ("allow" | "masks" | "deny" | "hold", _) => false,
        _ => return Err(format!("`{head}` is none of allow, deny, hold, masks")),
    };
    let limits = match got {
        Got::Allow(_, limits) | Got::Hold(_, _, limits) => *limits,
        Got::Deny(_) => Controls::default(),
    };
    let wanted = match parts.next() {
        Some(part) => Some(parse_limits(part)?),
        None => None,
    };
    if same && wanted.is_none_or(|wanted| wanted == limits) {
        Ok(())
    } else {
        Err(format!("expected {expected}, but it is {}", told(got)))
    }
}

fn parse_limits(part: &str) -> Result<Controls, String> {
    let pairs = part.strip_prefix("limits").ok_or_else(|| format!("`{part}` is not `limits …`"))?;
    let mut limits = Controls::default();
    for pair in pairs.split_whitespace() {
        let value = |text: &str| text.parse().map(Some).map_err(|_| format!("`{text}` is no number"));
        match pair.split_once('=') {
            Some(("max_rows", rows)) => limits.max_rows = value(rows)?,
            Some(("max_bytes", bytes)) => limits.max_bytes = value(bytes)?,
            Some(("timeout_ms", time)) => limits.timeout_ms = value(time)?,
            _ => return Err(format!("`{pair}` is no limit")),
        }
    }
    Ok(limits)
}

fn told(got: &Got) -> String {
    let allowed = |masks: &BTreeSet<String>, limits: &Controls| {
        let mut text = masks.iter().fold(String::new(), |text, mask| format!("{text} {mask}"));
        for (name, limit) in
            [("max_rows", limits.max_rows), ("max_bytes", limits.max_bytes), ("timeout_ms", limits.timeout_ms)]
        {
            if let Some(limit) = limit {
                text.push_str(&format!(" {name}={limit}"));
            }
        }
        text
    };
    match got {
        Got::Allow(masks, limits) if masks.is_empty() => format!("allow{}", allowed(masks, limits)),
        Got::Allow(masks, limits) => format!("masks{}", allowed(masks, limits)),
        Got::Deny(rule) => format!("deny {rule}"),
        Got::Hold(rule, masks, limits) => format!("hold {rule}{}", allowed(masks, limits)),
    }
}
