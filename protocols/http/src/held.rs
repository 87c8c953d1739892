//! The beginning of an answer that people are asked about before anything of it is shown.

use bytes::Bytes;

use crate::gathered::{Share, compact, weight};

/// What came of an answer before it was ruled on.
pub(crate) struct Held {
    pieces: Vec<Bytes>,
    bytes: usize,
    share: Share,
    is_crowded: bool,
}

impl Held {
    /// More than this is not read of an answer that is asked about.
    const BYTES: usize = 64 << 10;

    pub(crate) const fn new(share: Share) -> Self {
        Self { pieces: Vec::new(), bytes: 0, share, is_crowded: false }
    }

    pub(crate) fn push(&mut self, piece: &Bytes) {
        self.bytes = self.bytes.saturating_add(weight(piece));
        let held = self.share.hold(piece);
        self.is_crowded |= held.is_err();
        self.pieces.push(held.unwrap_or_else(|_| compact(piece)));
    }

    /// Everything that came.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.pieces)
    }

    /// Whether more may be read: one piece is, even where there is no room for it.
    pub(crate) const fn has_room(&self) -> bool {
        !self.is_crowded && self.bytes < Self::BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gathered::Room;

    fn kept(held: &mut Held, piece: usize) -> usize {
        std::iter::repeat_with(|| held.has_room().then(|| held.push(&Bytes::from(vec![7; piece]))))
            .map_while(|more| more)
            .count()
    }

    #[test]
    fn little_is_read_before_it_is_ruled_on_and_less_without_room() {
        let who = Arc::from("ann");
        let room = Room::new(16 << 20);
        let of = || Held::new(room.share_of_answers(&who));
        assert_eq!(kept(&mut of(), 16 << 10), 4);
        assert_eq!(kept(&mut of(), 1), 256);
        let mut all: Vec<_> = std::iter::repeat_with(of).take(20).collect();
        let pieces: Vec<_> = all.iter_mut().map(|held| kept(held, 16 << 10)).collect();
        assert_eq!((pieces.first(), pieces.last()), (Some(&4), Some(&1)));
        assert_eq!(all.first_mut().map(|held| held.take().len()), Some(4));
        assert_eq!(kept(&mut of(), 16 << 10), 4, "room that was given back is another's");
    }
}
