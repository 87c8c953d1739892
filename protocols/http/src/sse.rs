//! Server-sent events: bytes into events and back.
//!
//! The grammar is [WHATWG HTML, section 9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
//! Comments, `id`, `retry` and unknown fields are dropped: an event leaves as its name and its data only.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// UTF-8 for U+FEFF, which may stand before the first line.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event. `Debug` prints its name and the length of its data.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Event {
    /// The last `event` field, unless it was empty.
    pub(crate) name: Option<Box<str>>,
    /// The `data` fields joined by line feeds: UTF-8 without carriage returns.
    pub(crate) data: Bytes,
}

impl Event {
    /// The event as it is sent, with a field for each line of the data, so that no data makes another event.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.data.len() + self.name.as_ref().map_or(0, |name| name.len() + 8) + 16);
        if let Some(name) = &self.name {
            let line = name.split(['\r', '\n']).next().unwrap_or_default();
            push_field(b"event: ", line.as_bytes(), &mut out);
        }
        let mut rest = Some(&*self.data);
        while let Some(bytes) = rest {
            let line = bytes.split(is_line_end).next().unwrap_or_default();
            push_field(b"data: ", line, &mut out);
            rest = match bytes.get(line.len()..).unwrap_or_default() {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => Some(rest),
                [] => None,
            };
        }
        out.push(b'\n');
        out.into()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({:?}, {} bytes)", self.name, self.data.len())
    }
}

/// A stream that is no event stream, or too much of one.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Fault {
    #[error("a line of the event stream is no UTF-8")]
    Utf8,
    #[error("an event or a line of the event stream is longer than the limit")]
    TooLong,
}

/// Takes an event stream apart; how its bytes are cut makes no difference.
///
/// Holds one unfinished event, and the bytes that were pushed and not asked for.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Bytes of a line without its end, and of the data of an event.
    limit_bytes: usize,
    buffer: BytesMut,
    /// Bytes at the start of the buffer that hold no line end.
    scanned: usize,
    /// Nothing was read yet, so that a byte order mark may come.
    fresh: bool,
    /// The last byte taken was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    name: String,
    /// What stands in the data buffer of the standard, and a line feed behind each line but the last.
    data: Option<Vec<u8>>,
    comments: u64,
    fault: Option<Fault>,
}

impl Decoder {
    /// A decoder for events of at most so many bytes of data.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            buffer: BytesMut::new(),
            scanned: 0,
            fresh: true,
            after_return: false,
            name: String::new(),
            data: None,
            comments: 0,
            fault: None,
        }
    }

    /// Takes bytes as they come in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.fault.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole event, or `None` until more bytes are pushed. After a fault there is only the fault.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let next = self.advance();
        if let Err(fault) = next {
            self.fault = Some(fault);
            self.buffer = BytesMut::new();
            self.data = None;
        }
        next
    }

    /// Ends the stream; tells whether it ended inside an event, which the standard drops.
    pub(crate) fn finish(&mut self) -> bool {
        let rest = self.buffer.strip_prefix(b"\n").filter(|_| self.after_return).unwrap_or(&self.buffer);
        let torn = self.data.take().is_some() || !rest.is_empty();
        self.buffer = BytesMut::new();
        torn
    }

    /// How many comments came by.
    pub(crate) fn comments(&self) -> u64 {
        self.comments
    }

    fn advance(&mut self) -> Result<Option<Event>, Fault> {
        if self.fresh && !self.skip_mark() {
            return Ok(None);
        }
        while let Some(line) = self.line()? {
            if let Some(event) = self.field(&line)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// "If a leading U+FEFF BYTE ORDER MARK character is present, then skip it." Tells whether that is decided.
    fn skip_mark(&mut self) -> bool {
        if self.buffer.len() < MARK.len() && MARK.starts_with(&self.buffer) {
            return false;
        }
        if self.buffer.starts_with(MARK) {
            self.buffer.advance(MARK.len());
        }
        self.fresh = false;
        true
    }

    /// The next line without its end: "a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single
    /// U+000A LINE FEED (LF) character not preceded by a U+000D CARRIAGE RETURN (CR) character, and a single U+000D
    /// CARRIAGE RETURN (CR) character not followed by a U+000A LINE FEED (LF) character". A return ends its line at
    /// once; the feed that may follow is dropped when it comes.
    fn line(&mut self) -> Result<Option<BytesMut>, Fault> {
        if self.after_return && !self.buffer.is_empty() {
            if self.buffer.starts_with(b"\n") {
                self.buffer.advance(1);
            }
            self.after_return = false;
        }
        let unread = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(length) = unread.iter().position(is_line_end).map(|at| at + self.scanned) else {
            self.scanned = self.buffer.len();
            return if self.scanned > self.limit_bytes { Err(Fault::TooLong) } else { Ok(None) };
        };
        self.scanned = 0;
        if length > self.limit_bytes {
            return Err(Fault::TooLong);
        }
        let line = self.buffer.split_to(length);
        self.after_return = self.buffer.first() == Some(&b'\r');
        self.buffer.advance(1);
        Ok(Some(line))
    }

    fn field(&mut self, line: &[u8]) -> Result<Option<Event>, Fault> {
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let line = str::from_utf8(line).map_err(|_| Fault::Utf8)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments = self.comments.saturating_add(1),
            "event" => {
                self.name.clear();
                self.name.push_str(value);
            }
            "data" => self.append(value)?,
            _ => {}
        }
        Ok(None)
    }

    fn append(&mut self, value: &str) -> Result<(), Fault> {
        let data = match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data
            }
            None => self.data.insert(Vec::with_capacity(value.len())),
        };
        data.extend_from_slice(value.as_bytes());
        if data.len() > self.limit_bytes { Err(Fault::TooLong) } else { Ok(()) }
    }

    /// "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and
    /// return." One empty `data` field is no empty buffer: it has left a line feed there.
    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?;
        Some(Event { name: (!name.is_empty()).then(|| name.into()), data: data.into() })
    }
}

fn push_field(field: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
