//! What becomes of the statements of a client that has left.
//!
//! PostgreSQL answers everything that came before a client's last word, and goes on to the end of it
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-TERMINATION>). Nobody can tell a client that
//! only ended its sending from one that is gone; so the server is waited for as long as it says something.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice_wire::{HungUp, Sight};
use tokio::sync::Notify;
use tokio::task::unconstrained;
use tokio::time::timeout;

/// How long a server may keep silent over what a client has asked for that left since.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a connection's client has left.
#[derive(Debug, Default)]
pub struct Leaving {
    stirred: Notify,
    /// It has hung up, and its end is not read yet.
    hung_up: AtomicBool,
}

impl Leaving {
    /// The client has left, or the server has said something since.
    pub(crate) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// The same as the look at the client's connection, which is taken while the client is not read: it is found out there
    /// that the client has left.
    pub(crate) fn seen(self: &Arc<Self>, hung_up: HungUp) -> HungUp {
        let leaving = Arc::clone(self);
        HungUp::new(move || {
            let sight = hung_up.look();
            if sight == Sight::Gone && !leaving.hung_up.swap(true, Ordering::Relaxed) {
                leaving.stir();
            }
            sight
        })
    }

    /// The server has said something.
    pub(crate) fn heard(&self) {
        if self.hung_up.load(Ordering::Relaxed) {
            self.stir();
        }
    }

    /// Asks the server by `cancel` whenever it has kept silent for too long after the client left.
    pub(crate) async fn keep<C: Future<Output = ()>>(&self, cancel: impl Fn() -> C) -> Infallible {
        // A server that floods leaves this task no budget.
        unconstrained(async {
            self.stirred.notified().await;
            loop {
                if timeout(PATIENCE, self.stirred.notified()).await.is_err() {
                    cancel().await;
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::time::sleep;

    use super::*;

    /// Keeps watch while something happens, and gives how often the server was asked.
    async fn asked(leaving: &Leaving, script: impl Future<Output = ()>) -> u32 {
        let asked = AtomicU32::new(0);
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
        };
        tokio::select! {
            never = leaving.keep(ask) => match never {},
            () = script => {}
        }
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_cancelled_while_the_client_is_there() {
        let leaving = Leaving::default();
        assert_eq!(asked(&leaving, sleep(PATIENCE * 100)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_something_is_waited_for_and_one_that_does_not_is_cancelled() {
        let leaving = Leaving::default();
        let talking = asked(&leaving, async {
            for _ in 0..10 {
                leaving.stir();
                sleep(PATIENCE - Duration::from_millis(1)).await;
            }
        });
        assert_eq!(talking.await, 0);
        let silent = asked(&leaving, async {
            leaving.stir();
            sleep(PATIENCE + Duration::from_millis(1)).await;
        });
        assert_eq!(silent.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_seen_to_have_left_is_waited_for_in_the_same_way() {
        let leaving = Arc::new(Leaving::default());
        let there = leaving.seen(HungUp::default());
        let gone = leaving.seen(HungUp::new(|| Sight::Gone));
        let talking = asked(&leaving, async {
            leaving.heard();
            assert_eq!(there.look(), Sight::There);
            sleep(PATIENCE * 10).await;
            for _ in 0..10 {
                assert_eq!(gone.look(), Sight::Gone);
                leaving.heard();
                sleep(PATIENCE - Duration::from_millis(1)).await;
            }
        });
        assert_eq!(talking.await, 0);
        let silent = asked(&leaving, async {
            leaving.heard();
            for _ in 0..6 {
                assert_eq!(gone.look(), Sight::Gone);
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(silent.await, 1);
    }
}
