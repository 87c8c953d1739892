//! What is recorded, replayed and verified.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sluice_tests::canary::Scan;
use sluice_tests::clients::psql;
use sluice_tests::run::run;
use sluice_tests::wait::SOON;
use sluice_tests::wire::say;

use crate::shop::Shop;

/// Runs a few statements and waits until the session is closed; its id.
fn recorded(shop: &Shop) -> String {
    let alice = shop.broker.token("alice", "analysts");
    let mut psql = psql(&shop.broker, "alice", "shop", &alice);
    for sql in ["SELECT id, name, email FROM customers ORDER BY id", "DROP TABLE customers", "SELECT 6 * 7"] {
        psql.args(["-c", sql]);
    }
    let _seen = run(&mut psql, SOON).done();
    let closed = shop.broker.closed_sessions();
    closed[0]["id"].as_str().unwrap_or_default().to_owned()
}

fn recording(shop: &Shop, id: &str) -> PathBuf {
    let shown = shop.broker.cli(&["sessions", "show", id]).done().stdout;
    let path = shown.lines().find_map(|line| line.strip_prefix("recording")).map(str::trim).unwrap_or_default();
    PathBuf::from(path)
}

#[test]
fn a_session_is_listed_shown_and_replayed() {
    let shop = Shop::open();
    let id = recorded(&shop);
    let listed = shop.broker.cli(&["sessions", "list", "--person", "alice"]).done().stdout;
    assert!(listed.contains(&id) && listed.contains("staging/shop"), "{listed}");
    let shown = shop.broker.cli(&["sessions", "show", &id]).done().stdout;
    for expected in ["user:alice", "analysts", "3 operations, 1 refused", "client     127.0.0.1"] {
        assert!(shown.contains(expected), "no `{expected}` in:\n{shown}");
    }
    let replayed = shop.broker.cli(&["replay", &id, "--no-wait"]).done();
    let expected = [
        "SELECT id, name, email FROM customers ORDER BY id",
        "Alice",
        "***",
        "DROP TABLE customers",
        "only-dba-defines",
        "42",
    ];
    for expected in expected {
        assert!(replayed.stdout.contains(expected), "no `{expected}` in:\n{}", replayed.said());
    }
    let json = shop.broker.json(&["replay", &id]);
    assert!(json.len() > 5, "{json:?}");
    let all = format!("{}{}", replayed.said(), Value::from(json));
    shop.broker.no_secret_in("the replay", &all);
    for file in fs::read_dir(shop.broker.folder().join("var/recordings")).into_iter().flatten().flatten() {
        Scan::default().none_in("a recording's file", &fs::read(file.path()).unwrap_or_default());
    }
}

#[test]
fn recordings_verify_until_one_byte_is_changed() {
    let shop = Shop::open();
    let id = recorded(&shop);
    let verified = shop.broker.cli(&["audit", "verify"]).done().stdout;
    assert!(verified.contains(&id) && verified.contains("whole"), "{verified}");
    let file = recording(&shop, &id);
    let sound = fs::read(&file).unwrap_or_default();
    assert!(sound.len() > 500, "{}", file.display());
    for place in [0, 9, sound.len() / 4, sound.len() / 2, sound.len() * 3 / 4, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[place] ^= 1;
        assert!(fs::write(&file, &changed).is_ok());
        for arguments in [vec!["audit", "verify"], vec!["audit", "verify", &id]] {
            let seen = shop.broker.cli(&arguments);
            assert_eq!(seen.code, Some(1), "byte {place} of {}: {}", sound.len(), seen.said());
            assert!(seen.said().contains(&id), "{}", seen.said());
        }
    }
    // Cut, lost, exchanged.
    assert!(fs::write(&file, &sound[..sound.len() - 40]).is_ok());
    assert_eq!(shop.broker.cli(&["audit", "verify"]).code, Some(1));
    assert!(fs::remove_file(&file).is_ok());
    let seen = shop.broker.cli(&["audit", "verify"]);
    assert!(seen.code == Some(1) && seen.said().contains("missing"), "{}", seen.said());
    assert!(fs::write(&file, &sound).is_ok());
    let _sound = shop.broker.cli(&["audit", "verify"]).done();
}

#[test]
fn the_nodes_log_verifies_until_one_byte_is_changed() {
    let shop = Shop::open();
    let _first = recorded(&shop);
    let _second = recorded(&shop);
    let file = shop.broker.folder().join("var/recordings/audit.log");
    let sound = fs::read(&file).unwrap_or_default();
    for place in [0, sound.len() / 3, sound.len() / 2, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[place] ^= 1;
        assert!(fs::write(&file, &changed).is_ok());
        let seen = shop.broker.cli(&["audit", "verify"]);
        assert_eq!(seen.code, Some(1), "byte {place} of {}: {}", sound.len(), seen.said());
    }
    assert!(fs::write(&file, &sound).is_ok());
    let _sound = shop.broker.cli(&["audit", "verify"]).done();
}

#[test]
fn a_broker_that_is_killed_leaves_a_recording_that_says_where_it_ends() {
    let mut shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let mut alice = shop.broker.wire("alice", "shop", &token);
    for number in 0..50 {
        let reply = alice.query(&format!("SELECT {number} + 1000, email FROM customers WHERE id = 1")).ok();
        assert_eq!(reply.rows().len(), 1);
    }
    alice.send(&say::query(b"SELECT repeat('z', 500), generate_series(1, 200000)"));
    assert!(alice.frame().is_some());
    shop.broker.kill();
    let _cut = alice.rest();
    shop.broker.restart();
    let sessions = shop.broker.closed_sessions();
    let id = sessions[0]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(sessions[0]["end"]["reason"], "crash", "{sessions:?}");
    let verified = shop.broker.cli(&["audit", "verify"]).done().stdout;
    let line = verified.lines().find(|line| line.contains(&id)).unwrap_or_default();
    assert!(line.contains("whole") || line.contains("up to"), "{verified}");
    let replayed = shop.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    for number in [0, 25, 49] {
        assert!(replayed.contains(&format!("SELECT {number} + 1000")), "statement {number} is not in the replay");
        assert!(replayed.contains(&format!("{}", number + 1000)), "result {number} is not in the replay");
    }
    assert!(replayed.contains("crash"), "the replay does not say where it ends:\n{}", tail(&replayed));
    // And it works again.
    let mut alice = shop.broker.wire("alice", "shop", &token);
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    shop.broker.log_is_clean();
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[test]
fn what_was_answered_before_a_kill_is_recorded() {
    let mut shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let mut alice = shop.broker.wire("alice", "shop", &token);
    let mut answered = Vec::new();
    for number in 0..200 {
        alice.send(&say::query(format!("SELECT 'n' || {number}").as_bytes()));
        if number == 199 {
            break;
        }
        answered.extend(alice.reply().ok().rows().concat().into_iter().flatten());
    }
    shop.broker.kill();
    shop.broker.restart();
    let id = shop.broker.closed_sessions()[0]["id"].as_str().unwrap_or_default().to_owned();
    let replayed = shop.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    let lost: Vec<&String> = answered.iter().filter(|answer| !replayed.contains(answer.as_str())).collect();
    assert!(answered.len() == 199 && lost.is_empty(), "answered and not recorded: {lost:?}");
}
