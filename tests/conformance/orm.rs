//! SQLAlchemy over three drivers and Django over one, their ORMs included: every step comes to the same through the broker as past it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};
use sluice_tests::broker::root;
use sluice_tests::run::run;

use crate::outcome::{Compared, Outcome, Outcomes};
use crate::stand::{Stand, Way, fetched};

/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(300);
/// The database; it is the name of the target too.
const DATABASE: &str = "orm";

/// Takes every step both ways.
pub(crate) fn compare() -> Result<Compared> {
    let (direct, through) = (steps(Way::Direct)?, steps(Way::Broker)?);
    let passes = |pass: bool| if pass { Outcome::Passes } else { Outcome::Fails };
    let good = |step: &Value| step.get("ok").is_some();
    let past: Outcomes = direct.iter().map(|(name, step)| (name.clone(), passes(good(step)))).collect();
    let same = |(name, step): (&String, &Value)| (name.clone(), passes(direct.get(name) == Some(step)));
    Ok(Compared { direct: past, through: through.iter().map(same).collect(), known: [].into() })
}

fn steps(way: Way) -> Result<Map<String, Value>> {
    let stand = Stand::open(way, DATABASE);
    let mut seen = Map::new();
    for script in ["orm.py", "django_orm.py"] {
        let mut python = Command::new(fetched().join("venv/bin/python"));
        python.arg(root().join("tests/conformance").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
        stand.point(&mut python);
        let printed = run(python.env("PGDATABASE", DATABASE), WHOLE).done().stdout;
        let printed: Value = serde_json::from_str(&printed)?;
        seen.extend(printed.as_object().cloned().context("a script prints one object")?);
    }
    stand.close()?;
    Ok(seen)
}
