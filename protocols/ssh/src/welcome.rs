//! What a server may open on a connection, because the client asked for it there and policy allowed it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use russh::client::{ChannelOpenHandle, Handle, Msg};
use russh::{ChannelWriteHalf, Disconnect};
use sluice_wire::Side;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::cut::Cutter;
use crate::ear::Ear;
use crate::frame::Message;
use crate::origin::{Bind, Origin};
use crate::pair::Pair;

/// Channels of servers at a time, of one client.
pub(crate) const ARRIVALS: usize = 32;
/// How long a server may take to answer the end of a connection.
const FAREWELL: Duration = Duration::from_millis(500);

/// A channel that a server asks to have opened.
pub(crate) struct Arrival {
    pub(crate) pair: Arc<Pair>,
    pub(crate) write: Arc<ChannelWriteHalf<Msg>>,
    pub(crate) reply: ChannelOpenHandle,
    /// The connection, where it lives for such channels only.
    pub(crate) line: Option<Arc<Line>>,
    pub(crate) room: OwnedSemaphorePermit,
}

/// A connection on which a server listens. It ends with the last who holds it.
pub(crate) struct Line {
    pub(crate) handle: Handle<Ear>,
    pub(crate) pair: Arc<Pair>,
    pub(crate) cutter: Cutter,
}

/// Where the channels of all servers of one client go.
#[derive(Clone)]
pub(crate) struct Lobby {
    arrivals: mpsc::Sender<Box<Arrival>>,
    room: Arc<Semaphore>,
}

/// One connection to a server.
pub(crate) struct Welcome {
    lobby: Lobby,
    expected: Mutex<Expected>,
}

#[derive(Default)]
struct Expected {
    bind: Option<Bind>,
    agent: bool,
    display: Display,
    line: Weak<Line>,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Display {
    #[default]
    No,
    Once,
    Often,
}

impl Lobby {
    /// A lobby, and where the channels arrive.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Box<Arrival>>) {
        let (arrivals, inbox) = mpsc::channel(ARRIVALS);
        (Self { arrivals, room: Arc::new(Semaphore::new(ARRIVALS)) }, inbox)
    }
}

impl Welcome {
    /// A connection on which nothing has been asked for.
    pub(crate) fn new(lobby: Lobby) -> Self {
        Self { lobby, expected: Mutex::default() }
    }

    /// What a message to the server asks it for.
    pub(crate) fn expect(&self, message: &Message) {
        let mut expected = self.lock();
        expected.agent |= matches!(message, Message::Agent);
        if let Message::X11(x11) = message {
            expected.display = if x11.once { Display::Once } else { Display::Often };
        }
    }

    /// What the server listens on, on this connection and for nothing else.
    pub(crate) fn listen(&self, bind: &Bind, line: &Arc<Line>) {
        let mut expected = self.lock();
        expected.bind = Some(bind.clone());
        expected.line = Arc::downgrade(line);
    }

    /// Whether a channel was asked for and there is room for it; then it is told.
    pub(crate) fn admit(
        &self,
        origin: &Origin,
        pair: &Arc<Pair>,
        write: ChannelWriteHalf<Msg>,
        reply: ChannelOpenHandle,
    ) -> bool {
        if !self.lock().takes(origin) {
            tracing::debug!("a host has opened a channel that nobody asked for");
            return false;
        }
        let Ok(room) = Arc::clone(&self.lobby.room).try_acquire_owned() else { return false };
        let line = self.lock().line.upgrade();
        let arrival = Arrival { pair: Arc::clone(pair), write: Arc::new(write), reply, line, room };
        self.lobby.arrivals.try_send(Box::new(arrival)).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    fn takes(&mut self, origin: &Origin) -> bool {
        match origin {
            Origin::Tcp { .. } | Origin::Socket { .. } => {
                self.bind.as_ref().is_some_and(|bind| bind.is_origin_of(origin))
            }
            Origin::Agent => self.agent,
            Origin::X11 { .. } => {
                let display = self.display;
                if display == Display::Once {
                    self.display = Display::No;
                }
                display != Display::No
            }
        }
    }
}

/// Lets go of a connection. Whoever is the last sends what is left, and ends it.
pub(crate) async fn leave(line: Arc<Line>) {
    let Some(Line { handle, pair, cutter }) = Arc::into_inner(line) else { return };
    let told = async {
        let _gone = handle.disconnect(Disconnect::ByApplication, "", "").await;
        while let Ok(Some(_)) = std::future::poll_fn(|cx| pair.poll_next(Side::Server, cx)).await {}
    };
    let _in_time = timeout(FAREWELL, told).await;
    drop(cutter);
}
