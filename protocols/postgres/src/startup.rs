//! The first bytes of a connection: TLS, the startup packet, or a request to cancel.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use sluice_model::{Code, Refusal};
use sluice_wire::{Stream, Violation};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::cancel::Key;
use crate::client::{Client, Secured, Stop};
use crate::frame::{Fields, Frame};
use crate::message::put_cstr;
use crate::replication::Replication;
use crate::settings::Settings;
use crate::tls::Tls;

/// Upper limit of a startup packet with its length, in bytes; PostgreSQL's own.
pub(crate) const MAX_STARTUP_BYTES: usize = 10_000;
/// Upper limit of the parameters in a startup packet.
pub(crate) const MAX_STARTUP_PARAMETERS: usize = 64;

/// `SSLRequest`: 1234 in the major half, so that it is no version.
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// Length of a request that is only its code.
const BARE_BYTES: u32 = 8;
/// The first byte of a TLS record that holds a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection turned out to be for.
#[derive(Debug)]
pub(crate) enum Start {
    Session(Startup),
    Cancel(Key),
}

/// An admitted startup packet.
#[derive(Debug)]
pub(crate) struct Startup {
    pub(crate) version: Version,
    pub(crate) user: String,
    pub(crate) database: Option<String>,
    pub(crate) settings: Settings,
    /// `None` for a connection that takes statements.
    pub(crate) replication: Option<Replication>,
    /// `_pq_.` options that are answered with `NegotiateProtocolVersion`.
    unsupported: Vec<String>,
    asked_minor: u32,
}

/// The protocol versions that are spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// 3.0: cancel keys of four bytes.
    V3_0,
    /// 3.2: cancel keys of up to 256 bytes.
    V3_2,
}

/// Whether a client may sign in without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cleartext {
    Never,
    /// From loopback addresses: every program on this machine that can read loopback traffic reads tokens and results.
    DangerousLoopback,
}

/// What the door asks of clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) tls: Option<&'a Tls>,
    /// Without TLS, sign-in is possible from loopback.
    pub(crate) cleartext: Cleartext,
    /// From the accepted connection to its first eight bytes.
    pub(crate) first_bytes: Duration,
}

/// Encryption requests that were made; each may be made once.
#[derive(Default)]
struct Asked {
    ssl: bool,
    gss: bool,
}

impl Door<'_> {
    /// Reads up to and including the startup packet. The client's stream is TLS from where it became so.
    pub(crate) async fn open(self, client: &mut Client) -> Result<Start, Stop> {
        let mut asked = Asked::default();
        let first = timeout(self.first_bytes, head(client)).await.map_err(|_| Stop::Left)?;
        let mut head_bytes = first?;
        if head_bytes.first() == Some(&TLS_HANDSHAKE) {
            self.direct(client, head_bytes).await?;
            head_bytes = head(client).await?;
        }
        loop {
            let (length, code) = split(head_bytes);
            match code {
                SSL_REQUEST if length == BARE_BYTES => self.ssl_request(client, &mut asked).await?,
                GSSENC_REQUEST if length == BARE_BYTES => gssenc_request(client, &mut asked).await?,
                SSL_REQUEST | GSSENC_REQUEST => return Err(Violation::client("invalid message length").into()),
                CANCEL_REQUEST => return cancel_request(client, length).await.map(Start::Cancel),
                version => return self.startup(client, length, version).await.map(Start::Session),
            }
            head_bytes = head(client).await?;
        }
    }

    async fn ssl_request(self, client: &mut Client, asked: &mut Asked) -> Result<(), Stop> {
        if asked.ssl || client.secured.is_some() {
            return Err(Violation::client("encryption was requested twice").into());
        }
        asked.ssl = true;
        let Some(tls) = self.tls else { return answer(client, b'N').await };
        // Bytes sent before the answer would be plaintext that a listener on the way added (CVE-2021-23214).
        if waiting(&mut client.stream).await {
            return Err(Violation::client("unencrypted data after an SSL request").into());
        }
        answer(client, b'S').await?;
        let stream = std::mem::replace(&mut client.stream, Box::new(tokio::io::empty()));
        secure(client, tls, stream).await.map(drop)
    }

    /// TLS without a request before it (PostgreSQL 17): the application protocol must be named, or another protocol's
    /// client could be led here (ALPACA).
    async fn direct(self, client: &mut Client, read: [u8; 8]) -> Result<(), Stop> {
        let Some(tls) = self.tls else { return Err(Violation::client("TLS is not offered here").into()) };
        let inner = std::mem::replace(&mut client.stream, Box::new(tokio::io::empty()));
        let whole = Rewound { read: Bytes::copy_from_slice(&read), inner };
        match secure(client, tls, whole).await? {
            Application::Named => Ok(()),
            Application::Unnamed => Err(Violation::client("direct TLS needs the application protocol").into()),
        }
    }

    async fn startup(self, client: &mut Client, length: u32, version: u32) -> Result<Startup, Stop> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(8..=MAX_STARTUP_BYTES).contains(&length) {
            return Err(Violation::client("invalid length of startup packet").into());
        }
        let mut body = vec![0; length - 8];
        client.stream.read_exact(&mut body).await?;
        self.admit_transport(client)?;
        let startup = Startup::parse(version, &body)?;
        if let Some(frame) = startup.negotiate() {
            client.send(&[frame]).await?;
        }
        Ok(startup)
    }

    fn admit_transport(self, client: &Client) -> Result<(), Refusal> {
        let local = client.peer.address.ip().to_canonical().is_loopback();
        let allowed = match self.cleartext {
            Cleartext::Never => false,
            Cleartext::DangerousLoopback => local,
        };
        if client.secured.is_some() || allowed {
            return Ok(());
        }
        let refusal = Refusal::builtin(Code::Policy, "tls-required", "a connection without TLS is not accepted");
        Err(refusal.with_hint("connect with `sslmode=require` or stricter"))
    }
}

impl Startup {
    /// Reads the packet after its version: pairs of strings, then a zero, then nothing.
    fn parse(version: u32, body: &[u8]) -> Result<Self, Stop> {
        let (major, asked_minor) = (version >> 16, version & 0xffff);
        if major != 3 {
            return Err(Violation::client("unsupported protocol version").into());
        }
        let mut startup = Self {
            version: if asked_minor >= 2 { Version::V3_2 } else { Version::V3_0 },
            user: String::new(),
            database: None,
            settings: Settings::none(),
            replication: None,
            unsupported: Vec::new(),
            asked_minor,
        };
        let mut options = None;
        let mut user = None;
        for (name, value) in pairs(body)? {
            match name {
                "user" => once(&mut user, value)?,
                "database" => once(&mut startup.database, value)?,
                "options" => once(&mut options, value)?,
                "replication" => startup.replication = replication(value)?,
                _ if name.starts_with("_pq_.") => startup.unsupported.push(name.to_owned()),
                _ => startup.settings.admit(name, value)?,
            }
        }
        startup.settings.admit_options(&options.unwrap_or_default())?;
        startup.user = user.filter(|user| !user.is_empty()).ok_or_else(|| {
            Refusal::builtin(Code::Unauthenticated, "no-user-named", "no user name was given in the startup packet")
        })?;
        Ok(startup)
    }

    /// `NegotiateProtocolVersion`, where the client asked for more than is spoken.
    fn negotiate(&self) -> Option<Frame> {
        let spoken: u32 = match self.version {
            Version::V3_0 => 0,
            Version::V3_2 => 2,
        };
        if self.asked_minor == spoken && self.unsupported.is_empty() {
            return None;
        }
        let count = u32::try_from(self.unsupported.len()).unwrap_or(u32::MAX);
        Some(Frame::build(b'v', |out| {
            out.put_u32(3 << 16 | spoken);
            out.put_u32(count);
            self.unsupported.iter().for_each(|option| put_cstr(out, option.as_bytes()));
        }))
    }
}

/// Whether a TLS client named the application protocol.
enum Application {
    Named,
    Unnamed,
}

/// Shakes hands, and makes the client's connection what came of it.
async fn secure(client: &mut Client, tls: &Tls, stream: impl Stream + 'static) -> Result<Application, Stop> {
    let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await?;
    let session = stream.get_ref().1;
    let named = session.alpn_protocol() == Some(crate::tls::ALPN);
    let shown = session.peer_certificates().unwrap_or_default();
    let chain = shown.iter().map(|certificate| Bytes::copy_from_slice(certificate)).collect();
    client.secured = Some(Secured { endpoint: tls.endpoint.clone(), chain });
    client.stream = Box::new(stream);
    Ok(if named { Application::Named } else { Application::Unnamed })
}

/// The pairs of a startup packet.
fn pairs(body: &[u8]) -> Result<Vec<(&str, &str)>, Stop> {
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|_| Stop::from(Violation::client("startup packet is not valid UTF-8")))
    };
    let mut fields = Fields::of_client(body);
    let mut pairs = Vec::new();
    loop {
        let name = text(fields.cstr()?)?;
        if name.is_empty() {
            break;
        }
        if pairs.len() == MAX_STARTUP_PARAMETERS {
            return Err(Violation::client("too many startup parameters").into());
        }
        pairs.push((name, text(fields.cstr()?)?));
    }
    fields.end()?;
    Ok(pairs)
}

/// A parameter that says who or where may be given once: of two, each reader could believe another.
fn once(slot: &mut Option<String>, value: &str) -> Result<(), Stop> {
    match slot.replace(value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(Violation::client("a startup parameter was given twice").into()),
    }
}

/// Replication sends whole clusters past every rule about statements: what is not clearly one thing is refused.
fn replication(value: &str) -> Result<Option<Replication>, Refusal> {
    match value.to_ascii_lowercase().as_str() {
        "false" | "off" | "no" | "0" | "f" | "n" => Ok(None),
        "true" | "on" | "yes" | "1" | "t" | "y" => Ok(Some(Replication::Physical)),
        "database" => Ok(Some(Replication::Logical)),
        _ => Err(Refusal::builtin(Code::Unsupported, "replication", "this kind of replication is not supported")),
    }
}

async fn gssenc_request(client: &mut Client, asked: &mut Asked) -> Result<(), Stop> {
    if asked.gss || client.secured.is_some() {
        return Err(Violation::client("encryption was requested twice").into());
    }
    asked.gss = true;
    answer(client, b'N').await
}

/// `CancelRequest`: process id and key, of 4 to 256 bytes.
async fn cancel_request(client: &mut Client, length: u32) -> Result<Key, Stop> {
    let key_bytes = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(12);
    if !(4..=256).contains(&key_bytes) {
        return Err(Stop::Left);
    }
    let process = client.stream.read_u32().await?;
    let mut secret = vec![0; key_bytes];
    client.stream.read_exact(&mut secret).await?;
    Ok(Key { process, secret })
}

/// Exactly eight bytes, so that nothing after them is taken out of a TLS handshake's hands.
async fn head(client: &mut Client) -> Result<[u8; 8], Stop> {
    let mut head = [0; 8];
    client.stream.read_exact(&mut head).await?;
    Ok(head)
}

fn split([a, b, c, d, e, f, g, h]: [u8; 8]) -> (u32, u32) {
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

async fn answer(client: &mut Client, byte: u8) -> Result<(), Stop> {
    client.stream.write_all(&[byte]).await?;
    client.stream.flush().await?;
    Ok(())
}

/// Whether the peer has sent something that is not read yet. It is taken: the connection cannot go on.
pub(crate) async fn waiting(stream: &mut Box<dyn Stream>) -> bool {
    let mut byte = [0; 1];
    let mut into = ReadBuf::new(&mut byte);
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut into).is_ready())).await
        && !into.filled().is_empty()
}

/// A stream some of whose bytes were read already.
struct Rewound {
    read: Bytes,
    inner: Box<dyn Stream>,
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        let now = self.read.len().min(into.remaining());
        into.put_slice(self.read.get(..now).unwrap_or_default());
        self.read.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
