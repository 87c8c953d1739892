//! Room in memory and on the disk for what one side of a channel sends before the other takes it.
//!
//! Everybody's channels share it fairly, and no file grows while too little of the disk is free: the recordings need it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::statvfs;
use sluice_wire::{HungUp, Room, Share, Sight, Terms};

/// How much may wait, of all channels together.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// In memory, in bytes.
    pub memory_bytes: u64,
    /// In files, in bytes.
    pub file_bytes: u64,
    /// The folder of the files, which have no names.
    pub folder: PathBuf,
    /// The part of the disk that stays free, in percent, unless
    pub free_percent: u8,
    /// so many bytes do.
    pub ample_bytes: u64,
}

impl Waiting {
    fn leaves_free(&self) -> io::Result<bool> {
        let space = statvfs(&self.folder)?;
        let bytes = |blocks: u64| u128::from(blocks) * u128::from(space.f_frsize);
        let (free, total) = (bytes(space.f_bavail), bytes(space.f_blocks));
        Ok(free * 100 >= total * u128::from(self.free_percent) || free >= u128::from(self.ample_bytes))
    }
}

/// All room of a broker.
#[derive(Debug)]
pub(crate) struct Depot {
    waiting: Waiting,
    memory: Arc<Room<Arc<str>>>,
    files: Arc<Room<Arc<str>>>,
}

/// What somebody's channels have room in.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    depot: Arc<Depot>,
    whose: Arc<str>,
    stalls: Arc<Stalls>,
}

/// How many of a client's callbacks wait for room: what it sent behind that is not read, not even that it has left.
#[derive(Debug, Default)]
pub(crate) struct Stalls(AtomicUsize);

/// A callback that waits.
#[derive(Debug)]
pub(crate) struct Stall<'a>(&'a Stalls);

impl Stalls {
    pub(crate) fn begin(&self) -> Stall<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Stall(self)
    }

    /// The same look at a connection, which sees nothing behind a callback that waits.
    pub(crate) fn hide(self: Arc<Self>, hung_up: HungUp) -> HungUp {
        HungUp::new(move || match hung_up.look() {
            Sight::There if self.0.load(Ordering::SeqCst) > 0 => Sight::Hidden,
            sight @ (Sight::There | Sight::Hidden | Sight::Gone) => sight,
        })
    }
}

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a file has of the room.
#[derive(Debug)]
pub(crate) struct Plot {
    depot: Arc<Depot>,
    share: Share<Arc<str>>,
}

impl Depot {
    pub(crate) fn new(waiting: Waiting) -> Self {
        let [memory, files] = [waiting.memory_bytes, waiting.file_bytes].map(|bytes| Arc::new(Room::new(bytes)));
        Self { waiting, memory, files }
    }

    /// The room of whoever acts for this owner.
    pub(crate) fn shelf(self: &Arc<Self>, owner: &str) -> Shelf {
        Shelf { depot: Arc::clone(self), whose: owner.into(), stalls: Arc::default() }
    }
}

impl Shelf {
    /// A shelf for nothing.
    pub(crate) fn none() -> Self {
        let folder = std::env::temp_dir();
        let waiting = Waiting { memory_bytes: 0, file_bytes: 0, folder, free_percent: 0, ample_bytes: 0 };
        Arc::new(Depot::new(waiting)).shelf("")
    }

    /// The same connection's, once it is known whose that is.
    pub(crate) fn of(&self, owner: &str) -> Self {
        Self { whose: owner.into(), ..self.clone() }
    }

    /// The callbacks of the connection.
    pub(crate) const fn stalls(&self) -> &Arc<Stalls> {
        &self.stalls
    }

    /// What one queue has of the memory: nothing yet.
    pub(crate) fn memory(&self) -> Share<Arc<str>> {
        self.depot.memory.share(Arc::clone(&self.whose))
    }

    /// A file that vanishes with the process, and its plot, of which nothing is taken yet.
    pub(crate) fn file(&self) -> io::Result<(File, Plot)> {
        let file = tempfile::tempfile_in(&self.depot.waiting.folder)?;
        let share = self.depot.files.share(Arc::clone(&self.whose));
        Ok((file, Plot { depot: Arc::clone(&self.depot), share }))
    }
}

impl Plot {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When others need them, or the recordings might.
    pub(crate) fn grow(&mut self, bytes: u64) -> io::Result<()> {
        if !self.depot.waiting.leaves_free()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.share.grow(bytes, Terms::STANDARD).map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        self.share.shrink(bytes);
    }

    /// What it has, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.share.bytes()
    }
}

#[cfg(test)]
impl Shelf {
    /// One of a depot of its own, with so much room in memory and in files.
    pub(crate) fn with(memory_bytes: u64, file_bytes: u64) -> Self {
        let folder = std::env::temp_dir();
        let waiting = Waiting { memory_bytes, file_bytes, folder, free_percent: 0, ample_bytes: 0 };
        Arc::new(Depot::new(waiting)).shelf("user:ann")
    }

    pub(crate) const fn depot(&self) -> &Arc<Depot> {
        &self.depot
    }

    /// What is taken of the depot by all, in memory and in files, in bytes.
    pub(crate) fn taken_bytes(&self) -> (u64, u64) {
        (self.depot.memory.taken_bytes(), self.depot.files.taken_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn no_file_grows_where_too_little_of_the_disk_is_free() {
        let waiting = |free_percent, ample_bytes| Waiting {
            memory_bytes: 0,
            file_bytes: 1 << 30,
            folder: std::env::temp_dir(),
            free_percent,
            ample_bytes,
        };
        for (free_percent, ample_bytes, grows) in [(0, u64::MAX, true), (101, u64::MAX, false), (101, 0, true)] {
            let shelf = Arc::new(Depot::new(waiting(free_percent, ample_bytes))).shelf("user:ann");
            let (_, mut plot) = shelf.file().unwrap();
            assert_eq!(plot.grow(1).is_ok(), grows, "{free_percent} {ample_bytes}");
            assert_eq!(plot.bytes(), u64::from(grows));
        }
    }
}
