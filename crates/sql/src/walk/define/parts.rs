//! The parts of definitions that are expressions, or name code: `DEFAULT`, `CHECK`, `USING`, bounds, predicates, functions.

use std::borrow::Cow;
use std::rc::Rc;

use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, ColumnDef, Constraint, CreateSchemaStmt, CreateStmt, CreateTrigStmt, IndexElem,
    PartitionBoundSpec, PublicationObjSpec, RangeVar, RuleStmt, TypeName,
};
use pg_query::{Node, NodeEnum};

use crate::access::{Object, Verb};
use crate::analysis::Reason;
use crate::walk::implied::Type;
use crate::walk::relation::table;
use crate::walk::scope::{Entry, Field, Row, Scope};
use crate::walk::{Taint, Walk, words};

/// Words for an integer column with a sequence, which are no types
/// (<https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-SERIAL>).
const SERIAL: [&str; 6] = ["serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"];

impl<'a> Walk<'a> {
    /// Judges every expression of a definition. An expression anywhere else fails the census.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the census refuses expressions in what is not listed")]
    pub(super) fn parts_of(&mut self, inner: &'a NodeEnum) {
        match inner {
            NodeEnum::CreateStmt(stmt) => self.table_parts(stmt),
            NodeEnum::CreateForeignTableStmt(stmt) => stmt.base_stmt.iter().for_each(|base| self.table_parts(base)),
            NodeEnum::AlterTableStmt(stmt) => self.changes(stmt),
            NodeEnum::IndexStmt(stmt) => {
                let scope = self.rows_of(stmt.relation.as_ref(), &[]);
                self.parts(&stmt.index_params, &scope);
                stmt.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
            }
            NodeEnum::CompositeTypeStmt(stmt) => self.parts(&stmt.coldeflist, &Scope::default()),
            NodeEnum::CreateDomainStmt(stmt) => {
                stmt.type_name.iter().for_each(|name| self.made_of(name));
                self.parts(&stmt.constraints, &Scope::default());
            }
            NodeEnum::AlterDomainStmt(stmt) => {
                stmt.def.iter().for_each(|part| self.part(part, &Scope::default()));
            }
            NodeEnum::CreatePolicyStmt(stmt) => {
                let scope = self.rows_of(stmt.table.as_ref(), &[]);
                stmt.qual.iter().chain(&stmt.with_check).for_each(|condition| self.judge(condition, &scope));
            }
            NodeEnum::AlterPolicyStmt(stmt) => {
                let scope = self.rows_of(stmt.table.as_ref(), &[]);
                stmt.qual.iter().chain(&stmt.with_check).for_each(|condition| self.judge(condition, &scope));
            }
            NodeEnum::CreateStatsStmt(stmt) => {
                let relation = stmt.relations.first().and_then(|relation| match relation.node.as_ref() {
                    Some(NodeEnum::RangeVar(relation)) => Some(relation),
                    _ => None,
                });
                let scope = self.rows_of(relation, &[]);
                self.parts(&stmt.exprs, &scope);
            }
            NodeEnum::CreateTrigStmt(stmt) => self.trigger(stmt),
            NodeEnum::RuleStmt(stmt) => self.rule(stmt),
            NodeEnum::CreateFunctionStmt(stmt) => self.new_function(stmt),
            NodeEnum::AlterFunctionStmt(stmt) => self.changes_function(stmt),
            NodeEnum::RenameStmt(stmt) => self.renames(stmt),
            NodeEnum::AlterObjectSchemaStmt(stmt) => self.moves(stmt),
            NodeEnum::DropStmt(stmt) => self.drops(stmt),
            NodeEnum::DefineStmt(stmt) => self.defines_by_functions(stmt),
            NodeEnum::CreateRangeStmt(stmt) => self.new_range(stmt),
            // From now on values become others through it, wherever they meet.
            NodeEnum::CreateCastStmt(stmt) => {
                stmt.func.iter().for_each(|function| self.called_by_name(&function.objname));
            }
            NodeEnum::CreateTransformStmt(stmt) => {
                let functions = stmt.fromsql.iter().chain(&stmt.tosql);
                functions.for_each(|function| self.called_by_name(&function.objname));
            }
            NodeEnum::CreateSchemaStmt(stmt) => self.schema(stmt),
            NodeEnum::CreatePublicationStmt(stmt) => self.parts(&stmt.pubobjects, &Scope::default()),
            NodeEnum::AlterPublicationStmt(stmt) => self.parts(&stmt.pubobjects, &Scope::default()),
            _ => {}
        }
    }

    fn table_parts(&mut self, stmt: &'a CreateStmt) {
        let scope = self.rows_of(stmt.relation.as_ref(), &stmt.table_elts);
        self.parts(&stmt.table_elts, &scope);
        self.parts(&stmt.constraints, &scope);
        self.parts(&stmt.nnconstraints, &scope);
        stmt.partspec.iter().for_each(|spec| self.parts(&spec.part_params, &scope));
        stmt.partbound.iter().for_each(|bound| self.bound(bound));
        let schema = stmt.relation.as_ref().map_or("", |relation| relation.schemaname.as_str());
        for parent in &stmt.inh_relations {
            match parent.node.as_ref() {
                Some(NodeEnum::RangeVar(parent)) => self.inherits(schema, parent),
                _ => drop(self.misunderstood()),
            }
        }
    }

    /// Rows of the child are rows of its parent: whoever makes one elsewhere writes to the parent.
    fn inherits(&mut self, schema: &str, parent: &'a RangeVar) {
        self.define_at(parent);
        let child = if schema.is_empty() { self.path.first().map_or("", String::as_str) } else { schema };
        let parents: Vec<_> =
            self.relations_named(parent).into_iter().filter(|known| &*known.schema != child).collect();
        parents.into_iter().for_each(|parent| self.access(Verb::Write, table(parent)));
    }

    fn changes(&mut self, stmt: &'a AlterTableStmt) {
        let scope = self.rows_of(stmt.relation.as_ref(), &[]);
        for cmd in &stmt.cmds {
            match cmd.node.as_ref() {
                Some(NodeEnum::AlterTableCmd(cmd)) => self.change(cmd, stmt.relation.as_ref(), &scope),
                _ => drop(self.misunderstood()),
            }
        }
    }

    fn change(&mut self, cmd: &'a AlterTableCmd, relation: Option<&'a RangeVar>, scope: &Scope<'_, 'a>) {
        let Some(part) = cmd.def.as_deref() else { return };
        match part.node.as_ref() {
            // INHERIT and NO INHERIT.
            Some(NodeEnum::RangeVar(parent)) => {
                self.inherits(relation.map_or("", |relation| relation.schemaname.as_str()), parent);
            }
            Some(NodeEnum::PartitionCmd(partition)) => {
                partition.name.iter().for_each(|name| self.define_at(name));
                partition.bound.iter().for_each(|bound| self.bound(bound));
            }
            _ => self.part(part, scope),
        }
    }

    fn parts(&mut self, parts: &'a [Node], scope: &Scope<'_, 'a>) {
        parts.iter().for_each(|part| self.part(part, scope));
    }

    /// One part; what is neither a name nor a known form is an expression.
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is an expression, or refused as one")]
    fn part(&mut self, part: &'a Node, scope: &Scope<'_, 'a>) {
        let Some(inner) = part.node.as_ref() else { return drop(self.misunderstood()) };
        match inner {
            NodeEnum::ColumnDef(column) => self.column_part(column, scope),
            NodeEnum::Constraint(constraint) => self.constraint(constraint, scope),
            NodeEnum::IndexElem(element) => self.indexed(element, scope),
            NodeEnum::PartitionElem(element) => element.expr.iter().for_each(|expr| self.judge(expr, scope)),
            NodeEnum::StatsElem(element) => element.expr.iter().for_each(|expr| self.judge(expr, scope)),
            NodeEnum::PublicationObjSpec(object) => self.published(object),
            NodeEnum::List(list) => self.parts(&list.items, scope),
            // Names and settings.
            NodeEnum::TableLikeClause(_)
            | NodeEnum::DefElem(_)
            | NodeEnum::TypeName(_)
            | NodeEnum::RoleSpec(_)
            | NodeEnum::ReplicaIdentityStmt(_)
            | NodeEnum::AtalterConstraint(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_) => {}
            _ => self.judge(part, scope),
        }
    }

    fn column_part(&mut self, column: &'a ColumnDef, scope: &Scope<'_, 'a>) {
        column.type_name.iter().for_each(|name| self.made_of(name));
        let defaults = column.raw_default.iter().chain(&column.cooked_default);
        defaults.for_each(|value| self.judge(value, scope));
        self.parts(&column.constraints, scope);
    }

    fn made_of(&mut self, name: &'a TypeName) {
        let is_serial =
            words(&name.names).is_some_and(|names| names.len() == 1 && names.iter().all(|of| SERIAL.contains(of)));
        if !is_serial {
            let _ = self.type_name(name);
        }
    }

    fn constraint(&mut self, constraint: &'a Constraint, scope: &Scope<'_, 'a>) {
        let conditions = constraint.raw_expr.iter().chain(&constraint.where_clause);
        conditions.for_each(|condition| self.judge(condition, scope));
        for exclusion in &constraint.exclusions {
            match exclusion.node.as_ref() {
                Some(NodeEnum::List(pair)) if let [element, operator] = pair.items.as_slice() => {
                    self.part(element, scope);
                    match operator.node.as_ref() {
                        Some(NodeEnum::List(name)) => drop(self.operator(&name.items, Type::Unknown, Type::Unknown)),
                        _ => drop(self.misunderstood()),
                    }
                }
                _ => drop(self.misunderstood()),
            }
        }
        // Whether a row can be added says whether the other table has its key.
        if let Some(key) = &constraint.pktable {
            let tables = self.relations_named(key);
            tables.into_iter().for_each(|of| self.access(Verb::Read, table(of)));
        }
    }

    fn indexed(&mut self, element: &'a IndexElem, scope: &Scope<'_, 'a>) {
        let of = match element.expr.as_deref() {
            Some(expr) => {
                self.judge(expr, scope);
                self.type_of(Some(expr), scope)
            }
            None => self.type_in(scope, None, &element.name),
        };
        self.compared_by_class(of);
        self.parts(&element.opclassopts, scope);
    }

    fn bound(&mut self, bound: &'a PartitionBoundSpec) {
        let values = bound.listdatums.iter().chain(&bound.lowerdatums).chain(&bound.upperdatums);
        values.for_each(|value| self.judge(value, &Scope::default()));
    }

    fn published(&mut self, object: &'a PublicationObjSpec) {
        let Some(of) = object.pubtable.as_deref() else { return };
        let scope = self.rows_of(of.relation.as_ref(), &[]);
        of.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
    }

    /// It runs whenever somebody writes to the table.
    fn trigger(&mut self, stmt: &'a CreateTrigStmt) {
        self.called_by_name(&stmt.funcname);
        let row = |name| self.named_row(name, stmt.relation.as_ref(), &[]);
        let scope = Scope { entries: vec![row("old"), row("new")], ..Scope::default() };
        stmt.when_clause.iter().for_each(|condition| self.judge(condition, &scope));
    }

    /// A relation with rules cannot be followed.
    fn rule(&mut self, stmt: &'a RuleStmt) {
        let location = stmt.relation.as_ref().map_or(-1, |relation| relation.location);
        self.refuse_at(Reason::RelationRule, location);
        self.unheard(|walk| {
            stmt.where_clause.iter().for_each(|condition| walk.judge(condition, &Scope::default()));
            stmt.actions.iter().for_each(|action| drop(walk.top(action)));
        });
    }

    pub(super) fn body(&mut self, node: &'a Node) {
        match node.node.as_ref() {
            Some(NodeEnum::List(list)) => list.items.iter().for_each(|item| self.body(item)),
            Some(NodeEnum::ReturnStmt(stmt)) => {
                stmt.returnval.iter().for_each(|value| self.judge(value, &Scope::default()));
            }
            _ => drop(self.top(node)),
        }
    }

    /// Walks what is not run now, and cannot be run without being asked for: only its names are kept.
    pub(super) fn unheard(&mut self, walk: impl FnOnce(&mut Self)) {
        let outside = std::mem::take(&mut self.found);
        walk(self);
        let inside = std::mem::replace(&mut self.found, outside);
        self.found.functions.extend(inside.functions);
        self.found.relations.extend(inside.relations);
    }

    /// Its elements are statements, whose unqualified names belong to the new schema.
    fn schema(&mut self, stmt: &'a CreateSchemaStmt) {
        let role = stmt.authrole.as_ref().map_or("", |role| role.rolename.as_str());
        let name = if stmt.schemaname.is_empty() { role } else { &stmt.schemaname };
        if stmt.authrole.is_some() {
            self.access(Verb::Administer, Object::Target);
        }
        let outside = self.creating.replace(name);
        for element in &stmt.schema_elts {
            if !self.top(element).is_counted() {
                self.misunderstood();
            }
        }
        self.creating = outside;
    }

    /// The rows of a relation, with what a definition adds to it.
    fn rows_of(&self, relation: Option<&'a RangeVar>, added: &'a [Node]) -> Scope<'a, 'a> {
        let entries = relation.map(|of| self.named_row(&of.relname, relation, added)).into_iter().collect();
        Scope { entries, ..Scope::default() }
    }

    fn named_row(&self, name: &'a str, relation: Option<&'a RangeVar>, added: &'a [Node]) -> Rc<Entry<'a>> {
        let known = relation.and_then(|relation| self.relations_named(relation).into_iter().next());
        let mut row = known.map(|known| self.columns_of(known)).unwrap_or_default();
        row.append(Row { fields: added.iter().filter_map(new_field).collect(), open: Some(Taint::default()) });
        Rc::new(Entry { name: Some(Cow::Borrowed(name)), relation: known, aliased: known.is_none(), direct: true, row })
    }
}

fn new_field(part: &Node) -> Option<Field<'_>> {
    match part.node.as_ref() {
        Some(NodeEnum::ColumnDef(column)) => {
            Some(Field { name: Some(Cow::Borrowed(&*column.colname)), taint: Taint::default() })
        }
        _ => None,
    }
}
