//! The kernel's `Lend` port.

use std::collections::BTreeMap;
use std::fmt;
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
pub struct Vault(RwLock<Arc<BTreeMap<TargetName, Lending>>>);

impl Vault {
    /// A vault over the credentials of all targets.
    #[must_use]
    pub fn new(lendings: BTreeMap<TargetName, Lending>) -> Self {
        Self(RwLock::new(Arc::new(lendings)))
    }

    /// Replaces the configured credentials as a whole.
    pub fn reload(&self, lendings: BTreeMap<TargetName, Lending>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lendings);
    }

    /// Reads every secret once and reports all that cannot be lent, for `sluice check`. Blocks on the file system.
    ///
    /// # Errors
    /// When at least one secret cannot be lent.
    pub fn check(&self) -> Result<(), Missing> {
        let missing: Vec<_> = self
            .lendings()
            .iter()
            .filter_map(|(target, lending)| Some((target.clone(), lending.secret.as_ref()?.read().err()?)))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
    }

    fn lendings(&self) -> Arc<BTreeMap<TargetName, Lending>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lease(&self, target: &TargetName) -> Result<Credential, Refusal> {
        let Some(Lending { user, secret }) = self.lendings().get(target).cloned() else {
            tracing::warn!(%target, "a credential of a target without one was asked for");
            return Err(unavailable());
        };
        let secret = match secret {
            None => None,
            Some(source) => Some(read(target, source).await?),
        };
        Ok(Credential { user, secret })
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
