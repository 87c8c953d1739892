//! Counters of budgets, so that a restart gives nobody more than a budget has.

use sluice_kernel::{BoxFuture, Spent};
use sluice_model::UnixMicros;

use crate::StoreError;

/// Operations on counters of budgets.
pub trait Budgets: Send + Sync {
    /// The counters whose window has not passed at a moment.
    fn spent(&self, now: UnixMicros) -> BoxFuture<'_, Result<Vec<Spent>, StoreError>>;

    /// Puts counters in the place of those of the same rule, unit, window length and owner, and deletes passed ones.
    fn keep_spent<'a>(&'a self, spent: &'a [Spent], now: UnixMicros) -> BoxFuture<'a, Result<(), StoreError>>;
}
