//! The real clients: psql, pgbench, Python drivers.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::broker::{Broker, root};
use crate::database::program;
use crate::run::run;

/// How long a Python script may take.
const SCRIPT: Duration = Duration::from_secs(60);

/// psql as somebody, over TLS with the broker's certificate checked, without any settings of the machine's.
#[must_use]
pub fn psql(broker: &Broker, user: &str, target: &str, token: &str) -> Command {
    let authority = broker.folder().join("var/tls/ca.pem");
    let mut command = Command::new(program("psql"));
    command.arg(format!(
        "host=localhost hostaddr=127.0.0.1 port={} dbname={target} user={user} sslmode=verify-full sslrootcert={}",
        broker.port(),
        authority.display()
    ));
    command.args(["-X", "--no-align", "--tuples-only", "--pset", "pager=off"]);
    command.env("PGPASSWORD", token).env("LC_ALL", "C.UTF-8");
    for setting in ["PGOPTIONS", "PGSERVICE", "PGSSLMODE", "PGHOST", "PGDATABASE", "PGUSER", "PGAPPNAME"] {
        command.env_remove(setting);
    }
    command
}

/// pgbench as somebody.
#[must_use]
pub fn pgbench(broker: &Broker, user: &str, token: &str) -> Command {
    tool(broker, "pgbench", user, token)
}

/// A program of PostgreSQL as somebody.
#[must_use]
pub fn tool(broker: &Broker, name: &str, user: &str, token: &str) -> Command {
    let mut command = Command::new(program(name));
    command.args(["-h", "localhost", "-p", &broker.port().to_string(), "-U", user]);
    let authority = broker.folder().join("var/tls/ca.pem");
    command.env("PGPASSWORD", token).env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", authority);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a script of `tests/python`; it prints one JSON document.
///
/// # Panics
/// When it fails, or the drivers are not installed.
#[must_use]
pub fn python(broker: &Broker, script: &str, user: &str, target: &str, token: &str) -> Value {
    let interpreter = root().join(".tools/venv/bin/python");
    assert!(fs::exists(&interpreter).unwrap_or(false), "the Python drivers are not installed: run `make setup`");
    let mut command = Command::new(interpreter);
    command.arg(root().join("tests/python").join(script)).current_dir(broker.folder());
    command.env("SLUICE_HOST", "localhost").env("SLUICE_PORT", broker.port().to_string()).env("SLUICE_USER", user);
    command.env("SLUICE_TARGET", target).env("SLUICE_PASSWORD", token).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SLUICE_CA", broker.folder().join("var/tls/ca.pem"));
    let printed = run(&mut command, SCRIPT);
    assert_eq!(printed.code, Some(0), "{script} failed (`make setup` installs the drivers):\n{}", printed.said());
    serde_json::from_str(&printed.stdout).expect("the script prints one JSON document")
}
