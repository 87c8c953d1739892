//! One recording that is being written.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sluice_model::{FlowId, SessionId, UnixMicros};
use sluice_recording::log::Ending;
use sluice_recording::{Batch, Closed, Event, Gap, Resume, Root, SEGMENT_BYTES, Writer};

use super::disk::Medium;
use super::{RecordingError, Shared, lock};

/// The flow of events that belong to the session as a whole.
const SESSION: FlowId = FlowId(0);

/// A file and how much of it counts; shared with whoever syncs it.
#[derive(Debug)]
pub(super) struct Tape {
    medium: Arc<dyn Medium>,
    marks: Mutex<Marks>,
    /// Held while syncing, so that a failure is seen by everyone who waits for the same bytes.
    syncing: Mutex<()>,
    failed: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    /// Up to here everything is in the operating system.
    written: Resume,
    /// Up to here everything is durable.
    durable: Resume,
    /// What a failed sync has lost.
    lost_bytes: u64,
}

impl Tape {
    pub(super) fn new(medium: Arc<dyn Medium>, durable: Resume) -> Self {
        let marks = Mutex::new(Marks { written: durable, durable, lost_bytes: 0 });
        Self { medium, marks, syncing: Mutex::new(()), failed: AtomicBool::new(false) }
    }

    /// Makes everything written durable; a failure is final.
    pub(super) fn sync(&self) -> Result<(), RecordingError> {
        let _turn = lock(&self.syncing);
        self.intact()?;
        let marks = *lock(&self.marks);
        if marks.written == marks.durable {
            return Ok(());
        }
        if let Err(cause) = self.medium.sync() {
            self.failed.store(true, Ordering::Release);
            // What was not durable is lost: the kernel has dropped it and would say yes to a second sync.
            let mut now = lock(&self.marks);
            now.lost_bytes = now.written.at_byte.saturating_sub(marks.durable.at_byte);
            now.written = marks.durable;
            return Err(RecordingError::Disk { doing: "syncing a recording", cause });
        }
        lock(&self.marks).durable = marks.written;
        Ok(())
    }

    fn write(&self, bytes: &[u8], sealed: impl FnOnce(u64) -> Resume) -> Result<(), RecordingError> {
        self.intact()?;
        let at_byte = lock(&self.marks).written.at_byte;
        if let Err(cause) = self.medium.write_at(at_byte, bytes) {
            self.failed.store(true, Ordering::Release);
            return Err(RecordingError::Disk { doing: "writing a recording", cause });
        }
        let mut marks = lock(&self.marks);
        // A sync that failed meanwhile has cut these bytes off.
        self.intact()?;
        marks.written = sealed(at_byte.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn intact(&self) -> Result<(), RecordingError> {
        if self.failed.load(Ordering::Acquire) { Err(RecordingError::Failed) } else { Ok(()) }
    }
}

/// Writes one session's recording. After an error only [`RecordingFile::finish`] is of use.
#[derive(Debug)]
pub struct RecordingFile {
    shared: Arc<Shared>,
    session: SessionId,
    writer: Writer,
    sealed: Vec<u8>,
    at_ns: u64,
    tape: Arc<Tape>,
}

impl RecordingFile {
    pub(super) const fn new(shared: Arc<Shared>, session: SessionId, writer: Writer, tape: Arc<Tape>) -> Self {
        Self { shared, session, writer, sealed: Vec::new(), at_ns: 0, tape }
    }

    /// Copies an event into memory; commits by itself when a segment is full.
    pub fn append(&mut self, flow: FlowId, at_ns: u64, event: &Event<'_>) -> Result<(), RecordingError> {
        self.tape.intact()?;
        if let Err(error) = self.writer.append(flow, at_ns, event) {
            self.tape.failed.store(true, Ordering::Release);
            return Err(error.into());
        }
        self.at_ns = self.at_ns.max(at_ns);
        if self.writer.pending_bytes() >= SEGMENT_BYTES { self.commit() } else { Ok(()) }
    }

    /// Takes the events of a batch into memory and empties it; commits by itself when a segment is full.
    pub fn take(&mut self, batch: &mut Batch) -> Result<(), RecordingError> {
        self.tape.intact()?;
        self.at_ns = self.at_ns.max(batch.latest_ns());
        self.writer.take(batch);
        if self.writer.pending_bytes() >= SEGMENT_BYTES { self.commit() } else { Ok(()) }
    }

    /// Hands everything appended to the operating system, by one write.
    pub fn commit(&mut self) -> Result<(), RecordingError> {
        self.tape.intact()?;
        if self.writer.pending_bytes() == 0 {
            return Ok(());
        }
        self.sealed.clear();
        self.writer.seal(&mut self.sealed);
        let (writer, at_ns) = (&self.writer, self.at_ns);
        self.tape.write(&self.sealed, |at_byte| writer.sealed(at_byte, at_ns))?;
        // One large commit must not pin its buffer for the rest of a session.
        self.sealed.clear();
        self.sealed.shrink_to(SEGMENT_BYTES);
        Ok(())
    }

    /// Makes everything committed durable. Blocks on the disk.
    pub fn sync(&self) -> Result<(), RecordingError> {
        self.tape.sync()
    }

    /// Something that makes this recording durable from another thread.
    pub(crate) fn syncer(&self) -> impl FnOnce() -> Result<(), RecordingError> + Send + use<> {
        let tape = Arc::clone(&self.tape);
        move || tape.sync()
    }

    /// Writes the closing event and the footer and enters the root into the log, all durable on return. Where that
    /// fails, or something failed before, closes what is whole with the help of the reserve and gives the error.
    /// Blocks on the disk.
    pub fn finish(mut self, at_ns: u64, closed: &Closed<'_>, now: UnixMicros) -> Result<Root, RecordingError> {
        let result = self.close(at_ns, closed);
        if let Err(error) = &result {
            tracing::error!(session = %self.session, %error, "a recording failed");
            if let Err(error) = self.close_failed(at_ns, now) {
                tracing::error!(session = %self.session, %error, "a failed recording could not be closed");
            }
        }
        lock(&self.shared.live).remove(&self.session);
        let root = result?;
        // A footer that the log does not know is entered when the broker starts again.
        self.shared.closed(&self.session, now, (root, Ending::Clean))?;
        Ok(root)
    }

    fn close(&mut self, at_ns: u64, closed: &Closed<'_>) -> Result<Root, RecordingError> {
        self.append(SESSION, at_ns, &Event::Closed(closed.clone()))?;
        self.commit()?;
        let at_byte = lock(&self.tape.marks).written.at_byte;
        let sealed = self.writer.sealed(at_byte, self.at_ns);
        let mut footer = Vec::new();
        let root = mem::replace(&mut self.writer, Writer::resume(&sealed)).finish(&mut footer);
        // The mark stays before the footer: if it is not durable, the recording is closed again from there.
        if let Err(cause) = self.tape.medium.write_at(at_byte, &footer).and_then(|()| self.tape.medium.sync()) {
            self.tape.failed.store(true, Ordering::Release);
            return Err(RecordingError::Disk { doing: "closing a recording", cause });
        }
        Ok(root)
    }

    /// Cuts back to what is whole and closes that.
    fn close_failed(&mut self, at_ns: u64, now: UnixMicros) -> Result<(), RecordingError> {
        let marks = *lock(&self.tape.marks);
        let whole = marks.written;
        let unwritten = self.writer.pending_bytes().saturating_add(self.sealed.len()) as u64;
        let lost_bytes = marks.lost_bytes.saturating_add(unwritten);
        let end = Epilogue { at_ns: at_ns.max(whole.at_ns), lost_bytes, reason: "unrecorded" };
        let root = end.write_or_release(&*self.tape.medium, &whole, &self.shared)?;
        self.shared.closed(&self.session, now, (root, Ending::Unrecorded))
    }
}

/// The last events of a recording that did not end well.
pub(super) struct Epilogue {
    pub(super) at_ns: u64,
    pub(super) lost_bytes: u64,
    pub(super) reason: &'static str,
}

impl Epilogue {
    /// Writes it after what is whole; gives the reserve back to the file system if there is no other space.
    pub(super) fn write_or_release(
        &self,
        medium: &dyn Medium,
        whole: &Resume,
        shared: &Shared,
    ) -> Result<Root, RecordingError> {
        match self.write(medium, whole) {
            Err(RecordingError::Disk { cause, .. }) if cause.kind() == io::ErrorKind::StorageFull => {
                shared.release_reserve();
                self.write(medium, whole)
            }
            result => result,
        }
    }

    fn write(&self, medium: &dyn Medium, whole: &Resume) -> Result<Root, RecordingError> {
        let mut bytes = Vec::new();
        let mut writer = Writer::resume(whole);
        let gap = Gap { reason: self.reason.into(), bytes: self.lost_bytes };
        writer.append(SESSION, self.at_ns, &Event::Gap(gap))?;
        let closed = Closed { reason: self.reason.into(), counters: Vec::new() };
        writer.append(SESSION, self.at_ns, &Event::Closed(closed))?;
        let root = writer.finish(&mut bytes);
        medium
            .cut(whole.at_byte)
            .and_then(|()| medium.write_at(whole.at_byte, &bytes))
            .and_then(|()| medium.sync())
            .map_err(RecordingError::disk("closing a recording"))?;
        Ok(root)
    }
}
