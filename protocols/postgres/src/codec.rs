//! Bytes into frames with exact consumption.

use bytes::{Bytes, BytesMut};
use sluice_wire::{Side, Violation};

use crate::frame::{Extent, Frame};

/// Upper limit of a statement frame (`Q`, `P`), in bytes; PostgreSQL's own is 1 GB.
pub(crate) const MAX_STATEMENT_BYTES: usize = 16 * 1024 * 1024;
/// Upper limit of every other frame that is held whole, in bytes.
pub(crate) const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;
/// A run of rows is closed once it has this many bytes.
const RUN_BYTES: usize = 64 * 1024;
/// A row or copy chunk over this size passes in pieces.
const PIECE_BYTES: usize = 256 * 1024;

/// What a client may send after sign-in.
const CLIENT_TAGS: &[u8] = b"QPBEDCHSXFdcf";
/// What a server may send after sign-in.
const SERVER_TAGS: &[u8] = b"SZTDCIENAGHW123ntsdcKRV";

/// The codec of one flow.
#[derive(Debug, Default)]
pub struct Codec {
    /// The rest of a large row or copy chunk that passes in pieces: its tag and the bytes still to come.
    piece: Option<(u8, usize)>,
}

/// Tag and whole length (with tag) of the frame at the front, if its header is there.
fn header(side: Side, bytes: &[u8]) -> Result<Option<(u8, usize)>, Violation> {
    let Some((&tag, after)) = bytes.split_first() else { return Ok(None) };
    let Some(length) = after.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    let known = match side {
        Side::Client => CLIENT_TAGS,
        Side::Server => SERVER_TAGS,
    };
    if !known.contains(&tag) {
        return Err(Violation { side, what: "unknown message type" });
    }
    if length < 4 || length > i32::MAX.unsigned_abs() {
        return Err(Violation { side, what: "invalid message length" });
    }
    let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
    Ok(Some((tag, whole)))
}

const fn flows(side: Side, tag: u8) -> bool {
    match side {
        Side::Client => tag == b'd',
        Side::Server => tag == b'D' || tag == b'd',
    }
}

const fn limit(side: Side, tag: u8) -> usize {
    match (side, tag) {
        (Side::Client, b'Q' | b'P') => MAX_STATEMENT_BYTES,
        (Side::Client | Side::Server, _) => MAX_FRAME_BYTES,
    }
}

impl Codec {
    fn next_piece(&mut self, tag: u8, left: usize, extent: Extent, buf: &mut BytesMut) -> Option<Frame> {
        let now = left.min(buf.len());
        if now == 0 {
            return None;
        }
        self.piece = (left > now).then_some((tag, left - now));
        Some(Frame::framed(tag, buf.split_to(now).freeze(), extent))
    }

    /// As many adjacent whole frames of the same tag as are buffered: rows cost no allocation each.
    fn run(&mut self, side: Side, first: (u8, usize), buf: &mut BytesMut) -> Option<Frame> {
        let (tag, whole) = first;
        if whole > buf.len() {
            return if whole > PIECE_BYTES { self.next_piece(tag, whole, Extent::First, buf) } else { None };
        }
        let mut end = whole;
        while end < RUN_BYTES {
            // A bad header ends the run here and is reported when it is the first.
            match header(side, buf.get(end..).unwrap_or_default()) {
                Ok(Some((next, length))) if next == tag && end.saturating_add(length) <= buf.len() => end += length,
                Ok(_) | Err(_) => break,
            }
        }
        Some(Frame::framed(tag, buf.split_to(end).freeze(), Extent::Whole))
    }
}

impl sluice_wire::Codec for Codec {
    type Frame = Frame;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Frame>, Violation> {
        if let Some((tag, left)) = self.piece {
            return Ok(self.next_piece(tag, left, Extent::Later, buf));
        }
        let Some((tag, whole)) = header(from, buf)? else { return Ok(None) };
        if flows(from, tag) {
            return Ok(self.run(from, (tag, whole), buf));
        }
        if whole > limit(from, tag) {
            return Err(Violation { side: from, what: "message is larger than its limit" });
        }
        if buf.len() < whole {
            buf.reserve((whole - buf.len()).min(PIECE_BYTES));
            return Ok(None);
        }
        Ok(Some(Frame::framed(tag, buf.split_to(whole).freeze(), Extent::Whole)))
    }

    fn encode(&mut self, frame: Frame) -> Bytes {
        frame.into_bytes()
    }
}
