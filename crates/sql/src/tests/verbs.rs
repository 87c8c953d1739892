//! What texts do.

use expect_test::{Expect, expect};

use super::schema::world;
use crate::{Analysis, Change, Copy, NoPrepared, Object, Sensitive, Transaction, analyze};

fn check(sql: &str, expected: &Expect) {
    expected.assert_eq(&spelled(&world().analyze(sql).unwrap()));
}

fn spelled(analysis: &Analysis) -> String {
    let object = |object: &Object| match object {
        Object::Target => "target".to_owned(),
        Object::Schema(name) => format!("schema {name}"),
        Object::Table(schema, name) => format!("{schema}.{name}"),
        Object::Function(schema, name) => format!("{schema}.{name}()"),
        Object::Setting(name) => format!("setting {name}"),
        Object::Channel(name) => format!("channel {name}"),
    };
    let mut lines: Vec<String> =
        analysis.accesses.iter().map(|access| format!("{} {}", access.verb.name(), object(&access.object))).collect();
    lines.extend(analysis.refusals.iter().map(|refused| format!("refused: {:?}", refused.reason)));
    lines.join(", ")
}

#[test]
fn queries() {
    check("SELECT 1", &expect![[""]]);
    check(
        "SELECT * FROM orders, pg_class, information_schema.tables, pg_stats",
        &expect![
            "read public.orders, describe information_schema.tables, describe pg_catalog.pg_class, inspect pg_catalog.pg_stats"
        ],
    );
    check("SELECT * FROM orders FOR UPDATE", &expect!["read public.orders, write public.orders"]);
    check(
        "SELECT purge_orders(), lower('x'), archive.lower('x')",
        &expect!["call archive.lower(), call public.purge_orders()"],
    );
    check("SELECT * FROM v_calls", &expect!["read public.v_calls, call public.purge_orders()"]);
    check("SELECT 1 INTO x", &expect!["define schema public"]);
}

#[test]
fn writes() {
    check("INSERT INTO orders SELECT * FROM orders", &expect!["read public.orders, write public.orders"]);
    check(
        "WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d",
        &expect!["read public.orders, write public.orders"],
    );
    check(
        "MERGE INTO orders o USING marker m ON o.id = m.n WHEN MATCHED THEN DO NOTHING",
        &expect!["read public.marker, write public.orders"],
    );
    check("TRUNCATE orders, marker", &expect!["write public.marker, write public.orders, call gone.unknown()"]);
    // Payments refer to orders, lines to payments, and one of the tables of lines is elsewhere.
    check(
        "TRUNCATE orders CASCADE",
        &expect![
            "write archive.lines_old, write public.lines, write public.orders, write public.payments, call pg_catalog.query_to_xml(), call public.note_ids()"
        ],
    );
    check(
        "TRUNCATE lines, marker CASCADE",
        &expect![
            "write archive.lines_old, write public.lines, write public.marker, call gone.unknown(), call pg_catalog.query_to_xml(), call public.note_ids()"
        ],
    );
    check("TRUNCATE payments", &expect!["write public.payments"]);
    check("UPDATE pg_class SET relname = 'x'", &expect!["administer target, describe pg_catalog.pg_class"]);
}

/// What runs when rows are written is asked for, where columns are tagged.
#[test]
fn writes_run_triggers_and_defaults() {
    let line = "write public.lines, call pg_catalog.query_to_xml(), call public.note_ids()";
    for sql in ["INSERT INTO lines VALUES (1)", "DELETE FROM lines", "UPDATE lines SET payment = 1", "TRUNCATE lines"] {
        let analysis = world().analyze(sql).unwrap();
        assert_eq!(spelled(&analysis), line, "{sql}");
    }
    check(
        "COPY lines FROM STDIN",
        &expect!["write public.lines, call pg_catalog.query_to_xml(), call public.note_ids(), copy_in public.lines"],
    );
    check(
        "MERGE INTO lines USING orders ON true WHEN MATCHED THEN DELETE",
        &expect!["read public.orders, write public.lines, call pg_catalog.query_to_xml(), call public.note_ids()"],
    );
    check(
        "INSERT INTO v_lines VALUES (1)",
        &expect!["write public.v_lines, call pg_catalog.query_to_xml(), call public.note_ids()"],
    );
    check(
        "INSERT INTO archive.lines_old VALUES (1)",
        &expect!["write archive.lines_old, call pg_catalog.query_to_xml()"],
    );
    check("INSERT INTO marker VALUES (1)", &expect!["write public.marker, call gone.unknown()"]);
    check(
        "INSERT INTO shop.customers VALUES (1)",
        &expect!["write shop.customers, call pg_catalog.set_config(), refused: PinnedSetting"],
    );
    check("SELECT * FROM lines", &expect!["read public.lines"]);
    check("LOCK TABLE lines", &expect!["write public.lines"]);
    check("SELECT 'x'::probe, 'x'::short", &expect!["call public.probe()"]);
    let untagged = analyze("INSERT INTO lines VALUES (1)", &world().catalog, &Sensitive::default(), &NoPrepared);
    assert_eq!(spelled(&untagged.unwrap()), "write public.lines");
}

#[test]
fn utilities() {
    check("COPY orders FROM STDIN", &expect!["write public.orders, copy_in public.orders"]);
    check("COPY orders (id) TO STDOUT", &expect!["read public.orders, copy_out public.orders"]);
    check(
        "COPY (SELECT id FROM orders) TO '/tmp/x'",
        &expect!["read public.orders, administer target, copy_out target"],
    );
    check("CREATE TABLE archive.t (a int)", &expect!["define schema archive"]);
    check("CREATE SCHEMA s", &expect!["define schema s"]);
    check("CREATE SCHEMA s CREATE TABLE x (a int)", &expect!["define schema s"]);
    check(
        "CREATE SCHEMA s CREATE TABLE x (a int) GRANT SELECT ON x TO public",
        &expect!["define schema s, administer target"],
    );
    check(
        "CREATE TABLE archive.x () INHERITS (marker)",
        &expect!["write public.marker, define schema archive, define schema public"],
    );
    check(
        "ALTER TABLE marker INHERIT archive.customers",
        &expect!["write archive.customers, define schema archive, define schema public"],
    );
    check(
        "ALTER TABLE marker ATTACH PARTITION archive.customers DEFAULT",
        &expect!["define schema archive, define schema public"],
    );
    check(
        "CREATE TABLE archive.x (a int REFERENCES public.marker)",
        &expect!["read public.marker, define schema archive"],
    );
    check(
        "CREATE TRIGGER t AFTER INSERT ON marker EXECUTE FUNCTION purge_orders()",
        &expect!["define schema public, call public.purge_orders()"],
    );
    check("DROP TABLE orders", &expect!["define target"]);
    check("VACUUM orders", &expect!["administer target"]);
    check("CALL purge_proc()", &expect!["call public.purge_proc()"]);
    check("DO 'BEGIN END'", &expect!["unknown target"]);
    check("EXPLAIN ANALYZE UPDATE orders SET total = 1", &expect!["write public.orders"]);
    check("SET work_mem = '1GB'", &expect!["set setting work_mem"]);
    check("SET role = 'x'", &expect!["refused: PinnedSetting"]);
    check("SET client_encoding = 'latin1'", &expect!["refused: PinnedReading"]);
    check(
        "SELECT set_config('search_path', 'archive', false)",
        &expect!["call pg_catalog.set_config(), refused: PinnedSetting"],
    );
    check(
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        &expect!["call pg_catalog.set_config(), refused: PinnedReading"],
    );
    check(
        "SELECT set_config(name, '', false) FROM customers",
        &expect!["read public.customers, call pg_catalog.set_config(), refused: PinnedSetting"],
    );
    check("SELECT set_config('app.tenant', '7', false)", &expect!["call pg_catalog.set_config()"]);
    check("SET application_name = 'psql'; RESET application_name", &expect!["session target"]);
    check("SET application_name = ' Sluice user:ceo s-1'", &expect!["set setting application_name"]);
    check("SELECT set_config('application_name', 'sluice user:ceo', true)", &expect!["call pg_catalog.set_config()"]);
    check("SHOW ALL", &expect!["inspect setting all"]);
    check("LISTEN X; NOTIFY \"New Orders\", 'p'", &expect!["listen channel New Orders, listen channel x"]);
    check("UNLISTEN x; UNLISTEN *", &expect!["session target"]);
    check("SELECT pg_notify('X', 'p')", &expect!["listen channel X"]);
    check("SELECT pg_notify(name, 'p') FROM orders", &expect!["read public.orders, call pg_catalog.pg_notify()"]);
    check(
        "SELECT pg_catalog.pg_notify('x', email) FROM customers",
        &expect!["read public.customers, listen channel x"],
    );
    check("BEGIN READ ONLY; PREPARE TRANSACTION 'x'", &expect!["administer target, session target"]);
    check("SELECT * FROM nowhere", &expect!["refused: UnknownRelation"]);
}

#[test]
fn facts_of_statements() {
    let world = world();
    let analysis = world.analyze(" SELECT 1; DELETE FROM orders ;COPY orders FROM STDIN;  BEGIN").unwrap();
    let spans: Vec<_> = analysis.statements.iter().map(|statement| statement.span.clone()).collect();
    assert_eq!(spans, [1..9, 11..30, 31..53, 56..61]);
    assert!(analysis.is_multi() && analysis.is_row_changing() && !analysis.has_where());
    let truncates = world.analyze("TRUNCATE orders").unwrap();
    assert!(truncates.is_row_changing() && !truncates.has_where());
    let statements = &analysis.statements;
    assert_eq!(statements.iter().map(|s| s.row_changing).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(statements.iter().map(|s| s.has_where).collect::<Vec<_>>(), [true, false, true, true]);
    assert_eq!(statements.iter().map(|s| s.copy).collect::<Vec<_>>(), [Copy::None, Copy::None, Copy::In, Copy::None]);
    assert_eq!(statements.last().and_then(|s| s.transaction), Some(Transaction::Begin));
    assert!(world.analyze("-- nothing").unwrap().statements.is_empty());
    assert!(world.analyze("").unwrap().statements.is_empty());
}

#[test]
fn kinds_of_nested_statements() {
    let world = world();
    let kinds = |sql: &str| {
        let analysis = world.analyze(sql).unwrap();
        analysis.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
    };
    for (sql, expected) in [
        ("", ""),
        ("SELECT 1; BEGIN", "select transaction"),
        ("SELECT (SELECT 1)", "select"),
        ("WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d", "select delete"),
        (
            "WITH a AS (WITH b AS (UPDATE orders SET id = 1 RETURNING id) INSERT INTO marker SELECT * FROM b RETURNING n) TABLE a",
            "select insert update",
        ),
        ("EXPLAIN ANALYZE DELETE FROM orders", "delete explain"),
        ("PREPARE a AS DELETE FROM orders", "delete prepare"),
        ("PREPARE a AS DELETE FROM orders; EXECUTE a", "delete prepare execute"),
        ("EXECUTE unknown", "execute"),
        ("COPY (DELETE FROM orders RETURNING id) TO STDOUT", "delete copy"),
        ("DECLARE c CURSOR FOR SELECT 1", "select cursor"),
        ("CREATE TABLE t AS SELECT 1", "select define"),
        ("SELECT 1 INTO t", "select define"),
        ("PREPARE a AS SELECT 1; CREATE TABLE t AS EXECUTE a", "select prepare execute define"),
        ("CREATE SCHEMA s GRANT SELECT ON x TO public", "define administer"),
        ("EXPLAIN ANALYZE MERGE INTO orders USING marker ON true WHEN MATCHED THEN DELETE", "merge explain"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM orders; END", "define"),
    ] {
        assert_eq!(kinds(sql), expected, "{sql}");
    }
}

#[test]
fn names_of_prepared_statements() {
    let analysis = world().analyze("PREPARE a AS DELETE FROM orders; DEALLOCATE a; DEALLOCATE ALL").unwrap();
    let changes: Vec<_> = analysis.statements.iter().map(|statement| statement.change.clone()).collect();
    let (first, rest) = changes.split_first().unwrap();
    assert!(matches!(first, Some(Change::Prepare(name, inner))
        if &**name == "a" && inner.is_row_changing() && !inner.has_where() && inner.accesses.len() == 1));
    assert_eq!(rest, [Some(Change::Deallocate("a".into())), Some(Change::DeallocateAll)]);
}

#[test]
fn catalog_changes_and_sensitive_touches() {
    let world = world();
    let of = |sql: &str| {
        let analysis = world.analyze(sql).unwrap();
        (analysis.changes_catalog, analysis.touches_sensitive)
    };
    assert_eq!(of("SELECT id FROM orders"), (false, false));
    assert_eq!(of("SELECT id FROM customers"), (false, true));
    assert_eq!(of("SELECT id FROM v_contact"), (false, true));
    assert_eq!(of("CREATE TABLE x (a int)"), (true, false));
    assert_eq!(of("ALTER TABLE customers ADD x int"), (true, true));
    assert_eq!(of("INSERT INTO customers (id) VALUES (1)"), (false, true));
}

#[test]
fn what_foreign_keys_change_runs_too() {
    let (houses, doors, locks) = ("call of.houses()", "call of.doors()", "call of.locks()");
    let called = |sql: &str| {
        let all = spelled(&world().analyze(sql).unwrap());
        let calls = all.split(", ").filter(|access| access.starts_with("call ") || access.starts_with("refused"));
        calls.map(str::to_owned).collect::<Vec<_>>()
    };
    for (sql, expected) in [
        ("INSERT INTO houses VALUES (1)", &[houses][..]),
        ("UPDATE houses SET id = 2", &[houses]),
        ("DELETE FROM houses", &[doors, houses, locks]),
        ("UPDATE doors SET house = 2", &[doors, houses, locks]),
        ("DELETE FROM doors", &[doors, houses, locks]),
        ("INSERT INTO doors VALUES (1) ON CONFLICT (house) DO UPDATE SET house = 2", &[doors, houses, locks]),
        ("MERGE INTO doors USING marker ON true WHEN MATCHED THEN DELETE", &[doors, houses, locks]),
        ("DELETE FROM locks", &[locks]),
        ("UPDATE locks SET door = 2", &[houses, locks]),
        ("TRUNCATE locks", &[locks]),
    ] {
        assert_eq!(called(sql), expected, "{sql}");
    }
}

#[test]
fn functions_that_are_changed_are_asked_for_as_calls_where_columns_are_tagged() {
    let replaces = "CREATE OR REPLACE FUNCTION purge_orders() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'";
    check(replaces, &expect!["define target, call public.purge_orders()"]);
    let alters = "ALTER FUNCTION purge_orders() STABLE";
    check(alters, &expect!["define target, call public.purge_orders()"]);
    check(
        "ALTER FUNCTION digest(text, text) STABLE",
        &expect!["define target, administer target, call public.digest()"],
    );
    check("DROP FUNCTION IF EXISTS fresh()", &expect!["define target"]);
    let extends = "CREATE OR REPLACE FUNCTION digest(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1'";
    check(extends, &expect!["define target, administer target, call public.digest()"]);
    for sql in [replaces, alters, "DROP FUNCTION purge_orders()", "ALTER FUNCTION purge_orders() RENAME TO lower"] {
        let untagged = analyze(sql, &world().catalog, &Sensitive::default(), &NoPrepared).unwrap();
        assert_eq!(spelled(&untagged), "define target", "{sql}");
    }
}
