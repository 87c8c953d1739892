//! The server's side of one exchange: a request over a pooled connection.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use sluice_wire::{Credential, Frame as _, Link, LinkError, Violation};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep};

use crate::blot::Blot;
use crate::dial::{DialError, Origin, Sending};
use crate::frame::{Frame, Request, Response};
use crate::link::again::Again;
use crate::pipe::{Inlet, Outlet, pipe};
use crate::pool::{Coming, Over};

/// How long a server may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Patience {
    /// Until it begins to answer.
    pub(crate) response: Duration,
    /// Between two bytes of an answer.
    pub(crate) idle: Duration,
    /// For everything.
    pub(crate) total: Duration,
}

/// The server, as the relay loop sees it. Dropping it takes an unfinished request back.
pub(crate) struct ServerLink {
    origin: Arc<Origin>,
    credential: Arc<Credential>,
    patience: Patience,
    at: At,
    blot: Blot,
    /// Not given to the transport yet, which sends whenever an answer is looked for.
    fed: VecDeque<Frame>,
    inlet: Option<Inlet>,
    /// Until an answer begins, what may be sent once more.
    again: Option<Again>,
    /// When the wait for the next byte is over, and when everything is.
    idle: Pin<Box<Sleep>>,
    end: Instant,
}

enum At {
    /// Nothing was asked.
    Silent,
    Asked(Sending),
    /// The head has come and was not taken.
    Answered(Box<Response>, Coming),
    Answering(Coming),
    /// What went wrong was not told.
    Lost(LinkError),
    /// All of the body was taken, but not its end.
    Ending,
    Over,
}

impl ServerLink {
    /// The link to an origin, with the credential that requests carry.
    pub(crate) fn new(origin: Arc<Origin>, credential: Arc<Credential>, patience: Patience) -> Self {
        let end = Instant::now() + patience.total;
        let idle = Box::pin(sleep(patience.response));
        let blot = Blot::new(origin.shown(&credential));
        Self {
            origin,
            credential,
            patience,
            at: At::Silent,
            blot,
            fed: VecDeque::new(),
            inlet: None,
            again: None,
            idle,
            end,
        }
    }

    fn ask(&mut self, head: &Request) {
        let (inlet, outlet) = pipe(head.body);
        self.at = At::Asked(self.send(head, outlet, Over::Any));
        self.inlet = Some(inlet);
        self.again = Again::of(head);
        self.wait(self.patience.response);
    }

    fn send(&self, head: &Request, body: Outlet, over: Over) -> Sending {
        let sending = self.origin.send(head, &self.credential, body, over);
        sending.unwrap_or_else(|refused| Box::pin(std::future::ready(Err(refused))))
    }

    /// Sends the request once more where its connection was lost and it may be; whether it was.
    fn ask_again(&mut self, lost: &DialError) -> bool {
        let again = self.again.take().filter(|_| lost.is_loss()).and_then(Again::request);
        let Some((head, body)) = again else { return false };
        tracing::debug!(
            protocol = "http",
            "a server closed its connection before it answered; the request is sent again"
        );
        self.at = At::Asked(self.send(&head, body, Over::Fresh));
        self.inlet = None;
        true
    }

    /// Begins the wait for the next byte.
    fn wait(&mut self, patience: Duration) {
        let until = (Instant::now() + patience).min(self.end);
        self.idle.as_mut().reset(until);
    }

    /// Moves a request on its way.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let answer = loop {
            let At::Asked(sending) = &mut self.at else { return Poll::Ready(Ok(())) };
            let Poll::Ready(answer) = sending.as_mut().poll(cx) else { return self.poll_late(cx) };
            match answer {
                Ok(answer) => break answer,
                Err(lost) if self.ask_again(&lost) => {}
                Err(error) => return Poll::Ready(Err(io::Error::other(error).into())),
            }
        };
        self.again = None;
        let (mut parts, body) = answer;
        // RFC 9110 §15.5.2, RFC 6585 §4: it is not taken, or not any more for now.
        if matches!(parts.status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) {
            self.credential.turned_down.set();
        }
        self.blot.strip(&mut parts.headers);
        self.at = At::Answered(Box::new(Response::new(parts.status, parts.headers)), body);
        self.wait(self.patience.idle);
        Poll::Ready(Ok(()))
    }

    /// Gives a frame to the transport.
    fn hand_over(&mut self, frame: Frame) {
        match (frame, &self.inlet) {
            (Frame::Request(head), _) => self.ask(&head),
            (Frame::Data(bytes), Some(inlet)) => {
                if let Some(again) = &mut self.again {
                    again.push(&bytes);
                }
                inlet.push(bytes);
            }
            (Frame::End, Some(inlet)) => {
                if let Some(again) = &mut self.again {
                    again.end();
                }
                inlet.end();
            }
            (Frame::Broken, Some(inlet)) => inlet.break_off(),
            (Frame::Data(_) | Frame::End | Frame::Broken | Frame::Response(_) | Frame::Interim(_), _) => {}
        }
    }

    fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inlet.as_ref().map_or(Poll::Ready(()), |inlet| inlet.poll_taken(cx))
    }

    /// Writes what can be written of the request.
    fn advance(&mut self, cx: &mut Context<'_>) {
        match &mut self.at {
            At::Asked(_) => {
                if let Poll::Ready(Err(error)) = self.poll_answer(cx) {
                    self.at = At::Lost(error);
                }
            }
            At::Answered(_, coming) | At::Answering(coming) => coming.advance(cx),
            At::Silent | At::Lost(_) | At::Ending | At::Over => {}
        }
    }

    fn poll_late<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, LinkError>> {
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        loop {
            let At::Answering(body) = &mut self.at else { return Poll::Ready(Ok(None)) };
            // The body is a channel, which always has more where its server is faster than this task. What else the task
            // does, its client's side above all, gets a turn.
            let turn = ready!(poll_proceed(cx));
            let Poll::Ready(frame) = body.poll_frame(cx) else { return self.poll_late(cx) };
            turn.made_progress();
            match frame {
                None => {
                    let rest = self.blot.finish();
                    if rest.is_empty() {
                        self.at = At::Over;
                        return Poll::Ready(Ok(Some(Frame::End)));
                    }
                    self.at = At::Ending;
                    return Poll::Ready(Ok(Some(Frame::Data(rest))));
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error).into())),
                Some(Ok(frame)) => {
                    // A server that never pauses never lets the timer be looked at.
                    if Instant::now() >= self.end {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into()));
                    }
                    self.wait(self.patience.idle);
                    // Trailers say nothing that was decided on.
                    let Ok(bytes) = frame.into_data() else { continue };
                    let bytes = self.blot.push(bytes);
                    if !bytes.is_empty() {
                        return Poll::Ready(Ok(Some(Frame::Data(bytes))));
                    }
                }
            }
        }
    }
}

impl Link for ServerLink {
    type Frame = Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        ready!(self.poll_answer(cx))?;
        match std::mem::replace(&mut self.at, At::Silent) {
            At::Silent => Poll::Pending,
            At::Answered(head, mut body) => {
                body.look_ahead(cx).map_err(io::Error::other)?;
                self.at = At::Answering(body);
                Poll::Ready(Ok(Some(Frame::Response(head))))
            }
            answering @ At::Answering(_) => {
                self.at = answering;
                self.poll_body(cx)
            }
            At::Ending => {
                self.at = At::Over;
                Poll::Ready(Ok(Some(Frame::End)))
            }
            At::Over => {
                self.at = At::Over;
                // Another request is on its way.
                if self.fed.is_empty() { Poll::Ready(Ok(None)) } else { Poll::Pending }
            }
            At::Lost(error) => Poll::Ready(Err(error)),
            At::Asked(_) => Poll::Ready(Err(Violation::server("the request was lost").into())),
        }
    }

    fn feed(&mut self, frame: Frame) {
        self.fed.push_back(frame);
    }

    fn discard(&mut self) {
        self.fed.clear();
        if let Some(inlet) = &self.inlet {
            inlet.discard();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while let Some(frame) = self.fed.pop_front() {
            self.hand_over(frame);
        }
        // What goes wrong with the request is for `poll_next` to say, after an answer that came early.
        if self.poll_taken(cx).is_pending() {
            self.advance(cx);
        }
        self.poll_taken(cx).map(Ok)
    }

    fn backlog(&self) -> usize {
        let fed: usize = self.fed.iter().map(|frame| frame.wire().len()).sum();
        fed.saturating_add(self.inlet.as_ref().map_or(0, Inlet::backlog))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // An unfinished request is taken back: hyper closes its connection, or resets its stream.
        self.at = At::Over;
        self.fed.clear();
        self.inlet = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::future::poll_fn;

    use http::{HeaderMap, Method};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;
    use crate::dial::Pools;
    use crate::frame::Length;
    use crate::target::Target;

    /// The next part of a list is asked for when the one before has been taken.
    #[tokio::test]
    async fn another_request_may_follow_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut link = link(&format!("http://{}", listener.local_addr().unwrap()));
        let server = async {
            for (path, body) in [("/one", "1"), ("/two", "2")] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
                }
                assert!(heard.starts_with(format!("GET {path} ").as_bytes()));
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let client = async {
            for (path, expected) in [("/one", "1"), ("/two", "2")] {
                let head = Request::new(Method::GET, path.to_owned(), HeaderMap::new(), Length::None);
                link.feed(Frame::Request(Box::new(head)));
                link.feed(Frame::End);
                assert!(poll_fn(|cx| Poll::Ready(link.poll_next(cx).is_pending())).await, "before it is flushed");
                poll_fn(|cx| link.poll_flush(cx)).await.unwrap();
                let mut body = Vec::new();
                loop {
                    match poll_fn(|cx| link.poll_next(cx)).await.unwrap().unwrap() {
                        Frame::Response(_) => {}
                        Frame::Data(bytes) => body.extend_from_slice(&bytes),
                        Frame::End => break,
                        Frame::Request(_) | Frame::Interim(_) | Frame::Broken => unreachable!("a server says none"),
                    }
                }
                assert_eq!(body, expected.as_bytes());
            }
            assert!(poll_fn(|cx| link.poll_next(cx)).await.unwrap().is_none());
        };
        tokio::join!(server, client);
    }

    fn link(url: &str) -> ServerLink {
        let target: Target =
            serde_json::from_str(&format!(r#"{{"url":"{url}","tls":"dangerous_plaintext"}}"#)).unwrap();
        let origin = Arc::new(Pools::default().origin(&target).unwrap());
        let long = Duration::from_secs(60);
        let credential = Arc::new(Credential::new(String::new(), None));
        ServerLink::new(origin, credential, Patience { response: long, idle: long, total: long })
    }

    /// The kernel looks for answers between a request and the commit of its recording.
    #[tokio::test]
    async fn nothing_is_sent_before_it_is_flushed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut link = link(&url);

        let head = Request::new(Method::POST, "/".to_owned(), HeaderMap::new(), Length::Known(4));
        link.feed(Frame::Request(Box::new(head)));
        link.feed(Frame::Data("body".into()));
        for _ in 0..100 {
            assert!(poll_fn(|cx| Poll::Ready(link.poll_next(cx).is_pending())).await);
            assert!(poll_fn(|cx| Poll::Ready(listener.poll_accept(cx).is_pending())).await, "a connection was opened");
            yield_now().await;
        }
        assert!(link.backlog() > 4);
        let sending = poll_fn(|cx| {
            assert!(link.poll_flush(cx).is_ready() || link.poll_next(cx).is_pending());
            listener.poll_accept(cx)
        });
        let _stream = sending.await.unwrap();
    }

    /// Where the client has nothing yet, it can still be told in words.
    #[tokio::test]
    async fn what_is_wrong_from_the_beginning_is_told_instead_of_the_head() {
        for (first, is_fine) in [("ZZ\r\n", false), ("1\r\nx\r\n0\r\n\r\n", true), ("", true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut link = link(&format!("http://{}", listener.local_addr().unwrap()));
            let head = Request::new(Method::GET, "/".to_owned(), HeaderMap::new(), Length::None);
            link.feed(Frame::Request(Box::new(head)));
            link.feed(Frame::End);
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
                }
                let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{first}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream
            };
            let client = async {
                poll_fn(|cx| link.poll_flush(cx)).await.unwrap();
                poll_fn(|cx| link.poll_next(cx)).await
            };
            let (_stream, said) = tokio::join!(server, client);
            assert_eq!(matches!(said, Ok(Some(Frame::Response(_)))), is_fine, "{first}");
            assert_eq!(said.is_err(), !is_fine, "{first}");
            if first.starts_with('1') {
                let next = poll_fn(|cx| link.poll_next(cx)).await;
                assert!(matches!(next, Ok(Some(Frame::Data(bytes))) if bytes == "x"), "nothing is lost");
            }
        }
    }
}
