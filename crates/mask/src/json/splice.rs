//! Edits as replacements of byte ranges.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;

use super::document::Document;
use super::edit::{Change, Edit};
use super::entry::{Kind, wide};
use super::escape::quoted;
use super::node::Node;

/// The document's bytes with the edits made.
pub(super) fn apply(document: &Document, edits: &[Edit]) -> Vec<u8> {
    let mut plan = Plan::new(document);
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|edit| (edit.anchor, rank(&edit.change)));
    for group in order.chunk_by(|a, b| a.anchor == b.anchor && rank(&a.change) == rank(&b.change)) {
        plan.add(group);
    }
    plan.rename_all();
    plan.insert_all();
    plan.join()
}

/// Ranges of the source and what stands there afterwards; no two overlap or start at the same byte.
struct Plan<'a> {
    document: &'a Document,
    splices: Vec<(Range<usize>, Cow<'a, str>)>,
    /// Entries before this one are replaced or removed.
    covered: u32,
    /// The container whose first items or members are removed so far, and the entry after them.
    first: (u32, u32),
    /// Anchors of what is removed, in order.
    removed: Vec<u32>,
    /// Names and their replacements, in order.
    renamed: Vec<(u32, &'a str)>,
    /// Objects and the members they get, in order.
    inserted: Vec<(u32, &'a str, &'a str)>,
}

impl<'a> Plan<'a> {
    fn new(document: &'a Document) -> Self {
        let (splices, removed, renamed, inserted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { document, splices, covered: 0, first: (0, 0), removed, renamed, inserted }
    }

    /// Adds the edits of one rank at one entry.
    fn add(&mut self, group: &[&'a Edit]) {
        let Some(last) = group.last().filter(|edit| edit.anchor >= self.covered) else { return };
        match &last.change {
            Change::Remove => self.remove(last.anchor),
            Change::Replace(raw) => {
                let entry = self.document.entry(last.anchor);
                self.covered = entry.next;
                self.splices.push((wide(entry.start)..wide(entry.end), raw.into()));
            }
            Change::Rename(name) => self.renamed.push((last.anchor, name)),
            Change::Insert { .. } => self.inserted.extend(group.iter().filter_map(|edit| match &edit.change {
                Change::Insert { name, raw } => Some((edit.anchor, name.as_str(), raw.as_str())),
                Change::Remove | Change::Replace(_) | Change::Rename(_) => None,
            })),
        }
    }

    /// Removes an item or member with the comma before it; those that nothing before stays of, with the comma after.
    fn remove(&mut self, anchor: u32) {
        let entry = self.document.entry(anchor);
        let parent = self.document.entry(entry.parent);
        let value = if entry.kind == Kind::Name { self.document.entry(anchor + 1) } else { entry };
        let range = if anchor == entry.parent + 1 || self.first == (entry.parent, anchor) {
            self.first = (entry.parent, value.next);
            let more = value.next < parent.next;
            wide(entry.start)..wide(if more { self.document.entry(value.next).start } else { value.end })
        } else {
            self.before_comma(wide(entry.start))..wide(value.end)
        };
        self.covered = value.next;
        self.removed.push(anchor);
        self.splices.push((range, Cow::Borrowed("")));
    }

    fn rename_all(&mut self) {
        let parent = |(name, _): &(u32, &str)| self.document.entry(*name).parent;
        let mut renamed = mem::take(&mut self.renamed);
        renamed.sort_by_key(parent);
        for group in renamed.chunk_by(|a, b| parent(a) == parent(b)) {
            let Some(object) = group.first().map(parent) else { continue };
            let mut taken = self.taken(object, group);
            let mut number = 1_u32;
            for (name, text) in group {
                let mut unique = (*text).to_owned();
                while taken.contains(unique.as_str()) {
                    number += 1;
                    unique = format!("{text}~{number}");
                }
                let span = Node::new(self.document, *name).span();
                self.splices.push((span, quoted(&unique).into()));
                taken.insert(unique.into());
            }
        }
    }

    /// The names that an object has without those to be renamed.
    fn taken(&self, object: u32, renamed: &[(u32, &str)]) -> BTreeSet<Cow<'a, str>> {
        let stays = |name: &Node<'_>| renamed.binary_search_by_key(&name.index(), |(name, _)| *name).is_err();
        let names = Node::new(self.document, object).pairs().map(|(name, _)| name).filter(stays);
        let from = self.inserted.partition_point(|(into, ..)| *into < object);
        let inserted = self.inserted.iter().skip(from).take_while(|(into, ..)| *into == object);
        let inserted = inserted.map(|(_, name, _)| Cow::Borrowed(*name));
        names.filter_map(|name| name.text()).chain(inserted).collect()
    }

    fn insert_all(&mut self) {
        let inserted = mem::take(&mut self.inserted);
        for group in inserted.chunk_by(|(a, ..), (b, ..)| a == b) {
            let Some((object, ..)) = group.first() else { continue };
            let object = Node::new(self.document, *object);
            let mut comma = object.pairs().any(|(name, _)| self.removed.binary_search(&name.index()).is_err());
            let mut members = String::new();
            for (_, name, raw) in group {
                members.push_str(if mem::replace(&mut comma, true) { "," } else { "" });
                members.push_str(&quoted(name));
                members.push(':');
                members.push_str(raw);
            }
            let at = self.before_space(object.span().end.saturating_sub(1));
            self.splices.push((at..at, members.into()));
        }
    }

    fn join(mut self) -> Vec<u8> {
        self.splices.sort_by_key(|(range, _)| range.start);
        let source = self.document.bytes();
        let added: usize = self.splices.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(source.len() + added);
        let mut at = 0;
        for (range, text) in &self.splices {
            out.extend_from_slice(source.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(source.get(at..).unwrap_or_default());
        out
    }

    fn before_comma(&self, at: usize) -> usize {
        self.before_space(self.before_space(at).saturating_sub(1))
    }

    fn before_space(&self, at: usize) -> usize {
        self.document.bytes().get(..at).unwrap_or_default().trim_ascii_end().len()
    }
}

fn rank(change: &Change) -> u8 {
    match change {
        Change::Remove => 0,
        Change::Replace(_) => 1,
        Change::Rename(_) => 2,
        Change::Insert { .. } => 3,
    }
}
