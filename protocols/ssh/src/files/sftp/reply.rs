//! What a server answers (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02#section-7>).

use bytes::{BufMut as _, Bytes, BytesMut};
use sluice_wire::{Side, Violation};

use super::attrs::Attrs;
use super::frame::{self, Fields, Writer};

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED_REPLY: u8 = 201;

/// The longest handle, in bytes.
const MAX_HANDLE: usize = 256;

/// A server's packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    Version { version: u32, extensions: Vec<(Bytes, Bytes)> },
    Status { code: Code, message: Bytes, language: Bytes },
    Handle(Bytes),
    Data(Bytes),
    Name(Vec<Entry>),
    Attrs(Attrs),
    Extended(Bytes),
}

/// One name of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub name: Bytes,
    /// A line as `ls -l` prints it, for people.
    pub long: Bytes,
    pub attrs: Attrs,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    Ok,
    Eof,
    NoSuchFile,
    PermissionDenied,
    Failure,
    BadMessage,
    NoConnection,
    ConnectionLost,
    Unsupported,
}

impl Code {
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::Eof,
        Self::NoSuchFile,
        Self::PermissionDenied,
        Self::Failure,
        Self::BadMessage,
        Self::NoConnection,
        Self::ConnectionLost,
        Self::Unsupported,
    ];

    /// The number of the code.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Eof => 1,
            Self::NoSuchFile => 2,
            Self::PermissionDenied => 3,
            Self::Failure => 4,
            Self::BadMessage => 5,
            Self::NoConnection => 6,
            Self::ConnectionLost => 7,
            Self::Unsupported => 8,
        }
    }
}

/// The length of what stands before the bytes of a [`Reply::Data`] packet.
pub(crate) const DATA_HEAD: usize = 13;

/// What stands before so many bytes in a [`Reply::Data`] packet.
pub(crate) fn data_head(id: u32, bytes: u32) -> Bytes {
    let mut head = BytesMut::with_capacity(DATA_HEAD);
    head.put_u32(bytes.saturating_add(9));
    head.put_u8(DATA);
    head.put_u32(id);
    head.put_u32(bytes);
    head.freeze()
}

/// How many bytes follow the head of a packet, if it is a [`Reply::Data`]; the whole head has to be there.
///
/// Errors: a packet that is longer or shorter than they are.
pub(crate) fn data_length(head: &[u8]) -> Result<Option<u32>, Violation> {
    if frame::kind(head) != DATA {
        return Ok(None);
    }
    let (length, bytes) = (head.first_chunk::<4>(), head.get(DATA_HEAD - 4..).and_then(<[u8]>::first_chunk::<4>));
    let (Some(length), Some(bytes)) = (length, bytes) else { return Ok(None) };
    let bytes = u32::from_be_bytes(*bytes);
    if bytes.checked_add(9) != Some(u32::from_be_bytes(*length)) {
        return Err(Violation::server("data that does not fill its packet"));
    }
    Ok(Some(bytes))
}

impl Reply {
    /// A status with words for people.
    #[must_use]
    pub fn status(code: Code, message: &str) -> Self {
        Self::Status { code, message: Bytes::copy_from_slice(message.as_bytes()), language: Bytes::from_static(b"en") }
    }

    /// Reads a whole packet; its id is `None` for a version.
    ///
    /// Errors: an unknown type or code, unknown attribute flags, a field beyond the packet, bytes behind the last field.
    pub fn parse(packet: &Bytes) -> Result<(Option<u32>, Self), Violation> {
        let mut fields = Fields::new(Side::Server, packet);
        if frame::kind(packet) == VERSION {
            let version = fields.u32()?;
            let extensions = pairs(&mut fields)?;
            return Ok((None, Self::Version { version, extensions }));
        }
        let id = fields.u32()?;
        let reply = Self::fields(frame::kind(packet), &mut fields)?;
        fields.end()?;
        Ok((Some(id), reply))
    }

    fn fields(kind: u8, fields: &mut Fields) -> Result<Self, Violation> {
        Ok(match kind {
            STATUS => {
                let number = fields.u32()?;
                let code = Code::ALL.into_iter().find(|code| code.number() == number);
                let code = code.ok_or(fields.violation("unknown status"))?;
                Self::Status { code, message: fields.string()?, language: fields.string()? }
            }
            HANDLE => {
                let handle = fields.string()?;
                if handle.len() > MAX_HANDLE {
                    return Err(fields.violation("a handle is longer than 256 bytes"));
                }
                Self::Handle(handle)
            }
            DATA => Self::Data(fields.string()?),
            NAME => {
                let count = fields.u32()?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    entries.push(Entry { name: fields.string()?, long: fields.string()?, attrs: Attrs::read(fields)? });
                }
                Self::Name(entries)
            }
            ATTRS => Self::Attrs(Attrs::read(fields)?),
            EXTENDED_REPLY => Self::Extended(fields.rest()),
            _ => return Err(fields.violation("unknown reply type")),
        })
    }

    /// The packet in its one form, under an id; a version has none.
    #[must_use]
    pub fn encode(&self, id: u32) -> Bytes {
        let start = |kind| {
            let mut out = Writer::new(kind);
            out.u32(id);
            out
        };
        match self {
            Self::Version { version, extensions } => {
                let mut out = Writer::new(VERSION);
                out.u32(*version);
                for (name, data) in extensions {
                    out.string(name).string(data);
                }
                out.finish()
            }
            Self::Status { code, message, language } => {
                let mut out = start(STATUS);
                out.u32(code.number()).string(message).string(language);
                out.finish()
            }
            Self::Handle(handle) => {
                let mut out = start(HANDLE);
                out.string(handle);
                out.finish()
            }
            Self::Data(data) => {
                let mut out = start(DATA);
                out.string(data);
                out.finish()
            }
            Self::Name(entries) => {
                let mut out = start(NAME);
                out.u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
                for entry in entries {
                    out.string(&entry.name).string(&entry.long);
                    entry.attrs.write(&mut out);
                }
                out.finish()
            }
            Self::Attrs(attrs) => {
                let mut out = start(ATTRS);
                attrs.write(&mut out);
                out.finish()
            }
            Self::Extended(data) => {
                let mut out = start(EXTENDED_REPLY);
                out.raw(data);
                out.finish()
            }
        }
    }
}

/// Pairs of names and data up to the end.
pub(super) fn pairs(fields: &mut Fields) -> Result<Vec<(Bytes, Bytes)>, Violation> {
    let mut pairs = Vec::new();
    while !fields.is_empty() {
        pairs.push((fields.string()?, fields.string()?));
    }
    Ok(pairs)
}
