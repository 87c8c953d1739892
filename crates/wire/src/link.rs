//! One side of a flow, as the kernel sees it.

use std::io;
use std::task::{Context, Poll};

use thiserror::Error;

use crate::{Frame, Violation};

/// Why a link ended before its peer closed it.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the connection closed inside a frame")]
    Truncated,
}

/// How a peer is gone before all that it sent is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gone {
    /// It may be: so much that it sent is not read that nobody can tell.
    Hidden,
    /// It sends nothing more; it may still read.
    Silent,
    /// It neither sends nor reads any more.
    Left,
}

/// A duplex of frames. Every method is non-blocking, so one task can drive both sides at full duplex.
pub trait Link: Send {
    type Frame: Frame;

    /// The next frame; `None` once the peer has closed. Safe to abandon: nothing is lost between calls.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Frame>, LinkError>>;

    /// Whether the peer is known to be gone, whatever it sent before and nobody has read. A look that neither waits nor
    /// wakes: it is taken once in a while where the peer is not read, and before what people have approved goes on. A
    /// link that cannot know says no.
    fn gone(&self) -> Option<Gone> {
        None
    }

    /// Queues a frame; the caller bounds the queue by [`Link::backlog`].
    fn feed(&mut self, frame: Self::Frame);

    /// Drops what is queued, but for a frame whose first bytes are already written.
    fn discard(&mut self);

    /// Writes what is queued; ready once all of it is with the transport, which may hold bytes back by itself.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Bytes queued and not yet written.
    fn backlog(&self) -> usize;

    /// Sends the end of the stream, after everything queued.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;
}
