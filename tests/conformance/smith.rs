//! Queries that sqlsmith makes up: the same end through the broker as past it, and no protected value where masks are on.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::database::{Database, PASSWORD, ROLE};
use sluice_tests::run::run;
use sluice_tests::wire::Wire;

use crate::outcome::{Compared, Outcome, Outcomes, say};
use crate::stand::{Stand, Way, fetched};

/// How many queries.
const QUERIES: usize = 5_000;
/// The database that they are made up for; it is the name of the target too.
const DATABASE: &str = "smith";
/// How long making them up may take.
const MAKING: Duration = Duration::from_secs(600);
/// How often a query is run anew to see whether it ends differently by chance.
const RUNS: u32 = 20;
/// What a query that takes too long ends with, sooner or later.
const LATE: &str = "57014";

/// Reading is permitted, also of what is masked.
const READERS: &str = "\
    @id(\"read\") permit (principal, action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n";

/// What they are made up about; the tests' canaries stand in the columns that are tagged.
const DATA: &str = "\
    CREATE TABLE customers(id int PRIMARY KEY, name text, email text, ssn text, notes text, since date, rating numeric);\
    CREATE TABLE orders(id int PRIMARY KEY, customer_id int REFERENCES customers(id), total numeric, at timestamptz, done bool);\
    CREATE TABLE events(id bigint, kind varchar(20), body jsonb, flags bit(4), seen inet) PARTITION BY LIST (kind);\
    CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a');\
    CREATE TABLE events_b PARTITION OF events DEFAULT;\
    CREATE VIEW open_orders AS SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE NOT o.done;\
    CREATE MATERIALIZED VIEW totals AS SELECT customer_id, sum(total) AS total FROM orders GROUP BY 1;\
    INSERT INTO customers VALUES\
     (1,'Alice','zq7x.k1@leak.example.com','900-55-0001','vip','2020-01-02',4.5),\
     (2,'Bob','zq7x.k2@leak.example.com','900-55-0002',NULL,'2021-03-04',3),\
     (3,'Carol','zq7x.k3@leak.example.com','900-55-0003','late payer','2022-05-06',NULL);\
    INSERT INTO orders VALUES (10,1,99.50,now(),true),(11,1,12.00,now(),false),(12,3,7.25,now(),false);\
    INSERT INTO events VALUES (1,'a','{\"k\":1}',B'1010','10.0.0.1'),(2,'b','[1,2]',B'0001',NULL);\
    REFRESH MATERIALIZED VIEW totals";

/// Runs every query past the broker, through it without masks, and through it with masks.
pub(crate) fn compare() -> Result<Compared> {
    let mut stand = Stand::open(Way::Direct, DATABASE);
    let _owned = stand.server.admin("postgres").query(&format!("ALTER DATABASE {DATABASE} OWNER TO {ROLE}")).ok();
    let _given = stand.server.admin(DATABASE).query(&format!("ALTER SCHEMA public OWNER TO {ROLE}")).ok();
    let _filled = stand.server.direct(ROLE, DATABASE).query(DATA).ok();
    let queries = made_up(&stand)?;
    stand.guard_as(DATABASE, ROLE);
    let broker = stand.broker.as_ref().context("it was just started")?;
    let mut direct = stand.server.direct(ROLE, DATABASE);
    let mut through = broker.wire("tester", DATABASE, &stand.token);
    let masked = masked(&stand);
    let mut hidden = masked.wire("tester", DATABASE, &masked.token("tester", "testers"));
    let mut compared = Compared { direct: Outcomes::new(), through: Outcomes::new(), known: BTreeMap::new() };
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        let (one, other) = ends_of(&mut direct, &mut through, query);
        let test = format!("query {at}: {one} directly, {other} through the broker: {query}");
        let same = one == other || one == LATE || other == LATE;
        compared.direct.insert(test.clone(), Outcome::Passes);
        compared.through.insert(test, if same { Outcome::Passes } else { Outcome::Fails });
        *ends.entry(end(&mut hidden, query)).or_default() += 1;
        search(&mut hidden, query)?;
    }
    say(format_args!("smith: with masks on no value leaked; {}", told(&ends)))?;
    stand.close()?;
    Ok(compared)
}

/// How a query ends both ways. One that samples rows, or asks for the time, ends as chance has it: it is run again until
/// both ways have shown a common end.
fn ends_of(direct: &mut Wire, through: &mut Wire, query: &str) -> (String, String) {
    let (mut one, mut other) = (end(direct, query), end(through, query));
    let (mut ones, mut others) = (BTreeSet::from([one.clone()]), BTreeSet::from([other.clone()]));
    for _ in 0..RUNS {
        if let Some(common) = ones.intersection(&others).next() {
            return (common.clone(), common.clone());
        }
        (one, other) = (end(direct, query), end(through, query));
        ones.insert(one.clone());
        others.insert(other.clone());
    }
    (one, other)
}

/// The queries, the same each time.
fn made_up(stand: &Stand) -> Result<Vec<String>> {
    let place = fetched().join("sqlsmith/usr");
    let server = stand.server;
    let target = format!("host={} port={} dbname={DATABASE} user={ROLE}", server.folder().display(), server.port());
    let mut smith = Command::new(place.join("bin/sqlsmith"));
    smith.args(["--dry-run", "--exclude-catalog", "--seed=7"]).arg(format!("--max-queries={}", QUERIES + QUERIES / 4));
    smith.arg(format!("--target={target}")).env("PGPASSWORD", PASSWORD);
    smith.env("LD_LIBRARY_PATH", place.join(format!("lib/{}-linux-gnu", std::env::consts::ARCH)));
    let made = run(&mut smith, MAKING);
    let queries: Vec<String> = made.stdout.split(";\n").map(|query| query.trim().to_owned()).collect();
    // What a query learns of its own connection is another way another thing.
    let queries = queries.into_iter().filter(|query| !query.is_empty() && !query.contains("pg_catalog.inet_"));
    let queries: Vec<String> = queries.take(QUERIES).collect();
    if queries.len() < QUERIES {
        bail!("sqlsmith made up {} queries only:\n{}", queries.len(), made.stderr);
    }
    Ok(queries)
}

/// A broker that masks.
fn masked(stand: &Stand) -> Broker {
    let place = Database { server: stand.server, name: DATABASE.to_owned() };
    let mut setup = Setup::new(vec![Target::new(DATABASE, "prod", &place)]);
    setup.policies = vec![("readers.cedar".to_owned(), READERS.to_owned())];
    Broker::start(&setup)
}

/// How a query ends, with nothing left of it: its SQLSTATE, or `ok`.
fn end(wire: &mut Wire, query: &str) -> String {
    let _begun = wire.query("BEGIN; SET LOCAL statement_timeout = '2s'").ok();
    let end = wire.query(query).error().map_or_else(|| "ok".to_owned(), |said| said.sqlstate);
    let _over = wire.query("ROLLBACK").ok();
    end
}

/// Fails where a protected value was in anything that the client heard.
fn search(wire: &mut Wire, query: &str) -> Result<()> {
    let found = Scan::default().find(&wire.heard);
    if !found.is_empty() {
        bail!("{} leaked by: {query}", found.join(", "));
    }
    wire.heard.clear();
    Ok(())
}

fn told(ends: &BTreeMap<String, u32>) -> String {
    let told: Vec<String> = ends.iter().map(|(end, count)| format!("{count} ended with {end}")).collect();
    told.join(", ")
}
