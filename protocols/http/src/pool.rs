//! Connections to one server, kept between requests.
//!
//! A connection has no task of its own: whoever asked over it moves it. So what a server says is read, decided on and
//! written to the client in one go, and no other thread is woken in between.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response, Uri};
use http_body::Body as _;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::interval;
use tower_service::Service as _;

use crate::dial::{DialError, Screened};
use crate::pipe::Outlet;

/// How long a connection without a request is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How often connections without a request are looked at: servers close them, too.
const SWEEP: Duration = Duration::from_secs(5);
/// The most that is read of an answer at once, and the most that its head may have.
const READ_BYTES: usize = 64 << 10;
/// The most connections without a request.
const MAX_IDLE: usize = 256;

pub(crate) type Connector = HttpsConnector<HttpConnector<Screened>>;
type Connection = http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Outlet>;

/// Which connection a request may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    /// Any.
    Any,
    /// One that was made for it.
    Fresh,
}

/// The connections to one server.
pub(crate) struct Pool {
    connector: Connector,
    server: Uri,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one that was used last is last.
    lines: Vec<(Line, Instant)>,
    is_swept: bool,
}

/// A connection; dropping it closes it.
struct Line {
    sender: SendRequest<Outlet>,
    connection: Pin<Box<Connection>>,
    is_over: bool,
}

/// An answer's body on its way.
pub(crate) struct Coming {
    body: Incoming,
    /// What was looked at and not taken.
    ahead: Option<Frame<bytes::Bytes>>,
    /// Until the body is whole.
    line: Option<Line>,
    /// Where the connection is kept then; one that was made after another was lost is not.
    pool: Option<Arc<Pool>>,
}

impl Pool {
    /// No connections yet to this server.
    pub(crate) fn new(connector: Connector, server: Uri) -> Self {
        Self { connector, server, idle: Mutex::default() }
    }

    /// Sends a request and waits for the head of its answer. A request of which nothing was sent, as its connection
    /// was closed meanwhile, goes over another.
    pub(crate) async fn ask(
        self: Arc<Self>,
        mut request: Request<Outlet>,
        over: Over,
    ) -> Result<(http::response::Parts, Coming), DialError> {
        while let Some(mut line) = self.take().filter(|_| over == Over::Any) {
            match line.ask(request).await {
                Ok(answer) => return Ok(coming(answer, line, Some(self))),
                Err(mut unsent) => match unsent.take_message() {
                    Some(whole) => request = whole,
                    None => return Err(DialError::Request(unsent.into_error())),
                },
            }
        }
        let mut line = self.connect().await?;
        let answer = line.ask(request).await.map_err(|unsent| DialError::Request(unsent.into_error()))?;
        Ok(coming(answer, line, Some(self).filter(|_| over == Over::Any)))
    }

    async fn connect(&self) -> Result<Line, DialError> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await.map_err(DialError::Connect)?;
        let stream = connector.call(self.server.clone()).await.map_err(DialError::Connect)?;
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(READ_BYTES).handshake(stream).await;
        let (sender, connection) = shaken.map_err(DialError::Request)?;
        Ok(Line { sender, connection: Box::pin(connection), is_over: false })
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that its server has not closed, as far as can be seen.
    fn take(&self) -> Option<Line> {
        loop {
            let (mut line, _) = self.idle().lines.pop()?;
            if line.is_free() {
                return Some(line);
            }
        }
    }

    fn keep(self: &Arc<Self>, mut line: Line) {
        if !line.is_free() {
            return;
        }
        let mut idle = self.idle();
        if idle.lines.len() < MAX_IDLE {
            idle.lines.push((line, Instant::now()));
        }
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what was kept for long enough or was closed by the server; whether any is left.
    fn close_stale(&self, now: Instant) -> bool {
        let mut idle = self.idle();
        idle.lines.retain_mut(|(line, since)| now.saturating_duration_since(*since) < IDLE && line.is_free());
        idle.is_swept = !idle.lines.is_empty();
        idle.is_swept
    }
}

/// Looks after connections without a request as long as there are any.
async fn sweep(pool: Weak<Pool>) {
    let mut ticks = interval(SWEEP);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if !pool.upgrade().is_some_and(|pool| pool.close_stale(Instant::now())) {
            return;
        }
    }
}

impl Line {
    async fn ask(&mut self, request: Request<Outlet>) -> Result<Response<Incoming>, TrySendError<Request<Outlet>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            advance(&mut self.connection, &mut self.is_over, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Whether another request may be sent; asked without a task that would be woken.
    fn is_free(&mut self) -> bool {
        advance(&mut self.connection, &mut self.is_over, &mut Context::from_waker(Waker::noop()));
        !self.is_over && self.sender.is_ready()
    }
}

/// Writes and reads what can be. Why a connection ended is for the one who waits for an answer to hear.
fn advance(connection: &mut Pin<Box<Connection>>, is_over: &mut bool, cx: &mut Context<'_>) {
    *is_over = *is_over || connection.as_mut().poll(cx).is_ready();
}

fn coming(answer: Response<Incoming>, line: Line, pool: Option<Arc<Pool>>) -> (http::response::Parts, Coming) {
    let (head, body) = answer.into_parts();
    (head, Coming { body, ahead: None, line: Some(line), pool })
}

impl Coming {
    /// Writes what is left of the request.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(line) = &mut self.line {
            advance(&mut line.connection, &mut line.is_over, cx);
        }
    }

    /// Looks at what came together with the head; an error is told instead of it, as long as nothing has been passed on.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>) -> hyper::Result<()> {
        match self.poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(frame))) => {
                self.ahead = Some(frame);
                Ok(())
            }
            Poll::Ready(None) | Poll::Pending => Ok(()),
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<bytes::Bytes>>>> {
        if let Some(frame) = self.ahead.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.advance(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        if let Poll::Ready(None) = polled
            && let (Some(line), Some(pool)) = (self.line.take(), &self.pool)
        {
            pool.keep(line);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::dial::connector;
    use crate::frame::Length;
    use crate::pipe::pipe;
    use crate::target::ServerTls;

    async fn stand() -> (TcpListener, Arc<Pool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        (listener, Arc::new(Pool::new(connector(&ServerTls::DangerousPlaintext).unwrap(), server)))
    }

    fn get() -> Request<Outlet> {
        let (_, outlet) = pipe(Length::None);
        Request::get("/").header("host", "server").body(outlet).unwrap()
    }

    /// Asks and reads the answer to its end.
    async fn fetch(pool: &Arc<Pool>) -> Result<String, DialError> {
        let (_, mut coming) = Arc::clone(pool).ask(get(), Over::Any).await?;
        let mut text = String::new();
        while let Some(frame) = poll_fn(|cx| coming.poll_frame(cx)).await {
            text.push_str(std::str::from_utf8(&frame.map_err(DialError::Request)?.into_data().unwrap()).unwrap());
        }
        Ok(text)
    }

    /// Answers requests on one connection.
    async fn answer(stream: &mut TcpStream, text: &str) {
        let mut read = vec![0; 1024];
        let mut seen = 0;
        while !read.get(..seen).unwrap().ends_with(b"\r\n\r\n") {
            seen += stream.read(read.get_mut(seen..).unwrap()).await.unwrap();
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_carries_one_request_after_the_other() {
        let (listener, pool) = stand().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "one").await;
            answer(&mut stream, "two").await;
            stream
        };
        let client = async { [fetch(&pool).await.unwrap(), fetch(&pool).await.unwrap()] };
        let (_stream, texts) = tokio::join!(server, client);
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(pool.idle().lines.len(), 1);
        assert!(pool.close_stale(Instant::now()), "it is young");
        assert!(!pool.close_stale(Instant::now() + IDLE), "it is old");
    }

    #[tokio::test]
    async fn a_connection_that_its_server_has_closed_is_not_used() {
        let (listener, pool) = stand().await;
        let (closed, seen) = tokio::sync::oneshot::channel();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "one").await;
            drop(stream);
            closed.send(()).unwrap();
            answer(&mut listener.accept().await.unwrap().0, "two").await;
        };
        let client = async {
            let one = fetch(&pool).await.unwrap();
            seen.await.unwrap();
            [one, fetch(&pool).await.unwrap()]
        };
        assert_eq!(tokio::join!(server, client).1, ["one", "two"]);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error_and_its_connection_is_not_kept() {
        let (listener, pool) = stand().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 1024];
            let _some = stream.read(&mut read).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        };
        let (_, fetched) = tokio::join!(server, fetch(&pool));
        fetched.unwrap_err();
        assert!(pool.idle().lines.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_an_answer_is_a_loss() {
        let (listener, pool) = stand().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 1024];
            let _some = stream.read(&mut read).await.unwrap();
        };
        let (_, fetched) = tokio::join!(server, fetch(&pool));
        assert!(fetched.unwrap_err().is_loss());
    }

    #[tokio::test]
    async fn nothing_is_asked_of_a_server_that_does_not_listen() {
        let (listener, pool) = stand().await;
        drop(listener);
        let refused = fetch(&pool).await.unwrap_err();
        assert!(matches!(refused, DialError::Connect(_)) && !refused.is_loss());
    }
}
