//! What one channel carries: commands, their streams and ends, terminals, variables.

use sluice_tests::run::{Running, run};
use sluice_tests::ssh::Person;
use sluice_tests::wait::{SOON, until};

use crate::stand::Stand;

#[test]
fn a_command_runs_with_its_streams_and_its_status() {
    let stand = Stand::open();
    let said = stand.exec("echo out; echo err >&2; exit 7");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(stand.exec("true").done().said(), "");
    let home = stand.server.folder().join("home");
    assert_eq!(stand.exec("echo $HOME").done().stdout.trim(), home.display().to_string());

    let mut cat = Running::start(&mut stand.person.ssh(&["web@broker", "cat; echo end"]));
    cat.say("one\ntwo\n");
    let _echoed = cat.hear("two\n");
    assert_eq!(cat.finish(SOON).done().stdout, "one\ntwo\nend\n");

    // Bytes that are no text arrive as they are.
    let same = stand.script("printf '\\377\\0\\r\\n\\001' | x web@broker 'cat' | od -An -tx1");
    assert_eq!(run(&mut { same }, SOON).done().stdout.trim(), "ff 00 0d 0a 01");
    stand.broker.log_is_clean();
}

#[test]
fn a_signal_that_ends_a_command_is_told() {
    let stand = Stand::open();
    let said = stand.ssh(&["-o", "LogLevel=INFO", "web@broker", "kill -TERM $$; sleep 60"]);
    // OpenSSH's client ends with 255 where there is a signal instead of a status.
    assert_eq!(said.code, Some(255), "{}", said.said());
    assert_eq!(said.stdout, "");
}

#[test]
fn the_login_is_the_credentials_and_no_other() {
    let stand = Stand::open();
    let user = stand.server.user();
    assert_eq!(stand.exec("id -un").done().stdout.trim(), user);
    for mark in ['+', '%', '#', ':'] {
        let address = format!("{user}{mark}web@broker");
        assert_eq!(stand.ssh(&[&address, "id -un"]).done().stdout.trim(), user, "{address}");
    }
    let connections = stand.server.connections();
    let said = stand.ssh(&["somebody+web@broker", "id -un"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(126), ""), "{}", said.stderr);
    assert!(said.stderr.contains("no login `somebody`"), "{}", said.stderr);
    assert_eq!(stand.server.connections(), connections);
}

#[test]
fn a_bare_connection_lists_targets_and_an_unknown_one_is_refused() {
    let stand = Stand::open();
    let list = stand.ssh(&["broker"]).done();
    assert!(list.stdout.contains("  web\r\n"), "{}", list.said());
    let said = stand.ssh(&["root+nowhere@broker", "id"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(126), ""), "{}", said.stderr);
    assert!(said.stderr.starts_with("sluice: "), "{}", said.stderr);
    assert_eq!(stand.server.connections(), 0);

    // Somebody who may use nothing sees nothing.
    let nobody = Person::new(&stand.broker, &stand.broker.token("ned", "nobodies"));
    let list = run(&mut nobody.ssh(&["broker"]), SOON);
    assert!(!list.said().contains("web"), "{}", list.said());
}

#[test]
fn a_shell_has_the_terminal_of_its_client() {
    let stand = Stand::open();
    let mut shell = stand.terminal(&["-tt", "web@broker"]);
    shell.say("PS1='ready> '; stty size; tty\n");
    let _size = shell.hear("41 123");
    let _tty = shell.hear("/dev/pts/");
    shell.say("trap 'stty size' WINCH; echo set-$((40 + 2))\n");
    let _set = shell.hear("set-42");
    shell.say("\u{1b}size 33 101\n");
    // Bash runs the trap once its prompt has a line.
    shell.say("stty size\n");
    let _changed = shell.hear("33 101");
    shell.say("echo term=$TERM; exit 9\n");
    let _term = shell.hear("term=xterm");
    assert_eq!(shell.finish(SOON).code, Some(9));
}

#[test]
fn a_terminals_size_changes_while_a_command_runs() {
    let stand = Stand::open();
    let watch = "trap \"stty size; exit 4\" WINCH; echo ready; while :; do read -rt 1 _ || true; done";
    let mut command = stand.terminal(&["-tt", "web@broker", &format!("bash -c '{watch}'")]);
    let _ready = command.hear("ready");
    command.say("\u{1b}size 17 71\n");
    let _changed = command.hear("17 71");
    assert_eq!(command.finish(SOON).code, Some(4));
}

#[test]
fn ctrl_c_and_the_end_of_input_reach_a_program_in_a_terminal() {
    let stand = Stand::open();
    let mut command = stand.terminal(&["-tt", "web@broker", "trap 'echo caught; exit 5' INT; echo up; cat"]);
    let _up = command.hear("up");
    command.say("\u{3}");
    let _caught = command.hear("caught");
    assert_eq!(command.finish(SOON).code, Some(5));
    let mut command = stand.terminal(&["-tt", "web@broker", "echo up; cat; echo over"]);
    let _up = command.hear("up");
    command.say("\u{4}");
    let _over = command.hear("over");
    assert_eq!(command.finish(SOON).code, Some(0));
}

#[test]
fn only_variables_that_the_target_takes_are_set() {
    let stand = Stand::open();
    let mut ssh = stand.person.ssh(&[
        "-o",
        "SendEnv=LC_TEST LC_PATH LANG SLUICE_OTHER",
        "web@broker",
        "echo \"[$LC_TEST][$LC_PATH][$LANG][$SLUICE_OTHER]\"",
    ]);
    ssh.env("LC_TEST", "a-b").env("LC_PATH", "/a/b").env("LANG", "C.UTF-8").env("SLUICE_OTHER", "never");
    // The server would take all four.
    assert_eq!(run(&mut ssh, SOON).done().stdout, "[a-b][][C.UTF-8][]\n");
}

#[test]
fn eleven_channels_are_one_too_many_and_each_is_on_its_own() {
    let stand = Stand::open();
    // A client whose channel is refused would make a connection of its own, but for its proxy.
    let text = "x -M -N -f web@broker
        for each in 1 2 3 4 5 6 7 8 9 10; do x web@broker \"echo up $each; cat\" <up.fifo >>up.log 2>>up.err & done
        exec 7>up.fifo
        deadline=$((SECONDS + 20))
        while [ \"$(wc -l <up.log)\" -lt 10 ] && [ $SECONDS -lt $deadline ]; do read -rt 0.05 <> wait.fifo || true; done
        wc -l <up.log
        x -o ProxyCommand=false web@broker 'echo one-more' || echo refused
        exec 7>&-
        wait
        x web@broker 'echo again'
        x -O exit web@broker 2>/dev/null";
    let made = stand.script("mkfifo up.fifo wait.fifo; : >up.log");
    let _made = run(&mut { made }, SOON).done();
    let said = run(&mut stand.script(text), SOON);
    assert_eq!(said.code, Some(0), "{}", said.said());
    assert_eq!(said.stdout.split_whitespace().collect::<Vec<_>>(), ["10", "refused", "again"], "{}", said.stderr);
}

#[test]
fn commands_follow_each_other_over_one_connection_and_leave_nothing_at_the_server() {
    let stand = Stand::open();
    let text = "x -M -N -f web@broker
        for each in $(seq 1 25); do x -o ProxyCommand=false web@broker \"exit $each\" </dev/null || echo $?; done
        echo over; read -r _; x -O exit web@broker 2>/dev/null";
    let mut script = Running::start(&mut stand.script(text));
    let said = script.hear("over\n");
    let expected: String = (1..=25).map(|each| format!("{each}\n")).collect();
    assert_eq!(said, format!("{expected}over\n"));
    // The client's connection lives on, and none of those behind it.
    until(SOON, "the connections to the server to end", || {
        let ended = stand.server.log().matches("Closing connection to ").count();
        (ended == stand.server.connections()).then_some(())
    });
    assert_eq!(stand.server.connections(), 25);
    script.say("\n");
    assert_eq!(script.finish(SOON).code, Some(0));
}

#[test]
fn a_status_is_told_however_early_the_streams_have_ended() {
    let stand = Stand::open();
    let early = "exec >&- 2>&- <&-; sleep 0.5; exit 3";
    for text in [format!("x web@broker '{early}' </dev/null"), format!("sleep 0.2 | x web@broker '{early}'")] {
        assert_eq!(run(&mut stand.script(&text), SOON).code, Some(3), "{text}");
    }
}

#[test]
fn a_server_that_dies_in_the_middle_is_told() {
    let stand = Stand::open();
    // The parent of a command's shell is the server's process for this connection.
    let said = stand.exec("kill -KILL $PPID; exec sleep 60");
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.stderr);
    assert!(said.stderr.contains("the connection to the host was lost"), "{}", said.stderr);
    assert_eq!(stand.exec("echo after").done().stdout, "after\n");
}
