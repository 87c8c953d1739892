//! Opens channels at a client, one at a time.
//!
//! The first bytes of a channel may follow its confirmation at once, and only the callback that hears of that knows its
//! number before them. So whoever opens says first which pair the next confirmation is for; and nobody who opens is ever
//! dropped half-way, or that would be another's.

use std::sync::{Arc, Mutex, PoisonError};

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{mpsc, oneshot};

use crate::frame::Message;
use crate::link::Wire;
use crate::origin::Origin;
use crate::pair::Pair;
use crate::welcome::ARRIVALS;

/// A channel to be opened.
pub(crate) struct Errand {
    pub(crate) origin: Origin,
    pub(crate) pair: Arc<Pair>,
    pub(crate) answer: oneshot::Sender<Result<Wire, Unopened>>,
}

/// Why a client has not taken a channel: a code of RFC 4254 §5.1, and words.
pub(crate) struct Unopened {
    pub(crate) code: u32,
    pub(crate) reason: Box<str>,
}

/// The pair that the next confirmation is for.
#[derive(Clone, Default)]
pub(crate) struct Berth(Arc<Mutex<Option<Arc<Pair>>>>);

impl Berth {
    pub(crate) fn take(&self) -> Option<Arc<Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, pair: Arc<Pair>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }
}

/// Where errands are brought to, and where they are done.
pub(crate) fn errands() -> (mpsc::Sender<Errand>, mpsc::Receiver<Errand>) {
    mpsc::channel(ARRIVALS)
}

/// Does every errand of one client.
pub(crate) async fn serve(handle: Handle, berth: Berth, mut errands: mpsc::Receiver<Errand>) {
    while let Some(Errand { origin, pair, answer }) = errands.recv().await {
        berth.put(pair);
        let opened = open(&handle, origin).await;
        let _unconfirmed = berth.take();
        let opened = opened.map(|channel| {
            // The reading half is a bounded queue that nobody would read: bytes come by the callbacks.
            let (_, write) = channel.split();
            Wire { handle: handle.clone(), write: Arc::new(write) }
        });
        if let Err(Ok(wire)) = answer.send(opened) {
            // Whoever wanted it has gone meanwhile.
            let _gone = wire.write.close().await;
        }
    }
}

async fn open(handle: &Handle, origin: Origin) -> Result<Channel<Msg>, Unopened> {
    let opened = match origin {
        Origin::Tcp { host, port, from, from_port } => {
            handle.channel_open_forwarded_tcpip(host, port, from, from_port).await
        }
        Origin::Socket { path } => handle.channel_open_forwarded_streamlocal(path).await,
        Origin::Agent => handle.channel_open_agent().await,
        Origin::X11 { from, from_port } => handle.channel_open_x11(from, from_port).await,
    };
    opened.map_err(|error| {
        if let russh::Error::ChannelOpenFailure(reason) = error {
            return Unopened { code: reason.code(), reason: told(&reason).into() };
        }
        Unopened { code: Message::CONNECT_FAILED, reason: "the client is gone".into() }
    })
}

const fn told(reason: &ChannelOpenFailure) -> &'static str {
    match reason {
        ChannelOpenFailure::ConnectFailed => "the client cannot connect to it",
        ChannelOpenFailure::AdministrativelyProhibited
        | ChannelOpenFailure::UnknownChannelType
        | ChannelOpenFailure::ResourceShortage
        | ChannelOpenFailure::Other { .. } => "the client does not take it",
    }
}
