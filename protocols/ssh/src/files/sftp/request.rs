//! What a client asks (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02#section-6>).

use bytes::Bytes;
use sluice_wire::{Side, Violation};

use super::attrs::Attrs;
use super::frame::{self, Fields, Writer};
use super::reply::pairs;

const INIT: u8 = 1;
const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;

/// A client's packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    Init {
        version: u32,
        extensions: Vec<(Bytes, Bytes)>,
    },
    Open {
        path: Bytes,
        flags: OpenFlags,
        attrs: Attrs,
    },
    Close {
        handle: Bytes,
    },
    Read {
        handle: Bytes,
        offset: u64,
        length: u32,
    },
    Write {
        handle: Bytes,
        offset: u64,
        data: Bytes,
    },
    Lstat {
        path: Bytes,
    },
    Fstat {
        handle: Bytes,
    },
    Setstat {
        path: Bytes,
        attrs: Attrs,
    },
    Fsetstat {
        handle: Bytes,
        attrs: Attrs,
    },
    Opendir {
        path: Bytes,
    },
    Readdir {
        handle: Bytes,
    },
    Remove {
        path: Bytes,
    },
    Mkdir {
        path: Bytes,
        attrs: Attrs,
    },
    Rmdir {
        path: Bytes,
    },
    Realpath {
        path: Bytes,
    },
    Stat {
        path: Bytes,
    },
    Rename {
        from: Bytes,
        to: Bytes,
    },
    Readlink {
        path: Bytes,
    },
    /// In the order OpenSSH uses on the wire: first what the link points to, then the link. The draft has them the other
    /// way round (<https://github.com/openssh/openssh-portable/blob/master/PROTOCOL> section 4.1).
    Symlink {
        target: Bytes,
        link: Bytes,
    },
    Extended(Extended),
}

/// OpenSSH's extensions, and what is none that is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Extended {
    PosixRename {
        from: Bytes,
        to: Bytes,
    },
    Statvfs {
        path: Bytes,
    },
    Fstatvfs {
        handle: Bytes,
    },
    Hardlink {
        from: Bytes,
        to: Bytes,
    },
    Fsync {
        handle: Bytes,
    },
    Lsetstat {
        path: Bytes,
        attrs: Attrs,
    },
    Limits,
    /// Anything else: `copy-data`, `expand-path`, `home-directory` and `users-groups-by-id` among them.
    Other {
        name: Bytes,
        data: Bytes,
    },
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OpenFlags(u32);

impl OpenFlags {
    pub const READ: Self = Self(1);
    pub const WRITE: Self = Self(2);
    pub const APPEND: Self = Self(4);
    pub const CREATE: Self = Self(8);
    pub const TRUNCATE: Self = Self(0x10);
    pub const EXCLUSIVE: Self = Self(0x20);

    /// Reads the flags; `None` if one is unknown.
    #[must_use]
    pub const fn new(bits: u32) -> Option<Self> {
        if bits & !0x3f == 0 { Some(Self(bits)) } else { None }
    }

    /// The flags as they are sent.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of the others are set.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These flags and the others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether servers read them alike: something is opened for, and only what is written may be changed or made.
    ///
    /// OpenSSH opens a file for reading if neither is asked, and truncates it all the same if that is asked.
    #[must_use]
    pub const fn is_plain(self) -> bool {
        let changes = self.0 & (Self::APPEND.0 | Self::CREATE.0 | Self::TRUNCATE.0 | Self::EXCLUSIVE.0) != 0;
        let opens = self.has(Self::READ) || self.has(Self::WRITE);
        opens && (!changes || self.has(Self::WRITE)) && (!self.has(Self::EXCLUSIVE) || self.has(Self::CREATE))
    }
}

impl Request {
    /// Reads a whole packet; its id is `None` for the first one.
    ///
    /// Errors: an unknown type or flag, a field beyond the packet, bytes behind the last field.
    pub fn parse(packet: &Bytes) -> Result<(Option<u32>, Self), Violation> {
        let mut fields = Fields::new(Side::Client, packet);
        if frame::kind(packet) == INIT {
            let version = fields.u32()?;
            let extensions = pairs(&mut fields)?;
            return Ok((None, Self::Init { version, extensions }));
        }
        let id = fields.u32()?;
        let request = Self::fields(frame::kind(packet), &mut fields)?;
        fields.end()?;
        Ok((Some(id), request))
    }

    fn fields(kind: u8, fields: &mut Fields) -> Result<Self, Violation> {
        Ok(match kind {
            OPEN => {
                let path = fields.string()?;
                let flags = OpenFlags::new(fields.u32()?).ok_or(fields.violation("unknown open flags"))?;
                Self::Open { path, flags, attrs: Attrs::read(fields)? }
            }
            CLOSE => Self::Close { handle: fields.string()? },
            READ => Self::Read { handle: fields.string()?, offset: fields.u64()?, length: fields.u32()? },
            WRITE => Self::Write { handle: fields.string()?, offset: fields.u64()?, data: fields.string()? },
            LSTAT => Self::Lstat { path: fields.string()? },
            FSTAT => Self::Fstat { handle: fields.string()? },
            SETSTAT => Self::Setstat { path: fields.string()?, attrs: Attrs::read(fields)? },
            FSETSTAT => Self::Fsetstat { handle: fields.string()?, attrs: Attrs::read(fields)? },
            OPENDIR => Self::Opendir { path: fields.string()? },
            READDIR => Self::Readdir { handle: fields.string()? },
            REMOVE => Self::Remove { path: fields.string()? },
            MKDIR => Self::Mkdir { path: fields.string()?, attrs: Attrs::read(fields)? },
            RMDIR => Self::Rmdir { path: fields.string()? },
            REALPATH => Self::Realpath { path: fields.string()? },
            STAT => Self::Stat { path: fields.string()? },
            RENAME => Self::Rename { from: fields.string()?, to: fields.string()? },
            READLINK => Self::Readlink { path: fields.string()? },
            SYMLINK => Self::Symlink { target: fields.string()?, link: fields.string()? },
            EXTENDED => Self::Extended(Extended::read(fields)?),
            _ => return Err(fields.violation("unknown request type")),
        })
    }

    /// The packet in its one form, under an id; the first one has none.
    #[must_use]
    pub fn encode(&self, id: u32) -> Bytes {
        let mut out = Writer::new(self.kind());
        if !matches!(self, Self::Init { .. }) {
            out.u32(id);
        }
        self.write(&mut out);
        out.finish()
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Init { .. } => INIT,
            Self::Open { .. } => OPEN,
            Self::Close { .. } => CLOSE,
            Self::Read { .. } => READ,
            Self::Write { .. } => WRITE,
            Self::Lstat { .. } => LSTAT,
            Self::Fstat { .. } => FSTAT,
            Self::Setstat { .. } => SETSTAT,
            Self::Fsetstat { .. } => FSETSTAT,
            Self::Opendir { .. } => OPENDIR,
            Self::Readdir { .. } => READDIR,
            Self::Remove { .. } => REMOVE,
            Self::Mkdir { .. } => MKDIR,
            Self::Rmdir { .. } => RMDIR,
            Self::Realpath { .. } => REALPATH,
            Self::Stat { .. } => STAT,
            Self::Rename { .. } => RENAME,
            Self::Readlink { .. } => READLINK,
            Self::Symlink { .. } => SYMLINK,
            Self::Extended(_) => EXTENDED,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Init { version, extensions } => {
                out.u32(*version);
                for (name, data) in extensions {
                    out.string(name).string(data);
                }
            }
            Self::Open { path, flags, attrs } => attrs.write(out.string(path).u32(flags.0)),
            Self::Close { handle } | Self::Fstat { handle } | Self::Readdir { handle } => {
                out.string(handle);
            }
            Self::Read { handle, offset, length } => {
                out.string(handle).u64(*offset).u32(*length);
            }
            Self::Write { handle, offset, data } => {
                out.string(handle).u64(*offset).string(data);
            }
            Self::Fsetstat { handle: first, attrs }
            | Self::Setstat { path: first, attrs }
            | Self::Mkdir { path: first, attrs } => attrs.write(out.string(first)),
            Self::Lstat { path }
            | Self::Opendir { path }
            | Self::Remove { path }
            | Self::Rmdir { path }
            | Self::Realpath { path }
            | Self::Stat { path }
            | Self::Readlink { path } => {
                out.string(path);
            }
            Self::Rename { from: first, to: second } | Self::Symlink { target: first, link: second } => {
                out.string(first).string(second);
            }
            Self::Extended(extended) => extended.write(out),
        }
    }
}

impl Extended {
    /// The names and versions that are understood; no other is announced to a client.
    pub(super) const KNOWN: [(&'static [u8], &'static [u8]); 7] = [
        (b"posix-rename@openssh.com", b"1"),
        (b"statvfs@openssh.com", b"2"),
        (b"fstatvfs@openssh.com", b"2"),
        (b"hardlink@openssh.com", b"1"),
        (b"fsync@openssh.com", b"1"),
        (b"lsetstat@openssh.com", b"1"),
        (b"limits@openssh.com", b"1"),
    ];

    fn read(fields: &mut Fields) -> Result<Self, Violation> {
        let name = fields.string()?;
        Ok(match &name[..] {
            b"posix-rename@openssh.com" => Self::PosixRename { from: fields.string()?, to: fields.string()? },
            b"statvfs@openssh.com" => Self::Statvfs { path: fields.string()? },
            b"fstatvfs@openssh.com" => Self::Fstatvfs { handle: fields.string()? },
            b"hardlink@openssh.com" => Self::Hardlink { from: fields.string()?, to: fields.string()? },
            b"fsync@openssh.com" => Self::Fsync { handle: fields.string()? },
            b"lsetstat@openssh.com" => Self::Lsetstat { path: fields.string()?, attrs: Attrs::read(fields)? },
            b"limits@openssh.com" => Self::Limits,
            _ => Self::Other { name, data: fields.rest() },
        })
    }

    /// The extension's name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::PosixRename { .. } => b"posix-rename@openssh.com",
            Self::Statvfs { .. } => b"statvfs@openssh.com",
            Self::Fstatvfs { .. } => b"fstatvfs@openssh.com",
            Self::Hardlink { .. } => b"hardlink@openssh.com",
            Self::Fsync { .. } => b"fsync@openssh.com",
            Self::Lsetstat { .. } => b"lsetstat@openssh.com",
            Self::Limits => b"limits@openssh.com",
            Self::Other { name, .. } => name,
        }
    }

    fn write(&self, out: &mut Writer) {
        out.string(self.name());
        match self {
            Self::PosixRename { from, to } | Self::Hardlink { from, to } => {
                out.string(from).string(to);
            }
            Self::Statvfs { path: one } | Self::Fstatvfs { handle: one } | Self::Fsync { handle: one } => {
                out.string(one);
            }
            Self::Lsetstat { path, attrs } => attrs.write(out.string(path)),
            Self::Limits => {}
            Self::Other { data, .. } => {
                out.raw(data);
            }
        }
    }
}
