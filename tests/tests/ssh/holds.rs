//! Commands that wait for people.

use sluice_tests::run::{Running, signal};
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand};

/// Programs of any kind need an approval; terminals and variables do not.
const ASK: &str = r#"
@id("commands-need-approval")
@approve("Group::oncall") @approve_count("1") @approve_scope("statement") @approve_ttl("5m")
@message("Commands at this host need an approval.")
forbid (
  principal,
  action in [Action::"ssh.inspect", Action::"ssh.exec", Action::"ssh.script", Action::"ssh.shell"],
  resource
)
unless {
  context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
  && context.base.now < context.base.approval.expires
};

@id("oncall-approves")
permit (principal in Group::"oncall", action == Action::"approve", resource);
"#;

fn open() -> Stand {
    Stand::under(&format!("{OPERATORS}{ASK}"))
}

fn approver(stand: &Stand) -> String {
    stand.broker.token("dana", "oncall")
}

#[test]
fn a_command_waits_until_it_is_approved_and_runs_once() {
    let stand = open();
    let mut ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo ran; cat"]));
    let said = ssh.hear("sluice approvals approve");
    let id = stand.waiting();
    assert!(said.contains(&id) && said.contains("Commands at this host need an approval."), "{said}");
    let shown = stand.broker.cli(&["approvals", "show", &id]).done().stdout;
    // What is shown is what would run: the command as it was read.
    assert!(shown.contains("'echo' 'ran'; 'cat'"), "{shown}");
    let own = stand.broker.cli_as(&stand.token, &["approvals", "approve", &id]);
    assert_eq!(own.code, Some(1), "{}", own.said());
    assert!(!ssh.has_ended());
    assert_eq!(stand.server.connections(), 0, "the server was dialled before anybody approved");

    // What was typed meanwhile is kept.
    ssh.say("typed early\n");
    let _approved = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]).done();
    let seen = ssh.finish(SOON).done();
    assert_eq!(seen.stdout, "ran\ntyped early\n", "{}", seen.stderr);
    assert_eq!(stand.server.connections(), 1);
    stand.broker.log_is_clean();
}

#[test]
fn a_command_that_is_denied_never_runs() {
    let stand = open();
    let ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo ran"]));
    let id = stand.waiting();
    let _denied = stand.broker.cli_as(&approver(&stand), &["approvals", "deny", &id]).done();
    let seen = ssh.finish(SOON);
    assert_eq!((seen.code, seen.stdout.as_str()), (Some(126), ""), "{}", seen.stderr);
    assert!(seen.stderr.lines().last().is_some_and(|line| line.starts_with("sluice: ")), "{}", seen.stderr);
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn nobody_answers_in_time() {
    let policies = format!("{OPERATORS}{ASK}");
    let stand = Stand::with(&policies, |host| host, |setup| setup.more("limits: { hold_seconds: 1 }"));
    let seen = stand.exec("echo ran");
    assert_eq!((seen.code, seen.stdout.as_str()), (Some(124), ""), "{}", seen.stderr);
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn a_client_that_vanishes_withdraws() {
    let stand = open();
    let ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo ran"]));
    let id = stand.waiting();
    signal(ssh.pid(), "KILL");
    stand.withdrawn();
    let late = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]);
    assert_eq!(late.code, Some(1), "{}", late.said());
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn a_client_that_vanishes_behind_much_of_its_input_withdraws() {
    let stand = open();
    let mut ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo ran; cat"]));
    let id = stand.waiting();
    // Far more than a flow reads ahead.
    ssh.say(&"x".repeat(3 << 20));
    assert!(!ssh.has_ended());
    signal(ssh.pid(), "KILL");
    stand.withdrawn();
    let late = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]);
    assert_eq!(late.code, Some(1), "{}", late.said());
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn what_is_closed_behind_input_that_has_no_room_never_runs() {
    let policies = format!("{OPERATORS}{ASK}");
    let limits = "limits: { waiting_bytes: 0, spilled_bytes: 0 }";
    let stand = Stand::with(&policies, |host| host, |setup| setup.more(limits));
    let text = "x -M -N -f web@broker
        (exec ssh -F \"$config\" web@broker 'echo ran') < <(head -c 1M /dev/zero; echo >sent; head -c 8M /dev/zero) &
        read -r _; kill %1; wait || true; echo left; read -r _; x -O exit web@broker 2>/dev/null";
    let mut script = Running::start(&mut stand.script(text));
    let id = stand.waiting();
    let sent = stand.server.folder().join("sent");
    until(SOON, "the input to be on its way", || sent.exists().then_some(()));
    // The connection goes on: only this channel of it is closed, and nobody reads that.
    script.say("\n");
    let _left = script.hear("left");
    let _answered = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]);
    stand.withdrawn();
    // Another one on a connection of its own runs meanwhile, and is the only one.
    let beside = Running::start(&mut stand.person.ssh(&["-o", "ControlPath=none", "web@broker", "echo beside"]));
    let id = stand.waiting();
    let _approved = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]).done();
    assert_eq!(beside.finish(SOON).done().stdout, "beside\n");
    assert_eq!(stand.server.connections(), 1);
    script.say("\n");
    let _ended = script.finish(SOON);
}

#[test]
fn ctrl_c_withdraws_a_command_that_has_no_terminal() {
    let stand = open();
    let ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo ran"]));
    let _id = stand.waiting();
    signal(ssh.pid(), "INT");
    stand.withdrawn();
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn ctrl_c_in_a_terminal_withdraws() {
    let stand = open();
    let mut ssh = stand.terminal(&["-tt", "web@broker", "echo ran"]);
    let _told = ssh.hear("sluice approvals approve");
    let _id = stand.waiting();
    ssh.say("\u{3}");
    stand.withdrawn();
    let seen = ssh.finish(SOON);
    assert_eq!(seen.code, Some(126), "{}", seen.said());
    assert!(!seen.stdout.contains("ran\r\n"), "{}", seen.stdout);
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn a_shell_waits_in_its_terminal_and_works_after_it() {
    let stand = open();
    let mut shell = stand.terminal(&["-tt", "web@broker"]);
    let _told = shell.hear("sluice approvals approve");
    let id = stand.waiting();
    // The size changes while somebody thinks.
    shell.say("\u{1b}size 19 77\n");
    let _approved = stand.broker.cli_as(&approver(&stand), &["approvals", "approve", &id]).done();
    shell.say("stty size; exit 3\n");
    let _size = shell.hear("19 77");
    assert_eq!(shell.finish(SOON).code, Some(3));
}

#[test]
fn another_channel_of_the_connection_works_meanwhile() {
    let only_scripts = ASK.replace("Action::\"ssh.inspect\", Action::\"ssh.exec\", Action::\"ssh.script\", ", "");
    let stand = Stand::under(&format!("{OPERATORS}{only_scripts}"));
    let text = "x -M -N -f web@broker; (x -tt web@broker </dev/null >held.log 2>&1 || true) & echo started; read -r _
        x web@broker 'echo beside'; x -O exit web@broker 2>/dev/null; wait";
    let mut script = Running::start(&mut stand.script(text));
    let _started = script.hear("started");
    let _id = stand.waiting();
    script.say("\n");
    let _beside = script.hear("beside");
    stand.withdrawn();
    assert_eq!(script.finish(SOON).code, Some(0));
}
