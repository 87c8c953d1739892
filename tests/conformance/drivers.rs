//! The tests that drivers bring along in their source packages, run by pytest.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use sluice_tests::database::OWNER;
use sluice_tests::run::run;

use crate::outcome::{Compared, Outcome, Outcomes, known};
use crate::stand::{Stand, Way, fetched};

/// How long all tests of one driver may take.
const WHOLE: Duration = Duration::from_secs(1_800);
/// The database that the tests run in; it is the name of the target too. asyncpg's pools know no other.
const DATABASE: &str = "postgres";
/// What the tests expect to find.
const FILL: &str = "CREATE EXTENSION hstore";

/// One driver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Driver {
    Asyncpg,
    Psycopg2,
}

impl Driver {
    /// Runs its tests both ways.
    pub(crate) fn compare(self) -> Result<Compared> {
        let known = known(match self {
            Self::Asyncpg => include_str!("asyncpg.txt"),
            Self::Psycopg2 => include_str!("psycopg2.txt"),
        })?;
        Ok(Compared { direct: self.run_all(Way::Direct)?, through: self.run_all(Way::Broker)?, known })
    }

    fn run_all(self, way: Way) -> Result<Outcomes> {
        let stand = Stand::open(way, DATABASE);
        let _filled = stand.server.admin(DATABASE).query(FILL).ok();
        let name = match self {
            Self::Asyncpg => "asyncpg",
            Self::Psycopg2 => "psycopg2",
        };
        let mut pytest = Command::new(fetched().join("venv/bin/python"));
        pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "--timeout=60", "-q", "-rA", "--tb=short", "tests"]);
        pytest.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(fetched().join(name));
        stand.point(&mut pytest);
        pytest.env("PGDATABASE", DATABASE).env("PSYCOPG2_TESTDB", DATABASE).env("PSYCOPG2_TESTDB_USER", OWNER);
        let ran = run(&mut pytest, WHOLE);
        std::fs::write(fetched().join(format!("{name}-{way:?}.log")), ran.said())?;
        let outcomes = outcomes(&ran.stdout);
        if outcomes.is_empty() {
            bail!("pytest ran nothing:\n{}", ran.said());
        }
        stand.close()?;
        Ok(outcomes)
    }
}

/// Lines of the summary: `PASSED tests/test_x.py::TestX::test_y`, `FAILED … - why`.
fn outcomes(printed: &str) -> Outcomes {
    let test = |line: &str| {
        let (word, rest) = line.split_once(' ')?;
        let outcome = match word {
            "PASSED" => Outcome::Passes,
            "FAILED" | "ERROR" => Outcome::Fails,
            _ => return None,
        };
        let name = rest.split(" - ").next().unwrap_or(rest).trim();
        name.starts_with("tests/").then(|| (name.to_owned(), outcome))
    };
    printed.lines().filter_map(test).collect()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, outcomes};

    #[test]
    fn what_pytest_prints_is_read() {
        let printed = "\
            PASSED tests/test_a.py::A::test_one\n\
            FAILED tests/test_a.py::A::test_two - AssertionError: no\n\
            ERROR tests/test_b.py - ImportError\n\
            ERROR    asyncio:base_events.py:1771 Task exception was never retrieved\n\
            SKIPPED [1] tests/test_c.py:3: not here\n";
        let read: Vec<_> = outcomes(printed).into_iter().collect();
        let expected = [
            ("tests/test_a.py::A::test_one", Outcome::Passes),
            ("tests/test_a.py::A::test_two", Outcome::Fails),
            ("tests/test_b.py", Outcome::Fails),
        ];
        assert_eq!(read, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    }
}
