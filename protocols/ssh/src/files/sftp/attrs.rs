//! File attributes (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02#section-5>).

use bytes::Bytes;
use sluice_wire::Violation;

use super::frame::{Fields, Writer};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// What is said of a file; what is not said is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attrs {
    pub size: Option<u64>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// As `st_mode`, kind of the file included.
    pub permissions: Option<u32>,
    /// Last access and last change, in seconds since 1970.
    pub times: Option<(u32, u32)>,
    pub extended: Vec<(Bytes, Bytes)>,
}

/// What a file is, by its permissions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    File,
    Directory,
    Link,
    /// A device, a pipe or a socket.
    Special,
}

impl Attrs {
    /// What the file is; `None` if that is not said.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        match self.permissions {
            None => None,
            Some(mode) => match mode & 0o170_000 {
                0o100_000 => Some(Kind::File),
                0o040_000 => Some(Kind::Directory),
                0o120_000 => Some(Kind::Link),
                0 => None,
                _ => Some(Kind::Special),
            },
        }
    }

    pub(crate) fn read(fields: &mut Fields) -> Result<Self, Violation> {
        let flags = fields.u32()?;
        if flags & !(SIZE | OWNER | PERMISSIONS | TIMES | EXTENDED) != 0 {
            return Err(fields.violation("unknown attribute flags"));
        }
        let mut attrs = Self::default();
        if flags & SIZE != 0 {
            attrs.size = Some(fields.u64()?);
        }
        if flags & OWNER != 0 {
            attrs.owner = Some((fields.u32()?, fields.u32()?));
        }
        if flags & PERMISSIONS != 0 {
            attrs.permissions = Some(fields.u32()?);
        }
        if flags & TIMES != 0 {
            attrs.times = Some((fields.u32()?, fields.u32()?));
        }
        if flags & EXTENDED != 0 {
            let count = fields.u32()?;
            if count == 0 {
                return Err(fields.violation("an empty list of extended attributes"));
            }
            for _ in 0..count {
                attrs.extended.push((fields.string()?, fields.string()?));
            }
        }
        Ok(attrs)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let flag = |present, flag| if present { flag } else { 0 };
        let flags = flag(self.size.is_some(), SIZE)
            | flag(self.owner.is_some(), OWNER)
            | flag(self.permissions.is_some(), PERMISSIONS)
            | flag(self.times.is_some(), TIMES)
            | flag(!self.extended.is_empty(), EXTENDED);
        out.u32(flags);
        if let Some(size) = self.size {
            out.u64(size);
        }
        if let Some((user, group)) = self.owner {
            out.u32(user).u32(group);
        }
        if let Some(permissions) = self.permissions {
            out.u32(permissions);
        }
        if let Some((accessed, changed)) = self.times {
            out.u32(accessed).u32(changed);
        }
        if !self.extended.is_empty() {
            out.u32(u32::try_from(self.extended.len()).unwrap_or(u32::MAX));
            for (name, value) in &self.extended {
                out.string(name).string(value);
            }
        }
    }
}
