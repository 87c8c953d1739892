//! Both ends of a channel that a host opens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use russh::ChannelOpenFailure;
use russh::client::{ChannelOpenHandle, Msg};
use sluice_wire::{Gone, Link, LinkError, Side};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::frame::{Frame, Message};
use crate::link::client::Wire;
use crate::link::server::send;
use crate::link::{Outlet, lost};
use crate::pair::Pair;
use crate::porter::{Errand, Unopened};
use crate::welcome::{Arrival, Line, leave};

/// The client's end, which is opened once policy has it so.
pub(crate) struct Landing {
    pair: Arc<Pair>,
    errands: mpsc::Sender<Box<Errand>>,
    out: Outlet,
    state: State,
    closed: bool,
}

enum State {
    Away,
    Opening(oneshot::Receiver<Result<Wire, Unopened>>),
    Open(Wire),
    Over,
}

/// The host's end, which waits to be confirmed.
pub(crate) struct Caller {
    pair: Arc<Pair>,
    write: Arc<russh::ChannelWriteHalf<Msg>>,
    out: Outlet,
    reply: Option<ChannelOpenHandle>,
    line: Option<Arc<Line>>,
    leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    closed: bool,
    _room: OwnedSemaphorePermit,
}

impl Landing {
    pub(crate) fn new(pair: Arc<Pair>, errands: mpsc::Sender<Box<Errand>>) -> Self {
        Self { pair, errands, out: Outlet::default(), state: State::Away, closed: false }
    }
}

impl Caller {
    pub(crate) fn new(arrival: Arrival) -> Self {
        let Arrival { pair, write, reply, line, room } = arrival;
        let (out, reply) = (Outlet::default(), Some(reply));
        Self { pair, write, out, reply, line, leaving: None, closed: false, _room: room }
    }
}

impl Link for Landing {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        match &mut self.state {
            State::Away => return Poll::Pending,
            State::Opening(answered) => {
                let opened = ready!(Pin::new(answered).poll(cx)).map_err(|_| lost())?;
                let message = match opened {
                    Ok(wire) => {
                        self.state = State::Open(wire);
                        Message::Opened
                    }
                    Err(Unopened { code, reason }) => {
                        self.state = State::Over;
                        Message::OpenFailed { code, reason }
                    }
                };
                return Poll::Ready(Ok(Some(message.into())));
            }
            State::Over => return Poll::Ready(Ok(None)),
            // russh tells of no close that answers ours: once ours is sent, nothing follows.
            State::Open(_) if self.closed && self.out.is_idle() => return Poll::Ready(Ok(None)),
            State::Open(_) => {}
        }
        Poll::Ready(Ok(ready!(self.pair.poll_next(Side::Client, cx))?.map(|item| item.frame)))
    }

    fn gone(&self) -> Option<Gone> {
        self.pair.has_left().then_some(Gone::Left)
    }

    fn feed(&mut self, frame: Frame) {
        self.out.push(frame);
    }

    fn discard(&mut self) {
        self.out.discard();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let Self { pair, errands, out, state, closed } = self;
        let mut full = false;
        let sent = out.poll(cx, |frame| match frame {
            Frame::Message(Message::Arrive(origin), _) => {
                let (answer, answered) = oneshot::channel();
                let errand = Box::new(Errand { origin, pair: Arc::clone(pair), answer });
                full |= errands.try_send(errand).is_err();
                *state = State::Opening(answered);
                None
            }
            frame @ (Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet) => {
                *closed |= matches!(frame, Frame::Message(Message::Close, _));
                if let State::Open(wire) = state { wire.send(frame) } else { None }
            }
        });
        if full { Poll::Ready(Err(lost())) } else { sent }
    }

    fn backlog(&self) -> usize {
        self.out.bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if matches!(self.state, State::Open(_)) && !self.closed && !self.pair.has_ended(Side::Client) {
            self.closed = true;
            self.out.push(Message::Close.into());
        }
        self.poll_flush(cx)
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.pair.end(Side::Client);
        self.pair.end(Side::Server);
    }
}

impl Link for Caller {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        if self.closed && self.out.is_idle() {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Ok(ready!(self.pair.poll_next(Side::Server, cx))?.map(|item| item.frame)))
    }

    fn feed(&mut self, frame: Frame) {
        self.out.push(frame);
    }

    fn discard(&mut self) {
        self.out.discard();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // What is sent to somebody who has closed the channel goes nowhere.
        if self.pair.has_ended(Side::Server) {
            self.out = Outlet::default();
            return Poll::Ready(Ok(()));
        }
        let Self { write, out, reply, closed, .. } = self;
        out.poll(cx, |frame| match frame {
            Frame::Message(Message::Opened, _) => {
                let reply = reply.take()?;
                Some(Box::pin(async move {
                    reply.accept().await;
                    Ok(())
                }))
            }
            Frame::Message(Message::OpenFailed { code, reason }, _) => {
                let reply = reply.take()?;
                *closed = true;
                Some(Box::pin(async move {
                    reply.reject(ChannelOpenFailure::Other { code, reason: reason.into() }).await;
                    Ok(())
                }))
            }
            frame @ (Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet) => {
                *closed |= matches!(frame, Frame::Message(Message::Close, _));
                send(Arc::clone(write), frame)
            }
        })
    }

    fn backlog(&self) -> usize {
        self.out.bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // A channel that was never confirmed is refused by dropping its handle.
        if !self.closed && self.reply.is_none() && !self.pair.has_ended(Side::Server) {
            self.closed = true;
            self.out.push(Message::Close.into());
        }
        ready!(self.poll_flush(cx))?;
        if let Some(line) = self.line.take() {
            self.leaving = Some(Box::pin(leave(line)));
        }
        if let Some(leaving) = &mut self.leaving {
            ready!(leaving.as_mut().poll(cx));
            self.leaving = None;
        }
        Poll::Ready(Ok(()))
    }
}
