//! Definitions, and what runs because of them: each is asked for like a query.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::database::{Database, Server};
use sluice_tests::wait::{SOON, until};

const DATA: &str = "\
    CREATE TABLE customers(id int PRIMARY KEY, email text, email_lc text GENERATED ALWAYS AS (lower(email)) STORED);\
    INSERT INTO customers VALUES (1,'zq7x.k1@leak.example.com'),(2,'zq7x.k2@leak.example.com');\
    CREATE TABLE plain(id int PRIMARY KEY, v text);\
    INSERT INTO plain VALUES (1,'hello');\
    CREATE TABLE notes(plain int REFERENCES plain(id), note text);\
    INSERT INTO notes VALUES (1,'kept');\
    CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN NEW.v := (SELECT email FROM public.customers ORDER BY id LIMIT 1); RETURN NEW; END $$;\
    CREATE FUNCTION peek() RETURNS text LANGUAGE sql AS $$ SELECT email FROM public.customers ORDER BY id LIMIT 1 $$;\
    CREATE TABLE filled(id int, v text);\
    CREATE TRIGGER fill BEFORE INSERT ON filled FOR EACH ROW EXECUTE FUNCTION fill();\
    CREATE TABLE peeking(id int, v text DEFAULT peek());\
    CREATE FUNCTION fine(of text) RETURNS bool LANGUAGE sql AS $$ SELECT true $$;\
    CREATE FUNCTION keyed(of int) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT of $$;\
    CREATE DOMAIN peeked AS text DEFAULT peek();\
    CREATE DOMAIN inner_text AS text CHECK (fine(VALUE));\
    CREATE DOMAIN outer_text AS inner_text;\
    CREATE DOMAIN casting AS text CHECK ((VALUE::inner_text) IS NOT NULL);\
    CREATE TYPE pair AS (a int, b inner_text);\
    CREATE TYPE span AS RANGE (subtype = outer_text);\
    CREATE TABLE d1(id int, v peeked); CREATE TABLE d2(id int, v outer_text); CREATE TABLE d3(id int, v inner_text[]);\
    CREATE TABLE d4(id int, v pair); CREATE TABLE d5(id int, v casting); CREATE TABLE d6(id int, v span);\
    CREATE TABLE d7(id int, v d2); CREATE TABLE d8(id int, v text DEFAULT 'x'::text::inner_text);\
    CREATE TABLE keyed_parts(id int) PARTITION BY HASH (keyed(id));\
    CREATE TABLE keyed_part PARTITION OF keyed_parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);\
    CREATE TABLE houses(id int PRIMARY KEY); INSERT INTO houses VALUES (1), (2);\
    CREATE TABLE doors(house int REFERENCES houses(id) ON DELETE CASCADE ON UPDATE CASCADE, v text);\
    INSERT INTO doors VALUES (1, 'x'), (2, 'x');\
    CREATE FUNCTION slam() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN NEW.v := (SELECT email FROM public.customers ORDER BY id LIMIT 1); RETURN NEW; END $$;\
    CREATE TRIGGER slam BEFORE UPDATE OR DELETE ON doors FOR EACH ROW EXECUTE FUNCTION slam();\
    CREATE DOMAIN reading AS text CHECK (pg_read_file(VALUE) IS NOT NULL);\
    CREATE SCHEMA dev";

const POLICY: &str = "\
    @id(\"devs\") permit (principal in Group::\"devs\", action in [Action::\"connect\", Action::\"read\", Action::\"write\", Action::\"define\"], resource);\n\
    @id(\"elsewhere\") permit (principal in Group::\"guests\", action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"in-dev\") permit (principal in Group::\"guests\", action in [Action::\"write\", Action::\"define\"], resource in Schema::\"shop/dev\");\n\
    @id(\"one-table\") permit (principal in Group::\"guests\", action == Action::\"sql.write\", resource == Table::\"shop/public/plain\");\n\
    @id(\"keepers\") permit (principal in Group::\"keepers\", action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n\
    @id(\"kept\") forbid (principal in Group::\"keepers\", action, resource) \
     when { context has stmt && context.stmt.kinds.containsAny([\"delete\", \"truncate\"]) };\n\
    @id(\"fillers\") permit (principal in Group::\"fillers\", action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n\
    @id(\"may-fill\") permit (principal in Group::\"fillers\", action == Action::\"sql.call\", resource == Function::\"shop/public/fill\");\n";

fn shop() -> (Broker, Database) {
    let database = Server::shared().database(DATA);
    let columns = vec![("public.customers.email".to_owned(), "pii.contact".to_owned())];
    let mut setup = Setup::new(vec![Target { columns, ..Target::new("shop", "staging", &database) }]);
    setup.policies = vec![("definitions.cedar".to_owned(), POLICY.to_owned())];
    (Broker::start(&setup), database)
}

#[test]
fn who_may_define_gets_no_function_and_no_value_by_it() {
    let (broker, database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    let before = database.truth("SELECT count(*) FROM pg_attribute");
    let path = dev.query("SHOW search_path").ok().rows();
    for sql in [
        "ALTER TABLE plain ADD COLUMN leak text DEFAULT (query_to_xml('select email from customers', true, true, '')::text)",
        "ALTER TABLE plain ALTER COLUMN v TYPE text USING query_to_xml('select email from customers', true, true, '')::text",
        "CREATE TABLE dev.x (a text DEFAULT query_to_xml('select email from customers', true, true, ''))",
        "ALTER TABLE plain ADD COLUMN z text DEFAULT set_config('search_path', 'dev,public', false)",
        "CREATE TABLE dev.q (a text) PARTITION BY LIST (set_config('role', 'none', false))",
        "CREATE SCHEMA s2 GRANT ALL ON TABLE public.plain TO public",
        "CREATE TABLE dev.x (a text DEFAULT public.peek())",
        "CREATE TRIGGER fill BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fill()",
        "SELECT '/etc/passwd'::reading",
    ] {
        let _denied = dev.query(sql).refused("42501");
    }
    assert_eq!(database.truth("SELECT count(*) FROM pg_attribute"), before);
    assert_eq!(dev.query("SHOW search_path").ok().rows(), path);
    let _made = dev.query("CREATE TABLE dev.q (a text) PARTITION BY LIST (a)").ok();
    let _denied = dev
        .query("CREATE TABLE dev.q1 PARTITION OF dev.q FOR VALUES IN (set_config('role', 'none', false))")
        .refused("42501");
}

#[test]
fn ordinary_definitions_need_no_more_than_their_verb() {
    let (broker, _database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    for sql in [
        "CREATE SEQUENCE dev.numbers",
        "CREATE TABLE dev.things (id bigserial PRIMARY KEY, num int DEFAULT nextval('dev.numbers'), at timestamptz NOT NULL DEFAULT now(),\
         tag uuid DEFAULT gen_random_uuid(), name varchar(20) CHECK (length(name) > 1), low text GENERATED ALWAYS AS (lower(name)) STORED,\
         whose int REFERENCES public.plain(id), data jsonb DEFAULT '{}', UNIQUE (name, at)) WITH (fillfactor = 70)",
        "CREATE INDEX ON dev.things (lower(name)) WHERE num > 1",
        "ALTER TABLE dev.things ADD COLUMN more int DEFAULT 1 + 1, ALTER COLUMN num TYPE bigint USING num::bigint",
        "INSERT INTO dev.things (name) VALUES ('one')",
        "CREATE DOMAIN dev.short AS text CHECK (length(VALUE) < 5)",
        "CREATE TABLE dev.parts (a int, b dev.short) PARTITION BY RANGE (a)",
        "CREATE TABLE dev.part PARTITION OF dev.parts FOR VALUES FROM (MINVALUE) TO (10)",
        "INSERT INTO dev.parts VALUES (1, 'x')",
        "ALTER TABLE customers ADD COLUMN more int DEFAULT 1",
        "CREATE INDEX ON customers (more)",
        "CREATE TABLE dev.whose (id int REFERENCES customers(id) ON DELETE CASCADE)",
        "CREATE SCHEMA made CREATE TABLE t (a int) CREATE VIEW v AS SELECT id FROM public.plain",
    ] {
        let _done = dev.query(sql).ok();
    }
    let row = dev.query("SELECT id, num, low, more FROM dev.things").ok().rows();
    assert_eq!(row, [["1", "1", "one", "2"].map(|text| Some(text.to_owned()))]);
}

#[test]
fn generated_columns_are_masked_and_shown_by_check() {
    let (broker, _database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    let shown = dev.query("SELECT email_lc FROM customers").ok().rows();
    assert_eq!(shown, [[Some("***".to_owned())], [Some("***".to_owned())]]);
    let checked = broker.cli(&["check"]).done().said();
    assert!(checked.contains("`public.customers.email_lc`"), "{checked}");
}

#[test]
fn what_a_write_runs_is_asked_for() {
    let (broker, database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    for sql in ["INSERT INTO filled VALUES (1) RETURNING v", "INSERT INTO peeking (id) VALUES (1) RETURNING v"] {
        let reply = dev.query(sql);
        let _denied = reply.refused("42501");
        Scan::default().none_in(sql, format!("{reply:?}").as_bytes());
    }
    assert_eq!(database.truth("SELECT count(*) FROM filled, peeking"), "0");
    let mut filler = broker.wire("fil", "shop", &broker.token("fil", "fillers"));
    assert_eq!(filler.query("INSERT INTO filled VALUES (1)").ok().completed().as_deref(), Some("INSERT 0 1"));
    let _denied = filler.query("INSERT INTO peeking (id) VALUES (1)").refused("42501");
}

#[test]
fn whatever_a_write_runs_is_asked_for_however_deep_it_is() {
    let (broker, _database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    for sql in [
        "INSERT INTO d1 (id) VALUES (1) RETURNING v",
        "ALTER TABLE plain ADD COLUMN w peeked",
        "INSERT INTO d2 VALUES (1, 'a')",
        "SELECT 'a'::outer_text",
        "INSERT INTO d3 VALUES (1, '{a}')",
        "SELECT '{a}'::inner_text[]",
        "SELECT '{a}'::_outer_text",
        "INSERT INTO d4 VALUES (1, '(1,a)')",
        "SELECT '(1,a)'::pair",
        "INSERT INTO d5 VALUES (1, 'a')",
        "SELECT 'a'::casting",
        "INSERT INTO d6 VALUES (1, '[a,b]')",
        "SELECT '[a,b]'::span",
        "INSERT INTO d7 VALUES (1, '(1,a)')",
        "INSERT INTO d8 (id) VALUES (1)",
        "INSERT INTO keyed_parts VALUES (1)",
        "INSERT INTO keyed_part VALUES (1)",
        "UPDATE houses SET id = 20 WHERE id = 2",
        "DELETE FROM houses WHERE id = 2",
        "MERGE INTO houses USING plain ON true WHEN MATCHED THEN DELETE",
    ] {
        let refused = dev.query(sql).refused("42501");
        assert!(refused.message.contains("call") || refused.detail.contains("default-deny"), "{sql}: {refused:?}");
    }
    let _added = dev.query("INSERT INTO houses VALUES (3)").ok();
}

#[test]
fn whoever_defines_puts_no_code_in_the_place_of_what_others_run() {
    let (broker, database) = shop();
    let _made = database.run(
        "CREATE FUNCTION diff(a float8, b float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS $$ SELECT a - b $$;\
         CREATE TYPE kept AS RANGE (SUBTYPE = int4)",
    );
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    let body = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plain SELECT 9, email FROM customers; RETURN NEW; END $$";
    let before = database.truth("SELECT array_agg(xmin ORDER BY oid) FROM pg_proc WHERE oid > 16384");
    for sql in [
        format!("CREATE OR REPLACE FUNCTION fill() {body}").as_str(),
        "ALTER FUNCTION fill() SET search_path TO dev",
        "ALTER FUNCTION fill() SECURITY DEFINER",
        "ALTER FUNCTION fill() RENAME TO filled_up",
        "ALTER FUNCTION fill() SET SCHEMA dev",
        "DROP FUNCTION peek() CASCADE",
        "CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS $$ SELECT max(email) FROM customers $$",
        "CREATE TYPE spread AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = diff)",
        "CREATE OPERATOR <-> (LEFTARG = float8, RIGHTARG = float8, FUNCTION = diff)",
    ] {
        let _denied = dev.query(sql).refused("42501");
    }
    assert_eq!(database.truth("SELECT array_agg(xmin ORDER BY oid) FROM pg_proc WHERE oid > 16384"), before);
    for sql in [
        "CREATE OR REPLACE FUNCTION dev.own() RETURNS int STABLE LANGUAGE sql AS $$ SELECT 1 $$",
        "CREATE TYPE dev.spread AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",
        "CREATE TABLE dev.spreads (of dev.spread)",
        "INSERT INTO dev.spreads VALUES ('[1,2]')",
        "SELECT of && '[1,3]'::dev.spread, kept(1, 2) FROM dev.spreads",
    ] {
        let _done = dev.query(sql).ok();
    }
    let mut filler = broker.wire("fil", "shop", &broker.token("fil", "fillers"));
    let _not_theirs = filler.query(&format!("CREATE OR REPLACE FUNCTION fill() {body}")).refused("42501");
}

#[test]
fn aggregates_of_extensions_are_harmless_where_their_parts_are() {
    let (broker, database) = shop();
    let _made = database.run(
        "CREATE EXTENSION citext; CREATE FUNCTION taking(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;\
         CREATE AGGREGATE own(int) (SFUNC = taking, STYPE = int)",
    );
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    assert_eq!(dev.query("SELECT max(id), min(id) FROM plain").ok().rows().len(), 1);
    assert_eq!(dev.query("SELECT max('a'::citext)").ok().rows(), [[Some("a".to_owned())]]);
    assert_eq!(dev.query("SELECT max(email) FROM customers").ok().rows(), [[Some("***".to_owned())]]);
    let _denied = dev.query("SELECT own(id) FROM plain").refused("42501");
}

#[test]
fn triggers_that_somebody_else_makes_or_disables_are_known_soon() {
    let (broker, database) = shop();
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    let first = "CREATE TRIGGER first BEFORE DELETE ON plain FOR EACH ROW EXECUTE FUNCTION fill()";
    let _made = database.run(&format!("{first}; ALTER TABLE plain DISABLE TRIGGER first"));
    let mut writes = || dev.query("INSERT INTO plain VALUES (2, 'x') ON CONFLICT DO NOTHING").error().is_none();
    until(SOON, "the disabled trigger to be known", || writes().then_some(()));
    let _made = database.run("CREATE TRIGGER late BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION fill()");
    until(SOON, "the new trigger to be known", || (!writes()).then_some(()));
    let _made = database.run("ALTER TABLE plain DISABLE TRIGGER late");
    until(SOON, "the trigger to be known as disabled", || writes().then_some(()));
}

#[test]
fn what_is_done_to_other_tables_is_asked_for_on_them() {
    let (broker, database) = shop();
    let mut guest = broker.wire("gil", "shop", &broker.token("gil", "guests"));
    for sql in [
        "TRUNCATE plain CASCADE",
        "CREATE TABLE dev.k () INHERITS (public.plain)",
        "ALTER TABLE dev.k INHERIT public.plain",
    ] {
        let _denied = guest.query(sql).refused("42501");
    }
    assert_eq!(database.truth("SELECT note FROM notes"), "kept");
    let mut dev = broker.wire("dev", "shop", &broker.token("dev", "devs"));
    assert_eq!(dev.query("TRUNCATE plain CASCADE").ok().completed().as_deref(), Some("TRUNCATE TABLE"));
}

#[test]
fn a_rule_on_kinds_finds_them_wherever_they_stand() {
    let (broker, database) = shop();
    let mut keeper = broker.wire("kim", "shop", &broker.token("kim", "keepers"));
    for sql in [
        "WITH d AS (DELETE FROM notes RETURNING note) SELECT * FROM d",
        "EXPLAIN ANALYZE DELETE FROM notes",
        "PREPARE p AS DELETE FROM notes",
        "COPY (DELETE FROM notes RETURNING note) TO STDOUT",
        "PREPARE p AS DELETE FROM notes; EXECUTE p",
    ] {
        let _denied = keeper.query(sql).refused("42501");
    }
    assert_eq!(database.truth("SELECT note FROM notes"), "kept");
    let _done = keeper.query("UPDATE notes SET note = 'kept' WHERE plain = 1").ok();
}
