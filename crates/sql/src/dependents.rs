//! What else is changed with a relation, and by what.

use std::collections::{BTreeSet, HashMap};

use crate::{ForeignKeyRow, Rows, RunRow};

/// How the relations of a catalog depend on each other.
#[derive(Debug, Default)]
pub(crate) struct Dependents {
    children: HashMap<u32, Vec<u32>>,
    /// By the relation that is referenced.
    referencing: HashMap<u32, Vec<u32>>,
    /// By the relation that is referenced.
    keys: HashMap<u32, Vec<ForeignKeyRow>>,
    generated: Vec<(u32, i16, i16)>,
    /// Functions as (schema, name), by the relation whose rows they run for.
    runs: HashMap<u32, BTreeSet<Function>>,
}

/// What is done to rows, as far as rows of other tables follow.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Follows {
    Deletion,
    Change,
}

/// (schema, name).
type Function = (Box<str>, Box<str>);

impl Dependents {
    pub(crate) fn of(rows: &Rows) -> Self {
        Self {
            children: by_second(rows.inherits.iter().copied()),
            referencing: by_second(rows.references.iter().map(|key| (key.relation, key.referenced))),
            keys: by_referenced(&rows.references),
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

    /// The relations whose rows foreign keys delete or change when it is done to rows of one
    /// (<https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK>).
    pub(crate) fn follow(&self, oid: u32, done: &[Follows]) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let mut followed = BTreeSet::new();
        let mut waiting: Vec<_> = done.iter().map(|done| (oid, *done)).collect();
        while let Some((next, done)) = waiting.pop() {
            if !seen.insert((next, done)) {
                continue;
            }
            waiting.extend(self.children.get(&next).into_iter().flatten().map(|child| (*child, done)));
            for key in self.keys.get(&next).into_iter().flatten() {
                if let Some(action) = action(key, done) {
                    followed.insert(key.relation);
                    waiting.push((key.relation, action));
                }
            }
        }
        followed
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

fn by_second(pairs: impl Iterator<Item = (u32, u32)>) -> HashMap<u32, Vec<u32>> {
    let mut all: HashMap<u32, Vec<u32>> = HashMap::new();
    for (first, second) in pairs {
        all.entry(second).or_default().push(first);
    }
    all
}

fn by_referenced(keys: &[ForeignKeyRow]) -> HashMap<u32, Vec<ForeignKeyRow>> {
    let mut all: HashMap<u32, Vec<ForeignKeyRow>> = HashMap::new();
    for key in keys {
        all.entry(key.referenced).or_default().push(*key);
    }
    all
}

/// What a key does to the rows that refer to one. Anything but `NO ACTION` and `RESTRICT` changes them.
fn action(key: &ForeignKeyRow, done: Follows) -> Option<Follows> {
    match (done, key.on_delete, key.on_update) {
        (Follows::Deletion, 'a' | 'r', _) | (Follows::Change, _, 'a' | 'r') => None,
        (Follows::Deletion, 'c', _) => Some(Follows::Deletion),
        (Follows::Deletion | Follows::Change, ..) => Some(Follows::Change),
    }
}
