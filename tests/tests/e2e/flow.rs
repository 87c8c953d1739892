//! Many statements at once, slow readers, cancelling.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sluice_tests::clients::{psql, python};
use sluice_tests::keeper::memory_kib;
use sluice_tests::run::{Running, signal};
use sluice_tests::wait::{SOON, pause, until};
use sluice_tests::wire::say;

use crate::shop::Shop;

const STATEMENTS: usize = 10_000;
/// The size of one result.
const RESULT_BYTES: usize = 4_000;
/// How much more memory the broker may use for a client that does not read.
const GROWTH_KIB: u64 = 64 * 1024;

/// How long the broker waits for a silent server whose client may only have ended its sending.
const SILENCE: Duration = Duration::from_secs(5);

/// Sends everything from a thread of its own, and lets nobody read before it is stuck.
fn sent_without_reading(mut sender: Box<dyn std::io::Write + Send>, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let thread = std::thread::spawn(move || {
        for chunk in bytes.chunks(16 * 1024) {
            if sender.write_all(chunk).is_err() {
                return;
            }
            counter.fetch_add(chunk.len(), Ordering::Relaxed);
        }
    });
    // Nothing moved for a second: it is stuck, or done.
    let (mut last, mut since) = (0, Instant::now());
    until(Duration::from_secs(60), "the sender to be stuck", || {
        let now = sent.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(1)).then_some(())
    });
    thread
}

#[test]
fn ten_thousand_statements_and_a_client_that_reads_late() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _warm = alice.query("SELECT repeat('x', 10)").ok();
    let before = memory_kib(shop.broker.pid(), "VmHWM").unwrap_or_default();
    let one = say::extended(&format!("SELECT repeat('x', {RESULT_BYTES})"));
    let thread = sent_without_reading(alice.sender(), one.repeat(STATEMENTS));
    for number in 0..STATEMENTS {
        let reply = alice.reply();
        assert_eq!(reply.tags(), "12TDCZ", "statement {number}: {:?}", reply.error());
        alice.heard.clear();
    }
    assert!(thread.join().is_ok());
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    let after = memory_kib(shop.broker.pid(), "VmHWM").unwrap_or(u64::MAX);
    let growth = after.saturating_sub(before);
    assert!(before > 0 && growth < GROWTH_KIB, "the broker grew by {growth} KiB");
}

#[test]
fn a_large_result_and_a_client_that_reads_late() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _warm = alice.query("SELECT repeat('x', 10)").ok();
    let before = memory_kib(shop.broker.pid(), "VmHWM").unwrap_or_default();
    let sql = "SELECT id, repeat('y', 1000), email FROM customers, generate_series(1, 20000)";
    let thread = sent_without_reading(alice.sender(), say::query(sql.as_bytes()));
    let mut rows = 0;
    while let Some(frame) = alice.frame() {
        rows += usize::from(frame.tag == 'D');
        alice.heard.clear();
        if frame.tag == 'Z' {
            break;
        }
    }
    assert!(thread.join().is_ok());
    assert_eq!(rows, 60_000);
    let growth = memory_kib(shop.broker.pid(), "VmHWM").unwrap_or(u64::MAX).saturating_sub(before);
    assert!(before > 0 && growth < GROWTH_KIB, "the broker grew by {growth} KiB");
}

/// Waits until the server does something whose text has a marker, or does not.
fn busy(shop: &Shop, marker: &str, wanted: bool) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{marker}%' AND pid <> pg_backend_pid()"
    );
    until(SOON, "the server to begin or to end a statement", || {
        ((shop.database.truth(&sql) != "0") == wanted).then_some(())
    });
}

#[test]
fn ctrl_c_in_psql_cancels() {
    let shop = Shop::open();
    let token = shop.broker.token("zoe", "sleepers");
    let mut psql = Running::start(&mut psql(&shop.broker, "zoe", "shop", &token));
    psql.say("SELECT pg_sleep(61);\n");
    busy(&shop, "pg_sleep(61)", true);
    signal(psql.pid(), "INT");
    let _heard = psql.hear("canceling statement due to user request");
    busy(&shop, "pg_sleep(61)", false);
    let _ended = psql.finish(SOON);
}

#[test]
fn a_driver_cancels_over_tls() {
    let shop = Shop::open();
    let token = shop.broker.token("zoe", "sleepers");
    let seen = python(&shop.broker, "cancel.py", "zoe", "shop", &token);
    assert_eq!(seen, json!({ "sqlstate": "57014", "after": 1 }));
}

#[test]
fn a_client_that_goes_away_takes_its_statement_along() {
    let shop = Shop::open();
    let mut zoe = shop.broker.wire("zoe", "shop", &shop.broker.token("zoe", "sleepers"));
    zoe.send(&say::query(b"SELECT pg_sleep(62)"));
    busy(&shop, "pg_sleep(62)", true);
    drop(zoe);
    let closed = shop.broker.closed_sessions();
    assert_eq!(closed.len(), 1);
    busy(&shop, "pg_sleep(62)", false);
}

#[test]
fn a_client_that_is_known_to_be_gone_is_not_waited_for() {
    let shop = Shop::open();
    for (marker, word) in [("pg_sleep(64)", Vec::new()), ("pg_sleep(65)", say::terminate())] {
        let mut zoe = shop.broker.wire("zoe", "shop", &shop.broker.token("zoe", "sleepers"));
        let sleep = format!("SELECT {marker}");
        zoe.send(&[say::query(b"SELECT 1"), say::query(sleep.as_bytes()), word].concat());
        busy(&shop, marker, true);
        // Closing a socket with something unread resets the connection.
        let begun = Instant::now();
        drop(zoe);
        busy(&shop, marker, false);
        assert!(begun.elapsed() < SILENCE, "{marker}: {:?}", begun.elapsed());
    }
}

#[test]
fn an_idle_broker_ends_when_told_to() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _seen = alice.query("SELECT 1").ok();
    let begun = Instant::now();
    shop.broker.process().signal("TERM");
    let said = alice.rest();
    assert!(said.error().is_none_or(|error| error.sqlstate.starts_with("57P")), "{said:?}");
    until(Duration::from_secs(15), "the broker to end", || (!shop.broker.process().is_running()).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(15));
    pause();
    shop.broker.log_is_clean();
}
