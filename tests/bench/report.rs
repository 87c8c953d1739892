//! What is printed: a table for each load, and where each target stands.

use std::fmt::Arguments;
use std::io::Write as _;

use anyhow::Result;
use sluice_tests::database::program;
use sluice_tests::run::run;

use crate::bulk::Taken;
use crate::idle::CONNECTIONS;
use crate::load::{Load, Round};
use crate::stats::median;

/// The rounds of one load, through each way.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) copy: Vec<Round>,
    pub(crate) pgbouncer: Vec<Round>,
    pub(crate) sluice: Vec<Round>,
    pub(crate) masked: Vec<Round>,
}

/// Large results, by way: copy proxy, pgbouncer, Sluice, and for the SELECT Sluice with a masked column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bulk {
    pub(crate) select: [Vec<Taken>; 4],
    pub(crate) copy: [Vec<Taken>; 3],
}

/// Memory of an idle connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) copy_kib: f64,
    pub(crate) plain_kib: f64,
    pub(crate) tls_kib: f64,
}

/// The report, as far as it has been measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    cells: Vec<Cell>,
    bulk: Bulk,
    idle: Option<Idle>,
}

/// Which direction is good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    /// Prints what was measured on what.
    pub(crate) fn begin(seconds: u32, rounds: usize) -> Result<Self> {
        let version = run(std::process::Command::new(program("postgres")).arg("--version"), crate::stand::STARTING);
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        say(format_args!(
            "{} on {cpus} processors; {rounds} interleaved rounds of {seconds} s; medians; policy and recording are on.",
            version.done().stdout.trim()
        ))?;
        say(format_args!("`×` are ratios of neighbouring rounds; CPU is the proxy's own, for each query.\n"))?;
        Ok(Self::default())
    }

    /// Adds and prints one load.
    pub(crate) fn cell(&mut self, cell: Cell) -> Result<()> {
        let heading = format!("{}, {} client(s)", cell.load.mode.name(), cell.load.clients);
        say(format_args!(
            "{heading:<34}{:>9}{:>8}{:>8}{:>9}{:>8}{:>9}{:>9}{:>8}",
            "TPS", "×copy", "×pgb", "p50 µs", "+copy", "p99 µs", "CPU µs", "×copy"
        ))?;
        for (name, rounds) in cell.rows() {
            say(format_args!(
                "  {name:<32}{:>9.0}{:>8.2}{:>8.2}{:>9.0}{:>+8.0}{:>9.0}{:>9.1}{:>8.2}",
                of(rounds, |round| round.tps),
                ratio(rounds, &cell.copy, |round| round.tps),
                ratio(rounds, &cell.pgbouncer, |round| round.tps),
                of(rounds, |round| round.p50_us),
                difference(rounds, &cell.copy, |round| round.p50_us),
                of(rounds, |round| round.p99_us),
                of(rounds, |round| round.cpu_us),
                ratio(rounds, &cell.copy, |round| round.cpu_us),
            ))?;
        }
        say(format_args!(""))?;
        self.cells.push(cell);
        Ok(())
    }

    /// Adds and prints the large results.
    pub(crate) fn bulk(&mut self, bulk: Bulk) -> Result<()> {
        let names = ["copy proxy", "pgbouncer", "Sluice", "Sluice, one column masked"];
        let kinds = [("SELECT of 500,000 rows", &bulk.select[..]), ("COPY TO of 500,000 rows", &bulk.copy[..])];
        for (kind, ways) in kinds {
            say(format_args!("{kind:<34}{:>9}{:>8}{:>8}{:>9}{:>9}", "seconds", "×copy", "×pgb", "MB", "CPU ms"))?;
            for (name, taken) in names.iter().zip(ways) {
                say(format_args!(
                    "  {name:<32}{:>9.3}{:>8.2}{:>8.2}{:>9.1}{:>9.0}",
                    median(taken.iter().map(|taken| taken.seconds)),
                    speed(ways, taken, 0),
                    speed(ways, taken, 1),
                    median(taken.iter().map(|taken| taken.megabytes)),
                    median(taken.iter().map(|taken| taken.cpu_ms)),
                ))?;
            }
            say(format_args!(""))?;
        }
        self.bulk = bulk;
        Ok(())
    }

    /// Adds and prints the memory.
    pub(crate) fn idle(&mut self, idle: Idle) -> Result<()> {
        say(format_args!("memory of one of {CONNECTIONS} idle connections, each after one query, in KiB"))?;
        let Idle { copy_kib, plain_kib, tls_kib } = idle;
        say(format_args!("  copy proxy {copy_kib:.1} · Sluice {plain_kib:.1} · Sluice with TLS {tls_kib:.1}\n"))?;
        self.idle = Some(idle);
        Ok(())
    }

    /// Prints where each target stands.
    pub(crate) fn targets(&self) -> Result<()> {
        say(format_args!("{:<66}{:>9}{:>9}", "target", "median", "worst"))?;
        let warm = || self.cells.iter().filter(|cell| cell.load.mode.is_warm());
        let cold = self.cells.iter().filter(|cell| !cell.load.mode.is_warm());
        let cpu = warm().map(|cell| ratio(&cell.sluice, &cell.copy, |round| round.cpu_us));
        stands("CPU per query, warm: ≤ 1.15 × copy proxy", Bound::AtMost(1.15), cpu)?;
        let tps = warm().map(|cell| ratio(&cell.sluice, &cell.pgbouncer, |round| round.tps));
        stands("TPS, warm: ≥ 0.95 × pgbouncer", Bound::AtLeast(0.95), tps)?;
        let alone = warm().filter(|cell| cell.load.clients == 1);
        let later = alone.map(|cell| difference(&cell.sluice, &cell.copy, |round| round.p50_us));
        stands("p50 with one client, warm: ≤ copy proxy + 5 µs", Bound::AtMost(5.0), later)?;
        let tps = cold.map(|cell| ratio(&cell.sluice, &cell.pgbouncer, |round| round.tps));
        stands("TPS, every text new: ≥ 0.75 × pgbouncer", Bound::AtLeast(0.75), tps)?;
        let bulk = &self.bulk;
        let [.., sluice, masked] = &bulk.select;
        stands("SELECT of 500,000 rows: ≥ 0.95 × copy proxy", Bound::AtLeast(0.95), [speed(&bulk.select, sluice, 0)])?;
        let [.., copied] = &bulk.copy;
        stands("COPY of 500,000 rows: ≥ 0.95 × copy proxy", Bound::AtLeast(0.95), [speed(&bulk.copy, copied, 0)])?;
        let name = "SELECT with a column masked at the source: ≥ 0.80 × copy proxy";
        stands(name, Bound::AtLeast(0.80), [speed(&bulk.select, masked, 0)])?;
        let Some(idle) = self.idle else { return Ok(()) };
        stands("idle connection: ≤ 10 KiB", Bound::AtMost(10.0), [idle.plain_kib])?;
        stands("idle connection with TLS: ≤ 40 KiB", Bound::AtMost(40.0), [idle.tls_kib])
    }
}

impl Cell {
    fn rows(&self) -> [(&'static str, &[Round]); 4] {
        [
            ("copy proxy", &self.copy),
            ("pgbouncer", &self.pgbouncer),
            ("Sluice", &self.sluice),
            ("Sluice, column masked", &self.masked),
        ]
    }
}

/// Prints where one target stands; every value has to be within the bound.
pub(crate) fn stands(target: &str, bound: Bound, measured: impl IntoIterator<Item = f64>) -> Result<()> {
    let measured: Vec<f64> = measured.into_iter().collect();
    let middle = median(measured.iter().copied());
    let (worst, met) = match bound {
        Bound::AtMost(limit) => (greatest(&measured), measured.iter().all(|value| *value <= limit)),
        Bound::AtLeast(limit) => (
            -greatest(&measured.iter().map(|value| -value).collect::<Vec<_>>()),
            measured.iter().all(|value| *value >= limit),
        ),
    };
    let word = if met && !measured.is_empty() { "met" } else { "missed" };
    say(format_args!("{target:<66}{middle:>9.2}{worst:>9.2}  {word}"))
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The median of rounds.
pub(crate) fn of<T>(rounds: &[T], what: impl Fn(&T) -> f64) -> f64 {
    median(rounds.iter().map(what))
}

/// The median of the ratios of rounds side by side.
pub(crate) fn ratio<T>(rounds: &[T], to: &[T], what: impl Fn(&T) -> f64) -> f64 {
    median(rounds.iter().zip(to).map(|(round, to)| what(round) / what(to)))
}

/// The median of the differences of rounds side by side.
pub(crate) fn difference<T>(rounds: &[T], from: &[T], what: impl Fn(&T) -> f64) -> f64 {
    median(rounds.iter().zip(from).map(|(round, from)| what(round) - what(from)))
}

/// How fast a way is compared with another: 1 is as fast, 0.5 takes twice the time.
fn speed(ways: &[Vec<Taken>], taken: &[Taken], than: usize) -> f64 {
    let other = ways.get(than).map_or(&[][..], Vec::as_slice);
    median(taken.iter().zip(other).map(|(taken, other)| other.seconds / taken.seconds))
}

/// Prints a line.
pub(crate) fn say(line: Arguments<'_>) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
