//! Waiting, always with a deadline.

use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long anything that happens at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Looks again and again until something is found.
///
/// # Panics
/// When the time is over.
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        pause();
    }
}

/// Lets others work for a moment.
pub fn pause() {
    std::thread::park_timeout(LOOK_EVERY);
}
