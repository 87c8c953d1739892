//! What clients say, by russh's callbacks: nothing is decided here, and nothing of one client waits for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use sluice_model::{Principal, Secret, TargetName};
use sluice_wire::{Claim, Side};
use tokio::sync::oneshot;

use crate::address::behind;
use crate::algorithms::is_modern;
use crate::call::{Call, Calls, Jump, Jumps, Opened};
use crate::frame::{Frame, Message, Place, Size};
use crate::link::{Wire, signal_name};
use crate::listens::{LISTENS, Listens, Patience};
use crate::origin::{Bind, X11};
use crate::pair::Pair;
use crate::porter::Berth;
use crate::queue::{Item, Reply};
use crate::shelf::Shelf;

/// Channels of one connection at a time.
const CHANNELS: usize = 10;

/// One client.
pub(crate) struct Door {
    calls: Calls,
    client: IpAddr,
    jumps: Jumps,
    /// Who has proven to be somebody, and under which name.
    signed: Option<(String, Principal)>,
    channels: HashMap<ChannelId, Member>,
    listens: Listens,
    /// Why hosts do not listen, for the next program's error stream.
    asides: Vec<Box<str>>,
    /// Held by everybody who reaches another host through the connection.
    jumping: Arc<()>,
    berth: Berth,
    /// Where what waits is kept: nobody's, until somebody has signed in.
    shelf: Shelf,
}

/// One channel of the client.
struct Member {
    pair: Arc<Pair>,
    /// A command was accepted: nothing else is granted from then on.
    started: bool,
    kind: Kind,
}

/// What a channel is for, and who has opened it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A program, for the client.
    Program,
    /// Another place, for the client.
    Forward,
    /// Something of the client's, for the host.
    Arrival,
}

impl Door {
    pub(crate) fn new(calls: Calls, client: IpAddr, jumps: Jumps, berth: Berth, shelf: Shelf) -> Self {
        Self {
            calls,
            client,
            jumps,
            signed: None,
            channels: HashMap::new(),
            listens: Listens::default(),
            asides: Vec::new(),
            jumping: Arc::default(),
            berth,
            shelf,
        }
    }

    async fn claim(&mut self, user: &str, claim: Claim) -> Auth {
        // A proof is for the name it was given under, and for nothing before it.
        self.signed = None;
        let (answer, answered) = oneshot::channel();
        if self.calls.make(Call::Claim(claim, answer)).await.is_err() {
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
        if self.is_full() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        }
        let pair = Arc::new(Pair::new(self.shelf.clone()));
        let (started, kind) = if place.is_some() { (true, Kind::Forward) } else { (false, Kind::Program) };
        let member = Member { pair: Arc::clone(&pair), started, kind };
        self.channels.insert(channel.id(), member);
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
        let _over = self.calls.make(Call::Channel(Opened { pair, wire, opening })).await;
    }

    /// Whether the client has opened as many channels as it may.
    fn is_full(&mut self) -> bool {
        self.sweep();
        let own = self.channels.values().filter(|member| member.kind != Kind::Arrival).count();
        // Whoever reaches another host through the connection holds a place, as the door does itself.
        own.saturating_add(Arc::strong_count(&self.jumping)) > CHANNELS
    }

    /// Forgets channels that are over. One that the client has closed keeps its place for as long as somebody serves it:
    /// what runs for it may end later. russh tells of no close of a client that answers one of ours.
    fn sweep(&mut self) {
        self.channels.retain(|_, member| member.is_served());
    }

    /// Lets somebody reach a host through the connection, who then signs in there anew.
    async fn jump(&mut self, channel: Channel<Msg>, host: TargetName, reply: ChannelOpenHandle) {
        if self.is_full() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        }
        let (stream, place) = (Box::new(channel.into_stream()), Arc::clone(&self.jumping));
        let _over = self.calls.make(Call::Jump(Jump { stream, host, reply, place })).await;
    }

    /// A request that is answered here, in its own callback: russh keeps one answer per channel.
    async fn request(
        &mut self,
        channel: ChannelId,
        message: Message,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let accepted = self.granted(channel, message).await;
        if accepted { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    async fn granted(&mut self, channel: ChannelId, message: Message) -> bool {
        let starts = message.starts();
        let Some(member) = self.channels.get_mut(&channel).filter(|member| !member.started) else { return false };
        if starts {
            self.asides.drain(..).for_each(|words| member.tell(Message::Aside(words)));
        }
        let (reply, answered) = Reply::new();
        member.pair.push(Side::Client, Item { frame: message.into(), reply: Some(reply) });
        let accepted = answered.await.is_ok_and(|accepted| accepted);
        member.started |= starts && accepted;
        accepted
    }

    /// Has a host listen. The answer has no words; clients show these where they are debugged, and a program's error
    /// stream does.
    async fn listen(&mut self, bind: Bind, session: &mut Session) -> Result<Option<u32>, russh::Error> {
        let patience = self.patience();
        match self.listens.begin(bind, &self.calls, patience).await {
            Ok(picked) => Ok(Some(picked)),
            Err(words) => {
                session.debug(true, &words, "")?;
                self.say(words);
                Ok(None)
            }
        }
    }

    /// Has a host listen no longer.
    async fn unlisten(&mut self, bind: &Bind) -> bool {
        let patience = self.patience();
        self.listens.end(bind, patience).await.is_ok()
    }

    fn patience(&self) -> Patience {
        let beside = Arc::strong_count(&self.jumping) > 1 || self.channels.values().any(|member| member.is_open());
        if beside { Patience::Beside } else { Patience::Alone }
    }

    /// Says something on the error stream of the newest program that runs, or of the next one.
    fn say(&mut self, words: Box<str>) {
        let running = self.channels.iter().filter(|(_, member)| member.runs()).max_by_key(|(id, _)| **id);
        match running {
            Some((_, member)) => member.tell(Message::Aside(words)),
            None if self.asides.len() < LISTENS => self.asides.push(words),
            None => {}
        }
    }

    /// A message that nobody answers.
    fn tell(&self, channel: ChannelId, message: Message) {
        if let Some(member) = self.channels.get(&channel) {
            member.tell(message);
        }
    }
}

impl Member {
    fn tell(&self, message: Message) {
        self.pair.push(Side::Client, Item { frame: message.into(), reply: None });
    }

    /// Whether anybody but the door has to do with the channel, and it is not over.
    fn is_served(&self) -> bool {
        !self.pair.is_over() && Arc::strong_count(&self.pair) > 1
    }

    /// Whether it is not over for the client.
    fn is_open(&self) -> bool {
        !self.pair.is_over() && !self.pair.has_left()
    }

    fn runs(&self) -> bool {
        self.kind == Kind::Program && self.started && !self.pair.is_closing()
    }
}

impl Drop for Door {
    /// The connection is over, however that came.
    fn drop(&mut self) {
        for member in self.channels.values() {
            member.pair.leave();
        }
        if let Some(pair) = self.berth.take() {
            pair.leave();
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
        self.shelf = self.shelf.of(&who.owner());
        self.calls.make(Call::SignedIn { user, who }).await.map_err(|_| russh::Error::Disconnect)
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
            self.jump(channel, host, reply).await;
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
        member.pair.client_room(self.shelf.stalls()).await;
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
        if let Some(member) = self.channels.get(&channel) {
            member.tell(Message::Close);
            member.pair.leave();
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
        once: bool,
        protocol: &str,
        cookie: &str,
        screen: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let x11 = X11 { once, protocol: protocol.into(), cookie: cookie.into(), screen };
        self.request(channel, Message::X11(x11), session).await
    }

    async fn agent_request(&mut self, channel: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        // russh answers this one itself, by what is returned.
        Ok(self.granted(channel, Message::Agent).await)
    }

    async fn tcpip_forward(&mut self, host: &str, port: &mut u32, session: &mut Session) -> Result<bool, russh::Error> {
        let Some(picked) = self.listen(Bind::Tcp { host: host.into(), port: *port }, session).await? else {
            return Ok(false);
        };
        if *port == 0 {
            *port = picked;
        }
        Ok(true)
    }

    async fn cancel_tcpip_forward(&mut self, host: &str, port: u32, _: &mut Session) -> Result<bool, russh::Error> {
        Ok(self.unlisten(&Bind::Tcp { host: host.into(), port }).await)
    }

    async fn streamlocal_forward(&mut self, path: &str, session: &mut Session) -> Result<bool, russh::Error> {
        Ok(self.listen(Bind::Socket { path: path.into() }, session).await?.is_some())
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Result<bool, russh::Error> {
        Ok(self.unlisten(&Bind::Socket { path: path.into() }).await)
    }

    async fn channel_open_confirmation(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.sweep();
        if let Some(pair) = self.berth.take() {
            self.channels.insert(channel, Member { pair, started: true, kind: Kind::Arrival });
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_its_place_until_nobody_serves_it() {
        let served = Arc::new(Pair::new(Shelf::none()));
        let member = Member { pair: Arc::clone(&served), started: true, kind: Kind::Program };
        assert!(member.is_served() && member.is_open());
        member.pair.leave();
        assert!(member.is_served() && !member.is_open(), "what runs for a client that has closed it goes on");
        drop(served);
        assert!(!member.is_served());
        let over = Arc::clone(&member.pair);
        over.end(Side::Server);
        assert!(!member.is_served());
    }
}
