//! A full disk: nothing happens that is not recorded, and work goes on when there is room again.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};
use sluice_tests::keeper::is_root;
use sluice_tests::run::run;
use sluice_tests::wait::{SOON, until};

use crate::shop::DATA;

/// How the disk is made full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Full {
    /// A file system of its own, and a file that takes most of it.
    Mounted,
    /// No file of the broker may grow beyond a size (`RLIMIT_FSIZE`).
    Limited,
}

const BALLAST: &str = "var/ballast";
/// All but a few MiB of the file system, which has the 64 MiB that a broker wants before it opens a session.
const BALLAST_BYTES: usize = 84 << 20;
/// Statements that fill what is left.
const MOST: usize = 400;

fn open(full: Full) -> (Database, Broker) {
    let database = Server::shared().database(DATA);
    let mut setup = Setup::new(vec![Target::new("shop", "staging", &database)]);
    (setup.before, setup.after) = match full {
        Full::Mounted => (
            "mkdir -p $folder/var && mount -t tmpfs -o size=96m,mode=0700 sluice-test $folder/var",
            "umount -l $folder/var",
        ),
        // 4 MiB, in units of 512 bytes; a write beyond it fails instead of ending the process.
        Full::Limited => ("trap '' XFSZ; ulimit -S -f 8192", ""),
    };
    let broker = Broker::start(&setup);
    (database, broker)
}

fn make_room(full: Full, broker: &Broker) {
    match full {
        Full::Mounted => assert!(fs::remove_file(broker.folder().join(BALLAST)).is_ok()),
        Full::Limited => {
            let mut raise = Command::new("prlimit");
            raise.args(["--pid", &broker.pid().to_string(), "--fsize=unlimited:"]);
            let _raised = run(&mut raise, SOON).done();
        }
    }
}

/// Whether this process may mount a file system.
fn may_mount() -> bool {
    if !is_root() {
        return false;
    }
    let Ok(folder) = tempfile::tempdir() else { return false };
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "sluice-test"]).arg(folder.path()).output();
    let mounted = mounted.is_ok_and(|output| output.status.success());
    if mounted {
        let _unmounted = Command::new("umount").arg("-l").arg(folder.path()).output();
    }
    mounted
}

fn a_disk_that_is_full(full: Full) {
    let (_, broker) = open(full);
    let token = broker.token("alice", "analysts");
    let server = Server::shared();
    let mark = server.log_end();
    let mut alice = broker.wire("alice", "shop", &token);
    if full == Full::Mounted {
        assert!(fs::write(broker.folder().join(BALLAST), vec![7; BALLAST_BYTES]).is_ok());
    }
    let began = Instant::now();
    let mut ended = None;
    for number in 0..MOST {
        // Random text does not compress; each result is close to what is recorded of one operation.
        let sql = format!("SELECT {number}, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 8000)");
        let reply = alice.query(&sql);
        if reply.error().is_some() || reply.status().is_none() {
            ended = Some((number, reply));
            break;
        }
        alice.heard.clear();
    }
    assert!(ended.is_some(), "the disk was not full after {MOST} statements in {:?}", began.elapsed());
    let (number, reply) = ended.unwrap_or_default();
    let said = reply.error().map(|error| error.sqlstate);
    assert!(said.is_none_or(|code| code == "58030"), "{:?}", reply.error());
    assert!(alice.frame_within(Duration::from_secs(10)).is_some_and(|next| next.is_none()), "the session goes on");
    assert!(number > 0, "not one statement was served");

    if full == Full::Mounted {
        let refused = until(SOON, "new sessions to be refused", || broker.try_wire("alice", "shop", &token).err());
        assert!(refused.contains("58030"), "{refused}");
        assert!(broker.process().is_running());
    }
    make_room(full, &broker);
    let mut again = until(SOON, "the broker to recover", || broker.try_wire("alice", "shop", &token).ok());
    assert_eq!(again.query("SELECT 'recovered'").ok().rows().len(), 1);
    drop(again);
    nothing_unrecorded(&broker, server, mark);
    let _closed = broker.closed_sessions();
    broker.log_is_clean();
}

/// Every statement that the server logged is in a recording.
fn nothing_unrecorded(broker: &Broker, server: &Server, mark: u64) {
    let mut replays = String::new();
    let sessions = broker.json(&["sessions", "list", "--limit", "1000"]);
    let ids: Vec<&str> = sessions.iter().filter_map(|session| session["id"].as_str()).collect();
    for id in &ids {
        replays.push_str(&broker.cli(&["replay", id, "--no-wait"]).done().stdout);
    }
    assert!(ids.len() > 1, "{sessions:?}");
    let entries = server.log_from(mark);
    let told: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| ids.iter().any(|id| entry.application.ends_with(id)))
        .filter_map(|entry| entry.text.strip_prefix("LOG:  statement: "))
        .filter(|text| text.starts_with("SELECT"))
        .collect();
    assert!(told.len() > 1, "the server was told nothing");
    let unrecorded: Vec<&&str> = told.iter().filter(|text| !replays.contains(**text)).collect();
    assert!(unrecorded.is_empty(), "forwarded and not recorded: {unrecorded:?}");
    let verified = broker.cli(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.said());
}

#[test]
fn sessions_end_on_a_full_file_system_and_come_back() {
    if may_mount() {
        a_disk_that_is_full(Full::Mounted);
    } else {
        use std::io::Write as _;
        let note = "note: no file system can be mounted here; a limit on the size of files stands in for it\n";
        let _unseen = std::io::stderr().write_all(note.as_bytes());
        a_disk_that_is_full(Full::Limited);
    }
}

#[test]
fn sessions_end_when_files_cannot_grow_and_come_back() {
    a_disk_that_is_full(Full::Limited);
}
