//! Reads of files whose values are covered.
//!
//! Each read becomes several: from the cover's reach before what was asked to its reach behind it. What comes back is
//! put together, covered, and cut to what was asked.

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

/// One read of the client.
#[derive(Debug)]
struct Window {
    /// The client's id.
    id: u32,
    file: FileNo,
    handle: Bytes,
    under: Under,
    cover: Arc<dyn Cover>,
    /// What was asked.
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
        let start = offset.saturating_sub(reach);
        let Some(opened) = self.files.get(file) else { return };
        opened.windows = opened.windows.saturating_add(1);
        let under = Under::Ask(opened.ask);
        let size = usize::try_from(stop - start).unwrap_or(usize::MAX);
        let mut window = Window {
            id,
            file,
            handle: Bytes::copy_from_slice(&handle),
            under,
            cover,
            offset,
            length,
            start,
            bytes: vec![0; size],
            end: None,
            owed: 0,
            failed: None,
        };
        self.windows.last = self.windows.last.wrapping_add(1);
        self.windows.held = self.windows.held.saturating_add(size);
        let (number, step) = (self.windows.last, u64::from(self.windows.piece));
        let mut at = start;
        while at < stop {
            let piece = u32::try_from(step.min(stop - at)).unwrap_or(PIECE);
            window.owed = window.owed.saturating_add(1);
            self.ask_piece(&window, Piece { window: number, offset: at, length: piece });
            at = at.saturating_add(u64::from(piece));
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
        let Some((file, room)) = self.files.with_room(window.file) else { return };
        file.windows = file.windows.saturating_sub(1);
        if let Some((code, _)) = window.failed {
            return self.answer_status(window.id, code, "the file cannot be read");
        }
        if let Some(end) = window.end {
            file.tell_end(end);
            window.bytes.truncate(usize::try_from(end.saturating_sub(window.start)).unwrap_or(usize::MAX));
        }
        let from = usize::try_from(window.offset - window.start).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(window.length).unwrap_or(usize::MAX)).min(window.bytes.len());
        if from >= to {
            return self.answer_status(window.id, Code::Eof, "the file ends here");
        }
        file.covered.extend(window.cover.cover(&mut window.bytes));
        let data = Bytes::from(window.bytes).slice(from..to);
        file.count_read(window.offset, &data, room);
        self.answer(window.id, &Reply::Data(data));
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
