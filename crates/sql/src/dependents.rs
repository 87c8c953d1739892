//! What else is changed with a relation, and by what.

use std::collections::{BTreeSet, HashMap};

use crate::{Rows, RunRow};

/// How the relations of a catalog depend on each other.
#[derive(Debug, Default)]
pub(crate) struct Dependents {
    children: HashMap<u32, Vec<u32>>,
    /// By the relation that is referenced.
    referencing: HashMap<u32, Vec<u32>>,
    generated: Vec<(u32, i16, i16)>,
    /// Functions as (schema, name), by the relation whose rows they run for.
    runs: HashMap<u32, BTreeSet<Function>>,
}

/// (schema, name).
type Function = (Box<str>, Box<str>);

impl Dependents {
    pub(crate) fn of(rows: &Rows) -> Self {
        Self {
            children: by_second(&rows.inherits),
            referencing: by_second(&rows.references),
            generated: rows.generated.clone(),
            runs: HashMap::new(),
        }
    }

    /// Adds functions that are not known to be harmless.
    pub(crate) fn run(&mut self, rows: Vec<RunRow>) {
        for row in rows {
            self.runs.entry(row.relation).or_default().insert((row.schema.into(), row.function.into()));
        }
    }

    /// Functions that may run when rows of a relation are written, which may be rows of its children.
    pub(crate) fn run_by(&self, oid: u32) -> BTreeSet<&Function> {
        let all = reached(oid, &[&self.children]);
        all.iter().filter_map(|oid| self.runs.get(oid)).flatten().collect()
    }

    /// (relation, generated column, column that it is made of).
    pub(crate) fn generated(&self) -> &[(u32, i16, i16)] {
        &self.generated
    }

    /// What `TRUNCATE … CASCADE` of a relation empties: itself, its children, whatever refers to one of them, and so on
    /// (<https://www.postgresql.org/docs/current/sql-truncate.html>).
    pub(crate) fn truncated_with(&self, oid: u32) -> BTreeSet<u32> {
        reached(oid, &[&self.children, &self.referencing])
    }
}

/// A relation, and whatever these lead to from it.
fn reached(oid: u32, ways: &[&HashMap<u32, Vec<u32>>]) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut waiting = vec![oid];
    while let Some(next) = waiting.pop() {
        if all.insert(next) {
            waiting.extend(ways.iter().filter_map(|way| way.get(&next)).flatten());
        }
    }
    all
}

fn by_second(pairs: &[(u32, u32)]) -> HashMap<u32, Vec<u32>> {
    let mut all: HashMap<u32, Vec<u32>> = HashMap::new();
    for (first, second) in pairs {
        all.entry(*second).or_default().push(*first);
    }
    all
}
