//! HTTP: Sluice beside nginx and the mock itself.

mod client;
mod idle;
mod load;
pub(crate) mod mock;
mod report;
mod stamp;
mod stand;
mod streams;

use std::fs;

use anyhow::{Context as _, Result};

use crate::Extent;
use crate::report::say;
use load::Load;
use mock::Cutting;
use report::{Report, TARGET_RATE};
use stand::{Stand, Way};

/// What was measured in each round, by way: the direct one first and Sluice last.
#[derive(Clone, Debug)]
struct Each<T>(Vec<(&'static str, Vec<T>)>);

impl<T> Each<T> {
    /// Measures every way in turn, each time beginning with another, so that none is always first.
    fn measure(ways: &[Way], rounds: usize, mut measure: impl FnMut(&Way) -> Result<T>) -> Result<Self> {
        let mut each: Vec<_> = ways.iter().map(|way| (way.name, Vec::new())).collect();
        for round in 0..rounds {
            let mut turns: Vec<usize> = (0..ways.len()).collect();
            turns.rotate_left(round % ways.len().max(1));
            for turn in turns {
                let (way, (_, rounds)) = ways.get(turn).zip(each.get_mut(turn)).context("a turn is a way's")?;
                rounds.push(measure(way).with_context(|| format!("a round through {} failed", way.name))?);
            }
        }
        Ok(Self(each))
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &[T])> {
        self.0.iter().map(|(name, rounds)| (*name, rounds.as_slice()))
    }

    fn direct(&self) -> &[T] {
        self.0.first().map_or(&[], |(_, rounds)| rounds)
    }

    /// Where it is installed.
    fn nginx(&self) -> Option<&[T]> {
        self.rows().find(|(name, _)| *name == "nginx").map(|(_, rounds)| rounds)
    }

    fn sluice(&self) -> &[T] {
        self.0.last().map_or(&[], |(_, rounds)| rounds)
    }
}

/// Measures everything and prints it.
pub(crate) fn bench(extent: &Extent) -> Result<()> {
    let stand = Stand::start()?;
    let (seconds, rounds) = (extent.seconds, extent.http_rounds);
    let mut report = Report::begin(seconds, rounds)?;
    if stand.ways.iter().all(|way| way.name != "nginx") {
        say(format_args!("nginx is not installed, so it is left out: `make setup` unpacks it.\n"))?;
    }
    wake_on_time();
    for load in [Load::Rate(500), Load::Rate(TARGET_RATE), Load::Saturated] {
        report.load(load, Each::measure(&stand.ways, rounds, |way| load.run(way, seconds))?)?;
    }
    for cutting in [Cutting::AfterWords, Cutting::BeforeSpaces] {
        let each = Each::measure(&stand.ways, rounds, |way| streams::run(cutting, way, seconds))?;
        report.streams(cutting, each)?;
    }
    report.idle(idle(&stand)?)?;
    report.targets()
}

/// Each in a process of its own: memory that other connections have left behind would count for nothing.
fn idle(stand: &Stand) -> Result<Vec<(&'static str, f64)>> {
    let nginx = stand.fresh_nginx("nginx-idle")?;
    let fresh = nginx.into_iter().chain([stand.fresh_sluice("broker-idle")?]);
    fresh.map(|fresh| Ok((fresh.way.name, idle::idle_kb(&fresh.way)?))).collect()
}

/// Has the kernel wake the clients when they asked for, and not up to 50 µs later to save power. Threads have it from
/// the thread that starts them. Where it is refused, every way's latency is that much longer.
fn wake_on_time() {
    let _refused = fs::write("/proc/self/timerslack_ns", "1");
}
