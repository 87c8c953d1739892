//! Refusals are correct protocol errors: session, transaction and pipeline stay right.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::clients::{psql, python};
use sluice_tests::run::run;
use sluice_tests::wire::{Said, say};

use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(30);

fn rule(said: &Said) -> String {
    let detail: Value = serde_json::from_str(&said.detail).unwrap_or_default();
    detail["rule"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn psql_is_refused_a_drop_and_goes_on() {
    let shop = Shop::open();
    let before = shop.contents();
    let alice = shop.broker.token("alice", "analysts");
    let mut psql = psql(&shop.broker, "alice", "shop", &alice);
    psql.args(["-v", "VERBOSITY=verbose", "-c", "DROP TABLE customers", "-c", "SELECT 'next works'"]);
    let seen = run(&mut psql, SOON);
    for expected in [
        "ERROR:  42501:",
        "DETAIL:  {\"code\":\"policy\",\"rule\":\"only-dba-defines\",\"decision\":\"",
        "HINT:  Open a change for the on-call DBA.",
    ] {
        assert!(seen.stderr.contains(expected), "no `{expected}` in:\n{}", seen.said());
    }
    assert_eq!(seen.stdout, "next works\n");
    assert_eq!(shop.contents(), before);
}

#[test]
fn a_refusal_aborts_the_transaction_as_postgresql_does() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    assert_eq!(alice.query("BEGIN").ok().status(), Some('T'));
    let _changed = alice.query("UPDATE orders SET total = 1 WHERE id = 10").ok();
    let reply = alice.query("DROP TABLE orders");
    assert_eq!((rule(&reply.refused("42501")).as_str(), reply.status()), ("only-dba-defines", Some('E')));
    let reply = alice.query("SELECT 1");
    let _aborted = reply.refused("25P02");
    assert_eq!(reply.status(), Some('E'));
    let reply = alice.query("COMMIT").ok();
    assert_eq!((reply.completed().as_deref(), reply.status()), (Some("ROLLBACK"), Some('I')));
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
    assert_eq!(alice.query("SELECT count(*) FROM orders").ok().rows(), [[Some("3".to_owned())]]);
}

#[test]
fn a_savepoint_survives_a_refusal() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    for sql in ["BEGIN", "UPDATE orders SET total = 2 WHERE id = 10", "SAVEPOINT s"] {
        let _done = alice.query(sql).ok();
    }
    let reply = alice.query("DROP TABLE orders");
    assert_eq!(reply.status(), Some('E'), "{reply:?}");
    for sql in ["ROLLBACK TO s", "COMMIT"] {
        let _done = alice.query(sql).ok();
    }
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "2");
}

#[test]
fn one_refused_statement_refuses_the_message_it_is_in() {
    let shop = Shop::open();
    let before = shop.contents();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let reply = alice.query("UPDATE orders SET total = 0 WHERE id = 10; DROP TABLE orders; SELECT 1");
    let _denied = reply.refused("42501");
    assert_eq!(reply.tags(), "EZ");
    assert_eq!(shop.contents(), before);
}

#[test]
fn an_unbounded_delete_says_what_would_pass() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let said = alice.query("DELETE FROM orders").refused("42501");
    assert_eq!(
        (rule(&said).as_str(), said.hint.as_str()),
        ("no-unbounded-dml", "Add a WHERE clause, or work in batches.")
    );
    assert_eq!(alice.query("DELETE FROM orders WHERE id = 12").ok().completed().as_deref(), Some("DELETE 1"));
}

#[test]
fn a_pipeline_with_a_refused_statement_stays_in_step() {
    let shop = Shop::open();
    let before = shop.contents();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let statement = |sql: &str| {
        [say::parse("", sql), say::bind("", "", &[], false), say::named('D', 'P', ""), say::execute("", 0)].concat()
    };
    let bytes = [
        statement("SELECT 1"),
        statement("DROP TABLE orders"),
        statement("UPDATE orders SET total = 0 WHERE id = 10"),
        say::sync(),
        statement("SELECT 2"),
        say::sync(),
    ];
    alice.send(&bytes.concat());
    let first = alice.reply();
    assert_eq!((first.tags().as_str(), first.status()), ("12TDCEZ", Some('I')));
    let _denied = first.refused("42501");
    let second = alice.reply().ok();
    assert_eq!((second.tags().as_str(), second.rows()), ("12TDCZ", vec![vec![Some("2".to_owned())]]));
    assert_eq!(shop.contents(), before);
}

#[test]
fn a_python_pipeline_with_a_refused_statement_stays_in_step() {
    let shop = Shop::open();
    let before = shop.contents();
    let alice = shop.broker.token("alice", "analysts");
    let seen = python(&shop.broker, "pipeline.py", "alice", "shop", &alice);
    let outcomes = &seen["outcomes"];
    assert_eq!(outcomes[0], json!({ "error": "42501" }), "{seen}");
    assert_eq!(outcomes[1]["found"][0], json!([[1]]), "{seen}");
    assert_eq!(outcomes[1]["found"][1], json!([[2]]), "{seen}");
    assert_eq!(outcomes[2], json!({ "error": "42501" }), "{seen}");
    assert_eq!(outcomes[3]["found"][0], json!([[4]]), "{seen}");
    assert_eq!(outcomes[4]["found"], json!([[[6]], [["***"]], [[7]]]), "{seen}");
    assert_eq!((&seen["after"], &seen["status"]), (&json!(3), &json!("IDLE")), "{seen}");
    assert_eq!(shop.contents(), before);
}

#[test]
fn a_refused_prepare_leaves_no_statement_behind() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    alice.send(&[say::parse("s", "DROP TABLE orders"), say::sync()].concat());
    let _denied = alice.reply().refused("42501");
    alice.send(&[say::bind("", "s", &[], false), say::execute("", 0), say::sync()].concat());
    assert_eq!(rule(&alice.reply().refused("26000")), "unknown-statement");
    alice.send(
        &[say::parse("s", "SELECT 5"), say::bind("", "s", &[], false), say::execute("", 0), say::sync()].concat(),
    );
    assert_eq!(alice.reply().ok().rows(), [[Some("5".to_owned())]]);
}
