//! What a server answers.

use bytes::{Bytes, BytesMut};
use sluice_model::UnixMicros;
use sluice_wire::Violation;

use super::super::frame;
use super::super::path::is_name;
use super::super::question::AskId;
use super::super::reply::{Code, Entry, Reply};
use super::super::request::Extended;
use super::files::{FileNo, Opening};
use super::masked::Piece;
use super::{Phase, Sftp, Step, Under};

const UNFIT: Violation = Violation::server("an answer that does not fit");

/// A request that the server owes an answer to.
#[derive(Debug)]
pub(super) enum Pending {
    /// The filter asked which place a path is.
    Plan,
    /// The filter asked what is above a place.
    Above,
    /// The filter reads for a read that is covered.
    Piece(Piece),
    Client(Owed),
}

/// A request of the client.
#[derive(Debug)]
pub(super) struct Owed {
    /// The client's id.
    pub(super) id: u32,
    pub(super) under: Under,
    /// The question that is over with the answer.
    pub(super) done: Option<AskId>,
    pub(super) file: Option<FileNo>,
    pub(super) what: What,
}

/// What the answer must be, if it is not that the request failed.
#[derive(Debug)]
pub(super) enum What {
    Status,
    /// A status, after which paths may lead elsewhere.
    Change,
    Close,
    Attrs,
    FileAttrs,
    Link,
    Names,
    Space,
    Limits,
    Open(Box<Opening>),
    Read {
        offset: u64,
        length: u32,
    },
    Write {
        bytes: u64,
    },
}

impl What {
    pub(super) const fn changes(&self) -> bool {
        matches!(self, Self::Change)
    }

    /// Whether it may change what files hold, or where they are.
    pub(super) const fn may_write(&self) -> bool {
        match self {
            Self::Status | Self::Change | Self::Open(_) | Self::Write { .. } => true,
            Self::Close
            | Self::Attrs
            | Self::FileAttrs
            | Self::Link
            | Self::Names
            | Self::Space
            | Self::Limits
            | Self::Read { .. } => false,
        }
    }
}

impl Owed {
    /// One that needs no question.
    pub(super) const fn of_channel(id: u32, what: What) -> Self {
        Self { id, under: Under::Channel, done: None, file: None, what }
    }
}

impl Sftp {
    pub(super) fn reply(&mut self, mut packet: BytesMut, now: UnixMicros) -> Result<(), Violation> {
        match self.phase {
            Phase::Open => {}
            Phase::Greeted => return self.greeted(packet),
            Phase::Fresh => return Err(Violation::server("an answer before any request")),
            Phase::Ended => return Ok(()),
        }
        let id = frame::id(&packet).ok_or(Violation::server("an answer has no id"))?;
        let pending = self.pending.remove(&id).ok_or(Violation::server("an answer to nothing that was asked"))?;
        if let Pending::Client(owed) = &pending {
            frame::set_id(&mut packet, owed.id);
        }
        let packet = packet.freeze();
        let (Some(_), reply) = Reply::parse(&packet)? else {
            return Err(Violation::server("a second greeting"));
        };
        match pending {
            Pending::Plan => self.resolved(reply, now),
            Pending::Above => self.looked_above(&reply, now),
            Pending::Piece(piece) => self.piece(piece, &reply),
            Pending::Client(owed) => self.take(owed, reply, packet, now),
        }
    }

    /// Only what is understood is announced to the client.
    fn greeted(&mut self, packet: BytesMut) -> Result<(), Violation> {
        let (None, Reply::Version { version, extensions }) = Reply::parse(&packet.freeze())? else {
            return Err(Violation::server("an answer before the greeting"));
        };
        if version != 3 {
            return Err(Violation::server("a version other than 3"));
        }
        let offered = |(name, data): &(&[u8], &[u8])| extensions.iter().any(|(n, d)| n == name && d == data);
        let known: Vec<_> = Extended::KNOWN.into_iter().filter(offered).collect();
        self.extensions = known.iter().map(|(name, _)| *name).collect();
        let known = known.into_iter().map(|(name, data)| (Bytes::from_static(name), Bytes::from_static(data)));
        self.phase = Phase::Open;
        self.answer(0, &Reply::Version { version, extensions: known.collect() });
        Ok(())
    }

    fn take(&mut self, owed: Owed, reply: Reply, packet: Bytes, now: UnixMicros) -> Result<(), Violation> {
        let Owed { id, done, file, what, .. } = owed;
        if what.changes() {
            self.changing = self.changing.saturating_sub(1);
        }
        if let Some(file) = file {
            self.files.answered(file);
        }
        let opens = matches!(what, What::Open(_)) && matches!(reply, Reply::Handle(_));
        let closes = matches!(what, What::Close);
        self.judge((id, file), what, reply, packet, now)?;
        if let Some(ask) = done.filter(|_| !opens) {
            self.steps.push_back(Step::Done(ask));
        }
        if let Some(file) = file {
            if let Some(file) = self.files.get(file).filter(|_| closes) {
                file.close();
            }
            self.settle_file(file, now);
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn settle_file(&mut self, file: FileNo, now: UnixMicros) {
        if let Some((ask, event)) = self.files.settle(file, now) {
            self.end_file(ask, event);
        }
    }

    /// Checks that the answer fits, takes from it what must be known, and passes it on.
    fn judge(
        &mut self,
        (id, file): (u32, Option<FileNo>),
        what: What,
        reply: Reply,
        packet: Bytes,
        now: UnixMicros,
    ) -> Result<(), Violation> {
        if matches!(what, What::Open(_)) {
            self.files.opening = self.files.opening.saturating_sub(1);
        }
        let known = file.and_then(|file| self.files.with_room(file));
        match (what, reply) {
            (What::Status | What::Change | What::Close, Reply::Status { code: Code::Ok, message, .. }) => {
                return self.pass_status(id, Code::Ok, &message, packet);
            }
            (What::Write { .. }, Reply::Status { code: Code::Ok, message, .. }) => {
                return self.pass_status(id, Code::Ok, &message, packet);
            }
            (_, Reply::Status { code: Code::Ok, .. }) => return Err(UNFIT),
            (what, Reply::Status { code, message, .. }) => {
                if let Some((file, room)) = known {
                    if let What::Write { bytes } = what {
                        file.count_failed(bytes, room);
                    }
                    if let (What::Read { offset, length: 1.. }, Code::Eof) = (what, code) {
                        file.tell_end(offset);
                    }
                }
                return self.pass_status(id, code, &message, packet);
            }
            (What::Read { offset, length }, Reply::Data(data)) => {
                if usize::try_from(length).is_ok_and(|length| data.len() > length) {
                    return Err(Violation::server("more data than was asked for"));
                }
                if let Some((file, room)) = known {
                    file.count_read(offset, &data, room);
                }
            }
            (What::Attrs, Reply::Attrs(_)) => {}
            (What::FileAttrs, Reply::Attrs(attrs)) => {
                if let (Some((file, _)), Some(length)) = (known, attrs.size) {
                    file.tell_length(length);
                }
            }
            (What::Open(opening), Reply::Handle(handle)) => self.files.add(&handle, *opening, now)?,
            (What::Link, Reply::Name(names)) if names.len() == 1 => {
                return self.pass_names(id, names, |name| !name.is_empty());
            }
            (What::Names, Reply::Name(names)) => {
                let entry = |name: &[u8]| matches!(name, b"." | b"..") || is_listed(name);
                return self.pass_names(id, names, entry);
            }
            (What::Space, Reply::Extended(data)) if data.len() == 11 * 8 => {}
            (What::Limits, Reply::Extended(data)) if data.len() == 4 * 8 => self.learn_limits(&data),
            (_, _) => return Err(UNFIT),
        }
        self.steps.push_back(Step::ToClient(packet));
        Ok(())
    }

    /// A server's words may move a terminal's cursor.
    fn pass_status(&mut self, id: u32, code: Code, message: &[u8], packet: Bytes) -> Result<(), Violation> {
        if message.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            self.steps.push_back(Step::ToClient(packet));
        } else {
            self.answer_status(id, code, &printable(message));
        }
        Ok(())
    }

    /// Names pass as they are, because clients need them; the lines for people lose what is not printed.
    fn pass_names(&mut self, id: u32, mut names: Vec<Entry>, fits: impl Fn(&[u8]) -> bool) -> Result<(), Violation> {
        if !names.iter().all(|entry| fits(&entry.name)) {
            self.answer_status(id, Code::BadMessage, "the server lists a name that is no name");
            return Ok(());
        }
        for entry in &mut names {
            entry.long = printable(&entry.long).into_bytes().into();
            entry.attrs.extended.clear();
        }
        let reply = Reply::Name(names).encode(id);
        if reply.len() > frame::MAX_PACKET.saturating_add(4) {
            return Err(Violation::server("a list of names is larger than its limit"));
        }
        self.steps.push_back(Step::ToClient(reply));
        Ok(())
    }

    pub(super) fn end_file(&mut self, ask: AskId, event: Option<crate::files::event::FileEvent>) {
        if let Some(event) = event {
            self.steps.push_back(Step::File(ask, Box::new(event)));
        }
        self.steps.push_back(Step::Done(ask));
    }

    /// The channel ends: questions whose answers are owed are over.
    pub(super) fn abandon_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending).into_values();
        let mut asks: Vec<AskId> = pending
            .filter_map(|pending| match pending {
                Pending::Client(owed) => owed.done,
                Pending::Plan | Pending::Above | Pending::Piece(_) => None,
            })
            .collect();
        asks.sort();
        self.steps.extend(asks.into_iter().map(Step::Done));
    }
}

/// Whether a server may list a name: what would lead a client elsewhere is none. Control characters stay, because the file
/// has them.
fn is_listed(name: &[u8]) -> bool {
    !name.contains(&b'/')
        && !name.contains(&0)
        && str::from_utf8(name).map_or(!name.is_empty(), |text| {
            let shown: String = text.chars().filter(|c| !c.is_control()).collect();
            text.chars().any(char::is_control) || is_name(&shown)
        })
}

/// A text without what is not printed, each in the place of one question mark.
fn printable(text: &[u8]) -> String {
    let shown = |c: char| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c };
    String::from_utf8_lossy(text).chars().map(shown).collect()
}
