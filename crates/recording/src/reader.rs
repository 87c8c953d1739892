//! Segments back into events, checking everything on the way.

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest as _, Sha256};
use sluice_model::Digest;
use thiserror::Error;

use crate::decode;
use crate::event::Stored;
use crate::frame::{
    CONTINUES, FOOTER, FOOTER_BYTES, Footer, Header, RAW, SEGMENT, SEGMENT_BYTES, SEGMENT_HEAD, SEGMENT_TAIL,
    SegmentHead, UNFINISHED, ZSTD, fill, read_header,
};
use crate::writer::{MAX_EVENT_BYTES, encoded_len};

/// Why a recording cannot be read on.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("reading the recording failed: {0}")]
    Io(#[from] io::Error),
    /// Also a recording that was torn inside its header.
    #[error("this is not a recording")]
    NotARecording,
    #[error("the recording has version {version}, format {format}, which this program does not read")]
    Unsupported { version: u16, format: u16 },
    /// A record is not what was written. Everything before it is.
    #[error("segment {segment} at byte {byte} is damaged: {what}; events from {first_seq} are lost")]
    Damaged {
        segment: u64,
        /// Where the record starts.
        byte: u64,
        /// The first event that cannot be trusted.
        first_seq: u64,
        /// The last event of the damaged record, where its own head can still be trusted.
        last_seq: Option<u64>,
        what: &'static str,
    },
    #[error("reading stopped at an earlier error")]
    Stopped,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// With its footer, as it was closed.
    Clean,
    /// In the middle: the session is open, or the broker stopped without closing it.
    Torn {
        /// Everything before this byte is verified; nothing after it is part of the recording.
        at_byte: u64,
        /// The last verified event.
        last_seq: Option<u64>,
    },
}

/// What was verified from a recording's first byte to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    pub header: Header,
    /// SHA-256 of the header, as the node's log has it.
    pub head: Digest,
    /// The root that stands in the footer; for a torn recording, the root it would have had.
    pub root: Digest,
    pub segments: u64,
    pub events: u64,
    pub end: End,
    /// Where a [`crate::Writer`] may go on after the rest was cut off.
    pub resume: Resume,
}

/// The state of a recording between two segments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resume {
    pub at_byte: u64,
    pub events: u64,
    pub segments: u64,
    /// The hash of the last segment, or of the header.
    pub last: Digest,
    /// The latest time of an event.
    pub at_ns: u64,
}

/// Verifies a whole recording, one segment in memory at a time.
pub fn verify(input: impl Read) -> Result<Verified, Unreadable> {
    let mut reader = Reader::open(input)?;
    while reader.next_event()?.is_some() {}
    reader.verified().ok_or(Unreadable::Stopped)
}

/// Gives a recording's events in order. An event comes out only after its segment was verified.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    head: Digest,
    /// Bytes taken from `input`.
    at: u64,
    /// Where the newest segment starts.
    segment_at: u64,
    segments: u64,
    last: Digest,
    /// Verified events, the last one perhaps unfinished, and how far they were given out.
    buffer: Vec<u8>,
    given: usize,
    next_seq: u64,
    /// How many events the verified segments hold.
    events: u64,
    unfinished: bool,
    at_ns: u64,
    safe: Resume,
    /// As [`Reader::safe`], before the newest segment, or before the first of those that an event is in.
    before: Resume,
    state: State,
}

/// A place in a recording that a [`Reader`] has come to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    before: Resume,
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    Ended(End),
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads and checks the header.
    pub fn open(mut input: R) -> Result<Self, Unreadable> {
        let (header, head, at) = read_header(&mut input)?;
        let safe = Resume { at_byte: at, events: 0, segments: 0, last: head, at_ns: 0 };
        Ok(Self {
            input,
            header,
            head,
            at,
            segment_at: at,
            segments: 0,
            last: head,
            buffer: Vec::new(),
            given: 0,
            next_seq: 0,
            events: 0,
            unfinished: false,
            at_ns: 0,
            safe,
            before: safe,
            state: State::Open,
        })
    }

    /// The next event; `None` at the end, which [`Reader::verified`] then describes. After an error there is no more.
    pub fn next_event(&mut self) -> Result<Option<Stored<'_>>, Unreadable> {
        loop {
            if self.whole_event().is_some() {
                break;
            }
            match self.state {
                State::Ended(_) => return Ok(None),
                State::Failed => return Err(Unreadable::Stopped),
                State::Open => {}
            }
            if let Err(error) = self.load() {
                self.state = State::Failed;
                return Err(error);
            }
        }
        self.give()
    }

    /// What was verified, once the end was reached.
    #[must_use]
    pub fn verified(&self) -> Option<Verified> {
        let State::Ended(end) = self.state else {
            return None;
        };
        let resume = Resume { at_ns: self.at_ns, ..self.safe };
        let root = Footer::new(resume.segments, resume.events, resume.last).root;
        Some(Verified {
            header: self.header.clone(),
            head: self.head,
            root,
            segments: resume.segments,
            events: resume.events,
            end,
            resume,
        })
    }

    /// What the recording says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The place of the event that comes next.
    pub const fn mark(&self) -> Mark {
        Mark { before: self.before, seq: self.next_seq }
    }

    fn give(&mut self) -> Result<Option<Stored<'_>>, Unreadable> {
        let seq = self.next_seq;
        let damaged = self.damaged(self.segment_at, None, "an event is malformed");
        let from = self.given.saturating_add(4);
        let to = self.given.saturating_add(self.whole_event().unwrap_or(0));
        self.given = to;
        let decoded = self.buffer.get(from..to).map(decode::event);
        let Some(Ok((flow, at_ns, event))) = decoded else {
            self.state = State::Failed;
            self.given = self.buffer.len();
            return Err(damaged);
        };
        self.next_seq = seq.saturating_add(1);
        self.at_ns = self.at_ns.max(at_ns);
        Ok(Some(Stored { seq, flow, at_ns, event }))
    }

    /// The length of the next event if it is all there.
    fn whole_event(&self) -> Option<usize> {
        let len = encoded_len(&self.buffer, self.given)?;
        let there = self.buffer.len().saturating_sub(self.given);
        (len <= there).then_some(len)
    }

    /// Takes one record from the input.
    fn load(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let mut magic = [0; 4];
        if self.fill(&mut magic)? < magic.len() {
            return self.torn();
        }
        match magic {
            SEGMENT => self.load_segment(start),
            FOOTER => self.load_footer(start),
            // A file system may leave zeros where an append was under way when the power went.
            [0, 0, 0, 0] if self.only_zeros_follow()? => self.torn(),
            _ => Err(self.damaged(start, None, "it does not begin like a record")),
        }
    }

    fn load_segment(&mut self, start: u64) -> Result<(), Unreadable> {
        let mut bytes = [0; SEGMENT_HEAD];
        let (magic, rest) = bytes.split_at_mut(4);
        magic.copy_from_slice(&SEGMENT);
        if self.fill(rest)? < rest.len() {
            return self.torn();
        }
        let head = SegmentHead::decode(&bytes)
            .ok_or_else(|| self.damaged(start, None, "its head does not match its checksum"))?;
        self.check_head(&head).map_err(|what| self.damaged(start, None, what))?;
        let Some(payload) = self.payload(&head, &bytes, start)? else {
            return self.torn();
        };
        let damaged = |what| self.damaged(start, Some(head.last_seq), what);
        let raw = unpack(&head, payload).ok_or_else(|| damaged("its payload does not unpack"))?;
        self.take(&head, &raw).map_err(|what| self.damaged(start, Some(head.last_seq), what))?;
        self.segment_at = start;
        Ok(())
    }

    /// Whether a segment's head may follow what came before.
    fn check_head(&self, head: &SegmentHead) -> Result<(), &'static str> {
        let (stored, raw) = (head.stored as usize, head.raw as usize);
        let continues = head.flags & CONTINUES != 0;
        let split = head.flags & (CONTINUES | UNFINISHED) != 0;
        let sized = match head.codec {
            RAW => stored == raw,
            ZSTD => stored < raw,
            _ => return Err("its codec is unknown"),
        };
        if stored == 0 || !sized || raw > SEGMENT_BYTES {
            return Err("its lengths are impossible");
        }
        if head.number != self.segments {
            return Err("it is not the next segment");
        }
        if head.previous != self.last {
            return Err("it does not follow the segment before it");
        }
        if head.first_seq != self.events || head.last_seq < head.first_seq {
            return Err("its events do not follow those before it");
        }
        if continues != self.unfinished || (split && head.last_seq != head.first_seq) {
            return Err("it does not continue the event before it");
        }
        Ok(())
    }

    /// The payload as stored, hash and checksum verified; `None` if the input ends first.
    fn payload(
        &mut self,
        head: &SegmentHead,
        bytes: &[u8; SEGMENT_HEAD],
        start: u64,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut payload = vec![0; head.stored as usize];
        let mut tail = [0; SEGMENT_TAIL];
        if self.fill(&mut payload)? < payload.len() || self.fill(&mut tail)? < tail.len() {
            return Ok(None);
        }
        let (hash, crc) = tail.split_at(32);
        let mut sum = crc32fast::Hasher::new();
        for part in [&bytes[..], &payload, hash] {
            sum.update(part);
        }
        let expected = Sha256::new().chain_update(bytes).chain_update(&payload).finalize();
        if sum.finalize().to_le_bytes() != *crc || expected.as_slice() != hash {
            let what = "its payload does not match its hash";
            return Err(self.damaged(start, Some(head.last_seq), what));
        }
        self.last = Digest(expected.into());
        Ok(Some(payload))
    }

    /// Adds a verified payload to the buffer if it holds exactly the events that its head names.
    fn take(&mut self, head: &SegmentHead, raw: &[u8]) -> Result<(), &'static str> {
        if !self.unfinished {
            self.buffer.clear();
            self.given = 0;
            self.before = self.safe;
        }
        self.buffer.extend_from_slice(raw);
        let (mut at, mut count) = (self.given, 0_u64);
        while let Some(len) = encoded_len(&self.buffer, at) {
            if len > MAX_EVENT_BYTES {
                return Err("an event is larger than any may be");
            }
            let end = at.saturating_add(len);
            if end > self.buffer.len() {
                break;
            }
            (at, count) = (end, count.saturating_add(1));
        }
        let unfinished = head.flags & UNFINISHED != 0;
        let named = head.last_seq.saturating_sub(head.first_seq).saturating_add(1);
        let fits = if unfinished {
            count == 0 && self.buffer.len().saturating_sub(at) >= 4
        } else {
            count == named && at == self.buffer.len()
        };
        if !fits {
            return Err("it does not hold the events that its head names");
        }
        self.unfinished = unfinished;
        self.segments = self.segments.saturating_add(1);
        if !unfinished {
            self.events = self.events.saturating_add(count);
            self.safe =
                Resume { at_byte: self.at, events: self.events, segments: self.segments, last: self.last, at_ns: 0 };
        }
        Ok(())
    }

    fn load_footer(&mut self, start: u64) -> Result<(), Unreadable> {
        let mut bytes = [0; FOOTER_BYTES];
        let (magic, rest) = bytes.split_at_mut(4);
        magic.copy_from_slice(&FOOTER);
        if self.fill(rest)? < rest.len() {
            return self.torn();
        }
        let expected = Footer::new(self.segments, self.events, self.last);
        if self.unfinished || Footer::decode(&bytes) != Some(expected) {
            return Err(self.damaged(start, None, "the footer does not match the segments"));
        }
        if self.fill(&mut [0])? > 0 {
            return Err(self.damaged(self.at.saturating_sub(1), None, "bytes follow the footer"));
        }
        self.state = State::Ended(End::Clean);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends a loader, like its other ends")]
    fn torn(&mut self) -> Result<(), Unreadable> {
        self.state = State::Ended(End::Torn { at_byte: self.safe.at_byte, last_seq: self.safe.events.checked_sub(1) });
        Ok(())
    }

    fn only_zeros_follow(&mut self) -> Result<bool, Unreadable> {
        let mut chunk = [0; 4096];
        loop {
            let read = self.fill(&mut chunk)?;
            if chunk.iter().take(read).any(|byte| *byte != 0) {
                return Ok(false);
            }
            if read < chunk.len() {
                return Ok(true);
            }
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<usize, Unreadable> {
        let read = fill(&mut self.input, into)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }

    const fn damaged(&self, byte: u64, last_seq: Option<u64>, what: &'static str) -> Unreadable {
        Unreadable::Damaged { segment: self.segments, byte, first_seq: self.next_seq, last_seq, what }
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Goes back to a place where this reader has been, or ahead to one: what was verified up to there stays so, and what
    /// follows must still be what follows it.
    pub fn go_to(&mut self, mark: &Mark) -> Result<(), Unreadable> {
        self.state = State::Failed;
        let Mark { before, seq } = *mark;
        self.input.seek(SeekFrom::Start(before.at_byte))?;
        self.buffer.clear();
        (self.given, self.unfinished) = (0, false);
        (self.at, self.segment_at) = (before.at_byte, before.at_byte);
        (self.segments, self.last) = (before.segments, before.last);
        (self.events, self.next_seq) = (before.events, before.events);
        (self.safe, self.before) = (before, before);
        self.state = State::Open;
        while self.next_seq < seq {
            if self.next_event()?.is_none() {
                return Err(self.damaged(self.at, None, "it ends before where it was read to"));
            }
        }
        Ok(())
    }
}

fn unpack(head: &SegmentHead, payload: Vec<u8>) -> Option<Vec<u8>> {
    if head.codec == RAW {
        return Some(payload);
    }
    let raw = zstd::bulk::decompress(&payload, head.raw as usize).ok()?;
    (raw.len() == head.raw as usize).then_some(raw)
}
