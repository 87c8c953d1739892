//! `make bench`: Sluice beside a plain copy proxy and pgbouncer on the same PostgreSQL, and beside nginx before the same
//! HTTP server, and beside a jump host before the same SSH server, in interleaved runs.
//!
//! A round goes through one way only; the next round goes through the next way. So whatever else this machine does at
//! the time hits them all, and the ratios of rounds side by side mean something where times do not.

mod bulk;
mod copy;
mod http;
mod idle;
mod load;
mod report;
mod ssh;
mod stand;
mod stats;
mod usage;

use anyhow::{Context as _, Result, bail};

use load::{Load, Mode, Round};
use report::{Bulk, Cell, Idle, Report, say};
use stand::{ROWS, Stand, Way};

const USAGE: &str = "\
usage: sluice-bench [--postgres] [--http] [--ssh] [--quick]

  --postgres  only PostgreSQL: against a copy proxy and pgbouncer
  --http      only HTTP: against a mock, direct and through nginx
  --ssh       only SSH: against a server, direct and through a jump host
  --quick     fewer and shorter rounds, as with BENCH_QUICK=1

SLUICE names the binary that is measured, where it is not target/release/sluice.";

/// How much is measured.
#[derive(Clone, Debug)]
struct Extent {
    /// Of one round.
    seconds: u32,
    rounds: usize,
    /// Percentiles near the end of a distribution want more of them.
    http_rounds: usize,
    /// The size of what is transferred by SSH.
    ssh_mib: u32,
    loads: Vec<Load>,
}

impl Extent {
    /// Within about ten minutes.
    fn whole() -> Self {
        let modes = [Mode::Simple, Mode::Same, Mode::Extended, Mode::Prepared];
        Self { seconds: 2, rounds: 3, http_rounds: 5, ssh_mib: 256, loads: loads(&modes, &[1, 4, 16]) }
    }

    /// Within about two.
    fn quick() -> Self {
        let modes = [Mode::Simple, Mode::Extended, Mode::Prepared];
        Self { seconds: 1, rounds: 1, http_rounds: 1, ssh_mib: 128, loads: loads(&modes, &[1, 16]) }
    }
}

fn loads(modes: &[Mode], clients: &[u32]) -> Vec<Load> {
    let loads = modes.iter().flat_map(|mode| clients.iter().map(|clients| Load { mode: *mode, clients: *clients }));
    // What one text for ever adds is seen with one client.
    loads.filter(|load| load.mode != Mode::Same || load.clients == 1).collect()
}

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Postgres,
    Http,
    Ssh,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // What this program starts of itself.
        ["copy", server] => copy::serve(server.parse().context("the server is ADDRESS:PORT")?),
        ["mock"] => http::mock::serve(),
        options => run(options),
    }
}

fn run(options: &[&str]) -> Result<()> {
    let mut parts = Vec::new();
    let mut extent = Extent::whole();
    if std::env::var("BENCH_QUICK").is_ok_and(|value| value == "1") {
        extent = Extent::quick();
    }
    for option in options {
        match *option {
            "--postgres" => parts.push(Part::Postgres),
            "--http" => parts.push(Part::Http),
            "--ssh" => parts.push(Part::Ssh),
            "--quick" => extent = Extent::quick(),
            "--help" | "-h" => return say(format_args!("{USAGE}")),
            other => bail!("there is no option `{other}`\n{USAGE}"),
        }
    }
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    if wanted(Part::Postgres) {
        bench(&extent)?;
    }
    if wanted(Part::Http) {
        if wanted(Part::Postgres) {
            say(format_args!(""))?;
        }
        http::bench(&extent)?;
    }
    if wanted(Part::Ssh) {
        if wanted(Part::Http) {
            say(format_args!(""))?;
        }
        ssh::bench(&extent)?;
    }
    Ok(())
}

fn bench(extent: &Extent) -> Result<()> {
    let stand = Stand::start()?;
    let mut report = Report::begin(extent.seconds, extent.rounds)?;
    for load in &extent.loads {
        report.cell(measure(&stand, *load, extent)?)?;
    }
    report.bulk(take_all(&stand, extent.rounds)?)?;
    report.idle(idle(&stand)?)?;
    report.targets()
}

/// Each in a process of its own: memory that other connections have left behind would count for nothing.
fn idle(stand: &Stand) -> Result<Idle> {
    let folder = stand.folder.path();
    Ok(Idle {
        copy_kib: idle::idle_kib(&stand.fresh_copy()?.way, "disable", folder)?,
        plain_kib: idle::idle_kib(&stand.fresh_sluice("idle")?.way, "disable", folder)?,
        tls_kib: idle::idle_kib(&stand.fresh_sluice("idle-tls")?.way, "require", folder)?,
    })
}

/// Every way in turn, each time beginning with another, so that none is always first.
fn turns<'a>(ways: &[&'a Way], round: usize) -> Vec<(usize, &'a Way)> {
    let mut turns: Vec<(usize, &Way)> = ways.iter().copied().enumerate().collect();
    turns.rotate_left(round % ways.len().max(1));
    turns
}

fn measure(stand: &Stand, load: Load, extent: &Extent) -> Result<Cell> {
    let ways = [&stand.copy, &stand.pgbouncer, &stand.sluice, &stand.masked];
    let mut rounds: [Vec<Round>; 4] = Default::default();
    for round in 0..extent.rounds {
        for (index, way) in turns(&ways, round) {
            let measured = load.run(way, extent.seconds, stand.folder.path())?;
            rounds.get_mut(index).context("there are four ways")?.push(measured);
        }
    }
    let [copy, pgbouncer, sluice, masked] = rounds;
    Ok(Cell { load, copy, pgbouncer, sluice, masked })
}

/// Large results: a SELECT through every way, and a COPY where nothing is masked (a masked COPY is refused).
fn take_all(stand: &Stand, rounds: usize) -> Result<Bulk> {
    let mut bulk = Bulk::default();
    let ways = [&stand.copy, &stand.pgbouncer, &stand.sluice, &stand.masked];
    let unmasked = [&stand.copy, &stand.pgbouncer, &stand.sluice];
    // They take a fraction of a second each.
    for round in 0..rounds.saturating_mul(3) {
        for (index, way) in turns(&ways, round) {
            let taken = bulk::take(way, "SELECT aid, bid, abalance, filler FROM pgbench_accounts", ROWS)?;
            bulk.select.get_mut(index).context("there are four ways")?.push(taken);
        }
        for (index, way) in turns(&unmasked, round) {
            let taken = bulk::take(way, "COPY pgbench_accounts TO STDOUT", ROWS)?;
            bulk.copy.get_mut(index).context("there are three ways")?.push(taken);
        }
    }
    Ok(bulk)
}
