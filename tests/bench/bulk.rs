//! A client that reads a large result as fast as it comes and keeps nothing of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::stand::Way;
use crate::usage::Meter;

/// How long one message may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Protocol 3.0.
const VERSION: u32 = 196_608;

/// One result, read to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) megabytes: f64,
    /// What the proxy used of the processors, in milliseconds.
    pub(crate) cpu_ms: f64,
}

/// Runs a query through one way and checks that every row came.
pub(crate) fn take(way: &Way, sql: &str, rows: u64) -> Result<Taken> {
    let mut client = Client::connect(way)?;
    let mut meter = Meter::new(way.pid);
    let before = meter.read();
    let started = Instant::now();
    let counted = client.query(sql)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = meter.read();
    if counted.rows != rows {
        bail!("{} rows came through {} instead of {rows}", counted.rows, way.name);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let (megabytes, cpu_ms) = (counted.bytes as f64 / 1e6, after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e6);
    Ok(Taken { seconds, megabytes, cpu_ms })
}

/// What came in answer to a query.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    rows: u64,
    bytes: u64,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are read already.
    at: usize,
    /// Where `buffer` ends.
    end: usize,
}

impl Client {
    fn connect(way: &Way) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", way.port)).with_context(|| way.name.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, buffer: vec![0; 1 << 17], at: 0, end: 0 };
        let mut startup = VERSION.to_be_bytes().to_vec();
        for word in ["user", way.user, "database", way.database, ""] {
            startup.extend_from_slice(word.as_bytes());
            startup.push(0);
        }
        client.send(None, &startup)?;
        loop {
            let (tag, body) = client.message()?;
            match (tag, body.as_slice()) {
                (b'R', [0, 0, 0, 3]) => client.send(Some(b'p'), &[way.password.as_bytes(), b"\0"].concat())?,
                (b'Z', _) => return Ok(client),
                (b'E', body) => bail!("{} refused the sign-in: {}", way.name, words(body)),
                _ => {}
            }
        }
    }

    fn query(&mut self, sql: &str) -> Result<Counted> {
        self.send(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat())?;
        let mut counted = Counted::default();
        loop {
            let (tag, length) = self.header()?;
            match tag {
                b'E' => bail!("the query failed: {}", words(&self.body(length)?)),
                b'D' | b'd' => {
                    self.skip(length)?;
                    counted.rows = counted.rows.saturating_add(1);
                    counted.bytes = counted.bytes.saturating_add(length as u64).saturating_add(5);
                }
                b'Z' => {
                    self.skip(length)?;
                    return Ok(counted);
                }
                _ => self.skip(length)?,
            }
        }
    }

    fn send(&mut self, tag: Option<u8>, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len())?.saturating_add(4);
        let mut bytes: Vec<u8> = tag.into_iter().collect();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(body);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        let (tag, length) = self.header()?;
        Ok((tag, self.body(length)?))
    }

    /// Tag and length of the body that follows.
    fn header(&mut self) -> Result<(u8, usize)> {
        while self.end.saturating_sub(self.at) < 5 {
            self.fill()?;
        }
        let Some([tag, length @ ..]) = self.buffer.get(self.at..).and_then(|rest| rest.first_chunk::<5>()) else {
            bail!("the buffer is too small");
        };
        self.at += 5;
        let length = u32::from_be_bytes(*length).checked_sub(4).context("a length below 4")?;
        Ok((*tag, usize::try_from(length)?))
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while body.len() < length {
            if self.at == self.end {
                self.fill()?;
            }
            let now = (length - body.len()).min(self.end - self.at);
            body.extend_from_slice(self.buffer.get(self.at..self.at + now).unwrap_or_default());
            self.at += now;
        }
        Ok(body)
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        let mut left = length;
        loop {
            let now = left.min(self.end - self.at);
            self.at += now;
            left -= now;
            if left == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        let read = self.stream.read(self.buffer.get_mut(self.end..).unwrap_or_default())?;
        if read == 0 {
            bail!("the connection was closed in the middle of a result");
        }
        self.end += read;
        Ok(())
    }
}

/// The fields of an error as one line.
fn words(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let shown = fields.filter(|(code, _)| b"CMDH".contains(code));
    shown.map(|(_, text)| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(" · ")
}
