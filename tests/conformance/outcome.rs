//! What became of a suite's tests, through the broker and past it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::io::Write as _;

use anyhow::{Context as _, Result};

/// As many tests of one kind are printed.
const SHOWN: usize = 60;
/// How the reason of a test begins that fails only where time will have it.
const SOMETIMES: &str = "sometimes ";

/// Each test and whether it passed.
pub(crate) type Outcomes = BTreeMap<String, Outcome>;

/// What became of one test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Passes,
    Fails,
}

/// The two ways beside each other.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) direct: Outcomes,
    pub(crate) through: Outcomes,
    /// What fails through the broker by design: test and reason.
    pub(crate) known: BTreeMap<String, String>,
}

impl Compared {
    /// Tests that pass past the broker and not through it.
    fn lost(&self) -> BTreeSet<&str> {
        let passes = |outcomes: &Outcomes, test: &str| outcomes.get(test) == Some(&Outcome::Passes);
        let direct = self.direct.keys().map(String::as_str).filter(|test| passes(&self.direct, test));
        direct.filter(|test| !passes(&self.through, test)).collect()
    }

    /// Lost, and nobody said why.
    fn unexplained(&self) -> Vec<&str> {
        self.lost().into_iter().filter(|test| !self.known.contains_key(*test)).collect()
    }

    /// Explained, and passing all the same.
    fn stale(&self) -> Vec<&str> {
        let always = self.known.iter().filter(|(_, reason)| !reason.starts_with(SOMETIMES));
        let passes = |test: &str| self.through.get(test) == Some(&Outcome::Passes);
        always.map(|(test, _)| test.as_str()).filter(|test| passes(test)).collect()
    }

    /// Whether the broker made no difference that is not explained.
    pub(crate) fn is_same(&self) -> bool {
        let ran = self.direct.values().any(|outcome| *outcome == Outcome::Passes);
        ran && self.unexplained().is_empty() && self.stale().is_empty()
    }

    /// Prints a summary.
    pub(crate) fn print(&self, suite: &str) -> Result<()> {
        let passing = |outcomes: &Outcomes| outcomes.values().filter(|outcome| **outcome == Outcome::Passes).count();
        let (direct, through) = (passing(&self.direct), passing(&self.through));
        say(format_args!(
            "{suite}: {direct} of {} tests pass directly, {through} through the broker, {} differ by design",
            self.direct.len(),
            self.lost().len() - self.unexplained().len()
        ))?;
        for (what, tests) in
            [("fails only through the broker", self.unexplained()), ("listed, and passes", self.stale())]
        {
            for test in tests.iter().take(SHOWN) {
                say(format_args!("  {what}: {test}"))?;
            }
            if tests.len() > SHOWN {
                say(format_args!("  {what}: {} more", tests.len() - SHOWN))?;
            }
        }
        Ok(())
    }
}

/// Reads a list of tests that differ by design: `test: reason` on each line, `#` begins a comment.
pub(crate) fn known(list: &str) -> Result<BTreeMap<String, String>> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (test, reason) = line.split_once(": ").with_context(|| format!("no reason: `{line}`"))?;
        Ok((test.to_owned(), reason.to_owned()))
    };
    lines.map(entry).collect()
}

/// Prints a line.
pub(crate) fn say(line: Arguments<'_>) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output is closed")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Compared, Outcome, Outcomes, known};

    fn outcomes(passing: &[&str], failing: &[&str]) -> Outcomes {
        let passing = passing.iter().map(|test| ((*test).to_owned(), Outcome::Passes));
        passing.chain(failing.iter().map(|test| ((*test).to_owned(), Outcome::Fails))).collect()
    }

    #[test]
    fn only_what_is_lost_without_a_reason_or_listed_without_need_counts() {
        let list = "# a comment\nlisted: by design\nshaky: sometimes late\n";
        for (through, same) in [
            (outcomes(&["a", "shaky"], &["listed", "b"]), true),
            (outcomes(&["a"], &["listed", "b", "shaky"]), true),
            (outcomes(&["a", "b"], &["listed"]), true),
            (outcomes(&[], &["a", "listed"]), false),
            (outcomes(&["shaky"], &["listed"]), false),
            (outcomes(&["a", "listed"], &[]), false),
        ] {
            let direct = outcomes(&["a", "listed", "shaky"], &["b"]);
            let compared = Compared { direct, through, known: known(list).unwrap() };
            assert_eq!(compared.is_same(), same, "{compared:?}");
        }
        assert!(known("a test without a reason").is_err());
    }

    #[test]
    fn a_suite_that_ran_nothing_is_not_the_same() {
        let compared = Compared { direct: outcomes(&[], &["a"]), through: outcomes(&[], &["a"]), known: [].into() };
        assert!(!compared.is_same());
    }
}
