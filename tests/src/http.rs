//! A raw HTTP/1.1 client, written for the tests: it sends any bytes, hides nothing and corrects nothing.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support: a peer that breaks the protocol fails the test"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// A connection.
#[derive(Debug)]
pub struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Every byte that came, in order, unless it was drained.
    pub heard: Vec<u8>,
}

/// A head: the first line and the header lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// All of it, with the empty line that ends it.
    pub text: String,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub head: Head,
    /// The statuses of the interim responses before it.
    pub interim: Vec<u16>,
    /// Without the chunks that it came in.
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub whole: bool,
}

/// How the end of a body is found.
enum Framing {
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Http {
    /// Connects to a port of this machine and says nothing.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Self { stream, buffer: Vec::new(), heard: Vec::new() }
    }

    /// Sends bytes; what cannot be sent because the peer has closed is lost.
    pub fn send(&mut self, bytes: &[u8]) {
        let _or_closed = self.stream.write_all(bytes);
    }

    /// Sends bytes in pieces, each in a segment of its own as far as the kernel leaves it that way.
    pub fn send_split(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.send(piece);
            crate::wait::pause();
        }
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        let _or_closed = self.stream.shutdown(Shutdown::Write);
    }

    /// A second handle that can only send.
    ///
    /// # Panics
    /// When the system has no more handles.
    #[must_use]
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("a handle")
    }

    /// Sends a request and takes its answer.
    #[must_use]
    pub fn ask(&mut self, request: &Request) -> Response {
        self.send(&request.bytes());
        self.response()
    }

    /// The next answer, with the interim ones before it; the answer to a HEAD has no body and is not for this.
    ///
    /// # Panics
    /// When none comes in time, or the connection is closed before its head is whole.
    pub fn response(&mut self) -> Response {
        let mut response = self.begun();
        self.body(&mut response);
        response
    }

    /// The head of the next answer; its body is still to be taken.
    ///
    /// # Panics
    /// As [`Self::response`].
    pub fn begun(&mut self) -> Response {
        self.try_begun().unwrap_or_else(|| panic!("closed before an answer; heard: {}", self.tail()))
    }

    /// The same; `None` where the connection is closed instead.
    pub fn try_begun(&mut self) -> Option<Response> {
        let mut response = Response::default();
        loop {
            let head = self.head()?;
            match head.status() {
                100..200 => response.interim.push(head.status()),
                _ => {
                    response.head = head;
                    return Some(response);
                }
            }
        }
    }

    /// The next head, interim or not; `None` where the connection is closed instead.
    pub fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                return None;
            }
        };
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        Some(Head { text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// Takes the body of an answer that has begun.
    pub fn body(&mut self, response: &mut Response) {
        match response.head.framing() {
            Framing::Length(length) => {
                while self.buffer.len() < length && self.more() {}
                response.whole = self.buffer.len() >= length;
                response.body.extend(self.buffer.drain(..length.min(self.buffer.len())));
            }
            Framing::Chunked => {
                while let Some(chunk) = self.chunk() {
                    if chunk.is_empty() {
                        response.whole = true;
                        break;
                    }
                    response.body.extend_from_slice(&chunk);
                }
            }
            Framing::UntilClosed => {
                while self.more() {}
                response.whole = true;
                response.body.append(&mut self.buffer);
            }
        }
    }

    /// The next chunk of a chunked body, empty at its end; `None` where the connection is closed instead.
    ///
    /// # Panics
    /// When it is no chunk.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if !self.more() {
                return None;
            }
        };
        let digits = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
        let length = usize::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("no chunk size: {digits:?}"));
        let (from, end) = (line + 2, line + 2 + length);
        while self.buffer.len() < end + 2 {
            if !self.more() {
                return None;
            }
        }
        let chunk = self.buffer[from..end].to_vec();
        self.buffer.drain(..end + 2);
        Some(chunk)
    }

    /// Reads a chunked body until it holds a text; what it holds then.
    ///
    /// # Panics
    /// When the body ends before that.
    pub fn hear(&mut self, needle: &str) -> Vec<u8> {
        let mut body = Vec::new();
        while !crate::canary::contains(&body, needle.as_bytes()) {
            match self.chunk() {
                Some(chunk) if !chunk.is_empty() => body.extend(chunk),
                _ => panic!("no `{needle}` in {}", String::from_utf8_lossy(&body)),
            }
        }
        body
    }

    /// Every byte until the peer closes, or is silent for a time.
    pub fn rest(&mut self, limit: Duration) -> Vec<u8> {
        while matches!(self.read(limit), Ok(1..)) {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the peer closes within a time; what it says meanwhile is kept.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.read(left.max(Duration::from_millis(1))) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Reads a number of bytes and keeps none: each piece is shown with its offset. How many came before the end.
    ///
    /// # Panics
    /// When nothing comes for too long.
    pub fn drain(&mut self, most: u64, mut show: impl FnMut(u64, &[u8])) -> u64 {
        let kept = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        let waiting: Vec<u8> = self.buffer.drain(..kept).collect();
        show(0, &waiting);
        let mut bytes = waiting.len() as u64;
        let mut buffer = vec![0; CHUNK];
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a TCP connection");
        while bytes < most {
            let room = usize::try_from(most - bytes).unwrap_or(CHUNK).min(CHUNK);
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(count) => {
                    show(bytes, &buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) => panic!("after {bytes} bytes: {error}"),
            }
        }
        bytes
    }

    /// Reads once more; false where the peer has closed.
    fn more(&mut self) -> bool {
        match self.read(PATIENCE) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) if is_timeout(&error) => panic!("nothing within {PATIENCE:?}; heard: {}", self.tail()),
            Err(_) => false,
        }
    }

    fn read(&mut self, limit: Duration) -> io::Result<usize> {
        let mut chunk = vec![0; CHUNK];
        self.stream.set_read_timeout(Some(limit))?;
        let count = self.stream.read(&mut chunk)?;
        self.heard.extend_from_slice(&chunk[..count]);
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    fn tail(&self) -> String {
        let from = self.heard.len().saturating_sub(400);
        String::from_utf8_lossy(&self.heard[from..]).into_owned()
    }
}

impl Head {
    /// The status of an answer; 0 where it is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// The names and values, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    /// The value of a header that is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn framing(&self) -> Framing {
        match (self.header("transfer-encoding"), self.header("content-length"), self.status()) {
            (_, _, 204 | 304) => Framing::Length(0),
            (Some(_), _, _) => Framing::Chunked,
            (None, Some(length), _) => Framing::Length(length.parse().expect("a length is a number")),
            (None, None, _) => Framing::UntilClosed,
        }
    }
}

impl Response {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Its body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body, as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Itself, if its status is this one.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn with(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}{}", self.head.text, self.text());
        assert!(self.whole, "it was cut short: {}{}", self.head.text, self.text());
        self
    }

    /// The stable code of an error, in either dialect.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = body.pointer("/error/code").or_else(|| body.pointer("/code"));
        code.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// A request that is put together.
#[derive(Clone, Debug)]
pub struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        let headers = vec![("Host".to_owned(), "broker".to_owned())];
        Self { line: format!("{method} {path} HTTP/1.1"), headers, body: None }
    }

    /// A GET as somebody.
    #[must_use]
    pub fn get(path: &str, token: &str) -> Self {
        Self::new("GET", path).token(token)
    }

    /// A POST of JSON as somebody.
    #[must_use]
    pub fn post(path: &str, token: &str, body: &str) -> Self {
        Self::new("POST", path).token(token).header("Content-Type", "application/json").body(body.as_bytes())
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The same with another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a body and its length.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self.header("Content-Length", &body.len().to_string())
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{}\r\n{}\r\n", self.line, lines.collect::<String>()).into_bytes()
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone().unwrap_or_default()].concat()
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
