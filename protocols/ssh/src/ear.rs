//! What servers say, by russh's callbacks.

use std::sync::Arc;

use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, Sig};
use sluice_wire::Side;

use crate::frame::{Frame, Message};
use crate::hostkeys::HostKeys;
use crate::pair::{Item, Pair};

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
    pub(crate) leads_on: bool,
    pub(crate) keys: Arc<HostKeys>,
    pub(crate) host: Box<str>,
}

impl Ear {
    /// Whatever a server says without end, it waits for its client.
    async fn heard(&self, frame: impl Into<Frame>) -> Result<(), Failed> {
        self.pair.push(Side::Server, Item { frame: frame.into(), reply: None });
        self.pair.server_room().await.map_err(|stuck| {
            tracing::warn!(error = %stuck, "a channel was ended");
            Failed(russh::Error::Disconnect)
        })
    }
}

impl Drop for Ear {
    /// The connection is over, however that came.
    fn drop(&mut self) {
        self.pair.end(Side::Server);
    }
}

impl client::Handler for Ear {
    type Error = Failed;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        Ok(self.keys.trust(shown, &self.host))
    }

    async fn channel_open_confirmation(&mut self, _: ChannelId, _: u32, _: u32, _: &mut Session) -> Result<(), Failed> {
        // Told here and not by whoever opens it: the first bytes may follow at once.
        if self.leads_on {
            self.heard(Message::Opened).await?;
        }
        Ok(())
    }

    // russh accepts what a server opens, where nobody says otherwise; dropping the handle refuses it.

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

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Failed> {
        self.heard(Frame::data(data)).await
    }

    async fn extended_data(&mut self, _: ChannelId, code: u32, data: &[u8], _: &mut Session) -> Result<(), Failed> {
        // RFC 4254 §5.2 knows no other code: what it would be is unknown, so it goes nowhere.
        if code == 1 { self.heard(Frame::stderr(data)).await } else { Err(Failed(russh::Error::Inconsistent)) }
    }

    async fn channel_success(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(Message::Accepted).await
    }

    async fn channel_failure(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(Message::Refused).await
    }

    async fn channel_eof(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.heard(Message::Eof).await
    }

    async fn channel_close(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Failed> {
        self.pair.push(Side::Server, Item { frame: Message::Close.into(), reply: None });
        self.pair.end(Side::Server);
        Ok(())
    }

    async fn exit_status(&mut self, _: ChannelId, status: u32, _: &mut Session) -> Result<(), Failed> {
        self.heard(Message::ExitStatus(status)).await
    }

    async fn exit_signal(
        &mut self,
        _: ChannelId,
        signal: Sig,
        core_dumped: bool,
        message: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Failed> {
        let name = crate::link::signal_name(&signal).into();
        self.heard(Message::ExitSignal { name, core_dumped, message: message.into() }).await
    }
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
