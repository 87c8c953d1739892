//! An HTTP server that says exactly what a test tells it to, and remembers everything it was told.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "test support: what cannot be run fails the test")]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::Head;

/// Bytes of a request body that are remembered; the rest is counted.
const REMEMBERED: usize = 4 << 20;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;
/// The stack of the thread that serves a connection.
const STACK: usize = 256 << 10;
/// How long a test may keep a conversation waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that the server got.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Which connection it came on, from 0.
    pub connection: usize,
    pub head: Head,
    /// The beginning of the body, without the chunks that it came in.
    pub body: Vec<u8>,
    /// The size of the whole body.
    pub body_bytes: u64,
}

/// The server; it stops listening when it is dropped.
#[derive(Debug)]
pub struct Mock {
    port: u16,
    shared: Arc<Shared>,
}

/// The other end of one conversation.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What opens once, for whoever waits for it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

/// How a request is answered. The request has been read whole.
pub trait Answer: Fn(&Told, &mut Peer) + Send + Sync + 'static {}

impl<F: Fn(&Told, &mut Peer) + Send + Sync + 'static> Answer for F {}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Vec<Told>>,
    connections: Mutex<usize>,
    /// Connections whose conversation is over.
    over: Mutex<usize>,
    stopped: Mutex<bool>,
}

impl Shared {
    fn next_connection(&self) -> usize {
        let mut connections = lock(&self.connections);
        *connections += 1;
        *connections - 1
    }
}

impl Mock {
    /// A server that answers so.
    ///
    /// # Panics
    /// When there is no port left.
    #[must_use]
    pub fn start(answer: impl Answer) -> Self {
        Self::reading(answer, |_, _| {})
    }

    /// The same; every piece of a body is shown as it comes, with its offset.
    ///
    /// # Panics
    /// When there is no port left.
    #[must_use]
    pub fn reading(answer: impl Answer, seen: impl Fn(u64, &[u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let (for_all, ways) = (Arc::clone(&shared), Arc::new((answer, seen)));
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if *lock(&for_all.stopped) {
                    return;
                }
                let number = for_all.next_connection();
                let (shared, ways) = (Arc::clone(&for_all), Arc::clone(&ways));
                let serve = move || {
                    converse(number, stream, &shared, &ways.0, &ways.1);
                    *lock(&shared.over) += 1;
                };
                let _thread = std::thread::Builder::new().stack_size(STACK).spawn(serve).expect("a thread");
            }
        };
        let _thread = std::thread::spawn(accept);
        Self { port, shared }
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Every request so far.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        lock(&self.shared.told).clone()
    }

    /// Every request since the last call of this.
    #[must_use]
    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *lock(&self.shared.told))
    }

    /// The connections that were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }

    /// Waits until every connection is over, and tells every request so far: no more can come of them.
    #[must_use]
    pub fn told_at_last(&self) -> Vec<Told> {
        crate::wait::until(crate::wait::SOON, "the end of every connection", || {
            (*lock(&self.shared.over) == self.connections()).then(|| self.told())
        })
    }

    /// Waits for a number of requests.
    #[must_use]
    pub fn hears(&self, count: usize) -> Vec<Told> {
        crate::wait::until(crate::wait::SOON, &format!("{count} requests at the server"), || {
            let told = self.told();
            (told.len() >= count).then_some(told)
        })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        *lock(&self.shared.stopped) = true;
        // It waits for a connection.
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Reads requests and has them answered, until either side has enough.
fn converse(number: usize, stream: TcpStream, shared: &Shared, answer: &impl Answer, seen: &impl Fn(u64, &[u8])) {
    let _or_closed = stream.set_nodelay(true);
    let mut peer = Peer { stream, buffer: Vec::new() };
    while let Ok(told) = peer.request(number, seen) {
        lock(&shared.told).push(told.clone());
        answer(&told, &mut peer);
    }
}

impl Peer {
    fn request(&mut self, connection: usize, seen: &impl Fn(u64, &[u8])) -> io::Result<Told> {
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..at + 4).collect();
                break Head { text: String::from_utf8_lossy(&bytes).into_owned() };
            }
            self.more()?;
        };
        let mut told = Told { connection, head, ..Told::default() };
        let length = told.head.header("content-length").and_then(|length| length.parse().ok());
        if told.head.header("transfer-encoding").is_some() {
            while self.chunk(&mut told, seen)? {}
        } else if let Some(length) = length {
            self.take(length, &mut told, seen)?;
        }
        Ok(told)
    }

    fn chunk(&mut self, told: &mut Told, seen: &impl Fn(u64, &[u8])) -> io::Result<bool> {
        let line = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            self.more()?;
        };
        let digits = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
        let length = u64::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        self.buffer.drain(..line + 2);
        self.take(length, told, seen)?;
        while self.buffer.len() < 2 {
            self.more()?;
        }
        self.buffer.drain(..2);
        Ok(length > 0)
    }

    fn take(&mut self, mut left: u64, told: &mut Told, seen: &impl Fn(u64, &[u8])) -> io::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() {
                self.more()?;
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let piece = &self.buffer[..count];
            seen(told.body_bytes, piece);
            let room = REMEMBERED.saturating_sub(told.body.len()).min(count);
            told.body.extend_from_slice(&piece[..room]);
            told.body_bytes += count as u64;
            left -= count as u64;
            self.buffer.drain(..count);
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        self.stream.set_read_timeout(None)?;
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Sends bytes; false where nobody takes them any more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A whole answer.
    pub fn answer(&mut self, status: &str, media: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat());
    }

    /// A whole answer of JSON.
    pub fn json(&mut self, body: &str) {
        self.answer("200 OK", "application/json", body.as_bytes());
    }

    /// The head of an answer in chunks.
    pub fn begin(&mut self, media: &str) -> bool {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n");
        self.send(head.as_bytes())
    }

    /// One chunk of an answer in chunks; an empty one is none.
    pub fn chunked(&mut self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.send(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    /// The end of an answer in chunks.
    pub fn end(&mut self) -> bool {
        self.send(b"0\r\n\r\n")
    }

    /// A whole stream of events, in these pieces.
    pub fn events<P: AsRef<[u8]>>(&mut self, pieces: &[P]) {
        self.begin("text/event-stream");
        for piece in pieces {
            self.chunked(piece.as_ref());
        }
        self.end();
    }

    /// Ends the connection in order.
    pub fn close(&self) {
        let _or_closed = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Ends the connection as a program that is killed does: by a reset.
    ///
    /// # Panics
    /// When there is no runtime.
    pub fn reset(&self) {
        // The standard library cannot ask for it. The next read finds nothing and ends the conversation.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        let _entered = runtime.enter();
        let stream = self.stream.try_clone().expect("a handle");
        stream.set_nonblocking(true).expect("a TCP connection");
        let stream = tokio::net::TcpStream::from_std(stream).expect("a TCP connection");
        stream.set_zero_linger().expect("a TCP connection");
    }

    /// Whether the other side closes the connection within a time.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut chunk = [0; CHUNK];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }
}

impl Told {
    /// The method and the path of its first line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.text.lines().next().and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap_or_default()
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Its body, as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// All that is remembered of it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.text.as_bytes(), &self.body].concat()
    }
}

impl Gate {
    /// Opens it.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits for it to open.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn pass(&self) {
        let waited = self.0.1.wait_timeout_while(lock(&self.0.0), PATIENCE, |open| !*open);
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(*open, "a gate stayed shut");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
