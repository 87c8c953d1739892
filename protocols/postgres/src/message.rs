//! Messages the broker itself writes.
//!
//! <https://www.postgresql.org/docs/current/protocol-error-fields.html>

use bytes::{BufMut, BytesMut};

use crate::frame::Frame;

/// The fields of an `ErrorResponse` or `NoticeResponse`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// `ERROR`, `FATAL`, `NOTICE`, …
    pub(crate) severity: &'a str,
    /// SQLSTATE, five characters.
    pub(crate) sqlstate: &'a str,
    pub(crate) message: &'a str,
    pub(crate) detail: Option<&'a str>,
    pub(crate) hint: Option<&'a str>,
    /// The character of the client's text that it is about, from 1.
    pub(crate) position: Option<u32>,
}

/// Appends text and its NUL; text is cut at a NUL of its own, which would end the field early.
pub(crate) fn put_cstr(out: &mut BytesMut, text: &[u8]) {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

impl Report<'_> {
    fn write(&self, out: &mut BytesMut) {
        let position = self.position.map(|position| position.to_string());
        let fields = [
            (b'S', Some(self.severity)),
            (b'V', Some(self.severity)),
            (b'C', Some(self.sqlstate)),
            (b'M', Some(self.message)),
            (b'D', self.detail),
            (b'H', self.hint),
            (b'P', position.as_deref()),
        ];
        for (code, text) in fields {
            if let Some(text) = text {
                out.put_u8(code);
                put_cstr(out, text.as_bytes());
            }
        }
        out.put_u8(0);
    }

    /// The report as an `ErrorResponse`.
    #[must_use]
    pub(crate) fn error(&self) -> Frame {
        Frame::build(b'E', |out| self.write(out))
    }

    /// The report as a `NoticeResponse`.
    #[must_use]
    pub(crate) fn notice(&self) -> Frame {
        Frame::build(b'N', |out| self.write(out))
    }
}

/// `Query`.
#[must_use]
pub(crate) fn query(text: &[u8]) -> Frame {
    Frame::build(b'Q', |out| put_cstr(out, text))
}

/// `Terminate`.
#[must_use]
pub(crate) fn terminate() -> Frame {
    Frame::build(b'X', |_| {})
}

/// `Flush`.
#[must_use]
pub(crate) fn flush() -> Frame {
    Frame::build(b'H', |_| {})
}

/// `ParameterStatus`.
#[must_use]
pub(crate) fn parameter_status(name: &str, value: &str) -> Frame {
    Frame::build(b'S', |out| {
        put_cstr(out, name.as_bytes());
        put_cstr(out, value.as_bytes());
    })
}

/// `ReadyForQuery` with a transaction status of `I`, `T` or `E`.
#[must_use]
pub(crate) fn ready(status: u8) -> Frame {
    Frame::build(b'Z', |out| out.put_u8(status))
}
