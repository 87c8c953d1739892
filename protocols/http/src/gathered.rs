//! Bodies that are read before they are looked at, and the room that all of them have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use sluice_mask::json::Document;

/// The room that all bodies have which are read at one time, in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    limit: u64,
    taken: AtomicU64,
}

impl Room {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, taken: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= self.limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

/// Why a piece is one too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TooMuch {
    /// The body is larger than it may be.
    Body,
    /// All bodies together are.
    All,
}

/// A body that is put together from pieces, up to a limit.
#[derive(Debug)]
pub(crate) struct Gathered {
    bytes: BytesMut,
    limit: usize,
    share: Share,
}

/// What one body has of the room. It is given back once nothing of the body is left anywhere.
#[derive(Debug)]
struct Share {
    room: Arc<Room>,
    bytes: u64,
}

impl Gathered {
    pub(crate) fn new(limit: u64, room: &Arc<Room>) -> Self {
        let share = Share { room: Arc::clone(room), bytes: 0 };
        Self { bytes: BytesMut::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX), share }
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooMuch> {
        if self.bytes.len().saturating_add(piece.len()) > self.limit {
            return Err(TooMuch::Body);
        }
        if !self.share.grow(weight(piece)) {
            return Err(TooMuch::All);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// How many bytes came.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The body. Its share lives as long as its bytes.
    pub(crate) fn take(&mut self) -> Bytes {
        let share = Share { room: Arc::clone(&self.share.room), bytes: std::mem::take(&mut self.share.bytes) };
        Bytes::from_owner(Owned { bytes: self.bytes.split().freeze(), _share: share })
    }
}

/// The memory that a piece takes while it is looked into: its bytes, and those of a node for each part of JSON in it.
fn weight(piece: &[u8]) -> u64 {
    let parts = piece.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    (piece.len() as u64).saturating_add((parts as u64).saturating_mul(Document::NODE_BYTES))
}

/// The same bytes with the room that they take by themselves, for a body that waits; as they are where there is none.
pub(crate) fn at_rest(bytes: Bytes, room: &Arc<Room>) -> Bytes {
    let mut share = Share { room: Arc::clone(room), bytes: 0 };
    if !share.grow(bytes.len() as u64) {
        return bytes;
    }
    Bytes::from_owner(Owned { bytes: Bytes::copy_from_slice(&bytes), _share: share })
}

impl Share {
    fn grow(&mut self, bytes: u64) -> bool {
        let fits = self.room.take(bytes);
        if fits {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body with its share.
struct Owned {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_room_for_as_long_as_their_bytes_live() {
        let room = Arc::new(Room::new(10));
        let gathered = || Gathered::new(8, &room);
        let (mut one, mut two) = (gathered(), gathered());
        assert_eq!(one.push(b"12345678"), Ok(()));
        assert_eq!(one.push(b"9"), Err(TooMuch::Body));
        assert_eq!(two.push(b"123"), Err(TooMuch::All));
        assert_eq!(two.push(b"12"), Ok(()));
        let body = one.take();
        drop(one);
        assert_eq!(two.push(b"3"), Err(TooMuch::All));
        let part = body.slice(2..4);
        drop(body);
        assert_eq!((&part[..], two.push(b"3")), (&b"34"[..], Err(TooMuch::All)));
        drop(part);
        assert_eq!(two.push(b"345678"), Ok(()));
        drop(two);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_made_of_a_body_takes_room_until_it_rests() {
        let room = Arc::new(Room::new(100));
        let gathered = || Gathered::new(100, &room);
        assert_eq!(gathered().push(b"[0,0,0,0,0]"), Err(TooMuch::All));
        let mut one = gathered();
        assert_eq!(one.push(b"[0,0]"), Ok(()));
        let body = one.take();
        assert_eq!(room.taken.load(Ordering::Relaxed), 5 + 2 * Document::NODE_BYTES);
        let body = at_rest(body, &room);
        assert_eq!((&body[..], room.taken.load(Ordering::Relaxed)), (&b"[0,0]"[..], 5));
        drop(body);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
