//! The container's layout, shared by its writer and its reader. All numbers are little-endian.
//!
//! ```text
//! header   "sluicrec" · version u16 · format u16 · anchor_us i64 · id_len u16 · session id · crc u32
//! segment  "SEGM" · codec u8 · flags u8 · zero u16 · stored u32 · raw u32 · number u64
//!          · first_seq u64 · last_seq u64 · previous hash [32] · crc u32                     (80 bytes)
//!          · payload [stored] · hash [32] · crc u32
//! footer   "FOOT" · zero u32 · segments u64 · events u64 · last hash [32] · root [32] · crc u32  (92 bytes)
//! ```
//! A segment's hash is SHA-256 over its 80 bytes and its payload as stored. The first segment follows the header's
//! hash, SHA-256 over the header. The root is SHA-256 over the footer's bytes before it. A CRC covers everything of
//! its record that stands before it, so that a damaged length is never believed.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use sluice_model::{Digest, SessionId, UnixMicros};

use crate::reader::Unreadable;

/// How many bytes of events one segment holds at most.
pub const SEGMENT_BYTES: usize = 1 << 20;

pub(crate) const MAGIC: [u8; 8] = *b"sluicrec";
pub(crate) const VERSION: u16 = 1;
/// Not encrypted. A sealed format gets the next number.
pub(crate) const PLAIN: u16 = 0;

pub(crate) const SEGMENT: [u8; 4] = *b"SEGM";
pub(crate) const SEGMENT_HEAD: usize = 80;
pub(crate) const SEGMENT_TAIL: usize = 36;
pub(crate) const FOOTER: [u8; 4] = *b"FOOT";
pub(crate) const FOOTER_BYTES: usize = 92;
pub(crate) const HEADER_FIXED: usize = 22;

pub(crate) const RAW: u8 = 0;
pub(crate) const ZSTD: u8 = 1;
/// The payload begins inside an event of the segment before.
pub(crate) const CONTINUES: u8 = 1;
/// The payload ends inside an event.
pub(crate) const UNFINISHED: u8 = 2;

/// What a recording says of itself before its first event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    pub session: SessionId,
    /// The wall-clock time that events count their nanoseconds from.
    pub anchor: UnixMicros,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let id = self.session.as_str().as_bytes();
        // An id has at most 128 bytes.
        let id_len = u16::try_from(id.len()).unwrap_or(u16::MAX);
        let mut out = Vec::with_capacity(HEADER_FIXED + id.len() + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&PLAIN.to_le_bytes());
        out.extend_from_slice(&self.anchor.0.to_le_bytes());
        out.extend_from_slice(&id_len.to_le_bytes());
        out.extend_from_slice(id);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }
}

/// The 80 bytes before a segment's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentHead {
    pub(crate) codec: u8,
    pub(crate) flags: u8,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) previous: Digest,
}

impl SegmentHead {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEAD] {
        let mut out = [0; SEGMENT_HEAD];
        let mut at = Fill(&mut out);
        at.put(SEGMENT);
        at.put([self.codec, self.flags, 0, 0]);
        at.put(self.stored.to_le_bytes());
        at.put(self.raw.to_le_bytes());
        at.put(self.number.to_le_bytes());
        at.put(self.first_seq.to_le_bytes());
        at.put(self.last_seq.to_le_bytes());
        at.put(self.previous.0);
        let (covered, crc) = out.split_at_mut(SEGMENT_HEAD - 4);
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        out
    }

    /// `None` if the CRC, the magic or a reserved bit is not as it must be.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let mut at = checked(bytes)?;
        let magic: [u8; 4] = at.take()?;
        let [codec, flags, zero, zero_too] = at.take()?;
        let head = Self {
            codec,
            flags,
            stored: u32::from_le_bytes(at.take()?),
            raw: u32::from_le_bytes(at.take()?),
            number: u64::from_le_bytes(at.take()?),
            first_seq: u64::from_le_bytes(at.take()?),
            last_seq: u64::from_le_bytes(at.take()?),
            previous: Digest(at.take()?),
        };
        let known = flags & !(CONTINUES | UNFINISHED) == 0 && zero == 0 && zero_too == 0;
        (magic == SEGMENT && known).then_some(head)
    }
}

/// The last bytes of a recording that ended well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Footer {
    pub(crate) segments: u64,
    pub(crate) events: u64,
    pub(crate) last: Digest,
    pub(crate) root: Digest,
}

impl Footer {
    pub(crate) fn new(segments: u64, events: u64, last: Digest) -> Self {
        let mut footer = Self { segments, events, last, root: Digest([0; 32]) };
        let bytes = footer.encode();
        let (covered, _) = bytes.split_at(FOOTER_BYTES - 36);
        footer.root = Digest(Sha256::digest(covered).into());
        footer
    }

    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        let mut at = Fill(&mut out);
        at.put(FOOTER);
        at.put([0; 4]);
        at.put(self.segments.to_le_bytes());
        at.put(self.events.to_le_bytes());
        at.put(self.last.0);
        at.put(self.root.0);
        let (covered, crc) = out.split_at_mut(FOOTER_BYTES - 4);
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        out
    }

    /// `None` unless every byte is what [`Footer::new`] would have written for the same counts and hash.
    pub(crate) fn decode(bytes: &[u8; FOOTER_BYTES]) -> Option<Self> {
        let mut at = checked(bytes)?;
        let (_, _): ([u8; 4], [u8; 4]) = (at.take()?, at.take()?);
        let segments = u64::from_le_bytes(at.take()?);
        let events = u64::from_le_bytes(at.take()?);
        let footer = Self::new(segments, events, Digest(at.take()?));
        (footer.encode() == *bytes).then_some(footer)
    }
}

/// The bytes before the last four, if those four are their CRC.
pub(crate) fn checked(bytes: &[u8]) -> Option<Take<'_>> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(covered).to_le_bytes() == *crc).then_some(Take(covered))
}

/// Takes fixed-size fields from the front.
pub(crate) struct Take<'a>(&'a [u8]);

impl Take<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Fills a fixed-size record from the front.
struct Fill<'a>(&'a mut [u8]);

impl Fill<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        if let Some((first, rest)) = std::mem::take(&mut self.0).split_first_chunk_mut() {
            *first = field;
            self.0 = rest;
        }
    }
}

/// Reads and checks the header; gives its digest and its length too.
pub(crate) fn read_header(input: &mut impl Read) -> Result<(Header, Digest, u64), Unreadable> {
    let mut bytes = vec![0; HEADER_FIXED];
    if fill(input, &mut bytes)? < HEADER_FIXED || !bytes.starts_with(&MAGIC) {
        return Err(Unreadable::NotARecording);
    }
    let id_len = bytes.last_chunk().map_or(0, |len| u16::from_le_bytes(*len));
    bytes.resize(HEADER_FIXED + usize::from(id_len) + 4, 0);
    let rest = bytes.get_mut(HEADER_FIXED..).unwrap_or_default();
    if fill(input, rest)? < rest.len() {
        return Err(Unreadable::NotARecording);
    }
    let header = parse_header(&bytes)?;
    let head = Digest(Sha256::digest(&bytes).into());
    Ok((header, head, bytes.len() as u64))
}

fn parse_header(bytes: &[u8]) -> Result<Header, Unreadable> {
    let mut at = checked(bytes).ok_or(Unreadable::NotARecording)?;
    let fields = at.take::<8>().zip(at.take()).zip(at.take()).zip(at.take());
    let (((_, version), format), anchor) = fields.ok_or(Unreadable::NotARecording)?;
    let (version, format) = (u16::from_le_bytes(version), u16::from_le_bytes(format));
    if version != VERSION || format != PLAIN {
        return Err(Unreadable::Unsupported { version, format });
    }
    let id = bytes.get(HEADER_FIXED..bytes.len().saturating_sub(4));
    let id = std::str::from_utf8(id.unwrap_or_default()).map_err(|_| Unreadable::NotARecording)?;
    Ok(Header {
        session: SessionId::new(id).map_err(|_| Unreadable::NotARecording)?,
        anchor: UnixMicros(i64::from_le_bytes(anchor)),
    })
}

/// Reads until `into` is full or the input ends.
pub(crate) fn fill(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
