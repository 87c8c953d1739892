//! The node's log: which sessions were recorded here, each entry chained to the one before.
//!
//! One entry is one line, fields separated by one space:
//! ```text
//! 1 SEQ AT_US opened SESSION HEAD HASH
//! 1 SEQ AT_US closed SESSION ROOT END HASH     END: clean, crashed, unrecorded
//! 1 SEQ AT_US cut BYTES HASH
//! ```
//! `1` is the version. HASH is SHA-256 over the 32 bytes of the hash before it (zeros for the first) and the line up to
//! HASH. The chain shows edits, deletions and reorderings inside; [`Ledger::check`] and [`Ledger::missing`] compare it
//! with the recordings that are there. A tail cut off together with its recordings needs a witness elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};
use sluice_model::{Digest, SessionId, UnixMicros};
use thiserror::Error;

use crate::reader::{End, Verified};

const VERSION: &str = "1";
/// Longer than any line can be: the longest id and two digests.
const LINE_BYTES: u64 = 512;

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A recording was begun; `head` is SHA-256 of its header.
    Opened { session: SessionId, head: Digest },
    /// A recording got its footer.
    Closed { session: SessionId, root: Digest, end: Ending },
    /// A half-written last line was removed when the broker started.
    Cut { bytes: u64 },
}

/// Why a recording got its footer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The session ended.
    Clean,
    /// The broker had stopped; what was there was closed when it started again.
    Crashed,
    /// Writing failed; the closing events went into the reserve.
    Unrecorded,
}

impl Ending {
    /// The ending in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Crashed => "crashed",
            Self::Unrecorded => "unrecorded",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Clean, Self::Crashed, Self::Unrecorded].into_iter().find(|end| end.name() == word)
    }
}

/// The end of the chain: what the next entry is chained to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chain {
    next: u64,
    last: Digest,
}

impl Chain {
    /// The chain before its first entry.
    pub const START: Self = Self { next: 0, last: Digest([0; 32]) };

    /// The line of the next entry, with its line end.
    #[must_use]
    pub fn append(&mut self, at: UnixMicros, entry: &Entry) -> String {
        let text = format!("{VERSION} {} {} {} ", self.next, at.0, Fields(entry));
        let hash = self.hash(text.as_bytes());
        *self = Self { next: self.next.saturating_add(1), last: hash };
        format!("{text}{}\n", hash.hex())
    }

    /// How many entries there are.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.next
    }

    /// The hash of the last entry.
    #[must_use]
    pub const fn last(&self) -> Digest {
        self.last
    }

    fn hash(&self, text: &[u8]) -> Digest {
        let hash = Sha256::new().chain_update(self.last.0).chain_update(text);
        Digest(hash.finalize().into())
    }
}

struct Fields<'a>(&'a Entry);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Entry::Opened { session, head } => write!(f, "opened {session} {}", head.hex()),
            Entry::Closed { session, root, end } => {
                write!(f, "closed {session} {} {}", root.hex(), end.name())
            }
            Entry::Cut { bytes } => write!(f, "cut {bytes}"),
        }
    }
}

/// Why a log is not whole.
#[derive(Debug, Error)]
pub enum BrokenLog {
    #[error("reading the log failed: {0}")]
    Io(#[from] io::Error),
    #[error("entry {entry} of the log is damaged: {what}")]
    Damaged { entry: u64, what: &'static str },
}

/// What the log says of one session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Logged {
    pub head: Digest,
    /// The root and how the session ended, once it has.
    pub closed: Option<(Digest, Ending)>,
}

/// A verified log.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub chain: Chain,
    /// How many bytes hold whole entries.
    pub whole_bytes: u64,
    /// How many bytes of a half-written line follow them.
    pub torn_bytes: u64,
    sessions: BTreeMap<SessionId, Logged>,
}

/// How a recording and the log disagree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Finding {
    #[error("the log does not know this recording")]
    Unlogged,
    #[error("the log knows this session, its recording is missing")]
    Missing,
    #[error("the recording's header is not the one the log knows")]
    OtherHeader,
    #[error("the recording's root is not the one the log knows")]
    OtherRoot,
    #[error("the log says that the recording was closed, its end is missing")]
    Truncated,
    #[error("the recording was closed, the log does not say so")]
    Unclosed,
    #[error("the recording belongs to another session than its name says")]
    OtherSession,
}

/// Verifies a log and gives what it knows.
pub fn verify(mut input: impl BufRead) -> Result<Ledger, BrokenLog> {
    let mut ledger = Ledger { chain: Chain::START, whole_bytes: 0, torn_bytes: 0, sessions: BTreeMap::new() };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? as u64;
        let damaged = |what| BrokenLog::Damaged { entry: ledger.chain.next, what };
        let Some(text) = line.strip_suffix(b"\n") else {
            if read == LINE_BYTES {
                return Err(damaged("the line is too long"));
            }
            ledger.torn_bytes = read;
            return Ok(ledger);
        };
        let text = std::str::from_utf8(text).map_err(|_| damaged("the line is not text"))?;
        let (fields, hash) = parse(text, ledger.chain.next).map_err(damaged)?;
        let covered = text.len().saturating_sub(64);
        let expected = ledger.chain.hash(text.as_bytes().get(..covered).unwrap_or_default());
        if expected != hash {
            return Err(damaged("it does not follow the entry before it"));
        }
        ledger.enter(fields)?;
        ledger.chain.last = hash;
        ledger.chain.next = ledger.chain.next.saturating_add(1);
        ledger.whole_bytes = ledger.whole_bytes.saturating_add(read);
    }
}

impl Ledger {
    /// What the log says of a session.
    #[must_use]
    pub fn session(&self, session: &SessionId) -> Option<&Logged> {
        self.sessions.get(session)
    }

    /// Every session the log knows, by id.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, &Logged)> {
        self.sessions.iter()
    }

    /// Compares a verified recording, stored under a session's name, with the log.
    #[must_use]
    pub fn check(&self, session: &SessionId, found: &Verified) -> Option<Finding> {
        if found.header.session != *session {
            return Some(Finding::OtherSession);
        }
        let Some(logged) = self.sessions.get(session) else {
            return Some(Finding::Unlogged);
        };
        if logged.head != found.head {
            return Some(Finding::OtherHeader);
        }
        match (logged.closed, found.end) {
            (Some((root, _)), End::Clean) => (root != found.root).then_some(Finding::OtherRoot),
            (Some(_), End::Torn { .. }) => Some(Finding::Truncated),
            (None, End::Clean) => Some(Finding::Unclosed),
            (None, End::Torn { .. }) => None,
        }
    }

    /// The sessions of the log that no recording is there for.
    pub fn missing<'a>(&'a self, present: &'a BTreeSet<SessionId>) -> impl Iterator<Item = &'a SessionId> {
        self.sessions.keys().filter(|session| !present.contains(*session))
    }

    fn enter(&mut self, entry: Entry) -> Result<(), BrokenLog> {
        let damaged = |what| BrokenLog::Damaged { entry: self.chain.next, what };
        match entry {
            Entry::Opened { session, head } => {
                let logged = Logged { head, closed: None };
                if self.sessions.insert(session, logged).is_some() {
                    return Err(damaged("the session was opened before"));
                }
            }
            Entry::Closed { session, root, end } => {
                let Some(logged) = self.sessions.get_mut(&session) else {
                    return Err(damaged("the session was not opened"));
                };
                if logged.closed.replace((root, end)).is_some() {
                    return Err(damaged("the session was closed before"));
                }
            }
            Entry::Cut { .. } => {}
        }
        Ok(())
    }
}

fn parse(line: &str, expected_seq: u64) -> Result<(Entry, Digest), &'static str> {
    const SHAPE: &str = "it is not an entry";
    let mut fields = line.split(' ');
    let mut next = || fields.next().ok_or(SHAPE);
    if next()? != VERSION {
        return Err("its version is unknown");
    }
    if next()?.parse() != Ok(expected_seq) {
        return Err("it is not the next entry");
    }
    let _at: i64 = next()?.parse().map_err(|_| SHAPE)?;
    let entry = match next()? {
        "opened" => {
            Entry::Opened { session: SessionId::new(next()?).map_err(|_| SHAPE)?, head: digest(next()?).ok_or(SHAPE)? }
        }
        "closed" => Entry::Closed {
            session: SessionId::new(next()?).map_err(|_| SHAPE)?,
            root: digest(next()?).ok_or(SHAPE)?,
            end: Ending::parse(next()?).ok_or(SHAPE)?,
        },
        "cut" => Entry::Cut { bytes: next()?.parse().map_err(|_| SHAPE)? },
        _ => return Err(SHAPE),
    };
    let hash = digest(next()?).ok_or(SHAPE)?;
    if fields.next().is_some() { Err(SHAPE) } else { Ok((entry, hash)) }
}

/// 64 lower-case hexadecimal characters.
fn digest(hex: &str) -> Option<Digest> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair.first_chunk::<2>()?;
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(Digest(bytes))
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
