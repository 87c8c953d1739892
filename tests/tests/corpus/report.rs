//! What is printed of a run, and whether it is sound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use sluice_tests::corpus::{Case, Expect};

use crate::case::{Outcome, Verdict};

/// Everything that was judged.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Expect, &'static str), usize>,
    over_blocked: Vec<(String, String)>,
    faults: Vec<String>,
    left_out: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn judged(&mut self, case: &Case, outcome: Outcome) {
        let word = match &outcome.verdict {
            Verdict::Denied(_) => "denied",
            Verdict::Closed(_) => "closed",
            Verdict::Delivered => "delivered",
        };
        *self.counts.entry((case.expect, word)).or_default() += 1;
        if let (Expect::Masked, Verdict::Denied(said) | Verdict::Closed(said)) = (case.expect, &outcome.verdict) {
            self.over_blocked.push((case.id.clone(), said.clone()));
        }
        for fault in outcome.faults {
            self.faults.push(format!("{} ({}): {fault}\n      {:?}", case.id, case.technique, outcome.verdict));
        }
    }

    pub(crate) fn left_out(&mut self, id: &str, why: &str) {
        self.left_out.push((id.to_owned(), why.to_owned()));
    }

    /// How many cases of a kind were judged.
    pub(crate) fn count(&self, expect: Expect) -> usize {
        self.counts.iter().filter(|((of, _), _)| *of == expect).map(|(_, count)| count).sum()
    }

    /// The cases that could have been shown masked and were refused.
    pub(crate) fn over_blocked(&self) -> impl Iterator<Item = &str> {
        self.over_blocked.iter().map(|(id, _)| id.as_str())
    }

    /// Prints the table past the test runner, which hides what passing tests print.
    pub(crate) fn print(&self) {
        let mut text = String::from("\ncorpus: expected   outcome    cases\n");
        let _never = self.counts.iter().try_for_each(|((expect, word), count)| {
            writeln!(text, "        {:<10} {word:<10} {count:>5}", format!("{expect:?}").to_lowercase())
        });
        let _never =
            writeln!(text, "        masked is expected and it was refused (over-blocked): {}", self.over_blocked.len());
        for (id, said) in &self.over_blocked {
            let _never = writeln!(text, "          {id:<8} {said}");
        }
        for (id, why) in &self.left_out {
            let _never = writeln!(text, "        not a statement: {id} {why}");
        }
        let _never = writeln!(text, "        faults: {}", self.faults.len());
        for fault in &self.faults {
            let _never = writeln!(text, "    {fault}");
        }
        let _unseen = std::io::stderr().write_all(text.as_bytes());
    }

    /// Fails on any leak, on anything that was wrongly forwarded or answered, and on a control that failed.
    pub(crate) fn must_be_sound(&self) {
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
    }
}
