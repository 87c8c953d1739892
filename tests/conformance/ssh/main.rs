//! `make conformance`: OpenSSH's own tests and a playbook of Ansible, directly and with the broker in between.
//!
//! OpenSSH's server stands behind the broker under the name of the suite's user, whose key the broker knows, and the
//! broker shows the suite's host key: so the suite's client needs no other configuration than its own.

mod ansible;
mod behind;
mod suite;
mod table;

use std::process::ExitCode;

use anyhow::Result;

use suite::{Outcome, Suite, Way};
use table::{Expected, Test};

/// Everything that may be permitted is: what is refused then is refused by design.
pub(crate) const POLICY: &str = r#"
@id("suite-connects")
permit (principal in Group::"ops", action in Action::"connect", resource);

@id("suite-works")
permit (
  principal in Group::"ops",
  action in [
    Action::"ssh.inspect", Action::"ssh.exec", Action::"ssh.script", Action::"ssh.shell", Action::"ssh.pty",
    Action::"ssh.env", Action::"ssh.subsystem", Action::"ssh.forward",
    Action::"sftp.use", Action::"sftp.read", Action::"sftp.list", Action::"sftp.stat", Action::"sftp.write",
    Action::"sftp.remove", Action::"sftp.rename", Action::"sftp.mkdir", Action::"sftp.setstat", Action::"sftp.link",
    Action::"git.fetch", Action::"git.push"
  ],
  resource
);

@id("suite-sees")
permit (principal in Group::"ops", action == Action::"reveal", resource);
"#;

const USAGE: &str = "\
usage: sluice-ssh-conformance openssh [TEST]...
       sluice-ssh-conformance ansible";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let failures = match arguments.split_first() {
        Some((suite, chosen)) if suite == "openssh" => conform(chosen),
        Some((suite, [])) if suite == "ansible" => ansible::conform(),
        Some((help, _)) if help == "--help" || help == "-h" => {
            say(USAGE);
            Ok(0)
        }
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match failures {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            say(&format!("{failures} did not end as they should"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the tests of the table, or those that are named; gives how many did not end as they should.
fn conform(chosen: &[String]) -> Result<usize> {
    let (tests, installed) = (table::read()?, suite::installed()?);
    if chosen.is_empty() {
        table::check(&tests, &installed)?;
    }
    if let Some(name) =
        chosen.iter().find(|name| !installed.contains(name) || !tests.iter().any(|test| test.name == **name))
    {
        anyhow::bail!("there is no test `{name}`");
    }
    let is_run = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    // What is no test belongs to all of them.
    let suite = Suite::open(|script| is_run(script) || !installed.iter().any(|name| name == script))?;
    let mut failures = 0;
    for test in tests.iter().filter(|test| is_run(&test.name)) {
        failures += usize::from(!as_expected(&suite, test)?);
    }
    Ok(failures)
}

/// Runs one test both ways.
fn as_expected(suite: &Suite, test: &Test) -> Result<bool> {
    if test.expected == Expected::Apart {
        return Ok(true);
    }
    let direct = suite.run(&test.name, Way::Direct)?;
    let through = suite.run(&test.name, Way::Broker)?;
    let right = match test.expected {
        // A test that passes beside the broker shows nothing.
        Expected::Same => {
            through.passed == direct.passed
                && through.skipped == direct.skipped
                && direct.sessions == 0
                && through.sessions > 0
        }
        // Where it passes after all, the table is out of date.
        Expected::Refused => direct.passed && !through.passed,
        Expected::Apart => true,
    };
    let verdict = if right { "as expected" } else { "NOT AS EXPECTED" };
    say(&format!("{:<20} {verdict}: directly {direct}, through the broker {through}", test.name));
    if !right {
        say(&format!("--- directly\n{}--- through the broker\n{}", direct.said, through.said));
    } else if test.expected == Expected::Refused {
        say(&format!("{:<20} {}", "", test.reason));
    }
    Ok(right)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.skipped {
            "skipped"
        } else if self.passed {
            "passed"
        } else {
            "failed"
        };
        write!(out, "{word} ({} s, {} sessions)", self.seconds, self.sessions)
    }
}

/// Words for whoever runs it.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // Whoever has closed the output does not want to know.
    let _unseen = writeln!(std::io::stdout(), "{text}");
}
