//! One round of requests through one way: at a fixed rate of arrival, or as many as go through.
//!
//! At a fixed rate each connection has its own times to send at, evenly spaced with those of the others, and keeps to
//! them whether or not the last answer was quick. A latency counts from the time a request was due, so one that has to
//! wait for the answer before it on its connection is late, not forgotten.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{park_timeout, scope};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::client::Client;
use super::stand::{Ask, Way};
use crate::load::Round;
use crate::stats::percentile;
use crate::usage::Meter;

/// Connections of a load.
pub(super) const CONNECTIONS: u32 = 64;
/// What is not looked at.
const WARM_UP: Duration = Duration::from_millis(400);
/// How often the proxy's processor time is read during a round, as threads that end take theirs with them.
const READ_EVERY: Duration = Duration::from_millis(100);

/// One kind of load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// Requests for each second.
    Rate(u32),
    /// A request on every connection as soon as it has its answer.
    Saturated,
}

/// When a round is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) from: Instant,
    pub(super) end: Instant,
}

impl Window {
    /// Begins in a moment, when everybody is there.
    pub(super) fn of(seconds: u32) -> Self {
        let begin = Instant::now() + Duration::from_millis(20);
        let from = begin + WARM_UP;
        Self { begin, from, end: from + Duration::from_secs(u64::from(seconds)) }
    }

    /// Waits until it is over: what was done meanwhile, for each second, and the processor time of each, in µs.
    pub(super) fn watch(self, way: &Way, done: &AtomicU64) -> (f64, f64) {
        let mut meter = Meter::of(&way.pids);
        wait_until(self.from);
        let (first, count, since) = (meter.read(), done.load(Ordering::Relaxed), Instant::now());
        while Instant::now() < self.end {
            wait_until(self.end.min(Instant::now() + READ_EVERY));
            meter.read();
        }
        let (last, count, seconds) =
            (meter.read(), done.load(Ordering::Relaxed).saturating_sub(count), since.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
        let (count, cpu_us) = (count as f64, last.cpu_ns.saturating_sub(first.cpu_ns) as f64 / 1e3);
        (count / seconds, cpu_us / count)
    }
}

impl Load {
    /// Runs it for some seconds; a failing request fails the round.
    pub(super) fn run(self, way: &Way, seconds: u32) -> Result<Round> {
        let clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(way)).collect::<Result<_>>()?;
        let request = way.request(Ask::Whole);
        let done = AtomicU64::new(0);
        let window = Window::of(seconds);
        let ((per_second, cpu_us), taken) = scope(|scope| {
            let work = |(number, client): (u32, Client)| {
                let (request, done) = (&request, &done);
                scope.spawn(move || self.work(client, request, number, window, done))
            };
            let workers: Vec<_> = (0..).zip(clients).map(work).collect();
            let watched = window.watch(way, &done);
            let taken = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a client panicked"))?);
            taken.collect::<Result<Vec<_>>>().map(|taken| (watched, taken))
        })?;
        let mut taken = taken.concat();
        taken.sort_unstable();
        let us = |percent| percentile(&taken, percent) / 1e3;
        Ok(Round { tps: per_second, p50_us: us(50), p99_us: us(99), cpu_us })
    }

    /// One connection's part: how long each request took that was due while it was measured, in nanoseconds.
    fn work(
        self,
        mut client: Client,
        request: &[u8],
        number: u32,
        window: Window,
        done: &AtomicU64,
    ) -> Result<Vec<u32>> {
        let mut taken = Vec::new();
        let mut due = window.begin + self.between() * number / CONNECTIONS;
        loop {
            wait_until(due);
            if Instant::now() >= window.end {
                break;
            }
            client.exchange(request)?;
            done.fetch_add(1, Ordering::Relaxed);
            if due >= window.from {
                taken.push(ns(due.elapsed()));
            }
            due = match self {
                Self::Rate(_) => due + self.between(),
                Self::Saturated => Instant::now(),
            };
        }
        // What was due and could not even be sent has waited at least until the end.
        while self != Self::Saturated && due < window.end {
            taken.push(ns(due.elapsed()));
            due += self.between();
        }
        Ok(taken)
    }

    /// From one request of a connection to its next.
    fn between(self) -> Duration {
        match self {
            Self::Rate(per_second) => Duration::from_secs(1) * CONNECTIONS / per_second,
            Self::Saturated => Duration::ZERO,
        }
    }

    /// In the words of the report.
    pub(super) fn name(self) -> String {
        match self {
            Self::Rate(per_second) => format!("{per_second} requests/s"),
            Self::Saturated => "saturated".to_owned(),
        }
    }
}

/// Waits without spinning; it may be over already.
pub(super) fn wait_until(then: Instant) {
    loop {
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        park_timeout(left);
    }
}

/// Nanoseconds, up to four seconds.
pub(super) fn ns(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_spread_evenly() {
        let between = Load::Rate(3_200).between();
        assert_eq!(between, Duration::from_millis(20));
        let first = |number| between * number / CONNECTIONS;
        assert_eq!(first(1) - first(0), Duration::from_nanos(312_500));
        assert_eq!(first(63) + Duration::from_nanos(312_500), between);
    }
}
