//! Packets: `length u32be · type u8 · id u32be · fields`
//! (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02#section-3>).

use bytes::{BufMut, Bytes, BytesMut};
use sluice_wire::{Side, Violation};

/// The longest packet without its length field, in bytes: what OpenSSH takes and sends.
pub const MAX_PACKET: usize = 256 * 1024;
/// Length and type.
const HEAD: usize = 5;

/// Takes the whole packet at the front of a buffer, with its length field, once it is there.
///
/// Errors: a packet that is empty or longer than [`MAX_PACKET`].
pub fn packet(side: Side, buf: &mut BytesMut) -> Result<Option<BytesMut>, Violation> {
    let whole = whole(side, buf)?;
    Ok(whole.filter(|whole| buf.len() >= *whole).map(|whole| buf.split_to(whole)))
}

/// How long the packet at the front is, with its length field, once that is there.
///
/// Errors: as [`packet`].
pub(crate) fn whole(side: Side, bytes: &[u8]) -> Result<Option<usize>, Violation> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(Violation { side, what: "empty packet" });
    }
    if length > MAX_PACKET {
        return Err(Violation { side, what: "packet is larger than its limit" });
    }
    Ok(Some(length.saturating_add(4)))
}

/// The type of a whole packet.
pub(crate) fn kind(packet: &[u8]) -> u8 {
    packet.get(4).copied().unwrap_or_default()
}

/// The id of a whole packet that has one.
pub(crate) fn id(packet: &[u8]) -> Option<u32> {
    packet.get(HEAD..)?.first_chunk::<4>().map(|id| u32::from_be_bytes(*id))
}

/// Puts another id into a whole packet, so that a payload is never copied.
pub(crate) fn set_id(packet: &mut BytesMut, id: u32) {
    if let Some(field) = packet.get_mut(HEAD..HEAD + 4) {
        field.copy_from_slice(&id.to_be_bytes());
    }
}

/// Reads a packet field by field; every reading ends with [`Fields::end`], so a packet means exactly one thing.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    rest: Bytes,
    side: Side,
}

impl Fields {
    /// The fields behind the type.
    pub(crate) fn new(side: Side, packet: &Bytes) -> Self {
        Self { rest: packet.get(HEAD..).map_or_else(Bytes::new, |_| packet.slice(HEAD..)), side }
    }

    pub(crate) const fn violation(&self, what: &'static str) -> Violation {
        Violation { side: self.side, what }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Violation> {
        if length > self.rest.len() {
            return Err(self.violation("a field is longer than its packet"));
        }
        Ok(self.rest.split_to(length))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        let field = self.take(4)?;
        field.first_chunk::<4>().map(|field| u32::from_be_bytes(*field)).ok_or(self.violation("a field is cut"))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Violation> {
        let field = self.take(8)?;
        field.first_chunk::<8>().map(|field| u64::from_be_bytes(*field)).ok_or(self.violation("a field is cut"))
    }

    pub(crate) fn string(&mut self) -> Result<Bytes, Violation> {
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn end(&self) -> Result<(), Violation> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.violation("bytes behind the last field")) }
    }
}

/// Writes a packet.
#[derive(Debug)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn new(kind: u8) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u32(0);
        bytes.put_u8(kind);
        Self(bytes)
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.put_u32(value);
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.put_u64(value);
        self
    }

    pub(crate) fn string(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.raw(value)
    }

    pub(crate) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let length = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(field) = self.0.get_mut(..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        self.0.freeze()
    }
}
