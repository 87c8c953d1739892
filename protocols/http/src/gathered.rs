//! Bodies that are read before they are looked at, what waits for its client, and the room that all of it has.
//!
//! Of bodies that are not whole, one person has half as much as of others, and a part of the room is kept for answers, as
//! what they cost has been spent; what one has of it is counted by itself. What waits for clients that are slow to take
//! it has little room: the rest waits with its server.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_mask::json::Document;
use sluice_wire::{NoRoom, Terms};

use crate::dialects::rest::JSON_LIMITS;

/// What a piece that waits takes beside its bytes.
const PIECE_BYTES: usize = 256;
/// A piece of fewer bytes is copied before it waits: it is a small part of the buffer that it was read into.
const SMALL_BYTES: usize = 4 << 10;

/// The room that all bodies have which are read at one time, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<sluice_wire::Room<(Arc<str>, Of)>>);

/// Whose bodies are counted together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Of {
    Requests,
    Answers,
    /// Pieces of answers that were released and not taken.
    Waiting,
}

/// What room is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    /// A piece of a request that is not whole: whether its end ever comes, its client decides.
    Piece,
    /// What is made of a whole request.
    Whole,
    /// A piece of an answer, or what is made of it.
    Answer,
    /// A piece that waits for its client, or for people: where there is no room, none is read before it is gone.
    Waiting,
}

impl Use {
    const fn terms(self) -> Terms {
        match self {
            Self::Piece => Terms { quarters: 3, distance: 2 },
            Self::Whole => Terms { quarters: 3, distance: 1 },
            Self::Answer => Terms::STANDARD,
            Self::Waiting => Terms { quarters: 2, distance: 16 },
        }
    }
}

impl Room {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self(Arc::new(sluice_wire::Room::new(limit_bytes)))
    }

    /// Room for one exchange of somebody's; nothing is taken yet.
    pub(crate) fn share(&self, who: &Arc<str>) -> Share {
        Share(self.0.share((Arc::clone(who), Of::Requests)))
    }

    /// The same for what it is answered.
    pub(crate) fn share_of_answers(&self, who: &Arc<str>) -> Share {
        Share(self.0.share((Arc::clone(who), Of::Answers)))
    }

    /// The same for what was released and not taken.
    pub(crate) fn share_of_waiting(&self, who: &Arc<str>) -> Share {
        Share(self.0.share((Arc::clone(who), Of::Waiting)))
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
    /// All bodies together are, or those of one.
    All,
}

/// A body that is put together from pieces, up to a limit.
#[derive(Debug)]
pub(crate) struct Gathered {
    bytes: BytesMut,
    limit: usize,
    share: Share,
    what: Use,
}

/// What one body has of the room. It is given back once nothing of the body is left anywhere.
#[derive(Debug)]
pub(crate) struct Share(sluice_wire::Share<(Arc<str>, Of)>);

impl Gathered {
    /// A request's body, in this share.
    pub(crate) fn request(limit: u64, share: Share) -> Self {
        Self::new(limit, share, Use::Piece)
    }

    /// An answer's body, in this share.
    pub(crate) fn answer(limit: u64, share: Share) -> Self {
        Self::new(limit, share, Use::Answer)
    }

    fn new(limit: u64, share: Share, what: Use) -> Self {
        Self { bytes: BytesMut::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX), share, what }
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooMuch> {
        if self.bytes.len().saturating_add(piece.len()) > self.limit {
            return Err(TooMuch::Body);
        }
        self.share.grow(piece.len() as u64, self.what)?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// How many bytes came.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The body, and the room that it has.
    pub(crate) fn into_parts(self) -> (Bytes, Share) {
        (self.bytes.freeze(), self.share)
    }

    /// The body of an answer that is going to be read as JSON; its room stays taken.
    pub(crate) fn whole(&mut self) -> Result<Bytes, TooMuch> {
        let bytes = self.bytes.split().freeze();
        self.share.grow(nodes(&bytes), self.what)?;
        Ok(bytes)
    }

    /// Forgets what came.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.share.shrink(0);
    }

    /// What was made of the body, with its room.
    pub(crate) fn around(&mut self, bytes: Bytes) -> Bytes {
        Share(self.share.0.take()).around(bytes)
    }
}

impl Share {
    /// Takes room for what a whole request is made into before it is, as far as it is going to be read as JSON.
    pub(crate) fn read(&mut self, json: &[u8]) -> Result<(), TooMuch> {
        self.grow(nodes(json), Use::Whole)
    }

    /// Takes room for bytes that came before.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Result<(), TooMuch> {
        self.grow(bytes.len() as u64, Use::Whole)
    }

    /// Nothing is left of what was made but these many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.0.shrink(bytes as u64);
    }

    /// These bytes, and the share for as long as they live: what was made of them is gone.
    pub(crate) fn around(mut self, bytes: Bytes) -> Bytes {
        self.shrink(bytes.len());
        if self.0.bytes() == 0 { bytes } else { Bytes::from_owner(Owned { bytes, _share: self }) }
    }

    /// A piece that waits, with its room for as long as anything of it lives.
    pub(crate) fn hold(&mut self, piece: &Bytes) -> Result<Bytes, TooMuch> {
        let share = self.wait(piece)?;
        Ok(Bytes::from_owner(Owned { bytes: compact(piece), _share: share }))
    }

    /// Room for a piece that waits.
    pub(crate) fn wait(&mut self, piece: &Bytes) -> Result<Self, TooMuch> {
        self.grow(weight(piece) as u64, Use::Waiting)?;
        Ok(Self(self.0.take()))
    }

    fn grow(&mut self, bytes: u64, what: Use) -> Result<(), TooMuch> {
        self.0.grow(bytes, what.terms()).map_err(|NoRoom| TooMuch::All)
    }
}

/// The memory that a piece takes while it waits.
pub(crate) const fn weight(piece: &Bytes) -> usize {
    piece.len().saturating_add(PIECE_BYTES)
}

/// A piece that does not keep a buffer which is much larger.
pub(crate) fn compact(piece: &Bytes) -> Bytes {
    if piece.len() < SMALL_BYTES { Bytes::copy_from_slice(piece) } else { piece.clone() }
}

/// The memory that a node for each part of JSON takes; `%` is where forms hide one.
fn nodes(json: &[u8]) -> u64 {
    let parts = json.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{' | b'%')).count();
    (parts as u64).min(u64::from(JSON_LIMITS.nodes)).saturating_mul(Document::NODE_BYTES)
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
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn room(limit: u64) -> (Room, impl Fn(&str) -> Gathered) {
        let room = Room::new(limit);
        let of = room.clone();
        (room, move |who: &str| Gathered::request(1_000, of.share(&Arc::from(who))))
    }

    fn taken(room: &Room) -> u64 {
        room.0.taken_bytes()
    }

    #[test]
    fn bodies_share_a_room_for_as_long_as_they_live() {
        let (room, request) = room(400);
        let (mut one, mut two) = (request("ann"), request("ann"));
        assert_eq!(one.push(&[0; 60]), Ok(()));
        assert_eq!(one.push(&[0; 1_000]), Err(TooMuch::Body));
        assert_eq!(two.push(&[0; 41]), Err(TooMuch::All));
        assert_eq!(two.push(&[0; 40]), Ok(()));
        let (bytes, share) = one.into_parts();
        let body = share.around(bytes);
        let part = body.slice(2..4);
        drop(body);
        assert_eq!(two.push(&[0; 1]), Err(TooMuch::All));
        drop(part);
        assert_eq!(two.push(&[0; 60]), Ok(()));
        drop(two);
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn nobody_takes_the_room_of_others_or_of_answers() {
        for greedy in [1, 3, 12] {
            let (room, request) = room(1 << 20);
            let mut kept = Vec::new();
            for who in 0..greedy {
                let mut open = true;
                while open {
                    let mut body = request(&who.to_string());
                    open = body.push(&[b','; 1_000]).is_ok();
                    kept.push(body);
                }
            }
            let mut fine = request("bob");
            for _ in 0..9 {
                assert_eq!(fine.push(&[0; 100]), Ok(()), "{greedy}");
            }
            // Whoever has taken as much as there was for him still gets answers.
            for who in ["0", "bob"] {
                let mut answer = Gathered::answer(1 << 20, room.share_of_answers(&Arc::from(who)));
                assert_eq!(answer.push(&vec![0; 100 << 10]), Ok(()), "{greedy} {who}");
            }
        }
    }

    #[test]
    fn what_waits_has_a_small_part_of_the_room_and_counts_what_it_takes() {
        let (room, _) = room(1 << 20);
        let mut kept = Vec::new();
        for who in ["ann", "bob"] {
            let mut share = room.share_of_waiting(&Arc::from(who));
            let before = taken(&room);
            // Small pieces weigh as much as what keeping them takes.
            while let Ok(piece) = share.hold(&Bytes::from_static(b"x")) {
                kept.push(piece);
            }
            let own = taken(&room) - before;
            assert!((20 << 10..=32 << 10).contains(&own), "{who} {own}");
        }
        assert!(kept.len() < 300);
        let mut answer = Gathered::answer(1 << 20, room.share_of_answers(&Arc::from("ann")));
        assert_eq!(answer.push(&vec![0; 400 << 10]), Ok(()), "it takes nothing from answers that are read whole");
        drop((kept, answer));
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn what_is_made_of_a_body_takes_room_until_it_rests() {
        let (room, request) = room(4_000);
        let mut one = request("ann");
        assert_eq!(one.push(b"[0,0]"), Ok(()));
        assert_eq!(taken(&room), 5);
        let (bytes, mut share) = one.into_parts();
        share.read(&bytes).unwrap();
        assert_eq!(taken(&room), 5 + 2 * Document::NODE_BYTES);
        assert_eq!(share.read(&[b','; 100]), Err(TooMuch::All));
        share.shrink(bytes.len());
        assert_eq!(taken(&room), 5);
        drop(share);
        assert_eq!(taken(&room), 0);
    }
}
