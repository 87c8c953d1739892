//! Edits of a document that leave every other byte as it is.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::document::{Document, Limits};
use super::entry::Kind;
use super::escape::quoted;
use super::fault::Fault;
use super::node::Node;
use super::splice;

/// An edit that cannot be made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unedited {
    /// The node belongs to another document.
    #[error("the value belongs to another document")]
    Foreign,
    /// The outermost value can be replaced and not removed.
    #[error("the outermost value cannot be removed")]
    Root,
    /// A member can only be inserted into an object.
    #[error("a member needs an object")]
    Objectless,
    /// The object has a member of that name that stays.
    #[error("the object has a member of that name")]
    Repeated,
    /// A member's name can be replaced by text only.
    #[error("a member's name can only be text")]
    Name,
    /// The text to be put in is no JSON value.
    #[error("the replacement is no JSON: {0}")]
    Raw(#[source] Fault),
}

/// Changes of one document, applied by splicing its bytes.
///
/// The order of the calls counts for the members inserted into one object, and of two replacements of one node for the
/// last. Otherwise an edit inside a replaced or removed node has no effect, and neither has the replacement of a removed
/// one. `Debug` prints no content.
#[derive(Clone)]
pub struct Edits<'a> {
    document: &'a Document,
    list: Vec<Edit>,
    /// Anchors of what is removed.
    removed: BTreeSet<u32>,
    /// Objects and the names of the members they get.
    inserted: BTreeSet<(u32, String)>,
}

impl<'a> Edits<'a> {
    /// No changes of a document.
    #[must_use]
    pub fn new(document: &'a Document) -> Self {
        Self { document, list: Vec::new(), removed: BTreeSet::new(), inserted: BTreeSet::new() }
    }

    /// Replaces a value by a string of that text. A member's name is replaced too, and gets a number appended where
    /// another member has that name, so that no value is lost.
    pub fn replace_text(&mut self, node: Node<'_>, text: &str) -> Result<(), Unedited> {
        self.own(node)?;
        self.write(node, text);
        Ok(())
    }

    /// Replaces a value by another, which is checked to be one JSON value, by [`Limits::STANDARD`], and put in as it is.
    pub fn replace_raw(&mut self, node: Node<'_>, raw: &str) -> Result<(), Unedited> {
        if node.kind() == Kind::Name {
            return Err(Unedited::Name);
        }
        self.own(node)?;
        check(raw)?;
        self.push(node.index(), Change::Replace(raw.to_owned()));
        Ok(())
    }

    /// Removes an item, or a member by its value or name, together with one comma.
    pub fn remove(&mut self, node: Node<'_>) -> Result<(), Unedited> {
        self.own(node)?;
        let (index, entry) = (node.index(), node.entry());
        if index == 0 {
            return Err(Unedited::Root);
        }
        let member = self.document.entry(entry.parent).kind == Kind::Object && entry.kind != Kind::Name;
        let anchor = if member { index - 1 } else { index };
        self.removed.insert(anchor);
        self.push(anchor, Change::Remove);
        Ok(())
    }

    /// Adds a member at the end of an object; its value is checked as that of [`Edits::replace_raw`].
    pub fn insert_member(&mut self, object: Node<'_>, key: &str, raw: &str) -> Result<(), Unedited> {
        if object.kind() != Kind::Object {
            return Err(Unedited::Objectless);
        }
        self.own(object)?;
        check(raw)?;
        let stays = |name: Node<'_>| !self.removed.contains(&name.index());
        if object.named(key).is_some_and(|(name, _)| stays(name)) {
            return Err(Unedited::Repeated);
        }
        if !self.inserted.insert((object.index(), key.to_owned())) {
            return Err(Unedited::Repeated);
        }
        self.push(object.index(), Change::Insert { name: key.to_owned(), raw: raw.to_owned() });
        Ok(())
    }

    /// Tells whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The document with the changes made: the same bytes, not copied, if there are none.
    #[must_use]
    pub fn apply(&self) -> Bytes {
        if self.list.is_empty() {
            self.document.bytes().clone()
        } else {
            splice::apply(self.document, &self.list).into()
        }
    }

    /// As [`Edits::replace_text`], for a node of this document.
    pub(super) fn write(&mut self, node: Node<'_>, text: &str) {
        let change = match node.kind() {
            Kind::Name => Change::Rename(text.to_owned()),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array | Kind::Object => {
                Change::Replace(quoted(text))
            }
        };
        self.push(node.index(), change);
    }

    fn push(&mut self, anchor: u32, change: Change) {
        self.list.push(Edit { anchor, change });
    }

    fn own(&self, node: Node<'_>) -> Result<(), Unedited> {
        if std::ptr::eq(node.document(), self.document) { Ok(()) } else { Err(Unedited::Foreign) }
    }
}

impl fmt::Debug for Edits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edits({} of {:?})", self.list.len(), self.document)
    }
}

/// A change and the entry it starts at: that of a removed member is its name.
#[derive(Clone)]
pub(super) struct Edit {
    pub(super) anchor: u32,
    pub(super) change: Change,
}

/// What is done. At one entry an earlier kind leaves no room for a later one.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Change {
    Remove,
    Replace(String),
    Rename(String),
    Insert { name: String, raw: String },
}

fn check(raw: &str) -> Result<(), Unedited> {
    Document::parse(raw.as_bytes().to_vec(), Limits::STANDARD).map_err(Unedited::Raw)?;
    Ok(())
}
