//! The kernel's port for asking people, over the store.

use std::sync::Arc;
use std::time::Duration;

use sluice_kernel::{ApprovalRequest, Approve, BoxFuture, Settlement};
use sluice_model::{Code, Digest, HoldId, Principal, Refusal, UnixMicros};
use tokio::sync::watch;

use crate::{HoldRow, NotCounted, State, Store, StoreError, Tally};

/// How often a waiting operation looks for an answer that another process has written.
const LOOK: Duration = Duration::from_millis(500);

/// Files requests and tells who waits for them when they are settled.
#[derive(Clone)]
pub struct Holds {
    store: Arc<dyn Store>,
    /// Changes whenever a request of this process does.
    changed: watch::Sender<()>,
}

impl std::fmt::Debug for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holds").finish_non_exhaustive()
    }
}

impl Holds {
    /// Holds over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, changed: watch::Sender::new(()) }
    }

    /// Counts a person's approval and wakes the operation that waits for it.
    pub async fn approve(&self, id: &HoldId, approver: &Principal, now: UnixMicros) -> Result<Tally, NotCounted> {
        let tally = self.store.approve(id, approver, now).await?;
        self.changed.send_replace(());
        Ok(tally)
    }

    /// Ends a request with a no and wakes the operation that waits for it.
    pub async fn deny(&self, id: &HoldId, approver: &Principal, now: UnixMicros) -> Result<(), NotCounted> {
        self.store.deny(id, approver, now).await?;
        self.changed.send_replace(());
        Ok(())
    }

    /// Takes an approval back that was not consumed.
    pub async fn revoke(&self, id: &HoldId, approver: &Principal, now: UnixMicros) -> Result<(), NotCounted> {
        self.store.revoke_approval(id, approver, now).await?;
        self.changed.send_replace(());
        Ok(())
    }

    async fn look(&self, id: &HoldId) -> Option<Settlement> {
        match self.store.show_hold(id).await {
            Ok(Some(hold)) => settlement(&hold),
            Ok(None) => Some(Settlement::Cancelled),
            Err(error) => {
                // The kernel's own patience ends a wait that the store cannot.
                tracing::warn!(%error, "a request for approval could not be read");
                None
            }
        }
    }

    async fn wait(&self, id: &HoldId) -> Settlement {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(settlement) = self.look(id).await {
                return settlement;
            }
            // Both outcomes lead to another look; the sender lives as long as `self`.
            drop(tokio::time::timeout(LOOK, changed.changed()).await);
        }
    }
}

impl Approve for Holds {
    fn request(&self, request: ApprovalRequest) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            match self.store.request(&request).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Refusal::builtin(
                    Code::Limit,
                    "hold-limit",
                    "too many of your operations wait for approval already",
                )),
                Err(error) => Err(unkept(&error)),
            }
        })
    }

    fn settled(&self, id: HoldId) -> BoxFuture<'_, Settlement> {
        Box::pin(async move { self.wait(&id).await })
    }

    fn settlement(&self, id: HoldId) -> BoxFuture<'_, Option<Settlement>> {
        Box::pin(async move { self.look(&id).await })
    }

    fn withdraw(&self, id: HoldId, now: UnixMicros) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.store.withdraw(&id, now).await {
                tracing::warn!(%error, "a request for approval could not be withdrawn");
            }
            self.changed.send_replace(());
        })
    }

    fn consume(&self, id: HoldId, digest: Digest, now: UnixMicros) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            self.store.consume(&id, &digest, now).await.unwrap_or_else(|error| {
                tracing::error!(%error, "an approval could not be consumed");
                false
            })
        })
    }
}

/// How a request ended; `None` while it is open.
fn settlement(hold: &HoldRow) -> Option<Settlement> {
    match hold.state {
        State::Requested => None,
        State::Approved => Some(Settlement::Approved {
            by: hold.votes.iter().map(|vote| vote.person.clone()).collect(),
            expires: hold.expires,
        }),
        State::Denied => Some(Settlement::Denied { by: hold.settled_by.clone().unwrap_or_default() }),
        State::Expired => Some(Settlement::Expired),
        State::Consumed | State::Cancelled | State::Revoked => Some(Settlement::Cancelled),
    }
}

fn unkept(error: &StoreError) -> Refusal {
    tracing::error!(%error, "a request for approval could not be filed");
    Refusal::builtin(Code::Unrecorded, "hold-unrecorded", "the request for approval could not be written down")
}
