//! Reads of files whose values are covered.
//!
//! The server is asked for more than the client: from the cover's reach before a read to its reach behind it. A read that
//! goes on where one under way ends joins it, so that what lies on both sides is read and looked at once, however long the
//! client goes on. What has been written or opened meanwhile parts them: a read never shows what was there before.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use sluice_wire::Violation;

use super::super::frame;
use super::super::reply::{self, Code, Reply};
use super::super::request::Request;
use super::files::FileNo;
use super::replies::Pending;
use super::stretch::{Answer, Block, Stretch};
use super::{Phase, Sftp, Step, Under};
use crate::files::mask::Cover;

const UNFIT: Violation = Violation::server("an answer that does not fit");

/// The most that one answer gives: what fits into a packet.
const MAX_READ: u32 = 255 << 10;
/// What every server gives at once, in bytes (section 3 of the draft). One that gives less is asked for the rest.
const PIECE: u32 = 32 << 10;
/// The memory for reads under way, in bytes.
const ROOM: u64 = 16 << 20;

/// The most reads under way.
const MOST: usize = 1024;

/// Reads under way.
#[derive(Debug)]
pub(super) struct Reads {
    open: BTreeMap<u64, Stretch>,
    last: u64,
    /// How many bytes are kept for them, and how many there are.
    held: u64,
    waiting: usize,
    /// The most that the server gives at once.
    piece: u32,
    /// The answer of which not everything has come.
    flow: Option<Flow>,
}

impl Default for Reads {
    fn default() -> Self {
        Self { open: BTreeMap::new(), last: 0, held: 0, waiting: 0, piece: PIECE, flow: None }
    }
}

/// One read of the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    stretch: u64,
    offset: u64,
    length: u32,
}

/// The bytes of an answer, which are taken as they come.
#[derive(Debug)]
struct Flow {
    /// What has not come.
    piece: Piece,
    /// How much of it this answer gives.
    left: u32,
}

impl Reads {
    pub(super) const fn have_room(&self) -> bool {
        self.held < ROOM && self.waiting < MOST
    }

    /// The bytes that are looked into once the next answer is there, about.
    pub(super) fn due(&self) -> usize {
        self.open.values().map(Stretch::due).fold(0, usize::saturating_add)
    }

    /// What the server is asked to do may change files: nothing that is read from now on may be older.
    pub(super) fn part(&mut self) {
        self.open.values_mut().for_each(Stretch::part);
    }

    /// The channel ends: nothing is answered any more.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        (self.held, self.waiting) = (0, 0);
    }

    /// Changes a stretch, and counts what it keeps.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Stretch) -> T) -> Option<T> {
        let stretch = self.open.get_mut(&number)?;
        let (held, waiting) = (stretch.held(), stretch.waiting());
        let changed = change(stretch);
        self.held = self.held.saturating_sub(held).saturating_add(stretch.held());
        self.waiting = self.waiting.saturating_sub(waiting).saturating_add(stretch.waiting());
        Some(changed)
    }

    /// Ends a stretch of which everything is answered; tells its file.
    fn settle(&mut self, number: u64) -> Option<FileNo> {
        self.open.get(&number).filter(|stretch| stretch.is_over())?;
        let stretch = self.open.remove(&number)?;
        self.held = self.held.saturating_sub(stretch.held());
        Some(stretch.file)
    }
}

impl Sftp {
    pub(super) fn read_covered(
        &mut self,
        id: u32,
        (file, handle): (FileNo, Bytes),
        (offset, length): (u64, u32),
        cover: Arc<dyn Cover>,
    ) {
        let length = u64::from(length.min(MAX_READ));
        let reach = u64::try_from(cover.reach()).unwrap_or(u64::MAX);
        if length == 0 || offset.checked_add(length).and_then(|end| end.checked_add(reach)).is_none() {
            return self.answer_status(id, Code::Eof, "nothing is there");
        }
        let joined = self.reads.open.iter().rev().find(|(_, stretch)| stretch.joins(file, offset));
        let number = match joined {
            Some((number, _)) => *number,
            None => {
                let Some(opened) = self.files.get(file) else { return };
                opened.stretches = opened.stretches.saturating_add(1);
                // A copy, because a slice would keep the whole packet that it came in.
                let stretch =
                    Stretch::new((file, Bytes::copy_from_slice(&handle)), Under::Ask(opened.ask), offset, cover);
                self.reads.last = self.reads.last.wrapping_add(1);
                self.reads.open.insert(self.reads.last, stretch);
                self.reads.last
            }
        };
        if let Some(more) = self.reads.change(number, |stretch| stretch.add(id, length)) {
            self.ask_for(number, more);
        }
    }

    /// Asks the server for a part of a file.
    fn ask_for(&mut self, stretch: u64, Range { start: mut at, end }: Range<u64>) {
        while at < end {
            let length = u32::try_from(u64::from(self.reads.piece).min(end - at)).unwrap_or(PIECE);
            self.ask_piece(Piece { stretch, offset: at, length });
            at = at.saturating_add(u64::from(length));
        }
    }

    fn ask_piece(&mut self, piece: Piece) {
        let wire = self.next_id();
        let Some(stretch) = self.reads.open.get_mut(&piece.stretch) else { return };
        stretch.owed = stretch.owed.saturating_add(1);
        let request = Request::Read { handle: stretch.handle.clone(), offset: piece.offset, length: piece.length };
        self.pending.insert(wire, Pending::Piece(piece));
        self.steps.push_back(Step::ToServer(stretch.under, request.encode(wire)));
    }

    /// Whether what stands at the front of the server's bytes, as far as it has come, begins an answer whose bytes are
    /// taken as they come. That needs the head of it.
    pub(super) fn begins_flow(&mut self) -> Result<bool, Violation> {
        let head = &self.from_server;
        let piece = frame::id(head).and_then(|id| Some((id, self.pending.get(&id)?)));
        let Some((id, Pending::Piece(piece))) = piece.filter(|_| self.phase == Phase::Open) else { return Ok(false) };
        let Some(bytes) = reply::data_length(head)? else { return Ok(false) };
        if !(1..=piece.length).contains(&bytes) {
            return Err(Violation::server("more data than was asked for, or none"));
        }
        self.reads.flow = Some(Flow { piece: *piece, left: bytes });
        self.pending.remove(&id);
        self.from_server.clear();
        Ok(true)
    }

    /// Whether an answer has begun whose bytes are taken as they come.
    pub(super) const fn is_flowing(&self) -> bool {
        self.reads.flow.is_some()
    }

    /// Takes what belongs to that answer; tells whether it was the rest.
    pub(super) fn flow(&mut self, bytes: &mut Bytes) -> bool {
        let Some(Flow { piece, left }) = &mut self.reads.flow else { return false };
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.split_to(count);
        let count = u32::try_from(count).unwrap_or(*left);
        let (number, offset) = (piece.stretch, piece.offset);
        piece.offset = offset.saturating_add(u64::from(count));
        piece.length = piece.length.saturating_sub(count);
        *left = left.saturating_sub(count);
        let rest = (*left == 0).then_some(*piece);
        if count > 0 {
            self.reads.change(number, |stretch| stretch.take(offset, part));
        }
        let Some(rest) = rest else { return false };
        self.reads.flow = None;
        if rest.length > 0 {
            self.ask_piece(rest);
        }
        self.answered(number);
        true
    }

    /// Takes an answer of the server that gives no bytes of a file.
    pub(super) fn piece(&mut self, piece: Piece, reply: &Reply) -> Result<(), Violation> {
        let Some(stretch) = self.reads.open.get_mut(&piece.stretch) else { return Ok(()) };
        match reply {
            Reply::Status { code: Code::Eof, .. } => {
                stretch.ends(piece.offset);
                if let Some(file) = self.files.get(stretch.file) {
                    file.tell_end(piece.offset);
                }
            }
            Reply::Status { code: Code::Ok, .. }
            | Reply::Data(_)
            | Reply::Version { .. }
            | Reply::Handle(_)
            | Reply::Name(_)
            | Reply::Attrs(_)
            | Reply::Extended(_) => return Err(UNFIT),
            Reply::Status { code, .. } => stretch.fail(*code),
        }
        self.answered(piece.stretch);
        Ok(())
    }

    /// One answer less is owed: gives those that can be given now.
    fn answered(&mut self, number: u64) {
        if let Some(stretch) = self.reads.open.get_mut(&number) {
            stretch.owed = stretch.owed.saturating_sub(1);
        }
        while let Some(block) = self.reads.change(number, Stretch::next).flatten() {
            self.show(number, block);
        }
        if let Some(file) = self.reads.settle(number).and_then(|file| self.files.get(file)) {
            file.stretches = file.stretches.saturating_sub(1);
        }
    }

    fn show(&mut self, number: u64, block: Block) {
        let Some(file) = self.reads.open.get(&number).map(|stretch| stretch.file) else { return };
        if let Some(file) = self.files.get(file) {
            file.covered.extend(block.tags);
        }
        for answer in block.answers {
            match answer {
                Answer::Data { id, offset, bytes } => self.show_data(id, file, offset, bytes),
                Answer::End { id } => self.answer_status(id, Code::Eof, "the file ends here"),
                Answer::Failed { id, code } => self.answer_status(id, code, "the file cannot be read"),
            }
        }
    }

    fn show_data(&mut self, id: u32, file: FileNo, mut offset: u64, bytes: Vec<Bytes>) {
        let length = bytes.iter().map(Bytes::len).sum::<usize>();
        self.steps.push_back(Step::ToClient(reply::data_head(id, u32::try_from(length).unwrap_or(u32::MAX))));
        for part in bytes {
            if let Some((file, room)) = self.files.with_room(file) {
                file.count_read(offset, &part, room);
            }
            offset = offset.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            self.steps.push_back(Step::ToClient(part));
        }
    }

    /// Takes what the server says of its limits (`limits@openssh.com`): packet, read, write, handles.
    pub(super) fn learn_limits(&mut self, mut data: &[u8]) {
        if data.len() >= 16 {
            data.advance(8);
            let most = u32::try_from(data.get_u64()).unwrap_or(u32::MAX);
            self.reads.piece = most.clamp(PIECE, MAX_READ);
        }
    }
}
