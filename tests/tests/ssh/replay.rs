//! What was recorded, looked at again: as a terminal, as lines, in a player of others, and while it goes on.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::broker::root;
use sluice_tests::run::{Finished, Running, run};
use sluice_tests::ssh::in_terminal;
use sluice_tests::wait::{SOON, until};

use crate::stand::{Stand, only_session, reason, shell, text};

/// What leaves a terminal as it was before.
const FAREWELL: &str = "\x1b[!p\x1b[?25h\x1b[0m\r\n";

/// Runs a command in a terminal, at a server that has one for it.
fn drawn(stand: &Stand, command: &str) -> Finished {
    run(&mut stand.person.terminal(&["-tt", "web@broker", command]), SOON)
}

/// The id of the only session, once it is closed.
fn only_id(stand: &Stand) -> String {
    text(&only_session(stand), "id").unwrap_or_default()
}

/// `sluice replay` of a session in a terminal, with further arguments.
fn viewer(stand: &Stand, id: &str, arguments: &[&str]) -> Command {
    in_terminal(&stand.broker.command(&[&["replay", id], arguments].concat()))
}

/// The id of the only session that is open.
fn open_id(stand: &Stand) -> String {
    let open = stand.broker.json(&["sessions", "list", "--open"]);
    assert_eq!(open.len(), 1, "{open:?}");
    open.first().and_then(|session| text(session, "id")).unwrap_or_default()
}

#[test]
fn a_terminal_is_shown_again_byte_by_byte() {
    let stand = Stand::open();
    let draw = r"stty size; printf '\033[2J\033[H\033[1;34mtitle\033[0m\r\n\033[?1049h\033[5;10Hmiddle \346\274\242 \303\251';
        printf '\033[?1049l\033[3Aup\r\n'; echo to-stderr >&2; exit 5";
    let live = drawn(&stand, draw);
    assert_eq!(live.code, Some(5), "{}", live.said());
    assert!(live.stdout.starts_with("41 123\r\n") && live.stdout.contains("middle 漢 é"), "{:?}", live.stdout);
    let id = only_id(&stand);
    for arguments in [&["--no-wait"][..], &["--terminal", "--speed", "100"], &["--at", "3600"]] {
        let again = run(&mut viewer(&stand, &id, arguments), SOON).done().stdout;
        assert_eq!(again, format!("{}{FAREWELL}exit status 5\r\n", live.stdout), "{arguments:?}");
    }
    // Where nobody sees a terminal, there are lines, and nothing acts on whoever reads them.
    let lines = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    assert!(lines.contains("middle 漢 é") && !lines.contains('\x1b'), "{lines}");
}

#[test]
fn a_replay_takes_as_long_as_it_took_or_as_is_said() {
    let stand = Stand::open();
    let _live = drawn(&stand, "echo one; sleep 1; echo two").done();
    let id = only_id(&stand);
    for (arguments, least) in
        [(&["--terminal"][..], 1_000), (&["--terminal", "--speed", "0.5"], 2_000), (&["--lines"], 1_000)]
    {
        let begun = Instant::now();
        let said = run(&mut viewer(&stand, &id, arguments), SOON).done().stdout;
        assert!(begun.elapsed() >= Duration::from_millis(least), "{arguments:?}: {:?}", begun.elapsed());
        assert!(said.contains("one") && said.contains("two"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_viewer_pauses_jumps_and_stops_and_the_terminal_is_as_it_was() {
    let stand = Stand::open();
    let _live = drawn(&stand, "echo one; sleep 2; echo two").done();
    let id = only_id(&stand);
    let replay = |arguments: &str| {
        let command = stand.broker.command(&[]);
        let config: Vec<String> = command.get_args().map(|part| part.to_string_lossy().into_owned()).collect();
        let sluice = command.get_program().display();
        // What it answers to keys is compared with what the terminal was set to before.
        let replay = format!("{sluice} replay {id} {arguments} {}", config.join(" "));
        let text = format!("stty -g; sh -c 'echo pid=$$; exec {replay}'; echo ended=$?; stty -g; echo over");
        let mut shell = Command::new("sh");
        shell.args(["-c", &text]).env("NO_COLOR", "1");
        Running::start(&mut in_terminal(&shell))
    };
    let over = |viewer: Running| {
        let said = viewer.hear("over\r\n");
        let settings: Vec<&str> = said.lines().filter(|line| line.matches(':').count() > 10).collect();
        assert!(settings.len() == 2 && settings[0] == settings[1], "{said}");
        assert!(said.contains("ended=0") && said.contains("\x1b[?25h"), "{said}");
        assert_eq!(viewer.finish(SOON).code, Some(0));
        said
    };
    // Paused, it goes on by a jump only; it is over then.
    let mut paused = replay("--terminal --speed 0.1");
    let _one = paused.hear("one\r\n");
    paused.say(" \x1b[C>");
    let said = over(paused);
    assert!(said.contains("two") && said.contains("exit status 0"), "{said}");
    // Back to the beginning: what was shown is shown once more on a clear screen.
    let mut again = replay("--terminal --speed 0.1");
    let _one = again.hear("one\r\n");
    again.say("0");
    let said = again.hear("\x1b[H\x1b[2Jone\r\n");
    assert_eq!(said.matches("one").count(), 2, "{said}");
    again.say("q");
    assert!(!over(again).contains("two"));
    // Ctrl-C at a keyboard in raw mode is a byte, and a signal comes from elsewhere.
    let mut interrupted = replay("--terminal --speed 0.1");
    let _one = interrupted.hear("one\r\n");
    interrupted.say("\x03");
    assert!(!over(interrupted).contains("two"));
    let ended = replay("--terminal --speed 0.1");
    let said = ended.hear("one\r\n");
    let pid = said.lines().find_map(|line| line.strip_prefix("pid=")?.parse().ok()).unwrap_or_default();
    sluice_tests::run::signal(pid, "TERM");
    assert!(!over(ended).contains("two"));
}

#[test]
fn lines_tell_streams_apart_and_files_by_what_became_of_them() {
    let stand = Stand::open();
    let said = stand.exec("echo out; echo err >&2; exit 3");
    assert_eq!(said.code, Some(3), "{}", said.said());
    let replay = stand.broker.cli(&["replay", &only_id(&stand), "--no-wait"]).done().stdout;
    let lines: Vec<&str> = replay.lines().map(str::trim).collect();
    for line in ["| out", "! err", "exit status 3"] {
        assert!(lines.contains(&line), "no `{line}` in:\n{replay}");
    }
}

/// What asciinema's own player makes of a cast.
fn played(stand: &Stand, cast: &str) -> Value {
    let player = root().join(".tools/node/node_modules/asciinema-player");
    assert!(player.exists(), "asciinema's player is not installed: run `make setup`");
    let file = stand.server.folder().join("session.cast");
    assert!(fs::write(&file, cast).is_ok());
    let mut node = Command::new(root().join(".tools/node/bin/node"));
    node.arg(root().join("tests/clients/player.mjs")).arg(file).env("PLAYER", player);
    serde_json::from_str(&run(&mut node, SOON).done().stdout).unwrap_or_default()
}

#[test]
fn asciinemas_player_plays_what_is_exported() {
    let stand = Stand::open();
    let command = "stty size; printf 'caf\\303'; sleep 0.2; printf '\\251 \\033[32mgreen\\033[0m\\r\\n'
        until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo resized; exit 4";
    let mut live = Running::start(&mut stand.person.terminal(&["-tt", "web@broker", command]));
    let _green = live.hear("green");
    live.say("\x1bsize 30 100\n");
    let live = live.finish(SOON);
    assert_eq!(live.code, Some(4), "{}", live.said());
    let id = only_id(&stand);
    let cast = stand.broker.cli(&["sessions", "export", &id, "--cast"]).done().stdout;

    let mut lines = cast.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
    let head = lines.next().unwrap_or_default();
    assert_eq!((&head["version"], &head["term"]["cols"], &head["term"]["rows"]), (&3.into(), &123.into(), &41.into()));
    let events: Vec<Value> = lines.collect();
    let whole = |event: &Value| event[0].is_number() && event[1].is_string() && event[2].is_string();
    assert!(
        events.iter().all(whole) && events.last().is_some_and(|event| event[1] == "x" && event[2] == "4"),
        "{cast}"
    );

    let seen = played(&stand, &cast);
    assert_eq!(seen["output"].as_str(), Some(live.stdout.as_str()));
    assert_eq!(seen["sizes"], serde_json::json!([[100, 30]]), "{seen}");
    assert_eq!(seen["ended"], true, "{seen}");
    assert!(seen["duration"].as_f64().is_some_and(|seconds| seconds >= 0.2), "{seen}");

    let file = stand.broker.folder().join("out.cast");
    let name = file.display().to_string();
    let to_file = stand.broker.cli(&["sessions", "export", &id, "--cast", "--output", &name]);
    assert!(to_file.done().stderr.contains(&name));
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), cast);
    assert_eq!(fs::metadata(&file).map(|about| about.permissions().mode() & 0o777).unwrap_or_default(), 0o600);
    // Nothing that is there is written over.
    assert_eq!(stand.broker.cli(&["sessions", "export", &id, "--cast", "--output", &name]).code, Some(1));
}

#[test]
fn a_live_session_is_followed_to_its_end() {
    let stand = Stand::open();
    let mut shell = shell(&stand.person);
    let id = open_id(&stand);
    let lines = Running::start(&mut stand.broker.command(&["sessions", "tail", &id]));
    let terminal = Running::start(&mut stand.broker.command(&["sessions", "tail", &id, "--terminal"]));
    for tail in [&lines, &terminal] {
        let _before = tail.hear("live-42");
    }
    shell.say("echo more-$((1 + 1))\n");
    for tail in [&lines, &terminal] {
        let _while_it_runs = tail.hear("more-2");
    }
    shell.say("exit 6\n");
    assert_eq!(shell.finish(SOON).code, Some(6));
    let lines = lines.finish(SOON).done().stdout;
    assert!(
        lines.contains("exit status 6") && lines.lines().last().is_some_and(|line| line.contains("ended (")),
        "{lines}"
    );
    assert!(terminal.finish(SOON).done().stdout.ends_with(FAREWELL));
}

#[test]
fn a_killed_session_ends_at_once_and_says_who_ended_it_and_why() {
    let stand = Stand::open();
    let mut shell = shell(&stand.person);
    let id = open_id(&stand);
    let other = Running::start(&mut stand.person.ssh(&["web@broker", "echo up; read -r word; echo \"$word\""]));
    let _up = other.hear("up\n");
    let begun = Instant::now();
    let killed = stand.broker.cli(&["sessions", "kill", &id, "--reason", "wrong \x1b[31mhost"]).done();
    let said = shell.hear("[rule ended-by-operator]");
    until(SOON, "the shell to end", || shell.has_ended().then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let words = format!("the operator {} ended this session: wrong \\x1b[31mhost", stand.server.user());
    assert!(killed.said().contains(&words), "{}", killed.said());
    assert!(said.lines().any(|line| line.contains("sluice: ") && line.contains(&words)), "{said}");
    assert!(shell.finish(SOON).code.is_some_and(|code| code != 0));

    let show = stand.broker.json(&["sessions", "show", &id]);
    assert_eq!(show.first().and_then(reason).as_deref(), Some("revoked"), "{show:?}");
    let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    // Escaped once more by what shows it.
    assert!(replay.contains("ended-by-operator") && replay.contains(&words.replace('\\', "\\\\")), "{replay}");

    let mut other = other;
    other.say("still\n");
    assert_eq!(other.finish(SOON).done().stdout, "up\nstill\n");
    assert_eq!(stand.broker.cli(&["sessions", "kill", &id]).code, Some(1));
    let verified = stand.broker.cli(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.said());
}
