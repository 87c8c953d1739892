//! How long a statement may take, and what is done when it takes longer.
//!
//! The server is asked to cancel it, as a client would ask
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>): a setting of the
//! server could be changed by what the client runs. A request to cancel names a connection and no statement, so nothing
//! that came after the statement goes out before the request has been acted on.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_model::{Code, Refusal};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A server that goes on is asked once more after this.
const AGAIN: Duration = Duration::from_secs(1);

/// The statement whose time runs, by its place among everything that was ever sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Timed {
    pub(crate) place: u64,
    pub(crate) limit: Option<Duration>,
}

/// The time of one connection's statements.
#[derive(Debug, Default)]
pub struct Curfew {
    state: Mutex<State>,
    /// The server is being asked. Beside the rest, as it is looked at for each message of the client.
    asking: AtomicBool,
    changed: Notify,
    calmed: Notify,
}

#[derive(Debug, Default)]
struct State {
    timed: Option<Timed>,
    /// When the server is asked to cancel it.
    until: Option<Instant>,
    /// Its time is up, and the server was asked.
    overdue: bool,
}

impl Curfew {
    /// Says which statement the server is at. Its time begins when it is named first.
    pub(crate) fn watch(&self, timed: Option<Timed>) {
        let mut state = self.state();
        if state.timed == timed {
            return;
        }
        let limit = timed.and_then(|timed| timed.limit);
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        if until.is_some() || state.until.is_some() {
            self.changed.notify_one();
        }
        (state.timed, state.until, state.overdue) = (timed, until, false);
    }

    /// Nobody wants the rest of the statement that is watched.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        if state.timed.is_some() {
            state.until = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// Whether the time of the statement that is watched is up.
    pub(crate) fn is_overdue(&self) -> bool {
        self.state().overdue
    }

    /// Whether a request to cancel is under way, which would meet whatever the server does next.
    pub(crate) fn is_asking(&self) -> bool {
        self.asking.load(Ordering::Relaxed)
    }

    /// Until no request to cancel is under way.
    pub(crate) async fn calm(&self) {
        loop {
            let calmed = self.calmed.notified();
            if !self.is_asking() {
                return;
            }
            calmed.await;
        }
    }

    /// Asks the server by `cancel` whenever a statement's time is up.
    pub(crate) async fn keep<C: Future<Output = ()>>(&self, cancel: impl Fn() -> C) -> Infallible {
        loop {
            let until = self.state().until;
            match until {
                None => self.changed.notified().await,
                Some(until) => {
                    if timeout_at(until, self.changed.notified()).await.is_err() {
                        self.begin();
                        cancel().await;
                        self.end();
                    }
                }
            }
        }
    }

    fn begin(&self) {
        let mut state = self.state();
        (state.overdue, state.until) = (true, None);
        self.asking.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        let mut state = self.state();
        self.asking.store(false, Ordering::Relaxed);
        if state.overdue {
            state.until = Instant::now().checked_add(AGAIN);
        }
        self.calmed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of a statement that took too long.
pub(crate) fn overdue(limit: Duration) -> Refusal {
    let message = format!("the statement was cancelled: it took longer than policy allows ({limit:?})");
    Refusal::builtin(Code::Withdrawn, "statement-timeout", message).with_hint("Ask for less, or for more narrowly.")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    fn timed(place: u64, seconds: u64) -> Option<Timed> {
        Some(Timed { place, limit: Some(Duration::from_secs(seconds)) })
    }

    /// Runs a curfew whose requests take a while, and gives how many there were.
    async fn asked(curfew: &Curfew, script: impl Future<Output = ()>) -> u32 {
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            never = curfew.keep(ask) => match never {},
            () = script => {}
        }
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_is_asked_when_the_time_is_up_and_again_until_it_stops() {
        let curfew = Curfew::default();
        let count = asked(&curfew, async {
            curfew.watch(timed(1, 5));
            sleep(Duration::from_millis(4_900)).await;
            assert!(!curfew.is_overdue());
            sleep(Duration::from_millis(150)).await;
            assert!(curfew.is_overdue() && curfew.is_asking());
            curfew.calm().await;
            assert!(!curfew.is_asking());
            sleep(Duration::from_millis(1_050)).await;
            curfew.watch(None);
            assert!(!curfew.is_overdue());
            curfew.calm().await;
            sleep(Duration::from_secs(60)).await;
        });
        assert_eq!(count.await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_statement_has_its_own_time() {
        let curfew = Curfew::default();
        let count = asked(&curfew, async {
            for place in 0..10 {
                curfew.watch(timed(place, 5));
                sleep(Duration::from_secs(4)).await;
                // The same one, once more.
                curfew.watch(timed(place, 5));
            }
            curfew.watch(Some(Timed { place: 11, limit: None }));
            sleep(Duration::from_secs(60)).await;
            assert!(!curfew.is_overdue());
        });
        assert_eq!(count.await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_is_cancelled_at_once() {
        let curfew = Curfew::default();
        let count = asked(&curfew, async {
            curfew.cut();
            sleep(Duration::from_secs(1)).await;
            assert!(!curfew.is_overdue(), "there is no statement");
            curfew.watch(Some(Timed { place: 1, limit: None }));
            curfew.cut();
            sleep(Duration::from_millis(10)).await;
            curfew.watch(None);
            sleep(Duration::from_secs(5)).await;
        });
        assert_eq!(count.await, 1);
    }
}
