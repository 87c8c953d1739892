//! Statements by their outermost node.

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf::{
    CallStmt, CreateTableAsStmt, DeallocateStmt, DropBehavior, ExecuteStmt, LockStmt, PrepareStmt, TruncateStmt,
    ViewStmt,
};
use pg_query::{Node, NodeEnum};

use super::scope::{Row, Scope};
use super::{Found, Walk, words};
use crate::Relation;
use crate::access::{Object, Usage, Verb};
use crate::analysis::{Analysis, Change, Copy, Cursor, Kind, Outputs, Places, Reason, Statement, Transaction};

/// What a statement turned out to be.
pub(super) struct Done {
    pub(super) kind: Kind,
    pub(super) copy: Copy,
    pub(super) change: Option<Change>,
    pub(super) transaction: Option<Transaction>,
    pub(super) cursor: Option<Cursor>,
    /// What of it was walked, which the census must confirm.
    pub(super) counted: Counted,
    pub(super) outputs: Option<Outputs>,
}

/// What of a statement was walked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counted {
    /// Every relation, call, column and query.
    Names,
    /// Every expression; relations are also named elsewhere in it.
    Expressions,
    /// It is refused, or asked for as unknown.
    Nothing,
}

impl Done {
    pub(super) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            copy: Copy::None,
            change: None,
            transaction: None,
            cursor: None,
            counted: Counted::Names,
            outputs: None,
        }
    }

    pub(super) fn defined(kind: Kind) -> Self {
        Self { counted: Counted::Expressions, ..Self::of(kind) }
    }

    pub(super) fn opaque(kind: Kind) -> Self {
        Self { counted: Counted::Nothing, ..Self::of(kind) }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.counted != Counted::Nothing
    }
}

/// A statement that is not there.
pub(super) fn other(span: Range<usize>) -> Statement {
    Statement {
        kind: Kind::Other,
        span,
        copy: Copy::None,
        change: None,
        transaction: None,
        cursor: None,
        outputs: None,
        has_where: true,
        row_changing: false,
    }
}

impl<'a> Walk<'a> {
    /// A statement whose rows go to the client.
    pub(super) fn top(&mut self, node: &'a Node) -> Done {
        let done = self.outermost(node);
        self.found.kinds.insert(done.kind);
        done
    }

    fn outermost(&mut self, node: &'a Node) -> Done {
        let scope = Scope::default();
        let (kind, row, returning) = match node.node.as_ref() {
            Some(NodeEnum::SelectStmt(select)) => {
                self.shown = true;
                let row = self.select(select, &scope);
                self.shown = false;
                self.project(&row.all());
                (Kind::Select, row, None)
            }
            Some(NodeEnum::InsertStmt(insert)) => {
                (Kind::Insert, self.insert(insert, &scope), insert.returning_clause.as_ref())
            }
            Some(NodeEnum::UpdateStmt(update)) => {
                (Kind::Update, self.update(update, &scope), update.returning_clause.as_ref())
            }
            Some(NodeEnum::DeleteStmt(delete)) => {
                (Kind::Delete, self.delete(delete, &scope), delete.returning_clause.as_ref())
            }
            Some(NodeEnum::MergeStmt(merge)) => {
                (Kind::Merge, self.merge(merge, &scope), merge.returning_clause.as_ref())
            }
            Some(other) => return self.utility(other, node),
            None => {
                self.misunderstood();
                return Done::of(Kind::Other);
            }
        };
        self.settle_mentions(false);
        let pinned = returning.is_none_or(|returning| !returning.exprs.iter().any(is_star));
        Done { outputs: self.outputs(&row, pinned), ..Done::of(kind) }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not listed here defines, administers or is refused")]
    fn utility(&mut self, inner: &'a NodeEnum, node: &'a Node) -> Done {
        match inner {
            NodeEnum::ExplainStmt(explain) => {
                let done = self.nested(explain.query.as_deref(), Kind::Explain);
                // Its result is a plan, which shows no row.
                Done { outputs: Some(Outputs { columns: Vec::new(), pinned: true }), ..done }
            }
            NodeEnum::DeclareCursorStmt(declare) => self.declare(declare),
            NodeEnum::PrepareStmt(prepare) => self.prepare(prepare),
            NodeEnum::ExecuteStmt(execute) => self.execute(execute),
            NodeEnum::DeallocateStmt(deallocate) => self.deallocate(deallocate),
            NodeEnum::CopyStmt(copy) => self.copy(copy),
            NodeEnum::CreateTableAsStmt(create) => self.create_as(create),
            NodeEnum::ViewStmt(view) => self.create_view(view),
            NodeEnum::TruncateStmt(truncate) => self.truncate(truncate),
            NodeEnum::LockStmt(lock) => self.lock(lock),
            NodeEnum::CallStmt(call) => self.call_procedure(call),
            NodeEnum::TransactionStmt(stmt) => {
                let transaction = self.transaction(stmt);
                Done { transaction, ..Done::of(Kind::Transaction) }
            }
            NodeEnum::VariableSetStmt(set) => {
                self.set(set);
                Done::of(Kind::Set)
            }
            NodeEnum::VariableShowStmt(show) => {
                self.show(show);
                Done::of(Kind::Show)
            }
            NodeEnum::DiscardStmt(discard) => {
                let change = self.discard(discard.target);
                Done { change, ..Done::of(Kind::Set) }
            }
            NodeEnum::FetchStmt(fetch) => self.fetch(fetch),
            NodeEnum::ClosePortalStmt(close) => self.close(close),
            NodeEnum::UnlistenStmt(_) => self.steer(Kind::Listen),
            NodeEnum::ConstraintsSetStmt(_) => {
                self.access(Verb::Session, Object::Target);
                Done::opaque(Kind::Set)
            }
            NodeEnum::ListenStmt(listen) => self.channel(&listen.conditionname),
            NodeEnum::NotifyStmt(notify) => self.channel(&notify.conditionname),
            NodeEnum::DoStmt(_) => {
                self.access(Verb::Unknown, Object::Target);
                self.found.changes_catalog = true;
                Done::opaque(Kind::Do)
            }
            other => self.definition(other, node),
        }
    }

    fn channel(&mut self, name: &str) -> Done {
        self.access(Verb::Listen, Object::Channel(name.into()));
        Done::of(Kind::Listen)
    }

    pub(super) fn steer(&mut self, kind: Kind) -> Done {
        self.access(Verb::Session, Object::Target);
        Done::of(kind)
    }

    /// A statement inside another that runs or plans it.
    fn nested(&mut self, query: Option<&'a Node>, kind: Kind) -> Done {
        match query {
            Some(query) => {
                let inner = self.top(query);
                Done { counted: inner.counted, ..Done::of(kind) }
            }
            None => {
                self.misunderstood();
                Done::of(kind)
            }
        }
    }

    fn prepare(&mut self, prepare: &'a PrepareStmt) -> Done {
        let outside = mem::take(&mut self.found);
        prepare.argtypes.iter().for_each(|of| match of.node.as_ref() {
            Some(NodeEnum::TypeName(name)) => drop(self.type_name(name)),
            _ => drop(self.misunderstood()),
        });
        let done = self.nested(prepare.query.as_deref(), Kind::Prepare);
        let inner = self.inner_analysis();
        let name: Box<str> = prepare.name.as_str().into();
        let found = mem::replace(&mut self.found, outside);
        self.absorb(found);
        self.access(Verb::Session, Object::Target);
        let inner = Arc::new(inner);
        self.local.insert(name.clone(), Some(Arc::clone(&inner)));
        Done { change: Some(Change::Prepare(name, inner)), ..done }
    }

    /// What was found since [`Self::prepare`] began, as an analysis of its own.
    fn inner_analysis(&self) -> Analysis {
        let found = &self.found;
        let mut uses = found.inherited.clone();
        uses.extend(found.uses.iter().filter_map(|(id, usage)| self.sensitive.column_use(*id, *usage)));
        let mut counted = found.inherited_counts.clone();
        counted.extend(found.counted.iter().filter_map(|id| self.sensitive.key(*id)));
        Analysis {
            statements: vec![Statement { has_where: !found.no_where, row_changing: found.row_changing, ..other(0..0) }],
            kinds: found.kinds.iter().copied().collect(),
            accesses: found.accesses.iter().cloned().collect(),
            uses: uses.into_iter().collect(),
            refusals: found.refusals.iter().copied().collect(),
            relations: found.relations.iter().cloned().collect(),
            functions: found.functions.iter().cloned().collect(),
            touches_sensitive: found.touches_sensitive,
            changes_catalog: found.changes_catalog,
            places: Places { counted: counted.into_iter().collect(), ..Places::default() },
        }
    }

    fn absorb(&mut self, inner: Found) {
        let found = &mut self.found;
        found.kinds.extend(inner.kinds);
        found.accesses.extend(inner.accesses);
        found.uses.extend(inner.uses);
        found.refusals.extend(inner.refusals);
        found.relations.extend(inner.relations);
        found.functions.extend(inner.functions);
        found.ranges.extend(inner.ranges);
        found.qualified.extend(inner.qualified);
        found.counted.extend(inner.counted);
        found.inherited.extend(inner.inherited);
        found.inherited_counts.extend(inner.inherited_counts);
        found.touches_sensitive |= inner.touches_sensitive;
        found.changes_catalog |= inner.changes_catalog;
        found.locks_rows |= inner.locks_rows;
        found.samples.extend(inner.samples);
        found.copies.extend(inner.copies);
        found.system_columns |= inner.system_columns;
        found.no_where |= inner.no_where;
        found.row_changing |= inner.row_changing;
    }

    fn execute(&mut self, execute: &'a ExecuteStmt) -> Done {
        let scope = Scope::default();
        execute.params.iter().for_each(|param| self.judge(param, &scope));
        self.access(Verb::Session, Object::Target);
        let known = match self.local.get(execute.name.as_str()) {
            Some(local) => local.clone(),
            None if self.forgot_all => None,
            None => self.prepared.lookup(&execute.name),
        };
        let Some(prepared) = known else {
            self.refuse(Reason::UnknownPrepared, None);
            return Done::of(Kind::Execute);
        };
        let found = &mut self.found;
        found.kinds.extend(prepared.kinds.iter().copied());
        found.accesses.extend(prepared.accesses.iter().cloned());
        found.inherited.extend(prepared.uses.iter().cloned());
        found.inherited_counts.extend(prepared.places.counted.iter().copied());
        found.refusals.extend(prepared.refusals.iter().copied());
        found.relations.extend(prepared.relations.iter().cloned());
        found.functions.extend(prepared.functions.iter().cloned());
        found.touches_sensitive |= prepared.touches_sensitive;
        found.changes_catalog |= prepared.changes_catalog;
        found.no_where |= !prepared.has_where();
        found.row_changing |= prepared.is_row_changing();
        Done::of(Kind::Execute)
    }

    fn deallocate(&mut self, deallocate: &DeallocateStmt) -> Done {
        self.access(Verb::Session, Object::Target);
        let change = if deallocate.isall || deallocate.name.is_empty() {
            self.local.clear();
            self.forgot_all = true;
            Change::DeallocateAll
        } else {
            let name: Box<str> = deallocate.name.as_str().into();
            self.local.insert(name.clone(), None);
            Change::Deallocate(name)
        };
        Done { change: Some(change), ..Done::of(Kind::Deallocate) }
    }

    fn create_as(&mut self, create: &'a CreateTableAsStmt) -> Done {
        let row = match create.query.as_deref().and_then(|query| query.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => {
                self.found.kinds.insert(Kind::Select);
                self.select(select, &Scope::default())
            }
            Some(NodeEnum::ExecuteStmt(execute)) => {
                self.found.kinds.insert(Kind::Execute);
                let before = mem::take(&mut self.found.inherited);
                self.execute(execute);
                let since = mem::replace(&mut self.found.inherited, before);
                self.found
                    .inherited
                    .extend(since.into_iter().map(|column| crate::ColumnUse { usage: Usage::Leave, ..column }));
                Row::default()
            }
            _ => Row::unknown(self.misunderstood()),
        };
        match create.into.as_deref() {
            Some(into) => self.becomes_table(into, &row),
            None => drop(self.misunderstood()),
        }
        Done::of(Kind::Define)
    }

    fn create_view(&mut self, view: &'a ViewStmt) -> Done {
        let row = self.subquery(view.query.as_deref(), &Scope::default());
        self.leave(&row.all());
        match &view.view {
            Some(name) => {
                self.visited.relation(name);
                self.define_in(&name.schemaname);
            }
            None => drop(self.misunderstood()),
        }
        Done::of(Kind::Define)
    }

    fn truncate(&mut self, truncate: &'a TruncateStmt) -> Done {
        self.found.row_changing = true;
        self.found.no_where = true;
        let named = self.written(&truncate.relations);
        named.iter().for_each(|relation| self.runs(relation, &[]));
        if truncate.behavior == DropBehavior::DropCascade as i32 {
            let all = named.iter().flat_map(|relation| self.catalog.dependents().truncated_with(relation.oid));
            let all: BTreeSet<u32> = all.collect();
            for relation in all.into_iter().filter_map(|oid| self.catalog.relation_by_oid(oid)) {
                self.access(Verb::Write, super::relation::table(relation));
                self.runs(relation, &[]);
                self.found.relations.insert((relation.schema.clone(), relation.name.clone()));
            }
        }
        Done::of(Kind::Truncate)
    }

    fn lock(&mut self, lock: &'a LockStmt) -> Done {
        self.written(&lock.relations);
        Done::of(Kind::Lock)
    }

    fn written(&mut self, relations: &'a [Node]) -> Vec<&'a Relation> {
        let mut written = Vec::new();
        for relation in relations {
            match relation.node.as_ref() {
                Some(NodeEnum::RangeVar(relation)) => {
                    written.extend(self.target(relation, Verb::Write).and_then(|entry| entry.relation));
                }
                _ => drop(self.misunderstood()),
            }
        }
        written
    }

    fn call_procedure(&mut self, call: &'a CallStmt) -> Done {
        self.found.changes_catalog = true;
        let Some(call) = call.funccall.as_deref() else {
            self.misunderstood();
            return Done::of(Kind::Call);
        };
        self.visited.call(call);
        let scope = Scope::default();
        call.args.iter().for_each(|argument| self.store(argument, &scope));
        match words(&call.funcname).as_deref() {
            Some([name]) => self.called_in_path(name),
            Some([schema, name]) => self.access(Verb::Call, Object::Function((*schema).into(), (*name).into())),
            _ => drop(self.misunderstood()),
        }
        Done::of(Kind::Call)
    }

    /// A procedure or function by its bare name, whatever it does.
    pub(super) fn called_in_path(&mut self, name: &str) {
        let own = self.catalog.functions(name).iter().map(|own| &own.schema);
        let schema = own.clone().find(|schema| self.path.contains(schema)).or_else(|| self.path.first());
        let schema = schema.map_or("pg_catalog", String::as_str);
        self.access(Verb::Call, Object::Function(schema.into(), name.into()));
    }
}

/// An item of an output list that the server expands.
fn is_star(target: &Node) -> bool {
    let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else { return true };
    match target.val.as_deref().and_then(|value| value.node.as_ref()) {
        Some(NodeEnum::ColumnRef(column)) => super::query::ends_with_star(&column.fields),
        Some(NodeEnum::AIndirection(indirection)) => super::query::ends_with_star(&indirection.indirection),
        Some(_) => false,
        None => true,
    }
}
