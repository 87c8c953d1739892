//! One client connection: TLS, HTTP/1.1 or HTTP/2, and its exchanges until the last.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sluice_mask::Detectors;
use sluice_model::{Schema, TargetName};
use sluice_wire::{Broker, FlowError, Io, Protocol, Stream, Targets};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::dial::Pools;
use crate::door::Door;
use crate::drive::{Drive, Quiet};
use crate::exchange::{Arrival, Exchanges};
use crate::gathered::Room;
use crate::link::Answer;
use crate::metered::{Meter, Metered};
use crate::replayed::Replayed;
use crate::served::Served;
use crate::strict::{MAX_HEAD_BYTES, Strict};
use crate::target::Target;

/// The first byte of a TLS record that holds a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Exchanges of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// Bytes of an answer that an HTTP/2 connection keeps beyond what its client has asked for.
const MAX_SEND_BYTES: usize = 64 << 10;
/// Requests that wait to be looked at.
const ARRIVALS: usize = 16;
/// Application protocols, the better one first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How the protocol is served.
#[derive(Clone)]
pub struct Settings {
    /// TLS towards clients, as [`server_config`] makes it; without it, only loopback may be let in.
    pub tls: Option<Arc<ServerConfig>>,
    pub cleartext: Cleartext,
    /// The names that clients may call the listener by; every one where there is none.
    pub authorities: Vec<String>,
    /// What stable stand-ins are made with.
    pub mask_key: [u8; 32],
    /// How long a client may take from the end of an answer, or the beginning of a head, to the end of the next head.
    pub head: Duration,
    /// Bytes of all bodies that are read whole at one time.
    pub body_bytes: u64,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("cleartext", &self.cleartext).finish_non_exhaustive()
    }
}

/// Whether a client may sign in without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cleartext {
    Never,
    /// From loopback addresses: every program on this machine that can read loopback traffic reads tokens and answers.
    DangerousLoopback,
}

/// How long a client may take.
mod deadline {
    use std::time::Duration;

    /// From the accepted connection to its first byte, and through a TLS handshake.
    pub(super) const HELLO: Duration = Duration::from_secs(10);
    /// Between two questions whether the other side of an HTTP/2 connection is still there.
    pub(super) const PING: Duration = Duration::from_secs(60);
}

/// HTTP.
pub struct Http {
    settings: Settings,
    pools: Pools,
    served: Mutex<HashMap<TargetName, Compiled>>,
}

/// A target, and what its configuration compiled to.
struct Compiled {
    of: Arc<Target>,
    served: Arc<Served>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Http {
    /// Serves with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let pools = Pools::new(Room::new(settings.body_bytes));
        Self { settings, pools, served: Mutex::default() }
    }

    /// The names that clients may call the listener by.
    pub(crate) fn authorities(&self) -> &[String] {
        &self.settings.authorities
    }

    /// A target as it is served; compiled once for each configuration of it.
    pub(crate) fn served(&self, name: &TargetName, target: &Arc<Target>) -> Option<Arc<Served>> {
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Compiled { of, served }) = all.get(name)
            && Arc::ptr_eq(of, target)
        {
            return Some(Arc::clone(served));
        }
        match Served::new(name, target, &self.pools, self.settings.mask_key) {
            Ok(served) => {
                let served = Arc::new(served);
                all.insert(name.clone(), Compiled { of: Arc::clone(target), served: Arc::clone(&served) });
                Some(served)
            }
            Err(error) => {
                tracing::error!(target = %name, error = %error, "a target cannot be served");
                None
            }
        }
    }

    /// Compiles targets, and begins to make the tables of their detectors.
    fn compile(&self, targets: &Targets<Target>) -> Option<JoinHandle<()>> {
        let served: Vec<_> = targets.iter().filter_map(|(name, target)| self.served(name, target)).collect();
        let sets: Vec<_> = served.iter().flat_map(|served| served.classes.sets().map(Arc::clone)).collect();
        // Without a thread, the first text makes them.
        if sets.is_empty() { None } else { Detectors::make_tables(sets).ok() }
    }

    /// The stream of a client, inside TLS where it speaks TLS, and what was read of it.
    async fn enter(&self, mut stream: Box<dyn Stream>, client: SocketAddr) -> Option<Entered> {
        let first = timeout(deadline::HELLO, stream.read_u8()).await.ok()?.ok()?;
        if first != TLS_HANDSHAKE {
            let trusted = self.settings.cleartext == Cleartext::DangerousLoopback && client.ip().is_loopback();
            let read = BytesMut::from(&[first][..]);
            return trusted.then_some(Entered { stream, read, speaks: Speaks::Http1 });
        }
        let acceptor = TlsAcceptor::from(Arc::clone(self.settings.tls.as_ref()?));
        let accepting = Box::pin(acceptor.accept(Replayed::new(first, stream)));
        let tls = timeout(deadline::HELLO, accepting).await.ok()?.ok()?;
        let speaks = if tls.get_ref().1.alpn_protocol() == Some(b"h2") { Speaks::Http2 } else { Speaks::Http1 };
        Some(Entered { stream: Box::new(tls), read: BytesMut::new(), speaks })
    }
}

/// A client that may speak.
struct Entered {
    stream: Box<dyn Stream>,
    read: BytesMut,
    speaks: Speaks,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speaks {
    Http1,
    Http2,
}

impl Protocol for Http {
    const NAME: &'static str = "http";
    const SCHEMA: Schema = crate::schema::SCHEMA;
    type Target = Target;

    fn set_up(&self, targets: &Targets<Target>) {
        drop(self.compile(targets));
    }

    async fn serve<B: Broker>(&self, io: Io, targets: &ArcSwap<Targets<Target>>, broker: &B) -> Result<(), FlowError> {
        let Io { stream, peer, hung_up, ending } = io;
        let Some(entered) = self.enter(stream, peer.address).await else { return Ok(()) };
        let exchanges = Exchanges::new(self, targets, broker, (peer, hung_up));
        let (arrivals, waiting) = mpsc::channel(ARRIVALS);
        match entered.speaks {
            Speaks::Http1 => {
                let door = Arc::new(Door::default());
                let stream = Strict::new(entered.stream, Arc::clone(&door), entered.read);
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(self.settings.head)
                    .max_buf_size(MAX_HEAD_BYTES.saturating_mul(2))
                    .serve_connection(TokioIo::new(stream), service_fn(handing(arrivals, Some(door))));
                // Hyper knows how long a head may take.
                Drive::new(connection, http1::Connection::graceful_shutdown, ending, None)
                    .run(waiting, &exchanges)
                    .await;
            }
            Speaks::Http2 => {
                let meter = Meter::default();
                let stream = Metered::new(entered.stream, meter.clone());
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(MAX_STREAMS)
                    .max_send_buf_size(MAX_SEND_BYTES)
                    .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
                    .keep_alive_interval(deadline::PING)
                    .serve_connection(TokioIo::new(stream), service_fn(handing(arrivals, None)));
                let quiet = Some(Quiet::new(self.settings.head, meter));
                Drive::new(connection, http2::Connection::graceful_shutdown, ending, quiet)
                    .run(waiting, &exchanges)
                    .await;
            }
        }
        Ok(())
    }
}

/// The TLS side of the listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// Hands requests on and waits for their answers: the whole of what hyper knows of an exchange.
fn handing(
    arrivals: mpsc::Sender<Arrival>,
    door: Option<Arc<Door>>,
) -> impl Fn(http::Request<Incoming>) -> Answering + Clone {
    move |request| {
        let (arrivals, door) = (arrivals.clone(), door.clone());
        Box::pin(async move {
            let flaw = door.as_ref().and_then(|door| door.serve());
            let (answer, answered) = oneshot::channel();
            let arrival = Arrival { request, answer, door, flaw };
            arrivals.send(arrival).await.map_err(|_| Unanswered)?;
            answered.await.map_err(|_| Unanswered)
        })
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, Unanswered>> + Send>>;

/// An exchange ended without an answer: hyper ends the connection.
#[derive(Debug, Error)]
#[error("the exchange ended without an answer")]
struct Unanswered;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn tables_are_made_when_targets_are_set_up_and_not_by_the_first_request() {
        let target: Target = serde_json::from_str(r#"{"url":"https://api.example.com"}"#).unwrap();
        let (name, target) = (TargetName::new("api").unwrap(), Arc::new(target));
        let http = Http::new(Settings {
            tls: None,
            cleartext: Cleartext::Never,
            authorities: Vec::new(),
            mask_key: [7; 32],
            head: Duration::from_secs(1),
            body_bytes: 1,
        });
        let targets = Targets::from_iter([(name.clone(), Arc::clone(&target))]);
        http.compile(&targets).unwrap().join().unwrap();
        let served = http.served(&name, &target).unwrap();
        assert!(served.classes.sets().all(|set| set.has_tables()));
        assert!(http.compile(&Targets::from_iter([])).is_none());
    }
}
