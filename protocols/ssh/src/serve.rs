//! SSH as it is served: what is offered to clients, and the targets as their configuration compiles.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use russh::keys::{PrivateKey, decode_secret_key};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, kex, mac};
use sluice_mask::Detectors;
use sluice_model::{ExposeSecret as _, Schema, Secret, Tag, TargetName};
use sluice_wire::{Broker, FlowError, Io, Protocol, Targets};
use thiserror::Error;

use crate::algorithms;
use crate::commands::Commands;
use crate::files::sftp;
use crate::hostkeys::HostKeys;
use crate::screen::Screens;
use crate::shelf::{Depot, Waiting};
use crate::target::Target;
use crate::visit::visit;

/// How long a client may take.
mod deadline {
    use std::time::Duration;

    /// What a failed proof takes at least.
    pub(super) const REJECTION: Duration = Duration::from_millis(500);
    /// Between two questions whether a silent client is there.
    pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
}

/// How the protocol is served.
#[derive(Debug)]
pub struct Settings {
    /// The broker's own host key, in OpenSSH's format.
    pub host_key: Secret,
    /// What may wait until the other side takes it.
    pub waiting: Waiting,
}

/// The host key cannot be used.
#[derive(Debug, Error)]
#[error("the SSH host key is no private key without a passphrase")]
pub struct InvalidHostKey;

/// SSH.
pub struct Ssh {
    config: Arc<Config>,
    depot: Arc<Depot>,
    served: Mutex<HashMap<TargetName, Compiled>>,
}

/// A target, and what its configuration compiled to.
struct Compiled {
    of: Arc<Target>,
    served: Arc<Served>,
}

/// A target as it is served.
pub(crate) struct Served {
    pub(crate) target: Arc<Target>,
    pub(crate) keys: Arc<HostKeys>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) screens: Arc<Screens>,
    pub(crate) files: Arc<sftp::Settings>,
    pub(crate) tags: Arc<BTreeSet<Tag>>,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh").finish_non_exhaustive()
    }
}

impl Ssh {
    /// Serves with these settings.
    ///
    /// # Errors
    /// When the host key cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, InvalidHostKey> {
        let key = decode_secret_key(settings.host_key.expose_secret(), None).map_err(|_| InvalidHostKey)?;
        let depot = Arc::new(Depot::new(settings.waiting.clone()));
        Ok(Self { config: Arc::new(config(key)), depot, served: Mutex::default() })
    }

    pub(crate) const fn depot(&self) -> &Arc<Depot> {
        &self.depot
    }

    pub(crate) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// A target as it is served; compiled once for each configuration of it.
    pub(crate) fn served(&self, name: &TargetName, target: &Arc<Target>) -> Option<Arc<Served>> {
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Compiled { of, served }) = all.get(name)
            && Arc::ptr_eq(of, target)
        {
            return Some(Arc::clone(served));
        }
        match Served::new(target) {
            Ok(served) => {
                let served = Arc::new(served);
                all.insert(name.clone(), Compiled { of: Arc::clone(target), served: Arc::clone(&served) });
                Some(served)
            }
            Err(error) => {
                tracing::error!(target = %name, error, "a target cannot be served");
                None
            }
        }
    }

    /// Compiles targets, and begins to make the tables of their detectors.
    fn compile(&self, targets: &Targets<Target>) -> Option<JoinHandle<()>> {
        let served = targets.iter().filter_map(|(name, target)| self.served(name, target));
        let sets: Vec<_> = served.map(|served| Arc::clone(served.screens.detectors())).collect();
        // Without a thread, the first text makes them.
        if sets.is_empty() { None } else { Detectors::make_tables(sets).ok() }
    }
}

impl Served {
    fn new(target: &Arc<Target>) -> Result<Self, String> {
        let screens = Arc::new(Screens::of(target)?);
        Ok(Self {
            target: Arc::clone(target),
            keys: Arc::new(HostKeys::of(target)?),
            commands: Arc::new(Commands::of(target)?),
            tags: Arc::new(screens.detectors().tags().cloned().collect()),
            screens,
            files: Arc::new(target.files()?),
        })
    }
}

/// What is offered to clients.
fn config(key: PrivateKey) -> Config {
    let preferred = Preferred {
        kex: vec![
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::DH_G16_SHA512,
            kex::DH_G18_SHA512,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]
        .into(),
        mac: vec![mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM].into(),
        ..algorithms::preferred()
    };
    let methods: &[MethodKind] = &[MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive];
    Config {
        server_id: SshId::Standard("SSH-2.0-Sluice".into()),
        methods: MethodSet::from(methods),
        auth_rejection_time: deadline::REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(deadline::KEEPALIVE),
        ..Config::default()
    }
}

impl Protocol for Ssh {
    const NAME: &'static str = "ssh";
    const SCHEMA: Schema = crate::schema::SCHEMA;
    type Target = Target;

    fn set_up(&self, targets: &Targets<Target>) {
        drop(self.compile(targets));
    }

    async fn serve<B: Broker>(&self, io: Io, targets: &ArcSwap<Targets<Target>>, broker: &B) -> Result<(), FlowError> {
        visit(self, io, targets, broker, None).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::shelf::Shelf;

    #[test]
    fn tables_are_made_when_targets_are_set_up_and_not_by_the_first_text() {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let shown = key.public_key().to_openssh().unwrap();
        let depot = Arc::clone(Shelf::none().depot());
        let ssh = Ssh { config: Arc::new(config(key)), depot, served: Mutex::default() };
        let target = serde_json::json!({ "host": "web", "host_keys": [shown] });
        let (name, target) = (TargetName::new("web").unwrap(), Arc::new(serde_json::from_value(target).unwrap()));
        let targets = Targets::from_iter([(name.clone(), Arc::clone(&target))]);
        ssh.compile(&targets).unwrap().join().unwrap();
        assert!(ssh.served(&name, &target).unwrap().screens.detectors().has_tables());
        assert!(ssh.compile(&Targets::from_iter([])).is_none());
    }
}
