//! `PREPARE`, `EXECUTE` and `DEALLOCATE` through the extended protocol: names are those of the protocol's own statements.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};
use sluice_tests::wire::{Reply, Wire, say};

use crate::shop::DATA;

fn open() -> (Broker, Database) {
    let database = Server::shared().database(DATA);
    let mut plain = Target::new("plain", "staging", &database);
    plain.columns.clear();
    let targets = vec![plain, Target::new("tagged", "staging", &database)];
    (Broker::start(&Setup::new(targets)), database)
}

fn alice(broker: &Broker, target: &str) -> Wire {
    broker.wire("alice", target, &broker.token("alice", "analysts"))
}

/// Unnamed statement and portal, without `Sync`.
fn run(sql: &str) -> Vec<u8> {
    [say::parse("", sql), say::bind("", "", &[], false), say::execute("", 0)].concat()
}

/// Statements through the extended protocol, in one batch.
fn batch(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|sql| run(sql)).chain(say::sync()).collect()
}

fn named(name: &str) -> Vec<u8> {
    [say::bind("", name, &[], false), say::execute("", 0), say::sync()].concat()
}

/// Batches, each of which ends with one `ReadyForQuery`.
fn conversations() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let query = |sql: &str| say::query(sql.as_bytes());
    let parse = |name: &str, sql: &str| [say::parse(name, sql), say::sync()].concat();
    vec![
        (
            "made, run and dropped in batches of their own",
            vec![
                batch(&["PREPARE q AS SELECT 7"]),
                batch(&["EXECUTE q"]),
                batch(&["DEALLOCATE q"]),
                batch(&["EXECUTE q"]),
            ],
        ),
        (
            "in one batch",
            vec![batch(&["PREPARE q AS SELECT 7", "EXECUTE q", "DEALLOCATE q", "PREPARE q AS SELECT 8", "EXECUTE q"])],
        ),
        (
            "with values",
            vec![batch(&["PREPARE q(int) AS SELECT $1 + 1"]), batch(&["EXECUTE q(4)"]), query("EXECUTE q(5)")],
        ),
        ("one namespace", vec![batch(&["PREPARE q AS SELECT 7"]), parse("q", "SELECT 8"), query("EXECUTE q")]),
        (
            "of the protocol, run and dropped by SQL",
            vec![
                parse("s", "SELECT 9"),
                batch(&["EXECUTE s"]),
                batch(&["DEALLOCATE s"]),
                named("s"),
                batch(&["EXECUTE s"]),
            ],
        ),
        (
            "closed by the protocol",
            vec![
                batch(&["PREPARE q AS SELECT 7"]),
                [say::named('C', 'S', "q"), say::sync()].concat(),
                batch(&["EXECUTE q"]),
                batch(&["PREPARE q AS SELECT 8", "EXECUTE q"]),
            ],
        ),
        (
            "all dropped",
            vec![
                batch(&["PREPARE q AS SELECT 7"]),
                parse("s", "SELECT 9"),
                batch(&["DEALLOCATE ALL"]),
                batch(&["EXECUTE q"]),
                named("s"),
                batch(&["PREPARE q AS SELECT 8", "EXECUTE q"]),
            ],
        ),
        (
            "not undone with the transaction",
            vec![
                batch(&["BEGIN", "PREPARE q AS SELECT 7", "ROLLBACK"]),
                batch(&["EXECUTE q"]),
                batch(&["BEGIN", "DEALLOCATE q", "ROLLBACK"]),
                batch(&["EXECUTE q"]),
                batch(&["PREPARE q AS SELECT 8", "SELECT 1/0", "DEALLOCATE q"]),
                batch(&["EXECUTE q"]),
            ],
        ),
        (
            "not made by what fails",
            vec![
                batch(&["SELECT 1/0", "PREPARE q AS SELECT 7"]),
                batch(&["EXECUTE q"]),
                batch(&["PREPARE q AS SELECT 7"]),
                batch(&["PREPARE q AS SELECT 8"]),
                batch(&["EXECUTE q"]),
            ],
        ),
        (
            "a named portal performs it once, when it is executed",
            vec![
                query("BEGIN"),
                [say::parse("p", "PREPARE q AS SELECT 7"), say::bind("c", "p", &[], false), say::sync()].concat(),
                [say::execute("c", 0), say::sync()].concat(),
                batch(&["EXECUTE q"]),
                [say::execute("c", 0), say::sync()].concat(),
                query("ROLLBACK"),
                query("EXECUTE q"),
            ],
        ),
    ]
}

/// Cursors of SQL, and portals of the protocol under the same names.
fn cursors() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let query = |sql: &str| say::query(sql.as_bytes());
    let declare = "DECLARE c CURSOR FOR SELECT generate_series(1, 9)";
    let seven = || [say::parse("", "SELECT 7"), say::bind("c", "", &[], false), say::sync()].concat();
    let described = || [say::named('D', 'P', "c"), say::sync()].concat();
    vec![
        (
            "read forwards and backwards, by both protocols",
            vec![
                query("BEGIN"),
                query("DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 9)"),
                batch(&["FETCH 2 FROM c", "MOVE 3 IN c", "FETCH NEXT FROM c"]),
                query("FETCH BACKWARD 2 FROM c; MOVE FIRST IN c; FETCH ALL FROM c"),
                described(),
                [say::parse("f", "FETCH ABSOLUTE 4 FROM c"), say::named('D', 'S', "f"), say::sync()].concat(),
                [say::bind("", "f", &[], false), say::named('D', 'P', ""), say::execute("", 0), say::sync()].concat(),
                batch(&["CLOSE c"]),
                query("FETCH c"),
                query("ROLLBACK"),
            ],
        ),
        (
            "gone with a savepoint, and the name free again",
            vec![
                query("BEGIN; SAVEPOINT s"),
                query(declare),
                query("ROLLBACK TO s"),
                seven(),
                query("FETCH c"),
                query("COMMIT"),
            ],
        ),
        (
            "held beyond the transaction",
            vec![
                query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 9); COMMIT"),
                query("FETCH 2 FROM c"),
                query("BEGIN"),
                query(declare),
                query("ROLLBACK"),
                query("FETCH 2 FROM c"),
                query("CLOSE ALL"),
                query("FETCH 2 FROM c"),
            ],
        ),
        (
            "a portal of the same name",
            vec![
                query("BEGIN"),
                seven(),
                query("FETCH c"),
                query("CLOSE c"),
                query(declare),
                query("FETCH 2 FROM c"),
                [say::named('C', 'P', "c"), say::sync()].concat(),
                seven(),
                query("FETCH c"),
                query("ROLLBACK"),
                query("BEGIN"),
                query(declare),
                seven(),
                query("ROLLBACK"),
            ],
        ),
        (
            "not made by what fails",
            vec![
                query("BEGIN; DECLARE c CURSOR FOR SELECT 1 / 0; SAVEPOINT s"),
                query("FETCH c"),
                query("ROLLBACK TO s; FETCH c"),
                query("ROLLBACK"),
                query("BEGIN; SELECT 1 / 0; DECLARE c CURSOR FOR SELECT 7"),
                query("ROLLBACK"),
                query("BEGIN"),
                query("FETCH c"),
                query("ROLLBACK"),
                query(declare),
            ],
        ),
    ]
}

/// What came of a batch. What the broker does not know it refuses when it is prepared, in its own words.
fn outcome(reply: &Reply) -> (Vec<Vec<Option<String>>>, bool, Option<char>) {
    (reply.rows(), reply.error().is_some(), reply.status())
}

#[test]
fn they_do_what_they_do_directly() {
    let (broker, database) = open();
    for (what, batches) in conversations().into_iter().chain(cursors()) {
        let mut direct = database.server.admin(&database.name);
        let mut through = [alice(&broker, "plain"), alice(&broker, "tagged")];
        for (at, batch) in batches.iter().enumerate() {
            direct.send(batch);
            let expected = outcome(&direct.reply());
            for wire in &mut through {
                wire.send(batch);
                let reply = wire.reply();
                assert_eq!(outcome(&reply), expected, "{what}: {at}: {:?}", reply.error());
            }
        }
    }
    broker.log_is_clean();
}

#[test]
fn batches_that_do_not_wait_for_each_other_are_decided_in_order() {
    let (broker, _database) = open();
    let mut wire = alice(&broker, "tagged");
    let all =
        [batch(&["PREPARE q AS SELECT 7"]), batch(&["EXECUTE q"]), batch(&["DEALLOCATE q"]), batch(&["EXECUTE q"])];
    wire.send(&all.concat());
    let _made = wire.reply().ok();
    assert_eq!(wire.reply().ok().rows(), [[Some("7".to_owned())]]);
    let _dropped = wire.reply().ok();
    assert!(wire.reply().error().is_some());
}

#[test]
fn what_sql_prepared_is_not_bound_by_the_protocol() {
    let (broker, _database) = open();
    let mut wire = alice(&broker, "plain");
    wire.send(&batch(&["PREPARE q AS SELECT 7"]));
    let _made = wire.reply().ok();
    wire.send(&named("q"));
    assert_eq!(wire.reply().refused("26000").message, "the statement is not known on this connection");
    wire.send(&batch(&["EXECUTE q"]));
    assert_eq!(wire.reply().ok().rows(), [[Some("7".to_owned())]]);
}

#[test]
fn what_is_prepared_is_ruled_on_as_what_it_is() {
    let (broker, database) = open();
    let before = database.truth("SELECT count(*) FROM orders");
    for target in ["plain", "tagged"] {
        let mut wire = alice(&broker, target);
        wire.send(&batch(&["PREPARE q AS DELETE FROM orders"]));
        let _denied = wire.reply().refused("42501");
        wire.send(&batch(&["EXECUTE q"]));
        assert!(wire.reply().error().is_some());
    }
    assert_eq!(database.truth("SELECT count(*) FROM orders"), before);
}

#[test]
fn a_name_that_came_to_mean_something_else_is_not_executed() {
    let (broker, _database) = open();
    for target in ["plain", "tagged"] {
        let mut wire = alice(&broker, target);
        wire.send(&batch(&["BEGIN", "PREPARE q AS SELECT 7"]));
        let _made = wire.reply().ok();
        // A portal outlives the name that it executes.
        wire.send(&[say::parse("e", "EXECUTE q"), say::bind("c", "e", &[], false), say::sync()].concat());
        let _bound = wire.reply().ok();
        wire.send(&batch(&["DEALLOCATE q", "PREPARE q AS SELECT 8"]));
        let _renamed = wire.reply().ok();
        wire.send(&[say::execute("c", 0), say::sync()].concat());
        assert_eq!(wire.reply().refused("42501").message, RENAMED, "{target}");
        let _over = wire.query("ROLLBACK").ok();
        wire.send(&named("e"));
        assert_eq!(wire.reply().refused("42501").message, RENAMED, "{target}");
        assert_eq!(wire.query("EXECUTE q").ok().rows(), [[Some("8".to_owned())]]);
    }
}

#[test]
fn execute_of_what_changes_names_is_refused() {
    let (broker, _database) = open();
    for target in ["plain", "tagged"] {
        for nested in ["PREPARE q AS SELECT 8", "DEALLOCATE q", "DEALLOCATE ALL", "EXECUTE q"] {
            let mut wire = alice(&broker, target);
            let _made = wire.query("PREPARE q AS SELECT 7").ok();
            wire.send(&[say::parse("s", nested), say::sync()].concat());
            let _prepared = wire.reply().ok();
            assert_eq!(wire.query("EXECUTE s").refused("42501").message, NESTED, "{target}: {nested}");
            wire.send(&batch(&["EXECUTE s"]));
            assert_eq!(wire.reply().refused("42501").message, NESTED, "{target}: {nested}");
            assert_eq!(wire.query("EXECUTE q").ok().rows(), [[Some("7".to_owned())]], "{target}: {nested}");
        }
    }
}

const RENAMED: &str = "the statement that EXECUTE names is not what it was when this was prepared";
const NESTED: &str = "EXECUTE names a statement that is PREPARE, EXECUTE or DEALLOCATE itself, or steers a cursor";
