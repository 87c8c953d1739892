//! A refusal says where, what would pass, and by which decision; `sluice policy explain` tells the rest of that.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::clients::psql;
use sluice_tests::run::run;

use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(30);

/// Naps are short, and everybody may know.
const NAPS: &str = "\
    @id(\"naps\") @explain(\"public\") permit (principal in Group::\"analysts\", action == Action::\"sql.call\",\
    resource == Function::\"shop/pg_catalog/pg_sleep\") when { !context.stmt.has_where && context.stmt.kind == \"select\" };\n\
    @id(\"quiet\") permit (principal in Group::\"analysts\", action == Action::\"sql.call\",\
    resource == Function::\"shop/pg_catalog/pg_sleep\") when { context.stmt.kind == \"delete\" };\n";

fn detail(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[test]
fn psql_points_at_what_is_refused() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let mut psql = psql(&shop.broker, "alice", "shop", &alice);
    let seen = run(psql.args(["-c", "SELECT 'é',\n  id FROM orders WHERE pg_sleep(0) IS NULL"]), SOON);
    assert!(seen.stderr.contains("LINE 2:   id FROM orders WHERE pg_sleep(0) IS NULL"), "{}", seen.said());
    let lines: Vec<&str> = seen.stderr.lines().collect();
    let caret = lines.iter().find_map(|line| line.find('^')).unwrap_or_default();
    let at = lines.iter().find_map(|line| line.find("pg_sleep(0)")).unwrap_or_default();
    assert_eq!(caret, at, "{}", seen.said());
}

#[test]
fn a_refusal_says_where_and_which_public_permit_comes_nearest() {
    let shop = Shop::with(|setup| setup.policy("naps.cedar", NAPS));
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let said = alice.query("SELECT id FROM orders WHERE pg_sleep(0) IS NULL").refused("42501");
    let detail = detail(&said.detail);
    assert_eq!(detail["span"], json!({ "start": 29, "end": 37 }), "{detail}");
    assert_eq!(detail["nearest"], json!([{ "rule": "naps", "unmet": ["!context.stmt.has_where"] }]));
    // A masked column in a condition is pointed at, too.
    let said = alice.query("SELECT count(*) FROM customers WHERE ssn = 'x'").refused("42501");
    assert_eq!(self::detail(&said.detail)["span"], json!({ "start": 38, "end": 41 }), "{}", said.detail);
}

#[test]
fn a_decision_is_explained_by_its_id() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _fine = alice.query("SELECT 1").ok();
    let said = alice.query("SELECT count(*) FROM customers WHERE ssn = 'x'").refused("42501");
    let id = detail(&said.detail)["decision"].as_str().unwrap_or_default().to_owned();
    let told = shop.broker.cli(&["policy", "explain", &id, "--output", "json"]);
    assert_eq!(told.code, Some(1), "{}", told.said());
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
    assert_eq!(told["decision"], id.as_str());
    assert_eq!((&told["verdict"], &told["rules"]), (&json!("deny"), &json!(["masked-filter"])));
    assert_eq!(told["text"], "SELECT count(*) FROM customers WHERE ssn = 'x'");
    assert_eq!(told["principal"], json!([{ "name": "user:alice", "groups": ["analysts"] }]));
    assert_eq!(told["target"], "shop");
    let exposed = told["exposures"].to_string();
    assert!(exposed.contains("\"filter\"") && exposed.contains("\"ssn\""), "{exposed}");
    assert_eq!(told["now"]["decision"]["verdict"], "deny", "{told}");
    assert_eq!(told["now"]["decision"]["rule"], "masked-filter", "{told}");

    let told = shop.broker.cli(&["policy", "explain", &id]);
    for expected in [
        "deny by masked-filter",
        "user:alice (analysts)",
        "filter public.customers.ssn",
        "policies of the configuration now",
    ] {
        assert!(told.stdout.contains(expected), "no `{expected}` in:\n{}", told.said());
    }
}

#[test]
fn a_decision_that_is_not_there_is_no_decision() {
    let shop = Shop::open();
    for (id, expected) in [("d-00000000-1", "no recording has the decision"), ("orders", "not the id of a decision")] {
        let told = shop.broker.cli(&["policy", "explain", id]);
        assert!(told.code != Some(0) && told.stderr.contains(expected), "{}", told.said());
    }
    let told = shop.broker.cli(&["policy", "explain"]);
    assert!(told.code != Some(0) && told.stderr.contains("--user <NAME>"), "{}", told.said());
}
