//! Queries that sqlsmith makes up: the same end through the broker as past it; where masks are on no protected value, and the same
//! answer whatever the protected values are.

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
/// A database that differs from it in protected values only, with a name as long, and what both are copies of.
const OTHER: &str = "smitz";
const BASE: &str = "smith_base";
/// How many answers of a hundred may be as chance has them, so that two worlds cannot be compared by them.
const BY_CHANCE: usize = 20;
/// What stands before the number of a decision.
const DECISION: &[u8] = b"\"decision\":\"";
/// How long making them up may take.
const MAKING: Duration = Duration::from_secs(600);
/// How often a query is run anew to see whether it ends differently by chance.
const RUNS: u32 = 20;
/// What a query that takes too long ends with, sooner or later.
const LATE: &str = "57014";

/// Reading is permitted, also of what is masked.
const READERS: &str = "\
    @id(\"read\") permit (principal, action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n";

/// What they are made up about.
const DATA: &str = "\
    CREATE TABLE customers(id int PRIMARY KEY, name text, email text, ssn text, notes text, since date, rating numeric);\
    CREATE TABLE orders(id int PRIMARY KEY, customer_id int REFERENCES customers(id), total numeric, at timestamptz, done bool);\
    CREATE TABLE events(id bigint, kind varchar(20), body jsonb, flags bit(4), seen inet) PARTITION BY LIST (kind);\
    CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a');\
    CREATE TABLE events_b PARTITION OF events DEFAULT;\
    CREATE VIEW open_orders AS SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE NOT o.done;\
    CREATE MATERIALIZED VIEW totals AS SELECT customer_id, sum(total) AS total FROM orders GROUP BY 1;\
    INSERT INTO orders VALUES (10,1,99.50,'2024-02-03 04:05Z',true),(11,1,12.00,'2024-03-04 05:06Z',false),(12,3,7.25,'2024-04-05 06:07Z',false);\
    INSERT INTO events VALUES (1,'a','{\"k\":1}',B'1010','10.0.0.1'),(2,'b','[1,2]',B'0001',NULL);\
    REFRESH MATERIALIZED VIEW totals";

/// The rows that hold what is protected: the tests' canaries, and other values.
const CUSTOMERS: [(&str, &str); 2] = [
    (
        DATABASE,
        "INSERT INTO customers VALUES\
     (1,'Alice','zq7x.k1@leak.example.com','900-55-0001','vip','2020-01-02',4.5),\
     (2,'Bob','zq7x.k2@leak.example.com','900-55-0002',NULL,'2021-03-04',3),\
     (3,'Carol','zq7x.k3@leak.example.com','900-55-0003','late payer','2022-05-06',NULL)",
    ),
    (
        OTHER,
        "INSERT INTO customers VALUES\
     (1,'Alice','someone.else@other.example.org','z','vip','2020-01-02',4.5),\
     (2,'Bob',NULL,'11-222-333344',NULL,'2021-03-04',3),\
     (3,'Carol','','123-45-6789','late payer','2022-05-06',NULL)",
    ),
];

/// Runs every query past the broker, through it without masks, and through it with masks.
pub(crate) fn compare() -> Result<Compared> {
    let mut stand = Stand::open(Way::Direct, BASE);
    fill(&stand);
    let queries = made_up(&stand)?;
    stand.guard_as(DATABASE, ROLE);
    let broker = stand.broker.as_ref().context("it was just started")?;
    let mut direct = stand.server.direct(ROLE, DATABASE);
    let mut through = broker.wire("tester", DATABASE, &stand.token);
    let masked = masked(&stand);
    let world = |target| masked.wire("tester", target, &masked.token("tester", "testers"));
    let (mut hidden, mut other_world) = (world(DATABASE), world(OTHER));
    let mut by_chance = 0;
    let mut compared = Compared { direct: Outcomes::new(), through: Outcomes::new(), known: BTreeMap::new() };
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        let (one, other) = ends_of(&mut direct, &mut through, query);
        let test = format!("query {at}: {one} directly, {other} through the broker: {query}");
        let same = one == other || one == LATE || other == LATE;
        compared.direct.insert(test.clone(), Outcome::Passes);
        compared.through.insert(test, if same { Outcome::Passes } else { Outcome::Fails });
        let told = worlds(&mut hidden, &mut other_world, query)?;
        *ends.entry(told.end).or_default() += 1;
        by_chance += usize::from(told.same == Same::ByChance);
        let test = format!("query {at} with other protected values: {query}");
        compared.direct.insert(test.clone(), Outcome::Passes);
        compared.through.insert(test, if told.same == Same::No { Outcome::Fails } else { Outcome::Passes });
    }
    say(format_args!("smith: of {QUERIES} answers {by_chance} are as chance has them"))?;
    if by_chance * 100 > QUERIES * BY_CHANCE {
        bail!("too many answers to compare two worlds by");
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

/// Two databases that are copies of one, down to the numbers of their objects and the places of their rows, but for the
/// protected values.
fn fill(stand: &Stand) {
    let server = stand.server;
    let owned = format!("ALTER DATABASE {BASE} OWNER TO {ROLE}; ALTER SCHEMA public OWNER TO {ROLE}");
    let _owned = server.admin(BASE).query(&owned).ok();
    // Orders come before their customers.
    let filling = format!("SET session_replication_role = replica; SET ROLE {ROLE}; {DATA}");
    let _filled = server.admin(BASE).query(&filling).ok();
    for (database, customers) in CUSTOMERS {
        let copied = format!("CREATE DATABASE {database} TEMPLATE {BASE} OWNER {ROLE}");
        let _copied = server.admin("postgres").query(&copied).ok();
        let _filled = server.direct(ROLE, database).query(customers).ok();
    }
}

/// A broker that masks.
fn masked(stand: &Stand) -> Broker {
    let target = |name: &str| Target::new(name, "prod", &Database { server: stand.server, name: name.to_owned() });
    let mut setup = Setup::new(vec![target(DATABASE), target(OTHER)]);
    setup.policies = vec![("readers.cedar".to_owned(), READERS.to_owned())];
    Broker::start(&setup)
}

/// Whether two worlds answer a query the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Same {
    Yes,
    /// One world answers it differently each time, or each connection does.
    ByChance,
    No,
}

/// How a query ends in the first world, and whether it is told from the other one.
struct Told {
    end: String,
    same: Same,
}

/// Asks both worlds; what differs is asked again until a world contradicts itself.
fn worlds(first: &mut Wire, second: &mut Wire, query: &str) -> Result<Told> {
    let (end, heard) = answer(first, query)?;
    let (other_end, other) = answer(second, query)?;
    let told = |same| Ok(Told { end: end.clone(), same });
    if heard == other {
        return told(Same::Yes);
    }
    if end == LATE || other_end == LATE || query.contains("pg_backend_pid") {
        return told(Same::ByChance);
    }
    for _ in 0..RUNS {
        if answer(first, query)?.1 != heard || answer(second, query)?.1 != other {
            return told(Same::ByChance);
        }
    }
    told(Same::No)
}

/// How a query ends, and all that the client heard of it; fails where a protected value is in that.
fn answer(wire: &mut Wire, query: &str) -> Result<(String, Vec<u8>)> {
    wire.heard.clear();
    let end = end(wire, query);
    search(wire, query)?;
    Ok((end, nameless(&std::mem::take(&mut wire.heard))))
}

/// What was heard, without the numbers of decisions, which are never the same, and without the name of the world.
fn nameless(heard: &[u8]) -> Vec<u8> {
    let (mut rest, mut kept) = (heard, Vec::with_capacity(heard.len()));
    while let Some(at) = rest.windows(DECISION.len()).position(|window| window == DECISION) {
        let (before, after) = rest.split_at(at + DECISION.len());
        kept.extend_from_slice(before);
        rest = after.iter().position(|byte| *byte == b'"').and_then(|end| after.get(end..)).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    while let Some(at) = kept.windows(OTHER.len()).position(|window| window == OTHER.as_bytes()) {
        kept.splice(at..at + OTHER.len(), DATABASE.bytes());
    }
    kept
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
    Ok(())
}

fn told(ends: &BTreeMap<String, u32>) -> String {
    let told: Vec<String> = ends.iter().map(|(end, count)| format!("{count} ended with {end}")).collect();
    told.join(", ")
}
