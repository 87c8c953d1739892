//! Recordings on local disk and the node's log over them.
//!
//! A recording is `ID.rec` in a directory that only its owner may enter, next to `audit.log`, a lock that keeps a
//! second broker away, and a reserve: space that is given back to the file system when it is full, so that closing
//! events can always be written.

mod archive;
mod disk;
mod file;
mod ledger;
mod recover;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sluice_model::{SessionId, UnixMicros};
use sluice_recording::log::{BrokenLog, Ending, Entry};
use sluice_recording::{Header, TooLarge, Unreadable, Writer};
use thiserror::Error;

pub use self::archive::{Archive, ArchiveReport, Checked};
use self::disk::Disk;
pub use self::disk::LocalDisk;
pub use self::file::RecordingFile;
use self::file::Tape;
use self::ledger::NodeLog;
pub use self::recover::Recovered;

/// When no further session may open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The part of the disk that must be free, in percent,
    pub min_free_percent: u8,
    /// unless so many bytes are: a tenth of a large disk is much.
    pub ample_bytes: u64,
    /// The bytes that must be free in any case.
    pub min_free_bytes: u64,
    /// The size of the reserve for closing events.
    pub reserve_bytes: u64,
}

impl Limits {
    /// The limits where the configuration names none: 10 % or 10 GiB, 64 MiB, 1 MiB.
    pub const STANDARD: Self =
        Self { min_free_percent: 10, ample_bytes: 10 << 30, min_free_bytes: 64 << 20, reserve_bytes: 1 << 20 };

    /// Whether so much free space is enough.
    #[must_use]
    pub const fn admit(&self, free_bytes: u64, total_bytes: u64) -> bool {
        let part = free_bytes as u128 * 100 >= total_bytes as u128 * self.min_free_percent as u128;
        (part || free_bytes >= self.ample_bytes) && free_bytes >= self.min_free_bytes
    }
}

/// Why something could not be recorded.
#[derive(Debug, Error)]
pub enum RecordingError {
    #[error("{doing} failed: {cause}")]
    Disk { doing: &'static str, cause: io::Error },
    #[error("too little disk space is free: {free_bytes} of {total_bytes} bytes")]
    Full { free_bytes: u64, total_bytes: u64 },
    #[error("another broker uses these recordings")]
    InUse,
    /// An earlier failure; nothing more is written to this recording but its end.
    #[error("the recording failed before")]
    Failed,
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Log(#[from] BrokenLog),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl RecordingError {
    fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Disk { doing, cause }
    }
}

/// The recordings of one node, open for writing.
#[derive(Debug)]
pub struct Recordings {
    shared: Arc<Shared>,
}

/// What the recordings of a node have in common.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    limits: Limits,
    log: Mutex<NodeLog>,
    /// Recordings that are being written.
    live: Mutex<HashMap<SessionId, Weak<Tape>>>,
}

impl Recordings {
    /// Opens a directory, making it if it is not there. Fails while another process has it open, or if the log is
    /// damaged. Blocks on the disk.
    pub fn open(dir: &Path, limits: Limits, now: UnixMicros) -> Result<Self, RecordingError> {
        Self::on(Arc::new(LocalDisk::open(dir)?), limits, now)
    }

    fn on(disk: Arc<dyn Disk>, limits: Limits, now: UnixMicros) -> Result<Self, RecordingError> {
        let log = NodeLog::open(&disk, now)?;
        // A full disk is no reason not to start: `admits` refuses sessions until there is a reserve.
        drop(disk.reserve(limits.reserve_bytes));
        let live = Mutex::new(HashMap::new());
        Ok(Self { shared: Arc::new(Shared { disk, limits, log: Mutex::new(log), live }) })
    }

    /// Whether another session may open: there is room to record it, and a reserve to close it.
    pub fn admits(&self) -> Result<(), RecordingError> {
        let shared = &self.shared;
        let (free_bytes, total_bytes) =
            shared.disk.space().map_err(RecordingError::disk("reading the free disk space"))?;
        if !shared.limits.admit(free_bytes, total_bytes) {
            return Err(RecordingError::Full { free_bytes, total_bytes });
        }
        shared.disk.reserve(shared.limits.reserve_bytes).map_err(RecordingError::disk("keeping a reserve"))
    }

    /// Begins a session's recording; it is in the log, and both are durable, on return. Blocks on the disk.
    pub fn create(&self, session: &SessionId, anchor: UnixMicros) -> Result<RecordingFile, RecordingError> {
        self.admits()?;
        let medium =
            self.shared.disk.create(&file_name(session)).map_err(RecordingError::disk("making a recording"))?;
        let mut bytes = Vec::new();
        let header = Header { session: session.clone(), anchor };
        let (writer, head) = Writer::begin(&header, &mut bytes);
        medium.write_at(0, &bytes).map_err(RecordingError::disk("writing a recording"))?;
        medium.sync().map_err(RecordingError::disk("syncing a recording"))?;
        self.shared.disk.sync_names().map_err(RecordingError::disk("syncing the recordings"))?;
        self.shared.enter(anchor, &Entry::Opened { session: session.clone(), head })?;
        let tape = Arc::new(Tape::new(medium, writer.sealed(bytes.len() as u64, 0)));
        lock(&self.shared.live).insert(session.clone(), Arc::downgrade(&tape));
        Ok(RecordingFile::new(Arc::clone(&self.shared), session.clone(), writer, tape))
    }

    /// Makes durable what was committed to any recording since the last time. A recording whose sync fails is failed
    /// for good; its next use says so. Blocks on the disk.
    pub fn sync_all(&self) {
        let live: Vec<Arc<Tape>> = lock(&self.shared.live).values().filter_map(Weak::upgrade).collect();
        for tape in live {
            drop(tape.sync());
        }
    }

    /// Closes, as crashed, recordings that were dropped without being finished (their flow panicked).
    /// Blocks on the disk.
    pub fn sweep(&self, now: UnixMicros) -> Vec<SessionId> {
        let dropped: Vec<SessionId> = {
            let live = lock(&self.shared.live);
            live.iter().filter(|(_, tape)| tape.strong_count() == 0).map(|(session, _)| session.clone()).collect()
        };
        for session in &dropped {
            lock(&self.shared.live).remove(session);
            if let Err(error) = self.shared.close_crashed(session, now) {
                tracing::error!(%session, %error, "a dropped recording could not be closed");
            }
        }
        dropped
    }
}

impl Shared {
    /// Appends to the log and makes it durable; uses the reserve where there is no other space.
    fn enter(&self, at: UnixMicros, entry: &Entry) -> Result<(), RecordingError> {
        let mut log = lock(&self.log);
        match log.append(at, entry) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.release_reserve();
                log.append(at, entry)
            }
            result => result,
        }
        .map_err(RecordingError::disk("writing the log"))
    }

    fn release_reserve(&self) {
        if let Err(error) = self.disk.release() {
            tracing::error!(%error, "the reserve could not be released");
        }
    }

    fn closed(
        &self,
        session: &SessionId,
        at: UnixMicros,
        closed: (sluice_recording::Root, Ending),
    ) -> Result<(), RecordingError> {
        let (root, end) = closed;
        self.enter(at, &Entry::Closed { session: session.clone(), root: root.digest, end })
    }
}

const SUFFIX: &str = ".rec";
const LOG: &str = "audit.log";

/// A session id has no character that means something in a path, and the suffix keeps `.` and `..` apart.
fn file_name(session: &SessionId) -> String {
    format!("{session}{SUFFIX}")
}

/// A panic elsewhere must not stop closing records from being written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
