//! What changes under running sessions: tokens are revoked, policies are replaced.

use std::fs;
use std::time::{Duration, Instant};

use sluice_tests::broker::Broker;
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Reply, Wire, say};

use crate::shop::Shop;

/// The promise.
const WITHIN: Duration = Duration::from_secs(10);

/// The id of a person's only token.
fn id_of(broker: &Broker, label: &str) -> String {
    let tokens = broker.json(&["token", "list"]);
    let found = tokens.iter().find(|token| token.get("label").and_then(|text| text.as_str()) == Some(label));
    found.and_then(|token| token.get("id")?.as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_revoked_token_ends_its_session_in_the_middle_of_a_result() {
    let shop = Shop::open();
    let token = shop.broker.mint(&["--user", "alice", "--group", "analysts", "--label", "mid"]);
    let other = shop.broker.mint(&["--user", "alice", "--group", "analysts", "--label", "other"]);
    let mut alice = shop.broker.wire("alice", "shop", &token);
    let mut bystander = shop.broker.wire("alice", "shop", &other);
    alice.send(&say::query(b"SELECT generate_series(1, 2000000000)"));
    for _ in 0..1_000 {
        assert!(alice.frame().is_some_and(|frame| "TD".contains(frame.tag)));
    }
    let _revoked = shop.broker.cli(&["token", "revoke", &id_of(&shop.broker, "mid")]).done();
    let begun = Instant::now();
    let mut last = None;
    while let Some(frame) = alice.frame() {
        alice.heard.clear();
        last = Some(frame);
        assert!(begun.elapsed() < WITHIN, "the session goes on");
    }
    let said = last.map(|frame| (frame.tag, frame.said().sqlstate));
    assert_eq!(said, Some(('E', "57P01".to_owned())));
    assert!(begun.elapsed() < WITHIN);
    let again = shop.broker.try_wire("alice", "shop", &token).map(|_| ());
    assert!(again.as_ref().is_err_and(|said| said.contains("57P01")), "{again:?}");
    assert_eq!(bystander.query("SELECT 1").ok().status(), Some('I'));
    shop.broker.log_is_clean();
}

#[test]
fn a_revoked_token_ends_a_session_that_waits_for_approval() {
    let shop = Shop::open();
    let token = shop.broker.mint(&["--user", "alice", "--group", "analysts", "--label", "held"]);
    let mut alice = shop.broker.wire("alice", "shop-prod", &token);
    alice.send(&say::query(b"UPDATE orders SET total = 0 WHERE id = 10"));
    assert_eq!(alice.frame().map(|frame| frame.tag), Some('N'));
    let _revoked = shop.broker.cli(&["token", "revoke", &id_of(&shop.broker, "held")]).done();
    let begun = Instant::now();
    assert!(alice.rest().error().is_some());
    assert!(begun.elapsed() < WITHIN);
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
}

#[test]
fn a_token_ends_its_session_when_it_expires() {
    let shop = Shop::open();
    let token = shop.broker.mint(&["--user", "zoe", "--group", "sleepers", "--ttl", "3s"]);
    let mut zoe = shop.broker.wire("zoe", "shop", &token);
    let begun = Instant::now();
    zoe.send(&say::query(b"SELECT pg_sleep(63)"));
    let said = zoe.rest();
    assert!(said.error().is_some_and(|error| error.sqlstate == "57P01"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(3) + WITHIN);
}

#[test]
fn a_new_policy_holds_from_the_next_statement_and_a_bad_one_never() {
    let shop = Shop::open();
    let file = shop.broker.folder().join("policies/zz-new.cedar");
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _seen = alice.query("SELECT id FROM orders").ok();

    // Watched.
    let from = shop.broker.log().len();
    let forbid = "@id(\"closed-today\") @message(\"The orders are closed today.\")\n\
                  forbid (principal, action == Action::\"sql.read\", resource);\n";
    assert!(fs::write(&file, forbid).is_ok());
    shop.broker.logs(from, "the configuration was reloaded");
    let said = alice.query("SELECT id FROM orders").refused("42501");
    assert!(said.detail.contains("closed-today") && said.message == "The orders are closed today.", "{said:?}");

    // A file that does not load keeps what is in force.
    let from = shop.broker.log().len();
    assert!(fs::write(&file, "permit (principal, action == Action::\"sql.raed\", resource);").is_ok());
    shop.broker.logs(from, "the changed configuration is not used");
    let _still = alice.query("SELECT id FROM orders").refused("42501");
    shop.broker.process().signal("HUP");
    shop.broker.logs(from, "the changed configuration is not used");
    let _still = alice.query("SELECT id FROM orders").refused("42501");

    // And back.
    let from = shop.broker.log().len();
    assert!(fs::remove_file(&file).is_ok());
    shop.broker.logs(from, "the configuration was reloaded");
    assert_eq!(alice.query("SELECT id FROM orders").ok().rows().len(), 3);
}

/// One more column of customers is protected.
fn tagged(text: &str, targets: usize) -> String {
    let ssn = "      \"public.customers.ssn\": [pii]\n";
    text.replacen(ssn, &format!("{ssn}      \"public.customers.notes\": [pii]\n"), targets)
}

/// What is left to read of a session that was told to leave, without what came before.
fn dismissed(wire: &mut Wire) -> Reply {
    let last = wire.rest();
    let said = last.error().unwrap_or_default();
    assert_eq!(said.sqlstate, "57P01", "{last:?}");
    assert!(said.message.contains("the configuration of the target has changed"), "{last:?}");
    last
}

#[test]
fn new_tags_leave_no_session_that_does_not_know_them() {
    const NOTE: &str = "SELECT notes FROM customers WHERE id = 1";
    let shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let open = |target: &str| shop.broker.wire("alice", target, &token);
    let (mut plain, mut prepared, mut within, mut busy) = (open("shop"), open("shop"), open("shop"), open("shop"));
    let mut other = open("shop-prod");
    let vip = [[Some("vip".to_owned())]];
    assert_eq!(plain.query(NOTE).ok().rows(), vip);
    prepared.send(&[say::parse("s", NOTE), say::sync()].concat());
    let _parsed = prepared.reply().ok();
    let again = [say::bind("", "s", &[], false), say::execute("", 0), say::sync()].concat();
    prepared.send(&again);
    assert_eq!(prepared.reply().ok().rows(), vip);
    let _begun = within.query("BEGIN").ok();
    let mut admin = shop.database.server.admin(&shop.database.name);
    let _held = admin.query("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").ok();
    busy.send(&say::query(b"SELECT count(*) FROM orders"));
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until(SOON, "the statement to be under way", || (shop.database.truth(waiting) == "1").then_some(()));

    shop.reload(|text| tagged(text, 1));
    plain.send(&say::query(NOTE.as_bytes()));
    assert!(dismissed(&mut plain).rows().is_empty());
    prepared.send(&again);
    assert!(dismissed(&mut prepared).rows().is_empty());
    within.send(&say::query(NOTE.as_bytes()));
    assert!(dismissed(&mut within).rows().is_empty());
    // What was under way may end.
    let _released = admin.query("ROLLBACK").ok();
    assert_eq!(dismissed(&mut busy).rows(), [[Some("3".to_owned())]]);
    assert_eq!(other.query(NOTE).ok().rows(), vip, "nothing changed at that target");
    assert_eq!(open("shop").query(NOTE).ok().rows(), [[Some("***".to_owned())]]);
    shop.broker.log_is_clean();
}

/// A client whose change waits for an approval, and the request's id.
fn held(shop: &Shop) -> (Wire, String) {
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    alice.send(&say::query(b"UPDATE orders SET total = 0 WHERE id = 10"));
    let notice = alice.frame().map(|frame| frame.said().message).unwrap_or_default();
    let id = notice.split_whitespace().nth(3).unwrap_or_default().trim_end_matches(':').to_owned();
    (alice, id)
}

#[test]
fn an_approval_that_comes_after_a_change_of_the_target_is_of_no_use() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let (mut alice, id) = held(&shop);
    shop.reload(|text| tagged(text, 2));
    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", &id]).done();
    // The policies are of another reading too, which is said first.
    let told = alice.rest();
    let last = told.frames.last().map(|frame| frame.said().sqlstate);
    assert_eq!((told.completed(), last.as_deref()), (None, Some("57P01")), "{told:?}");
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
    shop.broker.log_is_clean();
}

#[test]
fn a_hangup_reloads() {
    let shop = Shop::open();
    let from = shop.broker.log().len();
    shop.broker.process().signal("HUP");
    shop.broker.logs(from, "the configuration was reloaded");
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    assert_eq!(alice.query("SELECT id FROM orders").ok().rows().len(), 3);
}

#[test]
fn a_change_of_policy_voids_what_was_approved_before() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let (mut alice, id) = held(&shop);
    let from = shop.broker.log().len();
    let forbid = "@id(\"frozen\") @message(\"Frozen.\")\nforbid (principal, action in Action::\"write\", resource);\n";
    assert!(fs::write(shop.broker.folder().join("policies/zz-freeze.cedar"), forbid).is_ok());
    shop.broker.logs(from, "the configuration was reloaded");
    let _whatever = shop.broker.cli_as(&dana, &["approvals", "approve", &id]);
    let _refused = alice.reply().refused("42501");
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
}

#[test]
fn a_lock_that_somebody_holds_keeps_nobody_else_waiting() {
    let shop = Shop::open();
    let dana = || shop.broker.wire("dana", "shop", &shop.broker.token("dana", "dba-oncall"));
    let (mut holder, mut other) = (dana(), dana());
    let _made = holder.query("CREATE VIEW names AS SELECT id, name FROM customers").ok();
    let _held = holder.query("BEGIN").ok();
    let _held = holder.query("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").ok();
    // The schema is read again after this; the definition of the view is behind the lock.
    let _made = other.query("CREATE TABLE another (n int)").ok();
    other.send(&say::query(b"SELECT count(*) FROM another"));
    let answer = other.frame_within(Duration::from_secs(15)).flatten();
    assert_eq!(answer.map(|frame| frame.tag), Some('T'));
    let _rest = other.reply().ok();
    let _refused = other.query("SELECT name FROM names").refused("42501");
    // Nothing tells that a lock has gone; who comes later finds the view whole again.
    let _released = holder.query("ROLLBACK").ok();
    let seen = until(SOON, "the view to be known", || {
        let reply = dana().query("SELECT count(*) FROM names");
        reply.error().is_none().then(|| reply.rows())
    });
    assert_eq!(seen, [[Some("3".to_owned())]]);
    assert!(!shop.broker.log().contains("\"level\":\"ERROR\""), "{}", shop.broker.log());
}

#[test]
fn a_change_that_ends_while_the_schema_is_read_is_not_forgotten() {
    let shop = Shop::open();
    let session = |user: &str, group: &str| shop.broker.wire(user, "shop", &shop.broker.token(user, group));
    let (mut first, mut second) = (session("dana", "dba-oncall"), session("dana", "dba-oncall"));
    let mut alice = session("alice", "analysts");
    let width = |wire: &mut Wire| wire.query("SELECT * FROM customers LIMIT 1").ok().rows().concat().len();
    let before = width(&mut alice);

    // Whoever reads the schema reads this table last, when it has seen the rest.
    let mut admin = shop.database.server.admin(&shop.database.name);
    let _held = admin.query("BEGIN; LOCK TABLE pg_catalog.pg_cast IN ACCESS EXCLUSIVE MODE").ok();
    let _made = first.query("CREATE TABLE another (n int)").ok();
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until(SOON, "the broker to be reading the schema", || (shop.database.truth(waiting) == "1").then_some(()));
    let _changed = second.query("ALTER TABLE customers ADD COLUMN more text").ok();
    let _released = admin.query("ROLLBACK").ok();

    // Its next statement waits for a schema that has its change.
    let _done = second.query("SELECT 1").ok();
    assert_eq!(width(&mut alice), before + 1, "columns are named for her by the broker");
    shop.broker.log_is_clean();
}
