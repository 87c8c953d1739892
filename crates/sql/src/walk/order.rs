//! Grouping, ordering, DISTINCT and windows: everything here decides.

use pg_query::protobuf::{ColumnRef, WindowDef, a_const};
use pg_query::{Node, NodeEnum};

use super::implied::Type;
use super::scope::{Found, Row, Scope};
use super::taint::Taint;
use super::{Walk, word};
use crate::access::Usage;

impl<'a> Walk<'a> {
    /// ORDER BY: output names and positions, or expressions.
    pub(super) fn order(&mut self, items: &'a [Node], output: &Row<'a>, scope: &Scope<'_, 'a>) {
        for item in items {
            match item.node.as_ref() {
                Some(NodeEnum::SortBy(sort)) => {
                    if !sort.use_op.is_empty() {
                        self.operator(&sort.use_op, Type::Unknown, Type::Unknown);
                    }
                    match sort.node.as_deref() {
                        Some(value) => self.key(value, output, scope, First::Output),
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
                _ => self.key(item, output, scope, First::Input),
            }
        }
    }

    /// DISTINCT compares the whole output; DISTINCT ON its keys, which decide what the rest shows.
    pub(super) fn distinct(&mut self, items: &'a [Node], output: &Row<'a>, scope: &Scope<'_, 'a>) {
        for item in items {
            if item.node.is_none() {
                // What the client sees is distinct then, and the mask is in it.
                let usage = if self.shown { Usage::Derive } else { Usage::Filter };
                self.used(&output.all(), usage);
                self.compared_by_class(Type::Unknown);
            } else {
                self.key(item, output, scope, First::Output);
            }
        }
    }

    /// A window: its partitions, order and frame.
    pub(super) fn window(&mut self, window: &'a WindowDef, scope: &Scope<'_, 'a>) {
        let offsets = [&window.start_offset, &window.end_offset];
        let parts = window.partition_clause.iter().chain(offsets.into_iter().filter_map(Option::as_deref));
        for part in parts {
            let of = self.type_of(Some(part), scope);
            self.compared_by_class(of);
            self.judge(part, scope);
        }
        self.order(&window.order_clause, &Row::default(), scope);
    }

    /// One key: a position, the name of an output column, or an expression.
    fn key(&mut self, value: &'a Node, output: &Row<'a>, scope: &Scope<'_, 'a>, first: First) {
        let is_position = matches!(value.node, Some(NodeEnum::AConst(_)));
        let of = if is_position { Type::Unknown } else { self.type_of(Some(value), scope) };
        self.compared_by_class(of);
        let taint = match value.node.as_ref() {
            Some(NodeEnum::AConst(constant)) => match &constant.val {
                Some(a_const::Val::Ival(position)) => {
                    let position = usize::try_from(position.ival).ok().and_then(|position| position.checked_sub(1));
                    position.map_or_else(|| output.all(), |position| output.at(position))
                }
                _ => Taint::default(),
            },
            Some(NodeEnum::ColumnRef(column)) if column.fields.len() == 1 => {
                self.name_key(column, output, scope, first)
            }
            _ => self.expr(value, scope),
        };
        self.filter(&taint);
    }

    /// A bare name: GROUP BY looks at the columns of FROM before those of the output, ORDER BY and DISTINCT ON only at the output.
    fn name_key(&mut self, column: &'a ColumnRef, output: &Row<'a>, scope: &Scope<'_, 'a>, first: First) -> Taint {
        let found = column.fields.first().and_then(word).map(|name| (name, output.named(name)));
        if let Some((name, Found { sure: Some(sure), .. })) = &found {
            let in_from = scope.entries.iter().map(|entry| entry.row.named(name));
            let hidden = in_from.into_iter().any(|column| column.sure.is_some() || column.maybe.is_some());
            if first == First::Output || !hidden {
                self.visited.column(column);
                return sure.clone().with(&output.named(name).any());
            }
        }
        let output = found.map(|(_, found)| found.any()).unwrap_or_default();
        self.column(column, scope).with(&output)
    }
}

/// What a bare name is looked up in first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum First {
    Output,
    Input,
}
