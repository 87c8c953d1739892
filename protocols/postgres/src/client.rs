//! The client's connection until its flow begins, and how it is told that none will.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use sluice_model::Refusal;
use sluice_wire::{FlowError, Frame as _, HungUp, LinkError, Peer, Stream, Violation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::binding::Endpoint;
use crate::frame::Frame;
use crate::message::Report;
use crate::refusal::{self, Ends};

/// How long a client may take to read the words that end its connection.
const FAREWELL: Duration = Duration::from_millis(500);
/// What is read and thrown away meanwhile, in bytes: a socket closed with unread bytes would take the words with it.
const FAREWELL_BYTES: usize = 64 * 1024;

/// Why sign-in stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client closed the connection, as `psql` does to ask for a password, or never spoke.
    Left,
    Io(io::Error),
    Broke(Violation),
    Refused(Refusal),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) { Self::Left } else { Self::Io(error) }
    }
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broke(violation)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A client that has not signed in.
pub(crate) struct Client {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) peer: Peer,
    /// Tells that it sends nothing more, before all that it sent is read.
    pub(crate) hung_up: HungUp,
    /// `None` while the connection is in the clear.
    pub(crate) secured: Option<Secured>,
}

/// What TLS says of a connection.
#[derive(Debug)]
pub(crate) struct Secured {
    /// What the broker's certificate binds SCRAM to.
    pub(crate) endpoint: Option<Endpoint>,
    /// The certificates that the client showed, its own first, DER. It holds the key of the first; nothing else is known.
    pub(crate) chain: Vec<Bytes>,
}

impl Client {
    /// A client whose connection is in the clear.
    pub(crate) const fn new(stream: Box<dyn Stream>, peer: Peer, hung_up: HungUp) -> Self {
        Self { stream, peer, hung_up, secured: None }
    }

    /// Sends frames and hands them to the transport.
    pub(crate) async fn send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.wire().iter().copied()).collect();
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// Says why, closes, and gives the flow's result.
    pub(crate) async fn part(mut self, stop: Stop) -> Result<(), FlowError> {
        let words = match &stop {
            Stop::Left | Stop::Io(_) => None,
            Stop::Broke(violation) => Some(broken(violation)),
            Stop::Refused(refusal) => Some(refusal::error(refusal, Ends::Session)),
        };
        if let Some(frame) = words {
            // The client may be gone already; the connection ends either way.
            let _ = timeout(FAREWELL, self.farewell(&frame)).await;
        }
        match stop {
            Stop::Left => Ok(()),
            Stop::Io(error) => Err(FlowError::Client(LinkError::Io(error))),
            Stop::Broke(violation) => Err(FlowError::Violation(violation)),
            Stop::Refused(refusal) => Err(FlowError::Refused(refusal)),
        }
    }

    async fn farewell(&mut self, frame: &Frame) -> io::Result<()> {
        self.send(std::slice::from_ref(frame)).await?;
        self.stream.shutdown().await?;
        let mut unread = 0;
        let mut chunk = [0; 1024];
        while unread < FAREWELL_BYTES {
            match self.stream.read(&mut chunk).await? {
                0 => break,
                bytes => unread += bytes,
            }
        }
        Ok(())
    }
}

/// Whoever breaks the protocol is told what PostgreSQL would say.
fn broken(violation: &Violation) -> Frame {
    Report { severity: "FATAL", sqlstate: "08P01", message: violation.what, detail: None, hint: None, position: None }
        .error()
}
