//! `make bench`: Sluice beside a plain copy proxy and pgbouncer, on the same PostgreSQL, in one interleaved run.
//!
//! A round goes through one way only; the next round goes through the next way. So whatever else this machine does at
//! the time hits them all, and the ratios of rounds side by side mean something where times do not.

mod bulk;
mod copy;
mod idle;
mod load;
mod report;
mod stand;
mod stats;
mod usage;

use anyhow::{Context as _, Result, bail};

use load::{Load, Mode, Round};
use report::{Bulk, Cell, Idle, Report};
use stand::{ROWS, Stand, Way};

/// How much is measured.
#[derive(Clone, Debug)]
struct Extent {
    /// Of one round.
    seconds: u32,
    rounds: usize,
    loads: Vec<Load>,
}

impl Extent {
    /// Within about six minutes, or within one for `BENCH_QUICK=1`.
    fn of_environment() -> Self {
        let quick = std::env::var("BENCH_QUICK").is_ok_and(|value| value == "1");
        let clients: &[u32] = if quick { &[1, 16] } else { &[1, 4, 16] };
        let modes: &[Mode] = if quick {
            &[Mode::Simple, Mode::Extended, Mode::Prepared]
        } else {
            &[Mode::Simple, Mode::Same, Mode::Extended, Mode::Prepared]
        };
        let loads = modes.iter().flat_map(|mode| clients.iter().map(|clients| Load { mode: *mode, clients: *clients }));
        // What one text for ever adds is seen with one client.
        let loads = loads.filter(|load| load.mode != Mode::Same || load.clients == 1);
        let seconds = if quick { 1 } else { 2 };
        Self { seconds, rounds: if quick { 1 } else { 3 }, loads: loads.collect() }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => bench(&Extent::of_environment()),
        (Some("copy"), Some(server)) => copy::serve(server.parse().context("the server is ADDRESS:PORT")?),
        _ => bail!("usage: sluice-bench [copy ADDRESS:PORT]"),
    }
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
