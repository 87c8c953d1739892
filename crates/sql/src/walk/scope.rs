//! What names denote at one place of a statement.

use std::borrow::Cow;
use std::rc::Rc;

use super::taint::Taint;
use crate::Relation;

/// One output column of a query or of an entry of FROM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field<'a> {
    /// `None` where the name is not certain: it may be any.
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) taint: Taint,
}

/// A list of columns.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// There may be further columns, or the order is not certain; each may carry this.
    pub(crate) open: Option<Taint>,
}

impl<'a> Row<'a> {
    /// A row of unknown columns.
    pub(crate) fn unknown(taint: Taint) -> Self {
        Self { fields: Vec::new(), open: Some(taint) }
    }

    /// Everything that any column carries.
    pub(crate) fn all(&self) -> Taint {
        self.fields.iter().map(|field| &field.taint).chain(self.open.as_ref()).collect()
    }

    /// What the column at a position (from 0) carries.
    pub(crate) fn at(&self, position: usize) -> Taint {
        match (&self.open, self.fields.get(position)) {
            (None, Some(field)) => field.taint.clone(),
            _ => self.all(),
        }
    }

    /// What a column certainly of this name carries, and what one that may have it carries.
    pub(crate) fn named(&self, name: &str) -> Found {
        let mut found = Found::default();
        for field in &self.fields {
            match &field.name {
                Some(known) if known == name => found.sure.get_or_insert_default().add(&field.taint),
                Some(_) => {}
                None => found.maybe.get_or_insert_default().add(&field.taint),
            }
        }
        if let Some(open) = &self.open {
            found.maybe.get_or_insert_default().add(open);
        }
        found
    }

    /// The same columns under other names, as an alias list gives them.
    pub(crate) fn renamed(mut self, names: Vec<Cow<'a, str>>) -> Self {
        if names.is_empty() {
            return self;
        }
        if self.open.is_some() || names.len() > self.fields.len() {
            let all = self.all();
            let mut fields: Vec<_> =
                names.into_iter().map(|name| Field { name: Some(name), taint: all.clone() }).collect();
            fields.append(&mut self.fields);
            return Self { fields, open: Some(all) };
        }
        for (field, name) in self.fields.iter_mut().zip(names) {
            field.name = Some(name);
        }
        self
    }

    /// Appends another row's columns.
    pub(crate) fn append(&mut self, other: Self) {
        self.fields.extend(other.fields);
        if let Some(open) = other.open {
            self.open.get_or_insert_default().add(&open);
        }
    }

    /// Column by column what either row carries; names are those of this row.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.open.is_some() || other.open.is_some() || self.fields.len() != other.fields.len() {
            let all = self.all().with(&other.all());
            self.fields.iter_mut().for_each(|field| field.taint.add(&all));
            self.open = Some(all);
            return;
        }
        for (field, theirs) in self.fields.iter_mut().zip(&other.fields) {
            field.taint.add(&theirs.taint);
        }
    }

    /// Every column carries what any of them does.
    pub(crate) fn blurred(mut self) -> Self {
        let all = self.all().vague();
        self.fields.iter_mut().for_each(|field| field.taint.clone_from(&all));
        self.open = self.open.map(|_| all);
        self
    }
}

/// What a lookup by name found in one place; where a name is certain, a column that may have it counts as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) sure: Option<Taint>,
    pub(crate) maybe: Option<Taint>,
}

impl Found {
    /// What either carries.
    pub(crate) fn any(&self) -> Taint {
        self.sure.iter().chain(&self.maybe).collect()
    }
}

/// One named entry of FROM.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// `None` where only its columns can be named (a subquery without alias).
    pub(crate) name: Option<Cow<'a, str>>,
    /// The relation it stands for; it can be named with its schema unless it has an alias.
    pub(crate) relation: Option<&'a Relation>,
    pub(crate) aliased: bool,
    /// It is a relation itself, not a query, a join or a function: its columns are those of the relation and of nothing else.
    pub(crate) direct: bool,
    pub(crate) row: Row<'a>,
}

impl Entry<'_> {
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

/// One query of a WITH, by its name.
#[derive(Clone, Debug)]
pub(crate) struct Cte<'a> {
    pub(crate) name: &'a str,
    /// `None` for a query that is named before it is defined.
    pub(crate) row: Option<Row<'a>>,
}

/// One level of names; the parent is the enclosing query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope<'s, 'a> {
    pub(crate) parent: Option<&'s Self>,
    pub(crate) entries: Vec<Rc<Entry<'a>>>,
    pub(crate) ctes: Vec<Rc<Cte<'a>>>,
}

impl<'s, 'a> Scope<'s, 'a> {
    /// A level below `self` with these entries.
    pub(crate) fn below(&'s self, entries: Vec<Rc<Entry<'a>>>) -> Self {
        Self { parent: Some(self), entries, ctes: Vec::new() }
    }

    /// This level and those around it, innermost first.
    pub(crate) fn levels(&'s self) -> impl Iterator<Item = &'s Scope<'s, 'a>> {
        std::iter::successors(Some(self), |scope| scope.parent)
    }

    /// The innermost query of a WITH of this name.
    pub(crate) fn cte(&'s self, name: &str) -> Option<&'s Rc<Cte<'a>>> {
        self.levels().find_map(|scope| scope.ctes.iter().rev().find(|cte| cte.name == name))
    }

    /// How many columns are in reach.
    pub(crate) fn width(&'s self) -> usize {
        self.levels().flat_map(|scope| &scope.entries).map(|entry| entry.row.fields.len()).sum()
    }

    /// Everything that any entry in reach carries.
    pub(crate) fn everything(&'s self) -> Taint {
        self.levels()
            .flat_map(|scope| &scope.entries)
            .fold(Taint::default(), |taint, entry| taint.with(&entry.row.all()))
    }
}
