//! Events into segments.

use std::cell::RefCell;

use sha2::{Digest as _, Sha256};
use sluice_model::{Digest, FlowId};
use thiserror::Error;
use zstd::bulk::Compressor;

use crate::batch::Batch;
use crate::encode;
use crate::event::Event;
use crate::frame::{CONTINUES, Footer, Header, RAW, SEGMENT_BYTES, SegmentHead, UNFINISHED, ZSTD};
use crate::reader::Resume;

/// The largest event, so that a reader's memory has a limit.
pub const MAX_EVENT_BYTES: usize = 64 << 20;

/// Payloads below this stay as they are: compressing them costs more time than it saves space.
const COMPRESS_FROM: usize = 4 << 10;
const ZSTD_LEVEL: i32 = 1;

thread_local! {
    // A compressor's tables take hundreds of kilobytes: one for each thread, not one for each session.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// An event has more than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("an event has {bytes} bytes, more than a recording takes ({MAX_EVENT_BYTES})")]
pub struct TooLarge {
    pub bytes: usize,
}

/// What a finished recording is known by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Root {
    pub digest: Digest,
    pub segments: u64,
    pub events: u64,
}

/// Turns events into the bytes of a recording. What was appended exists only once [`Writer::seal`] has been written out.
#[derive(Debug)]
pub struct Writer {
    /// Whole events, encoded, that no segment holds yet.
    pending: Vec<u8>,
    /// How many events were appended.
    events: u64,
    /// How many events the segments hold.
    sealed_events: u64,
    segments: u64,
    last: Digest,
}

impl Writer {
    /// Begins a recording; its header is appended to `out`. The digest of the header is what the node's log keeps.
    pub fn begin(header: &Header, out: &mut Vec<u8>) -> (Self, Digest) {
        let bytes = header.encode();
        let digest = Digest(Sha256::digest(&bytes).into());
        out.extend_from_slice(&bytes);
        (Self::at(0, 0, digest), digest)
    }

    /// Goes on where a torn recording was cut back to.
    #[must_use]
    pub const fn resume(from: &Resume) -> Self {
        Self::at(from.events, from.segments, from.last)
    }

    const fn at(events: u64, segments: u64, last: Digest) -> Self {
        Self { pending: Vec::new(), events, sealed_events: events, segments, last }
    }

    /// Copies an event into the next segment and gives its sequence number; nothing changes on an error.
    pub fn append(&mut self, flow: FlowId, at_ns: u64, event: &Event<'_>) -> Result<u64, TooLarge> {
        let before = self.pending.len();
        encode::event(&mut self.pending, flow, at_ns, event);
        let bytes = self.pending.len().saturating_sub(before);
        if bytes > MAX_EVENT_BYTES {
            self.pending.truncate(before);
            return Err(TooLarge { bytes });
        }
        let seq = self.events;
        self.events = self.events.saturating_add(1);
        Ok(seq)
    }

    /// Takes the events of a batch into the next segment and empties it.
    pub fn take(&mut self, batch: &mut Batch) {
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, &mut batch.bytes);
        } else {
            self.pending.extend_from_slice(&batch.bytes);
        }
        self.events = self.events.saturating_add(batch.count);
        batch.clear();
    }

    /// Appends everything that is pending to `out`, as one segment; more only if it is above [`SEGMENT_BYTES`].
    pub fn seal(&mut self, out: &mut Vec<u8>) {
        let pending = std::mem::take(&mut self.pending);
        let mut left = pending.as_slice();
        while let Some(run) = Run::first(left) {
            let (now, later) = left.split_at_checked(run.bytes).unwrap_or((left, &[]));
            self.seal_run(now, run.events, out);
            left = later;
        }
        self.pending = pending;
        self.pending.clear();
        // One large commit must not pin its buffer for the rest of a session.
        self.pending.shrink_to(SEGMENT_BYTES);
    }

    /// Appends what is pending and the footer to `out`.
    #[must_use]
    pub fn finish(mut self, out: &mut Vec<u8>) -> Root {
        self.seal(out);
        let footer = Footer::new(self.segments, self.sealed_events, self.last);
        out.extend_from_slice(&footer.encode());
        Root { digest: footer.root, segments: footer.segments, events: footer.events }
    }

    /// The state after the last seal, whose bytes end at `at_byte`; `at_ns` is the latest time of an event.
    #[must_use]
    pub const fn sealed(&self, at_byte: u64, at_ns: u64) -> Resume {
        Resume { at_byte, events: self.sealed_events, segments: self.segments, last: self.last, at_ns }
    }

    /// How many bytes wait for the next segment.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// How many events were appended.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Seals whole events that fit one segment, or one event that needs several.
    fn seal_run(&mut self, run: &[u8], events: u64, out: &mut Vec<u8>) {
        let first_seq = self.sealed_events;
        let last_seq = first_seq.saturating_add(events.saturating_sub(1));
        let mut chunks = run.chunks(SEGMENT_BYTES).peekable();
        let mut flags = 0;
        while let Some(payload) = chunks.next() {
            let unfinished = if chunks.peek().is_some() { UNFINISHED } else { 0 };
            self.seal_payload(payload, flags | unfinished, (first_seq, last_seq), out);
            flags = CONTINUES;
        }
        self.sealed_events = self.sealed_events.saturating_add(events);
    }

    fn seal_payload(&mut self, raw: &[u8], flags: u8, (first_seq, last_seq): (u64, u64), out: &mut Vec<u8>) {
        let start = out.len();
        // The head is written twice: its place first, and once the stored length is known, its fields.
        let head_bytes = [0; crate::frame::SEGMENT_HEAD];
        out.extend_from_slice(&head_bytes);
        let codec = store(raw, out);
        let stored = out.len().saturating_sub(start).saturating_sub(head_bytes.len());
        let head = SegmentHead {
            codec,
            flags,
            // INVARIANT: neither exceeds SEGMENT_BYTES, which fits.
            stored: u32::try_from(stored).unwrap_or(u32::MAX),
            raw: u32::try_from(raw.len()).unwrap_or(u32::MAX),
            number: self.segments,
            first_seq,
            last_seq,
            previous: self.last,
        };
        if let Some(place) = out.get_mut(start..).and_then(|s| s.first_chunk_mut()) {
            *place = head.encode();
        }
        let hash: [u8; 32] = Sha256::digest(out.get(start..).unwrap_or_default()).into();
        out.extend_from_slice(&hash);
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        self.last = Digest(hash);
        self.segments = self.segments.saturating_add(1);
    }
}

/// What goes together: as many whole events as one segment takes, or one event that is larger.
struct Run {
    bytes: usize,
    events: u64,
}

impl Run {
    fn first(pending: &[u8]) -> Option<Self> {
        let mut run = Self { bytes: 0, events: 0 };
        while let Some(len) = encoded_len(pending, run.bytes) {
            let with = run.bytes.saturating_add(len);
            if run.events > 0 && with > SEGMENT_BYTES {
                break;
            }
            run.bytes = with;
            run.events = run.events.saturating_add(1);
        }
        (run.events > 0).then_some(run)
    }
}

/// The length of the event at an offset, its length field included; `None` at the end.
pub(crate) fn encoded_len(events: &[u8], at: usize) -> Option<usize> {
    let field = events.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()?.checked_add(4)
}

/// Appends a payload, compressed where that pays, and says how.
fn store(raw: &[u8], out: &mut Vec<u8>) -> u8 {
    if raw.len() >= COMPRESS_FROM && compress(raw, out) {
        return ZSTD;
    }
    out.extend_from_slice(raw);
    RAW
}

/// Appends the compressed payload; `false`, and nothing appended, if it is not smaller or cannot be made.
fn compress(raw: &[u8], out: &mut Vec<u8>) -> bool {
    COMPRESSOR.with_borrow_mut(|cell| {
        if cell.is_none() {
            *cell = Compressor::new(ZSTD_LEVEL).ok();
        }
        let Some(compressor) = cell else { return false };
        let start = out.len();
        // Room for less than the payload: what would not be smaller fails instead.
        out.resize(start.saturating_add(raw.len()).saturating_sub(1), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let stored = compressor.compress_to_buffer(raw, room).ok();
        out.truncate(start.saturating_add(stored.unwrap_or(0)));
        stored.is_some()
    })
}
