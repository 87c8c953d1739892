//! A channel's end at the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{ChannelId, ChannelOpenFailure, ChannelWriteHalf, Sig};
use sluice_wire::{Gone, HungUp, Interrupt, Link, LinkError, Side};

use crate::frame::{Frame, Message};
use crate::link::{Outlet, Sending};
use crate::pair::Pair;
use crate::queue::Reply;

/// The character that Ctrl-C sends through a terminal.
const INTERRUPT: u8 = 0x03;

/// The client's end.
pub(crate) struct ClientLink {
    pair: Arc<Pair>,
    out: Outlet,
    wire: Wire,
    replies: VecDeque<Reply>,
    /// Answers that are not given yet.
    due: VecDeque<Due>,
    /// A channel that is opened only if policy has it so.
    opening: Option<ChannelOpenHandle>,
    /// Takes a question back that people are asked, where there is one.
    interrupt: Arc<dyn Interrupt>,
    /// Somebody types: elsewhere that character is a byte like any other.
    typed: bool,
    closed: bool,
    hung_up: HungUp,
}

/// What a request of the client is answered with.
enum Due {
    Accepted(Reply),
    Refused(Reply),
}

/// Where frames to the client go.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) handle: Handle,
    pub(crate) write: Arc<ChannelWriteHalf<Msg>>,
}

impl ClientLink {
    pub(crate) fn new(
        pair: Arc<Pair>,
        wire: Wire,
        opening: Option<ChannelOpenHandle>,
        interrupt: Arc<dyn Interrupt>,
        hung_up: HungUp,
    ) -> Self {
        pair.interrupt_by_keyboard(Arc::clone(&interrupt));
        Self {
            pair,
            out: Outlet::default(),
            wire,
            replies: VecDeque::new(),
            due: VecDeque::new(),
            opening,
            interrupt,
            typed: false,
            closed: false,
            hung_up,
        }
    }
}

impl Wire {
    /// What sending a frame comes to.
    pub(crate) fn send(&self, frame: Frame) -> Option<Sending> {
        let Self { handle, write } = self.clone();
        let id: ChannelId = write.id();
        Some(match frame {
            Frame::Data(payload) => Box::pin(async move { write.data_bytes(payload.bytes()).await }),
            Frame::Stderr(payload) => Box::pin(async move { write.extended_data_bytes(1, payload.bytes()).await }),
            Frame::Message(Message::Eof, _) => Box::pin(async move { write.eof().await }),
            Frame::Message(Message::Close, _) => Box::pin(async move { write.close().await }),
            Frame::Message(Message::ExitStatus(status), _) => Box::pin(async move { write.exit_status(status).await }),
            Frame::Message(Message::ExitSignal { name, core_dumped, message }, _) => Box::pin(async move {
                let sent = handle.exit_signal_request(id, signal(&name), core_dumped, message.into(), String::new());
                sent.await.map_err(|()| russh::Error::SendError)
            }),
            // Nothing else is ever sent to a client.
            Frame::Message(..) | Frame::Quiet => return None,
        })
    }
}

impl Link for ClientLink {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        // russh tells of no close that answers ours: once ours is sent, with all that stood before it, nothing follows.
        if self.closed && self.out.is_idle() {
            return Poll::Ready(Ok(None));
        }
        let Some(item) = ready!(self.pair.poll_next(Side::Client, cx))? else { return Poll::Ready(Ok(None)) };
        self.replies.extend(item.reply);
        match &item.frame {
            Frame::Data(payload) if self.typed && payload.bytes().contains(&INTERRUPT) => {
                self.interrupt.withdraw();
            }
            Frame::Message(Message::Pty { .. }, _) => self.typed = true,
            Frame::Message(Message::Subsystem(_), _) => self.typed = false,
            Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet => {}
        }
        Poll::Ready(Ok(Some(item.frame)))
    }

    fn gone(&self) -> Option<Gone> {
        // No client of SSH half-closes its connection.
        if self.pair.has_left() { Some(Gone::Left) } else { self.hung_up.gone(Gone::Left) }
    }

    fn feed(&mut self, frame: Frame) {
        match &frame {
            // Answers are given where the request came in, once they are written down; no data holds them up.
            Frame::Message(Message::Accepted, _) => self.due.extend(self.replies.pop_front().map(Due::Accepted)),
            Frame::Message(Message::Refused, _) => self.due.extend(self.replies.pop_front().map(Due::Refused)),
            Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet => self.out.push(frame),
        }
    }

    fn discard(&mut self) {
        self.due.clear();
        self.out.discard();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        for due in self.due.drain(..) {
            match due {
                Due::Accepted(reply) => reply.accept(),
                Due::Refused(reply) => drop(reply),
            }
        }
        let Self { out, wire, opening, closed, .. } = self;
        out.poll(cx, |frame| match frame {
            Frame::Message(Message::Opened, _) => {
                let opening = opening.take()?;
                Some(Box::pin(async move {
                    opening.accept().await;
                    Ok(())
                }))
            }
            Frame::Message(Message::OpenFailed { code, reason }, _) => {
                let opening = opening.take()?;
                *closed = true;
                Some(Box::pin(async move {
                    opening.reject(ChannelOpenFailure::Other { code, reason: reason.into() }).await;
                    Ok(())
                }))
            }
            frame @ (Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet) => {
                *closed |= matches!(frame, Frame::Message(Message::Close, _));
                wire.send(frame)
            }
        })
    }

    fn backlog(&self) -> usize {
        self.out.bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush(cx))?;
        // A channel that was never opened is refused by dropping its handle.
        if self.closed || self.opening.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.closed = true;
        self.out.push(Message::Close.into());
        self.poll_flush(cx)
    }
}

impl Drop for ClientLink {
    fn drop(&mut self) {
        self.pair.end(Side::Client);
        self.pair.end(Side::Server);
    }
}

/// A signal by its name (RFC 4254 §6.10).
pub(crate) fn signal(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}

/// The name of a signal.
pub(crate) fn signal_name(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}
