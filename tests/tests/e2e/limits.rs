//! Limits that policies set: on the time of a statement, and what becomes of one whose rest nobody may see.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

const ALL: &str = "@id(\"all\") permit (principal in Group::\"analysts\", action, resource);\n";
const BRIEF: &str = "\
    @id(\"brief\") @timeout(\"1s\") permit (principal in Group::\"analysts\", action in [Action::\"sql.read\", Action::\"sql.call\", Action::\"sql.copy_out\"], resource);\n\
    @id(\"briefer\") @timeout(\"1h\") permit (principal in Group::\"analysts\", action == Action::\"sql.read\", resource);\n";
const FEW: &str = "\
    @id(\"few\") @max_rows(\"2\") permit (principal in Group::\"analysts\", action == Action::\"sql.read\", resource);\n";
/// More than any machine counts while a test runs.
const ENDLESS: &str = "SELECT count(*) FROM people, generate_series(1, 1000000) a, generate_series(1, 1000000) b";
/// As many rows, as soon as they are there.
const FLOOD: &str =
    "SELECT a.n FROM (SELECT id AS n FROM people) a, generate_series(1, 1000000) b, generate_series(1, 1000000) c";

fn people(limits: &str) -> (Broker, Database) {
    let database = Server::shared().database("CREATE TABLE people(id int); INSERT INTO people VALUES (1), (2), (3)");
    let mut setup = Setup::new(vec![Target::new("people", "staging", &database)]);
    setup.targets.iter_mut().for_each(|target| target.columns.clear());
    setup.policies = vec![("all.cedar".to_owned(), ALL.to_owned()), ("limits.cedar".to_owned(), limits.to_owned())];
    (Broker::start(&setup), database)
}

fn alice(broker: &Broker) -> Wire {
    broker.wire("alice", "people", &broker.token("alice", "analysts"))
}

fn unnamed(sql: &str) -> Vec<u8> {
    [say::parse("", sql), say::bind("", "", &[], false), say::execute("", 0)].concat()
}

/// Until the server does nothing for the session any more.
fn is_quiet(database: &Database) {
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name LIKE 'sluice %' \
                  AND datname = current_database()";
    until(SOON, "the server to stop", || (database.truth(active).trim() == "0").then_some(()));
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled_at_the_server() {
    let (broker, database) = people(BRIEF);
    let mut alice = alice(&broker);
    for sql in
        [ENDLESS, "SELECT pg_sleep(600)", &format!("COPY ({ENDLESS}) TO STDOUT"), &format!("SELECT 1; {ENDLESS}")]
    {
        let said = alice.query(sql).refused("57014");
        assert!(said.message.contains("longer than policy allows (1s)"), "{said:?}");
        assert!(said.detail.contains("statement-timeout"), "{said:?}");
        is_quiet(&database);
        assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    }
    // What the client sets is the server's own matter.
    let _set = alice.query("SET statement_timeout = 0").ok();
    alice.send(&[unnamed(ENDLESS), say::sync()].concat());
    assert!(alice.reply().refused("57014").detail.contains("statement-timeout"));
    let _begun = alice.query("BEGIN").ok();
    let _late = alice.query(ENDLESS).refused("57014");
    let _aborted = alice.query("SELECT 1").refused("25P02");
    assert_eq!(alice.query("ROLLBACK").ok().status(), Some('I'));
    drop(alice);
    let sessions = broker.closed_sessions();
    let id = sessions.first().and_then(|session| session["id"].as_str().map(str::to_owned)).unwrap_or_default();
    let replay = broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    assert!(replay.contains("statement-timeout"), "{replay}");
    broker.log_is_clean();
}

#[test]
fn what_is_sent_behind_a_late_statement_is_not_met() {
    let (broker, database) = people(BRIEF);
    let mut alice = alice(&broker);
    let one = [unnamed("SELECT id FROM people LIMIT 1"), say::sync()].concat();
    alice.send(&[unnamed(ENDLESS), say::sync(), one.clone(), say::query(b"SELECT 7"), one].concat());
    let _late = alice.reply().refused("57014");
    assert_eq!(alice.reply().tags(), "12DCZ");
    assert_eq!(alice.reply().ok().rows(), [[Some("7".to_owned())]]);
    assert_eq!(alice.reply().tags(), "12DCZ");
    is_quiet(&database);
}

#[test]
fn statements_that_are_sent_together_have_their_own_time_each() {
    let (broker, _database) = people(BRIEF);
    let mut alice = alice(&broker);
    let naps: Vec<u8> = std::iter::repeat_n(unnamed("SELECT pg_sleep(0.1)"), 20).flatten().collect();
    alice.send(&[naps, say::sync()].concat());
    assert_eq!(alice.reply().ok().tags(), format!("{}Z", "12DC".repeat(20)));
}

#[test]
fn nobody_computes_what_is_over_the_limit_of_rows() {
    let (broker, database) = people(FEW);
    let mut alice = alice(&broker);
    for round in 0..20 {
        let seven = [unnamed("SELECT 7"), say::sync()].concat();
        let behind = [unnamed(FLOOD), say::sync(), seven.clone(), say::query(FLOOD.as_bytes()), seven].concat();
        alice.send(&behind);
        for _ in 0..2 {
            let reply = alice.reply();
            assert_eq!(reply.rows().len(), 2, "round {round}");
            assert!(reply.refused("54000").detail.contains("result-limit"));
            assert_eq!(alice.reply().tags(), "12DCZ", "round {round}");
        }
    }
    is_quiet(&database);
    // What was written stays: whether it had been done when the rest was cut off, nobody could tell.
    let written = alice.query("UPDATE people SET id = id RETURNING id");
    assert!(written.refused("54000").hint.contains("carried out"));
}

#[test]
fn what_a_cursor_shows_counts_on_the_limits_it_was_declared_under() {
    let (broker, database) = people(FEW);
    let mut wire = alice(&broker);
    let declare = "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM people ORDER BY id";
    let fetch = |by_message: bool| {
        let sql = "FETCH 1 FROM c";
        if by_message { [unnamed(sql), say::sync()].concat() } else { say::query(sql.as_bytes()) }
    };
    for ways in [[false, false, false], [true, true, true], [false, true, false]] {
        let _declared = wire.query(&format!("BEGIN; {declare}; COMMIT")).ok();
        let replies = ways.map(|by_message| {
            wire.send(&fetch(by_message));
            wire.reply()
        });
        assert_eq!(replies.each_ref().map(|reply| reply.rows().len()), [1, 1, 0], "{ways:?}");
        assert!(replies.last().is_some_and(|reply| reply.refused("54000").detail.contains("result-limit")));
        let _closed = wire.query("CLOSE c").ok();
    }
    // A row counts once where the cursor is declared and read in one text.
    let whole = wire.query(&format!("BEGIN; {declare}; FETCH 2 FROM c; CLOSE c; COMMIT")).ok();
    assert_eq!(whole.rows().len(), 2);
    assert_eq!(wire.query(&format!("BEGIN; {declare}; FETCH 3 FROM c")).rows().len(), 2);
    let _over = wire.query("ROLLBACK").ok();
    // A portal counts what SQL fetches from it with what it shows itself.
    let _begun = wire.query("BEGIN").ok();
    let portal = [say::parse("", "SELECT id FROM people"), say::bind("p", "", &[], false), say::execute("p", 1)];
    wire.send(&[portal.concat(), say::sync()].concat());
    let _first = wire.reply().ok();
    let rest = wire.query("FETCH ALL FROM p");
    assert_eq!(rest.rows().len(), 1);
    assert!(rest.refused("54000").detail.contains("result-limit"));
    let _over = wire.query("ROLLBACK").ok();
    is_quiet(&database);
}

#[test]
fn what_reads_from_a_cursor_takes_no_longer_than_the_cursor_may() {
    let (broker, database) = people(BRIEF);
    let mut wire = alice(&broker);
    for read in ["FETCH c", "MOVE c"] {
        for messages in [say::query(read.as_bytes()), [unnamed(read), say::sync()].concat()] {
            let _declared = wire.query(&format!("BEGIN; DECLARE c CURSOR FOR {ENDLESS}")).ok();
            wire.send(&messages);
            assert!(wire.reply().refused("57014").detail.contains("statement-timeout"), "{read}");
            is_quiet(&database);
            let _over = wire.query("ROLLBACK").ok();
        }
    }
}
