//! A second look at views and catalogs with data, which does not follow values: every name that a statement spells counts as the
//! column of that name of every such relation, unless it is qualified with a relation of another name.
//!
//! **Invariant:** a column of a view can only be reached by a name, a `*` or the whole row, so a statement in which none of them is
//! spelt does not use it, whatever [`super::scope`] makes of it.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Walk;
use super::scope::Entry;
use super::taint::Taint;
use crate::access::{Object, Verb};

/// What a reference ends in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'n> {
    Star,
    Word(&'n str),
}

/// The names that a statement spells, and the relations that they may mean.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    /// (the relation it certainly belongs to, the name or `*`).
    spelt: BTreeSet<(Option<Box<str>>, Box<str>)>,
    watched: Vec<Watched>,
}

/// A relation with columns that must not be used unseen.
#[derive(Debug)]
struct Watched {
    /// What it is called in the statement.
    name: Box<str>,
    columns: Vec<Box<str>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// What the columns of a view carry.
    View(Taint),
    /// A catalog whose columns hold data.
    Catalog(Object),
}

impl Mentions {
    fn spell(&self, relation: Option<&str>, name: &str) -> bool {
        self.spelt.contains(&(relation.map(Into::into), name.into()))
    }

    fn uses(&self, watched: &Watched) -> bool {
        let own = Some(&*watched.name);
        let either = |name: &str| self.spell(None, name) || self.spell(own, name);
        either("*") || either(&watched.name) || watched.columns.iter().any(|column| either(column))
    }
}

impl<'a> Walk<'a> {
    /// Notes a reference; `of` are the entries that its qualifier names.
    pub(super) fn mentioned(&mut self, of: Option<&[Rc<Entry<'a>>]>, name: Name<'_>) {
        let certain = of.and_then(|entries| match entries {
            [entry] if entry.direct => entry.name.as_deref(),
            _ => None,
        });
        let name = match name {
            Name::Star => "*",
            Name::Word(name) => name,
        };
        self.mentions.spelt.insert((certain.map(Into::into), name.into()));
    }

    /// Notes `*` of these entries: of a query it is what that query spells.
    pub(super) fn mentioned_star(&mut self, entries: &[Rc<Entry<'a>>]) {
        if entries.is_empty() {
            self.mentioned(None, Name::Star);
        }
        let direct = entries.iter().filter(|entry| entry.direct).filter_map(|entry| entry.name.as_deref());
        self.mentions.spelt.extend(direct.map(|name| (Some(name.into()), "*".into())));
    }

    /// Watches a view under the names that its columns have here.
    pub(super) fn watch_view(&mut self, entry: &Entry<'a>) {
        let columns = entry.row.fields.iter().filter(|field| !field.taint.is_empty());
        let columns: Vec<Box<str>> = columns.filter_map(|field| field.name.as_deref().map(Into::into)).collect();
        let all = entry.row.all();
        if entry.row.open.is_some() {
            self.filter(&all);
        }
        if !all.is_empty() {
            let name = entry.name.as_deref().unwrap_or_default().into();
            self.mentions.watched.push(Watched { name, columns, kind: Kind::View(all) });
        }
    }

    /// Watches a catalog of which some columns hold data.
    pub(super) fn watch_catalog(&mut self, name: &str, columns: &[&str], catalog: Object) {
        let columns = columns.iter().map(|column| (*column).into()).collect();
        self.mentions.watched.push(Watched { name: name.into(), columns, kind: Kind::Catalog(catalog) });
    }

    /// Judges what was mentioned since: every column of a view that may be used is taken to be shown. The definition of a view may use
    /// other views as it likes: its text is not the client's.
    pub(super) fn settle_mentions(&mut self, in_definition: bool) {
        let mentions = std::mem::take(&mut self.mentions);
        for watched in &mentions.watched {
            if !self.charge(1 + watched.columns.len()) {
                return;
            }
            if !mentions.uses(watched) {
                continue;
            }
            match &watched.kind {
                Kind::View(all) if !in_definition => self.project(all),
                Kind::View(_) => {}
                Kind::Catalog(object) => self.access(Verb::Inspect, object.clone()),
            }
        }
    }
}
