//! What servers say, by russh's callbacks.

use std::collections::HashMap;
use std::sync::Arc;

use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, Sig};
use sluice_wire::Side;

use crate::frame::{Frame, Message};
use crate::hostkeys::HostKeys;
use crate::origin::Origin;
use crate::pair::Pair;
use crate::queue::Item;
use crate::welcome::Welcome;

/// An error of a connection to a server.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) russh::Error);

impl From<russh::Error> for Failed {
    fn from(error: russh::Error) -> Self {
        Self(error)
    }
}

/// Hears a server out.
pub(crate) struct Ear {
    pub(crate) pair: Arc<Pair>,
    /// Whether the channel leads to another place than a program of the server.
    leads_on: bool,
    keys: Arc<HostKeys>,
    host: Box<str>,
    welcome: Arc<Welcome>,
    /// The channel that the broker has opened.
    own: Option<ChannelId>,
    /// Channels that the server has opened.
    arrived: HashMap<ChannelId, Arc<Pair>>,
}

impl Ear {
    pub(crate) fn new(
        pair: Arc<Pair>,
        leads_on: bool,
        keys: Arc<HostKeys>,
        host: Box<str>,
        welcome: Arc<Welcome>,
    ) -> Self {
        Self { pair, leads_on, keys, host, welcome, own: None, arrived: HashMap::new() }
    }

    /// Whatever a server says without end, it waits for its client.
    async fn heard(&self, channel: ChannelId, frame: impl Into<Frame>) -> Result<(), Failed> {
        let own = self.own == Some(channel);
        let Some(pair) = (if own { Some(&self.pair) } else { self.arrived.get(&channel) }) else { return Ok(()) };
        pair.push(Side::Server, Item { frame: frame.into(), reply: None });
        let Err(stuck) = pair.server_room().await else { return Ok(()) };
        tracing::warn!(error = %stuck, "a channel was ended");
        if own {
            return Err(Failed(russh::Error::Disconnect));
        }
        pair.end(Side::Server);
        Ok(())
    }

    /// A channel that the server opens. One that is not let in is refused by dropping its handle: russh accepts it where
    /// nobody says otherwise.
    fn arrives(&mut self, channel: Channel<Msg>, origin: Origin, reply: ChannelOpenHandle) {
        self.arrived.retain(|_, pair| !pair.is_over());
        let id = channel.id();
        let pair = Arc::new(self.pair.beside());
        // The reading half is a bounded queue that nobody would read: bytes come by the callbacks.
        let (_, write) = channel.split();
        if self.welcome.admit(&origin, &pair, write, reply) {
            pair.push(Side::Server, Item { frame: Message::Arrive(origin).into(), reply: None });
            self.arrived.insert(id, pair);
        }
    }
}

impl Drop for Ear {
    /// The connection is over, however that came.
    fn drop(&mut self) {
        self.pair.end(Side::Server);
        for pair in self.arrived.values() {
            pair.end(Side::Server);
        }
    }
}

impl client::Handler for Ear {
    type Error = Failed;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        Ok(self.keys.trust(shown, &self.host))
    }

    async fn channel_open_confirmation(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Failed> {
        self.own = Some(channel);
        // Told here and not by whoever opens it: the first bytes may follow at once.
        if self.leads_on {
            self.heard(channel, Message::Opened).await?;
        }
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        let origin = Origin::Tcp { host: host.into(), port, from: from.into(), from_port };
        self.arrives(channel, origin, reply);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        self.arrives(channel, Origin::Socket { path: path.into() }, reply);
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        self.arrives(channel, Origin::Agent, reply);
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        channel: Channel<Msg>,
        from: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        self.arrives(channel, Origin::X11 { from: from.into(), from_port }, reply);
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Failed> {
        self.heard(channel, Frame::data(data)).await
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        code: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Failed> {
        // RFC 4254 §5.2 knows no other code: what it would be is unknown, so it goes nowhere.
        if code == 1 { self.heard(channel, Frame::stderr(data)).await } else { Err(Failed(russh::Error::Inconsistent)) }
    }

    async fn channel_success(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(channel, Message::Accepted).await
    }

    async fn channel_failure(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(channel, Message::Refused).await
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(channel, Message::Eof).await
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Failed> {
        let own = self.own == Some(channel);
        let Some(pair) = (if own { Some(Arc::clone(&self.pair)) } else { self.arrived.remove(&channel) }) else {
            return Ok(());
        };
        pair.push(Side::Server, Item { frame: Message::Close.into(), reply: None });
        pair.end(Side::Server);
        Ok(())
    }

    async fn exit_status(&mut self, channel: ChannelId, status: u32, _: &mut Session) -> Result<(), Failed> {
        self.heard(channel, Message::ExitStatus(status)).await
    }

    async fn exit_signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        core_dumped: bool,
        message: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Failed> {
        let name = crate::link::signal_name(&signal).into();
        self.heard(channel, Message::ExitSignal { name, core_dumped, message: message.into() }).await
    }
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
