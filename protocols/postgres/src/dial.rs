//! The connection to a server: transport, TLS, sign-in, and what the server says of itself.
//!
//! The server is believed as little as the client: everything it sends before the flow begins is bounded, and a password
//! is only ever proven to it (SCRAM), never shown.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sluice_model::{Code, Refusal};
use sluice_wire::{Credential, Stream};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::binding::Endpoint;
use crate::login::{self, Server};
use crate::startup::waiting;
use crate::target::{DangerousPassword, Target};
use crate::tls::{Authorities, TlsError};

/// `SSLRequest`.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Why there is no connection to a server. Shown to principals and operators alike: no secret and no words of the server.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("the server did not answer in time")]
    Late,
    #[error("the server closed the connection")]
    Closed,
    #[error("the server's certificate is not valid for its name, or its authority is not trusted")]
    Certificate,
    #[error("TLS with the server failed")]
    Tls,
    #[error("the server does not offer TLS")]
    NoTls,
    #[error(transparent)]
    Trust(#[from] TlsError),
    #[error("the server refused the broker's credential ({0})")]
    Credential(Sqlstate),
    #[error("the server refused the connection ({0})")]
    Turned(Sqlstate),
    #[error("the server asks for a password and none is configured")]
    NoSecret,
    #[error("the server asks for a method of sign-in other than SCRAM-SHA-256")]
    Method,
    #[error("the server asks for the password itself, and nothing hides it on the way")]
    Exposed,
    #[error("the server let the broker in without proving that it knows the password")]
    Unproven,
    #[error("the server broke the protocol: {0}")]
    Broke(&'static str),
    #[error("the server did not take the pinned setting `{0}`")]
    Pinned(&'static str),
}

/// Five characters that say what went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sqlstate(pub(crate) [u8; 5]);

impl std::fmt::Display for Sqlstate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| std::fmt::Write::write_char(f, char::from(*byte)))
    }
}

impl DialError {
    /// The error in the words of a refusal.
    pub(crate) fn refusal(&self) -> Refusal {
        let refusal = Refusal::builtin(Code::Unavailable, "server-unavailable", self.to_string());
        match self {
            Self::NoTls => {
                refusal.with_hint("an operator must enable TLS at the server, or allow plaintext for the target")
            }
            Self::Credential(_) | Self::NoSecret | Self::Method | Self::Exposed => {
                refusal.with_hint("an operator must correct the target's credential")
            }
            Self::Unreachable
            | Self::Late
            | Self::Closed
            | Self::Certificate
            | Self::Tls
            | Self::Trust(_)
            | Self::Turned(_)
            | Self::Unproven
            | Self::Broke(_)
            | Self::Pinned(_) => refusal,
        }
    }
}

impl From<std::io::Error> for DialError {
    fn from(error: std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate,
            Some(_) => Self::Tls,
            None => Self::Closed,
        }
    }
}

/// Who signs in, and with which settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) credential: &'a Credential,
    pub(crate) database: &'a str,
    /// Settings of the session; the pinned ones are added and win.
    pub(crate) settings: &'a [(&'static str, String)],
    pub(crate) search_path: &'a [String],
    pub(crate) dangerous_passwords: &'a [DangerousPassword],
}

/// A connection on which nobody has signed in.
pub(crate) struct Transport {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) secrecy: Secrecy,
}

/// Who else may read what is sent.
#[derive(Clone, Debug)]
pub(crate) enum Secrecy {
    /// Everybody on the way.
    Open,
    /// Nobody: the file system.
    Local,
    /// Nobody but the server that the certificate names; SCRAM may be bound to it.
    Tls(Option<Endpoint>),
}

/// Dials servers.
#[derive(Debug)]
pub(crate) struct Dialer {
    authorities: Authorities,
    /// For everything from name resolution to the first `ReadyForQuery`.
    deadline: Duration,
}

impl Dialer {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { authorities: Authorities::default(), deadline }
    }

    /// Connects and signs in.
    pub(crate) async fn dial(&self, target: &Target, login: Login<'_>) -> Result<Server, DialError> {
        let dialling = async {
            let transport = self.transport(target).await?;
            login::sign_in(transport, login).await
        };
        timeout(self.deadline, dialling).await.map_err(|_| DialError::Late)?
    }

    /// Connects without signing in, for a `CancelRequest`.
    pub(crate) async fn reach(&self, target: &Target) -> Result<Box<dyn Stream>, DialError> {
        let transport = timeout(self.deadline, self.transport(target)).await.map_err(|_| DialError::Late)??;
        Ok(transport.stream)
    }

    async fn transport(&self, target: &Target) -> Result<Transport, DialError> {
        #[cfg(unix)]
        if target.host.starts_with('/') {
            // A socket in the file system never leaves the machine, and PostgreSQL speaks no TLS on it.
            let path = format!("{}/.s.PGSQL.{}", target.host.trim_end_matches('/'), target.port);
            let stream = tokio::net::UnixStream::connect(path).await.map_err(|_| DialError::Unreachable)?;
            return Ok(Transport { stream: Box::new(stream), secrecy: Secrecy::Local });
        }
        let config = self.authorities.config(&target.tls, target.certificate.as_ref()).await?;
        let connecting = TcpStream::connect((target.host.as_str(), target.port));
        let stream = connecting.await.map_err(|_| DialError::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| DialError::Unreachable)?;
        match config {
            Some(config) => secure(Box::new(stream), &target.host, config).await,
            None => Ok(Transport { stream: Box::new(stream), secrecy: Secrecy::Open }),
        }
    }
}

/// Asks for TLS and checks that the server is who it is called.
async fn secure(mut stream: Box<dyn Stream>, host: &str, config: Arc<ClientConfig>) -> Result<Transport, DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::Certificate)?;
    stream.write_all(&SSL_REQUEST).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        b'S' => {}
        b'N' => return Err(DialError::NoTls),
        // An error from here cannot be told from one that somebody on the way made up (CVE-2024-10977).
        _ => return Err(DialError::Broke("neither yes nor no to TLS")),
    }
    // Bytes before the handshake would be plaintext that somebody on the way added (CVE-2021-23222).
    if waiting(&mut stream).await {
        return Err(DialError::Broke("unencrypted data after an SSL response"));
    }
    let tls = TlsConnector::from(config).connect(name, stream).await?;
    let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let endpoint = shown.and_then(|certificate| Endpoint::of(certificate));
    Ok(Transport { stream: Box::new(tls), secrecy: Secrecy::Tls(endpoint) })
}

#[cfg(test)]
mod tests;
