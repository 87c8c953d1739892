//! INSERT, UPDATE, DELETE, MERGE: what they change, and what of it comes back.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::protobuf::{
    DeleteStmt, InsertStmt, MergeStmt, OnConflictClause, RangeVar, ReturningClause, SelectStmt, UpdateStmt,
};
use pg_query::{Node, NodeEnum};

use super::Walk;
use super::mention::Name;
use super::relation::table;
use super::scope::{Entry, Row, Scope};
use super::taint::Taint;
use crate::access::{Object, Usage, Verb};
use crate::analysis::{Kind, Reason};
use crate::dependents::Follows;
use crate::{Relation, RelationKind};

impl<'a> Walk<'a> {
    pub(super) fn changes_rows(&mut self, kind: Kind) {
        self.found.row_changing = true;
        self.found.kinds.insert(kind);
    }

    pub(super) fn insert(&mut self, insert: &'a InsertStmt, outer: &Scope<'_, 'a>) -> Row<'a> {
        self.changes_rows(Kind::Insert);
        let ctes = self.with(insert.with_clause.as_ref(), outer);
        let scope = Scope { parent: Some(outer), entries: Vec::new(), ctes };
        let conflicts = insert.on_conflict_clause.is_some();
        let target = self.changed(insert.relation.as_ref(), if conflicts { &[Follows::Change] } else { &[] });
        let inner = scope.below(target.iter().cloned().collect());
        self.assigned(&insert.cols, &inner);
        match insert.select_stmt.as_deref().map(|query| query.node.as_ref()) {
            None => {}
            Some(Some(NodeEnum::SelectStmt(select))) => {
                let row = self.source(select, &scope);
                self.leave(&row);
            }
            Some(_) => drop(self.misunderstood()),
        }
        if let Some(conflict) = insert.on_conflict_clause.as_deref() {
            self.conflict(conflict, target.as_ref(), &scope);
        }
        self.returning(insert.returning_clause.as_ref(), target.as_ref(), &Row::default(), &inner)
    }

    fn source(&mut self, select: &'a SelectStmt, scope: &Scope<'_, 'a>) -> Taint {
        self.select(select, scope).all()
    }

    /// ON CONFLICT compares the proposed row with rows that are there.
    fn conflict(&mut self, conflict: &'a OnConflictClause, target: Option<&Rc<Entry<'a>>>, outer: &Scope<'_, 'a>) {
        let mut entries: Vec<_> = target.cloned().into_iter().collect();
        if let Some(infer) = conflict.infer.as_deref() {
            let scope = outer.below(entries.clone());
            for element in &infer.index_elems {
                let Some(NodeEnum::IndexElem(element)) = element.node.as_ref() else {
                    self.misunderstood();
                    continue;
                };
                let named = target.map(|entry| entry.row.named(&element.name)).unwrap_or_default();
                self.mentioned(None, Name::Word(&element.name));
                self.filter(&named.any());
                element.expr.iter().for_each(|expr| self.judge(expr, &scope));
            }
            infer.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
        }
        if let Some(target) = target {
            let excluded = Entry {
                name: Some("excluded".into()),
                relation: None,
                aliased: true,
                direct: false,
                row: target.row.clone(),
            };
            entries.push(Rc::new(excluded));
        }
        let scope = outer.below(entries);
        self.assigned(&conflict.target_list, &scope);
        conflict.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
    }

    pub(super) fn update(&mut self, update: &'a UpdateStmt, outer: &Scope<'_, 'a>) -> Row<'a> {
        self.changes_rows(Kind::Update);
        self.found.no_where |= update.where_clause.is_none();
        let ctes = self.with(update.with_clause.as_ref(), outer);
        let scope = Scope { parent: Some(outer), entries: Vec::new(), ctes };
        let target = self.changed(update.relation.as_ref(), &[Follows::Change]);
        let from = self.from(&update.from_clause, &scope);
        let scope = scope.below(target.iter().cloned().chain(from.entries).collect());
        self.assigned(&update.target_list, &scope);
        update.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
        self.returning(update.returning_clause.as_ref(), target.as_ref(), &from.row, &scope)
    }

    pub(super) fn delete(&mut self, delete: &'a DeleteStmt, outer: &Scope<'_, 'a>) -> Row<'a> {
        self.changes_rows(Kind::Delete);
        self.found.no_where |= delete.where_clause.is_none();
        let ctes = self.with(delete.with_clause.as_ref(), outer);
        let scope = Scope { parent: Some(outer), entries: Vec::new(), ctes };
        let target = self.changed(delete.relation.as_ref(), &[Follows::Deletion]);
        let using = self.from(&delete.using_clause, &scope);
        let scope = scope.below(target.iter().cloned().chain(using.entries).collect());
        delete.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
        self.returning(delete.returning_clause.as_ref(), target.as_ref(), &using.row, &scope)
    }

    pub(super) fn merge(&mut self, merge: &'a MergeStmt, outer: &Scope<'_, 'a>) -> Row<'a> {
        self.changes_rows(Kind::Merge);
        let ctes = self.with(merge.with_clause.as_ref(), outer);
        let scope = Scope { parent: Some(outer), entries: Vec::new(), ctes };
        let target = self.changed(merge.relation.as_ref(), &[Follows::Deletion, Follows::Change]);
        let source = match merge.source_relation.as_deref() {
            Some(source) => self.item(source, &[], &scope),
            None => {
                self.misunderstood();
                return Row::default();
            }
        };
        let scope = scope.below(target.iter().cloned().chain(source.entries).collect());
        merge.join_condition.iter().for_each(|condition| self.judge(condition, &scope));
        for clause in &merge.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = clause.node.as_ref() else {
                self.misunderstood();
                continue;
            };
            clause.condition.iter().for_each(|condition| self.judge(condition, &scope));
            self.assigned(&clause.target_list, &scope);
            clause.values.iter().for_each(|value| self.store(value, &scope));
        }
        self.returning(merge.returning_clause.as_ref(), target.as_ref(), &source.row, &scope)
    }

    fn changed(&mut self, relation: Option<&'a RangeVar>, done: &[Follows]) -> Option<Rc<Entry<'a>>> {
        match relation {
            Some(relation) => {
                let target = self.target(relation, Verb::Write)?;
                target.relation.iter().for_each(|relation| self.runs(relation, done));
                Some(Rc::new(target))
            }
            None => {
                self.misunderstood();
                None
            }
        }
    }

    /// Triggers, defaults and checks of a relation whose rows change run with it, and those of the relations whose rows foreign keys
    /// change then. Where columns are tagged, whoever writes is asked for what they call, as in a query: it may bring values from
    /// anywhere.
    pub(super) fn runs(&mut self, relation: &'a Relation, done: &[Follows]) {
        if self.sensitive.is_empty() {
            return;
        }
        let mut written = vec![relation.oid];
        let mut seen = BTreeSet::new();
        while let Some(oid) = written.pop() {
            if !seen.insert(oid) {
                continue;
            }
            written.extend(self.sensitive.view(oid).into_iter().flat_map(|view| &view.reads));
            // A row that changes may move from one part to another: it is deleted and written again.
            let known = self.catalog.relation_by_oid(oid);
            let moves =
                done.contains(&Follows::Change) && known.is_some_and(|known| known.kind == RelationKind::Partitioned);
            let done = if moves { &[Follows::Deletion, Follows::Change] } else { done };
            self.run_by(oid);
            for followed in self.catalog.dependents().follow(oid, done) {
                if self.catalog.relation_by_oid(followed).is_none_or(|known| known.has_rules) {
                    self.refuse(Reason::RelationRule, None);
                }
                self.run_by(followed);
            }
        }
    }

    fn run_by(&mut self, oid: u32) {
        for (schema, function) in self.catalog.dependents().run_by(oid) {
            if (&**schema, &**function) == ("pg_catalog", "set_config") {
                self.refuse(Reason::PinnedSetting, None);
            }
            self.access(Verb::Call, Object::Function(schema.clone(), function.clone()));
        }
    }

    /// Assigned columns: subscripts and values; a value that is stored leaves the broker's sight.
    fn assigned(&mut self, targets: &'a [Node], scope: &Scope<'_, 'a>) {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else {
                self.misunderstood();
                continue;
            };
            for step in &target.indirection {
                match step.node.as_ref() {
                    Some(NodeEnum::String(_)) => {}
                    Some(NodeEnum::AIndices(indices)) => {
                        let bounds = [&indices.lidx, &indices.uidx];
                        bounds.into_iter().flatten().for_each(|bound| self.judge(bound, scope));
                    }
                    _ => drop(self.misunderstood()),
                }
            }
            target.val.iter().for_each(|value| self.store(value, scope));
        }
    }

    /// A value that is stored.
    pub(super) fn store(&mut self, value: &'a Node, scope: &Scope<'_, 'a>) {
        let taint = self.expr(value, scope);
        self.leave(&taint);
    }

    /// RETURNING shows rows of the target itself, which is never rewritten: only the wire can mask them.
    fn returning(
        &mut self,
        returning: Option<&'a ReturningClause>,
        target: Option<&Rc<Entry<'a>>>,
        others: &Row<'a>,
        scope: &Scope<'_, 'a>,
    ) -> Row<'a> {
        let Some(returning) = returning else { return Row::default() };
        if !returning.options.is_empty() {
            self.misunderstood();
        }
        if let Some(relation) = target.and_then(|entry| entry.relation) {
            self.access(Verb::Read, table(relation));
        }
        let mut star = target.map(|entry| entry.row.clone()).unwrap_or_default();
        if !others.fields.is_empty() || others.open.is_some() {
            // MERGE lists the source first, the others last: the order of `*` is not certain.
            star.append(others.clone());
            star.open = Some(star.all());
        }
        let row = self.targets(&returning.exprs, &star, scope);
        self.used(&row.all(), Usage::Return);
        row
    }
}
