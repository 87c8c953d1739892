//! An amount of something that is limited and that many share: memory for bodies, files for what waits.
//!
//! Whoever has much of it gets no more while little is free: what one has may never be more than what is left for
//! others. So nobody takes all of it, and whoever comes next finds room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many bytes, shared by all whom a key stands for.
#[derive(Debug)]
pub struct Room<K> {
    limit_bytes: u64,
    taken: Mutex<Taken<K>>,
}

/// What is taken of a room, by all and by each.
#[derive(Debug)]
struct Taken<K> {
    all: u64,
    each: HashMap<K, u64>,
}

/// How much of a room is open to a use of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// The quarters of the room that may be taken for it, when all is counted.
    pub quarters: u64,
    /// How many times what one has must be free then.
    pub distance: u64,
}

impl Terms {
    /// All of the room, and as much must be free as one has.
    pub const STANDARD: Self = Self { quarters: 4, distance: 1 };
}

/// There is no room for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoRoom;

/// What somebody has of a room for one thing. It is given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Clone + Eq + Hash> {
    room: Arc<Room<K>>,
    whose: K,
    bytes: u64,
}

impl<K: Clone + Eq + Hash> Room<K> {
    /// A room of which nothing is taken.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, taken: Mutex::new(Taken { all: 0, each: HashMap::new() }) }
    }

    /// A share of somebody's; nothing is taken yet.
    pub fn share(self: &Arc<Self>, whose: K) -> Share<K> {
        Share { room: Arc::clone(self), whose, bytes: 0 }
    }

    /// What all have together.
    pub fn taken_bytes(&self) -> u64 {
        self.lock().all
    }

    fn take(&self, whose: &K, bytes: u64, terms: Terms) -> Result<(), NoRoom> {
        let mut taken = self.lock();
        let all = taken.all.saturating_add(bytes);
        let own = taken.each.get(whose).copied().unwrap_or(0).saturating_add(bytes);
        let open = (self.limit_bytes / 4).saturating_mul(terms.quarters).saturating_add(self.limit_bytes % 4);
        let free = open.checked_sub(all).ok_or(NoRoom)?;
        if own.saturating_mul(terms.distance) > free {
            return Err(NoRoom);
        }
        if bytes > 0 {
            taken.all = all;
            taken.each.insert(whose.clone(), own);
        }
        Ok(())
    }

    fn give_back(&self, whose: &K, bytes: u64) {
        let mut taken = self.lock();
        taken.all = taken.all.saturating_sub(bytes);
        let left = taken.each.get(whose).copied().unwrap_or(0).saturating_sub(bytes);
        if left == 0 {
            taken.each.remove(whose);
        } else if let Some(own) = taken.each.get_mut(whose) {
            *own = left;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When there is no room for them; nothing is taken then.
    pub fn grow(&mut self, bytes: u64, terms: Terms) -> Result<(), NoRoom> {
        self.room.take(&self.whose, bytes, terms)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Takes what is missing to so many bytes, if anything is.
    ///
    /// # Errors
    /// When there is no room for it; nothing is taken then.
    pub fn reach(&mut self, bytes: u64, terms: Terms) -> Result<(), NoRoom> {
        let missing = bytes.saturating_sub(self.bytes);
        if missing == 0 { Ok(()) } else { self.grow(missing, terms) }
    }

    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(less);
        self.room.give_back(&self.whose, less);
    }

    /// What it has.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The share as it is; what is taken from now on is another's, of the same.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let nothing = Self { room: Arc::clone(&self.room), whose: self.whose.clone(), bytes: 0 };
        std::mem::replace(self, nothing)
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.room.give_back(&self.whose, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_than_is_left_for_others() {
        let room = Arc::new(Room::new(1_000));
        let mut own = room.share("ann");
        assert_eq!(own.grow(500, Terms::STANDARD), Ok(()));
        assert_eq!(own.grow(1, Terms::STANDARD), Err(NoRoom));
        assert_eq!(room.share("ann").grow(1, Terms::STANDARD), Err(NoRoom), "shares of one are counted together");
        let mut other = room.share("bob");
        assert_eq!(other.grow(200, Terms { quarters: 3, distance: 2 }), Err(NoRoom));
        assert_eq!(other.grow(80, Terms { quarters: 3, distance: 2 }), Ok(()));
        assert_eq!(other.grow(130, Terms::STANDARD), Ok(()));
        assert_eq!((room.taken_bytes(), other.bytes()), (710, 210));
        let taken = other.take();
        assert_eq!((taken.bytes(), other.bytes()), (210, 0));
        drop(taken);
        assert_eq!((own.reach(500, Terms::STANDARD), own.reach(501, Terms::STANDARD)), (Ok(()), Err(NoRoom)));
        own.shrink(100);
        assert_eq!((room.taken_bytes(), own.bytes()), (100, 100));
        drop(own);
        assert_eq!((room.taken_bytes(), room.lock().each.len()), (0, 0));
    }
}
