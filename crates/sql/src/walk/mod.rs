//! One pass over a parse tree that collects what it does and where sensitive values flow.
//!
//! Every construct is either handled here or refused; [`crate::census`] counts the nodes behind its back.

mod budget;
mod call;
mod column;
mod copy;
mod cursor;
mod define;
mod expr;
mod from;
mod implied;
mod mention;
mod order;
mod query;
mod relation;
mod scope;
mod session;
mod statement;
mod taint;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use pg_query::protobuf::RawStmt;
use pg_query::{Node, NodeEnum};

pub use budget::{MAX_FROM_ENTRIES, MAX_OUTPUT_COLUMNS};
pub(crate) use scope::Row;
pub(crate) use taint::Taint;

use mention::Mentions;
use statement::Counted;

use crate::access::{Access, ColumnUse, Object, Usage, Verb};
use crate::analysis::{
    Analysis, Copy, CopyUse, Kind, Output, Outputs, Places, Qualified, RangeUse, Reason, Refused, Sample, Statement,
};
use crate::census::{self, Census, Visited};
use crate::{Catalog, Prepared, Sensitive, Unreadable};

/// The state of one pass.
pub(crate) struct Walk<'a> {
    catalog: &'a Catalog,
    sensitive: &'a Sensitive,
    prepared: &'a dyn Prepared,
    /// Names prepared (or dropped: `None`) earlier in the same text.
    local: HashMap<Box<str>, Option<Arc<Analysis>>>,
    forgot_all: bool,
    /// The schemas that unqualified names are looked up in.
    path: &'a [String],
    steps: usize,
    /// The rows of the query that is walked next go to the client as they are.
    shown: bool,
    /// A value of a user's type may be at hand.
    user_types: bool,
    /// What is walked is stored by a definition, and runs when others write or read.
    stored: bool,
    /// The schema that is being created: unqualified names of its elements belong to it.
    creating: Option<&'a str>,
    mentions: Mentions,
    visited: Visited,
    found: Found,
}

/// What the pass collects.
#[derive(Default)]
pub(crate) struct Found {
    kinds: BTreeSet<Kind>,
    pub(crate) accesses: BTreeSet<Access>,
    /// By index in [`Sensitive`].
    pub(crate) uses: BTreeSet<(u32, Usage)>,
    pub(crate) refusals: BTreeSet<Refused>,
    relations: BTreeSet<(Box<str>, Box<str>)>,
    functions: BTreeSet<Box<str>>,
    ranges: BTreeSet<RangeUse>,
    qualified: BTreeSet<Qualified>,
    counted: BTreeSet<u32>,
    inherited: BTreeSet<ColumnUse>,
    inherited_counts: BTreeSet<(u32, i16)>,
    touches_sensitive: bool,
    changes_catalog: bool,
    samples: BTreeSet<Sample>,
    copies: BTreeSet<CopyUse>,
    locks_rows: bool,
    system_columns: bool,
    /// Of the statement at hand.
    no_where: bool,
    row_changing: bool,
}

impl Found {
    /// The relations whose rows are read.
    pub(crate) fn reads(&self) -> Vec<u32> {
        let oids: BTreeSet<u32> = self.ranges.iter().map(|range| range.oid).collect();
        oids.into_iter().collect()
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        sensitive: &'a Sensitive,
        prepared: &'a dyn Prepared,
        path: &'a [String],
    ) -> Self {
        Self {
            catalog,
            sensitive,
            prepared,
            local: HashMap::new(),
            forgot_all: false,
            path,
            steps: 0,
            shown: false,
            user_types: false,
            stored: false,
            creating: None,
            mentions: Mentions::default(),
            visited: Visited::default(),
            found: Found::default(),
        }
    }

    /// Walks every statement.
    pub(crate) fn run(mut self, statements: &'a [RawStmt], text: &str) -> Result<Analysis, Unreadable> {
        let mut done = Vec::with_capacity(statements.len());
        for raw in statements {
            let start = usize::try_from(raw.stmt_location).unwrap_or_default();
            let length = usize::try_from(raw.stmt_len).ok().filter(|length| *length > 0);
            let end = length.map_or(text.len(), |length| (start + length).min(text.len()));
            done.push(self.statement_of(raw, start..end));
        }
        if self.is_exhausted() {
            return Err(Unreadable::TooComplex);
        }
        Ok(self.into_analysis(done))
    }

    fn statement_of(&mut self, raw: &'a RawStmt, span: std::ops::Range<usize>) -> Statement {
        self.found.no_where = false;
        self.found.row_changing = false;
        let Some(node) = raw.stmt.as_deref() else {
            self.refuse(Reason::NotUnderstood, None);
            return statement::other(span);
        };
        self.visited = Visited::default();
        let earlier = (mem::take(&mut self.found.uses), mem::take(&mut self.found.inherited));
        let done = self.top(node);
        self.settle_mentions(false);
        // What uses no sensitive column shows none.
        let shows_none = self.found.uses.is_empty() && self.found.inherited.is_empty();
        self.found.uses.extend(earlier.0);
        self.found.inherited.extend(earlier.1);
        if !self.confirms(done.counted, node) {
            self.refuse(Reason::NotUnderstood, u32::try_from(span.start).ok());
        }
        Statement {
            kind: done.kind,
            span,
            copy: done.copy,
            change: done.change,
            transaction: done.transaction,
            cursor: done.cursor,
            outputs: done.outputs.or_else(|| shows_none.then(Outputs::default)),
            has_where: !self.found.no_where,
            row_changing: self.found.row_changing || done.copy == Copy::In,
        }
    }

    /// Whether the census agrees that everything was walked.
    fn confirms(&self, counted: Counted, node: &Node) -> bool {
        let walked = self.visited.census();
        match counted {
            Counted::Names => census::count(node).map(Census::of_names) == Some(walked.of_names()),
            Counted::Expressions => census::count(node).map(Census::of_expressions) == Some(walked.of_expressions()),
            Counted::Nothing => true,
        }
    }

    /// What the columns of a result carry; nothing where they are not certain.
    fn outputs(&self, row: &Row<'a>, pinned: bool) -> Option<Outputs> {
        if row.open.is_some() {
            return None;
        }
        let one = |field: &scope::Field<'a>| Output {
            carries: field.taint.marks().iter().filter_map(|mark| self.sensitive.key(mark.column)).collect(),
            verbatim: field.taint.is_one_column(),
        };
        Some(Outputs { columns: row.fields.iter().map(one).collect(), pinned })
    }

    /// Walks one query on its own, as the definition of a view.
    pub(crate) fn view(mut self, node: &'a Node) -> (Row<'a>, Found) {
        let scope = scope::Scope::default();
        let row = match node.node.as_ref() {
            Some(NodeEnum::SelectStmt(select)) => self.select(select, &scope),
            _ => Row::unknown(self.misunderstood()),
        };
        self.settle_mentions(true);
        if self.is_exhausted() || !self.confirms(Counted::Names, node) {
            self.refuse(Reason::NotUnderstood, None);
        }
        (row, self.found)
    }

    fn into_analysis(self, statements: Vec<Statement>) -> Analysis {
        let found = self.found;
        let mut uses: BTreeSet<ColumnUse> = found.inherited;
        let named = |(id, usage): &(u32, Usage)| self.sensitive.column_use(*id, *usage);
        uses.extend(found.uses.iter().filter_map(named));
        let mut counted = found.inherited_counts;
        counted.extend(found.counted.iter().filter_map(|id| self.sensitive.key(*id)));
        Analysis {
            statements,
            kinds: found.kinds.into_iter().collect(),
            accesses: found.accesses.into_iter().collect(),
            uses: uses.into_iter().collect(),
            refusals: found.refusals.into_iter().collect(),
            relations: found.relations.into_iter().collect(),
            functions: found.functions.into_iter().collect(),
            touches_sensitive: found.touches_sensitive,
            changes_catalog: found.changes_catalog,
            places: Places {
                ranges: found.ranges.into_iter().collect(),
                qualified: found.qualified.into_iter().collect(),
                counted: counted.into_iter().collect(),
                views: found.uses.iter().filter_map(|(id, _)| self.sensitive.shown_by(*id)).collect(),
                samples: found.samples.into_iter().collect(),
                copies: found.copies.into_iter().collect(),
                locks_rows: found.locks_rows,
                system_columns: found.system_columns,
            },
        }
    }

    fn access(&mut self, verb: Verb, object: Object) {
        self.found.accesses.insert(Access { verb, object });
    }

    fn refuse(&mut self, reason: Reason, at: Option<u32>) {
        self.found.refusals.insert(Refused { reason, at });
    }

    fn refuse_at(&mut self, reason: Reason, location: i32) {
        self.refuse(reason, u32::try_from(location).ok());
    }

    /// Refuses a construct that is not handled.
    fn misunderstood(&mut self) -> Taint {
        self.refuse(Reason::NotUnderstood, None);
        Taint::default()
    }

    /// The value decides something.
    fn filter(&mut self, taint: &Taint) {
        self.used(taint, Usage::Filter);
    }

    /// The value leaves the broker's sight.
    fn leave(&mut self, taint: &Taint) {
        self.used(taint, Usage::Leave);
    }

    /// The value is part of the output.
    fn project(&mut self, taint: &Taint) {
        self.used(taint, Usage::Project);
    }

    fn used(&mut self, taint: &Taint, usage: Usage) {
        self.found.uses.extend(taint.marks().iter().map(|mark| (mark.column, usage)));
    }
}

/// The text of a node that is a plain name.
fn word(node: &Node) -> Option<&str> {
    match node.node.as_ref() {
        Some(NodeEnum::String(text)) => Some(&text.sval),
        _ => None,
    }
}

/// A dotted name; `None` where a part is not a plain name.
fn words(nodes: &[Node]) -> Option<Vec<&str>> {
    nodes.iter().map(word).collect()
}
