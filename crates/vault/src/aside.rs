//! Secrets that a target has turned down: others are lent for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_model::TargetName;
use sluice_wire::TurnedDown;

use crate::source::SecretSource;
use crate::vault::Lending;

/// How long a secret is not lent where there is another.
const ASIDE: Duration = Duration::from_secs(60);

/// What was lent of each source, and since when a target does not take it.
#[derive(Debug, Default)]
pub(crate) struct Aside(Mutex<HashMap<(TargetName, SecretSource), Lent>>);

#[derive(Debug, Default)]
struct Lent {
    /// Of every lease since it was last set aside.
    turned_down: TurnedDown,
    until: Option<Instant>,
}

impl Aside {
    fn lock(&self) -> MutexGuard<'_, HashMap<(TargetName, SecretSource), Lent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a secret aside that the target has turned down; whether it was not aside already.
    pub(crate) fn notice(&self, target: &TargetName, source: &SecretSource) -> bool {
        let mut all = self.lock();
        let Some(lent) = all.get_mut(&(target.clone(), source.clone())) else { return false };
        if !lent.turned_down.is_set() {
            return false;
        }
        let now = Instant::now();
        let was_aside = lent.until.is_some_and(|until| now < until);
        *lent = Lent { turned_down: TurnedDown::default(), until: Some(now + ASIDE) };
        if !was_aside {
            tracing::warn!(%target, "the target turned a credential down; others are lent for a while, if there are any");
        }
        !was_aside
    }

    /// Whether the target turned it down a short time ago.
    pub(crate) fn holds(&self, target: &TargetName, source: &SecretSource) -> bool {
        let all = self.lock();
        let until = all.get(&(target.clone(), source.clone())).and_then(|lent| lent.until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// What the users of a lease tell.
    pub(crate) fn of(&self, target: &TargetName, source: &SecretSource) -> TurnedDown {
        self.lock().entry((target.clone(), source.clone())).or_default().turned_down.clone()
    }

    /// Forgets what is not configured any more.
    pub(crate) fn retain(&self, lendings: &BTreeMap<TargetName, Lending>) {
        self.lock().retain(|(target, source), _| {
            lendings.get(target).is_some_and(|lending| lending.all().any(|configured| configured == source))
        });
    }
}
