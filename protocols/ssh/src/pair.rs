//! The two queues of a channel, and who may wait for room in them.
//!
//! russh opens a receive window again when bytes *arrive*, and one task reads and writes a whole connection, so what
//! holds a peer back is a callback that does not return. That stops everything else on its connection, too. Hence: what
//! the client sends is kept in memory, then in a file that has no name, and only then waited for, or where there is no
//! room for the file to grow; what the server
//! sends is waited for early, because every channel has a server connection of its own — but never while the client's
//! callback waits, which could then wait for ever.
//!
//! Channels that a server opens share its connection with the channel that they came beside. What the server sends
//! there is kept in a file, too, before it is waited for, so that one that is not read does not stop the others; and
//! none of them is waited for while the client's callback waits for any of them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use sluice_wire::{Interrupt, Side};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::frame::{Frame, Message};
use crate::queue::{Item, Queue};
use crate::shelf::{Shelf, Stalls};

/// Bytes of a client that are kept in a file besides what is kept in memory.
const CLIENT_FILE: u64 = 256 << 20;
/// Bytes in the file from which on a client is slowed down, so that the file lasts.
const CLIENT_PACED: u64 = 128 << 20;
/// How long each message of such a client is kept waiting once the file is full, and before that as much less as it is
/// emptier: what is sent to it goes on in between.
const PACE: Duration = Duration::from_millis(4);
/// Bytes of a server for which its connection does not wait yet.
const SERVER_MEMORY: usize = 2 << 20;
/// Bytes of a server that are kept while its connection must not wait.
const SERVER_MOST: usize = 64 << 20;
/// The same in a file, where the connection is shared.
const SHARED_MOST: u64 = 512 << 20;
/// How often it is looked at whether others have left room on the disk.
const LOOK: Duration = Duration::from_secs(1);
/// The character that Ctrl-C sends through a terminal.
const INTERRUPT: u8 = 0x03;

/// Both queues of one channel.
#[derive(Debug)]
pub(crate) struct Pair {
    queues: Mutex<Queues>,
    shelf: Shelf,
    kin: Arc<Kin>,
    /// The server's connection is another channel's, too.
    shares: bool,
}

/// What the channels of one server connection know of each other.
#[derive(Debug, Default)]
struct Kin {
    /// In how many of them the client's callback waits.
    waiting: AtomicUsize,
    changed: Notify,
}

/// A client's callback that waits.
struct Waits<'a>(&'a Kin);

#[derive(Debug, Default)]
struct Queues {
    client: Queue,
    server: Queue,
    server_waits: bool,
    /// The client has closed the channel, or its connection is over.
    left: bool,
    keyboard: Keyboard,
}

/// Who types, and what Ctrl-C takes back whatever waits before it.
#[derive(Default)]
struct Keyboard {
    /// Somebody types: elsewhere that character is a byte like any other.
    typed: bool,
    interrupt: Option<Arc<dyn Interrupt>>,
}

impl std::fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyboard").field("typed", &self.typed).finish_non_exhaustive()
    }
}

impl Keyboard {
    /// What a frame of the client interrupts.
    fn heed(&mut self, frame: &Frame) -> Option<Arc<dyn Interrupt>> {
        match frame {
            Frame::Data(payload) if self.typed && payload.bytes().contains(&INTERRUPT) => self.interrupt.clone(),
            Frame::Message(Message::Pty { .. }, _) => {
                self.typed = true;
                None
            }
            Frame::Message(Message::Subsystem(_), _) => {
                self.typed = false;
                None
            }
            Frame::Data(_) | Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet => None,
        }
    }
}

/// Both sides send more than either takes.
#[derive(Debug, thiserror::Error)]
#[error("neither side of the channel takes what the other sends")]
pub(crate) struct Stuck;

impl Kin {
    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// From now on no server's callback waits.
    fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        Waits(self)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pair {
    /// A channel with a server connection of its own, whose files are on this shelf.
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self { queues: Mutex::default(), shelf, kin: Arc::default(), shares: false }
    }

    /// A channel of the same server connection.
    pub(crate) fn beside(&self) -> Self {
        Self { queues: Mutex::default(), shelf: self.shelf.clone(), kin: Arc::clone(&self.kin), shares: true }
    }

    /// Queues what a side sent. A failure to write the file ends the queue: nothing is ever lost in its middle.
    pub(crate) fn push(&self, side: Side, item: Item) {
        let mut queues = self.lock();
        let interrupted = if side == Side::Client { queues.keyboard.heed(&item.frame) } else { None };
        // What is sent to a program that has ended goes nowhere.
        let dropped = side == Side::Client && queues.server.ended && matches!(item.frame, Frame::Data(_));
        let queue = queues.side(side);
        if queue.ended || dropped {
            return;
        }
        if let Err(error) = queue.push(item, &self.shelf, side == Side::Client || self.shares) {
            tracing::error!(error = %error, "what one side sent could not be kept until the other takes it");
            queue.ended = true;
        }
        wake(queue);
        drop(queues);
        if let Some(interrupt) = interrupted {
            interrupt.withdraw();
        }
    }

    /// From now on, Ctrl-C on a terminal takes back what people are asked, when it comes.
    pub(crate) fn interrupt_by_keyboard(&self, interrupt: Arc<dyn Interrupt>) {
        self.lock().keyboard.interrupt = Some(interrupt);
    }

    /// The client has left: nothing more comes from it, and what it sent and nobody has read is owed to nobody.
    pub(crate) fn leave(&self) {
        self.lock().left = true;
        self.end(Side::Client);
    }

    /// Whether the client has left, whatever it sent before.
    pub(crate) fn has_left(&self) -> bool {
        self.lock().left
    }

    /// Nothing more comes from a side.
    pub(crate) fn end(&self, side: Side) {
        let mut queues = self.lock();
        let queue = queues.side(side);
        queue.ended = true;
        wake(queue);
        // Whoever waits for room in a queue that nobody reads any more waits no longer.
        self.kin.changed.notify_waiters();
    }

    /// Whether nothing more comes from a side.
    pub(crate) fn has_ended(&self, side: Side) -> bool {
        self.lock().side(side).ended
    }

    /// Whether nothing more comes from one side at least.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().over()
    }

    /// Whether nothing more comes from either side.
    pub(crate) fn is_over(&self) -> bool {
        let queues = self.lock();
        queues.client.ended && queues.server.ended
    }

    /// What a side sent next; `None` at its end.
    pub(crate) fn poll_next(&self, side: Side, cx: &mut Context<'_>) -> Poll<io::Result<Option<Item>>> {
        let mut queues = self.lock();
        let waited_for = queues.server_waits || self.kin.is_waited_for();
        let queue = queues.side(side);
        let Some(item) = queue.pop() else {
            if queue.ended {
                return Poll::Ready(Ok(None));
            }
            queue.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if waited_for {
            self.kin.changed.notify_waiters();
        }
        Poll::Ready(item.map(Some))
    }

    /// Waits until the server has room for more of the client. A client that sends faster than the server takes is
    /// slowed down first: a callback that waits for long would keep back what the client is to read, too, and with it a
    /// server that answers as it reads.
    pub(crate) async fn client_room(&self, stalls: &Stalls) {
        if let Some(pause) = self.client_pause() {
            tokio::time::sleep(pause).await;
        }
        let mut waits = None;
        loop {
            let changed = self.kin.changed.notified();
            let full = {
                let mut queues = self.lock();
                !queues.over() && !queues.client.has_room(&self.shelf, CLIENT_FILE)
            };
            if !full {
                return;
            }
            if waits.is_none() {
                // This wakes the wait below, too, once.
                waits = Some((self.kin.wait(), stalls.begin()));
            }
            let _or_not = timeout(LOOK, changed).await;
        }
    }

    /// Waits until the client has room for more of the server.
    pub(crate) async fn server_room(&self) -> Result<(), Stuck> {
        loop {
            let changed = self.kin.changed.notified();
            {
                let mut queues = self.lock();
                let full = !queues.over() && !self.has_server_room(&mut queues.server, CLIENT_FILE, SERVER_MEMORY);
                queues.server_waits = full && !self.kin.is_waited_for();
                if !queues.server_waits {
                    let stuck = full && !self.has_server_room(&mut queues.server, SHARED_MOST, SERVER_MOST);
                    return if stuck { Err(Stuck) } else { Ok(()) };
                }
            }
            let _or_not = timeout(LOOK, changed).await;
        }
    }

    /// Whether a server may send more, with less than so much of it in the file, or in memory where there is none.
    fn has_server_room(&self, server: &mut Queue, file: u64, memory: usize) -> bool {
        if self.shares { server.has_room(&self.shelf, file) } else { server.has_room_in_memory(&self.shelf, memory) }
    }

    fn client_pause(&self) -> Option<Duration> {
        let queues = self.lock();
        let waiting = queues.client.waiting_in_file();
        let share = u32::try_from(waiting.min(CLIENT_FILE) >> 20).ok()?;
        let whole = u32::try_from(CLIENT_FILE >> 20).ok()?;
        (waiting >= CLIENT_PACED && !queues.over()).then(|| PACE * share / whole)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    const fn side(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Whether one side is gone: what the other still sends goes nowhere.
    const fn over(&self) -> bool {
        self.client.ended || self.server.ended
    }
}

fn wake(queue: &mut Queue) {
    if let Some(waker) = queue.waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
impl Default for Pair {
    fn default() -> Self {
        Self::new(Shelf::with(1 << 40, 1 << 40))
    }
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
