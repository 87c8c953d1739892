//! Statement text into operations, once per distinct text and schema view.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_model::{
    Access, Action, Code, Digest, Exposure, Fact, Facts, Meaning, Operation, Refusal, Resource, Shape, Spend, Stage,
    Text, Usage,
};
use sluice_sql::{Analysis, Catalog, Object, Prepared, Reason, Verb};

use crate::schema;
use crate::view::View;

/// Distinct texts remembered for one view of a database; all are forgotten when there are more.
const REMEMBERED: usize = 4_096;
/// Texts up to this size are remembered.
const REMEMBERED_BYTES: usize = 16 * 1024;
/// Stack of the thread that reads a long text, in bytes.
const BIG_STACK_BYTES: usize = 256 * 1024 * 1024;

/// A statement text, understood as far as it can be.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) text: Bytes,
    pub(crate) analysis: Arc<Analysis>,
    /// What policy is asked; shared by every connection that sends the same text.
    pub(crate) shape: Arc<Shape>,
    /// Why no policy can allow it.
    pub(crate) refusal: Option<Refusal>,
}

impl Known {
    /// It names something that the view does not hold: it may have come into being since.
    #[must_use]
    pub(crate) fn doubts_the_view(&self) -> bool {
        let unknown = |refused: &sluice_sql::Refused| refused.reason == Reason::UnknownRelation;
        self.analysis.refusals.iter().any(unknown)
    }

    /// The operation of asking for it.
    #[must_use]
    pub(crate) fn operation(&self, stage: Stage, bound: Option<Bytes>) -> Operation {
        let bound = bound.map(Text::new);
        Operation {
            shape: Arc::clone(&self.shape),
            text: Text::new(self.text.clone()),
            stage,
            bound,
            spend: Spend::REQUEST,
        }
    }
}

/// The texts already read against one view.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    known: Mutex<HashMap<Bytes, Arc<Known>>>,
}

impl Statements {
    fn remembered(&self, text: &Bytes) -> Option<Arc<Known>> {
        self.known.lock().ok()?.get(text).cloned()
    }

    fn remember(&self, known: &Arc<Known>) {
        if let (true, Ok(mut all)) = (known.text.len() <= REMEMBERED_BYTES, self.known.lock()) {
            if all.len() >= REMEMBERED {
                all.clear();
            }
            all.insert(known.text.clone(), Arc::clone(known));
        }
    }
}

/// The names of one connection, and whether anybody asked for one: what depends on them is not shared.
struct Asked<'a> {
    names: &'a (dyn Prepared + Sync),
    asked: AtomicBool,
}

impl Prepared for Asked<'_> {
    fn lookup(&self, name: &str) -> Option<Arc<Analysis>> {
        self.asked.store(true, Ordering::Relaxed);
        self.names.lookup(name)
    }
}

/// Reads a statement text against a view; `names` are the connection's own prepared statements.
#[must_use]
pub(crate) fn understand(text: &Bytes, view: &View, names: &(dyn Prepared + Sync)) -> Arc<Known> {
    if let Some(known) = view.statements.remembered(text) {
        return known;
    }
    // A copy of its own, once per distinct text: what is remembered must not keep the read buffer that it came in.
    let text = &Bytes::copy_from_slice(text);
    let names = Asked { names, asked: AtomicBool::new(false) };
    let analysed = match std::str::from_utf8(text) {
        Ok(readable) => analyze(readable, view, &names),
        Err(_) => Err(Refusal::builtin(Code::NotUnderstood, "encoding", "the statement is not valid UTF-8")),
    };
    let own = names.asked.into_inner();
    let known = Arc::new(match analysed {
        Ok(analysis) => known(text, analysis, view, own),
        Err(refusal) => not_understood(text, view, refusal),
    });
    if !own {
        view.statements.remember(&known);
    }
    known
}

fn analyze(text: &str, view: &View, names: &(dyn Prepared + Sync)) -> Result<Analysis, Refusal> {
    let read = || sluice_sql::analyze(text, &view.catalog, &view.sensitive, names);
    let analysed = if sluice_sql::needs_big_stack(text) { on_big_stack(read)? } else { read() };
    analysed.map_err(|unreadable| {
        Refusal::builtin(Code::NotUnderstood, "unreadable", unreadable.to_string())
            .with_hint("The broker forwards only statements that it understands.")
    })
}

/// Runs a deep recursion where it cannot exhaust the stack.
fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Refusal> {
    let failed = || Refusal::builtin(Code::NotUnderstood, "unreadable", "the statement could not be read");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(BIG_STACK_BYTES).spawn_scoped(scope, work);
        thread.map_err(|_| failed())?.join().map_err(|_| failed())
    })
}

fn known(text: &Bytes, analysis: Analysis, view: &View, own: bool) -> Known {
    let unknown = analysis.refusals.iter().any(|refused| refused.reason == Reason::UnknownRelation);
    let lost = view.lost.clone().filter(|_| unknown);
    let refusal = analysis.refusals.first().map(|refused| {
        let rule = "sql-refused";
        let message = refused.reason.message();
        let refusal = Refusal::builtin(Code::Unsupported, rule, message);
        match refused.reason.hint() {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    });
    let refusal = lost.or(refusal);
    let accesses: BTreeSet<Access> = analysis.accesses.iter().map(access).collect();
    let headline = headline(&analysis, &accesses);
    let exposures = exposures(&analysis, view);
    let meaning = Meaning {
        action: headline,
        accesses: accesses.into_iter().collect(),
        exposures,
        facts: facts(&analysis),
        understood: refusal.is_none(),
    };
    let shape = Shape::new(meaning, [&digest(text, &view.catalog, own.then_some(&analysis)).0[..]]);
    Known { text: text.clone(), analysis: Arc::new(analysis), shape: Arc::new(shape), refusal }
}

#[expect(clippy::field_reassign_with_default, reason = "some fields of an analysis are not ours to set")]
fn not_understood(text: &Bytes, view: &View, refusal: Refusal) -> Known {
    let mut analysis = Analysis::default();
    analysis.touches_sensitive = true;
    let meaning = Meaning {
        action: schema::UNKNOWN,
        accesses: std::iter::once(Access { action: schema::UNKNOWN, resource: Resource::target() }).collect(),
        exposures: Vec::new(),
        facts: facts(&analysis),
        understood: false,
    };
    let shape = Shape::new(meaning, [&digest(text, &view.catalog, None).0[..]]);
    Known { text: text.clone(), analysis: Arc::new(analysis), shape: Arc::new(shape), refusal: Some(refusal) }
}

/// Equal texts read against one catalog have one shape, except where they name prepared statements of their
/// connection: those differ by what the names stand for, so it is part of the digest.
fn digest(text: &Bytes, catalog: &Catalog, own: Option<&Analysis>) -> Digest {
    let meaning = own.map(|analysis| format!("{analysis:?}")).unwrap_or_default();
    Digest::of_parts([&text[..], &catalog.epoch().to_be_bytes(), meaning.as_bytes()])
}

fn access(access: &sluice_sql::Access) -> Access {
    Access { action: action(access.verb), resource: resource(&access.object) }
}

const fn action(verb: Verb) -> Action {
    match verb {
        Verb::Read => schema::READ,
        Verb::Write => schema::WRITE,
        Verb::Define => schema::DEFINE,
        Verb::Administer => schema::ADMINISTER,
        Verb::Call => schema::CALL,
        Verb::CopyIn => schema::COPY_IN,
        Verb::CopyOut => schema::COPY_OUT,
        Verb::Describe => schema::DESCRIBE,
        Verb::Inspect => schema::INSPECT,
        Verb::Session => schema::SESSION,
        Verb::Set => schema::SET,
        Verb::Listen => schema::LISTEN,
        Verb::Unknown => schema::UNKNOWN,
    }
}

fn resource(object: &Object) -> Resource {
    match object {
        Object::Target => Resource::target(),
        Object::Schema(name) => Resource::new(schema::SCHEMA_KIND, [&**name]),
        Object::Table(schema, name) => Resource::new(schema::TABLE, [&**schema, &**name]),
        Object::Function(schema, name) => Resource::new(schema::FUNCTION, [&**schema, &**name]),
        Object::Setting(name) => Resource::new(schema::SETTING, [&**name]),
    }
}

/// The verb that names the whole text: the one of strongest effect.
fn headline(analysis: &Analysis, accesses: &BTreeSet<Access>) -> Action {
    let strongest = accesses.iter().map(|access| access.action).max_by_key(|action| action.effect);
    let fallback = if analysis.statements.is_empty() { schema::SESSION } else { schema::UNKNOWN };
    strongest.unwrap_or(if accesses.is_empty() && is_constant(analysis) { schema::SESSION } else { fallback })
}

/// Nothing is touched: `SELECT 1`.
fn is_constant(analysis: &Analysis) -> bool {
    analysis.statements.iter().all(|statement| matches!(statement.kind, sluice_sql::Kind::Select))
}

fn exposures(analysis: &Analysis, view: &View) -> Vec<Exposure> {
    let of = |column: &sluice_sql::ColumnUse| Exposure {
        resource: Resource::new(schema::COLUMN, [&*column.schema, &*column.table, &*column.column]),
        tags: view.tags_of(column.oid, column.attnum),
        usage: match column.usage {
            sluice_sql::Usage::Project | sluice_sql::Usage::Derive | sluice_sql::Usage::Return => Usage::Reveal,
            sluice_sql::Usage::Filter | sluice_sql::Usage::Leave => Usage::Filter,
        },
    };
    let mut exposures: Vec<Exposure> = analysis.uses.iter().map(of).collect();
    exposures.dedup();
    exposures
}

/// Every function by its qualified name; an unqualified one may be the server's or one that the accesses name.
fn functions(analysis: &Analysis) -> Vec<Box<str>> {
    let server = |name: &str| if name.contains('.') { name.into() } else { format!("pg_catalog.{name}").into() };
    let called = analysis.accesses.iter().filter_map(|access| match &access.object {
        Object::Function(schema, name) => Some(format!("{schema}.{name}").into()),
        Object::Target | Object::Schema(_) | Object::Table(..) | Object::Setting(_) => None,
    });
    let all: BTreeSet<Box<str>> = analysis.functions.iter().map(|name| server(name)).chain(called).collect();
    all.into_iter().collect()
}

fn facts(analysis: &Analysis) -> Facts {
    let kind = analysis.statements.first().map_or("empty", |statement| statement.kind.name());
    let kinds: BTreeSet<&str> = analysis.statements.iter().map(|statement| statement.kind.name()).collect();
    let relations = analysis.relations.iter().map(|(schema, name)| format!("{schema}.{name}").into());
    Facts {
        group: schema::STMT,
        values: vec![
            ("kind", Fact::Text(kind.into())),
            ("kinds", Fact::Set(kinds.into_iter().map(Box::from).collect())),
            ("has_where", Fact::Bool(analysis.has_where())),
            ("row_changing", Fact::Bool(analysis.is_row_changing())),
            ("multi", Fact::Bool(analysis.is_multi())),
            ("functions", Fact::Set(functions(analysis))),
            ("relations", Fact::Set(relations.collect())),
            ("parsed", Fact::Bool(analysis.refusals.is_empty())),
        ],
    }
}
