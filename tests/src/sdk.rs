//! The SDKs of others: what `tests/clients` holds, run against an address.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::broker::root;
use crate::run::{Finished, Running, run};

/// How long a program of `tests/clients` may take.
const PROGRAM: Duration = Duration::from_secs(120);

/// What a program said of each of its steps.
#[derive(Clone, Debug, Default)]
pub struct Steps(BTreeMap<String, Value>);

/// A program of `tests/clients` against an API.
#[derive(Clone, Debug)]
pub struct Sdk {
    url: String,
    key: String,
    settings: Vec<(String, String)>,
}

impl Sdk {
    /// Programs that are told of this base URL and key.
    #[must_use]
    pub fn new(url: &str, key: &str) -> Self {
        Self { url: url.to_owned(), key: key.to_owned(), settings: Vec::new() }
    }

    /// The same with a setting, such as `SLUICE_MODEL`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a program, by its file name, and takes what it says.
    ///
    /// # Panics
    /// When a step fails.
    #[must_use]
    pub fn run(&self, program: &str) -> Steps {
        let finished = self.finish(program);
        let steps = Steps::of(&finished.stdout);
        assert_eq!(
            finished.code,
            Some(0),
            "{program} failed (`make setup` installs what it needs):\n{}",
            finished.said()
        );
        steps
    }

    /// The same, whatever becomes of it.
    #[must_use]
    pub fn finish(&self, program: &str) -> Finished {
        run(&mut self.command(program), PROGRAM)
    }

    /// Starts a program.
    #[must_use]
    pub fn start(&self, program: &str) -> Running {
        Running::start(&mut self.command(program))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = interpreter(program);
        command.env("OPENAI_BASE_URL", &self.url).env("OPENAI_API_KEY", &self.key);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Steps {
    fn of(lines: &str) -> Self {
        let step = |line: &str| {
            let said: Value = serde_json::from_str(line).ok()?;
            Some((said.get("step")?.as_str()?.to_owned(), said))
        };
        Self(lines.lines().filter_map(step).collect())
    }

    /// What was said of a step; null where nothing was.
    #[must_use]
    pub fn step(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// The steps, by name, without what no two runs have in common.
    #[must_use]
    pub fn comparable(&self, without: &[&str]) -> BTreeMap<String, Value> {
        let mut all = self.0.clone();
        for said in all.values_mut().filter_map(Value::as_object_mut) {
            without.iter().for_each(|name| drop(said.remove(*name)));
        }
        all
    }
}

/// A program that serves, such as `aimock.mjs` or `cookbook.py`, and says its port first.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn serve(program: &str, settings: &[(&str, &str)]) -> (Running, u16) {
    let running = Running::start(interpreter(program).envs(settings.iter().copied()));
    let said = running.hear("\"port\"");
    let first: Value = serde_json::from_str(said.lines().next().unwrap_or_default()).expect("the first line is JSON");
    let port =
        first.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).expect("it says its port");
    (running, port)
}

/// The folder of the programs.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("tests/clients")
}

fn interpreter(program: &str) -> Command {
    let interpreter = if program.ends_with(".mjs") { ".tools/node/bin/node" } else { ".tools/venv/bin/python" };
    let interpreter = root().join(interpreter);
    assert!(interpreter.exists(), "{} is not there: run `make setup`", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(folder().join(program)).current_dir(folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    for setting in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(setting);
    }
    command
}
