//! Who stops reading, and what goes on beside it: no stream stalls another, no tail is lost, memory stays bounded.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sluice_tests::keeper::memory_kib;
use sluice_tests::run::{Finished, Running, run, signal};
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand, reason};

/// A transfer of a debug build, on a machine with other work.
const LONG: Duration = Duration::from_secs(180);
/// What the broker may hold after everything, in KiB.
const MEMORY_KIB: u64 = 150 << 10;
/// 200 MiB that no compression makes smaller: AES of zeros, which is faster than `/dev/urandom`.
const RANDOM: &str = "head -c 200M /dev/zero | openssl enc -aes-128-ctr -nosalt -pass pass:x -pbkdf2";

/// A broker with a file `big` of 200 MiB beside the server.
fn open() -> (Stand, PathBuf) {
    let stand = Stand::open();
    let big = stand.server.folder().join("big");
    let _made = finish(&stand, &format!("{RANDOM} >big"));
    assert_eq!(fs::metadata(&big).map(|found| found.len()).ok(), Some(200 << 20));
    (stand, big)
}

fn finish(stand: &Stand, text: &str) -> Finished {
    run(&mut stand.script(text), LONG).done()
}

fn memory_is_bounded(stand: &Stand) {
    until(SOON, "the broker's memory to be small again", || {
        let resident = memory_kib(stand.broker.pid(), "VmRSS")?;
        (resident < MEMORY_KIB).then_some(())
    });
}

#[test]
fn a_big_file_arrives_whole_in_each_direction() {
    let (stand, big) = open();
    let big = big.display();
    let here = finish(&stand, &format!("sha256sum <{big}")).stdout;
    let up = finish(&stand, &format!("x web@broker sha256sum <{big}")).stdout;
    let down = finish(&stand, &format!("x web@broker 'cat {big}' | sha256sum")).stdout;
    let both = finish(&stand, &format!("x web@broker cat <{big} | sha256sum")).stdout;
    let errors = finish(&stand, &format!("x web@broker 'cat {big} >&2' 2>&1 >/dev/null | sha256sum")).stdout;
    assert_eq!([&up, &down, &both, &errors], [&here; 4]);
    memory_is_bounded(&stand);
    stand.broker.log_is_clean();
}

#[test]
fn a_server_that_does_not_read_costs_a_file_and_then_waits() {
    let stand = Stand::open();
    let text = "head -c 600M /dev/zero | { x web@broker 'sleep 3; echo done'; cat >/dev/null; }";
    assert_eq!(finish(&stand, text).stdout, "done\n");
    // The client goes on after the program it talks to has ended.
    let text = "head -c 64M /dev/zero | { x web@broker 'head -c 5 | tr \"\\0\" z'; cat >/dev/null; }";
    assert_eq!(finish(&stand, text).stdout, "zzzzz");
    memory_is_bounded(&stand);
}

#[test]
fn what_finds_no_room_waits_and_arrives_whole() {
    for room in [0, 8 << 20] {
        let limits = format!("limits: {{ waiting_bytes: {room}, spilled_bytes: {room} }}");
        let stand = Stand::with(OPERATORS, |host| host, |setup| setup.more(&limits));
        let here = finish(&stand, "head -c 64M /dev/zero | sha256sum").stdout;
        // Two at once each way, of one person, which nobody reads for a while.
        let text = "up() { head -c 64M /dev/zero | x web@broker 'sleep 2; sha256sum'; }
            down() { x web@broker 'head -c 64M /dev/zero' | { sleep 2; sha256sum; }; }
            up & up & down & down; wait";
        assert_eq!(finish(&stand, text).stdout, here.repeat(4), "{room}");
        memory_is_bounded(&stand);
        stand.broker.log_is_clean();
    }
}

#[test]
fn a_reader_that_sleeps_gets_the_whole_tail_after_the_program_has_ended() {
    let (stand, big) = open();
    let big = big.display();
    let here = finish(&stand, &format!("sha256sum <{big}; tail -c 1M {big} | sha256sum")).stdout;
    let text = format!(
        "x web@broker 'cat {big}; exit 5' | {{ sleep 4; sha256sum; }} || echo status ${{PIPESTATUS[0]}}
        x web@broker 'tail -c 1M {big}' | {{ sleep 2; sha256sum; }}"
    );
    let seen = finish(&stand, &text).stdout;
    let mut lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.get(1), Some(&"status 5"), "{seen}");
    let _status = lines.remove(1);
    assert_eq!(lines, here.lines().collect::<Vec<_>>());
    memory_is_bounded(&stand);
}

#[test]
fn a_local_reader_that_stalls_blocks_no_other_channel() {
    let stand = Stand::open();
    // Nobody reads until a line comes.
    let text = "x -M -N -f web@broker
        x web@broker 'head -c 200M /dev/zero' | { read -r _ <go; wc -c; } &
        wait; x -O exit web@broker 2>/dev/null";
    // The server has filled what there is between them once it waits itself.
    let write = || {
        let log = stand.server.log();
        log.contains("Starting session: command")
    };
    stalled(&stand, text, write);
}

#[test]
fn a_remote_reader_that_stalls_blocks_no_other_channel() {
    let stand = Stand::open();
    let folder = stand.server.folder().display();
    // More than is kept in memory, and less than the file holds: all of it leaves the client.
    let text = format!(
        "x -M -N -f web@broker
        {{ head -c 200M /dev/zero; echo >sent; }} | x web@broker 'read -r _ <{folder}/go; wc -c' &
        wait; x -O exit web@broker 2>/dev/null"
    );
    let sent = stand.server.folder().join("sent");
    stalled(&stand, &text, || sent.exists());
}

/// Runs a script whose stream of 200 MiB stalls until the pipe `go` is written; the connection serves others meanwhile.
fn stalled(stand: &Stand, text: &str, has_stalled: impl Fn() -> bool) {
    let _made = finish(stand, "mkfifo go");
    let mut script = Running::start(&mut stand.script(text));
    until(LONG, "the stalled channel to run", || has_stalled().then_some(()));
    for each in 0..20 {
        let said = run(&mut stand.person.ssh(&["web@broker", "echo beside"]), Duration::from_secs(10)).done();
        assert_eq!(said.stdout, "beside\n", "{each}");
        assert!(!script.has_ended(), "nothing stalled");
    }
    let go = stand.server.folder().join("go");
    assert!(fs::write(go, "\n").is_ok());
    let seen = script.finish(LONG);
    assert_eq!(seen.stdout.trim(), "209715200", "{}", seen.stderr);
    memory_is_bounded(stand);
}

#[test]
fn single_bytes_arrive_in_order_both_ways() {
    let stand = Stand::open();
    let text = "python3 -u -c 'import os
for number in range(20000): os.write(1, b\"%d\" % (number % 10))' | x web@broker 'dd bs=1 status=none' | sha256sum";
    let local = "python3 -c 'print(\"\".join(str(number % 10) for number in range(20000)), end=\"\")' | sha256sum";
    assert_eq!(finish(&stand, text).stdout, finish(&stand, local).stdout);
    memory_is_bounded(&stand);
}

#[test]
fn each_direction_ends_on_its_own() {
    let stand = Stand::open();
    // The client's end first: the server goes on talking.
    let text = "printf abc | x web@broker 'cat; sleep 0.2; echo after-eof'";
    assert_eq!(finish(&stand, text).stdout, "abcafter-eof\n");
    // The server's end first: the client goes on talking, and is read.
    let file = stand.server.folder().join("heard");
    let text = format!("{{ read -r _ <go; printf late; }} | x web@broker 'exec >&- 2>&-; cat >{}'", file.display());
    let _made = finish(&stand, "mkfifo go");
    let script = Running::start(&mut stand.script(&text));
    until(SOON, "the command to run", || file.exists().then_some(()));
    assert!(fs::write(stand.server.folder().join("go"), "\n").is_ok());
    let _ended = script.finish(SOON).done();
    assert_eq!(fs::read_to_string(&file).ok().as_deref(), Some("late"));
    // Output after the end of input and after an error stream.
    let text = "x web@broker 'echo e >&2; exec 2>&-; echo o' </dev/null 2>&1 | sort";
    assert_eq!(finish(&stand, text).stdout, "e\no\n");
}

#[test]
fn keys_are_renewed_under_load() {
    let (stand, big) = open();
    let big = big.display();
    let here = finish(&stand, &format!("sha256sum <{big}")).stdout;
    let text = format!("x -o RekeyLimit=16M web@broker cat <{big} | sha256sum");
    assert_eq!(finish(&stand, &text).stdout, here);
}

#[test]
fn a_client_that_vanishes_in_the_middle_leaves_nothing_behind() {
    let stand = Stand::open();
    let text = "ssh -F \"$config\" web@broker 'exec cat /dev/zero' >/dev/null & echo $!; wait $! || true";
    let script = Running::start(&mut stand.script(text));
    let pid = script.hear("\n").trim().parse().unwrap_or_default();
    let process = format!("/proc/{pid}/io");
    let read = || {
        let io = fs::read_to_string(&process).unwrap_or_default();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok())
    };
    until(LONG, "a lot to be read", || (read()? > 64 << 20).then_some(()));
    signal(pid, "KILL");
    let _ended = script.finish(SOON);
    let closed = stand.broker.closed_sessions();
    assert_eq!(closed.iter().filter_map(reason).collect::<Vec<_>>(), ["client"]);
    memory_is_bounded(&stand);
}
