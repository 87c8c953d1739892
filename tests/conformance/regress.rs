//! PostgreSQL's regression tests, run by its own `pg_regress`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_tests::database::OWNER;
use sluice_tests::run::run;

use crate::outcome::{Compared, Outcome, Outcomes, known};
use crate::stand::{Stand, Way, fetched, programs, source};

/// The database that the tests run in; it is the name of the target too.
const DATABASE: &str = "regression";
/// How long all of them may take.
const WHOLE: Duration = Duration::from_secs(1_800);
/// What `pg_regress` sets for a database that it creates.
const SETTINGS: &str = "\
    ALTER DATABASE regression SET lc_messages TO 'C'; ALTER DATABASE regression SET lc_monetary TO 'C';\
    ALTER DATABASE regression SET lc_numeric TO 'C'; ALTER DATABASE regression SET lc_time TO 'C';\
    ALTER DATABASE regression SET bytea_output TO 'hex'; ALTER DATABASE regression SET timezone_abbreviations TO 'Default'";

/// Runs the regression tests both ways.
pub(crate) fn regress() -> Result<Compared> {
    Ok(Compared {
        direct: run_all(Way::Direct)?,
        through: run_all(Way::Broker)?,
        known: known(include_str!("regress.txt"))?,
    })
}

fn run_all(way: Way) -> Result<Outcomes> {
    let stand = Stand::open(way, DATABASE);
    let _set = stand.server.admin("postgres").query(SETTINGS).ok();
    let tests = source()?.join("src/test/regress");
    let results = results(way)?;
    let libraries = libraries(&tests)?;
    let pgxs = programs()?.with_file_name("lib/pgxs/src/test/regress/pg_regress");
    let mut command = Command::new(pgxs);
    command.arg("--inputdir").arg(&tests).arg("--outputdir").arg(&results).arg("--bindir").arg(programs()?);
    command.arg("--dlpath").arg(&libraries).arg("--use-existing").arg("--dbname").arg(DATABASE);
    command.arg("--host").arg(stand.host()).arg("--port").arg(stand.port().to_string()).args(["--user", OWNER]);
    command.arg("--max-concurrent-tests=20").arg("--schedule").arg(tests.join("parallel_schedule"));
    stand.point(command.current_dir(&results));
    let ran = run(&mut command, WHOLE);
    let outcomes = outcomes(&ran.stdout);
    if outcomes.is_empty() {
        bail!("pg_regress ran nothing:\n{}", ran.said());
    }
    stand.close()?;
    Ok(outcomes)
}

/// A folder that the server may write to as well.
fn results(way: Way) -> Result<std::path::PathBuf> {
    let name = match way {
        Way::Direct => "direct",
        Way::Broker => "broker",
    };
    let folder = fetched().join("results").join(name);
    // There may be none yet.
    let _gone = fs::remove_dir_all(&folder);
    for part in ["", "results", "testtablespace"] {
        let part = folder.join(part);
        fs::create_dir_all(&part)?;
        fs::set_permissions(&part, fs::Permissions::from_mode(0o777))?;
    }
    Ok(folder)
}

/// The libraries that the tests load: their own is built, the others are part of the server's packages.
fn libraries(tests: &Path) -> Result<std::path::PathBuf> {
    let folder = fetched().join("libraries");
    fs::create_dir_all(&folder)?;
    let major = programs()?.parent().and_then(Path::file_name).context("the server lies under its version")?.to_owned();
    let built = folder.join("regress.so");
    if !built.exists() {
        let headers = fetched().join("headers/usr/include/postgresql").join(&major).join("server");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-w", "-I"])
            .arg(headers)
            .arg("-o")
            .arg(&built)
            .arg(tests.join("regress.c"));
        let _built = run(&mut cc, Duration::from_secs(120)).done();
    }
    for name in ["refint.so", "autoinc.so"] {
        let link = folder.join(name);
        if !link.exists() {
            symlink(programs()?.with_file_name("lib").join(name), link)?;
        }
    }
    Ok(folder)
}

/// Lines such as `     boolean                      ... ok          123 ms`, and `test`, `parallel` groups around them.
fn outcomes(printed: &str) -> Outcomes {
    let test = |line: &str| {
        let (name, rest) = line.split_once(" ... ")?;
        let name = name.trim().trim_start_matches("test ").trim();
        let outcome = if rest.trim_start().starts_with("ok") { Outcome::Passes } else { Outcome::Fails };
        Some((name.to_owned(), outcome))
    };
    printed.lines().filter_map(test).collect()
}
