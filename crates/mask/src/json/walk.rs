//! A walk over everything in a document that is no container.

use std::borrow::Cow;
use std::fmt;

use sluice_model::Tag;
use smallvec::SmallVec;

use super::document::Document;
use super::entry::{Entry, Kind, wide};
use super::node::Node;
use super::trail::Trail;

/// One step of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step<'a> {
    /// Into the member of that name.
    Member(Cow<'a, str>),
    /// Into the item with that index, from 0.
    Item(usize),
}

/// A value that is no container, or a member's name, and how a walk came to it.
pub struct Leaf<'a> {
    node: Node<'a>,
    tag: Option<&'a Tag>,
    outer: Option<&'a Self>,
    levels: SmallVec<[Level; 16]>,
}

/// A container that a walk is in.
#[derive(Clone, Copy)]
struct Level {
    start: u32,
    /// The entry after it.
    end: u32,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// At the member with this name.
    Member(u32),
    /// Before the item with this index, which is how many are begun.
    Items(u32),
}

impl Document {
    /// Visits every string, number, boolean, `null` and member name in the order of the source.
    pub fn walk(&self, mut visit: impl FnMut(&Leaf<'_>)) {
        traverse(self, None, Trail::nowhere(), |leaf, _| visit(leaf));
    }
}

impl<'a> Leaf<'a> {
    /// The value, or the name if its kind is [`Kind::Name`].
    #[must_use]
    pub fn node(&self) -> Node<'a> {
        self.node
    }

    /// The nearest member name on the way here: a name's own, that of the value, or that of a list around it.
    #[must_use]
    pub fn key(&self) -> Option<Cow<'a, str>> {
        match self.node.nearest_name() {
            Some(name) => name.text(),
            None => self.outer.and_then(Leaf::key),
        }
    }

    /// The steps from the root of its own document; those to a name are those to its value.
    pub fn path(&self) -> impl Iterator<Item = Step<'a>> {
        self.steps().map(|step| match step {
            Reference::Member(name) => Step::Member(name.text().unwrap_or_default()),
            Reference::Item(index) => Step::Item(wide(index)),
        })
    }

    /// The class of the nearest key rule that covers it, if rules were at work: of a name, the one that covers its object. A
    /// `null` has none.
    #[must_use]
    pub fn tag(&self) -> Option<&'a Tag> {
        self.tag
    }

    /// The objects and arrays of its own document around it, from the inside out.
    pub fn containers(&self) -> impl Iterator<Item = Node<'a>> {
        let document = self.node.document();
        self.levels.iter().rev().map(move |level| Node::new(document, level.start))
    }

    /// The string whose text is the document that this is a leaf of.
    #[must_use]
    pub fn outer(&self) -> Option<&'a Self> {
        self.outer
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = Reference<'a>> {
        let document = self.node.document();
        self.levels.iter().map(move |level| level.step(document))
    }

    /// Leaves the containers that end before an entry.
    fn leave(&mut self, index: u32) {
        while self.levels.last().is_some_and(|level| level.end <= index) {
            self.levels.pop();
        }
    }

    /// Counts an item of an array and gives the step to this value.
    fn arrive(&mut self) -> Option<Reference<'a>> {
        let level = self.levels.last_mut()?;
        if let Place::Items(begun) = &mut level.place {
            *begun += 1;
        }
        Some(level.step(self.node.document()))
    }
}

impl fmt::Debug for Leaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf({:?}, {} deep, {:?})", self.node, self.levels.len(), self.tag)
    }
}

/// A step as a walk takes it: the name is not decoded yet.
#[derive(Clone, Copy)]
pub(super) enum Reference<'a> {
    Member(Node<'a>),
    Item(u32),
}

impl Level {
    fn new(entry: &Entry, index: u32) -> Self {
        let place = if entry.kind == Kind::Object { Place::Member(index + 1) } else { Place::Items(0) };
        Self { start: index, end: entry.next, place }
    }

    fn step(self, document: &Document) -> Reference<'_> {
        match self.place {
            Place::Member(name) => Reference::Member(Node::new(document, name)),
            Place::Items(begun) => Reference::Item(begun.saturating_sub(1)),
        }
    }
}

/// Walks a document with the rules of a trail, which stands before its root.
pub(super) fn traverse<'a>(
    document: &'a Document,
    outer: Option<&'a Leaf<'a>>,
    mut trail: Trail<'a>,
    mut visit: impl FnMut(&Leaf<'a>, &Trail<'a>),
) {
    let mut leaf = Leaf { node: document.root(), tag: None, outer, levels: SmallVec::new() };
    for (index, entry) in (0..).zip(document.entries()) {
        leaf.leave(index);
        leaf.node = Node::new(document, index);
        leaf.tag = None;
        trail.back_to(leaf.levels.len());
        match entry.kind {
            Kind::Name => {
                if let Some(level) = leaf.levels.last_mut() {
                    level.place = Place::Member(index);
                }
                leaf.tag = trail.tag();
                visit(&leaf, &trail);
            }
            Kind::Object | Kind::Array => {
                trail.enter(leaf.arrive());
                leaf.levels.push(Level::new(entry, index));
            }
            Kind::String | Kind::Number | Kind::Bool => {
                trail.enter(leaf.arrive());
                leaf.tag = trail.tag();
                visit(&leaf, &trail);
            }
            Kind::Null => {
                leaf.arrive();
                visit(&leaf, &trail);
            }
        }
    }
}
