//! SSH: Sluice beside a jump host and the server itself, with OpenSSH's client and server on every way.

mod measure;
mod stand;

use anyhow::{Context as _, Result};

use crate::Extent;
use crate::report::{Bound, difference, of, ratio, say, stands};
use measure::{Bulk, IDLE, Kind};
use stand::{Stand, Way};

/// What was measured in each round: direct, through a jump host, through Sluice that masks, through Sluice that reveals.
type Each<T> = [Vec<T>; 4];

/// Measures every way in turn, each time beginning with another, so that none is always first.
fn each<T>(stand: &Stand, rounds: usize, mut measure: impl FnMut(&Way) -> Result<T>) -> Result<Each<T>> {
    let mut each: Each<T> = Default::default();
    for round in 0..rounds {
        let mut turns: Vec<_> = stand.ways.iter().enumerate().collect();
        turns.rotate_left(round % stand.ways.len().max(1));
        for (index, way) in turns {
            let measured = measure(way).with_context(|| format!("a round through {} failed", way.host))?;
            each.get_mut(index).context("there are four ways")?.push(measured);
        }
    }
    Ok(each)
}

/// Measures everything and prints it.
pub(crate) fn bench(extent: &Extent) -> Result<()> {
    let stand = Stand::start(extent.ssh_mib)?;
    let rounds = extent.http_rounds;
    say(format_args!("SSH with aes256-gcm on every hop; {rounds} interleaved rounds; medians; recording is on.\n"))?;
    // First: memory that other rounds have left behind would count for nothing.
    let idle = measure::idle_kib(&stand)?;
    say(format_args!("memory of one of {IDLE} idle sessions, each with a command that waits: {idle:.0} KiB"))?;
    stands("idle session: ≤ 120 KiB", Bound::AtMost(120.0), [idle])?;
    say(format_args!(""))?;
    connect(&stand, rounds.saturating_mul(4))?;
    echo(&stand, rounds)?;
    let mut cpu = Vec::new();
    for kind in Kind::ALL {
        cpu.extend(bulk(&stand, kind, rounds)?);
    }
    stands("CPU seconds per GiB, each bulk way: ≤ 1.4", Bound::AtMost(1.4), cpu)
}

fn connect(stand: &Stand, rounds: usize) -> Result<()> {
    let all = each(stand, rounds, |way| measure::connect_ms(stand, way))?;
    let [_, jump, masked, _] = &all;
    say(format_args!("{:<34}{:>9}{:>8}", "connect and run `true`", "ms", "×jump"))?;
    for (way, times) in stand.ways.iter().zip(&all) {
        say(format_args!("  {:<32}{:>9.1}{:>8.2}", way.name, of(times, |ms| *ms), ratio(times, jump, |ms| *ms)))?;
    }
    stands("connect: ≤ 1.3 × ssh -J", Bound::AtMost(1.3), [ratio(masked, jump, |ms| *ms)])?;
    say(format_args!(""))
}

fn echo(stand: &Stand, rounds: usize) -> Result<()> {
    let all = each(stand, rounds, |way| measure::echo(stand, way))?;
    let [direct, _, masked, _] = &all;
    say(format_args!("{:<34}{:>9}{:>9}{:>9}", "one byte to `cat` and back", "p50 µs", "+direct", "p99 µs"))?;
    for (way, times) in stand.ways.iter().zip(&all) {
        let more = difference(times, direct, |echo| echo.p50_us);
        let (p50, p99) = (of(times, |echo| echo.p50_us), of(times, |echo| echo.p99_us));
        say(format_args!("  {:<32}{p50:>9.0}{more:>+9.0}{p99:>9.0}", way.name))?;
    }
    let more = difference(masked, direct, |echo| echo.p50_us);
    stands("echo, p50: ≤ direct + 100 µs", Bound::AtMost(100.0), [more])?;
    say(format_args!(""))
}

/// What it cost Sluice, where that has a target.
fn bulk(stand: &Stand, kind: Kind, rounds: usize) -> Result<Option<f64>> {
    let all = each(stand, rounds, |way| measure::bulk(stand, way, kind))?;
    let [direct, jump, masked, _] = &all;
    let speed = |rounds: &[Bulk], to: &[Bulk]| ratio(rounds, to, |bulk| bulk.mib_per_second);
    say(format_args!(
        "{:<34}{:>9}{:>9}{:>8}{:>11}",
        format!("{} of {} MiB", kind.name(), stand.mib),
        "MiB/s",
        "×direct",
        "×jump",
        "CPU s/GiB"
    ))?;
    for (way, rounds) in stand.ways.iter().zip(&all) {
        let (mib, cpu) = (of(rounds, |bulk| bulk.mib_per_second), of(rounds, |bulk| bulk.cpu_per_gib));
        let (direct, jump) = (speed(rounds, direct), speed(rounds, jump));
        say(format_args!("  {:<32}{mib:>9.0}{direct:>9.2}{jump:>8.2}{cpu:>11.2}", way.name))?;
    }
    stands("bulk: ≥ 0.8 × direct", Bound::AtLeast(0.8), [speed(masked, direct)])?;
    stands("bulk: ≥ ssh -J", Bound::AtLeast(1.0), [speed(masked, jump)])?;
    say(format_args!(""))?;
    Ok(kind.is_exec().then(|| of(masked, |bulk| bulk.cpu_per_gib)))
}
