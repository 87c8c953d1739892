//! The handles of a channel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Tag, UnixMicros};
use sluice_wire::Violation;

use super::super::path::Path;
use super::super::question::{AskId, Inspect, Terms};
use super::super::request::OpenFlags;
use crate::files::event::{End, FileEvent, Tally, Whole};
use crate::files::mask::Cover;

/// The most handles that are open or being opened.
const MAX_FILES: usize = 256;
/// The memory for pieces of files that came before those in front of them, in bytes: what OpenSSH's client has under way
/// with the largest packets.
const ROOM: usize = 16 << 20;

/// A handle's number here; servers use their own handles again.
pub(super) type FileNo = u64;

/// Every handle.
#[derive(Debug)]
pub(super) struct Files {
    names: HashMap<Bytes, FileNo>,
    open: BTreeMap<FileNo, File>,
    last: FileNo,
    pub(super) opening: usize,
    pub(super) room: usize,
}

impl Default for Files {
    fn default() -> Self {
        Self { names: HashMap::new(), open: BTreeMap::new(), last: 0, opening: 0, room: ROOM }
    }
}

/// What is known of a file or directory when it is opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) ask: AskId,
    pub(super) path: Path,
    pub(super) how: How,
    pub(super) terms: Terms,
    /// Its length a moment before; `None` if nothing was there or its length was not told.
    pub(super) length: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    Directory,
    /// A file of which everything is yet to be written.
    Empty(OpenFlags),
    File(OpenFlags),
}

impl How {
    pub(super) const fn flags(self) -> OpenFlags {
        match self {
            Self::Directory => OpenFlags::READ,
            Self::Empty(flags) | Self::File(flags) => flags,
        }
    }
}

/// One open file or directory.
#[derive(Debug)]
pub(super) struct File {
    pub(super) ask: AskId,
    pub(super) path: Path,
    pub(super) how: How,
    pub(super) cover: Option<Arc<dyn Cover>>,
    inspect: Option<Inspection>,
    length: Option<u64>,
    since: UnixMicros,
    /// Answers that the server owes.
    pub(super) owed: usize,
    /// Stretches in which reads are being covered.
    pub(super) stretches: usize,
    closed: bool,
    read: Tally,
    written: Tally,
    /// Where the server said that the file ends.
    end: Option<u64>,
    pub(super) covered: BTreeSet<Tag>,
}

/// What is written is shown from the first byte on and in order.
#[derive(Debug)]
struct Inspection {
    by: Arc<dyn Inspect>,
    next: u64,
    before: Vec<u8>,
}

impl Files {
    pub(super) fn have_room(&self) -> bool {
        self.open.len().saturating_add(self.opening) < MAX_FILES
    }

    pub(super) fn number(&self, handle: &Bytes) -> Option<FileNo> {
        self.names.get(handle).copied()
    }

    pub(super) fn get(&mut self, file: FileNo) -> Option<&mut File> {
        self.open.get_mut(&file)
    }

    /// A file, and the memory for what comes early.
    pub(super) fn with_room(&mut self, file: FileNo) -> Option<(&mut File, &mut usize)> {
        Some((self.open.get_mut(&file)?, &mut self.room))
    }

    /// Takes a new handle.
    pub(super) fn add(&mut self, handle: &Bytes, opening: Opening, now: UnixMicros) -> Result<(), Violation> {
        if self.names.contains_key(handle) {
            return Err(Violation::server("a handle was given out twice"));
        }
        self.last = self.last.wrapping_add(1);
        self.names.insert(Bytes::copy_from_slice(handle), self.last);
        let Opening { ask, path, how, terms, length } = opening;
        let file = File {
            ask,
            path,
            how,
            cover: terms.cover,
            inspect: terms.inspect.map(|by| Inspection { by, next: 0, before: Vec::new() }),
            length,
            since: now,
            owed: 0,
            stretches: 0,
            closed: false,
            read: Tally::default(),
            written: Tally::default(),
            end: None,
            covered: BTreeSet::new(),
        };
        self.open.insert(self.last, file);
        Ok(())
    }

    /// The client closes a handle: from now on it means nothing.
    pub(super) fn forget(&mut self, handle: &Bytes) {
        self.names.remove(handle);
    }

    /// One answer less is owed.
    pub(super) fn answered(&mut self, file: FileNo) {
        if let Some(file) = self.open.get_mut(&file) {
            file.owed = file.owed.saturating_sub(1);
        }
    }

    /// Ends a file that was closed once nothing more is owed.
    pub(super) fn settle(&mut self, number: FileNo, now: UnixMicros) -> Option<(AskId, Option<FileEvent>)> {
        self.open.get(&number).filter(|file| file.closed && file.owed == 0)?;
        let file = self.open.remove(&number)?;
        Some((file.ask, file.finish(End::Closed, now, &mut self.room)))
    }

    /// Ends everything.
    pub(super) fn cut(&mut self, now: UnixMicros) -> Vec<(AskId, Option<FileEvent>)> {
        self.names.clear();
        let open = std::mem::take(&mut self.open).into_values();
        open.map(|file| (file.ask, file.finish(End::Cut, now, &mut self.room))).collect()
    }
}

impl File {
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn may(&self, flag: OpenFlags) -> bool {
        self.how != How::Directory && self.how.flags().has(flag)
    }

    /// The server told how long the file is.
    pub(super) const fn tell_length(&mut self, length: u64) {
        self.length = Some(length);
    }

    /// The server said that nothing is at an offset.
    pub(super) fn tell_end(&mut self, offset: u64) {
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
    }

    pub(super) fn count_read(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        self.read.read(offset, piece, room);
    }

    pub(super) fn count_written(&mut self, offset: u64, piece: &Bytes, room: &mut usize) {
        self.written.write(offset, piece, room);
    }

    pub(super) fn count_failed(&mut self, bytes: u64, room: &mut usize) {
        self.written.fail(bytes, room);
    }

    /// The client sets the length of the file itself.
    pub(super) fn cut_to(&mut self, length: u64, room: &mut usize) {
        if self.may(OpenFlags::WRITE) && length != self.written.next() {
            self.written.spoil(room);
        }
    }

    /// Shows a piece before it is written.
    pub(super) fn inspect(&mut self, offset: u64, piece: &[u8]) -> Result<(), String> {
        let Some(inspection) = &mut self.inspect else { return Ok(()) };
        if !matches!(self.how, How::Empty(_)) || offset != inspection.next {
            return Err("this file can only be written from its beginning and in order".to_owned());
        }
        inspection.by.inspect(&inspection.before, piece)?;
        inspection.next = inspection.next.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        inspection.before.extend_from_slice(piece);
        let surplus = inspection.before.len().saturating_sub(inspection.by.reach());
        inspection.before.drain(..surplus);
        Ok(())
    }

    fn finish(self, end: End, now: UnixMicros, room: &mut usize) -> Option<FileEvent> {
        if self.how == How::Directory {
            return None;
        }
        let next = self.read.next();
        let all_read = self.end == Some(next) || (next > 0 && self.length == Some(next));
        let read = self.read.finish(if all_read { Whole::Length(next) } else { Whole::Unknown }, room);
        let next = self.written.next();
        let all_written = end == End::Closed
            && self.how.flags().has(OpenFlags::WRITE)
            && match self.how {
                How::Empty(_) => true,
                How::File(flags) => {
                    let longer = self.length.is_some_and(|length| length <= next);
                    next > 0 && longer && !flags.has(OpenFlags::APPEND)
                }
                How::Directory => false,
            };
        let written = self.written.finish(if all_written { Whole::Length(next) } else { Whole::Unknown }, room);
        let micros = u64::try_from(now.0.saturating_sub(self.since.0)).unwrap_or(0);
        Some(FileEvent { path: self.path.as_str().to_owned(), read, written, micros, end, covered: self.covered })
    }
}
