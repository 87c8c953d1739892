//! The types of RFC 4251 §5, to bytes and from them.

use bytes::{BufMut as _, BytesMut};

use super::Size;

/// Writes the types of RFC 4251 §5.
pub(crate) struct Writer(pub(crate) BytesMut);

impl Writer {
    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.put_u8(byte);
        self
    }

    pub(crate) fn number(&mut self, number: u32) -> &mut Self {
        self.0.put_u32(number);
        self
    }

    pub(crate) fn string(&mut self, content: &[u8]) -> &mut Self {
        self.number(u32::try_from(content.len()).unwrap_or(u32::MAX));
        self.0.put_slice(content);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.string(text.as_bytes())
    }

    pub(crate) fn size(&mut self, size: Size) -> &mut Self {
        self.number(size.columns).number(size.rows).number(size.width).number(size.height)
    }

    pub(crate) fn request(&mut self, name: &str) -> &mut Self {
        self.byte(super::number::REQUEST).text(name)
    }
}

/// Reads the types of RFC 4251 §5.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    pub(crate) fn text(&mut self) -> Option<Box<str>> {
        std::str::from_utf8(self.string()?).ok().map(Box::from)
    }

    pub(crate) fn size(&mut self) -> Option<Size> {
        Some(Size { columns: self.number()?, rows: self.number()?, width: self.number()?, height: self.number()? })
    }
}
