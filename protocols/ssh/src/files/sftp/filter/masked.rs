//! Reads of files whose values are covered.
//!
//! Each read becomes several: from the cover's reach before what was asked to its reach behind it. What comes back is
//! put together, covered, and cut to what was asked. A read that goes on where one under way ends joins it, so that what
//! lies on both sides is looked at once for many reads of a client that asks ahead.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use sluice_wire::Violation;

use super::super::reply::{Code, Reply};
use super::super::request::Request;
use super::files::FileNo;
use super::replies::Pending;
use super::{Sftp, Step, Under};
use crate::files::mask::Cover;

const UNFIT: Violation = Violation::server("an answer that does not fit");

/// The most that one answer gives: what fits into a packet.
const MAX_READ: u32 = 255 << 10;
/// What every server gives at once, in bytes (section 3 of the draft). One that gives less is asked for the rest.
const PIECE: u32 = 32 << 10;
/// The most that is covered at once for reads that join, without the reach on both sides.
const JOINED: u64 = 256 << 10;
/// The memory for reads under way, in bytes.
const ROOM: usize = 16 << 20;

/// Reads under way.
#[derive(Debug)]
pub(super) struct Windows {
    open: BTreeMap<u64, Window>,
    last: u64,
    held: usize,
    /// The most that the server gives at once.
    piece: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self { open: BTreeMap::new(), last: 0, held: 0, piece: PIECE }
    }
}

impl Windows {
    pub(super) const fn have_room(&self) -> bool {
        self.held < ROOM
    }
}

/// Reads of the client that follow each other.
#[derive(Debug)]
struct Window {
    /// The client's ids, and how much each asked for, in the order of the file.
    asked: Vec<(u32, u64)>,
    file: FileNo,
    handle: Bytes,
    under: Under,
    cover: Arc<dyn Cover>,
    /// What was asked, altogether.
    offset: u64,
    length: u64,
    /// Where the bytes begin.
    start: u64,
    bytes: Vec<u8>,
    /// Where the server said that the file ends.
    end: Option<u64>,
    owed: usize,
    failed: Option<(Code, Bytes)>,
}

/// One read of the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    window: u64,
    offset: u64,
    length: u32,
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
        let Some(stop) = offset.checked_add(length).and_then(|stop| stop.checked_add(reach)).filter(|_| length > 0)
        else {
            return self.answer_status(id, Code::Eof, "nothing is there");
        };
        if self.join((id, file), (offset, length), stop) {
            return;
        }
        let start = offset.saturating_sub(reach);
        let Some(opened) = self.files.get(file) else { return };
        opened.windows = opened.windows.saturating_add(1);
        let window = Window {
            asked: vec![(id, length)],
            file,
            handle: Bytes::copy_from_slice(&handle),
            under: Under::Ask(opened.ask),
            cover,
            offset,
            length,
            start,
            bytes: Vec::new(),
            end: None,
            owed: 0,
            failed: None,
        };
        self.windows.last = self.windows.last.wrapping_add(1);
        self.widen(self.windows.last, window, stop);
    }

    /// Adds a read to the newest window, if that ends where the read begins and nothing is known to be wrong with it.
    fn join(&mut self, (id, file): (u32, FileNo), (offset, length): (u64, u64), stop: u64) -> bool {
        let number = self.windows.last;
        let Some(mut window) = self.windows.open.remove(&number) else { return false };
        let joins = window.file == file
            && window.offset.checked_add(window.length) == Some(offset)
            && window.length.saturating_add(length) <= JOINED
            && window.end.is_none()
            && window.failed.is_none();
        if joins {
            window.asked.push((id, length));
            window.length = window.length.saturating_add(length);
            self.widen(number, window, stop);
        } else {
            self.windows.open.insert(number, window);
        }
        joins
    }

    /// Asks for what a window lacks up to an offset.
    fn widen(&mut self, number: u64, mut window: Window, stop: u64) {
        let before = window.bytes.len();
        let mut at = window.start.saturating_add(u64::try_from(before).unwrap_or(u64::MAX));
        let more = usize::try_from(stop.saturating_sub(at)).unwrap_or(usize::MAX);
        window.bytes.resize(before.saturating_add(more), 0);
        self.windows.held = self.windows.held.saturating_add(more);
        let step = u64::from(self.windows.piece);
        while at < stop {
            let length = u32::try_from(step.min(stop - at)).unwrap_or(PIECE);
            window.owed = window.owed.saturating_add(1);
            self.ask_piece(&window, Piece { window: number, offset: at, length });
            at = at.saturating_add(u64::from(length));
        }
        self.windows.open.insert(number, window);
    }

    fn ask_piece(&mut self, window: &Window, piece: Piece) {
        let request = Request::Read { handle: window.handle.clone(), offset: piece.offset, length: piece.length };
        let wire = self.next_id();
        self.pending.insert(wire, Pending::Piece(piece));
        self.steps.push_back(Step::ToServer(window.under, request.encode(wire)));
    }

    /// Takes the server's answer to a part of a read.
    pub(super) fn piece(&mut self, piece: Piece, reply: Reply) -> Result<(), Violation> {
        let Some(mut window) = self.windows.open.remove(&piece.window) else { return Ok(()) };
        window.owed = window.owed.saturating_sub(1);
        match reply {
            Reply::Data(data) => {
                if let Some(rest) = window.take(piece, &data)? {
                    window.owed = window.owed.saturating_add(1);
                    self.ask_piece(&window, rest);
                }
            }
            Reply::Status { code: Code::Eof, .. } => {
                window.end = Some(window.end.map_or(piece.offset, |end| end.min(piece.offset)));
            }
            Reply::Status { code: Code::Ok, .. } => return Err(UNFIT),
            Reply::Status { code, message, .. } => window.failed = Some((code, message)),
            Reply::Version { .. } | Reply::Handle(_) | Reply::Name(_) | Reply::Attrs(_) | Reply::Extended(_) => {
                return Err(UNFIT);
            }
        }
        if window.owed > 0 {
            self.windows.open.insert(piece.window, window);
        } else {
            self.windows.held = self.windows.held.saturating_sub(window.bytes.len());
            self.show(window);
        }
        Ok(())
    }

    /// Covers what was read and answers with what was asked.
    fn show(&mut self, mut window: Window) {
        let Some(file) = self.files.get(window.file) else { return };
        file.windows = file.windows.saturating_sub(1);
        if let Some((code, _)) = window.failed {
            for (id, _) in window.asked {
                self.answer_status(id, code, "the file cannot be read");
            }
            return;
        }
        if let Some(end) = window.end {
            file.tell_end(end);
            window.bytes.truncate(usize::try_from(end.saturating_sub(window.start)).unwrap_or(usize::MAX));
        }
        let from = usize::try_from(window.offset - window.start).unwrap_or(usize::MAX);
        if from < window.bytes.len() {
            file.covered.extend(window.cover.cover(&mut window.bytes));
        }
        let (bytes, mut at) = (Bytes::from(window.bytes), window.offset);
        for (id, length) in window.asked {
            self.show_part((id, window.file), at, window.start, length, &bytes);
            at = at.saturating_add(length);
        }
    }

    /// Answers one read out of a covered window that begins at an offset.
    fn show_part(&mut self, (id, file): (u32, FileNo), offset: u64, start: u64, length: u64, bytes: &Bytes) {
        let from = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
        if from >= to {
            return self.answer_status(id, Code::Eof, "the file ends here");
        }
        let Some((file, room)) = self.files.with_room(file) else { return };
        let data = bytes.slice(from..to);
        file.count_read(offset, &data, room);
        self.answer(id, &Reply::Data(data));
    }

    /// Takes what the server says of its limits (`limits@openssh.com`): packet, read, write, handles.
    pub(super) fn learn_limits(&mut self, mut data: &[u8]) {
        if data.len() >= 16 {
            data.advance(8);
            let most = u32::try_from(data.get_u64()).unwrap_or(u32::MAX);
            self.windows.piece = most.clamp(PIECE, MAX_READ);
        }
    }
}

impl Window {
    /// Takes a part, and tells what is missing of it.
    fn take(&mut self, piece: Piece, data: &[u8]) -> Result<Option<Piece>, Violation> {
        let got = u32::try_from(data.len()).ok().filter(|got| (1..=piece.length).contains(got));
        let got = got.ok_or(Violation::server("more data than was asked for, or none"))?;
        let from = usize::try_from(piece.offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let place = self.bytes.get_mut(from..from.saturating_add(data.len()));
        place.ok_or(UNFIT)?.copy_from_slice(data);
        let offset = piece.offset.saturating_add(u64::from(got));
        Ok((got < piece.length).then_some(Piece { offset, length: piece.length - got, ..piece }))
    }
}
