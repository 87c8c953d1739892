//! What a query depends on according to PostgreSQL, beside what policy was asked about.
//!
//! A temporary view is made of every query that can be one: `pg_depend` then names its relations. Each of them must be
//! among those that the broker named when it was asked for the same text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sluice_tests::broker::Broker;
use sluice_tests::corpus::{Corpus, Step};
use sluice_tests::wire::{Wire, say};

use crate::outcome::{Compared, Outcome, Outcomes};
use crate::regress::Suite;
use crate::stand::{Stand, Way, source};

/// The relations that a view depends on, itself left out: schema and name. A view also depends on a relation whose number
/// it holds (`'orders'::regclass`) or whose row type a function of it has; what it reads stands in its stored query as the
/// number of a range table entry.
const DEPENDS: &str = "\
    SELECT DISTINCT n.nspname, c.relname FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
    JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE r.ev_class = 'pg_temp.probe'::regclass AND c.oid <> r.ev_class AND c.relkind IN ('r', 'v', 'm', 'f', 'p') \
    AND r.ev_action::text LIKE '%:relid ' || c.oid || ' %'";

/// So many statements of the corpus are compared at least.
const CORPUS_QUERIES: usize = 60;

/// The relations of a query, as `schema.name`.
type Named = BTreeSet<String>;

/// Compares every query of the regression tests, over the objects that these leave behind.
pub(crate) fn compare() -> Result<Compared> {
    let stand = Stand::open(Way::Direct, "regression");
    let ran = Suite::Regress.run_on(&stand, Way::Direct)?;
    if ran.values().all(|outcome| *outcome == Outcome::Fails) {
        bail!("the regression tests left nothing");
    }
    beside(stand, "regression", &queries()?)
}

/// The same for every statement of the corpus of evasions that is one query, over the corpus's own objects.
pub(crate) fn compare_corpus() -> Result<Compared> {
    let corpus = Corpus::load();
    let stand = Stand::open(Way::Direct, "corpus");
    let _role = stand.server.admin("postgres").query("CREATE ROLE app_ro").ok();
    let _made = stand.server.admin("corpus").query(&corpus.schema).ok();
    let scripted = corpus.cases.iter().flat_map(|case| &case.script).filter_map(|step| match step {
        Step::Q(sql) | Step::P { sql, .. } => Some(sql),
        Step::Qhex(_)
        | Step::B { .. }
        | Step::D { .. }
        | Step::E { .. }
        | Step::C { .. }
        | Step::H {}
        | Step::S {}
        | Step::F { .. }
        | Step::Raw(_) => None,
    });
    let texts = corpus.cases.iter().map(|case| &case.sql).chain(scripted);
    let texts = texts.map(|text| text.trim().trim_end_matches(';').to_owned());
    // One that may hold more than a query could do anything once a view is made of it.
    let queries: BTreeSet<String> = texts.filter(|text| is_query(text) && !text.contains(';')).collect();
    let compared = beside(stand, "corpus", &queries)?;
    if compared.direct.len() < CORPUS_QUERIES {
        bail!("only {} statements of the corpus could be views and were understood", compared.direct.len());
    }
    Ok(compared)
}

/// What each query depends on, beside what policy is asked about.
fn beside(mut stand: Stand, database: &str, queries: &BTreeSet<String>) -> Result<Compared> {
    stand.guard(database);
    let broker = stand.broker.as_ref().context("it was just started")?;
    let mut direct = stand.server.admin(database);
    let depends: BTreeMap<&String, Named> =
        queries.iter().filter_map(|query| Some((query, depends(&mut direct, query)?))).collect();
    ask(broker, &stand, database, depends.keys().copied());
    let named = named(broker)?;
    let mut compared = Compared { direct: Outcomes::new(), through: Outcomes::new(), known: BTreeMap::new() };
    for (query, relations) in depends {
        // What was not understood is refused wherever something is protected.
        let outcome = match named.get(query.as_str()) {
            Some(Read::Understood(named)) if !relations.is_subset(named) => Outcome::Fails,
            Some(Read::Understood(_)) => Outcome::Passes,
            Some(Read::Untold) => continue,
            None => bail!("the broker was never asked for `{query}`"),
        };
        compared.direct.insert(query.clone(), Outcome::Passes);
        compared.through.insert(query.clone(), outcome);
    }
    stand.close()?;
    Ok(compared)
}

/// Every text of the regression tests that may be a query.
fn queries() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(source()?.join("src/test/regress/sql"))? {
        let text = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
        let mut statement = String::new();
        for line in text.lines().filter(|line| !line.starts_with("--")) {
            statement.push_str(line);
            statement.push('\n');
            if line.trim_end().ends_with(';') || line.starts_with('\\') {
                let query = statement.trim().trim_end_matches(';').to_owned();
                statement.clear();
                found.extend(is_query(&query).then_some(query));
            }
        }
    }
    Ok(found)
}

fn is_query(text: &str) -> bool {
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    ["select", "with", "values", "table"].contains(&first.to_ascii_lowercase().as_str())
}

/// What PostgreSQL says; `None` for what cannot be a view.
fn depends(direct: &mut Wire, query: &str) -> Option<Named> {
    let _begun = direct.query("BEGIN");
    let made = direct.query(&format!("CREATE TEMP VIEW probe AS {query}"));
    // Some of the texts hold more than the query.
    let is_view = made.error().is_none() && made.tags().matches('C').count() == 1;
    let named = is_view.then(|| {
        let rows = direct.query(DEPENDS).ok().rows();
        rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(".")).collect()
    });
    let _over = direct.query("ROLLBACK");
    named
}

/// Has the broker read every query: it is prepared, not run.
fn ask<'a>(broker: &Broker, stand: &Stand, database: &str, queries: impl Iterator<Item = &'a String>) {
    let mut wire = broker.wire("tester", database, &stand.token);
    for query in queries {
        wire.send(&[say::parse("", query), say::sync()].concat());
        let _answered = wire.reply();
    }
}

/// How the broker read a query.
enum Read {
    Understood(Named),
    Untold,
}

/// The relations that the broker named, by text.
fn named(broker: &Broker) -> Result<BTreeMap<String, Read>> {
    let mut all = BTreeMap::new();
    for session in broker.closed_sessions() {
        let id = session.get("id").and_then(Value::as_str).context("a session has an id")?;
        for event in broker.json(&["replay", id]) {
            let (Some("asked"), Some(text)) = (word(&event, "/event"), word(&event, "/text")) else { continue };
            let read = match word(&event, "/facts/parsed") {
                Some("true") => {
                    let relations = word(&event, "/facts/relations").unwrap_or_default();
                    Read::Understood(relations.split(", ").map(str::to_owned).collect())
                }
                _ => Read::Untold,
            };
            all.insert(text.to_owned(), read);
        }
    }
    Ok(all)
}

fn word<'a>(event: &'a Value, at: &str) -> Option<&'a str> {
    event.pointer(at)?.as_str()
}
