//! A keep-alive HTTP/1.1 client that costs little: one connection, one thread, blocking.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::stand::Way;

/// How long a part of an answer may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// No head of an answer here is longer.
const BUFFER_BYTES: usize = 32 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    name: &'static str,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are read already.
    at: usize,
    /// Where `buffer` ends.
    end: usize,
}

/// How much of an answer's body is still to come (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    Sized(u64),
    /// Bytes of the chunk that has begun.
    Chunk(u64),
    /// The line end after a chunk is next.
    Gap,
    /// The size of a chunk is next.
    Size,
    Nothing,
}

/// An answer whose head has come.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    client: &'a mut Client,
    left: Left,
}

impl Client {
    pub(super) fn connect(way: &Way) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", way.port)).with_context(|| way.name.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { name: way.name, stream, buffer: vec![0; BUFFER_BYTES], at: 0, end: 0 })
    }

    /// Sends a request and reads its answer to the end; anything but success is an error.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<()> {
        let mut answer = self.ask(request)?;
        while answer.piece()?.is_some() {}
        Ok(())
    }

    /// Sends a request and reads the head of its answer; anything but success is an error.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request)?;
        let mut answer = self.head()?;
        if answer.status != 200 {
            let (name, status, said) = (answer.client.name, answer.status, answer.text()?);
            bail!("{name} answered with {status}: {said}");
        }
        Ok(answer)
    }

    fn head(&mut self) -> Result<Answer<'_>> {
        loop {
            let length = loop {
                let read = self.buffer.get(self.at..self.end).unwrap_or_default();
                match read.windows(4).position(|window| window == b"\r\n\r\n") {
                    Some(at) => break at + 4,
                    None => self.fill()?,
                }
            };
            let head = self.buffer.get(self.at..self.at + length).unwrap_or_default();
            let (status, left) = parse(std::str::from_utf8(head)?)?;
            self.at += length;
            // RFC 9110 §15.2: interim answers come before the one that counts.
            if status >= 200 {
                return Ok(Answer { status, client: self, left });
            }
        }
    }

    /// The line that is next, without its end.
    fn line(&mut self) -> Result<String> {
        loop {
            let read = self.buffer.get(self.at..self.end).unwrap_or_default();
            if let Some(length) = read.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(read.get(..length).unwrap_or_default()).trim_end().to_owned();
                self.at += length + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.stream.read(room).with_context(|| format!("no answer came through {}", self.name))?;
        if read == 0 {
            bail!("{} closed the connection in the middle of an answer", self.name);
        }
        self.end += read;
        Ok(())
    }
}

impl Answer<'_> {
    /// What has come of the body, and waits for it where nothing has; `None` at its end.
    pub(super) fn piece(&mut self) -> Result<Option<&[u8]>> {
        if self.left == Left::Gap {
            self.client.line()?;
            self.left = Left::Size;
        }
        if self.left == Left::Size {
            self.left = size(&self.client.line()?)?;
            while self.left == Left::Nothing && !self.client.line()?.is_empty() {}
        }
        let (Left::Sized(left @ 1..) | Left::Chunk(left)) = self.left else { return Ok(None) };
        if self.client.at == self.client.end {
            self.client.fill()?;
        }
        let from = self.client.at;
        let taken = (self.client.end - from).min(usize::try_from(left)?);
        self.client.at += taken;
        let rest = left - taken as u64;
        self.left = match self.left {
            Left::Chunk(_) if rest == 0 => Left::Gap,
            Left::Chunk(_) => Left::Chunk(rest),
            Left::Sized(_) | Left::Gap | Left::Size | Left::Nothing => Left::Sized(rest),
        };
        Ok(self.client.buffer.get(from..from + taken))
    }

    /// The rest of the body.
    pub(super) fn text(&mut self) -> Result<String> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece()? {
            body.extend_from_slice(piece);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The line before a chunk (RFC 9112 §7.1).
fn size(line: &str) -> Result<Left> {
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = u64::from_str_radix(size, 16).with_context(|| format!("`{line}` is not the size of a chunk"))?;
    Ok(if size == 0 { Left::Nothing } else { Left::Chunk(size) })
}

/// The status of an answer, and how its body is delimited.
fn parse(head: &str) -> Result<(u16, Left)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.with_context(|| format!("`{head}` does not begin with a status"))?;
    let mut left = Left::Nothing;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            left = Left::Sized(value.trim().parse().context("a length is a number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            left = Left::Size;
        }
    }
    Ok((status, left))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::net::TcpListener;

    use super::*;

    /// A server that says this, a few bytes at a time, and what the client makes of it.
    fn read(said: &'static str, answers: usize) -> Vec<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in said.as_bytes().chunks(3) {
                stream.write_all(piece).unwrap();
            }
            stream
        });
        let mut client = Client { name: "test", stream, buffer: vec![0; 128], at: 0, end: 0 };
        let read = (0..answers).map(|_| client.head().unwrap().text().unwrap()).collect();
        drop(server.join().unwrap());
        read
    }

    #[test]
    fn answers_follow_each_other_however_they_are_delimited() {
        let said = concat!(
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast",
        );
        assert_eq!(read(said, 4), ["first", "second", "", "last"]);
    }
}
