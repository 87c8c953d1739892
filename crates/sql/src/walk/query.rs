//! SELECT, VALUES, set operations and WITH.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::protobuf::{CommonTableExpr, IntoClause, ResTarget, SelectStmt, SetOperation, WithClause};
use pg_query::{Node, NodeEnum};

use super::implied::Type;
use super::relation::table;
use super::scope::{Cte, Entry, Field, Row, Scope};
use super::taint::Taint;
use super::{MAX_OUTPUT_COLUMNS, Walk, words};
use crate::access::{Object, Verb};
use crate::analysis::{Kind, RangeUse, Reason};

/// How often a recursive query is walked before its columns are no longer told apart.
const MAX_PASSES: usize = 3;

impl<'a> Walk<'a> {
    /// A query block with everything around it.
    pub(super) fn select(&mut self, select: &'a SelectStmt, outer: &Scope<'_, 'a>) -> Row<'a> {
        if !self.step() {
            return Row::default();
        }
        self.visited.query(select);
        let shown = std::mem::take(&mut self.shown);
        let before = (!select.locking_clause.is_empty()).then(|| {
            self.charge(self.found.ranges.len());
            self.found.ranges.clone()
        });
        let scope =
            Scope { parent: Some(outer), entries: Vec::new(), ctes: self.with(select.with_clause.as_ref(), outer) };
        let row = match SetOperation::try_from(select.op) {
            Ok(SetOperation::SetopNone) if select.values_lists.is_empty() => self.block(select, &scope, shown),
            Ok(SetOperation::SetopNone) => self.values(select, &scope),
            Ok(SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept) => {
                self.set_operation(select, &scope)
            }
            Ok(SetOperation::Undefined) | Err(_) => Row::unknown(self.misunderstood()),
        };
        for limit in [&select.limit_offset, &select.limit_count].into_iter().flatten() {
            self.judge(limit, &scope);
        }
        if let Some(before) = before {
            self.lock_rows(&before);
        }
        if let Some(into) = select.into_clause.as_deref() {
            self.becomes_table(into, &row);
        }
        row
    }

    fn set_operation(&mut self, select: &'a SelectStmt, scope: &Scope<'_, 'a>) -> Row<'a> {
        let (Some(left), Some(right)) = (select.larg.as_deref(), select.rarg.as_deref()) else {
            return Row::unknown(self.misunderstood());
        };
        let mut row = self.select(left, scope);
        let other = self.select(right, scope);
        row.merge(&other);
        if !select.all || select.op != SetOperation::SetopUnion as i32 {
            self.filter(&row.all());
            self.compared_by_class(Type::Unknown);
        }
        let outputs = Scope { parent: Some(scope), ..Scope::default() };
        self.order(&select.sort_clause, &row, &outputs);
        row
    }

    fn values(&mut self, select: &'a SelectStmt, scope: &Scope<'_, 'a>) -> Row<'a> {
        let mut result: Option<Row<'a>> = None;
        for list in &select.values_lists {
            let Some(NodeEnum::List(list)) = list.node.as_ref() else {
                return Row::unknown(self.misunderstood());
            };
            let mut row = Row::default();
            for (at, item) in list.items.iter().enumerate() {
                let taint = self.expr(item, scope);
                row.fields.push(Field { name: Some(Cow::Owned(format!("column{}", at + 1))), taint });
            }
            match &mut result {
                Some(result) => result.merge(&row),
                None => result = Some(row),
            }
        }
        let row = result.unwrap_or_default();
        self.order(&select.sort_clause, &row, scope);
        row
    }

    fn block(&mut self, select: &'a SelectStmt, outer: &Scope<'_, 'a>, shown: bool) -> Row<'a> {
        let from = self.from(&select.from_clause, outer);
        let scope = outer.below(from.entries);
        if let Some(condition) = &select.where_clause {
            self.judge(condition, &scope);
        }
        self.shown = shown;
        let row = self.targets(&select.target_list, &from.row, &scope);
        self.shown = false;
        self.group(&select.group_clause, &row, &scope);
        if let Some(condition) = &select.having_clause {
            self.judge(condition, &scope);
        }
        for window in &select.window_clause {
            match window.node.as_ref() {
                Some(NodeEnum::WindowDef(window)) => self.window(window, &scope),
                _ => drop(self.misunderstood()),
            }
        }
        self.shown = shown;
        self.distinct(&select.distinct_clause, &row, &scope);
        self.shown = false;
        self.order(&select.sort_clause, &row, &scope);
        row
    }

    /// The output list; `star` is what `*` stands for.
    pub(super) fn targets(&mut self, targets: &'a [Node], star: &Row<'a>, scope: &Scope<'_, 'a>) -> Row<'a> {
        let mut row = Row::default();
        for target in targets {
            match target.node.as_ref() {
                Some(NodeEnum::ResTarget(target)) => self.output(target, star, scope, &mut row),
                _ => drop(self.misunderstood()),
            }
            if row.fields.len() > MAX_OUTPUT_COLUMNS {
                self.exhaust();
                return Row::default();
            }
        }
        row
    }

    fn output(&mut self, target: &'a ResTarget, star: &Row<'a>, scope: &Scope<'_, 'a>, row: &mut Row<'a>) {
        let Some(value) = target.val.as_deref() else {
            self.misunderstood();
            return;
        };
        if !target.indirection.is_empty() {
            self.misunderstood();
        }
        if let Some(expanded) = self.expand(value, star, scope) {
            row.append(expanded);
            return;
        }
        let taint = self.expr(value, scope);
        let name = if target.name.is_empty() { output_name(value) } else { Some(Cow::Borrowed(&*target.name)) };
        row.fields.push(Field { name, taint });
    }

    /// What `*`, `t.*` or `(x).*` stands for in an output list.
    fn expand(&mut self, value: &'a Node, star: &Row<'a>, scope: &Scope<'_, 'a>) -> Option<Row<'a>> {
        match value.node.as_ref() {
            Some(NodeEnum::ColumnRef(column)) if ends_with_star(&column.fields) => {
                self.visited.column(column);
                let names = column.fields.split_last().map_or(&[][..], |(_, names)| names);
                if names.is_empty() {
                    self.mentioned_star(&scope.entries);
                    return Some(if self.charge(star.fields.len()) { star.clone() } else { Row::default() });
                }
                Some(self.star_of(names, column.location, scope))
            }
            Some(NodeEnum::AIndirection(indirection)) if ends_with_star(&indirection.indirection) => {
                Some(Row::unknown(self.expr(value, scope)))
            }
            _ => None,
        }
    }

    /// The queries of a WITH, in order.
    pub(super) fn with(&mut self, with: Option<&'a WithClause>, outer: &Scope<'_, 'a>) -> Vec<Rc<Cte<'a>>> {
        let Some(with) = with else { return Vec::new() };
        let mut known: Vec<Rc<Cte<'a>>> = Vec::new();
        let queries: Vec<_> = with
            .ctes
            .iter()
            .filter_map(|node| match node.node.as_ref() {
                Some(NodeEnum::CommonTableExpr(cte)) => Some(&**cte),
                _ => {
                    self.misunderstood();
                    None
                }
            })
            .collect();
        for (at, cte) in queries.iter().enumerate() {
            let row = if with.recursive {
                let mut seen = known.clone();
                let later = queries.iter().skip(at + 1);
                // With RECURSIVE a later name hides a table of that name in every query of the list.
                seen.splice(0..0, later.map(|later| Rc::new(Cte { name: &later.ctename, row: None })));
                self.recursive(cte, seen, outer)
            } else {
                let scope = Scope { parent: Some(outer), entries: Vec::new(), ctes: known.clone() };
                self.cte(cte, &scope)
            };
            known.push(Rc::new(Cte { name: &cte.ctename, row: Some(row) }));
        }
        known
    }

    /// A query that may read itself: what a pass finds its columns carry, they carry in the next, until nothing is added.
    fn recursive(&mut self, cte: &'a CommonTableExpr, seen: Vec<Rc<Cte<'a>>>, outer: &Scope<'_, 'a>) -> Row<'a> {
        let itself = |row| Rc::new(Cte { name: &cte.ctename, row: Some(row) });
        let mut scope = Scope { parent: Some(outer), entries: Vec::new(), ctes: seen };
        scope.ctes.push(itself(Row::unknown(Taint::default())));
        let mut row = self.first_term(cte, &scope);
        for _ in 0..MAX_PASSES {
            scope.ctes.pop();
            scope.ctes.push(itself(row.clone()));
            let mut next = self.cte(cte, &scope);
            next.merge(&row);
            if next == row {
                return row;
            }
            row = next;
        }
        // Every column carrying everything is a fixed point of any query over them.
        scope.ctes.pop();
        scope.ctes.push(itself(row.blurred()));
        self.cte(cte, &scope).blurred()
    }

    /// The term of a recursive query that does not read itself; it names and counts the columns.
    fn first_term(&mut self, cte: &'a CommonTableExpr, scope: &Scope<'_, 'a>) -> Row<'a> {
        let query = cte.ctequery.as_deref().and_then(|query| query.node.as_ref());
        let row = match query {
            Some(NodeEnum::SelectStmt(select)) if let Some(first) = select.larg.as_deref() => {
                let ctes = self.with(select.with_clause.as_ref(), scope);
                self.select(first, &Scope { parent: Some(scope), entries: Vec::new(), ctes })
            }
            _ => self.cte(cte, scope),
        };
        row.renamed(words(&cte.aliascolnames).unwrap_or_default().into_iter().map(Cow::Borrowed).collect())
    }

    fn cte(&mut self, cte: &'a CommonTableExpr, scope: &Scope<'_, 'a>) -> Row<'a> {
        let query = cte.ctequery.as_deref().and_then(|query| query.node.as_ref());
        let row = match query {
            Some(NodeEnum::SelectStmt(select)) => self.select(select, scope),
            Some(NodeEnum::InsertStmt(insert)) => self.insert(insert, scope),
            Some(NodeEnum::UpdateStmt(update)) => self.update(update, scope),
            Some(NodeEnum::DeleteStmt(delete)) => self.delete(delete, scope),
            Some(NodeEnum::MergeStmt(merge)) => self.merge(merge, scope),
            _ => Row::unknown(self.misunderstood()),
        };
        let names = words(&cte.aliascolnames).unwrap_or_default();
        let mut row = row.renamed(names.into_iter().map(Cow::Borrowed).collect());
        if cte.search_clause.is_some() || cte.cycle_clause.is_some() {
            // Ordering and cycle marks are computed from columns of the query, and become columns of it.
            let all = row.all();
            self.filter(&all);
            row.open = Some(all);
            for value in cte.cycle_clause.iter().flat_map(|cycle| [&cycle.cycle_mark_value, &cycle.cycle_mark_default])
            {
                value.iter().for_each(|value| self.judge(value, scope));
            }
        }
        row
    }

    /// Rows that are locked are written, whichever table below the block they come from.
    fn lock_rows(&mut self, before: &BTreeSet<RangeUse>) {
        self.found.locks_rows = true;
        let locked = self.found.ranges.difference(before);
        let tables: Vec<_> = locked.filter_map(|range| self.catalog.relation_by_oid(range.oid)).collect();
        for relation in tables {
            self.access(Verb::Write, table(relation));
        }
    }

    /// A query whose rows become a table.
    pub(super) fn becomes_table(&mut self, into: &'a IntoClause, row: &Row<'a>) {
        self.leave(&row.all());
        self.found.kinds.insert(Kind::Define);
        match &into.rel {
            Some(relation) => {
                self.visited.relation(relation);
                self.define_in(&relation.schemaname);
            }
            None => self.access(Verb::Define, Object::Target),
        }
        if into.view_query.is_some() {
            self.misunderstood();
        }
    }

    /// Names and refuses a use of the current row of a cursor.
    pub(super) fn current_of(&mut self) -> Taint {
        self.refuse(Reason::CurrentOf, None);
        Taint::default()
    }

    /// A subquery in FROM, or any query whose rows are its value.
    pub(super) fn subquery(&mut self, query: Option<&'a Node>, scope: &Scope<'_, 'a>) -> Row<'a> {
        match query.and_then(|query| query.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => self.select(select, scope),
            _ => Row::unknown(self.misunderstood()),
        }
    }
}

/// Whether a dotted name ends in `*`.
pub(super) fn ends_with_star(fields: &[Node]) -> bool {
    fields.last().is_some_and(|last| matches!(last.node, Some(NodeEnum::AStar(_))))
}

/// The name that the server gives an output column without one; `None` where that is not certain.
fn output_name(value: &Node) -> Option<Cow<'_, str>> {
    match value.node.as_ref() {
        Some(NodeEnum::ColumnRef(column)) => super::word(column.fields.last()?).map(Cow::Borrowed),
        Some(NodeEnum::FuncCall(call)) => super::word(call.funcname.last()?).map(Cow::Borrowed),
        Some(NodeEnum::TypeCast(cast)) => output_name(cast.arg.as_deref()?),
        _ => None,
    }
}

/// An entry whose columns can only be named bare.
pub(super) fn unnamed(row: Row<'_>) -> Entry<'_> {
    Entry { name: None, relation: None, aliased: true, direct: false, row }
}
