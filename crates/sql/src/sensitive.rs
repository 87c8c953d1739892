//! Which columns carry tags, and what views show of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::access::{Access, ColumnUse, Usage, Verb};
use crate::analysis::{Key, Reason};
use crate::walk::{Taint, Walk};
use crate::{Catalog, NoPrepared, Relation, RelationKind, read};

/// The sensitive columns of one catalog snapshot. Columns are found by (oid, attnum) in constant time.
#[derive(Debug, Default)]
pub struct Sensitive {
    columns: Vec<SensitiveColumn>,
    by_column: HashMap<(u32, i16), u32>,
    by_relation: HashMap<u32, Vec<u32>>,
    views: HashMap<u32, View>,
}

/// One sensitive column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SensitiveColumn {
    pub oid: u32,
    pub attnum: i16,
    pub schema: Box<str>,
    pub table: Box<str>,
    pub column: Box<str>,
    /// The patterns it matches, by their position in what was given to [`Sensitive::resolve`]; also those of the columns it is
    /// filled from: the same column of parents and children, what a generated column is made of, and what a view or materialised
    /// view shows in it. A use of a column
    /// of a view is listed beside the uses of the columns that it shows.
    pub patterns: Vec<usize>,
}

/// A pattern that matches no column.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no column matches `{pattern}`")]
pub struct Missing {
    /// Its position in what was given.
    pub index: usize,
    pub pattern: String,
}

/// What a view shows.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What each of its columns carries, in their order.
    pub(crate) columns: Vec<Taint>,
    /// The same, by their numbers.
    shows: BTreeMap<i16, Taint>,
    /// The relations that it names, which a write to it may write to.
    pub(crate) reads: Vec<u32>,
    /// What decides which rows it has.
    pub(crate) decides: Taint,
    /// What reading it does besides reading.
    pub(crate) accesses: Vec<Access>,
    pub(crate) touches_sensitive: bool,
}

/// The tagged columns found so far, with their patterns.
type Tagged = BTreeMap<(u32, i16), BTreeSet<usize>>;

impl Sensitive {
    /// Finds the columns that patterns name. A pattern is `schema.table.column`; `*` stands for any run of characters in a part.
    ///
    /// # Errors
    /// When a pattern matches nothing: a policy whose column is gone protects nothing.
    pub fn resolve<P: AsRef<str>>(catalog: &Catalog, patterns: &[P]) -> Result<Self, Vec<Missing>> {
        let mut tagged = Tagged::new();
        let mut missing = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let before = tagged.values().map(BTreeSet::len).sum::<usize>();
            tag(catalog, pattern.as_ref(), index, &mut tagged);
            if tagged.values().map(BTreeSet::len).sum::<usize>() == before {
                missing.push(Missing { index, pattern: pattern.as_ref().to_owned() });
            }
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        spread(catalog, &mut tagged);
        let mut sensitive = Self::default();
        for ((oid, attnum), patterns) in tagged {
            sensitive.insert(catalog, oid, attnum, &patterns);
        }
        sensitive.follow_views(catalog);
        Ok(sensitive)
    }

    fn insert(&mut self, catalog: &Catalog, oid: u32, attnum: i16, patterns: &BTreeSet<usize>) {
        let Some((relation, column)) = catalog.relation_by_oid(oid).zip(catalog.column(oid, attnum)) else { return };
        if let Some(known) = self.by_column.get(&(oid, attnum)).copied() {
            if let Some(known) = usize::try_from(known).ok().and_then(|known| self.columns.get_mut(known)) {
                let all: BTreeSet<_> = known.patterns.iter().chain(patterns).copied().collect();
                known.patterns = all.into_iter().collect();
            }
            return;
        }
        let Ok(id) = u32::try_from(self.columns.len()) else { return };
        self.columns.push(SensitiveColumn {
            oid,
            attnum,
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            column: column.name.clone(),
            patterns: patterns.iter().copied().collect(),
        });
        self.by_column.insert((oid, attnum), id);
        self.by_relation.entry(oid).or_default().push(id);
    }

    /// Follows view after view until no further one can be: a view of views waits for those.
    fn follow_views(&mut self, catalog: &Catalog) {
        let is_view = |relation: &&Relation| matches!(relation.kind, RelationKind::View | RelationKind::Materialized);
        let mut waiting: Vec<&Relation> = catalog.relations().into_iter().filter(is_view).collect();
        loop {
            let before = waiting.len();
            waiting.retain(|relation| match self.follow(catalog, relation) {
                Followed::Known(view) => {
                    self.settle(catalog, relation, view);
                    false
                }
                Followed::Waits => true,
                Followed::Opaque => false,
            });
            if waiting.is_empty() || waiting.len() == before {
                return;
            }
        }
    }

    fn follow(&self, catalog: &Catalog, relation: &Relation) -> Followed {
        let Some(definition) = relation.definition.as_deref() else { return Followed::Opaque };
        let Ok(tree) = read::parse(definition) else { return Followed::Opaque };
        let [statement] = tree.stmts.as_slice() else { return Followed::Opaque };
        let Some(query) = statement.stmt.as_deref() else { return Followed::Opaque };
        let (row, found) = Walk::new(catalog, self, &NoPrepared, &[]).view(query);
        if found.refusals.iter().any(|refused| refused.reason == Reason::OpaqueView) {
            return Followed::Waits;
        }
        if !found.refusals.is_empty() {
            return Followed::Opaque;
        }
        let columns: Vec<Taint> = (0..relation.columns.len()).map(|at| row.at(at)).collect();
        let all = row.all();
        let exact = row.open.is_none() && row.fields.len() == relation.columns.len();
        let columns = if exact { columns } else { vec![all; relation.columns.len()] };
        let decides = found.uses.iter().filter(|(_, usage)| *usage == Usage::Filter);
        let decides = decides.fold(Taint::default(), |taint, (id, _)| taint.with(&Taint::of(*id)));
        let own = |access: &Access| !matches!(access.verb, Verb::Read | Verb::Describe);
        Followed::Known(View {
            touches_sensitive: !decides.is_empty() || columns.iter().any(|taint| !taint.is_empty()),
            shows: relation.columns.iter().map(|column| column.attnum).zip(columns.iter().cloned()).collect(),
            columns,
            decides,
            reads: found.reads(),
            accesses: found.accesses.into_iter().filter(own).collect(),
        })
    }

    /// A materialised view holds what it read: its columns become sensitive themselves.
    fn settle(&mut self, catalog: &Catalog, relation: &Relation, view: View) {
        if relation.kind == RelationKind::Materialized {
            // What a function of unknown behaviour put into it may be anything.
            let anything = !view.accesses.is_empty();
            for (column, taint) in relation.columns.iter().zip(&view.columns) {
                let patterns = if anything {
                    self.columns.iter().flat_map(|column| column.patterns.iter().copied()).collect()
                } else {
                    self.patterns_of(&taint.clone().with(&view.decides))
                };
                if !patterns.is_empty() {
                    self.insert(catalog, relation.oid, column.attnum, &patterns);
                }
            }
            self.views.insert(relation.oid, View::default());
            return;
        }
        for (column, taint) in relation.columns.iter().zip(&view.columns) {
            let patterns = self.patterns_of(taint);
            if !patterns.is_empty() {
                self.insert(catalog, relation.oid, column.attnum, &patterns);
            }
        }
        self.views.insert(relation.oid, view);
    }

    fn patterns_of(&self, taint: &Taint) -> BTreeSet<usize> {
        let columns = taint.marks().iter().filter_map(|mark| self.by_id(mark.column));
        columns.flat_map(|column| column.patterns.iter().copied()).collect()
    }

    /// The sensitive column at a relation's oid and a column's number, as a `RowDescription` names it.
    #[must_use]
    pub fn get(&self, oid: u32, attnum: i16) -> Option<&SensitiveColumn> {
        self.by_id(self.id(oid, attnum)?)
    }

    /// Every sensitive column.
    #[must_use]
    pub fn columns(&self) -> &[SensitiveColumn] {
        &self.columns
    }

    /// Nothing is sensitive.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(crate) fn id(&self, oid: u32, attnum: i16) -> Option<u32> {
        self.by_column.get(&(oid, attnum)).copied()
    }

    fn by_id(&self, id: u32) -> Option<&SensitiveColumn> {
        self.columns.get(usize::try_from(id).ok()?)
    }

    pub(crate) fn key(&self, id: u32) -> Option<(u32, i16)> {
        self.by_id(id).map(|column| (column.oid, column.attnum))
    }

    pub(crate) fn in_relation(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.by_relation.get(&oid).into_iter().flatten().copied()
    }

    pub(crate) fn view(&self, oid: u32) -> Option<&View> {
        self.views.get(&oid)
    }

    /// A column of a view with the columns that it shows.
    pub(crate) fn shown_by(&self, id: u32) -> Option<(Key, Vec<Key>)> {
        let column = self.by_id(id)?;
        let shows = self.views.get(&column.oid)?.shows.get(&column.attnum)?;
        Some(((column.oid, column.attnum), shows.marks().iter().filter_map(|mark| self.key(mark.column)).collect()))
    }

    pub(crate) fn column_use(&self, id: u32, usage: Usage) -> Option<ColumnUse> {
        self.by_id(id).map(|column| ColumnUse {
            oid: column.oid,
            attnum: column.attnum,
            schema: column.schema.clone(),
            table: column.table.clone(),
            column: column.column.clone(),
            usage,
        })
    }
}

/// How far a view could be followed.
enum Followed {
    Known(View),
    /// It reads a view that is not followed yet.
    Waits,
    Opaque,
}

/// Adds the columns that one pattern names.
fn tag(catalog: &Catalog, pattern: &str, index: usize, tagged: &mut Tagged) {
    let mut parts = pattern.split('.');
    let (Some(schema), Some(table), Some(column), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    for relation in catalog.relations() {
        let can_hold = relation.kind != RelationKind::Composite && relation.kind != RelationKind::Sequence;
        if !can_hold || !matches(schema, &relation.schema) || !matches(table, &relation.name) {
            continue;
        }
        for found in relation.columns.iter().filter(|found| matches(column, &found.name)) {
            tagged.entry((relation.oid, found.attnum)).or_default().insert(index);
        }
    }
}

/// Whether a name matches a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.filter_map(|at| rest.get(at..)).any(|rest| matches(tail, rest))
        }),
    }
}

/// Rows of a child are rows of its parents: a column's tags hold for the column of the same name on both sides. A generated column
/// holds what it is made of.
fn spread(catalog: &Catalog, tagged: &mut Tagged) {
    let children: Vec<&Relation> =
        catalog.relations().into_iter().filter(|relation| !catalog.parents(relation.oid).is_empty()).collect();
    loop {
        let mut changed = false;
        for child in &children {
            for parent in catalog.parents(child.oid).iter().filter_map(|oid| catalog.relation_by_oid(*oid)) {
                changed |= share(child, parent, tagged);
            }
        }
        for (oid, generated, source) in catalog.dependents().generated() {
            let from = tagged.get(&(*oid, *source)).cloned().unwrap_or_default();
            if !from.is_empty() {
                let own = tagged.entry((*oid, *generated)).or_default();
                let before = own.len();
                own.extend(from);
                changed |= own.len() != before;
            }
        }
        if !changed {
            return;
        }
    }
}

fn share(child: &Relation, parent: &Relation, tagged: &mut Tagged) -> bool {
    let mut changed = false;
    for column in &child.columns {
        let Some(above) = parent.columns.iter().find(|above| above.name == column.name) else { continue };
        let sides = [(child.oid, column.attnum), (parent.oid, above.attnum)];
        let both: BTreeSet<usize> = sides.iter().filter_map(|side| tagged.get(side)).flatten().copied().collect();
        for side in sides {
            if !both.is_empty() && tagged.get(&side) != Some(&both) {
                tagged.insert(side, both.clone());
                changed = true;
            }
        }
    }
    changed
}
