//! Statements that create, change or drop objects, or look after the server.

mod functions;
mod kinds;
mod parts;
mod touched;

use std::mem;

use pg_query::protobuf::RangeVar;
use pg_query::{Node, NodeEnum};

use super::Walk;
use super::statement::Done;
use super::taint::Taint;
use crate::access::{Object, Verb};
use crate::analysis::Kind;
use crate::{Relation, RelationKind, census};
use kinds::Place;
use touched::Touched;

impl<'a> Walk<'a> {
    /// DDL and upkeep; what is in neither list is unknown. Expressions in it are stored and run later, or at once for every row: each
    /// of them is judged.
    pub(super) fn definition(&mut self, inner: &'a NodeEnum, node: &'a Node) -> Done {
        self.found.changes_catalog = true;
        let kind = self.defined_as(inner);
        let stored = mem::replace(&mut self.stored, true);
        let before = mem::take(&mut self.found.uses);
        self.parts_of(inner);
        let within = mem::replace(&mut self.found.uses, before);
        self.stored = stored;
        self.guard_sensitive(inner, node, within.is_empty());
        self.found.uses.extend(within);
        Done::defined(kind)
    }

    fn defined_as(&mut self, inner: &NodeEnum) -> Kind {
        if kinds::is_of_the_server(inner) || kinds::administers(inner) {
            self.access(Verb::Administer, Object::Target);
            return Kind::Administer;
        }
        match kinds::place(inner) {
            Some(Place::Schema(schema)) => self.define_in(schema),
            Some(Place::Relation(relation)) => self.define_at(relation),
            None if kinds::defines(inner) => self.access(Verb::Define, Object::Target),
            None => {
                self.access(Verb::Unknown, Object::Target);
                self.misunderstood();
                return Kind::Other;
            }
        }
        Kind::Define
    }

    /// Something is created in a schema, or in the first of the path.
    pub(super) fn define_in(&mut self, schema: &str) {
        self.found.changes_catalog = true;
        let first = self.creating.or_else(|| self.path.first().map(String::as_str));
        match if schema.is_empty() { first } else { Some(schema) } {
            Some(schema) => self.access(Verb::Define, Object::Schema(schema.into())),
            None => self.access(Verb::Define, Object::Target),
        }
    }

    /// A relation that is there is changed: in any schema of the path where it is not certain which it is.
    fn define_at(&mut self, relation: &RangeVar) {
        let name = &*relation.relname;
        let path = self.path;
        let holds = |schema: &&String| self.catalog.relation(schema, name).is_some();
        match path.iter().find(holds) {
            _ if !relation.schemaname.is_empty() || self.creating.is_some() => self.define_in(&relation.schemaname),
            Some(schema) => self.define_in(schema),
            None if path.is_empty() => self.define_in(""),
            None => path.iter().for_each(|schema| self.define_in(schema)),
        }
    }

    /// DDL that names a relation can copy a protected column into another (`ALTER TABLE … USING`, generated columns, triggers), or
    /// take its protection away (`RENAME`): it counts as a use of every sensitive column there, unless its form and its expressions
    /// touch no such column.
    fn guard_sensitive(&mut self, inner: &'a NodeEnum, node: &'a Node, harmless: bool) {
        let Some(names) = census::relations(node) else {
            self.misunderstood();
            return;
        };
        let touched = touched::touched(inner);
        // Each name is told of, or nothing is certain.
        if !harmless || touched.len() != names.len() {
            for (schema, name) in names {
                self.relations_of(&schema, &name).into_iter().for_each(|relation| self.guard(relation));
            }
            return;
        }
        for Touched { relation, columns } in touched {
            for known in self.relations_named(relation) {
                if columns.as_ref().is_none_or(|columns| !self.spares(known, columns)) {
                    self.guard(known);
                }
                self.found.touches_sensitive |= self.sensitive.in_relation(known.oid).next().is_some();
            }
        }
    }

    /// None of these columns of a table is sensitive.
    fn spares(&self, relation: &Relation, columns: &[&str]) -> bool {
        let is_table = matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned);
        let mut sensitive = self.sensitive.in_relation(relation.oid).filter_map(|id| self.sensitive.key(id));
        is_table
            && sensitive.all(|(oid, attnum)| {
                self.catalog.column(oid, attnum).is_some_and(|column| !columns.contains(&&*column.name))
            })
    }

    fn relations_named(&self, var: &RangeVar) -> Vec<&'a Relation> {
        self.relations_of(&var.schemaname, &var.relname)
    }

    /// The relations that a name may denote.
    fn relations_of(&self, schema: &str, name: &str) -> Vec<&'a Relation> {
        if schema.is_empty() {
            self.path.iter().filter_map(|schema| self.catalog.relation(schema, name)).collect()
        } else {
            self.catalog.relation(schema, name).into_iter().collect()
        }
    }

    fn guard(&mut self, relation: &Relation) {
        let columns: Taint =
            self.sensitive.in_relation(relation.oid).fold(Taint::default(), |t, id| t.with(&Taint::of(id)));
        self.leave(&columns);
        self.found.touches_sensitive |= !columns.is_empty();
        if let Some(view) = self.sensitive.view(relation.oid) {
            let all = view.columns.iter().chain([&view.decides]).collect();
            self.leave(&all);
        }
    }
}
