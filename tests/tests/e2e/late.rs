//! What is bound or declared under some policies, and executed or read under others.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;

use serde_json::Value;
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::Server;
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Reply, Wire, say};

use crate::shop::{DATA, Shop};

/// Who may do what, before anything changes. `flip` may see addresses; `hasty` needs an approval that lasts a moment.
const POLICIES: &str = r#"
    @id("flip-read") permit (principal in Group::"flip", action in [Action::"connect", Action::"read", Action::"write"], resource);
    @id("flip-reveal") permit (principal in Group::"flip", action == Action::"reveal", resource);
"#;

const HASTY: &str = r#"
    @id("hasty") permit (principal in Group::"hasty", action in [Action::"connect", Action::"read", Action::"write"], resource);
    @id("hasty-gate") @approve("Group::dba-oncall") @approve_ttl("2s") @message("quickly")
    forbid (principal in Group::"hasty", action in Action::"write", resource)
    unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
             && context.base.now < context.base.approval.expires };
    @id("hasty-read-gate") @approve("Group::dba-oncall") @approve_ttl("2s") @message("quickly")
    forbid (principal in Group::"hasty", action == Action::"sql.read", resource == Table::"shop/public/orders")
    unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
             && context.base.now < context.base.approval.expires };
"#;
const FILE: &str = "policies/zz-flip.cedar";

fn shop() -> Shop {
    Shop::with(|setup| setup.policy("zz-flip.cedar", POLICIES).policy("zz-hasty.cedar", HASTY))
}

fn reload(shop: &Shop, policies: &str) {
    let from = shop.broker.log().len();
    assert!(fs::write(shop.broker.folder().join(FILE), policies).is_ok());
    shop.broker.logs(from, "the configuration was reloaded");
}

/// The same policies with another word in them.
fn harmless(shop: &Shop) {
    reload(shop, &format!("// Looked over.\n{POLICIES}"));
}

fn flip(shop: &Shop) -> Wire {
    shop.broker.wire("flip", "shop", &shop.broker.token("flip", "flip"))
}

fn bound(wire: &mut Wire, portal: &str, sql: &str) {
    wire.send(&[say::parse("", sql), say::bind(portal, "", &[], false), say::sync()].concat());
    let _bound = wire.reply().ok();
}

fn executed(wire: &mut Wire, portal: &str, rows: u32) -> Reply {
    wire.send(&[say::execute(portal, rows), say::sync()].concat());
    wire.reply()
}

#[test]
fn a_bound_write_is_not_executed_once_writes_are_forbidden() {
    let shop = shop();
    let mut wire = flip(&shop);
    let _begun = wire.query("BEGIN").ok();
    bound(&mut wire, "w", "UPDATE orders SET total = 0 WHERE id = 10");
    reload(&shop, &format!("{POLICIES} @id(\"no-writes\") forbid (principal, action in Action::\"write\", resource);"));
    let refused = executed(&mut wire, "w", 0).refused("42501");
    assert!(refused.detail.contains("no-writes"), "{refused:?}");
    let _over = wire.query("ROLLBACK").ok();
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
}

#[test]
fn what_was_opened_goes_on_where_policies_still_allow_it() {
    let shop = shop();
    let mut wire = flip(&shop);
    let _begun = wire.query("BEGIN").ok();
    bound(&mut wire, "p", "SELECT email FROM customers ORDER BY id");
    let first = executed(&mut wire, "p", 1).ok();
    let _declared = wire.query("DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id").ok();
    bound(&mut wire, "f", "FETCH 2 FROM c");
    for _ in 0..2 {
        harmless(&shop);
        reload(&shop, POLICIES);
    }
    let second = executed(&mut wire, "p", 1).ok();
    assert_eq!((first.rows().len(), second.rows().len()), (1, 1));
    assert_ne!(first.rows(), second.rows());
    assert_eq!(executed(&mut wire, "f", 0).ok().rows().len(), 2);
    assert_eq!(wire.query("FETCH ALL FROM c").ok().rows().len(), 1);
    assert_eq!(executed(&mut wire, "p", 0).ok().rows().len(), 1);
    let _over = wire.query("COMMIT").ok();
}

#[test]
fn what_was_opened_shows_nothing_that_its_client_may_see_no_longer() {
    let shop = shop();
    let (mut held, mut suspended, mut fetched) = (flip(&shop), flip(&shop), flip(&shop));
    let declare = "DECLARE k CURSOR WITH HOLD FOR SELECT email FROM customers ORDER BY id";
    for sql in ["BEGIN", declare, "COMMIT"] {
        let _done = held.query(sql).ok();
    }
    bound(&mut held, "", "SELECT 1");
    let _begun = suspended.query("BEGIN").ok();
    bound(&mut suspended, "p", "SELECT email FROM customers ORDER BY id");
    assert_eq!(executed(&mut suspended, "p", 1).ok().rows().len(), 1);
    for sql in ["BEGIN", declare] {
        let _done = fetched.query(sql).ok();
    }
    bound(&mut fetched, "f", "FETCH ALL FROM k");
    assert_eq!(executed(&mut fetched, "f", 1).ok().rows().len(), 1);

    let masked = POLICIES.lines().filter(|line| !line.contains("flip-reveal")).collect::<Vec<_>>().join("\n");
    reload(&shop, &masked);
    let refusals = [
        held.query("FETCH ALL FROM k"),
        held.query("MOVE 1 IN k"),
        {
            held.send(&say::extended("FETCH ALL FROM k"));
            held.reply()
        },
        executed(&mut suspended, "p", 0),
        executed(&mut fetched, "f", 0),
    ];
    for reply in refusals {
        let refused = reply.refused("42501");
        assert!(refused.detail.contains("stale-portal"), "{refused:?}");
        assert!(reply.rows().is_empty(), "{reply:?}");
    }
    let _again = held.query("BEGIN").ok();
    let _again = held.query("DECLARE m CURSOR FOR SELECT email FROM customers ORDER BY id").ok();
    let rows = held.query("FETCH ALL FROM m").ok().rows();
    assert!(rows.iter().flatten().flatten().all(|email| email == "***"), "{rows:?}");
}

/// A client of the group whose writes wait, once its request was approved.
fn approved(shop: &Shop, wire: &mut Wire, bytes: &[u8]) -> u64 {
    wire.send(bytes);
    let hold = waiting(shop);
    let dana = shop.broker.token("dana", "dba-oncall");
    let id = hold["id"].as_str().unwrap_or_default();
    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", id]).done();
    let _done = wire.reply().ok();
    hold["expires"].as_u64().unwrap_or_default()
}

fn waiting(shop: &Shop) -> Value {
    until(SOON, "a request that waits", || shop.broker.json(&["approvals", "list"]).into_iter().next())
}

fn passed(micros: u64) {
    until(SOON, "the approval to run out", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        (now.as_micros() > u128::from(micros)).then_some(())
    });
}

#[test]
fn an_approval_that_has_run_out_executes_and_fetches_nothing() {
    let shop = shop();
    let mut wire = shop.broker.wire("hal", "shop", &shop.broker.token("hal", "hasty"));
    let _begun = wire.query("BEGIN").ok();
    let parse = say::parse("", "UPDATE orders SET total = 0 WHERE id = 10");
    let expires = approved(&shop, &mut wire, &[parse, say::bind("w", "", &[], false), say::sync()].concat());
    passed(expires);
    wire.send(&[say::execute("w", 0), say::sync()].concat());
    let again = waiting(&shop);
    assert_eq!(again["text"], "UPDATE orders SET total = 0 WHERE id = 10");
    let _expired = wire.reply().refused("42501");
    let _over = wire.query("ROLLBACK").ok();

    let _begun = wire.query("BEGIN").ok();
    let declare = say::query(b"DECLARE c CURSOR FOR SELECT id FROM orders");
    let expires = approved(&shop, &mut wire, &declare);
    passed(expires);
    let reply = wire.query("FETCH 1 FROM c");
    let _expired = reply.refused("42501");
    assert_eq!(reply.notices().len(), 1, "people are asked again: {reply:?}");
    let _over = wire.query("ROLLBACK").ok();
    assert_eq!(shop.database.truth("SELECT total FROM orders WHERE id = 10"), "99.50");
}

#[test]
fn what_functions_opened_is_not_read_under_other_policies() {
    let opened = "CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql AS \
                  $$ DECLARE c refcursor := 'c'; BEGIN OPEN c FOR SELECT id FROM orders; RETURN c; END $$";
    let database = Server::shared().database(&format!("{DATA};{opened}"));
    let mut target = Target::new("shop", "staging", &database);
    target.columns.clear();
    let open = "@id(\"open\") permit (principal in Group::\"flip\", action in Action::\"execute\", resource);";
    let setup = Setup::new(vec![target]).policy("zz-flip.cedar", POLICIES).policy("zz-open.cedar", open);
    let broker = Broker::start(&setup);
    let shop = Shop { database, broker };
    let mut wire = flip(&shop);
    for sql in ["BEGIN", "SELECT opened()"] {
        let _done = wire.query(sql).ok();
    }
    assert_eq!(wire.query("FETCH 1 FROM c").ok().rows().len(), 1);
    harmless(&shop);
    let refused = wire.query("FETCH 1 FROM c").refused("42501");
    assert!(refused.detail.contains("unknown-cursor"), "{refused:?}");
    for sql in ["ROLLBACK", "BEGIN", "SELECT opened()", "FETCH 1 FROM c"] {
        let _done = wire.query(sql).ok();
    }
}

#[test]
fn what_is_bound_and_executed_at_once_is_asked_about_once() {
    let shop = shop();
    let token = shop.broker.token("flip", "flip");
    let asked = |reloads: u64| {
        let mut wire = shop.broker.wire("flip", "shop", &token);
        let prepare = [say::parse("s", "SELECT id FROM orders"), say::sync()].concat();
        wire.send(&prepare);
        let _prepared = wire.reply().ok();
        for reload_number in 0..reloads {
            reload(&shop, &format!("// {reload_number}\n{POLICIES}"));
            let run = [say::bind("", "s", &[], false), say::execute("", 1), say::execute("", 0), say::sync()].concat();
            wire.send(&run);
            assert_eq!(wire.reply().ok().rows().len(), 3);
        }
        wire.send(&say::terminate());
        let _rest = wire.rest();
        drop(wire);
        let ended = until(SOON, "the session to end", || shop.broker.closed_sessions().into_iter().next());
        ended["end"]["operations"].as_u64()
    };
    assert_eq!(asked(0), Some(1));
    assert_eq!(asked(2), Some(3));
}
