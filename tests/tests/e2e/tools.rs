//! PostgreSQL's own tools, through the broker as past it, in a database without tagged columns.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::clients::{psql, tool};
use sluice_tests::database::{Database, OWNER, Server, program};
use sluice_tests::run::run;

const SOON: Duration = Duration::from_secs(60);

const EVERYTHING: &str = "\
    @id(\"everything\") permit (principal, action, resource);\n\
    @id(\"and-what-cannot-be-told\") permit (principal, action in Action::\"unknown\", resource);\n";

/// One of each kind of object that a dump holds.
const SCHEMA: &str = "\
    CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('good', 'bad'); CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);\
    CREATE TYPE app.pair AS (a int, b text); CREATE SEQUENCE app.counter START 7;\
    CREATE TABLE app.people(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood app.mood, twice int GENERATED ALWAYS AS (id * 2) STORED);\
    CREATE TABLE app.things(id serial PRIMARY KEY, owner int REFERENCES app.people, weight app.positive, data bytea, tags text[], UNIQUE (owner, weight));\
    CREATE TABLE app.log(at date NOT NULL, said text) PARTITION BY RANGE (at);\
    CREATE TABLE app.log_old PARTITION OF app.log FOR VALUES FROM (MINVALUE) TO ('2020-01-01');\
    CREATE TABLE app.log_new PARTITION OF app.log DEFAULT;\
    CREATE VIEW app.owners AS SELECT p.name, count(*) AS n FROM app.people p JOIN app.things t ON t.owner = p.id GROUP BY 1;\
    CREATE MATERIALIZED VIEW app.heavy AS SELECT * FROM app.things WHERE weight > 1;\
    CREATE FUNCTION app.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) || '!' $$;\
    CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := app.shout(NEW.name); RETURN NEW; END $$;\
    CREATE TRIGGER noted BEFORE INSERT ON app.people FOR EACH ROW EXECUTE FUNCTION app.note();\
    CREATE INDEX loud ON app.people (lower(name)) WHERE mood = 'bad';\
    CREATE RULE silent AS ON DELETE TO app.log DO INSTEAD NOTHING;\
    ALTER TABLE app.people ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON app.people USING (mood = 'good');\
    CREATE AGGREGATE app.sum2(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');\
    COMMENT ON TABLE app.people IS 'who there is'; CREATE PUBLICATION news FOR TABLE app.things;\
    INSERT INTO app.people(name, mood) SELECT 'n' || i, CASE WHEN i % 2 = 0 THEN 'good' ELSE 'bad' END::app.mood FROM generate_series(1, 50) i;\
    INSERT INTO app.things(owner, weight, data, tags) SELECT i, i, decode(md5(i::text), 'hex'), ARRAY['a\tb', NULL, i::text] FROM generate_series(1, 50) i;\
    INSERT INTO app.log SELECT date '2019-12-01' + i, E'line \\\\ ' || i FROM generate_series(1, 60) i;\
    REFRESH MATERIALIZED VIEW app.heavy; SELECT lo_from_bytea(4711, 'a large object')";

/// A database of the superuser's and an empty one, and a broker that permits everything in both.
struct Pair {
    from: Database,
    to: Database,
    broker: Broker,
}

impl Pair {
    fn open() -> Self {
        let server = Server::shared();
        let (from, to) = (server.database("SELECT 1"), server.database("SELECT 1"));
        let _filled = from.run(SCHEMA);
        let target = |name: &str, database: &Database| {
            let mut target = Target::new(name, "dev", database);
            OWNER.clone_into(&mut target.user);
            target.columns.clear();
            target
        };
        let mut setup = Setup::new(vec![target("from", &from), target("to", &to)]);
        setup.policies = vec![("everything.cedar".to_owned(), EVERYTHING.to_owned())];
        Self { broker: Broker::start(&setup), from, to }
    }

    fn tool(&self, name: &str) -> Command {
        tool(&self.broker, name, "dana", &self.broker.token("dana", "anybody"))
    }
}

/// The same tool, past the broker.
fn directly(name: &str, database: &Database) -> Command {
    let mut command = Command::new(program(name));
    command.arg("-h").arg(database.server.folder()).args(["-p", &database.server.port().to_string(), "-U", OWNER]);
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn dumped(database: &Database) -> String {
    let dump = run(directly("pg_dump", database).arg(&database.name), SOON).done().stdout;
    // The key to leave restricted mode is made anew each time.
    dump.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_dump_is_restored() {
    let pair = Pair::open();
    for format in ["custom", "plain"] {
        let file = pair.broker.folder().join(format);
        let mut dump = pair.tool("pg_dump");
        let _dumped = run(dump.arg(format!("--format={format}")).arg("--file").arg(&file).arg("from"), SOON).done();
        let _emptied = pair.to.run("DROP SCHEMA IF EXISTS app CASCADE; DROP PUBLICATION IF EXISTS news; SELECT lo_unlink(oid) FROM pg_largeobject_metadata");
        let _restored = run(&mut restoring(&pair, &file, format), SOON).done();
        let whole = dumped(&pair.from);
        assert!(whole.contains("CREATE TABLE app.people") && whole.contains("line \\\\ 60"), "{whole}");
        assert_eq!(dumped(&pair.to), whole, "{format}");
    }
    pair.broker.log_is_clean();
}

fn restoring(pair: &Pair, file: &Path, format: &str) -> Command {
    let mut restore = if format == "plain" { pair.tool("psql") } else { pair.tool("pg_restore") };
    if format == "plain" {
        restore.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "to", "-f"]);
    } else {
        restore.args(["--exit-on-error", "-d", "to"]);
    }
    restore.arg(file);
    restore
}

const DESCRIBING: &str = "\
    \\d\n\\d app.*\n\\d+ app.people\n\\d+ app.things\n\\d+ app.log\n\\d+ app.owners\n\\da app.*\n\\dA+\n\\db\n\\dc app.*\n\\dC\n\\dd\n\\dD+ app.*\n\
    \\ddp\n\\dE\n\\des+\n\\det\n\\deu\n\\dew\n\\df+ app.*\n\\dF\n\\dFd\n\\dFp\n\\dFt\n\\dg+\n\\di+ app.*\n\\dl\n\\dL+\n\\dm+ app.*\n\
    \\dn+\n\\do\n\\dO\n\\dp app.*\n\\dP+ app.*\n\\drds\n\\dRp+\n\\dRs\n\\ds+ app.*\n\\dt+ app.*\n\\dT+ app.*\n\\du\n\\dv+ app.*\n\\dx+\n\\dX\n\\dy\n\
    \\sf app.shout\n\\sv app.owners\n\\z app.*\n";

#[test]
fn psql_describes_everything_alike() {
    let pair = Pair::open();
    let file = pair.broker.folder().join("describe.sql");
    assert!(std::fs::write(&file, DESCRIBING).is_ok());
    let token = pair.broker.token("dana", "anybody");
    let mut through = psql(&pair.broker, "dana", "from", &token);
    let through = run(through.arg("-f").arg(&file), SOON).done();
    let mut past = directly("psql", &pair.from);
    past.args(["-X", "--no-align", "--tuples-only", "--pset", "pager=off", "-f"]).arg(&file).arg(&pair.from.name);
    let past = run(&mut past, SOON).done();
    assert_eq!(through.said(), past.said());
    assert!(past.stdout.len() > 10_000 && !past.said().contains("ERROR"), "{}", past.said());
}
