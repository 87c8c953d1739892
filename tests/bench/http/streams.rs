//! One round of streams through one way: when the first text comes, and how much later than it was sent each text does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::scope;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use super::client::Client;
use super::load::{Window, ns, wait_until};
use super::mock::{CHUNK_EVERY, CHUNKS, Cutting};
use super::stamp::{Stamps, now_ns};
use super::stand::{Ask, Way};
use crate::stats::percentile;

/// Streams at a time.
pub(super) const STREAMS: u32 = 16;

/// What a round of streams came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) first_p50_us: f64,
    pub(super) first_p99_us: f64,
    /// From when the newest text was sent to when it, or what it set free, came.
    pub(super) delay_p50_us: f64,
    pub(super) delay_p99_us: f64,
    pub(super) delay_max_us: f64,
    /// The share of texts that waited for the text after them, in percent.
    pub(super) held: f64,
    /// The share of texts that waited for one more than that, in percent.
    pub(super) late: f64,
    /// Processor time of the proxy for each text, in microseconds.
    pub(super) cpu_us: f64,
}

/// What was seen of streams.
#[derive(Debug, Default)]
struct Seen {
    first_ns: Vec<u32>,
    delay_ns: Vec<u32>,
    held: usize,
    late: usize,
}

/// Runs streams for some seconds, each connection one after the other.
pub(super) fn run(cutting: Cutting, way: &Way, seconds: u32) -> Result<Flow> {
    let clients: Vec<Client> = (0..STREAMS).map(|_| Client::connect(way)).collect::<Result<_>>()?;
    let request = way.request(Ask::Stream(cutting));
    let texts = AtomicU64::new(0);
    let window = Window::of(seconds);
    let ((_, cpu_us), seen) = scope(|scope| {
        let work = |(number, client): (u32, Client)| {
            let (request, texts) = (&request, &texts);
            scope.spawn(move || work(client, request, number, window, texts))
        };
        let workers: Vec<_> = (0..).zip(clients).map(work).collect();
        let watched = window.watch(way, &texts);
        let seen = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a client panicked"))?);
        seen.collect::<Result<Vec<_>>>().map(|seen| (watched, seen))
    })?;
    let mut all = Seen::default();
    for seen in seen {
        all.first_ns.extend(seen.first_ns);
        all.delay_ns.extend(seen.delay_ns);
        all.held += seen.held;
        all.late += seen.late;
    }
    all.first_ns.sort_unstable();
    all.delay_ns.sort_unstable();
    let us = |sorted: &[u32], percent| percentile(sorted, percent) / 1e3;
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let share = |count: usize| count as f64 * 100.0 / all.delay_ns.len() as f64;
    Ok(Flow {
        first_p50_us: us(&all.first_ns, 50),
        first_p99_us: us(&all.first_ns, 99),
        delay_p50_us: us(&all.delay_ns, 50),
        delay_p99_us: us(&all.delay_ns, 99),
        delay_max_us: us(&all.delay_ns, 100),
        held: share(all.held),
        late: share(all.late),
        cpu_us,
    })
}

/// One connection's part; connections begin at different times within the length of a stream.
fn work(mut client: Client, request: &[u8], number: u32, window: Window, texts: &AtomicU64) -> Result<Seen> {
    let mut seen = Seen::default();
    wait_until(window.begin + CHUNK_EVERY * u32::try_from(CHUNKS)? * number / STREAMS);
    loop {
        let asked = Instant::now();
        let stream = Stream::read(&mut client, request, asked, texts)?;
        if Instant::now() >= window.end {
            return Ok(seen);
        }
        if asked >= window.from {
            stream.look(&mut seen)?;
        }
    }
}

/// One stream, read to its end.
#[derive(Debug, Default)]
struct Stream {
    first_ns: Option<u32>,
    /// When each text was sent and when it had come, in nanoseconds since 1970.
    texts: Vec<(u64, u64)>,
}

impl Stream {
    fn read(client: &mut Client, request: &[u8], asked: Instant, texts: &AtomicU64) -> Result<Self> {
        let (mut stream, mut stamps, mut events) = (Self::default(), Stamps::default(), Events::default());
        let mut answer = client.ask(request)?;
        while let Some(piece) = answer.piece()? {
            let came = now_ns();
            for event in events.read(piece) {
                let text = content(&event)?;
                if !text.is_empty() {
                    stream.first_ns.get_or_insert_with(|| ns(asked.elapsed()));
                }
                let sent = stamps.read(&text);
                texts.fetch_add(sent.len() as u64, Ordering::Relaxed);
                stream.texts.extend(sent.into_iter().map(|sent| (sent, came)));
            }
        }
        Ok(stream)
    }

    /// A text that came after others had been sent was held until the newest of them, or came late by itself: either
    /// way the newest is what the broker cannot have been waiting longer for.
    fn look(&self, seen: &mut Seen) -> Result<()> {
        if self.texts.len() != CHUNKS {
            bail!("{} of {CHUNKS} texts came", self.texts.len());
        }
        seen.first_ns.push(self.first_ns.context("no text came")?);
        for (index, (_, came)) in self.texts.iter().enumerate() {
            let sent = self.texts.iter().skip(index).map(|(sent, _)| *sent).take_while(|sent| sent <= came);
            let (after, newest) = sent.enumerate().last().context("a text came before it was sent")?;
            seen.delay_ns.push(u32::try_from(came.saturating_sub(newest)).unwrap_or(u32::MAX));
            seen.held += usize::from(after >= 1);
            seen.late += usize::from(after >= 2);
        }
        Ok(())
    }
}

/// The data of events, out of a body that comes in pieces.
#[derive(Debug, Default)]
struct Events(Vec<u8>);

impl Events {
    /// The events whose last byte is in this piece.
    fn read(&mut self, piece: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.0.windows(2).position(|window| window == b"\n\n") {
            let event: Vec<u8> = self.0.drain(..end + 2).collect();
            let data = String::from_utf8_lossy(&event);
            events.extend(data.trim_end().strip_prefix("data:").map(|data| data.trim_start().to_owned()));
        }
        events
    }
}

/// The text that a chunk adds.
fn content(event: &str) -> Result<String> {
    if event == "[DONE]" {
        return Ok(String::new());
    }
    let chunk: Value = serde_json::from_str(event).with_context(|| format!("an event is no JSON: {event}"))?;
    if chunk.get("error").is_some() {
        bail!("a stream failed: {event}");
    }
    Ok(chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn delays_count_from_the_newest_text_that_was_sent() {
        let mut texts: Vec<(u64, u64)> = (1..=CHUNKS as u64).map(|at| (at * 1_000, at * 1_000 + 50)).collect();
        // The third comes right after the fourth was sent, the sixth after the eighth.
        texts[2].1 = 4_020;
        texts[5].1 = 8_010;
        let mut seen = Seen::default();
        Stream { first_ns: Some(9), texts }.look(&mut seen).unwrap();
        assert_eq!((seen.held, seen.late, seen.first_ns), (2, 1, vec![9]));
        assert_eq!((seen.delay_ns[1], seen.delay_ns[2], seen.delay_ns[5]), (50, 20, 10));
    }

    #[test]
    fn events_come_out_whole() {
        let text = b"data: {\"a\":1}\n\ndata: [DONE]\n\n";
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let mut events = Events::default();
            let read: Vec<String> = [head, tail].iter().flat_map(|piece| events.read(piece)).collect();
            assert_eq!(read, ["{\"a\":1}", "[DONE]"]);
        }
    }
}
