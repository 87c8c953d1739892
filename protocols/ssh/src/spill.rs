//! Bytes in a file without a name, which vanishes with the process.
//!
//! The file is taken in chunks, and one that has been read is the next to be written, so that it holds what waits and
//! hardly more, however much passes through it.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::{Bytes, BytesMut};

use crate::shelf::{Plot, Shelf};

/// What is taken of the file at once, and given back.
const CHUNK: u64 = 1 << 20;

/// A queue of bytes in a file.
#[derive(Debug)]
pub(crate) struct Spill {
    file: File,
    /// What the file may grow to.
    plot: Plot,
    /// The chunks that hold bytes, in the order of the bytes.
    used: VecDeque<u64>,
    /// The other ones before the end of the file.
    free: BTreeSet<u64>,
    /// Bytes of the first chunk that have been read.
    read: u64,
    waiting: u64,
}

impl Spill {
    /// An empty one.
    pub(crate) fn new(shelf: &Shelf) -> io::Result<Self> {
        let (file, plot) = shelf.file()?;
        Ok(Self { file, plot, used: VecDeque::new(), free: BTreeSet::new(), read: 0, waiting: 0 })
    }

    /// Whether another chunk may be written; its room is taken then.
    pub(crate) fn has_room(&mut self) -> bool {
        self.provide().is_ok()
    }

    fn provide(&mut self) -> io::Result<()> {
        let spare = self.plot.bytes() > place(self.used.len() as u64, 0);
        if spare { Ok(()) } else { self.plot.grow(CHUNK) }
    }

    /// How many bytes wait.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // INVARIANT: all chunks that hold bytes are full but the last one; the first is full of what is read, too.
            let within = self.read.saturating_add(self.waiting) % CHUNK;
            if within == 0 {
                self.provide()?;
                let chunk = self.free.pop_first().unwrap_or_else(|| self.chunks());
                self.used.push_back(chunk);
            }
            let chunk = self.used.back().copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            let (now, later) = bytes.split_at(length(CHUNK.saturating_sub(within), bytes.len()));
            self.file.write_all_at(now, place(chunk, within))?;
            self.waiting = self.waiting.saturating_add(now.len() as u64);
            bytes = later;
        }
        Ok(())
    }

    /// Takes as many of the bytes that wait as are asked for, which must be there.
    pub(crate) fn take(&mut self, bytes: usize) -> io::Result<Bytes> {
        if bytes as u64 > self.waiting {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut taken = BytesMut::zeroed(bytes);
        let mut rest = &mut taken[..];
        while !rest.is_empty() {
            let chunk = self.used.front().copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = length(CHUNK.saturating_sub(self.read), rest.len());
            let (now, later) = rest.split_at_mut(size);
            self.file.read_exact_at(now, place(chunk, self.read))?;
            self.read = self.read.saturating_add(size as u64);
            self.waiting = self.waiting.saturating_sub(size as u64);
            if self.read == CHUNK {
                self.read = 0;
                self.used.pop_front();
                self.give_back(chunk)?;
            }
            rest = later;
        }
        Ok(taken.freeze())
    }

    /// A chunk has been read. Where it was the last of the file, the file becomes shorter.
    fn give_back(&mut self, chunk: u64) -> io::Result<()> {
        self.free.insert(chunk);
        let before = self.chunks();
        while self.free.last().is_some_and(|last| last.saturating_add(1) == self.chunks()) {
            self.free.pop_last();
        }
        let after = self.chunks();
        if after < before {
            self.file.set_len(place(after, 0))?;
            self.plot.shrink(place(after, 0));
        }
        Ok(())
    }

    /// How many chunks the file has.
    fn chunks(&self) -> u64 {
        self.used.len().saturating_add(self.free.len()) as u64
    }

    /// The size of the file.
    #[cfg(test)]
    pub(crate) fn size(&self) -> u64 {
        self.file.metadata().map_or(u64::MAX, |file| file.len())
    }
}

/// Where a byte of a chunk is in the file.
const fn place(chunk: u64, within: u64) -> u64 {
    chunk.saturating_mul(CHUNK).saturating_add(within)
}

/// The lesser of the two.
fn length(there: u64, wanted: usize) -> usize {
    usize::try_from(there).map_or(wanted, |there| there.min(wanted))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Bytes that are different everywhere a chunk could begin.
    fn pattern(from: usize, length: usize) -> Vec<u8> {
        (from..from + length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn what_passes_through_a_file_that_is_never_empty_comes_back_and_leaves_it_small() {
        let mut spill = Spill::new(&Shelf::with(0, 1 << 30)).unwrap();
        let (mut written, mut read, mut largest) = (0, 0, 0);
        for round in 0..400_usize {
            let size = 1 + round * 7_919 % 300_000;
            spill.write(&pattern(written, size)).unwrap();
            written += size;
            while spill.waiting() > 4 * CHUNK {
                let size = 1 + (read * 31) % 70_000;
                assert!(spill.take(size).unwrap() == pattern(read, size), "at {read}");
                read += size;
            }
            largest = largest.max(spill.size());
        }
        assert!(written as u64 > 50 * CHUNK && largest <= 6 * CHUNK, "{largest} of {written}");
        // It is as small as what waits.
        while spill.waiting() > CHUNK {
            spill.take(10_000).unwrap();
        }
        let left = usize::try_from(spill.waiting()).unwrap();
        assert!(spill.take(left).unwrap() == pattern(written - left, left));
        assert!(spill.take(1).is_err(), "what is not there is not read");
    }

    #[test]
    fn a_file_becomes_shorter_with_what_was_written_last() {
        let mut spill = Spill::new(&Shelf::with(0, 1 << 30)).unwrap();
        spill.write(&pattern(0, 1 << 23)).unwrap();
        assert_eq!(spill.size(), 8 * CHUNK);
        spill.take((1 << 23) - 1).unwrap();
        spill.write(&pattern(0, 1 << 20)).unwrap();
        spill.take(1 << 20).unwrap();
        assert!(spill.size() <= CHUNK, "{}", spill.size());
    }
}
