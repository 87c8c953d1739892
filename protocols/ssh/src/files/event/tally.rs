//! Counts and digests what passes, whatever the order it passes in.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sluice_model::Digest;

use super::ranges::Ranges;
use super::{Content, Traffic};

/// What one early piece costs beside its bytes.
const OVERHEAD: usize = 64;

/// One direction of one file.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes: u64,
    ranges: Ranges,
    digest: Sha256,
    /// Everything below is in the digest.
    next: u64,
    /// Pieces that came before those in front of them; gone once the digest is given up.
    early: BTreeMap<u64, Bytes>,
    spoilt: bool,
}

/// Whether a file ends where the digest does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whole {
    /// It is as long as this.
    Length(u64),
    Unknown,
}

impl Tally {
    /// Takes what was read at an offset. `room` is the memory that the channel has left for early pieces.
    pub(crate) fn read(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        self.count(offset, piece);
        self.add(offset, piece, room);
    }

    /// Takes what is written at an offset: what is written twice is no transfer in order.
    pub(crate) fn write(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        if self.ranges.touches(&(offset..end(offset, piece))) {
            self.spoil(room);
        }
        self.count(offset, piece);
        self.add(offset, piece, room);
    }

    /// Where the part that is in order ends.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// A piece did not arrive after all.
    pub(crate) fn fail(&mut self, bytes: u64, room: &mut usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.spoil(room);
    }

    /// Gives the digest up.
    pub(crate) fn spoil(&mut self, room: &mut usize) {
        self.spoilt = true;
        for (_, piece) in std::mem::take(&mut self.early) {
            *room = room.saturating_add(cost(&piece));
        }
    }

    /// Ends it.
    pub(crate) fn finish(mut self, whole: Whole, room: &mut usize) -> Traffic {
        let complete = !self.spoilt && self.early.is_empty() && whole == Whole::Length(self.next);
        self.spoil(room);
        let content = if complete {
            Content::Whole { sha256: Digest(self.digest.finalize().into()) }
        } else {
            match self.ranges.into_parts() {
                (ranges, false) if ranges.is_empty() => Content::Nothing,
                (ranges, more) => Content::Partial { ranges, more },
            }
        };
        Traffic { bytes: self.bytes, content }
    }

    fn count(&mut self, offset: u64, piece: &Bytes) {
        self.bytes = self.bytes.saturating_add(length(piece));
        self.ranges.add(offset..end(offset, piece));
    }

    fn add(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        if self.spoilt {
            return;
        }
        if offset > self.next {
            return self.keep(offset, piece, room);
        }
        self.follow(offset, piece);
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (offset, piece) = entry.remove_entry();
            *room = room.saturating_add(cost(&piece));
            self.follow(offset, &piece);
        }
    }

    /// Digests what is new of a piece that begins at the end of the digest or before it.
    fn follow(&mut self, offset: u64, piece: &Bytes) {
        let known = usize::try_from(self.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(new) = piece.get(known..) {
            self.digest.update(new);
            self.next = self.next.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
        }
    }

    fn keep(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        if self.early.get(&offset).is_some_and(|known| known.len() >= piece.len()) {
            return;
        }
        let cost = cost(piece);
        if cost > *room {
            return self.spoil(room);
        }
        *room -= cost;
        // A copy, because a slice would keep the whole buffer that it came in.
        if let Some(shorter) = self.early.insert(offset, Bytes::copy_from_slice(piece)) {
            *room = room.saturating_add(OVERHEAD.saturating_add(shorter.len()));
        }
    }
}

const fn cost(piece: &Bytes) -> usize {
    piece.len().saturating_add(OVERHEAD)
}

fn length(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

fn end(offset: u64, piece: &Bytes) -> u64 {
    offset.saturating_add(length(piece))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::single_range_in_vec_init, reason = "one range is what passed")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sha256(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    #[test]
    fn too_much_out_of_order_is_partial_and_gives_its_memory_back() {
        let mut room = 100;
        let mut tally = Tally::default();
        tally.read(10, &Bytes::from_static(b"abc"), &mut room);
        assert_eq!(room, 33);
        tally.read(20, &Bytes::from_static(b"abc"), &mut room);
        assert_eq!(room, 100);
        tally.read(0, &Bytes::from_static(b"0123456789"), &mut room);
        let content = Content::Partial { ranges: vec![0..13, 20..23], more: false };
        assert_eq!(tally.finish(Whole::Length(13), &mut room), Traffic { bytes: 16, content });
    }

    #[test]
    fn what_is_written_twice_or_fails_is_partial() {
        let mut room = 1000;
        let mut twice = Tally::default();
        twice.write(0, &Bytes::from_static(b"abc"), &mut room);
        twice.write(2, &Bytes::from_static(b"cd"), &mut room);
        let content = Content::Partial { ranges: vec![0..4], more: false };
        assert_eq!(twice.finish(Whole::Length(4), &mut room), Traffic { bytes: 5, content: content.clone() });
        let mut failed = Tally::default();
        failed.write(0, &Bytes::from_static(b"abcd"), &mut room);
        failed.fail(4, &mut room);
        assert_eq!(failed.finish(Whole::Length(4), &mut room), Traffic { bytes: 0, content });
    }

    proptest! {
        #[test]
        fn any_order_of_the_pieces_gives_the_digest_of_the_whole(
            content in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(1usize..40, 1..60),
            order in any::<u64>(),
        ) {
            let mut pieces = Vec::new();
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < content.len() {
                let to = (at + cuts.next().unwrap_or(1)).min(content.len());
                pieces.push((at as u64, Bytes::copy_from_slice(&content[at..to])));
                at = to;
            }
            let mut order = order;
            for index in (1..pieces.len()).rev() {
                order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                pieces.swap(index, (order >> 33) as usize % (index + 1));
            }
            let (mut room, mut tally) = (1 << 20, Tally::default());
            for (offset, piece) in &pieces {
                tally.write(*offset, piece, &mut room);
            }
            let traffic = tally.finish(Whole::Length(content.len() as u64), &mut room);
            prop_assert_eq!(traffic.content, Content::Whole { sha256: sha256(&content) });
            prop_assert_eq!(room, 1 << 20);
        }
    }
}
