//! One line of a document's table of contents.

/// What a node is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number, kept as its source text.
    Number,
    /// A string.
    String,
    /// The name of an object's member; the member's value is the node after it.
    Name,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A value or a name. Entries stand in the order of the source, so that a subtree is a range of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The first byte, quotes and brackets included.
    pub(super) start: u32,
    /// The byte after the last.
    pub(super) end: u32,
    /// The entry after this one's subtree.
    pub(super) next: u32,
    /// The container it stands in; the root's is itself.
    pub(super) parent: u32,
    pub(super) kind: Kind,
    /// Whether its text has an escape.
    pub(super) escaped: bool,
}

/// A stored position as an index.
pub(super) fn wide(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// An index as a stored position. `INVARIANT:` a body is no longer than `Limits::size_bytes`, which is a `u32`, and
/// every entry takes a byte of it, so nothing saturates.
pub(super) fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// An entry's bytes.
pub(super) fn raw<'a>(source: &'a [u8], entry: &Entry) -> &'a [u8] {
    source.get(wide(entry.start)..wide(entry.end)).unwrap_or_default()
}

/// What stands between the quotes of a string or name.
pub(super) fn inside<'a>(source: &'a [u8], entry: &Entry) -> &'a [u8] {
    match raw(source, entry) {
        [b'"', inside @ .., b'"'] => inside,
        bare => bare,
    }
}

/// Bytes of a document as text: the whole of it is UTF-8 and nodes start and end at ASCII characters.
pub(super) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}
