//! A row of a gigabyte and a copied message of half of one: they pass, and the broker grows by neither.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail};
use sluice_tests::database::OWNER;
use sluice_tests::keeper::memory_kib;
use sluice_tests::wire::say;

use crate::outcome::{Compared, Outcome, Outcomes};
use crate::stand::{Stand, Way};

/// PostgreSQL takes no value, and makes no message, of more than a gigabyte (1,073,741,823 bytes).
const ROW_BYTES: usize = 1_000_000_000;
const COPIED_BYTES: usize = 500_000_000;
/// How much more memory the broker may use for them.
const GROWTH_KIB: u64 = 64 * 1024;
const VERSION_3_0: u32 = 196_608;

/// Runs both ways.
pub(crate) fn compare() -> Result<Compared> {
    Ok(Compared { direct: run(Way::Direct)?, through: run(Way::Broker)?, known: BTreeMap::new() })
}

fn run(way: Way) -> Result<Outcomes> {
    let stand = Stand::open(way, "postgres");
    let mut talk = Talk::begin(&stand)?;
    let peak = || stand.broker.as_ref().map(|broker| memory_kib(broker.pid(), "VmHWM").unwrap_or(u64::MAX));
    talk.query("SELECT repeat('x', 10)")?;
    let before = peak();
    let row = talk.query(&format!("SELECT repeat('x', {ROW_BYTES})"));
    let row = row.is_ok_and(|heard| heard.largest >= ROW_BYTES && heard.x >= ROW_BYTES);
    talk.query("CREATE TABLE wide (value text)")?;
    let copied = talk.copy_in("COPY wide FROM STDIN", COPIED_BYTES);
    let copied = copied.is_ok() && talk.query("SELECT 1 FROM wide WHERE length(value) = 500000000")?.rows == 1;
    let flat = peak().zip(before).is_none_or(|(after, before)| after.saturating_sub(before) < GROWTH_KIB);
    stand.close()?;
    let tests = [("a row of 1 GB", row), ("500 MB of data in one message", copied), ("memory is flat", flat)];
    let outcome = |passes| if passes { Outcome::Passes } else { Outcome::Fails };
    Ok(tests.into_iter().map(|(name, passes)| (name.to_owned(), outcome(passes))).collect())
}

/// What came up to a `ReadyForQuery`; nothing of it is kept.
#[derive(Debug, Default)]
struct Heard {
    rows: usize,
    /// The body of the largest message, in bytes.
    largest: usize,
    /// Bytes that are the letter of the large row.
    x: usize,
    /// The last message was the server's word that it takes data.
    takes: bool,
}

struct Talk {
    from: Box<dyn Read>,
    to: Box<dyn Write>,
}

impl Talk {
    fn begin(stand: &Stand) -> Result<Self> {
        let mut talk = if stand.broker.is_some() {
            let stream = TcpStream::connect(("127.0.0.1", stand.port()))?;
            Self { from: Box::new(stream.try_clone()?), to: Box::new(stream) }
        } else {
            let stream = UnixStream::connect(format!("{}/.s.PGSQL.{}", stand.host(), stand.port()))?;
            Self { from: Box::new(stream.try_clone()?), to: Box::new(stream) }
        };
        talk.to.write_all(&say::startup(VERSION_3_0, &[("user", OWNER), ("database", "postgres")]))?;
        // A server that trusts the socket takes it for a message out of turn, so it is only said to a broker.
        if stand.broker.is_some() {
            talk.to.write_all(&say::message('p', &[stand.token.as_bytes(), b"\0"].concat()))?;
        }
        talk.heard().context("the sign-in")?;
        Ok(talk)
    }

    fn query(&mut self, sql: &str) -> Result<Heard> {
        self.to.write_all(&say::query(sql.as_bytes()))?;
        self.heard()
    }

    /// Sends one line in one message.
    fn copy_in(&mut self, sql: &str, bytes: usize) -> Result<Heard> {
        if !self.query(sql)?.takes {
            bail!("the server takes no data");
        }
        let length = u32::try_from(bytes + 5)?;
        self.to.write_all(&[&b"d"[..], &length.to_be_bytes()].concat())?;
        let chunk = vec![b'y'; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(chunk.len());
            self.to.write_all(chunk.get(..now).unwrap_or_default())?;
            left -= now;
        }
        self.to.write_all(&[b"\n", &say::message('c', b"")[..]].concat())?;
        self.heard()
    }

    fn heard(&mut self) -> Result<Heard> {
        let mut heard = Heard::default();
        let mut chunk = vec![0; 1 << 20];
        loop {
            let mut head = [0; 5];
            self.from.read_exact(&mut head)?;
            let [tag, a, b, c, d] = head;
            let body = usize::try_from(u32::from_be_bytes([a, b, c, d]))?.saturating_sub(4);
            heard.largest = heard.largest.max(body);
            heard.rows += usize::from(tag == b'D');
            let mut left = body;
            while left > 0 {
                let room = left.min(chunk.len());
                let part = chunk.get_mut(..room).unwrap_or_default();
                self.from.read_exact(part)?;
                heard.x += part.iter().filter(|byte| **byte == b'x').count();
                left -= room;
            }
            match tag {
                b'Z' => return Ok(heard),
                b'G' => return Ok(Heard { takes: true, ..heard }),
                b'E' => bail!("the server said an error"),
                _ => {}
            }
        }
    }
}
