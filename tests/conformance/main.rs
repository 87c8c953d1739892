//! `make conformance`: what PostgreSQL and its drivers test themselves with, through a broker and past it.
//!
//! The broker analyses every statement, masks nothing and permits everything, so that the same tests must pass both ways.
//! A test that fails past the broker too says nothing about it. What differs by design is in a list beside the suite, each
//! entry with its reason; an entry that does not fail any more fails the suite.

mod depend;
mod drivers;
mod orm;
mod outcome;
mod pipeline;
mod regress;
mod rows;
mod smith;
mod stand;

use std::process::ExitCode;

use anyhow::{Result, bail};

use outcome::say;

const USAGE: &str = "\
usage: sluice-conformance SUITE…

  regress     PostgreSQL's own regression tests, by pg_regress
  isolation   its isolation tests
  depend      the relations of their queries, as pg_depend has them and as policy was asked about them
  corpus      the same for the statements of the corpus of evasions
  pipeline    libpq_pipeline, which it tests pipelines with
  asyncpg     asyncpg's own tests
  psycopg2    psycopg2's own tests
  orm         SQLAlchemy over three drivers, Django over one, and their ORMs
  rows        a row of a gigabyte and a copied message of half of one, with flat memory
  smith       5,000 queries that sqlsmith makes up, with and without masks, and in two worlds

`tools/conformance.sh` fetches what they need.";

fn main() -> ExitCode {
    match conform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unseen = say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn conform() -> Result<()> {
    let suites: Vec<String> = std::env::args().skip(1).collect();
    match suites.first().map(String::as_str) {
        None => bail!("{USAGE}"),
        Some("--help" | "-h") => return say(format_args!("{USAGE}")),
        Some(_) => {}
    }
    let mut failed = Vec::new();
    for suite in suites {
        let outcome = match suite.as_str() {
            "regress" => regress::Suite::Regress.compare(),
            "isolation" => regress::Suite::Isolation.compare(),
            "depend" => depend::compare(),
            "corpus" => depend::compare_corpus(),
            "pipeline" => pipeline::compare(),
            "asyncpg" => drivers::Driver::Asyncpg.compare(),
            "orm" => orm::compare(),
            "rows" => rows::compare(),
            "smith" => smith::compare(),
            "psycopg2" => drivers::Driver::Psycopg2.compare(),
            _ => bail!("there is no suite `{suite}`\n{USAGE}"),
        };
        match &outcome {
            Ok(compared) => compared.print(&suite)?,
            Err(error) => say(format_args!("{suite}: {error:#}"))?,
        }
        failed.extend(outcome.map_or(true, |compared| !compared.is_same()).then_some(suite));
    }
    if !failed.is_empty() {
        bail!("not as past the broker: {}", failed.join(", "));
    }
    Ok(())
}
