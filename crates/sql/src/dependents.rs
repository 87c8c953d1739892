//! What else is changed with a relation, and by what.

use std::collections::{BTreeSet, HashMap};

use crate::Rows;

/// How the relations of a catalog depend on each other.
#[derive(Debug, Default)]
pub(crate) struct Dependents {
    children: HashMap<u32, Vec<u32>>,
    /// By the relation that is referenced.
    referencing: HashMap<u32, Vec<u32>>,
    generated: Vec<(u32, i16, i16)>,
}

impl Dependents {
    pub(crate) fn of(rows: &Rows) -> Self {
        Self {
            children: by_second(&rows.inherits),
            referencing: by_second(&rows.references),
            generated: rows.generated.clone(),
        }
    }

    /// (relation, generated column, column that it is made of).
    pub(crate) fn generated(&self) -> &[(u32, i16, i16)] {
        &self.generated
    }

    /// What `TRUNCATE … CASCADE` of a relation empties: itself, its children, whatever refers to one of them, and so on
    /// (<https://www.postgresql.org/docs/current/sql-truncate.html>).
    pub(crate) fn truncated_with(&self, oid: u32) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let mut waiting = vec![oid];
        while let Some(next) = waiting.pop() {
            if all.insert(next) {
                let more = [&self.children, &self.referencing].into_iter().filter_map(|of| of.get(&next));
                waiting.extend(more.flatten());
            }
        }
        all
    }
}

fn by_second(pairs: &[(u32, u32)]) -> HashMap<u32, Vec<u32>> {
    let mut all: HashMap<u32, Vec<u32>> = HashMap::new();
    for (first, second) in pairs {
        all.entry(*second).or_default().push(*first);
    }
    all
}
