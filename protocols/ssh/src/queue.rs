//! What one side of a channel has sent and the other has not taken yet: in memory, then in a file.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use sluice_wire::{Share, Terms};
use tokio::sync::oneshot;

use crate::frame::Frame;
use crate::shelf::Shelf;
use crate::spill::Spill;

/// Bytes that are kept in memory where others may be kept in a file.
pub(crate) const MEMORY: usize = 4 << 20;
/// Bytes for which no room in memory has to be asked.
pub(crate) const FREE: usize = 256 << 10;
/// How much room is taken at once, and given back.
const STEP: usize = 256 << 10;
/// Bytes of requests that wait besides: most of them expect no answer, so nothing else slows them down.
pub(crate) const REQUESTS: usize = 1 << 20;
/// Bytes that are read back from the file at once, about.
const PIECE: usize = 32 << 10;
/// What one message has at most. russh lets no larger packet in.
const MESSAGE: usize = 256 << 10;

/// What became of a request: dropping it refuses.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<bool>);

impl Reply {
    /// A reply, and where it arrives.
    pub(crate) fn new() -> (Self, oneshot::Receiver<bool>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    pub(crate) fn accept(self) {
        let _nobody_waits = self.0.send(true);
    }
}

/// A frame, and who waits to hear what becomes of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) frame: Frame,
    pub(crate) reply: Option<Reply>,
}

#[derive(Debug)]
enum Stored {
    Here(Item),
    /// So many bytes of the main stream, in the file.
    There(usize),
}

/// What one side has sent.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Stored>,
    bytes: usize,
    /// The room of those beyond the free ones.
    memory: Option<Share<Arc<str>>>,
    spill: Option<Spill>,
    /// Nothing more comes.
    pub(crate) ended: bool,
    /// Who waits for more.
    pub(crate) waker: Option<Waker>,
}

impl Queue {
    /// Keeps what came, in memory; or in a file, where it has no room in memory and may wait there.
    pub(crate) fn push(&mut self, item: Item, shelf: &Shelf, may_spill: bool) -> io::Result<()> {
        let weight = item.frame.weight();
        let bytes = self.bytes.saturating_add(weight);
        let has_room = bytes <= MEMORY && self.takes(bytes, shelf);
        let Frame::Data(payload) = &item.frame else {
            let most = if has_room { MEMORY } else { self.bytes_taken().min(MEMORY) };
            if may_spill && bytes > most.saturating_add(REQUESTS) {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            self.keep(item, bytes);
            return Ok(());
        };
        if has_room || !may_spill {
            self.keep(item, bytes);
            return Ok(());
        }
        let bytes = payload.bytes();
        self.spill(shelf)?.write(&bytes)?;
        match self.items.back_mut() {
            // Single bytes must not cost an entry each.
            Some(Stored::There(last)) if *last < PIECE => *last = last.saturating_add(bytes.len()),
            _ => self.items.push_back(Stored::There(bytes.len())),
        }
        Ok(())
    }

    fn keep(&mut self, item: Item, bytes: usize) {
        self.bytes = bytes;
        self.items.push_back(Stored::Here(item));
    }

    /// Whether so many bytes may wait in memory. Their room is taken then.
    pub(crate) fn takes(&mut self, bytes: usize, shelf: &Shelf) -> bool {
        if bytes <= FREE {
            return true;
        }
        let memory = self.memory.get_or_insert_with(|| shelf.memory());
        memory.reach(bytes.saturating_sub(FREE).next_multiple_of(STEP) as u64, Terms::STANDARD).is_ok()
    }

    /// How much may wait in memory, by the room that is taken.
    fn bytes_taken(&self) -> usize {
        let taken = self.memory.as_ref().map_or(0, Share::bytes);
        FREE.saturating_add(usize::try_from(taken).unwrap_or(usize::MAX))
    }

    /// What came first; nothing where nothing waits.
    pub(crate) fn pop(&mut self) -> Option<io::Result<Item>> {
        match self.items.pop_front()? {
            Stored::Here(item) => {
                self.bytes = self.bytes.saturating_sub(item.frame.weight());
                self.tidy();
                Some(Ok(item))
            }
            Stored::There(length) => {
                Some(self.read_back(length).map(|bytes| Item { frame: Frame::data(&bytes), reply: None }))
            }
        }
    }

    fn read_back(&mut self, length: usize) -> io::Result<Bytes> {
        let spill = self.spill.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let bytes = spill.take(length)?;
        self.tidy();
        Ok(bytes)
    }

    /// Gives back the room that is not needed any more, by and by.
    fn tidy(&mut self) {
        if self.bytes <= FREE / 2 {
            self.memory = None;
        } else if self.bytes.saturating_add(3 * STEP) <= self.bytes_taken()
            && let Some(memory) = &mut self.memory
        {
            memory.shrink(self.bytes.next_multiple_of(STEP) as u64);
        }
        if self.bytes <= MEMORY / 2 && self.waiting_in_file() == 0 {
            self.spill = None;
        }
    }

    /// Whether another message may come, where all that waits does so in memory, with less than so much there. The
    /// message after which there is no room is kept.
    pub(crate) fn has_room_in_memory(&mut self, shelf: &Shelf, most: usize) -> bool {
        self.bytes < most && self.takes(self.bytes, shelf)
    }

    /// Bytes that wait in memory.
    #[cfg(test)]
    pub(crate) const fn waiting_in_memory(&self) -> usize {
        self.bytes
    }

    /// Bytes that wait in the file.
    pub(crate) fn waiting_in_file(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::waiting)
    }

    /// Whether another message of data may come, with less than so much in the file. Its room is taken then.
    pub(crate) fn has_room(&mut self, shelf: &Shelf, most: u64) -> bool {
        if self.waiting_in_file() >= most {
            return false;
        }
        let next = self.bytes.saturating_add(MESSAGE);
        if self.spill.is_none() && next <= MEMORY && self.takes(next, shelf) {
            return true;
        }
        // That there can be no file, the next message finds out, and ends the queue.
        self.spill(shelf).map_or(true, Spill::has_room)
    }

    fn spill(&mut self, shelf: &Shelf) -> io::Result<&mut Spill> {
        match &mut self.spill {
            Some(spill) => Ok(spill),
            empty @ None => Ok(empty.insert(Spill::new(shelf)?)),
        }
    }

    /// The size of the file.
    #[cfg(test)]
    pub(crate) fn file_bytes(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::size)
    }
}
