//! What is printed of a run, and whether it is sound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use sluice_tests::corpus::Expect;
use sluice_tests::evasion::Evasion;

use crate::judge::{Outcome, Verdict};

/// Everything that was judged.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Expect, &'static str), usize>,
    over_blocked: Vec<String>,
    pub(crate) faults: Vec<String>,
    not_applicable: Vec<String>,
    cases: usize,
}

impl Report {
    pub(crate) fn judged(&mut self, case: &Evasion, outcomes: Vec<Outcome>) {
        self.cases += 1;
        if outcomes.is_empty() {
            self.faults.push(format!("{}: nobody knows how to try it", case.id));
        }
        for outcome in outcomes {
            let word = match &outcome.verdict {
                Verdict::Denied(_) => "denied",
                Verdict::Broken => "broken",
                Verdict::Delivered => "delivered",
            };
            *self.counts.entry((case.expect, word)).or_default() += 1;
            if let (Expect::Masked, Verdict::Denied(said)) = (case.expect, &outcome.verdict) {
                self.over_blocked.push(format!("{:<6} {said}", case.id));
            }
            self.faults.extend(outcome.faults);
        }
    }

    pub(crate) fn not_applicable(&mut self, id: &str, why: &str) {
        self.not_applicable.push(format!("{id:<6} {why}"));
    }

    /// How many cases were judged.
    pub(crate) const fn cases(&self) -> usize {
        self.cases
    }

    /// Prints the table past the test runner, which hides what passing tests print.
    pub(crate) fn print(&mut self) {
        self.over_blocked.dedup();
        let mut text = format!("\nHTTP corpus: {} cases\n        expected   outcome    attempts\n", self.cases);
        let _never = self.counts.iter().try_for_each(|((expect, word), count)| {
            writeln!(text, "        {:<10} {word:<10} {count:>5}", format!("{expect:?}").to_lowercase())
        });
        let _never = writeln!(text, "        masked is expected and it was refused:");
        let lists = [&self.over_blocked, &self.not_applicable, &self.faults];
        for (title, list) in ["", "        not applicable, and denied:\n", "        faults:\n"].iter().zip(lists) {
            text.push_str(title);
            let _never = list.iter().try_for_each(|line| writeln!(text, "          {line}"));
        }
        let _unseen = std::io::stderr().write_all(text.as_bytes());
    }

    /// Fails on any leak, on anything that was wrongly forwarded or answered, and on a control that failed.
    pub(crate) fn must_be_sound(&self) {
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
    }
}
