//! The model API of `sluice demo`: a small stand-in for OpenAI's, whose answers follow a script.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::broker::sluice;
use crate::keeper::{Keeping, Kept};
use crate::wait::until;

/// The key that it wants to see.
pub const KEY: &str = "sk-demo-only-the-broker-knows-this";

/// A running demo, of which only the model API is used.
#[derive(Debug)]
pub struct Demo {
    _kept: Kept,
    port: u16,
}

impl Demo {
    /// The one demo of this test process: two that start at once would take each other's ports.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Demo> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-test-demo-").tempdir().expect("a temporary folder").keep();
        let log = folder.join("log");
        let mut demo = Command::new(sluice());
        demo.args(["demo", "--builtin"]);
        let keeping =
            Keeping { end_with: "TERM", log: &log, folder: Some(&folder), before: "", after: "", run_as: None };
        let kept = Kept::start(&demo, &keeping);
        let port = until(Duration::from_secs(60), "the demo to be ready", || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(kept.is_running(), "the demo did not start:\n{said}");
            let policies = said.lines().find_map(|line| line.trim().strip_prefix("policies "))?;
            let configuration = fs::read_to_string(PathBuf::from(policies).parent()?.join("sluice.yaml")).ok()?;
            let url = configuration.lines().find_map(|line| line.trim().strip_prefix("url: http://127.0.0.1:"))?;
            url.split('/').next()?.parse().ok()
        });
        Self { _kept: kept, port }
    }

    /// Where its model API listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The base of its model API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}
