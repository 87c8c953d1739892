//! PostgreSQL's regression tests and isolation tests, run by its own `pg_regress` and `pg_isolation_regress`.

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

/// How long all of them may take.
const WHOLE: Duration = Duration::from_secs(1_800);
/// What `pg_regress` sets for a database that it creates.
const SETTINGS: [(&str, &str); 6] = [
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("bytea_output", "hex"),
    ("timezone_abbreviations", "Default"),
];

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Suite {
    Regress,
    Isolation,
}

impl Suite {
    /// Runs the tests both ways.
    pub(crate) fn compare(self) -> Result<Compared> {
        let known = known(match self {
            Self::Regress => include_str!("regress.txt"),
            Self::Isolation => include_str!("isolation.txt"),
        })?;
        Ok(Compared { direct: self.run_all(Way::Direct)?, through: self.run_all(Way::Broker)?, known })
    }

    fn run_all(self, way: Way) -> Result<Outcomes> {
        let stand = Stand::open(way, self.database());
        let outcomes = self.run_on(&stand, way)?;
        stand.close()?;
        Ok(outcomes)
    }

    /// The database that the tests run in; it is the name of the target too.
    const fn database(self) -> &'static str {
        match self {
            Self::Regress => "regression",
            Self::Isolation => "isolation_regression",
        }
    }

    /// Runs the tests one way; what they make stays.
    pub(crate) fn run_on(self, stand: &Stand, way: Way) -> Result<Outcomes> {
        let database = self.database();
        let (folder, runner, schedule) = match self {
            Self::Regress => ("src/test/regress", "pg_regress", "parallel_schedule"),
            Self::Isolation => ("src/test/isolation", "pg_isolation_regress", "isolation_schedule"),
        };
        let settings: String = SETTINGS
            .iter()
            .map(|(name, value)| format!("ALTER DATABASE {database} SET {name} TO '{value}';"))
            .collect();
        let _set = stand.server.admin("postgres").query(&settings).ok();
        let tests = source()?.join(folder);
        let results = results(self, way)?;
        let mut command = Command::new(programs()?.with_file_name("lib/pgxs").join(folder).join(runner));
        command.arg("--inputdir").arg(&tests).arg("--outputdir").arg(&results).arg("--bindir").arg(programs()?);
        command.arg("--dlpath").arg(libraries()?).arg("--use-existing").arg("--dbname").arg(database);
        command.arg("--host").arg(stand.host()).arg("--port").arg(stand.port().to_string()).args(["--user", OWNER]);
        command.arg("--max-concurrent-tests=20").arg("--schedule").arg(tests.join(schedule));
        stand.point(command.current_dir(&results));
        let ran = run(&mut command, WHOLE);
        let outcomes = outcomes(&ran.stdout);
        if outcomes.is_empty() {
            bail!("{runner} ran nothing:\n{}", ran.said());
        }
        Ok(outcomes)
    }
}

/// A folder that the server may write to as well.
fn results(suite: Suite, way: Way) -> Result<std::path::PathBuf> {
    let folder = fetched().join(format!("results/{suite:?}-{way:?}"));
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
fn libraries() -> Result<std::path::PathBuf> {
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
            .arg(source()?.join("src/test/regress/regress.c"));
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

#[cfg(test)]
mod tests {
    use super::{Outcome, outcomes};

    #[test]
    fn what_pg_regress_prints_is_read() {
        let printed = "\
            (using postmaster on localhost, port 5432)\n\
            test test_setup                   ... ok          286 ms\n\
            parallel group (2 tests):  boolean char\n\
            \x20    boolean                      ... ok           55 ms\n\
            \x20    char                         ... FAILED       60 ms\n\
            test random                       ... failed (ignored)      70 ms\n";
        let read: Vec<_> = outcomes(printed).into_iter().collect();
        let expected = [
            ("boolean", Outcome::Passes),
            ("char", Outcome::Fails),
            ("random", Outcome::Fails),
            ("test_setup", Outcome::Passes),
        ];
        assert_eq!(read, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    }
}
