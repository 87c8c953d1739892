//! A task whose parts wake each other: what one does for another is seen at once, without asking the scheduler.
//!
//! A task that wakes itself while it is polled goes to the end of its thread's queue, and another thread is woken that
//! might take it. An exchange does that for each head and each piece of a body, as its connection and its flow are parts
//! of one task. Here such a wake leads to one more round over the parts instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::coop::has_budget_remaining;

/// Rounds before other tasks of the thread get their turn.
const ROUNDS: usize = 32;

/// Nobody has woken the task since it last had nothing to do.
const QUIET: u8 = 0;
/// The parts are being polled.
const POLLING: u8 = 1;
/// A part was woken.
const WOKEN: u8 = 2;

/// Polls the parts of one task in rounds.
pub(crate) struct Rounds {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == QUIET {
            self.task.wake();
        }
    }
}

impl Default for Rounds {
    fn default() -> Self {
        let bell = Arc::<Bell>::default();
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl Rounds {
    /// Polls once, and again as long as that has woken any part of it.
    pub(crate) fn poll<T>(&self, cx: &mut Context<'_>, mut parts: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.bell.task.register(cx.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.bell.state.swap(POLLING, Ordering::AcqRel);
            if let Poll::Ready(over) = parts(&mut inner) {
                return Poll::Ready(over);
            }
            let quiet = self.bell.state.compare_exchange(POLLING, QUIET, Ordering::AcqRel, Ordering::Acquire);
            if quiet.is_ok() {
                return Poll::Pending;
            }
            // Whatever is polled from here on waits for the task's next turn.
            if !has_budget_remaining() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(rounds: &Rounds, woken: &Arc<Woken>, parts: impl FnMut(&mut Context<'_>) -> Poll<()>) -> Poll<()> {
        rounds.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))), parts)
    }

    #[test]
    fn what_is_woken_by_a_round_is_polled_by_the_next_and_the_task_is_not_woken() {
        let (rounds, woken) = (Rounds::default(), Arc::<Woken>::default());
        let mut left = 3;
        let polled = poll(&rounds, &woken, |cx| {
            left -= 1;
            if left > 0 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((left, woken.0.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_wake_between_polls_wakes_the_task_once() {
        let (rounds, woken) = (Rounds::default(), Arc::<Woken>::default());
        let mut kept = None;
        assert!(
            poll(&rounds, &woken, |cx| {
                kept = Some(cx.waker().clone());
                Poll::Pending
            })
            .is_pending()
        );
        for waker in kept.iter().cycle().take(3) {
            waker.wake_by_ref();
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(poll(&rounds, &woken, |_| Poll::Ready(())).is_ready());
    }

    #[test]
    fn parts_that_never_rest_let_others_have_a_turn() {
        let (rounds, woken) = (Rounds::default(), Arc::<Woken>::default());
        let mut polls = 0;
        for turn in 1..=2 {
            assert!(
                poll(&rounds, &woken, |cx| {
                    polls += 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .is_pending()
            );
            assert_eq!((polls, woken.0.load(Ordering::Relaxed)), (ROUNDS * turn, turn));
        }
    }

    #[test]
    fn no_wake_of_another_thread_is_lost() {
        let (rounds, woken) = (Rounds::default(), Arc::<Woken>::default());
        let mut kept = None;
        let seen = AtomicUsize::new(0);
        assert!(
            poll(&rounds, &woken, |cx| {
                kept = Some(cx.waker().clone());
                Poll::Pending
            })
            .is_pending()
        );
        const WAKES: usize = 10_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..WAKES {
                    seen.fetch_add(1, Ordering::Release);
                    kept.iter().for_each(Waker::wake_by_ref);
                }
            });
            // Whoever polls only after a wake of the task still sees everything.
            let (mut polled, mut wakes) = (0, 0);
            while polled < WAKES {
                if woken.0.load(Ordering::Acquire) == wakes {
                    std::hint::spin_loop();
                    continue;
                }
                wakes = woken.0.load(Ordering::Acquire);
                assert!(
                    poll(&rounds, &woken, |_| {
                        polled = seen.load(Ordering::Acquire);
                        Poll::Pending
                    })
                    .is_pending()
                );
            }
        });
    }
}
