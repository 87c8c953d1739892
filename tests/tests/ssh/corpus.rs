//! The corpus of shell evasions, with the real client and the real server: what is denied never arrives.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use sluice_tests::broker::root;
use sluice_tests::run::{Finished, run};
use sluice_tests::wait::SOON;

use crate::stand::Stand;

/// Known commands may be run, and nothing else.
const KNOWN: &str = r#"
@id("operators-connect")
permit (principal in Group::"ops", action in Action::"connect", resource);

@id("operators-run-known-commands")
permit (principal in Group::"ops", action in [Action::"ssh.inspect", Action::"ssh.exec"], resource);

@id("operators-see")
permit (principal in Group::"ops", action == Action::"reveal", resource);
"#;

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    channel: String,
    command: String,
    policy: Vec<String>,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Deny,
    Allowed,
}

impl Case {
    /// The command as a client can send it; none where an argument of a process cannot hold it.
    fn sent(&self, scratch: &Path) -> Option<String> {
        let quoted = self.command.strip_prefix("exec \"").and_then(|rest| rest.strip_suffix('"'));
        let command = quoted.unwrap_or(&self.command).replace("{SCRATCH}", &scratch.display().to_string());
        (!command.contains('\0')).then_some(command)
    }

    fn is_command(&self) -> bool {
        let several = self.command.contains("on one channel");
        ["exec", "scp"].contains(&self.channel.as_str()) && !several
    }
}

fn corpus() -> Vec<Case> {
    let text = fs::read_to_string(root().join("fixtures/corpora/shell_evasion.yaml")).unwrap();
    let corpus: Corpus = serde_saphyr::from_str(&text).unwrap();
    assert!(corpus.cases.len() >= 80, "{} cases", corpus.cases.len());
    corpus.cases
}

fn stand(policy: &[String]) -> Stand {
    let commands = format!("commands: {}", serde_json::to_string(policy).unwrap());
    Stand::with(KNOWN, |host| host.with("catalogue: []").with(&commands), |setup| setup)
}

#[test]
fn what_the_corpus_denies_never_arrives() {
    let cases = corpus();
    let policy = &cases.first().unwrap().policy;
    assert!(cases.iter().all(|case| case.policy == *policy), "one broker serves all cases");
    let (stand, scratch) = (stand(policy), tempfile::tempdir().unwrap());
    let mut sent = 0;
    for case in cases.iter().filter(|case| case.is_command() && case.expect == Expect::Deny) {
        let Some(command) = case.sent(scratch.path()) else { continue };
        let said = stand.exec(&command);
        // The client has an option of its own for nothing to run.
        let nothing = command.is_empty() && said.code != Some(0);
        assert!(said.code == Some(126) || nothing, "{}: {}", case.id, said.said());
        assert_eq!(said.stdout, "", "{}", case.id);
        assert!(said.stderr.contains("[rule ") || nothing, "{}: {}", case.id, said.stderr);
        sent += 1;
    }
    assert!(sent >= 60, "{sent} cases were sent");
    assert_eq!(stand.server.connections(), 0, "{}", stand.server.log());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "a payload ran");
}

#[test]
fn what_the_corpus_allows_does_what_it_does_without_a_broker() {
    let cases = corpus();
    let allowed: Vec<&Case> = cases.iter().filter(|case| case.expect == Expect::Allowed).collect();
    assert!(allowed.len() >= 4);
    let stand = stand(&allowed.first().unwrap().policy);
    for (number, case) in allowed.iter().enumerate() {
        let said = stand.exec(&case.command);
        assert_eq!(stand.server.connections(), number + 1, "{}: {}", case.id, said.said());
        let direct = locally(&case.command);
        assert_eq!(said.code, direct.code, "{}: {}", case.id, said.said());
        // What a service says of itself has times in it.
        if !case.command.starts_with("systemctl") {
            assert_eq!((said.stdout, said.stderr), (direct.stdout, direct.stderr), "{}", case.id);
        }
    }
}

/// The same command in the same folder, by the same shell, as the server would run it.
fn locally(command: &str) -> Finished {
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
    run(Command::new("sh").args(["-c", command]).current_dir(home), SOON)
}
