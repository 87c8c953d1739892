//! The kernel's `Lend` port.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_kernel::{BoxFuture, Lend};
use sluice_model::{Code, Refusal, Secret, TargetName};
use sluice_wire::Credential;
use thiserror::Error;

use crate::source::{SecretError, SecretSource};

/// The credential of one target, as the configuration names it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lending {
    /// The login role at the target.
    pub user: String,
    /// Its secret, by reference; absent where the target trusts the connection itself.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// Further secrets of the same login, lent in turn: one that cannot be read is passed over.
    #[serde(default)]
    pub more: Vec<SecretSource>,
}

impl Lending {
    fn sources(&self) -> impl Iterator<Item = &SecretSource> + Clone {
        self.secret.iter().chain(&self.more)
    }
}

/// Every secret that cannot be lent, at once.
#[derive(Debug, Error)]
pub struct Missing(pub Vec<(TargetName, SecretError)>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (target, error)) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}target `{target}`: {error}")?;
        }
        Ok(())
    }
}

/// Lends target credentials. A lease is read when it is asked for, wiped when it is dropped, and never kept here.
#[derive(Debug)]
pub struct Vault {
    lendings: RwLock<Arc<BTreeMap<TargetName, Lending>>>,
    /// How many leases were asked for: several secrets take turns.
    turn: AtomicUsize,
}

impl Vault {
    /// A vault over the credentials of all targets.
    #[must_use]
    pub fn new(lendings: BTreeMap<TargetName, Lending>) -> Self {
        Self { lendings: RwLock::new(Arc::new(lendings)), turn: AtomicUsize::new(0) }
    }

    /// Replaces the configured credentials as a whole.
    pub fn reload(&self, lendings: BTreeMap<TargetName, Lending>) {
        *self.lendings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lendings);
    }

    /// Reads every secret once and reports all that cannot be lent, for `sluice check`. Blocks on the file system.
    ///
    /// # Errors
    /// When at least one secret cannot be lent.
    pub fn check(&self) -> Result<(), Missing> {
        let missing: Vec<_> = self
            .lendings()
            .iter()
            .flat_map(|(target, lending)| lending.sources().map(move |source| (target, source)))
            .filter_map(|(target, source)| Some((target.clone(), source.read().err()?)))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
    }

    fn lendings(&self) -> Arc<BTreeMap<TargetName, Lending>> {
        Arc::clone(&self.lendings.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lease(&self, target: &TargetName) -> Result<Credential, Refusal> {
        let Some(lending) = self.lendings().get(target).cloned() else {
            tracing::warn!(%target, "a credential of a target without one was asked for");
            return Err(unavailable());
        };
        let count = lending.sources().count();
        let first = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(count).unwrap_or(0);
        let mut lent = Ok(None);
        for source in lending.sources().cycle().skip(first).take(count) {
            lent = read(target, source.clone()).await.map(Some);
            if lent.is_ok() {
                break;
            }
        }
        Ok(Credential { user: lending.user, secret: lent? })
    }
}

impl Lend for Vault {
    fn lend<'a>(&'a self, target: &'a TargetName) -> BoxFuture<'a, Result<Credential, Refusal>> {
        Box::pin(self.lease(target))
    }
}

async fn read(target: &TargetName, source: SecretSource) -> Result<Secret, Refusal> {
    match tokio::task::spawn_blocking(move || source.read()).await {
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(error)) => {
            // The reference is the operator's business: the client learns only that it is not the client's fault.
            tracing::warn!(%target, %error, "a credential cannot be lent");
            Err(unavailable())
        }
        Err(_) => Err(unavailable()),
    }
}

fn unavailable() -> Refusal {
    Refusal::builtin(Code::Unavailable, "vault.credential", "the credential of the target cannot be read")
        .with_hint("ask whoever runs the broker")
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
