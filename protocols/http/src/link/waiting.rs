//! What a client has not taken of its answer, and the room for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::gathered::{Share, compact};

/// The pieces of one answer that are not written yet. Where there is no room for one, none follows before all are.
pub(super) struct Waiting {
    share: Share,
    unwritten: Arc<Unwritten>,
    /// There was no room for the last piece.
    is_crowded: bool,
}

/// Pieces that somebody still has, be it the link or hyper.
#[derive(Default)]
struct Unwritten {
    pieces: AtomicUsize,
    feeder: AtomicWaker,
}

/// A piece that was not written.
struct Piece {
    bytes: Bytes,
    _room: Option<Share>,
    unwritten: Arc<Unwritten>,
}

impl Waiting {
    /// Nothing waits yet.
    pub(super) fn new(share: Share) -> Self {
        Self { share, unwritten: Arc::default(), is_crowded: false }
    }

    /// A piece, which waits from now on.
    pub(super) fn keep(&mut self, piece: &Bytes) -> Bytes {
        let room = self.share.wait(piece).ok();
        self.is_crowded = room.is_none();
        self.unwritten.pieces.fetch_add(1, Ordering::AcqRel);
        Bytes::from_owner(Piece { bytes: compact(piece), _room: room, unwritten: Arc::clone(&self.unwritten) })
    }

    /// Whether nothing may follow now. Whoever is told so by this is woken once something may.
    pub(super) fn is_full(&self) -> bool {
        self.is_crowded && self.unwritten.pieces.load(Ordering::Acquire) > 0
    }

    /// Wakes this task once everything is written.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        self.unwritten.feeder.register(cx.waker());
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.unwritten.pieces.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.unwritten.feeder.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::gathered::Room;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_has_no_room_is_written_before_more_is_taken() {
        let room = Room::new(1 << 20);
        let piece = Bytes::from(vec![7; 20_000]);
        let [mut one, mut two] = [(); 2].map(|()| Waiting::new(room.share_of_waiting(&Arc::from("ann"))));
        let first = one.keep(&piece);
        assert!(!one.is_full());
        let second = two.keep(&piece);
        assert!(two.is_full(), "both are of one person");
        let more = one.keep(&piece);
        assert!(one.is_full());
        drop(first);
        assert!(one.is_full(), "not all of it is written");
        let woken = Arc::new(Woken::default());
        two.watch(&Context::from_waker(&Waker::from(Arc::clone(&woken))));
        let part = second.slice(7..8);
        drop(second);
        assert!(!woken.0.load(Ordering::Relaxed));
        drop(part);
        assert!(woken.0.load(Ordering::Relaxed), "nobody else tells that there is room");
        assert!(!two.is_full());
        drop((two.keep(&piece), more));
        assert!(!two.is_full() && !one.is_full());
    }

    #[test]
    fn small_pieces_keep_no_buffer() {
        let mut waiting = Waiting::new(Room::new(1 << 20).share_of_waiting(&Arc::from("ann")));
        let buffer = Bytes::from(vec![7; 64 << 10]);
        for (part, is_kept) in [(buffer.slice(..100), false), (buffer.slice(..10_000), true)] {
            let kept = waiting.keep(&part);
            assert_eq!((&kept[..], kept.as_ptr() == buffer.as_ptr()), (&part[..], is_kept));
        }
    }
}
