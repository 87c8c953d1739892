//! Column references into what they carry.

use std::rc::Rc;

use pg_query::protobuf::ColumnRef;
use pg_query::{Node, NodeEnum};

use super::mention::Name;
use super::query::ends_with_star;
use super::scope::{Entry, Row, Scope};
use super::taint::Taint;
use super::{Walk, words};
use crate::access::{Object, Verb};
use crate::analysis::{Qualified, Reason};
use crate::known;

/// Columns that every table has besides its own.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

impl<'a> Walk<'a> {
    /// A column reference as a value; `t.*` in this position is the whole row.
    pub(super) fn column(&mut self, column: &'a ColumnRef, scope: &Scope<'_, 'a>) -> Taint {
        self.visited.column(column);
        let star = ends_with_star(&column.fields);
        let fields = match column.fields.split_last() {
            Some((_, qualifier)) if star => qualifier,
            _ => &column.fields,
        };
        if star {
            return self.star_of(fields, column.location, scope).all().vague();
        }
        if !self.charge_search(scope.width()) {
            return Taint::default();
        }
        match words(fields).as_deref() {
            Some([name]) => {
                self.mentioned(None, Name::Word(name));
                self.bare(name, scope)
            }
            Some([qualifier @ .., name]) => self.dotted(qualifier, name, column.location, scope),
            Some([]) | None => self.misunderstood().with(&scope.everything()),
        }
    }

    /// The columns of the entry that a qualifier names.
    pub(super) fn star_of(&mut self, qualifier: &'a [Node], location: i32, scope: &Scope<'_, 'a>) -> Row<'a> {
        let names = words(qualifier).unwrap_or_default();
        if names.is_empty() {
            return Row::unknown(self.misunderstood().with(&scope.everything()));
        }
        let entries = self.entries(&names, location, scope);
        self.mentioned_star(&entries);
        if !self.charge(entries.iter().map(|entry| entry.row.fields.len()).sum()) {
            return Row::default();
        }
        match entries.as_slice() {
            [] => Row::unknown(scope.everything()),
            [entry] => entry.row.clone(),
            many => Row::unknown(many.iter().fold(Taint::default(), |taint, entry| taint.with(&entry.row.all()))),
        }
    }

    /// A bare name: a column of the innermost query that has one, else a whole row. What may be the column further in counts as well:
    /// the name of an expression is not certain.
    fn bare(&mut self, name: &str, scope: &Scope<'_, 'a>) -> Taint {
        let mut maybe: Option<Taint> = None;
        for level in scope.levels() {
            let mut sure: Option<Taint> = None;
            for entry in &level.entries {
                let found = entry.row.named(name);
                if let Some(taint) = found.sure {
                    sure.get_or_insert_default().add(&taint);
                }
                if let Some(taint) = found.maybe {
                    maybe.get_or_insert_default().add(&taint);
                }
            }
            if let Some(sure) = sure {
                return sure.with(&maybe.unwrap_or_default().vague());
            }
            if SYSTEM_COLUMNS.contains(&name) && level.entries.iter().any(|entry| entry.relation.is_some()) {
                self.found.system_columns = true;
                return maybe.unwrap_or_default().vague();
            }
        }
        let rows = scope.levels().flat_map(|level| &level.entries).filter(|entry| entry.is_named(name));
        let rows: Option<Taint> =
            rows.fold(None, |taint, entry| Some(taint.unwrap_or_default().with(&entry.row.all())));
        match (maybe, rows) {
            (None, None) => scope.everything().vague(),
            (maybe, rows) => maybe.iter().chain(&rows).collect::<Taint>().vague(),
        }
    }

    fn dotted(&mut self, qualifier: &[&'a str], name: &str, location: i32, scope: &Scope<'_, 'a>) -> Taint {
        let entries = self.entries(qualifier, location, scope);
        self.mentioned(Some(&entries), Name::Word(name));
        if entries.is_empty() {
            return scope.everything().vague();
        }
        let certain = entries.len() == 1;
        let mut taint = Taint::default();
        for entry in entries {
            taint.add(&self.attribute(&entry, name));
        }
        if certain { taint } else { taint.vague() }
    }

    /// `entry.name`: a column, or a function of the whole row.
    pub(super) fn attribute(&mut self, entry: &Entry<'a>, name: &str) -> Taint {
        let found = entry.row.named(name);
        if let Some(sure) = &found.sure {
            return sure.clone().with(&found.maybe.unwrap_or_default().vague());
        }
        if entry.relation.is_some() && SYSTEM_COLUMNS.contains(&name) {
            self.found.system_columns = true;
            return found.maybe.unwrap_or_default().vague();
        }
        let whole = entry.row.all().vague();
        self.field_or_call(name, &whole, found.maybe.is_some())
    }

    /// `(value).name` where no column is certain: the server also reads it as `name(value)`.
    pub(super) fn field_or_call(&mut self, name: &str, whole: &Taint, may_be_field: bool) -> Taint {
        let known = known::server_function(name);
        if !self.catalog.functions(name).is_empty() || known.is_some() {
            let class = self.function(None, name);
            self.taken(class, &[], whole);
            return whole.clone();
        }
        let is_somewhere = self.catalog.has_column_named(name) || known::is_function_column(name);
        if !may_be_field && !is_somewhere {
            self.access(Verb::Call, Object::Function("pg_catalog".into(), name.into()));
            self.leave(whole);
        }
        whole.clone()
    }

    /// The entries that a qualifier names, in the innermost query that certainly has one: a schema is only certain of a relation, so
    /// what is not one may hide one further out.
    pub(super) fn entries(&mut self, qualifier: &[&str], location: i32, scope: &Scope<'_, 'a>) -> Vec<Rc<Entry<'a>>> {
        let (database, schema, table) = match *qualifier {
            [table] => (None, None, table),
            [schema, table] => (None, Some(schema), table),
            [database, schema, table] => (Some(database), Some(schema), table),
            _ => {
                self.misunderstood();
                return Vec::new();
            }
        };
        if database.is_some_and(|database| database != self.catalog.database()) {
            self.refuse_at(Reason::OtherDatabase, location);
            return Vec::new();
        }
        let matches = |entry: &&Rc<Entry<'a>>| {
            entry.is_named(table)
                && schema.is_none_or(|schema| {
                    !entry.aliased && entry.relation.is_none_or(|relation| &*relation.schema == schema)
                })
        };
        let mut found: Vec<Rc<Entry<'a>>> = Vec::new();
        for level in scope.levels() {
            let here = level.entries.iter().filter(matches);
            found.extend(here.cloned());
            if found.iter().any(|entry| schema.is_none() || entry.relation.is_some()) {
                break;
            }
        }
        if let (true, Ok(at)) = (schema.is_some(), usize::try_from(location)) {
            let oids = found.iter().filter_map(|entry| entry.relation).map(|relation| relation.oid);
            let names = qualifier.len() - 1;
            self.found.qualified.extend(oids.map(|oid| Qualified { at, oid, names }));
        }
        found
    }

    /// The one entry that an expression names as a whole row.
    pub(super) fn whole_row(&self, value: &Node, scope: &Scope<'_, 'a>) -> Option<Rc<Entry<'a>>> {
        let Some(NodeEnum::ColumnRef(column)) = value.node.as_ref() else { return None };
        let names = words(&column.fields)?;
        let [name] = names.as_slice() else { return None };
        let levels: Vec<_> = scope.levels().collect();
        let shadowed = levels.iter().flat_map(|level| &level.entries).any(|entry| {
            let found = entry.row.named(name);
            found.sure.is_some() || found.maybe.is_some()
        });
        if shadowed {
            return None;
        }
        let mut rows = levels.iter().flat_map(|level| &level.entries).filter(|entry| entry.is_named(name));
        let first = rows.next()?;
        rows.next().is_none().then(|| Rc::clone(first))
    }
}
