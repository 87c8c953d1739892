//! A small client of PostgreSQL's protocol, written for the tests: it hides nothing and checks nothing.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test support: a peer that breaks the protocol fails the test"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The version of the protocol that is asked for.
const VERSION_3_0: u32 = 196_608;

/// One message of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub tag: char,
    pub body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    frames: usize,
    /// Every byte that came, in order.
    pub heard: Vec<u8>,
    /// Process id and secret of the connection, to cancel with.
    pub key: Option<(u32, Vec<u8>)>,
    /// What the server reported of its settings.
    pub parameters: Vec<(String, String)>,
}

/// The messages that answer one message, up to `ReadyForQuery` or the end of the connection.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub frames: Vec<Frame>,
}

/// An error or notice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Connects over a server's socket without a password.
    pub fn unix(folder: &Path, port: u16, user: &str, database: &str) -> Result<Self, String> {
        let path = folder.join(format!(".s.PGSQL.{port}"));
        let stream = UnixStream::connect(path).map_err(|error| error.to_string())?;
        let mut wire = Self::over(Stream::Unix(stream));
        wire.sign_in(&[("user", user), ("database", database)], "")?;
        Ok(wire)
    }

    /// Connects to a port of this machine and says nothing.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Self::over(Stream::Tcp(stream))
    }

    fn over(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new(), frames: 0, heard: Vec::new(), key: None, parameters: Vec::new() }
    }

    /// Signs in; an `Err` is what the server said instead, or nothing.
    pub fn sign_in(&mut self, parameters: &[(&str, &str)], password: &str) -> Result<(), String> {
        self.send(&say::startup(VERSION_3_0, parameters));
        loop {
            let Some(frame) = self.frame() else { return Err("the connection was closed".to_owned()) };
            match frame.tag {
                'R' if frame.body == [0, 0, 0, 0] => {}
                'R' if frame.body == [0, 0, 0, 3] => {
                    self.send(&say::message('p', &[password.as_bytes(), b"\0"].concat()))
                }
                'S' => {
                    let mut parts =
                        frame.body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
                    self.parameters.extend(parts.next().zip(parts.next()));
                }
                'K' => self.key = Some((u32::from_be_bytes(four(&frame.body)), frame.body[4..].to_vec())),
                'Z' => return Ok(()),
                'N' => {}
                'E' => {
                    let said = frame.said();
                    return Err(format!("{} {}: {}", said.severity, said.sqlstate, said.message));
                }
                other => return Err(format!("a message `{other}` during sign-in")),
            }
        }
    }

    /// Sends bytes; what cannot be sent because the peer has closed is lost.
    pub fn send(&mut self, bytes: &[u8]) {
        let _or_closed = match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        };
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        let _or_closed = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// A second handle that can only send.
    ///
    /// # Panics
    /// When the system has no more handles.
    #[must_use]
    pub fn sender(&self) -> Box<dyn Write + Send> {
        match &self.stream {
            Stream::Tcp(stream) => Box::new(stream.try_clone().expect("a handle")),
            Stream::Unix(stream) => Box::new(stream.try_clone().expect("a handle")),
        }
    }

    /// The next message; `None` where the peer has closed the connection.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn frame(&mut self) -> Option<Frame> {
        self.frame_within(PATIENCE)
            .unwrap_or_else(|| panic!("no message within {PATIENCE:?} after {}; heard: {}", self.frames, self.tail()))
    }

    /// The next message within a time: `None` where none came, `Some(None)` where the connection is closed.
    pub fn frame_within(&mut self, limit: Duration) -> Option<Option<Frame>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(frame) = self.take() {
                return Some(Some(frame));
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let mut chunk = [0; 1 << 16];
            match self.read(&mut chunk, left) {
                Ok(0) => return Some(None),
                Ok(count) => {
                    self.heard.extend_from_slice(&chunk[..count]);
                    self.buffer.extend_from_slice(&chunk[..count]);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => return Some(None),
            }
        }
    }

    fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(into)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(into)
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head: [u8; 4] = self.buffer.get(1..5)?.try_into().ok()?;
        let end = 1 + usize::try_from(u32::from_be_bytes(head)).expect("it fits");
        if self.buffer.len() < end {
            return None;
        }
        let frame = Frame { tag: char::from(self.buffer[0]), body: self.buffer[5..end].to_vec() };
        self.buffer.drain(..end);
        self.frames += 1;
        Some(frame)
    }

    /// Messages up to `ReadyForQuery` or the end.
    pub fn reply(&mut self) -> Reply {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame() {
            let last = frame.tag == 'Z';
            frames.push(frame);
            if last {
                break;
            }
        }
        Reply { frames }
    }

    /// Every byte until the peer closes or is silent for a time.
    pub fn raw(&mut self, limit: Duration) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = self.read(&mut chunk, limit) {
            all.extend_from_slice(&chunk[..count]);
            // One byte answers a request for TLS; whoever waits for a handshake says nothing more.
            if all == b"S" || all == b"N" {
                self.half_close();
            }
        }
        all
    }

    /// Sends a simple query and takes its reply.
    pub fn query(&mut self, sql: &str) -> Reply {
        self.send(&say::query(sql.as_bytes()));
        self.reply()
    }

    /// Waits until the peer closes; the messages before it.
    pub fn rest(&mut self) -> Reply {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame() {
            frames.push(frame);
        }
        Reply { frames }
    }

    fn tail(&self) -> String {
        let from = self.heard.len().saturating_sub(400);
        String::from_utf8_lossy(&self.heard[from..]).into_owned()
    }
}

impl Frame {
    /// An error or notice.
    #[must_use]
    pub fn said(&self) -> Said {
        let mut said = Said::default();
        for field in self.body.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
            let text = String::from_utf8_lossy(&field[1..]).into_owned();
            match field[0] {
                b'V' => said.severity = text,
                b'C' => said.sqlstate = text,
                b'M' => said.message = text,
                b'D' => said.detail = text,
                b'H' => said.hint = text,
                _ => {}
            }
        }
        said
    }

    /// The values of a `DataRow`.
    #[must_use]
    pub fn cells(&self) -> Vec<Option<Vec<u8>>> {
        let mut rest = &self.body[2..];
        let mut cells = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(four(rest));
            rest = &rest[4..];
            let Ok(length) = usize::try_from(length) else {
                cells.push(None);
                continue;
            };
            cells.push(Some(rest[..length].to_vec()));
            rest = &rest[length..];
        }
        cells
    }
}

impl Reply {
    /// The rows, as text.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<Option<String>>> {
        let text = |cell: Option<Vec<u8>>| cell.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let rows = self.frames.iter().filter(|frame| frame.tag == 'D');
        rows.map(|row| row.cells().into_iter().map(text).collect()).collect()
    }

    /// The first error.
    #[must_use]
    pub fn error(&self) -> Option<Said> {
        self.frames.iter().find(|frame| frame.tag == 'E').map(Frame::said)
    }

    /// The notices.
    #[must_use]
    pub fn notices(&self) -> Vec<Said> {
        self.frames.iter().filter(|frame| frame.tag == 'N').map(Frame::said).collect()
    }

    /// The tag of the last statement that was completed, such as `SELECT 3`.
    #[must_use]
    pub fn completed(&self) -> Option<String> {
        let last = self.frames.iter().rfind(|frame| frame.tag == 'C')?;
        Some(String::from_utf8_lossy(&last.body).trim_end_matches('\0').to_owned())
    }

    /// The transaction's state at the end, `I`, `T` or `E`; `None` where the connection was closed.
    #[must_use]
    pub fn status(&self) -> Option<char> {
        self.frames.last().filter(|frame| frame.tag == 'Z')?.body.first().map(|byte| char::from(*byte))
    }

    /// The tags of the messages.
    #[must_use]
    pub fn tags(&self) -> String {
        self.frames.iter().map(|frame| frame.tag).collect()
    }

    /// Itself, if nothing went wrong.
    ///
    /// # Panics
    /// When there was an error, or the connection was closed.
    #[must_use]
    pub fn ok(self) -> Self {
        if let Some(error) = self.error() {
            panic!("refused: {error:?}");
        }
        assert!(self.status().is_some(), "the connection was closed after {}", self.tags());
        self
    }

    /// The error, which must be there.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn refused(&self, sqlstate: &str) -> Said {
        let error = self.error().unwrap_or_else(|| panic!("it was not refused: {}", self.tags()));
        assert_eq!(error.sqlstate, sqlstate, "{error:?}");
        error
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes[..4].try_into().expect("four bytes")
}

/// Messages of a client, as bytes.
pub mod say {
    /// A message with a tag.
    #[must_use]
    pub fn message(tag: char, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[tag as u8], &length[..], body].concat()
    }

    /// `StartupMessage`.
    #[must_use]
    pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        body.push(0);
        [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
    }

    /// `CancelRequest`.
    #[must_use]
    pub fn cancel(process: u32, secret: &[u8]) -> Vec<u8> {
        let length = (secret.len() as u32 + 12).to_be_bytes();
        [&length[..], &80_877_102_u32.to_be_bytes(), &process.to_be_bytes(), secret].concat()
    }

    /// `Query`.
    #[must_use]
    pub fn query(sql: &[u8]) -> Vec<u8> {
        message('Q', &[sql, b"\0"].concat())
    }

    /// `Parse` without parameter types.
    #[must_use]
    pub fn parse(name: &str, sql: &str) -> Vec<u8> {
        message('P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat())
    }

    /// `Bind` with text parameters; results in one format.
    #[must_use]
    pub fn bind(portal: &str, statement: &str, parameters: &[&[u8]], binary: bool) -> Vec<u8> {
        let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0"].concat();
        body.extend((parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            body.extend((parameter.len() as u32).to_be_bytes());
            body.extend_from_slice(parameter);
        }
        body.extend([0, 1, 0, u8::from(binary)]);
        message('B', &body)
    }

    /// `Describe` or `Close` of a statement (`S`) or portal (`P`).
    #[must_use]
    pub fn named(tag: char, kind: char, name: &str) -> Vec<u8> {
        message(tag, &[&[kind as u8], name.as_bytes(), b"\0"].concat())
    }

    /// `Execute`.
    #[must_use]
    pub fn execute(portal: &str, max: u32) -> Vec<u8> {
        message('E', &[portal.as_bytes(), b"\0", &max.to_be_bytes()].concat())
    }

    /// `Flush`.
    #[must_use]
    pub fn flush() -> Vec<u8> {
        message('H', b"")
    }

    /// `Sync`.
    #[must_use]
    pub fn sync() -> Vec<u8> {
        message('S', b"")
    }

    /// `Terminate`.
    #[must_use]
    pub fn terminate() -> Vec<u8> {
        message('X', b"")
    }

    /// `FunctionCall` with text arguments.
    #[must_use]
    pub fn function(oid: u32, arguments: &[String]) -> Vec<u8> {
        let mut body = [&oid.to_be_bytes()[..], &[0, 1, 0, 0], &(arguments.len() as u16).to_be_bytes()].concat();
        for argument in arguments {
            body.extend((argument.len() as u32).to_be_bytes());
            body.extend_from_slice(argument.as_bytes());
        }
        body.extend([0, 0]);
        message('F', &body)
    }

    /// A whole extended query: unnamed statement and portal.
    #[must_use]
    pub fn extended(sql: &str) -> Vec<u8> {
        [parse("", sql), bind("", "", &[], false), named('D', 'P', ""), execute("", 0), sync()].concat()
    }
}
