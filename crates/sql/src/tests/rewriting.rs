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
    rewrite(sql, &world.analyze(sql).unwrap(), &world.catalog, masks)
}

fn mask(oid: u32, attnum: i16, transform: Transform) -> ColumnMask {
    ColumnMask { oid, attnum, transform }
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
    show(sql, &[mask(CUSTOMERS, 3, Transform::Hash)], &expect!["this kind of mask cannot be made in the statement"]);
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
fn what_cannot_be_masked_is_refused() {
    let world = world();
    let refused = |sql: &str| with(&world, sql, &world.masks()).unwrap_err();
    assert_eq!(refused("SELECT id FROM customers WHERE ssn = 'x'"), Unmaskable::Filtered);
    assert_eq!(refused("SELECT email, count(email) FROM customers GROUP BY id"), Unmaskable::Counted);
    assert_eq!(refused("SELECT email FROM customers FOR UPDATE"), Unmaskable::Locked);
    assert_eq!(refused("SELECT email FROM customers TABLESAMPLE system (10)"), Unmaskable::Sampled);
    assert_eq!(refused("SELECT ctid, email FROM customers"), Unmaskable::SystemColumn);
    assert_eq!(refused("COPY customers (email) TO STDOUT"), Unmaskable::Filtered);
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
