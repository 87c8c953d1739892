//! Names of relations into relations.

use std::borrow::Cow;
use std::rc::Rc;

use pg_query::protobuf::{Alias, RangeVar};

use super::scope::{Entry, Field, Row, Scope};
use super::taint::Taint;
use super::{Walk, words};
use crate::access::{Object, Verb};
use crate::analysis::{RangeUse, Reason};
use crate::{Relation, RelationKind, known};

/// What a name denotes.
pub(super) enum Named<'a> {
    Relation(&'a Relation),
    /// A relation of the server itself.
    Server(&'static str),
    Nothing,
}

impl<'a> Walk<'a> {
    /// A relation in FROM.
    pub(super) fn range(&mut self, var: &'a RangeVar, scope: &Scope<'_, 'a>) -> Entry<'a> {
        self.visited.relation(var);
        let qualified = !var.schemaname.is_empty() || !var.catalogname.is_empty();
        let cte = if qualified { None } else { scope.cte(&var.relname).map(Rc::clone) };
        let direct = cte.is_none();
        let (row, relation) = match cte {
            Some(cte) => (self.cte_row(&cte, var), None),
            None => self.table_row(var),
        };
        let entry = named_entry(var, relation, direct, row);
        if relation.is_some_and(|relation| relation.kind == RelationKind::View) {
            self.watch_view(&entry);
        }
        entry
    }

    fn cte_row(&mut self, cte: &super::scope::Cte<'a>, var: &RangeVar) -> Row<'a> {
        let Some(row) = &cte.row else {
            self.refuse_at(Reason::ForwardReference, var.location);
            return Row::default();
        };
        if self.charge(row.fields.len()) { row.clone() } else { Row::default() }
    }

    fn table_row(&mut self, var: &'a RangeVar) -> (Row<'a>, Option<&'a Relation>) {
        let relation = match self.named(var) {
            Named::Nothing => return (Row::unknown(Taint::default()), None),
            Named::Server(schema) => {
                self.server_relation(schema, var);
                return (Row::unknown(Taint::default()), None);
            }
            Named::Relation(relation) => relation,
        };
        self.access(Verb::Read, table(relation));
        self.involve(relation, var.location);
        if let Ok(at) = usize::try_from(var.location) {
            let aliased = var.alias.is_some();
            self.found.ranges.insert(RangeUse { at, oid: relation.oid, aliased });
        } else {
            self.refuse(Reason::NotUnderstood, None);
        }
        let fits = self.charge(relation.columns.len());
        (if fits { self.columns_of(relation) } else { Row::default() }, Some(relation))
    }

    /// The relation that a statement changes, locks or copies.
    pub(super) fn target(&mut self, var: &'a RangeVar, verb: Verb) -> Option<Entry<'a>> {
        self.visited.relation(var);
        let relation = match self.named(var) {
            Named::Relation(relation) => relation,
            Named::Server(schema) => {
                self.server_relation(schema, var);
                self.access(Verb::Administer, Object::Target);
                return None;
            }
            Named::Nothing => return None,
        };
        self.access(verb, table(relation));
        self.involve(relation, var.location);
        if relation.has_rules {
            self.refuse_at(Reason::RelationRule, var.location);
        }
        let entry = named_entry(var, Some(relation), true, self.columns_of(relation));
        if relation.kind == RelationKind::View {
            self.watch_view(&entry);
        }
        Some(entry)
    }

    /// What every mention of a relation brings with it.
    fn involve(&mut self, relation: &'a Relation, location: i32) {
        self.found.relations.insert((relation.schema.clone(), relation.name.clone()));
        self.note_types(relation);
        if self.sensitive.in_relation(relation.oid).next().is_some() {
            self.found.touches_sensitive = true;
        }
        if relation.kind != RelationKind::View && relation.has_rules {
            self.refuse_at(Reason::RelationRule, location);
        }
        if !matches!(relation.kind, RelationKind::View | RelationKind::Materialized) {
            return;
        }
        let Some(view) = self.sensitive.view(relation.oid) else {
            self.refuse_at(Reason::OpaqueView, location);
            return;
        };
        self.filter(&view.decides);
        self.found.accesses.extend(view.accesses.iter().cloned());
        self.found.touches_sensitive |= view.touches_sensitive;
    }

    pub(super) fn columns_of(&self, relation: &'a Relation) -> Row<'a> {
        if relation.kind == RelationKind::View {
            return self.view_columns(relation);
        }
        let field = |column: &'a crate::Column| {
            let id = self.sensitive.id(relation.oid, column.attnum);
            Field { name: Some(Cow::Borrowed(&*column.name)), taint: id.map(Taint::of).unwrap_or_default() }
        };
        Row { fields: relation.columns.iter().map(field).collect(), open: None }
    }

    fn view_columns(&self, relation: &'a Relation) -> Row<'a> {
        let columns = self.sensitive.view(relation.oid).map_or(&[][..], |view| &view.columns);
        let own = |column: &crate::Column| self.sensitive.id(relation.oid, column.attnum).map(Taint::of);
        let field = |(at, column): (usize, &'a crate::Column)| Field {
            name: Some(Cow::Borrowed(&*column.name)),
            taint: columns.get(at).into_iter().chain(&own(column)).collect::<Taint>().through_view(),
        };
        Row { fields: relation.columns.iter().enumerate().map(field).collect(), open: None }
    }

    /// What a name denotes; a name that denotes nothing certain is refused here.
    pub(super) fn named(&mut self, var: &'a RangeVar) -> Named<'a> {
        if !var.catalogname.is_empty() && var.catalogname != self.catalog.database() {
            self.refuse_at(Reason::OtherDatabase, var.location);
            return Named::Nothing;
        }
        let named = if var.schemaname.is_empty() {
            self.unqualified(&var.relname)
        } else {
            self.in_schema(&var.schemaname, &var.relname).ok_or(Reason::UnknownRelation)
        };
        named.unwrap_or_else(|reason| {
            self.refuse_at(reason, var.location);
            Named::Nothing
        })
    }

    fn in_schema(&self, schema: &str, name: &str) -> Option<Named<'a>> {
        match schema {
            "pg_catalog" => Some(Named::Server("pg_catalog")),
            "information_schema" => Some(Named::Server("information_schema")),
            _ => self.catalog.relation(schema, name).map(Named::Relation),
        }
    }

    /// The server looks in `pg_catalog` first unless the path says otherwise; a `pg_…` name that is not listed may be its relation.
    fn unqualified(&self, name: &str) -> Result<Named<'a>, Reason> {
        let user = self.path.iter().find_map(|schema| self.catalog.relation(schema, name));
        let may_be_server = name.starts_with("pg_") || known::metadata(&format!("pg_catalog.{name}")).is_some();
        let in_information_schema = self.path.iter().any(|schema| schema == "information_schema");
        match (may_be_server, user) {
            (true, None) => Ok(Named::Server("pg_catalog")),
            (true, Some(_)) => Err(Reason::AmbiguousRelation),
            (false, _) if in_information_schema => Err(Reason::AmbiguousRelation),
            (false, Some(relation)) => Ok(Named::Relation(relation)),
            (false, None) => Err(Reason::UnknownRelation),
        }
    }

    fn server_relation(&mut self, schema: &str, var: &RangeVar) {
        let name: &str = &var.relname;
        let object = Object::Table(schema.into(), name.into());
        self.found.relations.insert((schema.into(), name.into()));
        let Some(data) = known::metadata(&format!("{schema}.{name}")) else {
            self.access(Verb::Inspect, object);
            return;
        };
        self.access(Verb::Describe, object.clone());
        let alias = var.alias.as_ref();
        if data.is_empty() {
            return;
        }
        if alias.is_some_and(|alias| !alias.colnames.is_empty()) {
            self.access(Verb::Inspect, object);
        } else {
            let name = alias.map_or(name, |alias| &alias.aliasname);
            self.watch_catalog(name, &data.split(',').collect::<Vec<_>>(), object);
        }
    }
}

fn named_entry<'a>(var: &'a RangeVar, relation: Option<&'a Relation>, direct: bool, row: Row<'a>) -> Entry<'a> {
    let alias = var.alias.as_ref();
    let name = alias.map_or(&var.relname, |alias| &alias.aliasname);
    Entry {
        name: Some(Cow::Borrowed(name)),
        relation,
        aliased: alias.is_some(),
        direct,
        row: row.renamed(alias_names(alias)),
    }
}

/// The object that a relation is in accesses.
pub(super) fn table(relation: &Relation) -> Object {
    Object::Table(relation.schema.clone(), relation.name.clone())
}

/// The column names of an alias.
pub(super) fn alias_names(alias: Option<&Alias>) -> Vec<Cow<'_, str>> {
    alias.and_then(|alias| words(&alias.colnames)).unwrap_or_default().into_iter().map(Cow::Borrowed).collect()
}
