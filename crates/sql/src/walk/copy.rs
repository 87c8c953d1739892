//! `COPY`, whose data pass the wire as they are.

use std::collections::BTreeSet;
use std::mem;

use pg_query::Node;
use pg_query::protobuf::{CopyStmt, RangeVar};

use super::scope::{Entry, Row, Scope};
use super::statement::Done;
use super::taint::Taint;
use super::{Walk, words};
use crate::RelationKind;
use crate::access::{Object, Usage, Verb};
use crate::analysis::{Copy, CopyUse, Kind, RangeUse};

impl<'a> Walk<'a> {
    pub(super) fn copy(&mut self, copy: &'a CopyStmt) -> Done {
        if copy.is_program || !copy.filename.is_empty() {
            self.access(Verb::Administer, Object::Target);
        }
        let on_client = !copy.is_program && copy.filename.is_empty();
        if let Some(query) = copy.query.as_deref() {
            self.access(Verb::CopyOut, Object::Target);
            let before = mem::take(&mut self.found.uses);
            self.top(query);
            self.copied_uses(before);
        }
        let verb = if copy.is_from { Verb::CopyIn } else { Verb::CopyOut };
        if let Some(relation) = &copy.relation {
            let target = self.target(relation, verb);
            let row = target.as_ref().map(|entry| entry.row.clone()).unwrap_or_default();
            if copy.is_from {
                self.found.row_changing = true;
                target.iter().filter_map(|entry| entry.relation).for_each(|relation| {
                    self.access(Verb::Write, super::relation::table(relation));
                    self.runs(relation, &[]);
                });
                let scope = Scope::default();
                let scope = scope.below(target.into_iter().map(Into::into).collect());
                copy.where_clause.iter().for_each(|condition| self.judge(condition, &scope));
            } else {
                target.iter().filter_map(|entry| entry.relation).for_each(|relation| {
                    self.access(Verb::Read, super::relation::table(relation));
                });
                self.copied_relation(relation, target.as_ref(), &copied(&row, &copy.attlist), &copy.attlist);
            }
        }
        let way = match (on_client, copy.is_from) {
            (true, true) => Copy::In,
            (true, false) => Copy::Out,
            (false, _) => Copy::None,
        };
        Done { copy: way, ..Done::of(Kind::Copy) }
    }

    /// Copied data passes the wire as it is: what was projected since must be masked where it comes from.
    fn copied_uses(&mut self, before: BTreeSet<(u32, Usage)>) {
        let since = mem::replace(&mut self.found.uses, before);
        let copied = |usage| if usage == Usage::Project { Usage::Derive } else { usage };
        self.found.uses.extend(since.into_iter().map(|(id, usage)| (id, copied(usage))));
    }

    /// `COPY relation TO` can become a query of a table, which may then be masked like any other.
    fn copied_relation(&mut self, var: &RangeVar, entry: Option<&Entry<'a>>, carries: &Taint, columns: &'a [Node]) {
        let Some(relation) = entry.and_then(|entry| entry.relation) else { return };
        let columns: Option<Vec<Box<str>>> = words(columns).map(|names| names.into_iter().map(Into::into).collect());
        match (relation.kind, usize::try_from(var.location), columns) {
            (RelationKind::Table, Ok(at), Some(columns)) => {
                self.used(carries, Usage::Derive);
                self.found.ranges.insert(RangeUse { at, oid: relation.oid, aliased: true });
                self.found.copies.insert(CopyUse { at, columns });
            }
            _ => self.leave(carries),
        }
    }
}

/// What the copied columns carry; all of them where the list is empty or not certain.
fn copied(row: &Row<'_>, columns: &[Node]) -> Taint {
    match words(columns) {
        Some(names) if !names.is_empty() && row.open.is_none() => {
            names.iter().fold(Taint::default(), |taint, name| taint.with(&row.named(name).any()))
        }
        _ => row.all(),
    }
}
