//! What rewritten texts look like.

use expect_test::{Expect, expect};
use sluice_model::Transform;

use super::schema::{CUSTOMERS, ORDERS, Outcome, World, world};
use crate::{ColumnMask, Unmaskable, rewrite};

fn check(sql: &str, expected: &Expect) {
    match world().ask(sql) {
        Outcome::Rewritten(text) => expected.assert_eq(&text),
        other @ (Outcome::Allowed | Outcome::Refused(_)) => expected.assert_eq(&format!("{other:?}")),
    }
}

fn with(world: &World, sql: &str, masks: &[ColumnMask]) -> Result<String, Unmaskable> {
    rewrite(sql, &world.analyze(sql).unwrap(), &world.catalog, masks).map(|rewritten| rewritten.text)
}

fn mask(oid: u32, attnum: i16, transform: Transform) -> ColumnMask {
    ColumnMask { oid, attnum, transform, filterable: false }
}

#[test]
fn relations_become_sub_selects() {
    check(
        "SELECT email FROM customers",
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    check(
        "SELECT c.email FROM customers AS c WHERE c.id = 1",
        &expect![[
            r#"SELECT c.email FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS c WHERE c.id = 1"#
        ]],
    );
    check(
        "SELECT a FROM ONLY (customers) t(a, b), customers * AS u",
        &expect![[
            r#"SELECT a FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM ONLY "public"."customers") t(a, b), (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS u"#
        ]],
    );
    check(
        "TABLE customers",
        &expect![[
            r#"SELECT * FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    check(
        "SELECT public.customers.email, demo.public.customers.* FROM demo.public.customers",
        &expect![[
            r#"SELECT customers.email, customers.* FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    check(
        "SELECT count(email) FROM customers",
        &expect![[
            r#"SELECT count(email) FROM (SELECT "id", "name", CASE WHEN "email" IS NOT NULL THEN '***'::text END AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    check(
        "SELECT contact FROM mv_contact",
        &expect![[
            r#"SELECT contact FROM (SELECT "id", '***'::text AS "contact" FROM "public"."mv_contact") AS "mv_contact""#
        ]],
    );
}

#[test]
fn comments_and_quotes_stay() {
    check(
        "SELECT/*c*/email/* FROM customers */FROM/*\"*/customers--x",
        &expect![[
            r#"SELECT/*c*/email/* FROM customers */FROM/*"*/ (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers" --x"#
        ]],
    );
    check(
        "SELECT 'FROM customers', $a$ customers $a$, email FROM\ncustomers\n;",
        &expect![[r#"
        SELECT 'FROM customers', $a$ customers $a$, email FROM
        (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers"
        ;"#]],
    );
    check(
        "SELECT \"email\" FROM\"public\".\"customers\"JOIN orders ON true",
        &expect![[
            r#"SELECT "email" FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers" JOIN orders ON true"#
        ]],
    );
    check(
        "SELECT email FROM U&\"customers\"",
        &expect![[r#"Refused("the statement is spelt in a way that cannot be rewritten safely")"#]],
    );
}

#[test]
fn masks_fit_their_columns() {
    let world = world();
    let show = |sql, masks: &[ColumnMask], expected: &Expect| match with(&world, sql, masks) {
        Ok(text) => expected.assert_eq(&text),
        Err(error) => expected.assert_eq(&error.to_string()),
    };
    let sql = "SELECT email FROM customers";
    show(
        sql,
        &[mask(CUSTOMERS, 3, Transform::Null)],
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", NULL::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    show(
        sql,
        &[mask(CUSTOMERS, 3, Transform::Constant("it's \\ me".into()))],
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", E'it''s \\ me'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    show(
        sql,
        &[mask(CUSTOMERS, 3, Transform::Partial { keep_last: 4 })],
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", CASE WHEN "email"::pg_catalog.text IS NULL THEN NULL::text WHEN pg_catalog.length("email"::pg_catalog.text) OPERATOR(pg_catalog.>=) 8 THEN ('***'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.right("email"::pg_catalog.text, 4))::text ELSE '***'::text END AS "email", "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    show(
        sql,
        &[mask(CUSTOMERS, 3, Transform::Hash)],
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    let sql = "SELECT total FROM orders";
    show(
        sql,
        &[mask(ORDERS, 3, Transform::Redact)],
        &expect![[
            r#"SELECT total FROM (SELECT "id", "customer_id", NULL::numeric AS "total" FROM "public"."orders") AS "orders""#
        ]],
    );
    show(
        sql,
        &[mask(ORDERS, 3, Transform::Bucket { width: 10 })],
        &expect![[
            r#"SELECT total FROM (SELECT "id", "customer_id", ((pg_catalog.floor(("total"::pg_catalog.numeric) OPERATOR(pg_catalog./) 10::pg_catalog.numeric) OPERATOR(pg_catalog.*) 10::pg_catalog.numeric))::pg_catalog.numeric AS "total" FROM "public"."orders") AS "orders""#
        ]],
    );
    show(
        sql,
        &[mask(ORDERS, 3, Transform::Bucket { width: 0 })],
        &expect!["this kind of mask cannot be made in the statement"],
    );
    show(
        sql,
        &[mask(ORDERS, 1, Transform::Bucket { width: 100 })],
        &expect![[
            r#"SELECT total FROM (SELECT (CASE WHEN (pg_catalog.floor(("id"::pg_catalog.numeric) OPERATOR(pg_catalog./) 100::pg_catalog.numeric) OPERATOR(pg_catalog.*) 100::pg_catalog.numeric) OPERATOR(pg_catalog.<) '-2147483648'::pg_catalog.numeric THEN '-2147483648'::pg_catalog.numeric ELSE (pg_catalog.floor(("id"::pg_catalog.numeric) OPERATOR(pg_catalog./) 100::pg_catalog.numeric) OPERATOR(pg_catalog.*) 100::pg_catalog.numeric) END)::pg_catalog.int4 AS "id", "customer_id", "total" FROM "public"."orders") AS "orders""#
        ]],
    );
    show(sql, &[mask(ORDERS, 9, Transform::Redact)], &expect!["the relation changed since the statement was read"]);
}

#[test]
fn views_samples_and_copies_become_queries() {
    check(
        "SELECT v.contact FROM v_contact v WHERE v.id = 1",
        &expect![[
            r#"SELECT v.contact FROM (SELECT "id", '***'::text AS "contact" FROM "public"."v_contact") v WHERE v.id = 1"#
        ]],
    );
    check(
        "SELECT email FROM customers c TABLESAMPLE bernoulli (50) REPEATABLE (1) WHERE id = 1",
        &expect![[
            r#"SELECT email FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers" TABLESAMPLE bernoulli (50) REPEATABLE (1)) c  WHERE id = 1"#
        ]],
    );
    check(
        "SELECT DISTINCT email FROM customers",
        &expect![[
            r#"SELECT DISTINCT email FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers""#
        ]],
    );
    check(
        "SELECT count(*) FROM (SELECT DISTINCT email FROM customers) x",
        &expect![[r#"Refused("filter customers.email")"#]],
    );
    let copied = |sql: &str, expected: &Expect| {
        let world = world();
        expected.assert_eq(&with(&world, sql, &world.masks()).unwrap());
    };
    copied(
        "COPY customers TO STDOUT",
        &expect![[
            r#"COPY (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM ONLY "public"."customers") TO STDOUT"#
        ]],
    );
    copied(
        "COPY public.customers (id, email) TO STDOUT (FORMAT csv, HEADER)",
        &expect![[
            r#"COPY (SELECT "id", '***'::text AS "email" FROM ONLY "public"."customers") TO STDOUT (FORMAT csv, HEADER)"#
        ]],
    );
    copied(
        "COPY (SELECT upper(email) FROM customers) TO STDOUT",
        &expect![[
            r#"COPY (SELECT upper(email) FROM (SELECT "id", "name", '***'::text AS "email", '***'::text AS "ssn", "notes" FROM "public"."customers") AS "customers" ) TO STDOUT"#
        ]],
    );
    copied("COPY orders TO STDOUT", &expect!["COPY orders TO STDOUT"]);
}

/// Masks that need a key are made at the wire where a value arrives there as it stands; every other use sees a mask that says nothing.
#[test]
fn what_the_wire_masks_stays_in_the_text() {
    let world = world();
    let show = |sql: &str, masks: &[ColumnMask]| {
        let rewritten = rewrite(sql, &world.analyze(sql).unwrap(), &world.catalog, masks);
        rewritten.map_or_else(|why| why.to_string(), |done| format!("{:?} {}", done.wire, done.text))
    };
    let hash = [mask(CUSTOMERS, 3, Transform::Hash)];
    let cases = [
        "SELECT id, email FROM customers",
        "SELECT o.*, c.email AS e FROM orders o JOIN customers c ON c.id = o.customer_id",
        "SELECT x.b FROM (SELECT email, name FROM customers) x(b)",
        "WITH a AS (SELECT email FROM customers) SELECT * FROM a",
        "SELECT email, upper(email) FROM customers",
        "SELECT c FROM customers c",
        "SELECT email FROM customers UNION ALL SELECT name FROM customers",
        "SELECT email FROM customers UNION ALL SELECT notes || email FROM customers",
        "SELECT email FROM customers; SELECT 1",
        "BEGIN; SELECT name, email FROM customers; UPDATE orders SET total = 1; DELETE FROM customers RETURNING email; SHOW search_path",
        "SELECT email FROM customers; SELECT upper(email) FROM customers",
        "SELECT email FROM customers; COPY customers TO STDOUT",
        "SELECT email FROM customers; EXPLAIN SELECT email FROM customers",
        "PREPARE p AS SELECT email FROM customers; SELECT email FROM customers",
        "PREPARE p AS SELECT email FROM customers; EXECUTE p",
        "DECLARE k CURSOR FOR SELECT email FROM customers",
        "DECLARE k BINARY SCROLL CURSOR FOR SELECT name, email FROM customers; FETCH 2 FROM k; CLOSE k",
        "DECLARE k CURSOR FOR SELECT upper(email) FROM customers",
        "DECLARE k CURSOR WITH HOLD FOR SELECT email FROM customers",
        "EXPLAIN DECLARE k CURSOR FOR SELECT email FROM customers",
        "COPY (SELECT email FROM customers) TO STDOUT",
        "PREPARE p AS SELECT email FROM customers",
        "INSERT INTO customers (id, email) VALUES (9, 'x') RETURNING id, email",
        "DELETE FROM customers RETURNING *",
        "DELETE FROM customers USING orders RETURNING *",
        "WITH gone AS (DELETE FROM customers RETURNING email) SELECT email FROM gone",
        "WITH gone AS (DELETE FROM customers RETURNING email) SELECT upper(email) FROM gone",
    ];
    let shown: String = cases.iter().map(|sql| format!("{sql}\n    {}\n", show(sql, &hash))).collect();
    expect![[r#"
        SELECT id, email FROM customers
            [[None, Some((20001, 3))]] SELECT id, email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT o.*, c.email AS e FROM orders o JOIN customers c ON c.id = o.customer_id
            [[None, None, None, Some((20001, 3))]] SELECT o.*, c.email AS e FROM (SELECT "id", "customer_id", "total" FROM "public"."orders") o JOIN (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") c ON c.id = o.customer_id
        SELECT x.b FROM (SELECT email, name FROM customers) x(b)
            [[Some((20001, 3))]] SELECT x.b FROM (SELECT email, name FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ) x(b)
        WITH a AS (SELECT email FROM customers) SELECT * FROM a
            [[Some((20001, 3))]] WITH a AS (SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ) SELECT * FROM a
        SELECT email, upper(email) FROM customers
            [[]] SELECT email, upper(email) FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT c FROM customers c
            [[]] SELECT c FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") c
        SELECT email FROM customers UNION ALL SELECT name FROM customers
            [[Some((20001, 3))]] SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" UNION ALL SELECT name FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT email FROM customers UNION ALL SELECT notes || email FROM customers
            [[]] SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" UNION ALL SELECT notes || email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT email FROM customers; SELECT 1
            [[Some((20001, 3))], []] SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; SELECT 1
        BEGIN; SELECT name, email FROM customers; UPDATE orders SET total = 1; DELETE FROM customers RETURNING email; SHOW search_path
            [[], [None, Some((20001, 3))], [], [Some((20001, 3))], []] BEGIN; SELECT name, email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; UPDATE orders SET total = 1; DELETE FROM customers RETURNING email; SHOW search_path
        SELECT email FROM customers; SELECT upper(email) FROM customers
            [[], []] SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; SELECT upper(email) FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT email FROM customers; COPY customers TO STDOUT
            [[], []] SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; COPY (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM ONLY "public"."customers") TO STDOUT
        SELECT email FROM customers; EXPLAIN SELECT email FROM customers
            [[Some((20001, 3))], []] SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; EXPLAIN SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        PREPARE p AS SELECT email FROM customers; SELECT email FROM customers
            [[], []] PREPARE p AS SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        PREPARE p AS SELECT email FROM customers; EXECUTE p
            [[], []] PREPARE p AS SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; EXECUTE p
        DECLARE k CURSOR FOR SELECT email FROM customers
            [[Some((20001, 3))]] DECLARE k CURSOR FOR SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        DECLARE k BINARY SCROLL CURSOR FOR SELECT name, email FROM customers; FETCH 2 FROM k; CLOSE k
            [[None, Some((20001, 3))], [], []] DECLARE k BINARY SCROLL CURSOR FOR SELECT name, email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ; FETCH 2 FROM k; CLOSE k
        DECLARE k CURSOR FOR SELECT upper(email) FROM customers
            [[]] DECLARE k CURSOR FOR SELECT upper(email) FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        DECLARE k CURSOR WITH HOLD FOR SELECT email FROM customers
            [[]] DECLARE k CURSOR WITH HOLD FOR SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        EXPLAIN DECLARE k CURSOR FOR SELECT email FROM customers
            [[]] EXPLAIN DECLARE k CURSOR FOR SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        COPY (SELECT email FROM customers) TO STDOUT
            [[]] COPY (SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers" ) TO STDOUT
        PREPARE p AS SELECT email FROM customers
            [[]] PREPARE p AS SELECT email FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        INSERT INTO customers (id, email) VALUES (9, 'x') RETURNING id, email
            [[None, Some((20001, 3))]] INSERT INTO customers (id, email) VALUES (9, 'x') RETURNING id, email
        DELETE FROM customers RETURNING *
            [[None, None, Some((20001, 3)), None, None]] DELETE FROM customers RETURNING *
        DELETE FROM customers USING orders RETURNING *
            a masked column of a written row is returned in another form than its own
        WITH gone AS (DELETE FROM customers RETURNING email) SELECT email FROM gone
            [[Some((20001, 3))]] WITH gone AS (DELETE FROM customers RETURNING email) SELECT email FROM gone
        WITH gone AS (DELETE FROM customers RETURNING email) SELECT upper(email) FROM gone
            a masked column of a written row is returned in another form than its own
    "#]].assert_eq(&shown);
}

/// A column that policy lets decide is masked where it leaves as it stands, and nowhere else.
#[test]
fn what_may_decide_leaves_as_it_is_or_not_at_all() {
    let world = world();
    let show = |sql: &str, masks: &[ColumnMask]| {
        let rewritten = rewrite(sql, &world.analyze(sql).unwrap(), &world.catalog, masks);
        rewritten.map_or_else(|why| why.to_string(), |done| format!("{:?} {}", done.wire, done.text))
    };
    let filter = [ColumnMask { filterable: true, ..mask(CUSTOMERS, 3, Transform::Redact) }];
    let cases = [
        "SELECT email FROM customers WHERE email LIKE 'a%'",
        "SELECT id FROM customers ORDER BY email",
        "SELECT upper(email) FROM customers WHERE email LIKE 'a%'",
        "SELECT email LIKE 'a%' FROM customers",
        "SELECT length(email) FROM customers",
        "SELECT CASE WHEN email LIKE 'a%' THEN 1 END FROM customers",
        "INSERT INTO orders (id) SELECT length(email) FROM customers",
        "CREATE TABLE t AS SELECT email FROM customers",
        "SELECT customer_line(length(email)) FROM customers",
        "COPY (SELECT id FROM customers WHERE email LIKE 'a%') TO STDOUT",
        "EXPLAIN SELECT id FROM customers WHERE email LIKE 'a%'",
        "UPDATE orders SET total = 1 FROM customers c WHERE c.email = 'a'",
    ];
    let shown: String = cases.iter().map(|sql| format!("{sql}\n    {}\n", show(sql, &filter))).collect();
    expect![[r#"
        SELECT email FROM customers WHERE email LIKE 'a%'
            [[Some((20001, 3))]] SELECT email FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" WHERE email LIKE 'a%'
        SELECT id FROM customers ORDER BY email
            [[]] SELECT id FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" ORDER BY email
        SELECT upper(email) FROM customers WHERE email LIKE 'a%'
            a masked column that decides is also shown in another form than its own
        SELECT email LIKE 'a%' FROM customers
            a masked column that decides is also shown in another form than its own
        SELECT length(email) FROM customers
            [[]] SELECT length(email) FROM (SELECT "id", "name", '***'::text AS "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        SELECT CASE WHEN email LIKE 'a%' THEN 1 END FROM customers
            [[]] SELECT CASE WHEN email LIKE 'a%' THEN 1 END FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers"
        INSERT INTO orders (id) SELECT length(email) FROM customers
            a masked column would be stored elsewhere or given to code that is not known
        CREATE TABLE t AS SELECT email FROM customers
            a masked column would be stored elsewhere or given to code that is not known
        SELECT customer_line(length(email)) FROM customers
            a masked column would be stored elsewhere or given to code that is not known
        COPY (SELECT id FROM customers WHERE email LIKE 'a%') TO STDOUT
            a masked column that decides is also shown in another form than its own
        EXPLAIN SELECT id FROM customers WHERE email LIKE 'a%'
            [[]] EXPLAIN SELECT id FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") AS "customers" WHERE email LIKE 'a%'
        UPDATE orders SET total = 1 FROM customers c WHERE c.email = 'a'
            [[]] UPDATE orders SET total = 1 FROM (SELECT "id", "name", "email", "ssn", "notes" FROM "public"."customers") c WHERE c.email = 'a'
    "#]].assert_eq(&shown);
}

#[test]
fn what_cannot_be_masked_is_refused() {
    let world = world();
    let refused = |sql: &str| with(&world, sql, &world.masks()).unwrap_err();
    assert_eq!(refused("SELECT id FROM customers WHERE ssn = 'x'"), Unmaskable::Filtered);
    assert_eq!(refused("SELECT email, count(email) FROM customers GROUP BY id"), Unmaskable::Counted);
    assert_eq!(refused("SELECT email FROM customers FOR UPDATE"), Unmaskable::Locked);
    assert_eq!(refused("SELECT email FROM customers TABLESAMPLE system (id)"), Unmaskable::Sampled);
    assert_eq!(refused("SELECT ctid, email FROM customers"), Unmaskable::SystemColumn);
    assert_eq!(refused("COPY (SELECT id FROM customers WHERE ssn > $$a$$) TO STDOUT"), Unmaskable::Filtered);
    assert_eq!(refused("CREATE TABLE t AS SELECT email FROM customers"), Unmaskable::Leaves);
    assert_eq!(refused("UPDATE customers SET notes = email"), Unmaskable::Leaves);
    assert_eq!(refused("DELETE FROM customers RETURNING lower(email)"), Unmaskable::Returned);
}

#[test]
fn texts_without_masked_relations_stay() {
    let world = world();
    let sql = "SELECT id /* customers */ FROM orders";
    assert_eq!(with(&world, sql, &world.masks()).unwrap(), sql);
    let sql = "UPDATE customers SET notes = 'x' WHERE id = 1";
    assert_eq!(with(&world, sql, &world.masks()).unwrap(), sql);
}

/// An analysis of another text never leads to a text that is sent.
#[test]
fn a_text_that_is_not_its_analysis_is_refused() {
    let world = world();
    let analysis = world.analyze("SELECT email FROM customers").unwrap();
    for other in ["SELECT email FROM  customers", "SELECT email, 1 FROM customers"] {
        assert!(rewrite(other, &analysis, &world.catalog, &world.masks()).is_err(), "{other}");
    }
}
