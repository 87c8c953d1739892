//! Counts the nodes of a tree without knowing its shape, so that a node the walk did not visit cannot pass unseen.

mod counter;

use std::collections::HashSet;

use pg_query::Node;
use pg_query::protobuf::{AExpr, ColumnRef, FuncCall, RangeVar, SelectStmt, TypeCast};
use serde::Serialize as _;

use counter::Counter;

/// What decides: every relation, function call, column, query block, operator and cast of a statement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Census {
    relations: usize,
    calls: usize,
    columns: usize,
    queries: usize,
    operators: usize,
    casts: usize,
}

impl Census {
    /// What a definition must agree on: it also names relations of which it reads no row.
    pub(crate) const fn of_expressions(self) -> Self {
        Self { relations: 0, ..self }
    }

    /// What any other statement must agree on: settings are cast where no expression stands.
    pub(crate) const fn of_names(self) -> Self {
        Self { operators: 0, casts: 0, ..self }
    }
}

/// The nodes that the walk came by, each once however often it is walked.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    relations: HashSet<*const RangeVar>,
    calls: HashSet<*const FuncCall>,
    columns: HashSet<*const ColumnRef>,
    queries: HashSet<*const SelectStmt>,
    operators: HashSet<*const AExpr>,
    casts: HashSet<*const TypeCast>,
}

impl Visited {
    pub(crate) fn relation(&mut self, node: &RangeVar) {
        self.relations.insert(node);
    }

    pub(crate) fn call(&mut self, node: &FuncCall) {
        self.calls.insert(node);
    }

    pub(crate) fn column(&mut self, node: &ColumnRef) {
        self.columns.insert(node);
    }

    pub(crate) fn operator(&mut self, node: &AExpr) {
        self.operators.insert(node);
    }

    pub(crate) fn cast(&mut self, node: &TypeCast) {
        self.casts.insert(node);
    }

    /// `false` when the block was visited before.
    pub(crate) fn query(&mut self, node: &SelectStmt) -> bool {
        self.queries.insert(node)
    }

    pub(crate) fn census(&self) -> Census {
        Census {
            relations: self.relations.len(),
            calls: self.calls.len(),
            columns: self.columns.len(),
            queries: self.queries.len(),
            operators: self.operators.len(),
            casts: self.casts.len(),
        }
    }
}

/// Counts a statement; `None` when it cannot be counted.
pub(crate) fn count(statement: &Node) -> Option<Census> {
    let mut census = Census::default();
    statement.serialize(Counter::of(&mut census)).ok()?;
    Some(census)
}

/// Every relation that a statement names anywhere, as (schema, name); the schema is empty where it is not given.
pub(crate) fn relations(statement: &Node) -> Option<Vec<(String, String)>> {
    let mut census = Census::default();
    let mut names = Vec::new();
    statement.serialize(Counter::naming(&mut census, &mut names)).ok()?;
    Some(names)
}
