//! Sessions: one for each connection, recorded, and ended when somebody says so.

use std::fs;
use std::time::{Duration, Instant};

use sluice_tests::run::{Running, run};
use sluice_tests::ssh::Person;
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand, only_session, reason, shell, text};

/// The promise for what is revoked.
const WITHIN: Duration = Duration::from_secs(10);
/// How long it takes until nothing more is kept for a client: it is slowed down long before.
const FILLING: Duration = Duration::from_secs(90);

/// How many bytes a process has written, to files and to peers.
fn written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

/// The shell ends, in time, with a line of the broker's.
fn ends(mut shell: Running, begun: Instant) {
    let said = shell.hear("sluice: ");
    assert!(said.contains("[rule "), "{said}");
    until(WITHIN, "the shell to end", || shell.has_ended().then_some(()));
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    assert!(shell.finish(SOON).code.is_some_and(|code| code != 0));
}

#[test]
fn a_connection_is_one_session_with_one_recording_whatever_its_channels() {
    let stand = Stand::open();
    let script = "x -M -N -f web@broker
        for each in 1 2 3; do x web@broker \"echo channel-$each; exit $each\" || true; done
        x -O exit web@broker 2>/dev/null";
    let said = run(&mut stand.script(script), SOON).done();
    assert_eq!(said.stdout, "channel-1\nchannel-2\nchannel-3\n");
    let session = only_session(&stand);
    assert_eq!(text(&session, "target").as_deref(), Some("web"), "{session}");
    let id = text(&session, "id").unwrap_or_default();
    let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    for each in 1..=3 {
        for expected in
            [format!("echo channel-{each}; exit {each}"), format!("channel-{each}"), format!("exit status {each}")]
        {
            assert!(replay.contains(&expected), "no `{expected}` in:\n{replay}");
        }
    }
    let verified = stand.broker.cli(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.said());
    stand.broker.log_is_clean();
}

#[test]
fn two_connections_are_two_sessions_and_each_is_replayed() {
    let stand = Stand::open();
    let _one = stand.exec("echo first-said; echo first-err >&2").done();
    let _two = stand.exec("kill -KILL $$");
    let sessions = stand.broker.closed_sessions();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let replays: String = sessions
        .iter()
        .filter_map(|session| text(session, "id"))
        .map(|id| stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout)
        .collect();
    for expected in ["first-said", "first-err", "exit status 0", "kill -KILL $$", "ended by signal KILL"] {
        assert!(replays.contains(expected), "no `{expected}` in:\n{replays}");
    }
}

#[test]
fn what_is_typed_is_replayed_as_it_was_shown() {
    let stand = Stand::open();
    let mut shell = shell(&stand.person);
    shell.say("exit 4\n");
    assert_eq!(shell.finish(SOON).code, Some(4));
    let id = text(&only_session(&stand), "id").unwrap_or_default();
    let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    for expected in ["live-42", "exit status 4"] {
        assert!(replay.contains(expected), "no `{expected}` in:\n{replay}");
    }
}

#[test]
fn refusals_are_recorded() {
    let stand = Stand::under(&OPERATORS.replace("Action::\"ssh.script\",", "").replace("Action::\"ssh.shell\",", ""));
    let refused = stand.exec("x=1; $x; echo never");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(126), ""), "{}", refused.stderr);
    let session = only_session(&stand);
    let id = text(&session, "id").unwrap_or_default();
    let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    assert!(replay.contains("x=1; $x; echo never"), "{replay}");
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn a_client_that_vanishes_closes_its_session() {
    let stand = Stand::open();
    let script = "ssh -F \"$config\" web@broker 'echo up; exec sleep 600' & wait $! || true";
    let script = Running::start(&mut stand.script(&script.replace("& wait $!", "& echo pid=$!; wait $!")));
    let _up = script.hear("up\n");
    let said = script.hear("pid=");
    let pid = said.lines().find_map(|line| line.strip_prefix("pid=")?.parse().ok()).unwrap_or_default();
    sluice_tests::run::signal(pid, "KILL");
    let session = only_session(&stand);
    assert_eq!(reason(&session).as_deref(), Some("client"), "{session}");
}

#[test]
fn a_revoked_token_ends_a_live_shell_and_a_silent_command() {
    let stand = Stand::open();
    let token = stand.broker.mint(&["--user", "oli", "--group", "ops", "--label", "mid"]);
    let person = Person::new(&stand.broker, &token);
    let shell = shell(&person);
    let silent = Running::start(&mut person.ssh(&["web@broker", "echo up; exec sleep 600"]));
    let _up = silent.hear("up\n");
    let tokens = stand.broker.json(&["token", "list"]);
    let found = tokens.iter().find(|token| text(token, "label").as_deref() == Some("mid"));
    let id = found.and_then(|token| text(token, "id")).unwrap_or_default();
    let begun = Instant::now();
    let _revoked = stand.broker.cli(&["token", "revoke", &id]).done();
    ends(shell, begun);
    let silent = silent.finish(SOON);
    assert!(silent.code != Some(0) && silent.stderr.contains("sluice: "), "{}", silent.said());
    let said = run(&mut person.ssh(&["web@broker", "id"]), SOON);
    assert_eq!(said.code, Some(255), "{}", said.said());
    // Another token of the same person is not touched.
    assert_eq!(stand.exec("echo still").done().stdout, "still\n");
    let all = stand.broker.closed_sessions();
    assert!(all.iter().all(|session| reason(session).is_some_and(|reason| reason != "crash")), "{all:?}");
}

#[test]
fn a_revoked_token_ends_a_connection_on_which_nothing_moves() {
    let stand = Stand::open();
    let token = stand.broker.mint(&["--user", "oli", "--group", "ops", "--label", "stuck"]);
    let person = Person::new(&stand.broker, &token);
    // More than is kept for a server that does not read: the client is held back.
    let mut script = person.script("head -c 400M /dev/zero | x web@broker 'exec sleep 600'");
    let stuck = Running::start(script.current_dir(stand.server.folder()));
    until(FILLING, "the broker to keep what it may", || (written(stand.broker.pid())? > 256 << 20).then_some(()));
    let tokens = stand.broker.json(&["token", "list"]);
    let found = tokens.iter().find(|token| text(token, "label").as_deref() == Some("stuck"));
    let id = found.and_then(|token| text(token, "id")).unwrap_or_default();
    let _revoked = stand.broker.cli(&["token", "revoke", &id]).done();
    assert!(stuck.finish(WITHIN).code.is_some_and(|code| code != 0));
    let session = only_session(&stand);
    assert_eq!(reason(&session).as_deref(), Some("revoked"), "{session}");
}

#[test]
fn a_policy_that_withdraws_the_connection_ends_a_live_shell() {
    let stand = Stand::open();
    let shell = shell(&stand.person);
    let from = stand.broker.log().len();
    let forbid = "@id(\"closed-today\") @message(\"The host is closed today.\")\n\
                  forbid (principal, action in Action::\"connect\", resource);\n";
    let begun = Instant::now();
    assert!(fs::write(stand.broker.folder().join("policies/zz-closed.cedar"), forbid).is_ok());
    stand.broker.logs(from, "the configuration was reloaded");
    ends(shell, begun);
    let said = stand.exec("id");
    // Whoever may not connect does not hear why, nor whether there is such a host.
    let none = "There is no host that you may use.\r\n";
    assert_eq!((said.code, said.stdout.as_str()), (Some(126), none), "{}", said.stderr);
}

#[test]
fn a_broker_that_stops_ends_a_live_shell_in_time() {
    let stand = Stand::with(OPERATORS, |host| host, |setup| setup.more("limits: { drain_seconds: 1 }"));
    let mut shell = shell(&stand.person);
    let begun = Instant::now();
    stand.broker.stop();
    until(SOON, "the shell to end", || shell.has_ended().then_some(()));
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    assert!(shell.finish(SOON).code.is_some_and(|code| code != 0));
    assert!(!stand.broker.log().contains("a session was lost"), "{}", stand.broker.log());
}

#[test]
fn a_command_is_told_that_the_broker_stops() {
    let stand = Stand::open();
    let ssh = Running::start(&mut stand.person.ssh(&["web@broker", "echo up; exec sleep 600"]));
    let _up = ssh.hear("up\n");
    stand.broker.process().signal("TERM");
    let said = ssh.finish(WITHIN);
    assert!(said.code.is_some_and(|code| code != 0), "{}", said.said());
    assert!(said.stderr.contains("the broker is shutting down"), "{}", said.stderr);
    stand.broker.process().ended();
}
