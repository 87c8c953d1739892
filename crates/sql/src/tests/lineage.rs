//! Which sensitive columns a text uses, and how.

use expect_test::{Expect, expect};

use super::schema::{CUSTOMERS, catalog, world};
use crate::{Sensitive, Usage};

fn check(sql: &str, expected: &Expect) {
    expected.assert_eq(&uses(sql));
}

fn uses(sql: &str) -> String {
    let analysis = world().analyze(sql).unwrap();
    let shown = |used: &crate::ColumnUse| {
        let usage = match used.usage {
            Usage::Project => "shows",
            Usage::Derive => "derives",
            Usage::Return => "returns",
            Usage::Filter => "decides",
            Usage::Leave => "leaves",
        };
        format!("{}.{}.{} {usage}", used.schema, used.table, used.column)
    };
    let uses: Vec<String> = analysis.uses.iter().map(shown).collect();
    uses.join(", ")
}

#[test]
fn values_are_followed() {
    check("SELECT id, name FROM customers", &expect![[""]]);
    check("SELECT x.e FROM (SELECT email AS e, ssn FROM customers) x", &expect!["public.customers.email shows"]);
    check("SELECT b FROM (SELECT email, ssn FROM customers) x(a, b)", &expect!["public.customers.ssn shows"]);
    check(
        "WITH a AS (SELECT email FROM customers), b AS (TABLE a) SELECT * FROM b",
        &expect!["public.customers.email shows"],
    );
    check(
        "SELECT * FROM customers c JOIN orders o USING (id)",
        &expect!["public.customers.email shows, public.customers.ssn shows"],
    );
    check("SELECT j.d FROM (orders o JOIN customers c USING (id)) AS j(a, b, c, d, e)", &expect![[""]]);
    check("SELECT o.id FROM orders o, LATERAL (SELECT email FROM customers) c", &expect![[""]]);
    check("SELECT (SELECT s.email) FROM customers s, orders", &expect!["public.customers.email shows"]);
    check("SELECT pg_typeof(c), count(c.ssn) FROM customers c", &expect![[""]]);
}

/// A subquery that is not LATERAL sees the enclosing query, not its neighbours.
#[test]
fn neighbours_do_not_hide_outer_columns() {
    check(
        "SELECT (SELECT s.e FROM (VALUES (1)) v(email), (SELECT email AS e) s) FROM customers",
        &expect!["public.customers.email shows"],
    );
    check(
        "SELECT (SELECT s.e FROM (VALUES (1)) v(email), LATERAL (SELECT email AS e) s) FROM customers",
        &expect![[""]],
    );
    check(
        "SELECT (SELECT 1 FROM (VALUES ('a')) v(email), marker a JOIN marker b ON email = 'x') FROM customers",
        &expect!["public.customers.email decides"],
    );
}

#[test]
fn decisions_are_seen() {
    check(
        "SELECT id FROM customers c ORDER BY c",
        &expect!["public.customers.email decides, public.customers.ssn decides"],
    );
    check(
        "SELECT email AS e FROM customers ORDER BY e",
        &expect!["public.customers.email shows, public.customers.email decides"],
    );
    check(
        "SELECT email FROM customers UNION SELECT ssn FROM customers",
        &expect![
            "public.customers.email shows, public.customers.email decides, public.customers.ssn shows, public.customers.ssn decides"
        ],
    );
    check(
        "SELECT id FROM customers a JOIN archive.customers b USING (ssn)",
        &expect!["public.customers.ssn decides, archive.customers.ssn decides"],
    );
    check("UPDATE orders SET total = length(ssn) FROM customers", &expect!["public.customers.ssn leaves"]);
    check(
        "INSERT INTO customers (id, email) VALUES (1, 'a') RETURNING email",
        &expect!["public.customers.email returns"],
    );
    check("UPDATE customers SET email = 'x' WHERE id = 1 RETURNING id", &expect![[""]]);
    check(
        "ALTER TABLE customers ALTER COLUMN notes TYPE text USING email",
        &expect!["public.customers.email decides, public.customers.email leaves, public.customers.ssn leaves"],
    );
    check("SELECT contact FROM v_contact", &expect!["public.customers.email shows, public.v_contact.contact shows"]);
    check("SELECT id FROM v_contact", &expect![[""]]);
    check("SELECT contact FROM mv_contact", &expect!["public.mv_contact.contact shows"]);
}

#[test]
fn a_name_that_is_not_certain_is_everything() {
    check("SELECT emial FROM customers", &expect!["public.customers.email shows, public.customers.ssn shows"]);
    check("SELECT zz.email FROM customers", &expect!["public.customers.email shows, public.customers.ssn shows"]);
}

#[test]
fn prepared_statements_carry_their_uses() {
    check("PREPARE p AS SELECT ssn FROM customers; EXECUTE p", &expect!["public.customers.ssn shows"]);
    check("PREPARE p AS SELECT 1; EXECUTE p", &expect![[""]]);
}

#[test]
fn patterns_name_columns() {
    let catalog = catalog();
    let sensitive = Sensitive::resolve(&catalog, &["public.customers.email", "*.cust*.ss*"]).unwrap();
    let names: Vec<String> = sensitive
        .columns()
        .iter()
        .map(|column| format!("{}.{}.{}{:?}", column.schema, column.table, column.column, column.patterns))
        .collect();
    expect![[r#"
        public.customers.email[0]
        public.customers.ssn[1]
        archive.customers.ssn[1]
        public.customers_2024.email[0]
        public.customers_2024.ssn[1]
        public.v_contact.contact[0]
        public.mv_contact.contact[0]
        public.v_names.shown[0]"#]]
    .assert_eq(&names.join("\n"));
    assert_eq!(sensitive.get(CUSTOMERS, 3).map(|column| &*column.column), Some("email"));
    assert!(sensitive.get(CUSTOMERS, 1).is_none() && sensitive.get(1, 1).is_none());
    let missing =
        Sensitive::resolve(&catalog, &["public.customers.email", "public.customers.gone", "a.b"]).unwrap_err();
    assert_eq!(missing.iter().map(|missing| missing.index).collect::<Vec<_>>(), [1, 2]);
}

/// A generated column holds what it is made of, wherever else rows of the table are.
#[test]
fn generated_columns_are_what_they_are_made_of() {
    let world = world();
    let tagged = |oid| {
        let columns = world.sensitive.columns().iter().filter(|column| column.oid == oid);
        columns.map(|column| (&*column.column, column.patterns.clone())).collect::<Vec<_>>()
    };
    let email = || vec![0];
    assert_eq!(tagged(20_018), [("email", email()), ("folded", email()), ("size", email())]);
    assert_eq!(tagged(20_019), [("email", email()), ("folded", email()), ("size", email())]);
    check("SELECT folded FROM shop.customers", &expect!["shop.customers.folded shows"]);
    check("SELECT id FROM shop.customers", &expect![[""]]);
}

/// What changes rows uses columns as well, whoever may write.
#[test]
fn writes_use_what_they_compare_store_and_return() {
    let decides = &expect!["public.customers.email decides"];
    let leaves = &expect!["public.customers.email leaves"];
    check("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET total = 1", &expect![[""]]);
    check("INSERT INTO customers (id) VALUES (1) ON CONFLICT (email) DO NOTHING", decides);
    check("INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET notes = customers.email", leaves);
    check("INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET notes = excluded.email", leaves);
    check(
        "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2 WHERE customers.email > 'm'",
        decides,
    );
    check("MERGE INTO orders o USING customers c ON c.id = o.id WHEN MATCHED AND c.email > 'm' THEN DELETE", decides);
    check("MERGE INTO orders o USING customers c ON c.email = 'x' WHEN MATCHED THEN DO NOTHING", decides);
    check(
        "MERGE INTO marker m USING customers c ON c.id = m.n WHEN NOT MATCHED THEN INSERT VALUES (length(c.email))",
        leaves,
    );
    check("PREPARE p AS SELECT id FROM customers; CREATE TABLE t AS EXECUTE p", &expect![[""]]);
    check(
        "PREPARE p AS SELECT email FROM customers; CREATE TABLE t AS EXECUTE p",
        &expect!["public.customers.email shows, public.customers.email leaves"],
    );
}

/// A column of a view counts with the columns that it shows.
#[test]
fn writes_to_views_use_what_the_views_show() {
    let both = |how: &str| {
        let one = |column: &str| how.split(' ').map(|how| format!("{column} {how}")).collect::<Vec<_>>().join(", ");
        format!("{}, {}", one("public.customers.email"), one("public.v_contact.contact"))
    };
    for (sql, how) in [
        ("UPDATE v_contact SET id = 2 WHERE contact = 'x'", "shows decides"),
        ("UPDATE v_contact SET id = 2 RETURNING *", "shows returns"),
        ("UPDATE v_contact SET id = length(contact)", "shows leaves"),
        ("DELETE FROM v_contact WHERE contact = 'x'", "shows decides"),
        ("INSERT INTO v_contact VALUES (1) RETURNING contact", "shows returns"),
        ("UPDATE orders o SET total = 1 FROM v_contact v WHERE v.contact = 'x'", "shows decides"),
    ] {
        assert_eq!(uses(sql), both(how), "{sql}");
    }
    check("UPDATE v_contact SET id = 2 WHERE id = 1", &expect![[""]]);
    check("UPDATE v_contact SET contact = 'x' WHERE id = 1", &expect![[""]]);
}

#[test]
fn upkeep_uses_what_it_names() {
    for sql in [
        "VACUUM customers",
        "VACUUM (FULL, VERBOSE) customers, orders",
        "REINDEX TABLE customers",
        "GRANT SELECT (id, name), UPDATE (notes) ON customers TO somebody",
        "REVOKE ALL ON customers FROM somebody",
    ] {
        check(sql, &expect![[""]]);
    }
    for sql in [
        "ANALYZE customers",
        "VACUUM ANALYZE customers",
        "VACUUM (ANALYZE) orders, customers",
        "CLUSTER customers",
        "GRANT SELECT ON customers TO somebody",
        "GRANT ALL ON customers TO somebody",
        "GRANT SELECT (id), UPDATE ON customers TO somebody",
        "GRANT SELECT (id, email) ON customers TO somebody",
    ] {
        check(sql, &expect!["public.customers.email leaves, public.customers.ssn leaves"]);
    }
}
