//! Sessions that several flows share: one for each credential, target and client address.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use sluice_model::{Principal, Refusal, SessionId, TargetName};
use sluice_wire::Peer;
use tokio::sync::OnceCell;

use crate::stay::Stay;

/// Every shared session.
#[derive(Default)]
pub(crate) struct SharedStays {
    stays: DashMap<Key, Arc<OnceCell<Arc<Stay>>>>,
    /// Those whose recordings failed: nobody joins them any more.
    failed: Mutex<Vec<Arc<Stay>>>,
}

/// What flows of one session have in common. The whole principal: a token's claims may not change under its id.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    who: Principal,
    target: TargetName,
    client: IpAddr,
}

impl SharedStays {
    /// The session for a principal at a target, opened by the first who asks; others wait for it.
    pub(crate) async fn find<F>(
        &self,
        who: &Principal,
        target: &TargetName,
        peer: Peer,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<Stay>, Refusal>
    where
        F: Future<Output = Result<Arc<Stay>, Refusal>>,
    {
        let key = Key { who: who.clone(), target: target.clone(), client: peer.address.ip() };
        self.leave_failed(&key);
        let cell = Arc::clone(&self.stays.entry(key.clone()).or_default());
        let found = cell.get_or_try_init(open).await.cloned();
        if found.is_err() {
            // Nobody else may be opening it at this moment: a cell that others hold stays.
            self.stays.remove_if(&key, |_, cell| !cell.initialized() && Arc::strong_count(cell) <= 2);
        }
        found
    }

    /// Lets the next session of a key be another one if nothing more can be recorded in this one.
    fn leave_failed(&self, key: &Key) {
        let has_failed = |cell: &Arc<OnceCell<Arc<Stay>>>| cell.get().is_some_and(|stay| stay.reel.has_failed());
        // Nearly all have not: a look, which others may have at the same time, is enough.
        if self.stays.get(key).is_some_and(|cell| has_failed(&cell))
            && let Some((_, cell)) = self.stays.remove_if(key, |_, cell| has_failed(cell))
            && let Some(stay) = cell.get()
        {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(stay));
        }
    }

    /// Takes the sessions out that have had no flow for some seconds; the caller finishes them.
    pub(crate) fn take_idle(&self, seconds: u64) -> Vec<Arc<Stay>> {
        self.take(|stay| stay.end_if_idle(seconds))
    }

    /// Takes these sessions out, as far as none of their flows is left; the caller finishes them.
    pub(crate) fn take_these(&self, sessions: &[SessionId]) -> Vec<Arc<Stay>> {
        if sessions.is_empty() {
            return Vec::new();
        }
        self.take(|stay| sessions.contains(&stay.asker.session) && stay.end_if_idle(0))
    }

    fn take(&self, ends: impl Fn(&Stay) -> bool) -> Vec<Arc<Stay>> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended: Vec<Arc<Stay>> = failed.extract_if(.., |stay| ends(stay)).collect();
        drop(failed);
        self.stays.retain(|_, cell| match cell.get() {
            Some(stay) if ends(stay) => {
                ended.push(Arc::clone(stay));
                false
            }
            Some(_) | None => true,
        });
        ended
    }
}
