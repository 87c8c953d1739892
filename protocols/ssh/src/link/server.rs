//! A channel's end at the server: a connection of its own, made when the first frame is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelWriteHalf, Disconnect, Pty};
use sluice_wire::{Link, LinkError, Side};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::dial::{Connection, Unreachable};
use crate::frame::{Frame, Message, Place};
use crate::link::client::signal;
use crate::link::{Outlet, Sending};
use crate::origin::X11;
use crate::pair::Pair;
use crate::welcome::Welcome;

/// How long a server that talks to a terminal says nothing until what is held back is shown (design: 50 ms).
const QUIET: Duration = Duration::from_millis(50);

/// How long taking leave of a server may take, each for what is still to be sent and for its answer.
const FAREWELL: Duration = Duration::from_millis(500);

/// Connects to a server and opens a channel there.
pub(crate) type Dialler = Box<dyn FnOnce(Arc<Pair>, Option<Place>, Arc<Welcome>) -> Dialling + Send>;

/// A connection on its way.
pub(crate) type Dialling = Pin<Box<dyn Future<Output = Result<Connection, Unreachable>> + Send>>;

/// The server's end.
pub(crate) struct ServerLink {
    pair: Arc<Pair>,
    welcome: Arc<Welcome>,
    out: Outlet,
    state: State,
    /// Beats once after the server's last words, where somebody watches a terminal.
    quiet: Option<Pin<Box<Sleep>>>,
    terminal: bool,
    closing: bool,
    leaving: Leaving,
}

/// How far the connection has been taken leave of.
enum Leaving {
    NotYet,
    /// Until then, what is still to be sent may be taken.
    Sending(Pin<Box<Sleep>>),
    /// The server has been told, and is heard out.
    Told(Pin<Box<Sleep>>),
}

enum State {
    /// Nothing has been allowed yet.
    Idle(Option<Dialler>),
    Dialling(Dialling),
    Live(Connection),
    /// There is no connection, which is said next: the pair has ended with what was being connected.
    Failed(Frame),
    Over,
}

impl ServerLink {
    pub(crate) fn new(pair: Arc<Pair>, dialler: Dialler, welcome: Welcome) -> Self {
        let state = State::Idle(Some(dialler));
        Self {
            pair,
            welcome: Arc::new(welcome),
            out: Outlet::default(),
            state,
            quiet: None,
            terminal: false,
            closing: false,
            leaving: Leaving::NotYet,
        }
    }

    /// Goes on connecting; ready once there is a connection, or none is to come.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Dialling(dialling) = &mut self.state else { return Poll::Ready(()) };
        match ready!(dialling.as_mut().poll(cx)) {
            Ok(connection) => self.state = State::Live(connection),
            Err(unreachable) => {
                tracing::warn!(error = %unreachable, "a host could not be reached");
                let failed = Message::OpenFailed { code: Message::CONNECT_FAILED, reason: unreachable.told().into() };
                self.pair.end(Side::Server);
                self.out.discard();
                self.state = State::Failed(failed.into());
                // Whoever sends may have found it out, and another waits for it.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(())
    }

    /// Sends what is left and ends the connection; gives a server up that takes nothing.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if matches!(self.leaving, Leaving::NotYet) {
            self.leaving = Leaving::Sending(Box::pin(sleep_until(Instant::now() + FAREWELL)));
        }
        if let Leaving::Sending(limit) | Leaving::Told(limit) = &mut self.leaving
            && limit.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_flush(cx))?;
        if let (Leaving::Sending(_), State::Live(connection)) = (&self.leaving, &self.state) {
            let handle = Arc::clone(&connection.handle);
            self.out.sending =
                Some(Box::pin(async move { handle.disconnect(Disconnect::ByApplication, "", "").await }));
            self.leaving = Leaving::Told(Box::pin(sleep_until(Instant::now() + FAREWELL)));
            return self.poll_leave(cx);
        }
        while ready!(self.pair.poll_next(Side::Server, cx))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        let Some(quiet) = &mut self.quiet else { return Poll::Pending };
        ready!(quiet.as_mut().poll(cx));
        self.quiet = None;
        Poll::Ready(Frame::Quiet)
    }
}

impl Link for ServerLink {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        match &self.state {
            State::Idle(_) => return Poll::Pending,
            State::Dialling(_) => ready!(self.poll_connect(cx)),
            State::Live(_) | State::Failed(_) | State::Over => {}
        }
        if matches!(self.state, State::Failed(_))
            && let State::Failed(frame) = std::mem::replace(&mut self.state, State::Over)
        {
            return Poll::Ready(Ok(Some(frame)));
        }
        match self.pair.poll_next(Side::Server, cx)? {
            Poll::Ready(item) => {
                let frame = item.map(|item| item.frame);
                if self.terminal && matches!(frame, Some(Frame::Data(_))) {
                    self.quiet = Some(Box::pin(sleep_until(Instant::now() + QUIET)));
                }
                Poll::Ready(Ok(frame))
            }
            Poll::Pending => self.poll_quiet(cx).map(|frame| Ok(Some(frame))),
        }
    }

    fn feed(&mut self, frame: Frame) {
        if matches!(self.state, State::Failed(_) | State::Over) {
            return;
        }
        self.closing |= matches!(frame, Frame::Message(Message::Close, _));
        self.terminal |= matches!(frame, Frame::Message(Message::Pty { .. }, _));
        if let Frame::Message(message, _) = &frame {
            self.welcome.expect(message);
        }
        // What begins a channel: a place that it leads to, or a command of the server's.
        if let Frame::Message(message, _) = &frame
            && (message.starts() || matches!(message, Message::Open(_)))
            && let State::Idle(dialler) = &mut self.state
            && let Some(dialler) = dialler.take()
        {
            let place = if let Message::Open(place) = message { Some(place.clone()) } else { None };
            self.state = State::Dialling(dialler(Arc::clone(&self.pair), place, Arc::clone(&self.welcome)));
        }
        self.out.push(frame);
    }

    fn discard(&mut self) {
        self.out.discard();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_connect(cx));
        match &self.state {
            // What is sent to a program that has ended goes nowhere, and is no reason to end before its last words.
            State::Live(_) if self.pair.has_ended(Side::Server) => {
                self.out = Outlet::default();
                Poll::Ready(Ok(()))
            }
            State::Live(connection) => {
                let write = &connection.write;
                self.out.poll(cx, |frame| send(Arc::clone(write), frame))
            }
            // Terminals and variables wait for the command that they are for.
            State::Idle(_) | State::Dialling(_) | State::Failed(_) | State::Over => Poll::Ready(Ok(())),
        }
    }

    fn backlog(&self) -> usize {
        self.out.bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &self.state {
            State::Live(_) => {}
            State::Idle(_) | State::Dialling(_) | State::Failed(_) | State::Over => {
                self.state = State::Over;
                return Poll::Ready(Ok(()));
            }
        }
        // Where the server has closed the channel, what is being sent may wait for room for ever.
        if !self.pair.has_ended(Side::Server) {
            if !self.closing {
                self.closing = true;
                self.out.push(Message::Close.into());
            }
            // russh tells of no close that answers ours: what was sent is taken when the connection has ended.
            ready!(self.poll_leave(cx))?;
        }
        self.state = State::Over;
        Poll::Ready(Ok(()))
    }
}

/// What sending a frame to a server comes to.
pub(super) fn send(write: Arc<ChannelWriteHalf<Msg>>, frame: Frame) -> Option<Sending> {
    let message = match frame {
        Frame::Data(payload) => return Some(Box::pin(async move { write.data_bytes(payload.bytes()).await })),
        Frame::Stderr(_) | Frame::Quiet => return None,
        Frame::Message(message, _) => message,
    };
    Some(match message {
        Message::Pty { term, size, modes } => {
            let modes: Vec<(Pty, u32)> =
                modes.into_iter().filter_map(|(mode, value)| Some((Pty::from_u8(mode)?, value))).collect();
            Box::pin(async move {
                write.request_pty(false, &term, size.columns, size.rows, size.width, size.height, &modes).await
            })
        }
        Message::Env { name, value } => Box::pin(async move { write.set_env(false, name, value).await }),
        Message::Agent => Box::pin(async move { write.agent_forward(false).await }),
        Message::X11(X11 { once, protocol, cookie, screen }) => {
            Box::pin(async move { write.request_x11(false, once, protocol, cookie, screen).await })
        }
        Message::Shell => Box::pin(async move { write.request_shell(true).await }),
        Message::Exec(command) => Box::pin(async move { write.exec(true, command).await }),
        Message::Subsystem(name) => Box::pin(async move { write.request_subsystem(true, name).await }),
        Message::Resized(size) => {
            Box::pin(async move { write.window_change(size.columns, size.rows, size.width, size.height).await })
        }
        Message::Signal(name) => Box::pin(async move { write.signal(signal(&name)).await }),
        Message::Eof => Box::pin(async move { write.eof().await }),
        Message::Close => Box::pin(async move { write.close().await }),
        // The channel is open where a place is reached, and the rest is never sent to a server.
        Message::Open(_)
        | Message::Opened
        | Message::OpenFailed { .. }
        | Message::Listen(_)
        | Message::Unlisten(_)
        | Message::Listening(_)
        | Message::NotListening(_)
        | Message::Aside(_)
        | Message::Arrive(_)
        | Message::Accepted
        | Message::Refused
        | Message::ExitStatus(_)
        | Message::ExitSignal { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::future::poll_fn;

    use bytes::Bytes;

    use super::*;
    use crate::welcome::Lobby;

    #[tokio::test]
    async fn why_there_is_no_connection_outlives_the_connection() {
        let pair = Arc::new(Pair::default());
        let mut link = ServerLink::new(
            Arc::clone(&pair),
            Box::new(|pair, _, _| {
                Box::pin(async move {
                    // A connection that was made and is gone, as after a wrong host key.
                    pair.end(Side::Server);
                    Err(Unreachable::HostKey)
                })
            }),
            Welcome::new(Lobby::new().0),
        );
        link.feed(Message::Exec(Bytes::from_static(b"ls")).into());
        let first = poll_fn(|cx| link.poll_next(cx)).await.unwrap();
        let Some(Frame::Message(Message::OpenFailed { code, reason }, _)) = first else { unreachable!("{first:?}") };
        assert_eq!(code, Message::CONNECT_FAILED);
        assert!(reason.contains("not who it should be"), "{reason}");
        assert!(poll_fn(|cx| link.poll_next(cx)).await.unwrap().is_none());
        poll_fn(|cx| link.poll_flush(cx)).await.unwrap();
        poll_fn(|cx| link.poll_close(cx)).await.unwrap();
        assert_eq!(link.backlog(), 0);
    }
}
