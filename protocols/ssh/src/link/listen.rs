//! Both ends of what a host listens on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sluice_wire::{Link, LinkError, Side};
use tokio::sync::{mpsc, oneshot};

use crate::dial::Dial;
use crate::frame::{Frame, Message};
use crate::listens::Ask;
use crate::origin::Bind;
use crate::pair::Pair;
use crate::welcome::{Line, leave};

/// The client's end: requests, each answered where it came in.
pub(crate) struct Asker {
    asks: mpsc::Receiver<Ask>,
    answer: Option<oneshot::Sender<Result<u32, Box<str>>>>,
    out: VecDeque<Frame>,
}

/// The host's end: a connection that is made when the first request is due.
pub(crate) struct Listener {
    pair: Arc<Pair>,
    dial: Option<Dial>,
    bind: Option<Bind>,
    line: Option<Arc<Line>>,
    out: VecDeque<Message>,
    doing: Option<Pin<Box<dyn Future<Output = Done> + Send>>>,
    leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What became of a request, and the connection as it is then.
struct Done {
    line: Option<Arc<Line>>,
    says: Message,
}

impl Asker {
    pub(crate) const fn new(asks: mpsc::Receiver<Ask>) -> Self {
        Self { asks, answer: None, out: VecDeque::new() }
    }
}

impl Listener {
    pub(crate) fn new(dial: Dial) -> Self {
        Self {
            pair: Arc::new(Pair::new(dial.shelf.clone())),
            dial: Some(dial),
            bind: None,
            line: None,
            out: VecDeque::new(),
            doing: None,
            leaving: None,
        }
    }

    /// What a message to the host comes to.
    fn begin(&mut self, message: Message) {
        self.doing = match (message, self.dial.take(), self.line.clone(), self.bind.clone()) {
            (Message::Listen(bind), Some(dial), _, _) => {
                self.bind = Some(bind.clone());
                let pair = Arc::clone(&self.pair);
                Some(Box::pin(async move {
                    match dial.listen(pair, bind).await {
                        Ok((line, picked)) => Done { line: Some(line), says: Message::Listening(picked) },
                        Err(unreachable) => {
                            tracing::warn!(error = %unreachable, "a host does not listen");
                            let words = format!("sluice: {}", unreachable.told());
                            Done { line: None, says: Message::NotListening(words.into()) }
                        }
                    }
                }))
            }
            (Message::Unlisten(bind), _, Some(line), Some(_)) => Some(Box::pin(async move {
                let ended = line.unlisten(&bind).await;
                let says = if ended {
                    Message::Listening(0)
                } else {
                    Message::NotListening("sluice: the host goes on listening".into())
                };
                Done { line: Some(line), says }
            })),
            _ => None,
        };
    }

    fn poll_doing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Some(doing) = &mut self.doing else { return Poll::Ready(None) };
        let Done { line, says } = ready!(doing.as_mut().poll(cx));
        self.doing = None;
        self.line = line;
        Poll::Ready(Some(says))
    }
}

impl Link for Asker {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        Poll::Ready(Ok(ready!(self.asks.poll_recv(cx)).map(|ask| {
            self.answer = Some(ask.answer);
            ask.message.into()
        })))
    }

    fn feed(&mut self, frame: Frame) {
        self.out.push_back(frame);
    }

    fn discard(&mut self) {
        self.out.clear();
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        for frame in self.out.drain(..) {
            let answer = match frame {
                Frame::Message(Message::Listening(picked), _) => Ok(picked),
                Frame::Message(Message::NotListening(words), _) => Err(words),
                Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet => continue,
            };
            if let Some(asked) = self.answer.take() {
                let _gone = asked.send(answer);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn backlog(&self) -> usize {
        self.out.iter().map(Frame::weight).sum()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }
}

impl Link for Listener {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        if let Some(message) = ready!(self.poll_doing(cx)) {
            return Poll::Ready(Ok(Some(message.into())));
        }
        if self.line.is_none() {
            return Poll::Pending;
        }
        // Nothing is said on this connection but in channels: this is its end.
        Poll::Ready(Ok(ready!(self.pair.poll_next(Side::Server, cx))?.map(|item| item.frame)))
    }

    fn feed(&mut self, frame: Frame) {
        if let Frame::Message(message, _) = frame {
            self.out.push_back(message);
        }
    }

    fn discard(&mut self) {
        self.out.clear();
    }

    /// What is asked for is begun here, once it is written down; what becomes of it is heard by `poll_next`.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.doing.is_none()
            && let Some(message) = self.out.pop_front()
        {
            self.begin(message);
        }
        Poll::Ready(Ok(()))
    }

    fn backlog(&self) -> usize {
        self.out.len()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.doing = None;
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
