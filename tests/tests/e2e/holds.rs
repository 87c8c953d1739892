//! Operations that wait for people.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use sluice_tests::clients::psql;
use sluice_tests::run::{Running, signal};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

use crate::shop::Shop;

const WRITE: &str = "UPDATE orders SET total = total + 1 WHERE id = 10";

/// The id of the request that waits, once one does.
fn waiting(shop: &Shop) -> String {
    let ids = until(SOON, "a request that waits", || {
        let ids = ids(&shop.broker.json(&["approvals", "list"]));
        (!ids.is_empty()).then_some(ids)
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.concat()
}

fn ids(holds: &[Value]) -> Vec<String> {
    holds.iter().filter_map(|hold| hold["id"].as_str().map(str::to_owned)).collect()
}

fn total(shop: &Shop) -> String {
    shop.database.truth("SELECT total FROM orders WHERE id = 10")
}

/// A client whose write waits.
fn held(shop: &Shop, sql: &str) -> (Wire, String) {
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    alice.send(&say::query(sql.as_bytes()));
    let notice = alice.frame().filter(|frame| frame.tag == 'N').map(|frame| frame.said()).unwrap_or_default();
    let id = waiting(shop);
    assert!(notice.message.contains(&id), "{notice:?}");
    (alice, id)
}

#[test]
fn psql_waits_until_a_write_is_approved_and_it_happens_once() {
    let shop = Shop::open();
    let (alice, dana) = (shop.broker.token("alice", "analysts"), shop.broker.token("dana", "dba-oncall"));
    let mut psql = Running::start(psql(&shop.broker, "alice", "shop-prod", &alice).args(["-c", WRITE]));
    let said = psql.hear("NOTICE:  waiting for approval");
    let id = waiting(&shop);
    assert!(said.contains(&id) && said.contains("dba-oncall"), "{said}");

    let shown = shop.broker.cli(&["approvals", "show", &id]).done().stdout;
    for expected in [WRITE, "user:alice", "shop-prod", "prod-write-needs-approval", "0 of 1 from dba-oncall"] {
        assert!(shown.contains(expected), "no `{expected}` in:\n{shown}");
    }
    let own = shop.broker.cli_as(&alice, &["approvals", "approve", &id]);
    assert_eq!(own.code, Some(1), "alice approved her own write: {}", own.said());
    assert_eq!(total(&shop), "99.50");
    assert!(!psql.has_ended());

    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", &id]).done();
    let seen = psql.finish(SOON).done();
    assert_eq!(seen.stdout, "UPDATE 1\n", "{}", seen.stderr);
    assert_eq!(total(&shop), "100.50");
    let again = shop.broker.cli_as(&dana, &["approvals", "approve", &id]);
    assert_eq!(again.code, Some(1), "it was approved twice: {}", again.said());
    assert!(shop.broker.json(&["approvals", "list"]).is_empty());
    shop.broker.log_is_clean();
}

#[test]
fn an_approval_is_for_one_execution() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let (mut alice, id) = held(&shop, WRITE);
    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", &id]).done();
    assert_eq!(alice.reply().ok().completed().as_deref(), Some("UPDATE 1"));
    alice.send(&say::query(WRITE.as_bytes()));
    let second = waiting(&shop);
    assert_ne!(id, second);
    let _denied = shop.broker.cli_as(&dana, &["approvals", "deny", &second]).done();
    let reply = alice.reply();
    let _refused = reply.refused("42501");
    assert_eq!((total(&shop).as_str(), reply.status()), ("100.50", Some('I')));
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn nobody_is_asked_to_approve_data_that_is_still_to_come() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    let before = shop.contents();
    let copy = "COPY orders (id, customer_id, total) FROM STDIN";
    for sent in [say::query(copy.as_bytes()), say::query(format!("SELECT 1; {copy}").as_bytes()), say::extended(copy)] {
        alice.send(&sent);
        let reply = alice.reply();
        let refused = reply.refused("42501");
        assert!(refused.detail.contains("copy-unseen") && refused.hint.contains("INSERT"), "{refused:?}");
        assert!(reply.notices().is_empty(), "{reply:?}");
    }
    assert!(shop.broker.json(&["approvals", "list"]).is_empty());
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    assert_eq!(shop.contents(), before);
}

#[test]
fn ctrl_c_withdraws() {
    let shop = Shop::open();
    let (alice, dana) = (shop.broker.token("alice", "analysts"), shop.broker.token("dana", "dba-oncall"));
    let psql = Running::start(psql(&shop.broker, "alice", "shop-prod", &alice).args(["-c", WRITE]));
    let _heard = psql.hear("waiting for approval");
    let id = waiting(&shop);
    signal(psql.pid(), "INT");
    let _heard = psql.hear("ERROR:");
    assert!(shop.broker.json(&["approvals", "list"]).is_empty());
    let late = shop.broker.cli_as(&dana, &["approvals", "approve", &id]);
    assert_eq!(late.code, Some(1), "{}", late.said());
    assert_eq!(psql.finish(SOON).code, Some(1));
    assert_eq!(total(&shop), "99.50");
}

#[test]
fn a_cancel_request_withdraws_and_the_session_goes_on() {
    let shop = Shop::open();
    let (mut alice, _) = held(&shop, WRITE);
    let (process, secret) = alice.key.clone().unwrap_or_default();
    let mut cancel = Wire::tcp(shop.broker.port());
    cancel.send(&say::cancel(process, &secret));
    assert_eq!(cancel.frame(), None);
    let reply = alice.reply();
    let _withdrawn = reply.refused("57014");
    assert_eq!(reply.status(), Some('I'));
    assert!(shop.broker.json(&["approvals", "list"]).is_empty());
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    assert_eq!(total(&shop), "99.50");
}

#[test]
fn a_client_that_leaves_withdraws() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let (alice, id) = held(&shop, WRITE);
    drop(alice);
    until(SOON, "the request to be withdrawn", || shop.broker.json(&["approvals", "list"]).is_empty().then_some(()));
    assert_eq!(shop.broker.cli_as(&dana, &["approvals", "approve", &id]).code, Some(1));
    assert_eq!(total(&shop), "99.50");
}

#[test]
fn a_client_that_leaves_more_behind_than_is_read_withdraws() {
    let shop = Shop::open();
    let (mut alice, _) = held(&shop, WRITE);
    // What its machine keeps of it hides the end of the connection.
    alice.send(&say::extended("SELECT 1").repeat(50_000));
    drop(alice);
    until(SOON, "the request to be withdrawn", || shop.broker.json(&["approvals", "list"]).is_empty().then_some(()));
    assert_eq!(total(&shop), "99.50");
}

#[test]
fn nobody_answers_in_time() {
    let shop = Shop::with(|setup| setup.more("limits: { hold_seconds: 1 }"));
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    let reply = alice.query(WRITE);
    assert_eq!(reply.notices().len(), 1, "{reply:?}");
    let _expired = reply.refused("42501");
    assert_eq!((total(&shop).as_str(), reply.status()), ("99.50", Some('I')));
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn what_waits_in_a_transaction_and_a_pipeline_keeps_its_place() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    let _begun = alice.query("BEGIN").ok();
    let bytes =
        [say::extended("SELECT 1"), say::extended(WRITE), say::extended("SELECT total FROM orders WHERE id = 10")];
    alice.send(&bytes.concat());
    // A notice comes when it comes.
    assert_eq!(alice.reply().ok().tags().replace('N', ""), "12TDCZ");
    let id = waiting(&shop);
    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", &id]).done();
    let reply = alice.reply().ok();
    assert_eq!((reply.completed().as_deref(), reply.status()), (Some("UPDATE 1"), Some('T')));
    assert_eq!(alice.reply().ok().rows(), [[Some("100.50".to_owned())]]);
    let _done = alice.query("COMMIT").ok();
    assert_eq!(total(&shop), "100.50");
}

#[test]
fn an_approval_covers_the_bound_values() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    let prepare = [say::parse("w", "UPDATE orders SET total = 0 WHERE id = $1"), say::sync()];
    alice.send(&prepare.concat());
    assert_eq!(alice.reply().ok().tags(), "1Z");
    let with =
        |value: &str| [say::bind("", "w", &[value.as_bytes()], false), say::execute("", 0), say::sync()].concat();
    alice.send(&with("10"));
    let id = waiting(&shop);
    let shown = shop.broker.cli(&["approvals", "show", &id]).done().stdout;
    assert!(shown.contains("10"), "{shown}");
    let _approved = shop.broker.cli_as(&dana, &["approvals", "approve", &id]).done();
    assert_eq!(alice.reply().ok().completed().as_deref(), Some("UPDATE 1"));
    alice.send(&with("11"));
    let other = waiting(&shop);
    let _denied = shop.broker.cli_as(&dana, &["approvals", "deny", &other]).done();
    let _refused = alice.reply().refused("42501");
    assert_eq!(shop.database.truth("SELECT string_agg(total::text, ',' ORDER BY id) FROM orders"), "0,12.00,7.25");
}

#[test]
fn approvers_see_binary_values_by_their_meaning() {
    let shop = Shop::open();
    let dana = shop.broker.token("dana", "dba-oncall");
    let mut alice = shop.broker.wire("alice", "shop-prod", &shop.broker.token("alice", "analysts"));
    let text = b"w\0UPDATE orders SET total = $1 WHERE id = $2\0\0\x02\0\0\0\x17\0\0\0\x17";
    alice.send(&[say::message('P', text), say::sync()].concat());
    let _prepared = alice.reply().ok();
    let mut seen = Vec::new();
    for amount in [16_744_576_i32, 8_421_504] {
        let values = [&amount.to_be_bytes()[..], &10_i32.to_be_bytes()];
        let bytes = [say::bind("", "w", &values, false), say::sync()].concat();
        // The formats of its values, which `bind` leaves out.
        let bytes = with_binary_values(&bytes);
        alice.send(&bytes);
        let id = waiting(&shop);
        let hold = shop.broker.json(&["approvals", "list"]).remove(0);
        let bound = hold["bound"].as_str().unwrap_or_default().to_owned();
        assert!(bound.contains(&format!("$1 int4 = '{amount}', binary ")), "{bound}");
        assert!(bound.contains("$2 int4 = '10', binary \\x0000000a"), "{bound}");
        let shown = shop.broker.cli(&["approvals", "show", &id]).done().stdout;
        assert!(
            shown.contains(&bound.lines().collect::<Vec<_>>().join("\n    ")) && !shown.contains('\u{fffd}'),
            "{shown}"
        );
        seen.push(bound);
        let _denied = shop.broker.cli_as(&dana, &["approvals", "deny", &id]).done();
        let _refused = alice.reply().refused("42501");
    }
    assert_ne!(seen[0], seen[1]);
}

/// A `Bind` of unnamed portal to `w`, followed by `Sync`, with its values said to be binary.
fn with_binary_values(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[5..bytes.len() - 5];
    assert_eq!(&body[..5], b"\0w\0\0\0");
    let body = [b"\0w\0\0\x01\0\x01", &body[5..]].concat();
    [say::message('B', &body), say::sync()].concat()
}

#[test]
fn an_answer_needs_somebody_who_may_give_it() {
    let shop = Shop::open();
    let (alice, id) = held(&shop, WRITE);
    let sue = shop.broker.token("sue", "support");
    assert_eq!(shop.broker.cli_as(&sue, &["approvals", "approve", &id]).code, Some(1));
    assert_eq!(shop.broker.cli_as("nonsense", &["approvals", "approve", &id]).code, Some(1));
    let nobody = shop.broker.cli(&["approvals", "approve", &id]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.said());
    // An agent of the one who may.
    let agent = shop.broker.mint(&["--user", "dana", "--group", "dba-oncall", "--agent", "robo"]);
    let by_agent = shop.broker.cli_as(&agent, &["approvals", "approve", &id]);
    assert_eq!(by_agent.code, Some(1), "{}", by_agent.said());
    assert_eq!(total(&shop), "99.50");
    drop(alice);
}
