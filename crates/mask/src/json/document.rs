//! A body that was checked, and the table of what stands where in it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::entry::{Entry, Kind, wide};
use super::fault::Fault;
use super::node::Node;
use super::parse::{Buffers, Grammar, parse};

const NULL: Entry = Entry { start: 0, end: 4, next: 1, parent: 0, kind: Kind::Null, escaped: false };

/// How large a document may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of the whole body.
    pub size_bytes: u32,
    /// Objects and arrays that are open at once.
    pub depth: u32,
    /// Values and member names; each takes 20 bytes of memory.
    pub nodes: u32,
}

impl Limits {
    /// 16 MiB, 128 deep, a million values and names.
    pub const STANDARD: Self = Self { size_bytes: 16 << 20, depth: 128, nodes: 1_000_000 };
}

/// A strict JSON document (RFC 8259) over the bytes it came in.
///
/// UTF-8 without a byte order mark, no name twice in one object, no half of a surrogate pair, numbers as their source
/// text. Nothing is decoded until it is asked for, and nothing is copied. `Debug` prints sizes only.
#[derive(Clone)]
pub struct Document {
    bytes: Bytes,
    buffers: Buffers,
    limits: Limits,
}

impl Document {
    /// The memory that each node takes besides the text, in bytes.
    pub const NODE_BYTES: u64 = size_of::<Entry>() as u64;

    /// The document `null`, to be filled by [`Document::reparse`].
    #[must_use]
    pub fn null(limits: Limits) -> Self {
        let mut null = Self { bytes: Bytes::new(), buffers: Buffers::default(), limits };
        null.reset();
        null
    }

    /// Checks a whole body, in time linear in its length but for objects with many names, which are sorted.
    pub fn parse(bytes: impl Into<Bytes>, limits: Limits) -> Result<Self, Fault> {
        let mut document = Self::null(limits);
        document.reparse(bytes)?;
        Ok(document)
    }

    /// Reads the text of a string, where a repeated name is no reason to look away; text that is no JSON comes back.
    pub(super) fn parse_lax(text: Cow<'_, str>, limits: Limits) -> Result<Self, Cow<'_, str>> {
        let mut buffers = Buffers::default();
        match parse(text.as_bytes(), limits, Grammar::Lax, &mut buffers) {
            Ok(()) => Ok(Self { bytes: Bytes::from(text.into_owned()), buffers, limits }),
            Err(_) => Err(text),
        }
    }

    /// Becomes another document with the same limits and without an allocation, once the table is large enough.
    ///
    /// # Errors
    ///
    /// A body that is refused leaves the document `null`.
    pub fn reparse(&mut self, bytes: impl Into<Bytes>) -> Result<(), Fault> {
        let bytes = bytes.into();
        let parsed = parse(&bytes, self.limits, Grammar::Strict, &mut self.buffers);
        match parsed {
            Ok(()) => self.bytes = bytes,
            Err(_) => self.reset(),
        }
        parsed
    }

    fn reset(&mut self) {
        self.bytes = Bytes::from_static(b"null");
        self.buffers.entries.clear();
        self.buffers.entries.push(NULL);
    }

    /// The bytes it came in, white space around the root included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node::new(self, 0)
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.buffers.entries
    }

    /// `INVARIANT:` an index out of this document's own table, so there is an entry.
    pub(super) fn entry(&self, index: u32) -> Entry {
        self.buffers.entries.get(wide(index)).copied().unwrap_or(NULL)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes, {} nodes)", self.bytes.len(), self.buffers.entries.len())
    }
}
