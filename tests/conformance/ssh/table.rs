//! What is expected of each test, and what is changed in the suite before it runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_tests::run::run;

const TESTS: &str = include_str!("tests.txt");
const EDITS: &str = include_str!("edits.txt");

/// One test of the suite.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) expected: Expected,
    pub(crate) reason: String,
}

/// What becomes of a test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    /// The same as without the broker.
    Same,
    /// It fails, and shall.
    Refused,
    /// It is about something else, and is not run.
    Apart,
}

/// Reads the table.
pub(crate) fn read() -> Result<Vec<Test>> {
    lines(TESTS).map(test).collect()
}

/// Whether the table has exactly the tests that are installed.
pub(crate) fn check(tests: &[Test], installed: &[String]) -> Result<()> {
    let named = |name: &str| tests.iter().filter(|test| test.name == name).count();
    if let Some(name) = installed.iter().find(|name| named(name) != 1) {
        bail!("the table has `{name}` {} times", named(name));
    }
    if let Some(test) = tests.iter().find(|test| !installed.contains(&test.name)) {
        bail!("there is no test `{}`", test.name);
    }
    Ok(())
}

/// Changes the scripts of a copy of the suite, of the tests that are run; every change must change something.
pub(crate) fn edit(suite: &Path, is_run: impl Fn(&str) -> bool) -> Result<()> {
    for line in lines(EDITS) {
        let (name, expression) = line.split_once('\t').with_context(|| format!("`{line}` is no edit"))?;
        if !is_run(name.trim_end_matches(".sh")) {
            continue;
        }
        let file = suite.join(name);
        let before = fs::read(&file).with_context(|| format!("there is no `{name}`"))?;
        let mut sed = Command::new("sed");
        let _edited = run(sed.args(["-i", "-e", expression]).arg(&file), Duration::from_secs(30)).done();
        if fs::read(&file)? == before {
            bail!("`{expression}` changes nothing in `{name}`");
        }
    }
    Ok(())
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("# "))
}

fn test(line: &str) -> Result<Test> {
    let mut fields = line.split('\t').map(str::trim);
    let (Some(expected), Some(name), reason) = (fields.next(), fields.next(), fields.next().unwrap_or_default()) else {
        bail!("`{line}` is no line of the table");
    };
    let expected = match expected {
        "same" => Expected::Same,
        "refused" => Expected::Refused,
        "apart" => Expected::Apart,
        other => bail!("`{other}` is nothing that becomes of a test"),
    };
    if expected != Expected::Same && reason.is_empty() {
        bail!("`{name}` has no reason");
    }
    Ok(Test { name: name.to_owned(), expected, reason: reason.to_owned() })
}
