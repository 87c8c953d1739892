//! What is printed of HTTP: a table for each load, and where each target stands.

use anyhow::Result;

use super::load::{CONNECTIONS, Load};
use super::mock::{CHUNK_EVERY, CHUNKS, Cutting};
use super::streams::{Flow, STREAMS};
use super::{Each, idle};
use crate::load::Round;
use crate::report::{Bound, difference, of, ratio, say, stands};

/// The targets are for this many requests/s.
pub(super) const TARGET_RATE: u32 = 3_000;

/// The report, as far as it has been measured.
#[derive(Debug, Default)]
pub(super) struct Report {
    loads: Vec<(Load, Each<Round>)>,
    streams: Vec<(Cutting, Each<Flow>)>,
    /// Kilobytes of one connection, by way.
    idle: Vec<(&'static str, f64)>,
}

impl Report {
    /// Prints what was measured on what.
    pub(super) fn begin(seconds: u32, rounds: usize) -> Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        say(format_args!(
            "HTTP against a hyper mock on {cpus} processors, which load and mock share with the proxy; {rounds} interleaved \
             rounds of {seconds} s; medians; masking, policy and recording are on."
        ))?;
        say(format_args!(
            "Latency counts from when a request was due. `+` are differences and `×` ratios of neighbouring rounds; CPU is \
             the proxy's own.\n"
        ))?;
        Ok(Self::default())
    }

    /// Adds and prints one load.
    pub(super) fn load(&mut self, load: Load, each: Each<Round>) -> Result<()> {
        let heading = format!("{}, {CONNECTIONS} connections", load.name());
        say(format_args!(
            "{heading:<34}{:>8}{:>9}{:>9}{:>8}{:>9}{:>9}{:>9}{:>8}",
            "req/s", "×direct", "p50 µs", "+", "p99 µs", "+", "CPU µs", "×nginx"
        ))?;
        let direct = each.direct();
        for (name, rounds) in each.rows() {
            let unsustained =
                matches!(load, Load::Rate(rate) if of(rounds, |round| round.tps) < 0.98 * f64::from(rate));
            say(format_args!(
                "  {name:<32}{:>8.0}{:>9.2}{:>9.0}{:>+8.0}{:>9.0}{:>+9.0}{:>9}{:>8}{}",
                of(rounds, |round| round.tps),
                ratio(rounds, direct, |round| round.tps),
                of(rounds, |round| round.p50_us),
                difference(rounds, direct, |round| round.p50_us),
                of(rounds, |round| round.p99_us),
                difference(rounds, direct, |round| round.p99_us),
                shown(of(rounds, |round| round.cpu_us)),
                shown(each.nginx().map_or(0.0, |nginx| ratio(rounds, nginx, |round| round.cpu_us))),
                if unsustained { "  not sustained" } else { "" },
            ))?;
        }
        say(format_args!(""))?;
        self.loads.push((load, each));
        Ok(())
    }

    /// Adds and prints one kind of stream.
    pub(super) fn streams(&mut self, cutting: Cutting, each: Each<Flow>) -> Result<()> {
        let cut = match cutting {
            Cutting::AfterWords => "after words, where nothing is held",
            Cutting::BeforeSpaces => "before spaces, as models cut: a word may be held until the next chunk",
        };
        say(format_args!("{STREAMS} streams at a time of {CHUNKS} chunks, one each {CHUNK_EVERY:?}, cut {cut}"))?;
        say(format_args!(
            "{:<34}{:>9}{:>8}{:>8}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
            "", "first p50", "+", "p99 µs", "each p50", "+", "p99 µs", "max µs", "held %", "late %", "CPU µs"
        ))?;
        let direct = each.direct();
        for (name, rounds) in each.rows() {
            say(format_args!(
                "  {name:<32}{:>9.0}{:>+8.0}{:>8.0}{:>10.0}{:>+8.0}{:>8.0}{:>8.0}{:>8.1}{:>8.2}{:>8}",
                of(rounds, |flow| flow.first_p50_us),
                difference(rounds, direct, |flow| flow.first_p50_us),
                of(rounds, |flow| flow.first_p99_us),
                of(rounds, |flow| flow.delay_p50_us),
                difference(rounds, direct, |flow| flow.delay_p50_us),
                of(rounds, |flow| flow.delay_p99_us),
                of(rounds, |flow| flow.delay_max_us),
                of(rounds, |flow| flow.held),
                of(rounds, |flow| flow.late),
                shown(of(rounds, |flow| flow.cpu_us)),
            ))?;
        }
        say(format_args!(""))?;
        self.streams.push((cutting, each));
        Ok(())
    }

    /// Adds and prints the memory.
    pub(super) fn idle(&mut self, idle: Vec<(&'static str, f64)>) -> Result<()> {
        say(format_args!("memory of one of {} idle connections, each after one request, in KB", idle::CONNECTIONS))?;
        let shown: Vec<String> = idle.iter().map(|(name, kb)| format!("{name} {kb:.1}")).collect();
        say(format_args!("  {}\n", shown.join(" · ")))?;
        self.idle = idle;
        Ok(())
    }

    /// Prints where each target stands.
    pub(super) fn targets(&self) -> Result<()> {
        say(format_args!("{:<66}{:>9}{:>9}", "target", "median", "worst"))?;
        for (load, each) in &self.loads {
            let (Load::Rate(rate @ TARGET_RATE), (sluice, direct)) = (load, (each.sluice(), each.direct())) else {
                continue;
            };
            let (middle, slow) =
                (difference(sluice, direct, |round| round.p50_us), difference(sluice, direct, |round| round.p99_us));
            stands(&format!("p50 at {rate} requests/s: < direct + 250 µs"), Bound::AtMost(250.0), [middle])?;
            stands(&format!("p99 at {rate} requests/s: < direct + 500 µs"), Bound::AtMost(500.0), [slow])?;
        }
        for (cutting, each) in &self.streams {
            let (sluice, direct) = (each.sluice(), each.direct());
            match cutting {
                Cutting::AfterWords => {
                    let first = difference(sluice, direct, |flow| flow.first_p50_us);
                    stands("time to first token, p50: < direct + 300 µs", Bound::AtMost(300.0), [first])?;
                    let held = difference(sluice, direct, |flow| flow.held);
                    stands("SSE: texts later than the next although none is held: 0 %", Bound::AtMost(0.0), [held])?;
                }
                Cutting::BeforeSpaces => {
                    let late = difference(sluice, direct, |flow| flow.late);
                    stands("SSE: texts later than the next but one: 0 %", Bound::AtMost(0.0), [late])?;
                }
            }
        }
        let idle = self.idle.iter().filter(|(name, _)| *name == "Sluice").map(|(_, kb)| *kb);
        stands("idle connection: ≤ 30 KB", Bound::AtMost(30.0), idle)
    }
}

/// Nothing where there is no proxy to measure.
fn shown(measured: f64) -> String {
    if measured > 0.0 { format!("{measured:.1}") } else { String::new() }
}
