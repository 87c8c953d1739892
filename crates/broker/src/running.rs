//! A broker that runs: its listeners, its control socket and its upkeep, until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_identity::Keys;
use sluice_postgres::Bearer;
use sluice_ssh::Waiting;
use sluice_vault::Vault;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::admission::Admission;
use crate::config::{Config, OauthEntry};
use crate::control::{Desk, Socket};
use crate::host_key;
use crate::listen::Listener;
use crate::logins;
use crate::paths::Paths;
use crate::protocols::ListenerSettings;
use crate::shutdown::{self, Stopper};
use crate::tls;
use crate::world::{World, lendings};

/// What is left to the last tasks after the sessions had their time.
const GRACE: Duration = Duration::from_secs(2);

/// A running broker.
pub(crate) struct Running {
    pub(crate) world: Arc<World>,
    /// Where clients of each protocol connect, in the order of the documentation.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
    drain: Duration,
    stopper: Stopper,
    /// Listeners and the control socket: they end when told to.
    serving: JoinSet<()>,
    /// Upkeep: it ends when it is dropped.
    upkeep: JoinSet<()>,
}

impl Running {
    /// Starts a broker; on return it accepts connections.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let paths = Paths::of(&config.data_dir);
        paths.make()?;
        // First of all: it is what keeps a second broker off the folder.
        let socket = Socket::bind(&paths.control()).await?;
        let listener = listener_settings(config, &paths)?;
        let world = Arc::new(World::build(config, &listener).await?);
        warn_of_missing_secrets(config).await;
        let admission = Arc::new(Admission::new(&config.limits));
        let mut listeners = Vec::new();
        for (protocol, address) in config.listen.addresses() {
            let (name, server) =
                world.server(protocol).with_context(|| format!("the protocol `{protocol}` is not in this binary"))?;
            let kernel = Arc::clone(&world.kernel);
            listeners.push(Listener::bind(address, name, server, kernel, Arc::clone(&admission)).await?);
        }
        let addresses: Result<Vec<_>> =
            listeners.iter().map(|listener| Ok((listener.name(), listener.address()?))).collect();
        let addresses = addresses?;

        let (stopper, stop) = shutdown::stop();
        let mut serving = JoinSet::new();
        let (nudge, nudges) = logins::nudges();
        let desk = Desk {
            kernel: Arc::clone(&world.kernel),
            store: world.store.clone(),
            holds: Arc::clone(&world.holds),
            ssh_logins: Arc::clone(&world.ssh_logins),
            nudge,
        };
        serving.spawn(socket.run(desk, stop.clone()));
        for listener in listeners {
            serving.spawn(listener.run(stop.clone()));
        }
        let mut upkeep = JoinSet::new();
        let tended = Arc::clone(&world);
        upkeep.spawn(async move { tended.tend(nudges).await });
        let drain = Duration::from_secs(u64::from(config.limits.drain_seconds));
        Ok(Self { world, addresses, drain, stopper, serving, upkeep })
    }

    /// Where clients of a protocol connect.
    pub(crate) fn address(&self, protocol: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| *name == protocol).map(|(_, address)| *address)
    }

    /// Accepts nobody any more, ends the sessions, and leaves once they are gone or their time is over.
    pub(crate) async fn stop(mut self) {
        self.stopper.tell();
        self.world.kernel.shutdown(self.drain).await;
        let finished = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finished).await.is_err() {
            warn!("connections that did not end in time were cut");
        }
        self.serving.shutdown().await;
        self.upkeep.shutdown().await;
        self.world.store.close().await;
    }
}

/// A target whose secret is missing refuses its clients; the others go on.
async fn warn_of_missing_secrets(config: &Config) {
    let vault = Vault::new(lendings(config));
    let checked = tokio::task::spawn_blocking(move || vault.check()).await;
    if let Ok(Err(missing)) = checked {
        for (target, error) in missing.0 {
            error!(target = %target, error = %error, "a target has no credential and will refuse its clients");
        }
    }
}

fn bearer(entry: &OauthEntry) -> Bearer {
    Bearer { discovery: entry.discovery.clone(), scope: entry.scope.clone() }
}

/// What waits must never take the space that the recordings need for sessions to open.
fn waiting(config: &Config, paths: &Paths) -> Waiting {
    let (limits, disk) = (&config.limits, config.limits.disk());
    let (memory_bytes, file_bytes) = (limits.waiting_bytes, limits.spilled_bytes);
    let (free_percent, ample_bytes) =
        (disk.min_free_percent.saturating_add(2), disk.ample_bytes.saturating_add(disk.ample_bytes / 5));
    Waiting { memory_bytes, file_bytes, folder: paths.recordings(), free_percent, ample_bytes }
}

fn listener_settings(config: &Config, paths: &Paths) -> Result<ListenerSettings> {
    let certificate = match &config.listen.tls {
        Some(files) => tls::configured(files)?,
        None => {
            let (certificate, development) = tls::development(&paths.tls())?;
            let authority = development.authority.display();
            if development.made {
                info!(authority = %authority, "a development certificate was made; clients trust it by this file");
            } else {
                info!(authority = %authority, "the development certificate is in use");
            }
            certificate
        }
    };
    let dangerous_cleartext_loopback = config.listen.dangerous_cleartext_loopback;
    if dangerous_cleartext_loopback {
        warn!("passwords without TLS are accepted from loopback clients");
    }
    let keys = Keys::open(&paths.keys())?;
    Ok(ListenerSettings {
        certificate: Arc::new(certificate),
        dangerous_cleartext_loopback,
        bearer: config.listen.oauth.as_ref().map(bearer),
        http_hosts: config.listen.http_hosts.clone(),
        http_head: Duration::from_secs(u64::from(config.limits.head_seconds)),
        http_body_bytes: config.limits.body_bytes,
        mask_key: *keys.derive("http values")?,
        ssh_host_key: host_key::open(paths)?.private().clone(),
        waiting: waiting(config, paths),
    })
}
