//! The kernel's `Lend` port.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_kernel::{BoxFuture, Lend};
use sluice_model::{Code, Group, Principal, Refusal, Secret, TargetName};
use sluice_wire::{Credential, TurnedDown};
use thiserror::Error;

use crate::aside::Aside;
use crate::command::TokenCommand;
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
    /// Further secrets of the same login, lent in turn: one that cannot be read, or that the target turned down a short
    /// time ago, is passed over.
    #[serde(default)]
    pub more: Vec<SecretSource>,
    /// Other logins for some principals, in their place: the first that fits.
    #[serde(default)]
    pub logins: Vec<Login>,
}

/// A login of its own for some principals.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Whom it is for, as `user:NAME`, `agent:NAME` or `workload:NAME`; anybody where it is left out.
    #[serde(default)]
    pub principal: Option<String>,
    /// The group that they have themselves; any where it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub group: Option<Group>,
    /// The login role at the target.
    pub user: String,
    /// Its secret, by reference; absent where the target trusts the connection itself.
    #[serde(default)]
    pub password: Option<SecretSource>,
}

impl Lending {
    fn sources(&self) -> impl Iterator<Item = &SecretSource> + Clone {
        self.secret.iter().chain(&self.more)
    }

    /// The sources of every login.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SecretSource> + Clone {
        self.sources().chain(self.logins.iter().filter_map(|login| login.password.as_ref()))
    }

    /// What is lent to a principal.
    fn lent_to(mut self, who: &Principal) -> Self {
        let fits = |login: &Login| who.fits(login.principal.as_deref(), login.group.as_ref());
        match std::mem::take(&mut self.logins).into_iter().find(fits) {
            Some(Login { user, password, .. }) => Self { user, secret: password, more: Vec::new(), logins: Vec::new() },
            None => self,
        }
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

/// Lends target credentials. A lease is read when it is asked for and wiped when it is dropped; kept here is only what a
/// command printed, for as long as its configuration says.
#[derive(Debug, Default)]
pub struct Vault {
    lendings: RwLock<Arc<BTreeMap<TargetName, Lending>>>,
    /// How many leases were asked for: several secrets take turns.
    turn: AtomicUsize,
    printed: Printed,
    aside: Aside,
}

/// What commands printed, until when it is good. One run of a command serves everybody who waits for it.
#[derive(Debug, Default)]
struct Printed(Mutex<HashMap<SecretSource, Kept>>);

type Kept = Arc<tokio::sync::Mutex<Option<(Secret, Instant)>>>;

impl Printed {
    async fn read(&self, source: SecretSource, command: &TokenCommand) -> Result<Secret, SecretError> {
        let kept = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(source.clone()).or_default())
        };
        let mut kept = kept.lock().await;
        if let Some((secret, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(secret.clone());
        }
        // Counted from before the command ran: what it prints may be good from then on.
        let until = Instant::now() + command.keep();
        *kept = None;
        let secret = off_the_reactor(source).await?;
        *kept = Some((secret.clone(), until));
        Ok(secret)
    }

    /// Forgets what a command printed: the next lease runs it again.
    fn forget(&self, source: &SecretSource) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    /// Forgets what is of no configured command any more.
    fn retain(&self, lendings: &BTreeMap<TargetName, Lending>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|source, _| lendings.values().flat_map(Lending::all).any(|configured| configured == source));
    }
}

async fn off_the_reactor(source: SecretSource) -> Result<Secret, SecretError> {
    let reference = source.clone();
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    read.unwrap_or(Err(SecretError::Missing(reference)))
}

impl Vault {
    /// A vault over the credentials of all targets.
    #[must_use]
    pub fn new(lendings: BTreeMap<TargetName, Lending>) -> Self {
        Self { lendings: RwLock::new(Arc::new(lendings)), ..Self::default() }
    }

    /// Replaces the configured credentials as a whole.
    pub fn reload(&self, lendings: BTreeMap<TargetName, Lending>) {
        self.printed.retain(&lendings);
        self.aside.retain(&lendings);
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
            .flat_map(|(target, lending)| lending.all().map(move |source| (target, source)))
            .filter_map(|(target, source)| Some((target.clone(), source.read().err()?)))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
    }

    fn lendings(&self) -> Arc<BTreeMap<TargetName, Lending>> {
        Arc::clone(&self.lendings.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lease(&self, target: &TargetName, who: &Principal) -> Result<Credential, Refusal> {
        let Some(lending) = self.lendings().get(target).cloned() else {
            tracing::warn!(%target, "a credential of a target without one was asked for");
            return Err(unavailable());
        };
        let lending = lending.lent_to(who);
        for source in lending.sources().filter(|source| self.aside.notice(target, source)) {
            self.printed.forget(source);
        }
        let count = lending.sources().count();
        let first = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(count).unwrap_or(0);
        let in_turn = lending.sources().cycle().skip(first).take(count);
        let (aside, taken): (Vec<_>, Vec<_>) = in_turn.partition(|source| self.aside.holds(target, source));
        let mut lent = Ok((None, TurnedDown::default()));
        // Where the target takes none, one is as good as the other.
        for source in taken.into_iter().chain(aside) {
            lent = self.read(target, source.clone()).await.map(|secret| (Some(secret), self.aside.of(target, source)));
            if lent.is_ok() {
                break;
            }
        }
        let (secret, turned_down) = lent?;
        Ok(Credential { user: lending.user, secret, turned_down })
    }

    async fn read(&self, target: &TargetName, source: SecretSource) -> Result<Secret, Refusal> {
        let read = match &source {
            SecretSource::Command(command) => {
                let command = command.clone();
                self.printed.read(source, &command).await
            }
            SecretSource::Env(_) | SecretSource::File(_) => off_the_reactor(source).await,
        };
        read.map_err(|error| {
            // The reference is the operator's business: the client learns only that it is not the client's fault.
            tracing::warn!(%target, %error, "a credential cannot be lent");
            unavailable()
        })
    }
}

impl Lend for Vault {
    fn lend<'a>(&'a self, target: &'a TargetName, who: &'a Principal) -> BoxFuture<'a, Result<Credential, Refusal>> {
        Box::pin(self.lease(target, who))
    }
}

fn unavailable() -> Refusal {
    Refusal::builtin(Code::Unavailable, "vault.credential", "the credential of the target cannot be read")
        .with_hint("ask whoever runs the broker")
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
