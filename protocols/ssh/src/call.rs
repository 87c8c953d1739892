//! What a client's connection asks of whoever serves it.

use std::sync::Arc;

use russh::server::ChannelOpenHandle;
use sluice_model::{Principal, TargetName};
use sluice_wire::{Claim, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::link::Wire;
use crate::listens::Ask;
use crate::pair::Pair;

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
    /// Something for a host to listen on.
    Listen(mpsc::Receiver<Ask>),
    Jump(Jump),
}

/// A connection to a host behind the broker, which a client asks for: what is spoken in it is SSH again.
pub(crate) struct Jump {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) host: TargetName,
    pub(crate) reply: ChannelOpenHandle,
    /// Its place among the channels of the connection.
    pub(crate) place: Arc<()>,
}

/// Whether hosts may be reached through the connection (`ssh -J`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Jumps {
    Let,
    Refused,
}

/// Where calls go. They are boxed, as tokio's channels make room for 32 of what they carry, and most connections make few.
#[derive(Clone)]
pub(crate) struct Calls(mpsc::Sender<Box<Call>>);

/// Whoever served the connection is gone.
pub(crate) struct Gone;

impl Calls {
    /// Room for so many calls that wait, and where they are heard.
    pub(crate) fn new(room: usize) -> (Self, mpsc::Receiver<Box<Call>>) {
        let (calls, inbox) = mpsc::channel(room);
        (Self(calls), inbox)
    }

    pub(crate) async fn make(&self, call: Call) -> Result<(), Gone> {
        self.0.send(Box::new(call)).await.map_err(|_| Gone)
    }
}

/// A channel that a client has opened, or asks to have opened.
pub(crate) struct Opened {
    pub(crate) pair: Arc<Pair>,
    pub(crate) wire: Wire,
    pub(crate) opening: Option<ChannelOpenHandle>,
}
