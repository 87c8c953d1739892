//! In a database without tagged columns, what the broker cannot tell is a matter of policy: `sql.unknown`.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};
use sluice_tests::wire::{Reply, Wire, say};

use crate::shop::DATA;

/// This group may read, and set what cannot be told.
const SETTERS: &str = "\
    @id(\"setters-read\") permit (principal in Group::\"setters\", action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"setters-set\") permit (principal in Group::\"setters\", action in Action::\"unknown\", resource)\
    when { context has stmt && context.stmt.kind == \"set\" };\n";

/// A broker before a database of which no column is tagged, and before the same one with tags.
fn open() -> Broker {
    let database = Server::shared().database(DATA);
    let mut plain = Target::new("plain", "staging", &database);
    plain.columns.clear();
    let targets = vec![plain, Target::new("tagged", "staging", &database)];
    Broker::start(&Setup::new(targets).policy("setters.cedar", SETTERS))
}

fn wire(broker: &Broker, user: &str, group: &str, target: &str) -> Wire {
    broker.wire(user, target, &broker.token(user, group))
}

fn cell(wire: &mut Wire, sql: &str) -> String {
    wire.query(sql).ok().rows().into_iter().flatten().flatten().next().unwrap_or_default()
}

const UNTOLD: [&str; 6] = [
    "CREATE TEMP TABLE mine AS SELECT 7 AS n",
    "UPDATE mine SET n = n + 1",
    "BEGIN",
    "DECLARE c CURSOR FOR SELECT * FROM orders ORDER BY id FOR UPDATE; FETCH c",
    "UPDATE orders SET total = 0 WHERE CURRENT OF c",
    "ROLLBACK",
];

#[test]
fn what_cannot_be_told_runs_where_policy_permits_it() {
    let broker = open();
    let mut dana = wire(&broker, "dana", "dba-oncall", "plain");
    for sql in UNTOLD {
        // Writes without WHERE are refused by policy everywhere.
        let _done = dana.query(&sql.replace("n + 1", "n + 1 WHERE true")).ok();
    }
    assert_eq!(cell(&mut dana, "SELECT n FROM mine"), "8");
    dana.send(&say::extended("SELECT n FROM mine"));
    let _told = dana.reply().ok();
    broker.log_is_clean();
}

#[test]
fn an_error_of_syntax_is_the_servers_own() {
    let broker = open();
    let mut dana = wire(&broker, "dana", "dba-oncall", "plain");
    let said = dana.query("SELECT 1 FROM FROM").refused("42601");
    assert_eq!(said.message, "syntax error at or near \"FROM\"");
    assert_eq!(cell(&mut dana, "SELECT 2"), "2");
}

#[test]
fn who_may_not_run_it_is_told_what_it_was() {
    let broker = open();
    let mut dana = wire(&broker, "dana", "dba-oncall", "plain");
    let mut alice = wire(&broker, "alice", "analysts", "plain");
    let _made = dana.query("CREATE TEMP TABLE mine AS SELECT 7 AS n").ok();
    for (sql, sqlstate, message) in [
        ("SELECT n FROM mine", "42501", "a relation in the statement is not known to the broker"),
        ("SET search_path TO pg_catalog", "42501", "the setting is pinned by the broker"),
        ("SELECT 1 FROM FROM", "42601", "the statement does not parse"),
    ] {
        let said = alice.query(sql).refused(sqlstate);
        assert_eq!(said.message, message, "{sql}");
    }
    assert_eq!(cell(&mut alice, "SELECT count(*) FROM orders"), "3");
}

#[test]
fn once_names_are_uncertain_every_statement_is_a_matter_of_that_policy() {
    let broker = open();
    let mut sven = wire(&broker, "sven", "setters", "plain");
    assert_eq!(cell(&mut sven, "SELECT count(*) FROM orders"), "3");
    let _set = sven.query("SET search_path TO public").ok();
    assert_eq!(cell(&mut sven, "SELECT count(*) FROM orders"), "3");
    let _set = sven.query("SET search_path TO pg_catalog, public").ok();
    let _refused = sven.query("SELECT count(*) FROM orders").refused("42501");
    let _refused = sven.query("SELECT 1").refused("42501");
    let mut dana = wire(&broker, "dana", "dba-oncall", "plain");
    let _set = dana.query("SET search_path TO pg_catalog, public").ok();
    assert_eq!(cell(&mut dana, "SELECT count(*) FROM orders"), "3");
}

#[test]
fn settings_under_which_text_is_read_stay() {
    let broker = open();
    let mut dana = wire(&broker, "dana", "dba-oncall", "plain");
    for sql in ["SET client_encoding TO latin1", "SET standard_conforming_strings TO off", "RESET client_encoding"] {
        let said = dana.query(sql).refused("42501");
        assert_eq!(said.message, "the setting is pinned by the broker", "{sql}");
    }
}

#[test]
fn a_prepared_statement_is_read_anew_where_the_schema_changed() {
    for (target, refused) in [("plain", None), ("tagged", Some("42501"))] {
        let broker = open();
        let mut alice = wire(&broker, "alice", "analysts", target);
        alice.send(&[say::parse("s", "SELECT count(*) FROM orders"), say::sync()].concat());
        let _prepared = alice.reply().ok();
        let _prepared = alice.query("PREPARE q AS SELECT count(*) FROM orders").ok();
        let mut dana = wire(&broker, "dana", "dba-oncall", target);
        let _dropped = dana.query("DROP TABLE orders").ok();
        let _made = dana.query("CREATE TABLE orders(id int)").ok();
        assert_eq!(cell(&mut dana, "SELECT count(*) FROM orders"), "0");

        alice.send(&[say::bind("", "s", &[], false), say::execute("", 0), say::sync()].concat());
        let bound = alice.reply();
        let executed = alice.query("EXECUTE q");
        match refused {
            None => assert_eq!((bound.ok().tags().as_str(), executed.ok().tags().as_str()), ("2DCZ", "TDCZ")),
            Some(sqlstate) => {
                let _refused = (bound.refused(sqlstate), executed.refused(sqlstate));
            }
        }
    }
}

#[test]
fn a_session_may_be_given_back_as_it_began() {
    let broker = open();
    let mut alice = wire(&broker, "alice", "analysts", "plain");
    let _set = alice.query("SET extra_float_digits TO 0").ok();
    alice.send(&[say::parse("s", "SELECT 1"), say::sync()].concat());
    let _prepared = alice.reply().ok();
    let _reset = alice.query("CLOSE ALL; UNLISTEN *; RESET ALL").ok();
    assert_eq!(cell(&mut alice, "SHOW extra_float_digits"), "1");
    assert_eq!(cell(&mut alice, "SHOW search_path"), "\"public\", pg_temp");
    let _discarded = alice.query("DISCARD ALL").ok();
    // Its prepared statements are gone, and so are their names.
    alice.send(&[say::parse("s", "SELECT 2"), say::sync()].concat());
    let _prepared = alice.reply().ok();
}

/// What a session is read under.
const PINNED: &str = "SELECT current_user, session_user, current_setting('search_path'), current_setting('client_encoding'), \
    current_setting('standard_conforming_strings')";

#[test]
fn what_is_pinned_is_what_a_session_is_given_back_to() {
    let broker = open();
    let mut alice = wire(&broker, "alice", "analysts", "tagged");
    let began = alice.query(PINNED).ok().rows();
    let masked = alice.query("SELECT email FROM customers ORDER BY id").ok().rows();
    // What asyncpg's pool sends when a connection is released, and others' do.
    for reset in ["SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", "RESET ALL", "DISCARD ALL"] {
        for extended in [false, true] {
            let _set = alice.query("SET extra_float_digits TO 0; SET statement_timeout TO '1min'").ok();
            alice.send(&[say::parse("s", "SELECT 1"), say::sync()].concat());
            let _prepared = alice.reply();
            if extended && !reset.contains(';') {
                alice.send(&say::extended(reset));
                assert_eq!(alice.reply().ok().tags(), "12nCZ", "{reset}");
            } else {
                let _reset = alice.query(reset).ok();
            }
            assert_eq!(cell(&mut alice, "SHOW extra_float_digits"), "1", "{reset}");
            assert_eq!(cell(&mut alice, "SHOW statement_timeout"), "0", "{reset}");
            assert_eq!(alice.query(PINNED).ok().rows(), began, "{reset}");
            assert_eq!(alice.query("SELECT email FROM customers ORDER BY id").ok().rows(), masked, "{reset}");
            // `DISCARD ALL` takes prepared statements along, for the broker as for the server.
            alice.send(&[say::bind("", "s", &[], false), say::execute("", 0), say::sync()].concat());
            let bound = alice.reply();
            if reset == "DISCARD ALL" {
                assert!(bound.refused("26000").detail.contains("unknown-statement"), "{bound:?}");
            } else {
                assert_eq!(bound.ok().tags(), "2DCZ", "{reset}");
            }
        }
    }
}

#[test]
fn where_columns_are_tagged_no_policy_permits_it() {
    let broker = open();
    let mut dana = wire(&broker, "dana", "dba-oncall", "tagged");
    let _made = dana.query("CREATE TEMP TABLE mine AS SELECT 7 AS n").ok();
    for sql in ["SELECT n FROM mine", "SET search_path TO pg_catalog", "UPDATE orders SET total = 0 WHERE CURRENT OF c"]
    {
        let _refused = dana.query(sql).refused("42501");
    }
    let said = dana.query("SELECT 1 FROM FROM").refused("42601");
    assert_eq!(said.message, "the statement does not parse");
    assert!(said.detail.contains(r#""span":{"start":15,"end":19}"#), "{said:?}");
}

#[test]
fn names_are_spelled_so_that_no_encoding_makes_others_of_them() {
    let server = Server::shared();
    let made = "CREATE DATABASE western OWNER app TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'";
    let _made = server.admin("postgres").query(made).ok();
    let database = Database { server, name: "western".to_owned() };
    let mut setup = Setup::new(vec![Target { columns: Vec::new(), ..Target::new("western", "staging", &database) }]);
    setup.policies = vec![(
        "all.cedar".to_owned(),
        "@id(\"all\") permit (principal, action in [Action::\"connect\", Action::\"read\", Action::\"unknown\"], resource);"
            .to_owned(),
    )];
    let broker = Broker::start(&setup);
    let mut alice = broker.wire("alice", "western", &broker.token("alice", "analysts"));
    let uncertain = |reply: Reply, of: &str| {
        let said = reply.error().map(|error| error.detail).unwrap_or_default();
        assert!(said.contains("uncertain-name"), "{of}: {reply:?}");
    };
    let prepare = |name: &str| [say::parse(name, "SELECT 1"), say::sync()].concat();
    let bind = |name: &str| [say::parse("", "SELECT 1"), say::bind(name, "", &[], false), say::sync()].concat();
    let close = |name: &str| [say::named('C', 'S', name), say::sync()].concat();
    for name in ["\u{e9}".to_owned(), "x".repeat(60)] {
        for messages in [prepare(&name), bind(&name), close(&name)] {
            alice.send(&messages);
            uncertain(alice.reply(), &name);
        }
        // One that SQL made is not looked up, and no cursor is.
        let _made = alice.query(&format!("PREPARE \"{name}\" AS SELECT 1"));
        for sql in [format!("EXECUTE \"{name}\""), format!("FETCH ALL FROM \"{name}\"")] {
            uncertain(alice.query(&sql), &sql);
        }
    }
    for messages in [prepare("e"), bind(&"x".repeat(59)), close("e")] {
        alice.send(&messages);
        let _fine = alice.reply().ok();
    }
}
