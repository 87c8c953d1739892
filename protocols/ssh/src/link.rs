//! Both ends of a channel, as the kernel sees them.

mod arrival;
mod client;
mod listen;
mod server;

pub(crate) use arrival::{Caller, Landing};
pub(crate) use client::{ClientLink, Wire, signal_name};
pub(crate) use listen::{Asker, Listener};
pub(crate) use server::{Dialler, ServerLink};

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sluice_wire::LinkError;

use crate::frame::Frame;

/// Something being sent.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Result<(), russh::Error>> + Send>>;

/// Frames on their way out of the broker, one at a time.
#[derive(Default)]
pub(crate) struct Outlet {
    queue: VecDeque<Frame>,
    bytes: usize,
    sending: Option<Sending>,
}

impl Outlet {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes = self.bytes.saturating_add(frame.weight());
        self.queue.push_back(frame);
    }

    /// Drops what is not being sent yet.
    pub(crate) fn discard(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }

    /// Whether everything has been sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.sending.is_none()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends everything, each frame by what `send` makes of it.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(Frame) -> Option<Sending>,
    ) -> Poll<Result<(), LinkError>> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = ready!(sending.as_mut().poll(cx));
                self.sending = None;
                sent.map_err(|_| lost())?;
            }
            let Some(frame) = self.queue.pop_front() else { return Poll::Ready(Ok(())) };
            self.bytes = self.bytes.saturating_sub(frame.weight());
            self.sending = send(frame);
        }
    }
}

/// The connection is gone.
pub(crate) fn lost() -> LinkError {
    LinkError::Io(io::ErrorKind::BrokenPipe.into())
}
