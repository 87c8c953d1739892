//! What a client sends.

use bytes::{Bytes, BytesMut};
use sluice_model::UnixMicros;
use sluice_wire::Violation;

use super::super::frame;
use super::super::reply::Code;
use super::super::request::{Extended, OpenFlags, Request};
use super::files::{FileNo, How};
use super::plan::Plan;
use super::replies::{Owed, Pending, What};
use super::{Phase, Sftp, Step, Under};

const NO_HANDLE: &str = "there is no such handle";

/// A request on a handle, with its packet as it is forwarded: a packet that is read strictly has but one form.
struct OnHandle {
    /// The client's id.
    id: u32,
    /// The id that the packet has now.
    wire: u32,
    packet: Bytes,
    file: FileNo,
}

impl Sftp {
    pub(super) fn request(&mut self, mut packet: BytesMut, now: UnixMicros) -> Result<(), Violation> {
        if self.phase == Phase::Fresh {
            return self.greet(packet);
        }
        let id = frame::id(&packet).ok_or(Violation::client("a request has no id"))?;
        if self.must_wait(&packet)? {
            self.parked = Some(packet);
            return Ok(());
        }
        let wire = self.next_id();
        frame::set_id(&mut packet, wire);
        let packet = packet.freeze();
        let (Some(_), request) = Request::parse(&packet)? else {
            return Err(Violation::client("a second greeting"));
        };
        if let Some(what) = refused(&request) {
            self.answer_status(id, Code::BadMessage, what);
            return Ok(());
        }
        match self.file_of(&request) {
            Some(Some(file)) => self.on_handle(OnHandle { id, wire, packet, file }, request, now),
            Some(None) => self.answer_status(id, Code::Failure, NO_HANDLE),
            None => self.on_path(id, wire, request, now),
        }
        Ok(())
    }

    /// The greeting goes on in version 3 and without a client's extensions, of which there are none.
    fn greet(&mut self, packet: BytesMut) -> Result<(), Violation> {
        match Request::parse(&packet.freeze())? {
            (None, Request::Init { version: 3.., .. }) => {
                self.phase = Phase::Greeted;
                let init = Request::Init { version: 3, extensions: Vec::new() };
                self.steps.push_back(Step::ToServer(Under::Channel, init.encode(0)));
                Ok(())
            }
            (None, _) => Err(Violation::client("a version before 3")),
            (Some(_), _) => Err(Violation::client("a request before the greeting")),
        }
    }

    /// A handle is not closed while reads of it are being covered: each may take more than one answer.
    fn must_wait(&mut self, packet: &BytesMut) -> Result<bool, Violation> {
        if frame::kind(packet) != super::super::request::CLOSE {
            return Ok(false);
        }
        let (_, request) = Request::parse(&Bytes::copy_from_slice(packet))?;
        let file = self.file_of(&request).flatten();
        Ok(file.and_then(|file| self.files.get(file)).is_some_and(|file| file.stretches > 0))
    }

    /// The file of a request on a handle; `Some(None)` if the handle means nothing.
    fn file_of(&self, request: &Request) -> Option<Option<FileNo>> {
        match request {
            Request::Close { handle }
            | Request::Read { handle, .. }
            | Request::Write { handle, .. }
            | Request::Fstat { handle }
            | Request::Fsetstat { handle, .. }
            | Request::Readdir { handle }
            | Request::Extended(Extended::Fstatvfs { handle } | Extended::Fsync { handle }) => {
                Some(self.files.number(handle))
            }
            Request::Init { .. }
            | Request::Open { .. }
            | Request::Lstat { .. }
            | Request::Setstat { .. }
            | Request::Opendir { .. }
            | Request::Remove { .. }
            | Request::Mkdir { .. }
            | Request::Rmdir { .. }
            | Request::Realpath { .. }
            | Request::Stat { .. }
            | Request::Rename { .. }
            | Request::Readlink { .. }
            | Request::Symlink { .. }
            | Request::Extended(
                Extended::PosixRename { .. }
                | Extended::Statvfs { .. }
                | Extended::Hardlink { .. }
                | Extended::Lsetstat { .. }
                | Extended::Limits
                | Extended::Other { .. },
            ) => None,
        }
    }

    fn on_path(&mut self, id: u32, wire: u32, request: Request, now: UnixMicros) {
        if let Request::Extended(extended) = &request
            && !self.offers(extended)
        {
            return self.answer_status(id, Code::Unsupported, "this extension is not offered");
        }
        if matches!(request, Request::Open { .. } | Request::Opendir { .. }) && !self.files.have_room() {
            return self.answer_status(id, Code::Failure, "too many files are open");
        }
        if matches!(request, Request::Extended(Extended::Limits)) {
            let packet = request.encode(wire);
            return self.send(wire, packet, Owed::of_channel(id, What::Limits));
        }
        match Plan::new(id, request) {
            Some(plan) => self.begin(plan, now),
            None => self.answer_status(id, Code::Unsupported, "this request is not offered"),
        }
    }

    fn on_handle(&mut self, on: OnHandle, request: Request, now: UnixMicros) {
        match request {
            Request::Close { handle } => {
                self.files.forget(&handle);
                self.pass(on, What::Close);
            }
            Request::Read { handle, offset, length } => self.read(on, handle, offset, length),
            Request::Write { offset, data, .. } => self.write(on, offset, &data),
            Request::Fstat { .. } => self.pass(on, What::FileAttrs),
            request @ Request::Fsetstat { .. } => self.set(&on, request, now),
            Request::Readdir { .. } if self.files.get(on.file).is_some_and(|file| file.how == How::Directory) => {
                self.pass(on, What::Names);
            }
            Request::Readdir { .. } => self.answer_status(on.id, Code::Failure, "the handle is no directory"),
            Request::Extended(extended @ (Extended::Fstatvfs { .. } | Extended::Fsync { .. })) => {
                if !self.offers(&extended) {
                    return self.answer_status(on.id, Code::Unsupported, "this extension is not offered");
                }
                let what = if matches!(extended, Extended::Fsync { .. }) { What::Status } else { What::Space };
                self.pass(on, what);
            }
            Request::Init { .. }
            | Request::Open { .. }
            | Request::Lstat { .. }
            | Request::Setstat { .. }
            | Request::Opendir { .. }
            | Request::Remove { .. }
            | Request::Mkdir { .. }
            | Request::Rmdir { .. }
            | Request::Realpath { .. }
            | Request::Stat { .. }
            | Request::Rename { .. }
            | Request::Readlink { .. }
            | Request::Symlink { .. }
            | Request::Extended(
                Extended::PosixRename { .. }
                | Extended::Statvfs { .. }
                | Extended::Hardlink { .. }
                | Extended::Lsetstat { .. }
                | Extended::Limits
                | Extended::Other { .. },
            ) => self.answer_status(on.id, Code::Unsupported, "this request is on no handle"),
        }
    }

    fn read(&mut self, on: OnHandle, handle: Bytes, offset: u64, length: u32) {
        let Some(file) = self.files.get(on.file).filter(|file| file.may(OpenFlags::READ)) else {
            return self.answer_status(on.id, Code::Failure, "the handle is not open for reading");
        };
        match file.cover.clone() {
            None => self.pass(on, What::Read { offset, length }),
            Some(cover) => self.read_covered(on.id, (on.file, handle), (offset, length), cover),
        }
    }

    fn write(&mut self, on: OnHandle, offset: u64, data: &Bytes) {
        let Some((file, room)) = self.files.with_room(on.file).filter(|(file, _)| file.may(OpenFlags::WRITE)) else {
            return self.answer_status(on.id, Code::Failure, "the handle is not open for writing");
        };
        if let Err(message) = file.inspect(offset, data) {
            return self.answer_status(on.id, Code::PermissionDenied, &message);
        }
        file.count_written(offset, data, room);
        self.pass(on, What::Write { bytes: u64::try_from(data.len()).unwrap_or(u64::MAX) });
    }

    /// What is set on a handle is a question of its own, about the file that was opened.
    fn set(&mut self, on: &OnHandle, request: Request, now: UnixMicros) {
        if let Some(path) = self.files.get(on.file).map(|file| file.path.clone()) {
            self.decide(Plan::on_handle(on.id, request, path), now);
        }
    }

    /// Forwards a request on a handle as it is.
    fn pass(&mut self, on: OnHandle, what: What) {
        let Some(file) = self.files.get(on.file) else { return };
        file.owed = file.owed.saturating_add(1);
        let under = Under::Ask(file.ask);
        self.send(on.wire, on.packet, Owed { id: on.id, under, done: None, file: Some(on.file), what });
    }

    pub(super) fn send(&mut self, wire: u32, packet: Bytes, owed: Owed) {
        if owed.what.may_write() {
            self.reads.part();
        }
        if owed.what.changes() {
            self.changing = self.changing.saturating_add(1);
        }
        self.steps.push_back(Step::ToServer(owed.under, packet));
        self.pending.insert(wire, Pending::Client(owed));
    }
}

/// What is refused because servers would not read it alike.
fn refused(request: &Request) -> Option<&'static str> {
    if matches!(request, Request::Open { flags, .. } if !flags.is_plain()) {
        return Some("these open flags contradict each other");
    }
    if let Request::Open { attrs, .. }
    | Request::Setstat { attrs, .. }
    | Request::Fsetstat { attrs, .. }
    | Request::Mkdir { attrs, .. }
    | Request::Extended(Extended::Lsetstat { attrs, .. }) = request
        && !attrs.extended.is_empty()
    {
        return Some("extended attributes are not offered");
    }
    None
}
