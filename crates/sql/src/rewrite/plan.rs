//! Where each mask is made: in the statement, or at the wire.
//!
//! A mask that says nothing of the value can always be made in the statement. One that needs a key can only be made at the wire, and
//! only where the value arrives there as it stands; every other use of the column then sees a mask that says nothing. So does what a
//! column decides when policy permits that: the server must see the value, so that it can only be masked where it leaves.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::Transform;

use super::Unmaskable;
use crate::analysis::{Analysis, Key, Outputs, Statement};
use crate::{Catalog, Relation, RelationKind, Usage, mask};

/// One column to mask and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnMask {
    pub oid: u32,
    pub attnum: i16,
    pub transform: Transform,
    /// Policy permits that it decides.
    pub filterable: bool,
}

/// What becomes of one masked column.
enum Fate<'m> {
    Source(&'m Transform),
    /// NULL where it is NULL, and nothing else: it is only counted.
    Counted,
    Wire,
}

/// What becomes of every masked column of a statement.
pub(super) struct Plan<'m> {
    fates: BTreeMap<Key, Fate<'m>>,
    replaced: BTreeSet<u32>,
    /// By statement, and there by position.
    pub(super) wire: Vec<Vec<Option<Key>>>,
}

impl<'m> Plan<'m> {
    pub(super) fn of(analysis: &Analysis, catalog: &Catalog, masks: &'m [ColumnMask]) -> Result<Self, Unmaskable> {
        let masked: BTreeSet<Key> = masks.iter().map(|mask| (mask.oid, mask.attnum)).collect();
        views_are_masked(analysis, &masked)?;
        let counted = |key: &Key| analysis.places.counted.contains(key);
        let mut fates = BTreeMap::new();
        for column in masks {
            let key = (column.oid, column.attnum);
            let fate = match fate(analysis, column)? {
                Fate::Source(_) if counted(&key) && !is_used(analysis, key) => Fate::Counted,
                Fate::Source(_) if counted(&key) => return Err(Unmaskable::Counted),
                other @ (Fate::Source(_) | Fate::Counted | Fate::Wire) => other,
            };
            fates.insert(key, fate);
        }
        let mut replaced: BTreeSet<u32> = fates.keys().map(|(oid, _)| *oid).collect();
        let wire = wire(analysis, &fates);
        if wire.iter().flatten().any(Option::is_some) {
            // Every relation then, so that no change of the schema moves a column to another position.
            let fixed = |oid: u32| catalog.relation_by_oid(oid).is_some_and(|of| of.kind == RelationKind::Sequence);
            replaced.extend(analysis.places.ranges.iter().map(|range| range.oid).filter(|oid| !fixed(*oid)));
        }
        Ok(Self { fates, replaced, wire })
    }

    /// A relation is replaced wherever it is read.
    pub(super) fn is_replaced(&self, oid: u32) -> bool {
        self.replaced.contains(&oid)
    }

    /// The select list of a masking sub-select: every column in order, or those that are named.
    pub(super) fn columns(&self, relation: &Relation, named: &[Box<str>]) -> Result<String, Unmaskable> {
        let is_there = |attnum: &i16| relation.columns.iter().any(|column| column.attnum == *attnum);
        let mut ours = self.fates.keys().filter(|(oid, _)| *oid == relation.oid);
        if ours.any(|(_, attnum)| !is_there(attnum)) {
            return Err(Unmaskable::Stale);
        }
        let find = |name: &str| relation.columns.iter().find(|column| &*column.name == name);
        let columns: Option<Vec<&crate::Column>> = if named.is_empty() {
            Some(relation.columns.iter().collect())
        } else {
            named.iter().map(|name| find(name)).collect()
        };
        let columns = columns.ok_or(Unmaskable::Stale)?;
        let shown: Result<Vec<String>, Unmaskable> =
            columns.into_iter().map(|column| self.column(relation.oid, column)).collect();
        Ok(shown?.join(", "))
    }

    fn column(&self, oid: u32, column: &crate::Column) -> Result<String, Unmaskable> {
        let name = mask::identifier(&column.name);
        match self.fates.get(&(oid, column.attnum)) {
            None | Some(Fate::Wire) => Ok(name),
            Some(Fate::Counted) => Ok(format!("{} AS {name}", mask::countable(column).ok_or(Unmaskable::Counted)?)),
            Some(Fate::Source(transform)) => Ok(format!("{} AS {name}", mask::expression(column, transform)?)),
        }
    }
}

fn usages(analysis: &Analysis, key: Key) -> impl Iterator<Item = Usage> {
    analysis.uses.iter().filter(move |used| (used.oid, used.attnum) == key).map(|used| used.usage)
}

fn is_used(analysis: &Analysis, key: Key) -> bool {
    usages(analysis, key).next().is_some()
}

fn fate<'m>(analysis: &Analysis, column: &'m ColumnMask) -> Result<Fate<'m>, Unmaskable> {
    let key = (column.oid, column.attnum);
    let has = |usage| usages(analysis, key).any(|of| of == usage);
    let (filtered, returned) = (has(Usage::Filter), has(Usage::Return));
    if has(Usage::Leave) {
        return Err(Unmaskable::Leaves);
    }
    if filtered && !column.filterable {
        return Err(Unmaskable::Filtered);
    }
    match (arrives_as_it_is(analysis, key), filtered || returned) {
        (true, true) => Ok(Fate::Wire),
        (false, true) if returned => Err(Unmaskable::Returned),
        (false, true) => Err(Unmaskable::FilteredAndDerived),
        (true, false) if is_keyed(&column.transform) && !has(Usage::Derive) => Ok(Fate::Wire),
        (_, false) if is_keyed(&column.transform) => Ok(Fate::Source(&Transform::Redact)),
        (_, false) if has(Usage::Derive) && says_something(&column.transform) => Ok(Fate::Source(&Transform::Redact)),
        (_, false) => Ok(Fate::Source(&column.transform)),
    }
}

/// A mask that only who has the key can make.
const fn is_keyed(transform: &Transform) -> bool {
    matches!(transform, Transform::Hash | Transform::Token | Transform::Fpe)
}

/// A mask that depends on the value.
const fn says_something(transform: &Transform) -> bool {
    !matches!(transform, Transform::Redact | Transform::Null | Transform::Constant(_))
}

/// Whether every position of every result that carries a column is that column as it stands.
fn arrives_as_it_is(analysis: &Analysis, key: Key) -> bool {
    let bare = |outputs: &Outputs| {
        outputs.columns.iter().filter(|output| output.carries.contains(&key)).all(|output| output.verbatim)
    };
    analysis.statements.iter().all(|statement| statement.outputs.as_ref().is_some_and(bare))
}

fn wire(analysis: &Analysis, fates: &BTreeMap<Key, Fate<'_>>) -> Vec<Vec<Option<Key>>> {
    let at_wire = |key: &&Key| matches!(fates.get(*key), Some(Fate::Wire));
    let one = |statement: &Statement| {
        let columns = statement.outputs.as_ref().map_or(&[][..], |outputs| &outputs.columns);
        let wire: Vec<Option<Key>> =
            columns.iter().map(|output| output.carries.iter().find(at_wire).copied()).collect();
        if wire.iter().any(Option::is_some) { wire } else { Vec::new() }
    };
    analysis.statements.iter().map(one).collect()
}

/// A column of a view stands for the columns that it shows: it must be masked where any of them is.
fn views_are_masked(analysis: &Analysis, masked: &BTreeSet<Key>) -> Result<(), Unmaskable> {
    let bare = |(view, shows): &(Key, Vec<Key>)| !masked.contains(view) && shows.iter().any(|key| masked.contains(key));
    if analysis.places.views.iter().any(bare) { Err(Unmaskable::NotATable) } else { Ok(()) }
}
