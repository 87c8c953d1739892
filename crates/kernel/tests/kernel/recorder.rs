//! A recorder that keeps events in memory and fails when it is told to, and streams that write into the same log.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use sluice_kernel::{BoxFuture, Closing, Keep, Opening, Recorder, Spent, Unrecorded};
use sluice_model::TargetName;
use sluice_recording::{Batch, Event, Toward};
use sluice_wire::{Gone, Link, LinkError, Made, Object};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What happened, in one order for recorder and streams.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// An event other than a frame, in short.
    Appended(String),
    /// A frame was written down.
    Passed(Toward, Vec<u8>),
    Committed,
    Synced,
    /// Bytes went out.
    Wrote(Toward, Vec<u8>),
    Finished(Closing),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Entry>>>);

impl Log {
    pub(crate) fn push(&self, entry: Entry) {
        self.0.lock().unwrap().push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// Everything that was written down, in short.
    pub(crate) fn story(&self) -> Vec<String> {
        let short = |entry: &Entry| match entry {
            Entry::Appended(what) => what.clone(),
            Entry::Passed(toward, bytes) => format!("pass to {}: {}", toward.name(), text(bytes)),
            Entry::Committed => "commit".to_owned(),
            Entry::Synced => "sync".to_owned(),
            Entry::Wrote(toward, bytes) => format!("write to {}: {}", toward.name(), text(bytes)),
            Entry::Finished(closing) => format!("finish {}", closing.reason),
        };
        self.entries().iter().map(short).collect()
    }

    /// Whether the story has a line.
    pub(crate) fn has(&self, line: &str) -> bool {
        self.story().iter().any(|told| told == line)
    }

    pub(crate) fn closing(&self) -> Closing {
        let found = self.entries().into_iter().find_map(|entry| match entry {
            Entry::Finished(closing) => Some(closing),
            _ => None,
        });
        found.unwrap()
    }

    /// Every byte that went out was committed before, in the same order.
    pub(crate) fn check_order(&self) {
        let (mut appended, mut committed) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for entry in self.entries() {
            match entry {
                Entry::Passed(Toward::Client, bytes) => appended[0].extend(bytes),
                Entry::Passed(Toward::Server, bytes) => appended[1].extend(bytes),
                Entry::Committed => {
                    for (from, to) in appended.iter_mut().zip(&mut committed) {
                        to.append(from);
                    }
                }
                Entry::Wrote(toward, bytes) => {
                    let lane = &mut committed[usize::from(toward == Toward::Server)];
                    assert!(lane.starts_with(&bytes), "{} went to the {}", text(&bytes), toward.name());
                    lane.drain(..bytes.len());
                }
                Entry::Appended(_) | Entry::Synced | Entry::Finished(_) => {}
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().replace('\n', "|")
}

/// The calls that fail, counted from 1; every one after them fails too.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) append: Option<usize>,
    pub(crate) commit: Option<usize>,
    pub(crate) sync: Option<usize>,
    pub(crate) admit: bool,
    pub(crate) begin: bool,
}

pub(crate) struct Shelf {
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    /// What was kept of budgets last.
    pub(crate) budgets: Mutex<Vec<Spent>>,
}

struct Reel {
    log: Log,
    faults: Faults,
    calls: [usize; 3],
}

fn failure() -> Unrecorded {
    Unrecorded("the disk is full".to_owned())
}

impl Keep for Shelf {
    fn admits(&self) -> Result<(), Unrecorded> {
        if self.faults.admit { Err(failure()) } else { Ok(()) }
    }

    fn begin(&self, _opening: Opening) -> BoxFuture<'_, Result<Box<dyn Recorder>, Unrecorded>> {
        let reel: Box<dyn Recorder> = Box::new(Reel { log: self.log.clone(), faults: self.faults, calls: [0; 3] });
        let begun = if self.faults.begin { Err(failure()) } else { Ok(reel) };
        Box::pin(std::future::ready(begun))
    }

    fn spent(&self) -> BoxFuture<'_, Result<Vec<Spent>, Unrecorded>> {
        Box::pin(std::future::ready(Ok(self.budgets.lock().unwrap().clone())))
    }

    fn claim(&self, _: TargetName, _: String, _: Vec<Made>) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn owners(&self, _: TargetName, objects: Vec<Object>) -> BoxFuture<'_, Result<Vec<Option<String>>, Unrecorded>> {
        Box::pin(std::future::ready(Ok(vec![None; objects.len()])))
    }

    fn keep_spent(&self, spent: Vec<Spent>) -> BoxFuture<'_, Result<(), Unrecorded>> {
        let key = |one: &Spent| (one.rule.clone(), one.unit, one.window_seconds, one.whose.clone());
        let mut kept = self.budgets.lock().unwrap();
        kept.retain(|old| spent.iter().all(|new| key(new) != key(old)));
        kept.extend(spent);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Reel {
    fn call(&mut self, which: usize, fails: Option<usize>) -> Result<(), Unrecorded> {
        self.calls[which] += 1;
        if fails.is_some_and(|from| self.calls[which] >= from) { Err(failure()) } else { Ok(()) }
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), Unrecorded> {
        self.call(0, self.faults.append)?;
        self.log.push(match event {
            Event::Asked(asked) => Entry::Appended(format!("ask {} {}", asked.op.0, asked.action)),
            Event::Ruled(ruled) => {
                let cached = if ruled.cached { " again" } else { "" };
                let rule = if ruled.message.is_empty() { String::new() } else { format!(" {}", ruled.rules[0]) };
                Entry::Appended(format!("{}{cached} {}{rule}", ruled.verdict.name(), ruled.op.0))
            }
            Event::Held(held) => Entry::Appended(format!("hold {} for {}", held.op.0, held.approvers.join(" "))),
            Event::Settled(settled) => {
                Entry::Appended(format!("{} {} by {}", settled.outcome.name(), settled.op.0, settled.people.join(" ")))
            }
            Event::Passed(passed) => Entry::Passed(passed.toward, passed.frame.0.to_vec()),
            Event::Cut(cut) => Entry::Appended(format!("cut {} {} to {}", cut.op.0, cut.bytes, cut.toward.name())),
            Event::Done(op) => Entry::Appended(format!("done {}", op.0)),
            Event::Noted(noted) => Entry::Appended(format!("note {} {}", noted.kind, noted.pairs[0].value)),
            Event::Gap(gap) => Entry::Appended(format!("gap of {} {}", gap.bytes, gap.reason)),
            Event::Opened(_) | Event::Closed(_) => panic!("not a flow's event: {event:?}"),
        });
        Ok(())
    }
}

impl Recorder for Reel {
    fn append(&mut self, batch: &mut Batch) -> Result<(), Unrecorded> {
        for stored in batch.events() {
            self.event(&stored.event)?;
        }
        batch.clear();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Unrecorded> {
        self.call(1, self.faults.commit)?;
        self.log.push(Entry::Committed);
        Ok(())
    }

    fn sync(&mut self) -> BoxFuture<'static, Result<(), Unrecorded>> {
        let synced = self.call(2, self.faults.sync);
        if synced.is_ok() {
            self.log.push(Entry::Synced);
        }
        Box::pin(std::future::ready(synced))
    }

    fn finish(self: Box<Self>, _nanos: u64, closing: Closing) -> BoxFuture<'static, Result<(), Unrecorded>> {
        self.log.push(Entry::Finished(closing));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A stream that logs what is written to it.
pub(crate) struct Spy {
    pub(crate) stream: DuplexStream,
    pub(crate) toward: Toward,
    pub(crate) log: Log,
}

impl AsyncRead for Spy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Spy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.log.push(Entry::Wrote(self.toward, bytes[..written].to_vec()));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The most bytes that waited to go out on a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct HighWater(Arc<Mutex<usize>>);

impl HighWater {
    pub(crate) fn bytes(&self) -> usize {
        *self.0.lock().unwrap()
    }
}

/// A link that measures how much waits on it.
pub(crate) struct Gauge<L> {
    pub(crate) link: L,
    pub(crate) most: HighWater,
    pub(crate) gone: Absence,
}

/// What a link knows of its peer out of order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absence(Arc<Mutex<Option<Gone>>>);

impl Absence {
    pub(crate) fn set(&self, gone: Gone) {
        *self.0.lock().unwrap() = Some(gone);
    }

    /// The peer is there after all.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn look(&self) -> Option<Gone> {
        *self.0.lock().unwrap()
    }
}

impl<L: Link> Link for Gauge<L> {
    type Frame = L::Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<L::Frame>, LinkError>> {
        self.link.poll_next(cx)
    }

    fn gone(&self) -> Option<Gone> {
        self.gone.look().or_else(|| self.link.gone())
    }

    fn feed(&mut self, frame: L::Frame) {
        self.link.feed(frame);
        let mut most = self.most.0.lock().unwrap();
        *most = self.link.backlog().max(*most);
    }

    fn discard(&mut self) {
        self.link.discard();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_flush(cx)
    }

    fn backlog(&self) -> usize {
        self.link.backlog()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close(cx)
    }
}
