//! Grouping, ordering, DISTINCT and windows: everything here decides.

use std::borrow::Cow;

use pg_query::protobuf::{WindowDef, a_const};
use pg_query::{Node, NodeEnum};

use super::scope::{Row, Scope};
use super::taint::Taint;
use super::{Walk, word};

impl<'a> Walk<'a> {
    /// ORDER BY: output names and positions, or expressions.
    pub(super) fn order(&mut self, items: &'a [Node], output: &Row<'a>, scope: &Scope<'_, 'a>) {
        for item in items {
            match item.node.as_ref() {
                Some(NodeEnum::SortBy(sort)) => {
                    if !sort.use_op.is_empty() {
                        self.operator(&sort.use_op);
                    }
                    match sort.node.as_deref() {
                        Some(value) => self.key(value, output, scope),
                        None => drop(self.misunderstood()),
                    }
                }
                _ => drop(self.misunderstood()),
            }
        }
    }

    /// GROUP BY with its sets.
    pub(super) fn group(&mut self, items: &'a [Node], output: &Row<'a>, scope: &Scope<'_, 'a>) {
        for item in items {
            match item.node.as_ref() {
                Some(NodeEnum::GroupingSet(set)) => self.group(&set.content, output, scope),
                Some(NodeEnum::RowExpr(row)) => self.group(&row.args, output, scope),
                _ => self.key(item, output, scope),
            }
        }
    }

    /// DISTINCT compares the whole output; DISTINCT ON its keys, which decide what the rest shows.
    pub(super) fn distinct(&mut self, items: &'a [Node], output: &Row<'a>, scope: &Scope<'_, 'a>) {
        for item in items {
            if item.node.is_none() {
                self.filter(&output.all());
            } else {
                self.key(item, output, scope);
            }
        }
    }

    /// A window: its partitions, order and frame.
    pub(super) fn window(&mut self, window: &'a WindowDef, scope: &Scope<'_, 'a>) {
        let offsets = [&window.start_offset, &window.end_offset];
        let parts = window.partition_clause.iter().chain(offsets.into_iter().filter_map(Option::as_deref));
        parts.for_each(|part| self.judge(part, scope));
        self.order(&window.order_clause, &Row::default(), scope);
    }

    /// One key: a position, the name of an output column, or an expression.
    fn key(&mut self, value: &'a Node, output: &Row<'a>, scope: &Scope<'_, 'a>) {
        let mut taint = Taint::default();
        match value.node.as_ref() {
            Some(NodeEnum::AConst(constant)) => {
                if let Some(a_const::Val::Ival(position)) = &constant.val {
                    let position = usize::try_from(position.ival).ok().and_then(|position| position.checked_sub(1));
                    taint.add(&position.map_or_else(|| output.all(), |position| output.at(position)));
                }
            }
            Some(NodeEnum::ColumnRef(column)) if column.fields.len() == 1 => {
                let name = column.fields.first().and_then(word);
                let is_output = |name: &str| output.fields.iter().any(|f| f.name == Some(Cow::Borrowed(name)));
                let found = name.map(|name| output.named(name)).unwrap_or_default();
                taint.add(&found.sure.iter().chain(&found.maybe).collect());
                if name.is_some_and(is_output) && scope.entries.is_empty() {
                    self.visited.column(column);
                } else {
                    taint.add(&self.expr(value, scope));
                }
            }
            _ => taint.add(&self.expr(value, scope)),
        }
        self.filter(&taint);
    }
}
