//! OpenSSH's own tests: the quick ones of those that cross the broker. `make conformance` runs all.

use std::process::Command;
use std::time::Duration;

use sluice_tests::run::run;

/// Some of the table in `conformance/ssh/tests.txt`: those that take a few seconds each.
const QUICK: [&str; 10] = [
    "connect",
    "exit-status-signal",
    "envpass",
    "stderr-after-eof",
    "broken-pipe",
    "yes-head",
    "sftp-badcmds",
    "sftp-batch",
    "localcommand",
    "dynamic-forward",
];

#[test]
fn openssh_own_quick_tests_end_as_they_do_without_the_broker() {
    let mut suite = Command::new(env!("CARGO_BIN_EXE_sluice-ssh-conformance"));
    let said = run(suite.arg("openssh").args(QUICK), Duration::from_secs(600)).done().stdout;
    assert_eq!(said.matches(" as expected: directly passed").count(), QUICK.len(), "{said}");
}
