//! One round of pgbench through one way.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_tests::run::Running;

use crate::stand::{Way, pgbench};
use crate::stats::percentile;
use crate::usage::{Meter, Reading};

/// How often the proxy's processor time is read during a round.
const READ_EVERY: Duration = Duration::from_millis(40);
/// How much longer than it was told pgbench may take.
const GRACE: Duration = Duration::from_secs(30);
/// After the first answer, what is not looked at: caches fill and connections open.
const WARM_UP_US: u64 = 150_000;

/// How queries are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// `-M simple`: the text holds the number that is looked up, so that nearly every text is new.
    Simple,
    /// `-M simple` with one text for ever.
    Same,
    /// `-M extended`: parsed, bound and executed each time.
    Extended,
    /// `-M prepared`: parsed once.
    Prepared,
}

/// One kind of load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Load {
    pub(crate) mode: Mode,
    pub(crate) clients: u32,
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) tps: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the proxy for each query, in microseconds.
    pub(crate) cpu_us: f64,
}

impl Mode {
    const fn option(self) -> &'static str {
        match self {
            Self::Simple | Self::Same => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }

    /// In the words of the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple, every text new",
            Self::Same => "simple, the same text",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }

    /// Whether the broker has seen what it is asked before.
    pub(crate) const fn is_warm(self) -> bool {
        !matches!(self, Self::Simple)
    }
}

impl Load {
    /// Runs it for some seconds; a failing query fails the round.
    pub(crate) fn run(self, way: &Way, seconds: u32, folder: &Path) -> Result<Round> {
        let logs = folder.join("rounds");
        fs::create_dir_all(&logs)?;
        let mut command = pgbench(way.port, way.user, way.password, way.database);
        command.args(["-n", "-j", "1", "-M", self.mode.option(), "-c", &self.clients.to_string()]);
        command.args(["-T", &seconds.to_string(), "-l", "--log-prefix"]).arg(logs.join("log"));
        if self.mode == Mode::Same {
            let script = logs.join("same.sql");
            fs::write(&script, "SELECT abalance FROM pgbench_accounts WHERE aid = 4242;\n")?;
            command.arg("-f").arg(script);
        } else {
            command.arg("-S");
        }
        let mut meter = Meter::new(way.pid);
        let mut readings = Vec::new();
        let mut running = Running::start(&mut command);
        while !running.has_ended() {
            readings.push(meter.read());
            std::thread::park_timeout(READ_EVERY);
        }
        let limit = Duration::from_secs(u64::from(seconds)) + GRACE;
        let finished = running.finish(limit);
        if finished.code != Some(0) || finished.stderr.contains("ERROR") {
            bail!("pgbench through {} failed:\n{}", way.name, finished.said());
        }
        let answers = Answers::of(&logs)?;
        fs::remove_dir_all(&logs)?;
        round(&readings, &answers).with_context(|| format!("a round through {} was too short to measure", way.name))
    }
}

/// When each transaction ended and how long it took, both in microseconds.
struct Answers(Vec<(u64, u32)>);

impl Answers {
    /// **Shape** of a line: `client · transaction · time · script · second · microsecond`.
    fn of(logs: &Path) -> Result<Self> {
        let mut answers = Vec::new();
        for file in fs::read_dir(logs)? {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "sql") {
                continue;
            }
            for line in fs::read_to_string(path)?.lines() {
                answers.push(answer(line).with_context(|| format!("`{line}` is not a line of pgbench's log"))?);
            }
        }
        answers.sort_unstable();
        Ok(Self(answers))
    }
}

fn answer(line: &str) -> Option<(u64, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let took = fields.next()?.parse().ok()?;
    let second: u64 = fields.nth(1)?.parse().ok()?;
    let microsecond: u64 = fields.next()?.parse().ok()?;
    Some((second.checked_mul(1_000_000)?.checked_add(microsecond)?, took))
}

/// Looks at what lies between two readings, the first after warming up and the last before the end.
fn round(readings: &[Reading], Answers(answers): &Answers) -> Option<Round> {
    let (first, last) = (answers.first()?.0.checked_add(WARM_UP_US)?, answers.last()?.0);
    let mut within = readings.iter().filter(|reading| (first..=last).contains(&reading.at_us));
    let (from, to) = (within.next()?, within.next_back()?);
    let counted = answers.iter().filter(|(at, _)| (from.at_us..to.at_us).contains(at));
    let mut took: Vec<u32> = counted.map(|(_, took)| *took).collect();
    took.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let (queries, seconds, cpu_us) = (
        took.len() as f64,
        to.at_us.checked_sub(from.at_us)? as f64 / 1e6,
        to.cpu_ns.saturating_sub(from.cpu_ns) as f64 / 1e3,
    );
    (queries > 0.0).then(|| Round {
        tps: queries / seconds,
        p50_us: percentile(&took, 50),
        p99_us: percentile(&took, 99),
        cpu_us: cpu_us / queries,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_round_counts_what_lies_between_its_readings() {
        let answers = Answers((0..10_u32).map(|n| (1_000_000 + u64::from(n) * 100_000, 50 + n)).collect());
        let reading = |at_us, cpu_ns| Reading { at_us, cpu_ns };
        // The first is before the warm-up's end, the last after the last answer.
        let readings = [
            reading(1_100_000, 1),
            reading(1_200_000, 1_000_000),
            reading(1_700_000, 2_000_000),
            reading(2_500_000, 9_000_000),
        ];
        let round = round(&readings, &answers).unwrap();
        assert!((round.tps - 10.0).abs() < 1e-6, "{round:?}");
        assert!((round.cpu_us - 200.0).abs() < 1e-6, "{round:?}");
        assert!((round.p50_us - 54.0).abs() < 1e-6, "{round:?}");
    }

    #[test]
    fn lines_of_the_log_are_read() {
        assert_eq!(answer("0 17 83 0 1700000000 000042"), Some((1_700_000_000_000_042, 83)));
        assert_eq!(answer("0 17 skipped 0 1700000000 42"), None);
    }
}
