//! A connection and its exchanges, all of them in one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sluice_wire::{Broker, Ending};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::exchange::{Arrival, Exchanges};
use crate::metered::Meter;
use crate::rounds::Rounds;

/// How long a client may take to hang up.
const GOODBYE: Duration = Duration::from_secs(1);

/// Fewer bytes than this in that time are no answer, but pings that the client has answered.
const GOES_ON: u64 = 4 << 10;

/// A connection of hyper's, until it is over or to end.
pub(crate) struct Drive<C> {
    /// It is dropped as soon as it is over: until then it holds its ends of the answers that nobody takes any more.
    connection: Option<Pin<Box<C>>>,
    wind_down: fn(Pin<&mut C>),
    /// Until it is winding down.
    ending: Option<Ending>,
    quiet: Option<Quiet>,
}

/// How long a connection may be without an exchange, and without anything that is still written of the last ones.
pub(crate) struct Quiet {
    patience: Duration,
    meter: Meter,
    written: u64,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Quiet {
    pub(crate) const fn new(patience: Duration, meter: Meter) -> Self {
        Self { patience, meter, written: 0, wait: None }
    }

    /// Ready once it was quiet for too long.
    fn poll(&mut self, is_idle: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !is_idle {
            self.wait = None;
            return Poll::Pending;
        }
        loop {
            let patience = self.patience;
            ready!(self.wait.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
            let written = self.meter.bytes();
            let more = written.saturating_sub(std::mem::replace(&mut self.written, written));
            if more < GOES_ON {
                return Poll::Ready(());
            }
            self.wait = None;
        }
    }
}

impl<C: Future<Output = hyper::Result<()>>> Drive<C> {
    pub(crate) fn new(connection: C, wind_down: fn(Pin<&mut C>), ending: Ending, quiet: Option<Quiet>) -> Self {
        Self { connection: Some(Box::pin(connection)), wind_down, ending: Some(ending), quiet }
    }

    /// Runs the connection and its exchanges until both are over.
    pub(crate) async fn run<B: Broker>(mut self, mut waiting: mpsc::Receiver<Arrival>, exchanges: &Exchanges<'_, B>) {
        let mut running = FuturesUnordered::new();
        let rounds = Rounds::default();
        let round = |cx: &mut Context<'_>| {
            self.poll_connection(cx);
            while let Poll::Ready(Some(arrival)) = waiting.poll_recv(cx) {
                if self.connection.is_some() {
                    running.push(Box::pin(exchanges.run(arrival)));
                }
            }
            while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
            self.poll_ending(running.is_empty(), cx);
            if self.connection.is_none() && running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        };
        let mut round = round;
        poll_fn(|cx| rounds.poll(cx, &mut round)).await;
    }

    /// How it ended is for its exchanges to say.
    fn poll_connection(&mut self, cx: &mut Context<'_>) {
        if self.connection.as_mut().is_some_and(|open| open.as_mut().poll(cx).is_ready()) {
            self.connection = None;
        }
    }

    /// Takes no more requests once the broker stops, or none has come for too long.
    fn poll_ending(&mut self, is_idle: bool, cx: &mut Context<'_>) {
        let stops = self.ending.as_mut().is_some_and(|ending| ending.as_mut().poll(cx).is_ready());
        let too_quiet = self.poll_quiet(is_idle, cx).is_ready();
        if too_quiet && self.ending.is_none() {
            // A client that is in the middle of something, or says nothing at all, is not waited for.
            self.connection = None;
        } else if stops || too_quiet {
            self.ending = None;
            if let Some(quiet) = &mut self.quiet {
                (quiet.patience, quiet.wait) = (GOODBYE, None);
            }
            if let Some(open) = &mut self.connection {
                (self.wind_down)(open.as_mut());
            }
            self.poll_connection(cx);
            let _armed = self.poll_quiet(is_idle, cx);
        }
    }

    fn poll_quiet(&mut self, is_idle: bool, cx: &mut Context<'_>) -> Poll<()> {
        self.quiet.as_mut().map_or(Poll::Pending, |quiet| quiet.poll(is_idle, cx))
    }
}
