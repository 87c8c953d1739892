//! Protected values are masked for every client, in every format.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::clients::{psql, python};
use sluice_tests::database::{Database, ROLE, Server};
use sluice_tests::run::run;
use sluice_tests::wire::say;

use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn psql_sees_masks() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let mut psql = psql(&shop.broker, "alice", "shop", &alice);
    let seen = run(psql.args(["-c", "SELECT * FROM customers ORDER BY id", "-c", "TABLE orders"]), SOON).done();
    let expected =
        "1|Alice|***|***|vip\n2|Bob|***|***|\n3|Carol|***|***|late payer\n10|1|99.50\n11|1|12.00\n12|3|7.25\n";
    assert_eq!(seen.stdout, expected, "{}", seen.stderr);
    Scan::default().none_in("what psql said", seen.said().as_bytes());
    shop.broker.log_is_clean();
}

#[test]
fn psql_describes_tables() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let mut psql = psql(&shop.broker, "alice", "shop", &alice);
    let commands = [
        "-c",
        "\\d",
        "-c",
        "\\d customers",
        "-c",
        "\\d orders",
        "-c",
        "\\dt+",
        "-c",
        "\\dn",
        "-c",
        "\\l",
        "-c",
        "\\conninfo",
    ];
    let seen = run(psql.args(commands), SOON).done();
    for expected in ["customers", "orders", "customer_id", "integer", "public"] {
        assert!(seen.stdout.contains(expected), "no `{expected}` in:\n{}", seen.said());
    }
    assert!(!seen.said().contains("ERROR"), "{}", seen.said());
}

#[test]
fn groups_see_as_much_as_policy_reveals() {
    let shop = Shop::open();
    let sql = "SELECT email, ssn FROM customers WHERE id = 1";
    for (user, group, email, ssn) in [
        ("alice", "analysts", "***", "***"),
        ("sue", "support", "***.com", "***"),
        ("dana", "dba-oncall", "zq7x.k1@leak.example.com", "900-55-0001"),
    ] {
        let mut wire = shop.broker.wire(user, "shop", &shop.broker.token(user, group));
        let rows = wire.query(sql).ok().rows();
        assert_eq!(rows, [[Some(email.to_owned()), Some(ssn.to_owned())]], "{user}");
    }
}

/// What a cursor shows was ruled on when it was declared.
#[test]
fn a_cursor_shows_what_its_declaration_was_allowed() {
    let shop = Shop::open();
    for (user, group, email) in [("alice", "analysts", "***"), ("dana", "dba-oncall", "zq7x.k1@leak.example.com")] {
        let mut wire = shop.broker.wire(user, "shop", &shop.broker.token(user, group));
        let _begun = wire.query("BEGIN; DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id").ok();
        assert_eq!(wire.query("FETCH 1 FROM c").ok().rows(), [[Some(email.to_owned())]], "{user}");
        assert_eq!(wire.query("COMMIT").ok().status(), Some('I'));
        // So it is with a portal of the protocol, and with a cursor that outlives its transaction; a portal that reads shows no
        // more than its own cursor does.
        let _begun = wire.query("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT email FROM customers ORDER BY id").ok();
        let select = "SELECT email FROM customers ORDER BY id";
        wire.send(&[say::parse("", select), say::bind("p", "", &[], false), say::sync()].concat());
        let _bound = wire.reply().ok();
        assert_eq!(wire.query("FETCH 1 FROM p").ok().rows(), [[Some(email.to_owned())]], "{user}");
        assert_eq!(wire.query("COMMIT").ok().status(), Some('I'));
        let described = [say::parse("", "FETCH 1 FROM h"), say::bind("", "", &[], false), say::named('D', 'P', "")];
        wire.send(&[described.concat(), say::execute("", 0), say::sync()].concat());
        assert_eq!(wire.reply().ok().rows(), [[Some(email.to_owned())]], "{user}");
        assert_eq!(wire.query("CLOSE h; SELECT 1").ok().status(), Some('I'));
    }
}

#[test]
fn a_connection_goes_back_to_its_pool_as_it_began() {
    let shop = Shop::open();
    let seen = python(&shop.broker, "pool.py", "alice", "shop", &shop.broker.token("alice", "analysts"));
    let pooled = seen["pooled"].as_array().cloned().unwrap_or_default();
    assert!(pooled.len() == 3 && pooled.iter().all(|once| *once == pooled[0]), "{seen}");
    assert_eq!(
        pooled[0].as_array().map(|once| &once[1..]),
        Some(&[json!("1"), json!("\"public\", pg_temp"), json!("***")][..])
    );
    assert_eq!(seen["discarded"], json!([["1", "***"], ["1", "***"]]));
    shop.broker.log_is_clean();
}

#[test]
fn drivers_see_masks_in_text_and_binary() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let seen = python(&shop.broker, "drivers.py", "alice", "shop", &alice);
    Scan::default().none_in("what the drivers saw", seen.to_string().as_bytes());
    let expected = json!([
        [1, "Alice", "***", "***", "vip"],
        [2, "Bob", "***", "***", null],
        [3, "Carol", "***", "***", "late payer"],
    ]);
    for driver in ["psycopg text", "psycopg binary", "psycopg2", "asyncpg"] {
        let seen = &seen[driver];
        assert_eq!(seen["rows"], expected, "{driver}");
        assert_eq!(seen["by_value"], json!([[2, "***"]]), "{driver}");
        assert_eq!(seen["refusal"]["sqlstate"], "42501", "{driver}");
        let detail: Value =
            serde_json::from_str(seen["refusal"]["detail"].as_str().unwrap_or_default()).unwrap_or_default();
        assert_eq!(detail["rule"], "only-dba-defines", "{driver}: {seen}");
        assert_eq!(seen["refusal"]["hint"], "Open a change for the on-call DBA.", "{driver}");
        assert_eq!(seen["after"], 3, "{driver}");
    }
    shop.broker.log_is_clean();
}

#[test]
fn a_masked_column_in_a_condition_is_refused_by_name_unless_policy_permits_it() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let said = alice.query("SELECT id FROM customers WHERE ssn = '900-55-0001'").refused("42501");
    let words = format!("{} {}", said.message, said.hint);
    assert!(words.contains("ssn") && words.contains("filter"), "{said:?}");
    let mut sue = shop.broker.wire("sue", "shop", &shop.broker.token("sue", "support"));
    let said = sue.query("SELECT id FROM customers WHERE ssn = '900-55-0001'").refused("42501");
    assert!(said.message.contains("ssn"), "{said:?}");
}

#[test]
fn errors_do_not_quote_protected_values() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    for sql in [
        "SELECT email::int FROM customers",
        "INSERT INTO customers VALUES (1, 'x', 'y', 'z', NULL)",
        "UPDATE customers SET id = NULL WHERE id = 1",
        "SELECT ('\"' || ssn)::json FROM customers",
    ] {
        let reply = alice.query(sql);
        assert!(reply.error().is_some() || !reply.rows().is_empty(), "{sql}: {}", reply.tags());
        assert_eq!(reply.status(), Some('I'), "{sql}");
    }
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn a_name_means_what_it_means_in_the_servers_own_encoding() {
    let server = Server::shared();
    let made = "CREATE DATABASE latin OWNER app TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'";
    let _made = server.admin("postgres").query(made).ok();
    let database = Database { server, name: "latin".to_owned() };
    // 63 bytes in the server's encoding; in UTF-8 one more, which would be cut off with what it belongs to.
    let short = "x".repeat(62);
    let long = format!("{short}\u{e9}");
    let mut direct = server.direct(ROLE, "latin");
    let _set = direct.query("SET client_encoding TO UTF8").ok();
    let _filled = direct
        .query(&format!(
            "CREATE TABLE {long}(email text); CREATE TABLE {short}(email text); \
             INSERT INTO {long} VALUES ('zq7x.k1@leak.example.com'); CREATE TABLE \u{e4}(email text)"
        ))
        .ok();
    let columns = [(format!("public.{long}.email"), "pii.contact".to_owned())].into_iter().collect();
    let mut setup = Setup::new(vec![Target { columns, ..Target::new("latin", "staging", &database) }]);
    setup.policies = vec![(
        "all.cedar".to_owned(),
        "@id(\"all\") permit (principal, action in [Action::\"connect\", Action::\"read\"], resource);".to_owned(),
    )];
    let broker = Broker::start(&setup);
    let mut alice = broker.wire("alice", "latin", &broker.token("alice", "analysts"));
    for sql in [
        format!("SELECT email FROM {long}"),
        format!("SELECT email FROM \"{long}\""),
        "SELECT email FROM \u{c4}".to_owned(),
    ] {
        let reply = alice.query(&sql);
        Scan::default().none_in(&sql, &alice.heard);
        assert_eq!(reply.refused("42501").message, "a name in the statement may be another at the server", "{sql}");
    }
    for sql in [
        format!("SELECT email FROM {short}"),
        "SELECT email FROM \u{e4}".to_owned(),
        "SELECT '\u{c4}\u{c4}', 1 AS \"\u{c4}\"".to_owned(),
    ] {
        let _seen = alice.query(&sql).ok();
    }
}
