//! A connection to a server: host key, sign-in, one channel.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Config, Handle, Msg};
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{ChannelOpenFailure, ChannelWriteHalf, Preferred};
use sluice_model::ExposeSecret as _;
use sluice_wire::Credential;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::algorithms::{self, HOST_KEYS};
use crate::authority;
use crate::cut::{Cutter, cuttable};
use crate::ear::{Ear, Failed};
use crate::frame::Place;
use crate::hostkeys::HostKeys;
use crate::link::Dialler;
use crate::origin::Bind;
use crate::pair::Pair;
use crate::shelf::Shelf;
use crate::target::{Auth, Target};
use crate::welcome::{Line, Lobby, Welcome};

/// From the first packet to an open channel.
const DIAL: Duration = Duration::from_secs(20);
/// How often a server that says nothing is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A channel at a server, on a connection of its own.
pub(crate) struct Connection {
    pub(crate) write: Arc<ChannelWriteHalf<Msg>>,
    pub(crate) handle: Arc<Handle<Ear>>,
    /// Ends the connection with the channel.
    _cutter: Cutter,
}

/// Why there is no channel.
#[derive(Debug, Error)]
pub(crate) enum Unreachable {
    #[error("connecting failed: {0}")]
    Connect(#[source] std::io::Error),
    #[error("connecting took too long")]
    Slow,
    #[error("the host's key is none of those that are configured")]
    HostKey,
    #[error("the credential cannot be used: {0}")]
    Credential(&'static str),
    #[error("the host refused the credential")]
    Refused,
    #[error("the host does not open the channel: {0}")]
    Channel(String),
    #[error("the connection failed: {0}")]
    Protocol(String),
}

impl Unreachable {
    /// What the client is told.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Connect(_) | Self::Slow => "the host cannot be reached".to_owned(),
            Self::HostKey => "the host is not who it should be: its key is none of those configured".to_owned(),
            Self::Credential(_) | Self::Refused => "the host does not let the broker in".to_owned(),
            Self::Channel(reason) => reason.clone(),
            Self::Protocol(_) => "the connection to the host failed".to_owned(),
        }
    }
}

/// Dials one target as one login.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) target: Arc<Target>,
    pub(crate) keys: Arc<HostKeys>,
    pub(crate) credential: Arc<Credential>,
    pub(crate) login: Box<str>,
    /// Where channels go that the server opens.
    pub(crate) lobby: Lobby,
    /// Where what waits is kept.
    pub(crate) shelf: Shelf,
}

impl Dial {
    /// What a link calls when its first frame is due.
    pub(crate) fn dialler(self) -> Dialler {
        Box::new(move |pair, place, welcome| {
            let connecting = async move { self.connect(pair, place, welcome).await };
            Box::pin(async move { timeout(DIAL, connecting).await.unwrap_or(Err(Unreachable::Slow)) })
        })
    }

    /// Has the server listen, on a connection for nothing else; with the port that it picked, where it had the choice.
    pub(crate) async fn listen(self, pair: Arc<Pair>, bind: Bind) -> Result<(Arc<Line>, u32), Unreachable> {
        let listening = async move {
            let welcome = Arc::new(Welcome::new(self.lobby.clone()));
            let (handle, cutter) = self.sign_in(Arc::clone(&pair), false, Arc::clone(&welcome)).await?;
            let line = Arc::new(Line { handle, pair, cutter });
            welcome.listen(&bind, &line);
            let port = line.listen(&bind).await?;
            Ok((line, port))
        };
        timeout(DIAL, listening).await.unwrap_or(Err(Unreachable::Slow))
    }

    /// Signs in and leaves again.
    pub(crate) async fn try_out(&self) -> Result<(), Unreachable> {
        let welcome = Arc::new(Welcome::new(self.lobby.clone()));
        let signing_in = self.sign_in(Arc::new(Pair::new(self.shelf.clone())), false, welcome);
        timeout(DIAL, signing_in).await.unwrap_or(Err(Unreachable::Slow)).map(drop)
    }

    async fn connect(
        self,
        pair: Arc<Pair>,
        place: Option<Place>,
        welcome: Arc<Welcome>,
    ) -> Result<Connection, Unreachable> {
        let (handle, cutter) = self.sign_in(pair, place.is_some(), welcome).await?;
        let opened = match place {
            None => handle.channel_open_session().await,
            Some(Place::Tcp { host, port, from, from_port }) => {
                handle.channel_open_direct_tcpip(host, port, from, from_port).await
            }
            Some(Place::Socket { path }) => handle.channel_open_direct_streamlocal(path).await,
        };
        let channel = opened.map_err(|error| {
            if let russh::Error::ChannelOpenFailure(reason) = &error {
                return Unreachable::Channel(words(reason));
            }
            Unreachable::Protocol(error.to_string())
        })?;
        // The reading half is a bounded queue that nobody would read: bytes come by the callbacks.
        let (_, write) = channel.split();
        Ok(Connection { write: Arc::new(write), handle: Arc::new(handle), _cutter: cutter })
    }

    async fn sign_in(
        &self,
        pair: Arc<Pair>,
        leads_on: bool,
        welcome: Arc<Welcome>,
    ) -> Result<(Handle<Ear>, Cutter), Unreachable> {
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port));
        let stream = stream.await.map_err(Unreachable::Connect)?;
        stream.set_nodelay(true).map_err(Unreachable::Connect)?;
        let (stream, cutter) = cuttable(stream);
        let ear = Ear::new(pair, leads_on, Arc::clone(&self.keys), self.target.host.as_str().into(), welcome);
        let mut handle =
            client::connect_stream(Arc::new(config(&self.keys)), stream, ear).await.map_err(|error| match error {
                Failed(russh::Error::UnknownKey) => Unreachable::HostKey,
                Failed(other) => Unreachable::Protocol(other.to_string()),
            })?;
        let signed_in = self.authenticate(&mut handle).await?;
        if signed_in { Ok((handle, cutter)) } else { Err(Unreachable::Refused) }
    }

    async fn authenticate(&self, handle: &mut Handle<Ear>) -> Result<bool, Unreachable> {
        let failed = |error: russh::Error| Unreachable::Protocol(error.to_string());
        let login = self.login.to_string();
        let Some(secret) = &self.credential.secret else {
            return Ok(handle.authenticate_none(login).await.map_err(failed)?.success());
        };
        let key = || {
            let key = decode_secret_key(secret.expose_secret(), None);
            key.map(Arc::new).map_err(|_| Unreachable::Credential("it is no private key without a passphrase"))
        };
        let result = match self.target.auth {
            Auth::Password => handle.authenticate_password(login, secret.expose_secret()).await,
            Auth::Key => {
                let hash = handle.best_supported_rsa_hash().await.map_err(failed)?.flatten();
                let hash = hash.or(Some(HashAlg::Sha256));
                handle.authenticate_publickey(login, PrivateKeyWithHashAlg::new(key()?, hash)).await
            }
            Auth::Authority => {
                let (own, certificate): (PrivateKey, Certificate) =
                    authority::issue(&*key()?, &login).map_err(Unreachable::Credential)?;
                handle.authenticate_openssh_cert(login, Arc::new(own), certificate).await
            }
        };
        Ok(result.map_err(failed)?.success())
    }
}

impl Line {
    async fn listen(&self, bind: &Bind) -> Result<u32, Unreachable> {
        let heard = match bind {
            Bind::Tcp { host, port } => self.handle.tcpip_forward(&**host, *port).await,
            Bind::Socket { path } => self.handle.streamlocal_forward(&**path).await.map(|()| 0),
        };
        let picked = heard.map_err(|error| {
            if matches!(error, russh::Error::RequestDenied) {
                return Unreachable::Channel("the host does not listen there".to_owned());
            }
            Unreachable::Protocol(error.to_string())
        })?;
        match bind {
            Bind::Tcp { port: 0, .. } if !(1..=65_535).contains(&picked) => {
                Err(Unreachable::Channel("the host does not say where it listens".to_owned()))
            }
            Bind::Tcp { port: 0, .. } => Ok(picked),
            Bind::Tcp { .. } | Bind::Socket { .. } => Ok(0),
        }
    }

    /// Has the server listen no longer; whether it does as it is told.
    pub(crate) async fn unlisten(&self, bind: &Bind) -> bool {
        let heard = match bind {
            Bind::Tcp { host, port } => self.handle.cancel_tcpip_forward(&**host, *port).await,
            Bind::Socket { path } => self.handle.cancel_streamlocal_forward(&**path).await,
        };
        heard.is_ok()
    }
}

/// How the broker speaks to servers.
fn config(keys: &HostKeys) -> Config {
    let preferred = Preferred {
        // A host that has a certificate shows it only where somebody could believe it.
        host_key_certificates: if keys.have_authorities() { HOST_KEYS.into() } else { (&[]).into() },
        ..algorithms::preferred()
    };
    Config { preferred, keepalive_interval: Some(KEEPALIVE), nodelay: true, ..Config::default() }
}

fn words(reason: &ChannelOpenFailure) -> String {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "the host prohibits it".to_owned(),
        ChannelOpenFailure::ConnectFailed => "the host cannot connect to it".to_owned(),
        ChannelOpenFailure::UnknownChannelType => "the host does not know such channels".to_owned(),
        ChannelOpenFailure::ResourceShortage => "the host has no room for it".to_owned(),
        ChannelOpenFailure::Other { .. } => "the host refuses it".to_owned(),
    }
}
