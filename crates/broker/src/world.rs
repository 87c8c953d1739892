//! One broker put together: the kernel, what fills its ports, and the tasks that keep them current.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_identity::{
    Authorities, ClientAuthorities, Identity, Iterations, Keys, Lifetimes, RevokedTokens, ScramLogins, SshLogins,
};
use sluice_kernel::{Kernel, Laws, Ports, Zone, clock};
use sluice_model::{TargetName, UnixMicros};
use sluice_store::{Approvals as _, Holds, Keeper, Limits as DiskLimits, Recordings, Sessions as _, Sqlite, Store};
use sluice_vault::{Lending, Vault};
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::logins::{self, Nudges};
use crate::paths::Paths;
use crate::policies::{self, Mistakes};
use crate::protocols::{ListenerSettings, PROTOCOLS, Server};

/// The lifetimes of tokens minted here: an hour by default, a day at most.
pub(crate) const LIFETIMES: Lifetimes = Lifetimes::STANDARD;
/// What SCRAM secrets are minted with.
pub(crate) const ITERATIONS: Iterations = Iterations::STANDARD;
/// How often the store is asked for revocations and logins that the command line wrote.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One broker.
pub(crate) struct World {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) store: Sqlite,
    pub(crate) holds: Arc<Holds>,
    keeper: Keeper,
    identity: Arc<Identity>,
    vault: Arc<Vault>,
    revoked: Arc<RevokedTokens>,
    logins: Arc<ScramLogins>,
    pub(crate) ssh_logins: Arc<SshLogins>,
    servers: Vec<(&'static str, Arc<dyn Server>)>,
}

impl World {
    /// Puts a broker together on its data folder; what an earlier run left open is closed.
    pub(crate) async fn build(config: &Config, listener: &ListenerSettings) -> Result<Self> {
        let paths = Paths::of(&config.data_dir);
        let policies = policies::compile(config, epoch())?;
        let keys = Keys::open(&paths.keys())?;
        let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
        let recordings = open_recordings(&paths.recordings(), config.limits.disk()).await?;
        close_left_open(&store).await?;

        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let holds = Arc::new(Holds::new(Arc::clone(&shared)));
        let keeper = Keeper::new(recordings, shared, env!("CARGO_PKG_VERSION"));
        let (revoked, logins) = (Arc::new(RevokedTokens::default()), Arc::new(ScramLogins::default()));
        let ssh_logins = Arc::new(SshLogins::default());
        let identity = Identity::new(
            &keys,
            LIFETIMES,
            Vec::new(),
            ITERATIONS,
            Arc::clone(&revoked) as _,
            Arc::clone(&logins) as _,
        )?;
        let identity = Arc::new(identity.with_ssh_keys(Arc::clone(&ssh_logins) as _));
        identity.trust(authorities(config)?);
        identity.trust_clients(client_authorities(config)?);
        identity.reload(config.issuers.clone()).map_err(|wrong| config::issuer_mistakes(&config.file, &wrong))?;
        let vault = Arc::new(Vault::new(lendings(config)));
        let ports = Ports {
            identify: Arc::clone(&identity) as _,
            lend: Arc::clone(&vault) as _,
            keep: Arc::new(keeper.clone()),
            approve: Arc::clone(&holds) as _,
        };
        let kernel = Kernel::new(ports, config.limits.kernel(), laws(config, policies));
        kernel.resume_budgets().await.context("what budgets have left cannot be read")?;
        let mut servers = Vec::with_capacity(PROTOCOLS.len());
        for lane in PROTOCOLS {
            servers.push((lane.schema().protocol, lane.server(listener)?));
        }
        let world = Self { kernel, store, holds, keeper, identity, vault, revoked, logins, ssh_logins, servers };
        world.point_servers(config);
        // Nobody signs in before what was revoked earlier is known.
        let mut cursors = logins::Cursors::default();
        world.catch_up(&mut cursors).await?;
        Ok(world)
    }

    /// The server of a protocol.
    pub(crate) fn server(&self, protocol: &str) -> Option<(&'static str, Arc<dyn Server>)> {
        let found = self.servers.iter().find(|(name, _)| *name == protocol)?;
        Some((found.0, Arc::clone(&found.1)))
    }

    /// Puts another configuration in force as a whole; where anything is wrong with it, nothing changes.
    pub(crate) fn adopt(&self, config: &Config) -> Result<(), Mistakes> {
        let policies = policies::compile(config, epoch())?;
        let authorities = authorities(config)?;
        let client_authorities = client_authorities(config)?;
        let wrong = self.identity.reload(config.issuers.clone());
        wrong.map_err(|wrong| config::issuer_mistakes(&config.file, &wrong))?;
        self.identity.trust(authorities);
        self.identity.trust_clients(client_authorities);
        self.kernel.replace(laws(config, policies));
        self.point_servers(config);
        // Last: whoever is lent a new credential finds the new target.
        self.vault.reload(lendings(config));
        Ok(())
    }

    fn point_servers(&self, config: &Config) {
        for (name, server) in &self.servers {
            let mine = config.targets.iter().filter(|(_, guarded)| guarded.target.protocol == *name);
            server.replace(mine.map(|(target, guarded)| (target.clone(), guarded.half.clone())).collect());
        }
    }

    /// Ends revoked sessions, keeps recordings durable, reads what the command line wrote. Runs until it is dropped.
    pub(crate) async fn tend(&self, nudges: Nudges) {
        tokio::join!(self.kernel.watch(), self.keeper.clone().run(), self.look(nudges));
    }

    async fn catch_up(&self, cursors: &mut logins::Cursors) -> Result<()> {
        logins::catch_up(&self.store, &self.revoked, &self.logins, &self.ssh_logins, cursors).await
    }

    async fn look(&self, mut nudges: Nudges) {
        let mut cursors = logins::Cursors::default();
        let mut beat = tokio::time::interval(LOOK_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let nudged = tokio::select! {
                _ = beat.tick() => None,
                Some(nudged) = nudges.next() => Some(nudged),
            };
            match self.catch_up(&mut cursors).await {
                Ok(()) => {
                    let _heard = nudged.map(|nudged| nudged.send(()));
                }
                Err(error) => error!(error = %error, "revocations could not be read from the store"),
            }
            self.revoked.forget_expired(clock::now());
            self.ssh_logins.forget_expired(clock::now());
            if let Err(error) = self.store.expire_holds(clock::now()).await {
                warn!(error = %error, "overdue requests could not be expired");
            }
        }
    }
}

/// The authorities of SSH certificates of a configuration, with the files it names.
pub(crate) fn authorities(config: &Config) -> Result<Authorities, Mistakes> {
    Authorities::open(&config.ssh_authorities).map_err(|wrong| config::authority_mistakes(&config.file, &wrong))
}

/// The authorities of client certificates of a configuration, with the files it names.
pub(crate) fn client_authorities(config: &Config) -> Result<ClientAuthorities, Mistakes> {
    let opened = ClientAuthorities::open(&config.client_authorities);
    opened.map_err(|wrong| config::client_authority_mistakes(&config.file, &wrong))
}

/// The number of the next set of policies: later ones are higher, also across restarts.
fn epoch() -> u64 {
    u64::try_from(clock::now().0).unwrap_or_default()
}

fn laws(config: &Config, policies: sluice_policy::Policies) -> Laws {
    Laws {
        policies: Arc::new(policies),
        targets: config.targets.iter().map(|(name, guarded)| (name.clone(), guarded.target.clone())).collect(),
        schemas: crate::protocols::schemas(),
        zone: Zone { utc_offset_minutes: config.utc_offset_minutes },
    }
}

async fn open_recordings(folder: &Path, limits: DiskLimits) -> Result<Arc<Recordings>> {
    let folder = folder.to_path_buf();
    let now = clock::now();
    let opened = tokio::task::spawn_blocking(move || {
        let recordings = Recordings::open(&folder, limits, now)?;
        let recovered = recordings.recover(now)?;
        Ok::<_, sluice_store::RecordingError>((recordings, recovered))
    });
    let (recordings, recovered) = opened.await?.context("the recordings cannot be opened")?;
    for session in &recovered.closed {
        warn!(session = %session, "a session that an earlier run left open was closed");
    }
    for (session, reason) in &recovered.damaged {
        error!(session = %session, error = %reason, "a recording is damaged");
    }
    Ok(Arc::new(recordings))
}

async fn close_left_open(store: &Sqlite) -> Result<()> {
    let now: UnixMicros = clock::now();
    let sessions = store.crash_open_sessions(now).await?;
    let holds = store.cancel_open_holds(now).await?;
    if sessions > 0 || holds > 0 {
        info!(sessions, holds, "what an earlier run left open was closed");
    }
    Ok(())
}

/// The credentials of a configuration's targets.
pub(crate) fn lendings(config: &Config) -> BTreeMap<TargetName, Lending> {
    config.targets.iter().map(|(name, guarded)| (name.clone(), guarded.lending.clone())).collect()
}
