//! Signing in to a server, from its startup packet to its first `ReadyForQuery`.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use bytes::{BufMut as _, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use sluice_model::ExposeSecret as _;
use sluice_wire::{Frame as _, Stream, Violation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::dial::{DialError, Login, Secrecy, Sqlstate, Transport};
use crate::frame::{Extent, Fields, Frame};
use crate::message::put_cstr;
use crate::scram;
use crate::target::DangerousPassword;

/// Protocol 3.0: every server speaks it, and the two sides of a flow negotiate on their own.
const VERSION: u32 = 3 << 16;
/// Upper limit of one message before the flow, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Upper limit of the messages before the flow: a server may send notices without end.
const MAX_MESSAGES: usize = 256;
/// Upper limit of the settings a server reports.
const MAX_PARAMETERS: usize = 64;
/// Upper limit of SCRAM iterations; the work is the broker's, the number the server's. PostgreSQL's default is 4,096.
const MAX_ITERATIONS: u32 = 100_000;

/// Settings that every server connection has, whatever a client asks for; the analysis of statements relies on them.
const PINNED: [(&str, &str); 2] = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];

/// A server that is ready for a flow.
pub(crate) struct Server {
    pub(crate) stream: Box<dyn Stream>,
    /// Bytes read after the last message of the sign-in.
    pub(crate) leftover: BytesMut,
    /// What the server reported of its settings, in its order.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) key: Option<ServerKey>,
}

/// How a server is asked to cancel (`BackendKeyData`).
#[derive(Clone)]
pub(crate) struct ServerKey(pub(crate) Bytes);

impl ServerKey {
    /// The process that serves the connection.
    pub(crate) fn process(&self) -> Option<u32> {
        self.0.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKey")
    }
}

/// Signs in over a connection.
pub(crate) async fn sign_in(transport: Transport, login: Login<'_>) -> Result<Server, DialError> {
    let Transport { stream, secrecy } = transport;
    let mut line = Line { stream, secrecy, buffered: BytesMut::new(), messages: 0 };
    line.send(&startup(login)).await?;
    authenticate(&mut line, login).await?;
    let (parameters, key) = settle(&mut line).await?;
    check_pinned(&parameters, login)?;
    Ok(Server { stream: line.stream, leftover: line.buffered, parameters, key })
}

impl From<Violation> for DialError {
    fn from(violation: Violation) -> Self {
        Self::Broke(violation.what)
    }
}

fn startup(login: Login<'_>) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u32(0);
    packet.put_u32(VERSION);
    let mut put = |name: &str, value: &str| {
        put_cstr(&mut packet, name.as_bytes());
        put_cstr(&mut packet, value.as_bytes());
    };
    put("user", &login.credential.user);
    put("database", login.database);
    // Later ones win at the server.
    login.settings.iter().for_each(|(name, value)| put(name, value));
    PINNED.iter().for_each(|(name, value)| put(name, value));
    put("search_path", &quoted(login.search_path));
    packet.put_u8(0);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    if let Some(field) = packet.get_mut(..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    packet
}

/// A search path as a setting's value, with the temporary schema last: unless it is named, PostgreSQL looks there
/// first, and a temporary relation would stand in for the one that was decided on.
fn quoted(search_path: &[String]) -> String {
    let names = search_path.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    names.chain(std::iter::once("pg_temp".to_owned())).collect::<Vec<_>>().join(", ")
}

/// The mechanism to prove a password with, of those that a server offers, and what it is bound to.
fn choose(offered: &[u8], secrecy: &Secrecy) -> Option<(&'static str, ChannelBinding)> {
    let offers = |wanted: &str| offered.split(|byte| *byte == 0).any(|name| name == wanted.as_bytes());
    let endpoint = match secrecy {
        Secrecy::Tls(endpoint) => endpoint.as_ref(),
        Secrecy::Open | Secrecy::Local => None,
    };
    match endpoint {
        Some(endpoint) if offers(scram::MECHANISM_PLUS) => {
            Some((scram::MECHANISM_PLUS, ChannelBinding::tls_server_end_point(endpoint.bytes().to_vec())))
        }
        // A server that did offer it, and whose offer somebody took away, refuses this.
        Some(_) if offers(scram::MECHANISM) => Some((scram::MECHANISM, ChannelBinding::unrequested())),
        None if offers(scram::MECHANISM) => Some((scram::MECHANISM, ChannelBinding::unsupported())),
        Some(_) | None => None,
    }
}

/// Shows the password, or a hash that is as good, where the target permits that.
async fn show(line: &mut Line, login: Login<'_>, way: DangerousPassword, salt: &[u8]) -> Result<(), DialError> {
    let secret = login.credential.secret.as_ref().ok_or(DialError::NoSecret)?.expose_secret();
    if !login.dangerous_passwords.contains(&way) {
        return Err(DialError::Method);
    }
    let shown = match (way, &line.secrecy) {
        (DangerousPassword::Cleartext, Secrecy::Open) => return Err(DialError::Exposed),
        (DangerousPassword::Cleartext, Secrecy::Local | Secrecy::Tls(_)) => Zeroizing::new(secret.to_owned()),
        (DangerousPassword::Md5, _) => {
            let salt = salt.try_into().map_err(|_| DialError::Broke("an MD5 salt is four bytes"))?;
            Zeroizing::new(md5_hash(login.credential.user.as_bytes(), secret.as_bytes(), salt))
        }
    };
    line.send(Frame::build(b'p', |out| put_cstr(out, shown.as_bytes())).wire()).await
}

/// Proves the password and has the server prove that it knows it too.
async fn authenticate(line: &mut Line, login: Login<'_>) -> Result<(), DialError> {
    let mut proven = false;
    loop {
        let message = line.authentication().await?;
        let mut fields = Fields::of_server(&message);
        match fields.u32()? {
            0 if proven || login.credential.secret.is_none() => return Ok(fields.end()?),
            0 => return Err(DialError::Unproven),
            10 if !proven => {
                let (mechanism, binding) = choose(fields.remaining(), &line.secrecy).ok_or(DialError::Method)?;
                let secret = login.credential.secret.as_ref().ok_or(DialError::NoSecret)?;
                prove(line, secret.expose_secret().as_bytes(), mechanism, binding).await?;
                proven = true;
            }
            3 if !proven => {
                fields.end()?;
                show(line, login, DangerousPassword::Cleartext, b"").await?;
                proven = true;
            }
            5 if !proven => {
                show(line, login, DangerousPassword::Md5, fields.remaining()).await?;
                proven = true;
            }
            _ => return Err(DialError::Method),
        }
    }
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3).
async fn prove(line: &mut Line, password: &[u8], mechanism: &str, binding: ChannelBinding) -> Result<(), DialError> {
    let mut scram = ScramSha256::new(password, binding);
    let first = Frame::build(b'p', |out| {
        put_cstr(out, mechanism.as_bytes());
        out.put_u32(u32::try_from(scram.message().len()).unwrap_or(u32::MAX));
        out.put_slice(scram.message());
    });
    line.send(first.wire()).await?;
    let challenge = line.sasl(11).await?;
    check_iterations(&challenge)?;
    // The server chooses how long this takes.
    let scram = spawn_blocking(move || scram.update(&challenge).map(|()| scram)).await;
    let mut scram = scram.ok().and_then(Result::ok).ok_or(DialError::Broke("malformed SCRAM challenge"))?;
    line.send(Frame::build(b'p', |out| out.put_slice(scram.message())).wire()).await?;
    let last = line.sasl(12).await?;
    scram.finish(&last).map_err(|_| DialError::Unproven)
}

fn check_iterations(challenge: &[u8]) -> Result<(), DialError> {
    let iterations = std::str::from_utf8(challenge)
        .ok()
        .and_then(|challenge| challenge.split(',').find_map(|part| part.strip_prefix("i=")))
        .and_then(|number| number.parse::<u32>().ok());
    match iterations {
        Some(1..=MAX_ITERATIONS) => Ok(()),
        Some(_) | None => Err(DialError::Broke("SCRAM iterations out of bounds")),
    }
}

/// Collects what the server says of itself until it is ready.
async fn settle(line: &mut Line) -> Result<(Vec<(String, String)>, Option<ServerKey>), DialError> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut key = None;
    loop {
        let frame = line.next().await?;
        let mut fields = Fields::of_server(frame.body());
        match frame.tag() {
            b'S' => {
                let (name, value) = (text(fields.cstr()?)?, text(fields.cstr()?)?);
                fields.end()?;
                parameters.retain(|(known, _)| *known != name);
                if parameters.len() == MAX_PARAMETERS {
                    return Err(DialError::Broke("too many settings reported"));
                }
                parameters.push((name, value));
            }
            // Process id and a key of four bytes: protocol 3.0.
            b'K' if frame.body().len() == 8 => key = Some(ServerKey(frame.body_bytes())),
            b'N' => {}
            b'E' => return Err(turned(frame.body())),
            b'Z' if frame.body() == b"I" => return Ok((parameters, key)),
            _ => return Err(DialError::Broke("unexpected message before the session")),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, DialError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DialError::Broke("a setting is not valid UTF-8"))
}

fn check_pinned(parameters: &[(String, String)], login: Login<'_>) -> Result<(), DialError> {
    let reported = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    for (name, value) in PINNED {
        if reported(name) != Some(value) {
            return Err(DialError::Pinned(name));
        }
    }
    // Reported from PostgreSQL 18 on.
    match reported("search_path") {
        Some(path) if path != quoted(login.search_path) => Err(DialError::Pinned("search_path")),
        Some(_) | None => Ok(()),
    }
}

/// What an `ErrorResponse` comes to; a server may leave the SQLSTATE out (CVE-2026-6666).
fn turned(body: &[u8]) -> DialError {
    let code = |mut fields: Fields<'_>| -> Result<Option<Sqlstate>, Violation> {
        loop {
            match fields.u8()? {
                0 => return Ok(None),
                b'C' => return Ok(fields.cstr()?.try_into().ok().map(Sqlstate)),
                _ => fields.cstr()?,
            };
        }
    };
    let found = code(Fields::of_server(body)).ok().flatten();
    match found.filter(|Sqlstate(code)| code.iter().all(u8::is_ascii_alphanumeric)) {
        Some(code) if code.0.starts_with(b"28") => DialError::Credential(code),
        Some(code) => DialError::Turned(code),
        None => DialError::Broke("an error without SQLSTATE"),
    }
}

/// A server's messages before the flow, counted.
struct Line {
    stream: Box<dyn Stream>,
    secrecy: Secrecy,
    buffered: BytesMut,
    messages: usize,
}

impl Line {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn next(&mut self) -> Result<Frame, DialError> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(DialError::Broke("too many messages before the session"));
        }
        self.fill(Frame::HEADER).await?;
        let mut header = Fields::of_server(&self.buffered);
        let (tag, length) = (header.u8()?, header.u32()?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(4..=MAX_MESSAGE_BYTES).contains(&length) {
            return Err(DialError::Broke("message length out of bounds"));
        }
        self.fill(length + 1).await?;
        Ok(Frame::framed(tag, self.buffered.split_to(length + 1).freeze(), Extent::Whole))
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), DialError> {
        while self.buffered.len() < bytes {
            if self.stream.read_buf(&mut self.buffered).await? == 0 {
                return Err(DialError::Closed);
            }
        }
        Ok(())
    }

    /// The body of the next `AuthenticationRequest`; notices are passed over.
    async fn authentication(&mut self) -> Result<Bytes, DialError> {
        loop {
            let frame = self.next().await?;
            match frame.tag() {
                b'R' => return Ok(frame.body_bytes()),
                b'N' => {}
                b'E' => return Err(turned(frame.body())),
                _ => return Err(DialError::Broke("unexpected message during sign-in")),
            }
        }
    }

    async fn sasl(&mut self, step: u32) -> Result<Bytes, DialError> {
        let body = self.authentication().await?;
        let mut fields = Fields::of_server(&body);
        if fields.u32()? != step {
            return Err(DialError::Broke("unexpected step of sign-in"));
        }
        if fields.remaining().len() > scram::MAX_MESSAGE_BYTES {
            return Err(DialError::Broke("SCRAM message is larger than its limit"));
        }
        Ok(body.slice(4..))
    }
}

#[cfg(test)]
mod tests;
