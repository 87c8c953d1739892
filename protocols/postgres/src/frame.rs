//! Frames of the PostgreSQL protocol, version 3.
//!
//! **Shape:** `tag u8 · length u32be (counts itself, not the tag) · body`
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use bytes::{BufMut, Bytes, BytesMut};
use sluice_wire::Violation;

/// One frame; or, for `DataRow` and `CopyData`, a run of adjacent whole frames or a piece of a very large one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    tag: u8,
    bytes: Bytes,
    extent: Extent,
}

/// What a frame's bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// One message, or a run of whole ones.
    Whole,
    /// A part of a very large one, from its header on.
    First,
    /// A later part.
    Later,
}

impl Frame {
    /// Length of tag and length field, in bytes.
    pub const HEADER: usize = 5;

    /// A frame whose bytes are already known to be framed correctly.
    pub(crate) const fn framed(tag: u8, bytes: Bytes, extent: Extent) -> Self {
        Self { tag, bytes, extent }
    }

    /// Builds a frame around a body.
    pub fn build(tag: u8, body: impl FnOnce(&mut BytesMut)) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u8(tag);
        bytes.put_u32(0);
        body(&mut bytes);
        let length = u32::try_from(bytes.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if let Some(field) = bytes.get_mut(1..Self::HEADER) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        Self { tag, bytes: bytes.freeze(), extent: Extent::Whole }
    }

    /// The message type.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// What the bytes are.
    pub(crate) const fn extent(&self) -> Extent {
        self.extent
    }

    /// The body of a single frame.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(Self::HEADER..).unwrap_or_default()
    }

    /// The frame's exact bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// A shared slice of the body.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        if self.bytes.len() < Self::HEADER { Bytes::new() } else { self.bytes.slice(Self::HEADER..) }
    }
}

impl sluice_wire::Frame for Frame {
    fn wire(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body field by field; every view ends with [`Fields::end`], so a frame means exactly one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    wrong: Blame,
}

/// Whose fault a short or long body is.
#[derive(Clone, Copy, Debug)]
enum Blame {
    Client,
    Server,
}

impl<'a> Fields<'a> {
    /// Fields of a client's frame.
    #[must_use]
    pub(crate) const fn of_client(body: &'a [u8]) -> Self {
        Self { rest: body, wrong: Blame::Client }
    }

    /// Fields of a server's frame.
    #[must_use]
    pub(crate) const fn of_server(body: &'a [u8]) -> Self {
        Self { rest: body, wrong: Blame::Server }
    }

    const fn violation(self, what: &'static str) -> Violation {
        match self.wrong {
            Blame::Client => Violation::client(what),
            Blame::Server => Violation::server(what),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.violation("insufficient data in message"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A fixed number of bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let short = self.violation("insufficient data in message");
        self.take(N)?.try_into().map_err(|_| short)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Violation> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// Two bytes, unsigned.
    pub(crate) fn u16(&mut self) -> Result<u16, Violation> {
        self.bytes().map(u16::from_be_bytes)
    }

    /// Four bytes, signed.
    pub(crate) fn i32(&mut self) -> Result<i32, Violation> {
        self.bytes().map(i32::from_be_bytes)
    }

    /// Four bytes, unsigned.
    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// A length-prefixed value; `None` for NULL (length -1).
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, Violation> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.violation("negative length in message"))?;
                self.take(length).map(Some)
            }
        }
    }

    /// Bytes up to a NUL, which is consumed.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], Violation> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or(self.violation("invalid string in message"))?)?;
        self.take(1)?;
        Ok(text)
    }

    /// Everything that is left.
    pub(crate) const fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left: "invalid message format" in PostgreSQL (08P01).
    pub(crate) const fn end(self) -> Result<(), Violation> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.violation("invalid message format")) }
    }
}
