//! The client's side of one exchange.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use http::header::{HeaderName, HeaderValue};
use http_body::Body as _;
use hyper::body::Incoming;
use sluice_wire::{Frame as _, Gone, HungUp, Link, LinkError, Violation};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::door::Door;
use crate::frame::{Frame, Length, Request};
use crate::gathered::Share;
use crate::link::waiting::Waiting;
use crate::pipe::{Inlet, Outlet, pipe};

/// What hyper is answered with.
pub(crate) type Answer = http::Response<Outlet>;

/// The client, as the relay loop sees it.
pub(crate) struct ClientLink {
    head: Option<Box<Request>>,
    body: Option<Incoming>,
    /// How long the body is going to be, and how much of it came.
    announced: Length,
    came: u64,
    /// How long the body may be waited for in all, and the wait once it has begun.
    patience: Duration,
    late: Option<Pin<Box<Sleep>>>,
    answer: Option<oneshot::Sender<Answer>>,
    /// Not given to hyper yet, which sends whenever it is polled.
    fed: VecDeque<Frame>,
    inlet: Option<Inlet>,
    /// What the client has not taken, where it takes room.
    waiting: Option<Waiting>,
    /// Where interim responses can be slipped in; HTTP/2 has no such place.
    door: Option<Arc<Door>>,
    version: Version,
    /// A header of the broker's own on every answer.
    label: Option<(HeaderName, HeaderValue)>,
    hung_up: HungUp,
}

impl ClientLink {
    /// The link for a request; its answer goes to `answer`.
    pub(crate) fn new(
        head: Request,
        body: Incoming,
        answer: oneshot::Sender<Answer>,
        door: Option<Arc<Door>>,
        version: Version,
    ) -> Self {
        Self {
            announced: head.body,
            head: Some(Box::new(head)),
            body: Some(body),
            came: 0,
            patience: Duration::MAX,
            late: None,
            answer: Some(answer),
            fed: VecDeque::new(),
            inlet: None,
            waiting: None,
            door,
            version,
            label: None,
            hung_up: HungUp::default(),
        }
    }

    /// Looks there whether the client's connection is over.
    #[must_use]
    pub(crate) fn watched(mut self, hung_up: HungUp) -> Self {
        self.hung_up = hung_up;
        self
    }

    /// Takes room for what the client has not taken of its answer.
    pub(crate) fn within(&mut self, share: Share) {
        self.waiting = Some(Waiting::new(share));
    }

    /// Puts a header on the answer.
    pub(crate) fn label(&mut self, name: HeaderName, value: &str) {
        self.label = HeaderValue::try_from(value).ok().map(|value| (name, value));
    }

    /// Waits this long for the body.
    pub(crate) const fn wait_for_body(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Answers without a flow.
    pub(crate) fn answer_with(mut self, answer: Answer) {
        if let Some(sender) = self.answer.take() {
            let _gone = sender.send(answer);
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        self.came = self.came.saturating_add(bytes.len() as u64);
                        return Poll::Ready(Ok(Some(Frame::Data(bytes))));
                    }
                    Err(_) => return Poll::Ready(Err(Violation::client("trailers are not accepted").into())),
                },
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => {
                    let is_whole = self.is_whole();
                    self.body = None;
                    return Poll::Ready(if is_whole { Ok(Some(Frame::End)) } else { Err(torn()) });
                }
            }
        }
    }

    /// Whether a body of which hyper has no more has ended.
    ///
    /// A stream of HTTP/2 that its client resets with `NO_ERROR` has no more either, which only a server may do to one that
    /// goes on (RFC 9113 §8.1), and neither has any body once hyper gives its connection up.
    fn is_whole(&self) -> bool {
        let ended = self.version != Version::HTTP_2 || self.body.as_ref().is_some_and(Incoming::is_end_stream);
        let complete = match self.announced {
            Length::None => self.came == 0,
            Length::Known(bytes) => self.came == bytes,
            Length::Unknown => true,
        };
        ended && complete && !self.has_left()
    }

    /// Whether hyper wants no answer any more.
    fn has_left(&self) -> bool {
        match (&self.inlet, &self.answer) {
            (Some(inlet), _) => inlet.is_gone(),
            (None, Some(answer)) => answer.is_closed(),
            (None, None) => true,
        }
    }

    /// Ready once the body was waited for too long. The wait begins when there is first nothing to take, and so not while
    /// people are asked before anything is taken.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        self.late.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }

    /// Ready once the client has taken its answer whole, or has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (&self.inlet, &mut self.answer) {
            (Some(inlet), _) => inlet.poll_gone(cx),
            (None, Some(answer)) => answer.poll_closed(cx),
            (None, None) => Poll::Ready(()),
        }
    }

    /// Gives hyper what is queued.
    fn hand_over(&mut self) {
        while let Some(frame) = self.fed.pop_front() {
            match (frame, &self.inlet) {
                (Frame::Response(head), _) => self.respond(*head),
                (Frame::Interim(_), _) => {
                    if let (Some(door), Some(_)) = (&self.door, &self.answer) {
                        door.say_processing();
                    }
                }
                (Frame::Data(bytes), Some(inlet)) => inlet.push(bytes),
                (Frame::End, Some(inlet)) => inlet.end(),
                (Frame::Broken, Some(inlet)) => inlet.break_off(),
                // Nothing follows an answer that was never begun.
                (Frame::Data(_) | Frame::End | Frame::Broken | Frame::Request(_), _) => {}
            }
        }
    }

    fn respond(&mut self, head: crate::frame::Response) {
        let Some(answer) = self.answer.take() else { return };
        let (inlet, outlet) = pipe(Length::Unknown);
        let mut response = http::Response::new(outlet);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if let Some((name, value)) = self.label.take() {
            response.headers_mut().insert(name, value);
        }
        if self.version == Version::HTTP_10 {
            *response.version_mut() = Version::HTTP_10;
        }
        self.inlet = Some(inlet);
        // A client that has gone is noticed by `poll_next`.
        let _gone = answer.send(response);
    }
}

/// A body that its client breaks off: it is told nothing, and the server gets no end.
fn torn() -> LinkError {
    LinkError::Io(io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// A body that cannot be read: the client's fault where it is malformed, else its absence.
fn broken(error: &hyper::Error) -> LinkError {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return torn();
    }
    Violation::client("the request body is malformed").into()
}

impl Link for ClientLink {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Ok(Some(Frame::Request(head))));
        }
        if self.body.is_some() {
            if let Poll::Ready(frame) = self.poll_body(cx) {
                return Poll::Ready(frame);
            }
            if self.poll_late(cx).is_ready() {
                self.body = None;
                return Poll::Ready(Ok(Some(Frame::Broken)));
            }
        }
        self.poll_gone(cx).map(|()| Ok(None))
    }

    fn gone(&self) -> Option<Gone> {
        if self.answer.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return Some(Gone::Left);
        }
        // hyper does not look behind requests that follow on this one.
        self.hung_up.gone(Gone::Silent)
    }

    fn feed(&mut self, frame: Frame) {
        let begun = self.inlet.is_some() || self.fed.iter().any(|frame| matches!(frame, Frame::Response(_)));
        if begun && matches!(frame, Frame::End) {
            // What is left of a request that has its answer is not read: hyper closes the connection.
            self.body = None;
        }
        self.fed.push_back(match (frame, &mut self.waiting) {
            (Frame::Data(bytes), Some(waiting)) => Frame::Data(waiting.keep(&bytes)),
            (frame, _) => frame,
        });
    }

    fn discard(&mut self) {
        self.fed.clear();
        if let Some(inlet) = &self.inlet {
            inlet.discard();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.hand_over();
        if let Some(waiting) = &self.waiting {
            waiting.watch(cx);
        }
        match &self.inlet {
            Some(inlet) => inlet.poll_taken(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }

    fn backlog(&self) -> usize {
        if self.waiting.as_ref().is_some_and(Waiting::is_full) {
            return usize::MAX;
        }
        let fed: usize = self.fed.iter().map(|frame| frame.wire().len()).sum();
        fed.saturating_add(self.inlet.as_ref().map_or(0, Inlet::backlog))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.hand_over();
        if let Some(inlet) = &self.inlet {
            inlet.break_off();
        }
        // Hyper lets go of the body once it has taken all of it, or the client has gone.
        match &self.inlet {
            Some(inlet) => inlet.poll_gone(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
