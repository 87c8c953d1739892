//! What clients say, by russh's callbacks: nothing is decided here, and nothing of one client waits for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use russh::keys::Certificate;
use russh::keys::ssh_key::{Algorithm, HashAlg};
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use sluice_model::{Principal, Secret, TargetName};
use sluice_wire::{Claim, Side, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::frame::{Frame, Message, Place, Size};
use crate::link::{Wire, signal_name};
use crate::pair::{Item, Pair, Reply};

/// Channels of one connection at a time.
const CHANNELS: usize = 10;

/// What a connection asks of whoever serves it.
pub(crate) enum Call {
    /// Is this somebody?
    Claim(Claim, oneshot::Sender<Option<Principal>>),
    /// Somebody has signed in, under a user name that says where to.
    SignedIn {
        user: String,
        who: Principal,
    },
    Channel(Opened),
    /// A connection to a host behind the broker: what is spoken in it is SSH again.
    Jump {
        stream: Box<dyn Stream>,
        host: TargetName,
    },
}

/// Whether hosts may be reached through the connection (`ssh -J`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Jumps {
    Let,
    Refused,
}

/// A channel that a client has opened, or asks to have opened.
pub(crate) struct Opened {
    pub(crate) pair: Arc<Pair>,
    pub(crate) wire: Wire,
    pub(crate) opening: Option<ChannelOpenHandle>,
}

/// One client.
pub(crate) struct Door {
    calls: mpsc::Sender<Call>,
    client: IpAddr,
    jumps: Jumps,
    /// Who has proven to be somebody, and under which name.
    signed: Option<(String, Principal)>,
    channels: HashMap<ChannelId, Member>,
}

/// One channel of the client.
struct Member {
    pair: Arc<Pair>,
    /// A command was accepted: nothing else is granted from then on.
    started: bool,
}

impl Door {
    pub(crate) fn new(calls: mpsc::Sender<Call>, client: IpAddr, jumps: Jumps) -> Self {
        Self { calls, client, jumps, signed: None, channels: HashMap::new() }
    }

    async fn claim(&mut self, user: &str, claim: Claim) -> Auth {
        // A proof is for the name it was given under, and for nothing before it.
        self.signed = None;
        let (answer, answered) = oneshot::channel();
        if self.calls.send(Call::Claim(claim, answer)).await.is_err() {
            return Auth::reject();
        }
        match answered.await {
            Ok(Some(who)) => {
                self.signed = Some((user.to_owned(), who));
                Auth::Accept
            }
            Ok(None) | Err(_) => Auth::reject(),
        }
    }

    async fn open(&mut self, channel: Channel<Msg>, place: Option<Place>, reply: ChannelOpenHandle, handle: Handle) {
        // russh tells of no close of a client that answers one of ours.
        self.channels.retain(|_, member| !member.pair.is_over());
        if self.channels.len() >= CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        }
        let pair = Arc::new(Pair::default());
        self.channels.insert(channel.id(), Member { pair: Arc::clone(&pair), started: place.is_some() });
        // The reading half is a bounded queue that nobody would read: bytes come by the callbacks.
        let (_, write) = channel.split();
        let wire = Wire { handle, write: Arc::new(write) };
        let opening = match place {
            None => {
                reply.accept().await;
                None
            }
            Some(place) => {
                pair.push(Side::Client, Item { frame: Message::Open(place).into(), reply: None });
                Some(reply)
            }
        };
        let _over = self.calls.send(Call::Channel(Opened { pair, wire, opening })).await;
    }

    /// A request that is answered here, in its own callback: russh keeps one answer per channel.
    async fn request(
        &mut self,
        channel: ChannelId,
        message: Message,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let starts = message.starts();
        let accepted = match self.channels.get_mut(&channel) {
            Some(member) if !member.started => {
                let (reply, answered) = Reply::new();
                member.pair.push(Side::Client, Item { frame: message.into(), reply: Some(reply) });
                let accepted = answered.await.is_ok_and(|accepted| accepted);
                member.started |= starts && accepted;
                accepted
            }
            Some(_) | None => false,
        };
        if accepted { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    /// A message that nobody answers.
    fn tell(&self, channel: ChannelId, message: Message) {
        if let Some(member) = self.channels.get(&channel) {
            member.pair.push(Side::Client, Item { frame: message.into(), reply: None });
        }
    }
}

impl Drop for Door {
    /// The connection is over, however that came.
    fn drop(&mut self) {
        for member in self.channels.values() {
            member.pair.end(Side::Client);
        }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.claim(user, Claim::Token(Secret::from(password))).await)
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        // Every key may be tried: which ones are known is nobody's business who cannot sign.
        Ok(if is_modern(offer.algorithm) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        if !is_modern(key.algorithm) {
            return Ok(Auth::reject());
        }
        let Ok(key) = key.public_key.to_bytes() else { return Ok(Auth::reject()) };
        Ok(self.claim(user, Claim::Key { key: key.into() }).await)
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth, russh::Error> {
        let Ok(certificate) = certificate.to_bytes() else { return Ok(Auth::reject()) };
        let claim = Claim::Certificate { certificate: certificate.into(), client: self.client };
        Ok(self.claim(user, claim).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(mut response) = response else {
            return Ok(Auth::Partial {
                name: "Sluice".into(),
                instructions: "".into(),
                prompts: vec![("Sluice token: ".into(), false)].into(),
            });
        };
        let token = response.next().and_then(|token| String::from_utf8(token.to_vec()).ok());
        match (token, response.next()) {
            (Some(token), None) => Ok(self.claim(user, Claim::Token(Secret::from(token.as_str()))).await),
            _ => Ok(Auth::reject()),
        }
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), russh::Error> {
        let (user, who) = self.signed.take().ok_or(russh::Error::Inconsistent)?;
        self.calls.send(Call::SignedIn { user, who }).await.map_err(|_| russh::Error::Disconnect)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.open(channel, None, reply, session.handle()).await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let (Jumps::Let, Some(host)) = (self.jumps, behind(host)) {
            reply.accept().await;
            let stream = Box::new(channel.into_stream());
            let _over = self.calls.send(Call::Jump { stream, host }).await;
            return Ok(());
        }
        let place = Place::Tcp { host: host.into(), port, from: from.into(), from_port };
        self.open(channel, Some(place), reply, session.handle()).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.open(channel, Some(Place::Socket { path: path.into() }), reply, session.handle()).await;
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        let Some(member) = self.channels.get(&channel) else { return Ok(()) };
        member.pair.push(Side::Client, Item { frame: Frame::data(data), reply: None });
        member.pair.client_room().await;
        Ok(())
    }

    async fn extended_data(&mut self, _: ChannelId, _: u32, _: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        Err(russh::Error::Inconsistent)
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.tell(channel, Message::Eof);
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        if let Some(member) = self.channels.remove(&channel) {
            member.pair.push(Side::Client, Item { frame: Message::Close.into(), reply: None });
            member.pair.end(Side::Client);
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let modes = modes.iter().map(|(mode, value)| (*mode as u8, *value)).collect();
        let size = Size { columns, rows, width, height };
        self.request(channel, Message::Pty { term: term.into(), size, modes }, session).await
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.request(channel, Message::Env { name: name.into(), value: value.into() }, session).await
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        self.request(channel, Message::Shell, session).await
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.request(channel, Message::Exec(Bytes::copy_from_slice(command)), session).await
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.request(channel, Message::Subsystem(name.into()), session).await
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.request(channel, Message::Other("x11-req"), session).await
    }

    async fn agent_request(&mut self, channel: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        // russh answers this one itself, by what is returned. The machine's answer is to it and to no other request.
        if let Some(member) = self.channels.get(&channel) {
            let (reply, _nobody_waits) = Reply::new();
            let frame = Message::Other("auth-agent-req@openssh.com").into();
            member.pair.push(Side::Client, Item { frame, reply: Some(reply) });
        }
        Ok(false)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.tell(channel, Message::Resized(Size { columns, rows, width, height }));
        Ok(())
    }

    async fn signal(&mut self, channel: ChannelId, signal: Sig, _: &mut Session) -> Result<(), russh::Error> {
        self.tell(channel, Message::Signal(signal_name(&signal).into()));
        Ok(())
    }
}

/// The target that `NAME.sluice` stands for, as `sluice ssh-config` has clients call it.
fn behind(host: &str) -> Option<TargetName> {
    TargetName::new(host.strip_suffix(".sluice")?).ok()
}

/// Signatures with SHA-1 (`ssh-rsa`, RFC 8332 §1) and DSA prove nothing any more.
fn is_modern(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Rsa { hash: Some(HashAlg::Sha256 | HashAlg::Sha512) }
            | Algorithm::Ecdsa { .. }
            | Algorithm::Ed25519
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::SkEd25519
    )
}
