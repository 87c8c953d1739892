//! The connection itself, as a flow: it lasts as long as the session and carries nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sluice_wire::{Input, Link, LinkError, Machine, Outbox, Violation, Wants};
use tokio::sync::oneshot;

use crate::frame::Frame;

/// Ends with the connection, or with the session.
#[derive(Debug)]
pub(crate) struct Hub;

impl Machine for Hub {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        if let Input::Ended(_) = input {
            out.close();
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        Wants { client: true, server: false }
    }
}

/// The client's end of it: ends when the other half is dropped.
#[derive(Debug)]
pub(crate) struct Presence(Option<oneshot::Receiver<()>>);

impl Presence {
    pub(crate) const fn new(gone: oneshot::Receiver<()>) -> Self {
        Self(Some(gone))
    }
}

/// The server's end of it, which there is not.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Link for Presence {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        if let Some(gone) = &mut self.0 {
            let _gone = ready!(Pin::new(gone).poll(cx));
            self.0 = None;
        }
        Poll::Ready(Ok(None))
    }

    fn feed(&mut self, _: Frame) {}

    fn discard(&mut self) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn backlog(&self) -> usize {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

impl Link for Nowhere {
    type Frame = Frame;

    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        Poll::Pending
    }

    fn feed(&mut self, _: Frame) {}

    fn discard(&mut self) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn backlog(&self) -> usize {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn an_end_is_an_end_however_often_it_is_asked_for() {
        let (presence, gone) = oneshot::channel();
        let mut link = Presence::new(gone);
        drop(presence);
        for _ in 0..2 {
            assert!(poll_fn(|cx| link.poll_next(cx)).await.unwrap().is_none());
        }
    }
}
