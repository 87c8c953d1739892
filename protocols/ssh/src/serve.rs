//! One client connection: sign-in, one session, a flow for each channel.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, decode_secret_key};
use russh::server::{self, Config, Handle};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use sluice_model::{ExposeSecret as _, Principal, Refusal, Schema, Secret, Tag, TargetName, UnixMicros};
use sluice_wire::{Broker, FlowError, Grant as _, Io, Peer, Protocol, Targets};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::commands::Commands;
use crate::cut::cuttable;
use crate::dial::Dial;
use crate::door::{Call, Door, Opened};
use crate::files::sftp;
use crate::hostkeys::HostKeys;
use crate::hub::{Hub, Nowhere, Presence};
use crate::link::{ClientLink, ServerLink};
use crate::machine::{ChannelMachine, Setup};
use crate::notice::{Notice, show};
use crate::operation::Scene;
use crate::screen::Screens;
use crate::target::Target;

/// Calls of a connection that wait.
const CALLS: usize = 16;

/// How long a client may take.
mod deadline {
    use std::time::Duration;

    /// From the accepted connection to a proven identity.
    pub(super) const SIGN_IN: Duration = Duration::from_secs(60);
    /// What a failed proof takes at least.
    pub(super) const REJECTION: Duration = Duration::from_millis(500);
    /// Between two questions whether a silent client is there.
    pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
    /// For the last words.
    pub(super) const FAREWELL: Duration = Duration::from_secs(2);
}

/// How the protocol is served.
#[derive(Debug)]
pub struct Settings {
    /// The broker's own host key, in OpenSSH's format.
    pub host_key: Secret,
}

/// The host key cannot be used.
#[derive(Debug, Error)]
#[error("the SSH host key is no private key without a passphrase")]
pub struct InvalidHostKey;

/// SSH.
pub struct Ssh {
    config: Arc<Config>,
    served: Mutex<HashMap<TargetName, Compiled>>,
}

/// A target, and what its configuration compiled to.
struct Compiled {
    of: Arc<Target>,
    served: Arc<Served>,
}

/// A target as it is served.
struct Served {
    target: Arc<Target>,
    keys: Arc<HostKeys>,
    commands: Arc<Commands>,
    screens: Arc<Screens>,
    files: Arc<sftp::Settings>,
    tags: Arc<BTreeSet<Tag>>,
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
        Ok(Self { config: Arc::new(config(key)), served: Mutex::default() })
    }

    fn served(&self, name: &TargetName, target: &Arc<Target>) -> Option<Arc<Served>> {
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
}

impl Served {
    fn new(target: &Arc<Target>) -> Result<Self, String> {
        Ok(Self {
            target: Arc::clone(target),
            keys: Arc::new(HostKeys::of(target)?),
            commands: Arc::new(Commands::of(target)?),
            screens: Arc::new(Screens::of(target)?),
            files: Arc::new(sftp::Settings { governed: target.folders()?, ..sftp::Settings::default() }),
            tags: Arc::new(target.tags()),
        })
    }
}

/// What is offered to clients: nothing with SHA-1, no CBC, no compression (its bombs would cost memory).
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
        key: vec![
            Algorithm::Ed25519,
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        ]
        .into(),
        cipher: vec![
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_128_CTR,
        ]
        .into(),
        mac: vec![mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM].into(),
        compression: vec![compression::NONE].into(),
        ..Preferred::DEFAULT
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

    async fn serve<B: Broker>(&self, io: Io, targets: &ArcSwap<Targets<Target>>, broker: &B) -> Result<(), FlowError> {
        let Io { stream, peer, mut ending } = io;
        let (stream, cutter) = cuttable(stream);
        let (calls, mut inbox) = mpsc::channel(CALLS);
        let door = Door::new(calls, peer.address.ip());
        let starting = server::run_stream(Arc::clone(&self.config), stream, door);
        let Ok(Ok(running)) = timeout(deadline::SIGN_IN, starting).await else { return Ok(()) };
        let visit = Visit { ssh: self, targets, broker, peer, handle: running.handle() };
        let mut stay = None;
        let mut flows = FuturesUnordered::new();
        let mut sign_in = pin!(tokio::time::sleep(deadline::SIGN_IN));
        let (mut stopping, mut session_over) = (false, false);
        let result = loop {
            tokio::select! {
                call = inbox.recv() => match call {
                    None => break Ok(()),
                    Some(Call::Claim(claim, answer)) => {
                        let _gone = answer.send(visit.identify(claim).await);
                    }
                    Some(Call::SignedIn { user, who }) => stay = Some(visit.enter(&user, &who).await),
                    Some(Call::Channel(opened)) => match &mut stay {
                        Some(stay) => flows.push(visit.carry(stay.place(), opened)),
                        None => break Ok(()),
                    },
                },
                Some(()) = flows.next(), if !flows.is_empty() => {
                    if stopping && flows.is_empty() {
                        break Ok(());
                    }
                }
                result = hub(&mut stay) => {
                    session_over = true;
                    break result;
                }
                () = &mut sign_in, if stay.is_none() => break Ok(()),
                () = &mut ending, if !stopping => {
                    stopping = true;
                    if flows.is_empty() {
                        break Ok(());
                    }
                }
            }
        };
        // Flows that a revoked session has ended still tell their clients why.
        let last_words = async { while flows.next().await.is_some() {} };
        let _in_time = timeout(deadline::FAREWELL, last_words).await;
        drop(flows);
        if let Some(Stay::At { hub, presence, .. }) = stay
            && !session_over
        {
            drop(presence);
            let _ended = hub.await;
        }
        let _in_time = timeout(deadline::FAREWELL, visit.leave(&result)).await;
        drop(cutter);
        result
    }
}

/// One connection of a client.
struct Visit<'a, B> {
    ssh: &'a Ssh,
    targets: &'a ArcSwap<Targets<Target>>,
    broker: &'a B,
    peer: Peer,
    handle: Handle,
}

/// Where somebody who has signed in is.
enum Stay<'a, S> {
    At {
        place: Arc<At<S>>,
        /// The connection's own flow; it ends with the session.
        hub: BoxFuture<'a, Result<(), FlowError>>,
        presence: oneshot::Sender<()>,
    },
    /// Nowhere, for this reason.
    Told(Arc<Notice>),
}

/// A session at a target.
struct At<S> {
    stem: S,
    served: Arc<Served>,
    login: Box<str>,
}

/// Where a channel is to be carried.
enum Whereto<S> {
    At(Arc<At<S>>),
    Told(Arc<Notice>),
}

impl<S> Stay<'_, S> {
    fn place(&self) -> Whereto<S> {
        match self {
            Stay::At { place, .. } => Whereto::At(Arc::clone(place)),
            Stay::Told(notice) => Whereto::Told(Arc::clone(notice)),
        }
    }
}

/// Ends with the session, if there is one.
async fn hub<S>(stay: &mut Option<Stay<'_, S>>) -> Result<(), FlowError> {
    match stay {
        Some(Stay::At { hub, .. }) => hub.await,
        Some(Stay::Told(_)) | None => std::future::pending().await,
    }
}

impl<'a, B: Broker> Visit<'a, B> {
    async fn identify(&self, claim: sluice_wire::Claim) -> Option<Principal> {
        self.broker.authenticate(claim).await.ok().map(|authenticated| authenticated.principal)
    }

    /// Opens the session that the user name asks for.
    async fn enter(&self, user: &str, who: &Principal) -> Stay<'a, B::Stem> {
        let targets = self.targets.load();
        let Some((login, name)) = address(user) else { return Stay::Told(Arc::new(self.list(who, &targets))) };
        let Some(name) = TargetName::new(name).ok().filter(|name| login.is_some() || targets.get(name).is_some())
        else {
            return Stay::Told(Arc::new(self.list(who, &targets)));
        };
        match self.open(login, &name, who, &targets).await {
            Ok(stay) => stay,
            Err(refusal) => Stay::Told(Arc::new(Notice::refused(&refusal))),
        }
    }

    async fn open(
        &self,
        login: Option<&str>,
        name: &TargetName,
        who: &Principal,
        targets: &Targets<Target>,
    ) -> Result<Stay<'a, B::Stem>, Refusal> {
        let grant = self.broker.open(who, name, self.peer).await?;
        let served = targets.get(name).and_then(|target| self.ssh.served(name, target));
        let own = grant.credential().user.clone();
        let login = login.unwrap_or(&own);
        let refused = match &served {
            None => Some(crate::notice::unserved()),
            Some(served) if login != own && !served.target.logins.iter().any(|allowed| allowed == login) => {
                Some(crate::notice::no_such_login(login))
            }
            Some(_) => None,
        };
        let (Some(served), None) = (served, &refused) else {
            let refusal = refused.unwrap_or_else(crate::notice::unserved);
            self.broker.abandon(grant, &refusal).await;
            return Err(refusal);
        };
        let place = Arc::new(At { stem: self.broker.stem(&grant), served, login: login.into() });
        let (presence, gone) = oneshot::channel();
        let broker = self.broker;
        let hub = Box::pin(async move { broker.carry(grant, Hub, Presence(gone), Nowhere).await });
        Ok(Stay::At { place, hub, presence })
    }

    /// What somebody may connect to.
    fn list(&self, who: &Principal, targets: &Targets<Target>) -> Notice {
        let reachable = targets.iter().map(|(name, _)| name).filter(|name| self.broker.admits(who, name, self.peer));
        Notice::targets(reachable.map(TargetName::as_str))
    }

    /// Carries one channel to its end.
    fn carry(&self, whereto: Whereto<B::Stem>, opened: Opened) -> BoxFuture<'a, ()> {
        let broker = self.broker;
        Box::pin(async move {
            let at = match whereto {
                Whereto::At(at) => at,
                Whereto::Told(notice) => return show(&notice, opened).await,
            };
            match broker.branch(&at.stem).await {
                Ok(grant) => {
                    if let Err(error) = channel(broker, &at, grant, opened).await {
                        tracing::debug!(error = %error, "a channel ended");
                    }
                }
                Err(refusal) => show(&Notice::refused(&refusal), opened).await,
            }
        })
    }

    async fn leave(&self, result: &Result<(), FlowError>) {
        let (reason, words) = match result {
            Err(FlowError::Revoked) => (Disconnect::ByApplication, "the session was ended"),
            Err(_) | Ok(()) => (Disconnect::ByApplication, "goodbye"),
        };
        let _gone = self.handle.disconnect(reason, words.to_owned(), String::new()).await;
    }
}

async fn channel<B: Broker>(broker: &B, at: &At<B::Stem>, grant: B::Grant, opened: Opened) -> Result<(), FlowError> {
    let Opened { pair, wire, opening } = opened;
    let Served { target, keys, commands, screens, files, tags } = &*at.served;
    let dial = Dial {
        target: Arc::clone(target),
        keys: Arc::clone(keys),
        credential: Arc::clone(grant.credential()),
        login: at.login.clone(),
    };
    let setup = Setup {
        target: Arc::clone(target),
        commands: Arc::clone(commands),
        screens: Arc::clone(screens),
        files: Arc::clone(files),
        clock: now,
        scene: Scene { login: at.login.clone(), tags: Arc::clone(tags) },
    };
    let client = ClientLink::new(Arc::clone(&pair), wire, opening, grant.interrupt());
    let server = ServerLink::new(pair, dial.dialler());
    broker.carry(grant, ChannelMachine::new(setup), client, server).await
}

/// A login and a target, of a user name such as `root+web`; of one without a mark the whole is a target.
fn address(user: &str) -> Option<(Option<&str>, &str)> {
    match user.rsplit_once(['+', '%', '@', '#', ':']) {
        Some((login, target)) => Some((Some(login).filter(|login| !login.is_empty()), target)),
        None => (!user.is_empty()).then_some((None, user)),
    }
}

fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
