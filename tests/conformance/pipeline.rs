//! `libpq_pipeline`: what PostgreSQL tests the pipelines of its own client library with.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_tests::run::run;

use crate::outcome::{Compared, Outcome, Outcomes};
use crate::stand::{Stand, Way, fetched, programs, source};

/// How long one test may take.
const ONE: Duration = Duration::from_secs(60);
/// The database that the tests run in; it is the name of the target too.
const DATABASE: &str = "pipelines";

/// Runs every test of it both ways.
pub(crate) fn compare() -> Result<Compared> {
    let program = program()?;
    let direct = run_all(&program, Way::Direct)?;
    Ok(Compared { direct, through: run_all(&program, Way::Broker)?, known: [].into() })
}

fn run_all(program: &PathBuf, way: Way) -> Result<Outcomes> {
    let stand = Stand::open(way, DATABASE);
    let mut outcomes = Outcomes::new();
    for test in run(Command::new(program).arg("tests"), ONE).done().stdout.lines() {
        let mut command = Command::new(program);
        stand.point(command.arg(test).arg(format!("dbname={DATABASE}")));
        let passes = run(&mut command, ONE).code == Some(0);
        outcomes.insert(test.to_owned(), if passes { Outcome::Passes } else { Outcome::Fails });
    }
    stand.close()?;
    Ok(outcomes)
}

/// The program, which no package carries.
fn program() -> Result<PathBuf> {
    let built = fetched().join("libpq_pipeline");
    if built.exists() {
        return Ok(built);
    }
    let major =
        programs()?.parent().and_then(|folder| folder.file_name()).context("it lies under its version")?.to_owned();
    let package = fetched().join("headers/usr");
    let headers = package.join("include/postgresql");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-w", "-I"]).arg(headers.join(&major).join("server")).arg("-I").arg(&headers);
    cc.arg("-I/usr/include/postgresql").arg("-o").arg(&built);
    cc.arg(source()?.join("src/test/modules/libpq_pipeline/libpq_pipeline.c"));
    cc.arg("-L").arg(package.join("lib/postgresql").join(&major).join("lib")).args([
        "-lpq",
        "-lpgcommon",
        "-lpgport",
        "-lm",
    ]);
    let _built = run(&mut cc, Duration::from_secs(120)).done();
    Ok(built)
}
