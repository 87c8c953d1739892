//! Forms in several parts (RFC 7578, RFC 2046 §5.1), read in the one way that every reader has in common.
//!
//! The separator occurs nowhere but between parts, lines end with CR LF, nothing stands before the first part or after
//! the last, no part has parts or is encoded, and no field is there twice. Bodies are collected and limited before.

mod head;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::flaw::Flaw;
use crate::validate::Media;

/// The most parts of one form.
const MAX_PARTS: usize = 256;

const INVALID: Flaw = Flaw::new(400, "invalid_multipart", "the multipart body is malformed");
const TOO_MANY: Flaw = Flaw::new(400, "invalid_multipart", "the multipart body has too many parts");
const REPEATED: Flaw = Flaw::new(400, "duplicate_field", "the multipart body has a field twice");
const NO_TEXT: Flaw = Flaw::new(400, "invalid_utf8", "a field of the multipart body is not UTF-8");

/// A form and the bytes it came in.
#[derive(Clone)]
pub(crate) struct Form {
    body: Bytes,
    /// Two hyphens and the boundary.
    delimiter: Vec<u8>,
    parts: Vec<Part>,
}

/// One field or file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// What a file is called; a field that is no file has none, and is UTF-8.
    pub(crate) file: Option<String>,
    pub(crate) media: Option<Media>,
    /// All of its header lines.
    pub(crate) head: String,
    /// Where in the body its content is.
    pub(crate) span: Range<usize>,
    /// Where in the body its content's length is, if it says so.
    length: Option<Range<usize>>,
}

/// A new content of a part, by its index. `Debug` prints its length only.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Change {
    pub(crate) part: usize,
    pub(crate) content: Vec<u8>,
}

impl Form {
    /// Reads a whole body with the boundary of its content type.
    pub(crate) fn read(body: Bytes, boundary: &str) -> Result<Self, Flaw> {
        if !is_boundary(boundary) {
            return Err(INVALID);
        }
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut form = Self { body, delimiter, parts: Vec::new() };
        let mut names = BTreeSet::new();
        for span in form.spans()? {
            let part = head::part(&form.body, span)?;
            if !part.name.ends_with("[]") && !names.insert(part.name.clone()) {
                return Err(REPEATED);
            }
            if part.file.is_none() && str::from_utf8(form.content(&part)).is_err() {
                return Err(NO_TEXT);
            }
            form.parts.push(part);
        }
        Ok(form)
    }

    /// Reads another body with the same boundary.
    pub(crate) fn reread(&self, body: Bytes) -> Result<Self, Flaw> {
        let boundary = self.delimiter.get(2..).and_then(|boundary| str::from_utf8(boundary).ok()).unwrap_or_default();
        Self::read(body, boundary)
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The field or file of a name.
    pub(crate) fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    pub(crate) fn content(&self, part: &Part) -> &[u8] {
        self.body.get(part.span.clone()).unwrap_or_default()
    }

    /// The text of a field; a file has none.
    pub(crate) fn text(&self, part: &Part) -> Option<&str> {
        str::from_utf8(self.content(part)).ok().filter(|_| part.file.is_none())
    }

    /// The body with other contents, every other byte as it was. The changes are in the order of their parts.
    ///
    /// # Errors
    ///
    /// A content that holds the separator would end its part early.
    pub(crate) fn replace(&self, changes: &[Change]) -> Result<Bytes, Flaw> {
        let mut splices: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        for change in changes {
            let Some(part) = self.parts.get(change.part) else { return Err(INVALID) };
            if find(&change.content, &self.delimiter, 0).is_some() {
                return Err(INVALID);
            }
            splices.extend(part.length.clone().map(|at| (at, change.content.len().to_string().into_bytes())));
            splices.push((part.span.clone(), change.content.clone()));
        }
        let mut body = Vec::with_capacity(self.body.len());
        let mut from = 0;
        for (at, content) in splices {
            body.extend_from_slice(self.body.get(from..at.start).ok_or(INVALID)?);
            body.extend_from_slice(&content);
            from = at.end;
        }
        body.extend_from_slice(self.body.get(from..).unwrap_or_default());
        Ok(body.into())
    }

    /// What stands between the separators. RFC 2046 §5.1.1: they "must not appear" within a part, so that each time the
    /// text occurs it is one, or the body is refused.
    fn spans(&self) -> Result<Vec<Range<usize>>, Flaw> {
        let mut spans = Vec::new();
        let mut from = None;
        let mut at = 0;
        loop {
            let here = find(&self.body, &self.delimiter, at).ok_or(INVALID)?;
            match from {
                None if here == 0 => {}
                None => return Err(INVALID),
                Some(from) => {
                    let end = here.checked_sub(2).filter(|end| *end >= from).ok_or(INVALID)?;
                    if self.body.get(end..here) != Some(b"\r\n") {
                        return Err(INVALID);
                    }
                    spans.push(from..end);
                }
            }
            at = here.saturating_add(self.delimiter.len());
            match self.body.get(at..).unwrap_or_default() {
                b"--" | b"--\r\n" => return Ok(spans),
                [b'\r', b'\n', ..] if spans.len() < MAX_PARTS => from = Some(at.saturating_add(2)),
                [b'\r', b'\n', ..] => return Err(TOO_MANY),
                _ => return Err(INVALID),
            }
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} bytes, {} parts)", self.body.len(), self.parts.len())
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change(part {}, {} bytes)", self.part, self.content.len())
    }
}

/// RFC 2046 §5.1.1, without the space.
fn is_boundary(boundary: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    (1..=70).contains(&boundary.len()) && boundary.bytes().all(plain)
}

/// Where a text next occurs, by Horspool's method: most bytes of a file are never looked at.
fn find(body: &[u8], text: &[u8], from: usize) -> Option<usize> {
    let last = text.len().checked_sub(1)?;
    let mut skips = [text.len(); 256];
    for (index, byte) in text.iter().copied().enumerate().take(last) {
        if let Some(skip) = skips.get_mut(usize::from(byte)) {
            *skip = last.saturating_sub(index);
        }
    }
    let mut at = from;
    while let Some(window) = body.get(at..at.checked_add(text.len())?) {
        if window == text {
            return Some(at);
        }
        let ends = window.last().copied().unwrap_or_default();
        at = at.checked_add(skips.get(usize::from(ends)).copied()?)?;
    }
    None
}

#[cfg(test)]
mod tests;
