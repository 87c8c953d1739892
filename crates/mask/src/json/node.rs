//! One value of a document.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::document::Document;
use super::entry::{Entry, Kind, inside, raw, text, wide};
use super::escape::{Unescaped, unescape};

/// A value, or the name of a member, in a [`Document`]. `Debug` prints no content.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    document: &'a Document,
    index: u32,
}

impl<'a> Node<'a> {
    pub(super) fn new(document: &'a Document, index: u32) -> Self {
        Self { document, index }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.entry().kind
    }

    /// Its bytes as they came in, quotes and brackets included.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        raw(self.document.bytes(), &self.entry())
    }

    /// Where its bytes are in the document's.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        let entry = self.entry();
        wide(entry.start)..wide(entry.end)
    }

    /// The text of a string or name, unescaped, and borrowed if nothing was escaped. An escaped NUL is in it as U+0000.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let entry = self.entry();
        matches!(entry.kind, Kind::String | Kind::Name).then(|| {
            let inside = text(inside(self.document.bytes(), &entry));
            if entry.escaped { unescape(inside) } else { Cow::Borrowed(inside) }
        })
    }

    /// The value of `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == b"true")
    }

    /// The value of a number without fraction and exponent that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.number()?.parse().ok()
    }

    /// The nearest value of a number, unless that is infinite.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.number()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Tells whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The value of the member with that name, compared after unescaping. Looks at every member in turn.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.named(key).map(|(_, value)| value)
    }

    /// The members of an object, in the order of the source; nothing for another value.
    pub fn members(&self) -> impl Iterator<Item = (Cow<'a, str>, Self)> + use<'a> {
        self.pairs().map(|(name, value)| (name.text().unwrap_or_default(), value))
    }

    /// The items of an array, in the order of the source; nothing for another value.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let array = self.kind() == Kind::Array;
        let step = |item: &Self| Some(Self::new(item.document, item.entry().next));
        let first = array.then(|| Self::new(self.document, self.index + 1));
        let end = self.entry().next;
        std::iter::successors(first, step).take_while(move |item| item.index < end)
    }

    /// The value that a path of member names and decimal indexes leads to, as the reference tokens of RFC 6901 do.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(*self, |node, token| match node.kind() {
            Kind::Object => node.get(token),
            Kind::Array => node.items().nth(index(token)?),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Name => None,
        })
    }

    /// The nearest member name on the way to the root, its own included.
    pub(super) fn nearest_name(&self) -> Option<Self> {
        let mut index = self.index;
        loop {
            let entry = self.document.entry(index);
            if entry.kind == Kind::Name {
                return Some(Self::new(self.document, index));
            }
            if index == 0 {
                return None;
            }
            let parent = self.document.entry(entry.parent);
            index = if parent.kind == Kind::Object { index - 1 } else { entry.parent };
        }
    }

    /// The member of an object with that name: its name and its value.
    pub(super) fn named(&self, key: &str) -> Option<(Self, Self)> {
        self.pairs().find(|(name, _)| name.is_called(key))
    }

    /// The names and values of an object.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Self, Self)> + use<'a> {
        let (document, end) = (self.document, self.entry().next);
        let pair = move |name: u32| (Self::new(document, name), Self::new(document, name + 1));
        let first = (self.kind() == Kind::Object).then(|| pair(self.index + 1));
        let step = move |(_, value): &(Self, Self)| Some(pair(value.entry().next));
        std::iter::successors(first, step).take_while(move |(name, _)| name.index < end)
    }

    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn entry(&self) -> Entry {
        self.document.entry(self.index)
    }

    fn number(&self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| text(self.raw()))
    }

    fn is_called(&self, key: &str) -> bool {
        let entry = self.entry();
        let inside = inside(self.document.bytes(), &entry);
        if entry.escaped { Unescaped::new(text(inside)).eq(key.chars()) } else { inside == key.as_bytes() }
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?}, {:?})", self.kind(), self.span())
    }
}

/// RFC 6901 §4: digits without leading zeros.
fn index(token: &str) -> Option<usize> {
    let leads = token.starts_with(|c: char| c.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    leads.then(|| token.parse().ok()).flatten()
}
