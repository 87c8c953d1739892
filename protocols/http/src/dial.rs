//! The way to servers: checked, with the credential, and never to an address that no target may be at.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sluice_model::{ExposeSecret as _, Secret};
use sluice_wire::Credential;
use thiserror::Error as ThisError;
use tower_service::Service;

use crate::dialects::openai::Deferred;
use crate::frame::Request;
use crate::gathered::Room;
use crate::pipe::Outlet;
use crate::pool::{Coming, Connector, Over, Pool};
use crate::target::{Auth, ServerTls, Target};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// A request on its way.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Result<(http::response::Parts, Coming), DialError>> + Send>>;

/// Why a server cannot be asked.
#[derive(Debug, ThisError)]
pub(crate) enum DialError {
    #[error("the system has no certificate authorities; name a file with `tls: {{ca: …}}`")]
    NoAuthorities,
    #[error("the authorities in the `ca` file cannot be read")]
    Unreadable,
    #[error("TLS cannot be configured")]
    Tls(#[from] rustls::Error),
    #[error("the credential cannot stand in a header")]
    Credential,
    #[error("the address is malformed")]
    Address(#[from] http::Error),
    #[error("there is no connection to the server")]
    Connect(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the request failed: {0}")]
    Request(#[source] hyper::Error),
}

impl DialError {
    /// Whether the connection was closed before the head of an answer was whole.
    pub(crate) fn is_loss(&self) -> bool {
        let Self::Request(error) = self else { return false };
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        let closed = |error: &io::Error| CLOSED.contains(&error.kind());
        error.is_incomplete_message() || causes.any(|cause| cause.downcast_ref().is_some_and(closed))
    }
}

/// How a system says that the other side has closed.
const CLOSED: [io::ErrorKind; 4] = [
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::UnexpectedEof,
];

/// What all targets share: ways to make connections, one for each way of protecting them, the room for bodies, and what
/// waits for people while nobody waits for it.
#[derive(Default)]
pub(crate) struct Pools {
    connectors: Mutex<HashMap<ServerTls, Connector>>,
    room: Room,
    deferred: Arc<Deferred>,
}

/// One target's server.
pub(crate) struct Origin {
    pool: Arc<Pool>,
    base: Uri,
    host: HeaderValue,
    auth: Auth,
    headers: HeaderMap,
}

impl Pools {
    /// Nothing yet but this room.
    pub(crate) fn new(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    /// The room for bodies that are read whole.
    pub(crate) const fn room(&self) -> &Room {
        &self.room
    }

    /// Requests that wait for people.
    pub(crate) const fn deferred(&self) -> &Arc<Deferred> {
        &self.deferred
    }

    /// The server of a target.
    pub(crate) fn origin(&self, target: &Target) -> Result<Origin, DialError> {
        let connector = {
            let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
            match connectors.get(&target.tls) {
                Some(connector) => connector.clone(),
                None => {
                    let connector = connector(&target.tls)?;
                    connectors.insert(target.tls.clone(), connector.clone());
                    connector
                }
            }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &target.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(http::Error::from)?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).map_err(http::Error::from)?);
        }
        let base = Uri::try_from(target.url.trim_end_matches('/')).map_err(http::Error::from)?;
        let host = HeaderValue::try_from(host(&base)).map_err(http::Error::from)?;
        let pool = Arc::new(Pool::new(connector, base.clone()));
        Ok(Origin { pool, base, host, auth: target.auth.clone(), headers })
    }
}

impl Origin {
    /// Sends a request with the target's credential: it is put in here, below everything that is recorded.
    pub(crate) fn send(
        &self,
        head: &Request,
        credential: &Credential,
        body: Outlet,
        over: Over,
    ) -> Result<Sending, DialError> {
        let base = self.base.path().trim_end_matches('/');
        let uri = Uri::builder().path_and_query(format!("{base}{}", head.path)).build()?;
        let mut request = http::Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.clone_from(&head.headers);
        headers.extend(self.headers.clone());
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.authorize(headers, credential)?;
        Ok(Box::pin(Arc::clone(&self.pool).ask(request, over)))
    }

    /// The forms in which a server is shown a credential.
    pub(crate) fn shown(&self, credential: &Credential) -> Vec<Secret> {
        let encoded = || Some(Secret::from(basic(credential)?)).filter(|_| matches!(self.auth, Auth::Basic));
        credential.secret.iter().cloned().chain(encoded()).collect()
    }

    fn authorize(&self, headers: &mut HeaderMap, credential: &Credential) -> Result<(), DialError> {
        let Some(secret) = &credential.secret else { return Ok(()) };
        let secret = secret.expose_secret();
        let (name, text) = match &self.auth {
            Auth::None => return Ok(()),
            Auth::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
            Auth::Basic => (AUTHORIZATION, format!("Basic {}", basic(credential).unwrap_or_default())),
            Auth::Header(name) => {
                (HeaderName::try_from(name.as_str()).map_err(|_| DialError::Credential)?, secret.to_owned())
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| DialError::Credential)?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// RFC 7617 §2.
fn basic(credential: &Credential) -> Option<String> {
    let secret = credential.secret.as_ref()?.expose_secret();
    Some(STANDARD.encode(format!("{}:{secret}", credential.user)))
}

/// RFC 9112 §3.2: the server's name as a request calls it, without the port that its scheme has anyway.
fn host(server: &Uri) -> String {
    let port = match (server.scheme_str(), server.port_u16()) {
        (Some("http"), Some(80)) | (Some("https"), Some(443)) | (_, None) => None,
        (_, port) => port,
    };
    let name = server.host().unwrap_or_default();
    port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

pub(crate) fn connector(tls: &ServerTls) -> Result<Connector, DialError> {
    let mut connector = HttpConnector::new_with_resolver(Screened(GaiResolver::new()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    let secured = HttpsConnectorBuilder::new().with_tls_config(client_config(tls)?);
    let secured = match tls {
        ServerTls::DangerousPlaintext => secured.https_or_http(),
        ServerTls::VerifyFull | ServerTls::Ca(_) => secured.https_only(),
    };
    Ok(secured.enable_http1().wrap_connector(connector))
}

fn client_config(tls: &ServerTls) -> Result<ClientConfig, DialError> {
    let mut roots = RootCertStore::empty();
    match tls {
        ServerTls::VerifyFull => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(DialError::NoAuthorities);
            }
        }
        ServerTls::Ca(file) => read_authorities(file, &mut roots)?,
        ServerTls::DangerousPlaintext => {}
    }
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn read_authorities(file: &Path, roots: &mut RootCertStore) -> Result<(), DialError> {
    let all = CertificateDer::pem_file_iter(file).map_err(|_| DialError::Unreadable)?;
    for certificate in all {
        roots.add(certificate.map_err(|_| DialError::Unreadable)?)?;
    }
    if roots.is_empty() { Err(DialError::Unreadable) } else { Ok(()) }
}

/// Resolves names to addresses that a target may be at; the connection is made to what was checked.
#[derive(Clone)]
pub(crate) struct Screened(GaiResolver);

impl Service<Name> for Screened {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.filter(|address| may_be_dialled(address.ip())).collect();
            if found.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the name has no address that may be used",
                ));
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether a target may be at an address: never where a cloud's metadata is served, and nowhere unspecified.
pub(crate) const fn may_be_dialled(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified() && !v4.is_broadcast() && !v4.is_multicast(),
        IpAddr::V6(v6) => {
            let metadata = matches!(v6.segments(), [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]);
            !v6.is_unicast_link_local() && !v6.is_unspecified() && !v6.is_multicast() && !metadata
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_of_metadata_are_never_dialled() {
        for refused in ["169.254.169.254", "0.0.0.0", "fe80::1", "::", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(!may_be_dialled(refused.parse().unwrap()), "{refused}");
        }
        for fine in ["127.0.0.1", "10.1.2.3", "192.0.2.1", "::1", "2001:db8::1", "fd00::1"] {
            assert!(may_be_dialled(fine.parse().unwrap()), "{fine}");
        }
    }
}
