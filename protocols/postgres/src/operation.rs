//! Statement text into operations, once per distinct text and schema view.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_model::{
    Access, Action, Code, Digest, Exposure, Fact, Facts, Meaning, Operation, Refusal, Resource, Shape, Spend, Stage,
    Tag, Text, Usage,
};
use sluice_sql::{Analysis, Catalog, Object, Prepared, Reason, Unreadable, Verb};

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
    /// Why `sql.unknown` is asked for too: something in it could not be told, in a database without protected columns.
    pub(crate) untold: Option<Refusal>,
    /// Names may mean something else once it has run.
    pub(crate) unpins_names: bool,
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

    /// The same, asking for `sql.unknown` too: what it names or binds is not certain.
    #[must_use]
    pub(crate) fn in_doubt(&self) -> Self {
        let meaning = self.shape.meaning();
        let accesses: BTreeSet<Access> = meaning.accesses.iter().cloned().chain([unknown()]).collect();
        let meaning = Meaning { accesses: accesses.into_iter().collect(), ..meaning.clone() };
        Self {
            text: self.text.clone(),
            analysis: Arc::clone(&self.analysis),
            shape: Arc::new(Shape::new(meaning, [&self.shape.digest().0[..], &b"in doubt"[..]])),
            refusal: self.refusal.clone(),
            untold: self.untold.clone(),
            unpins_names: self.unpins_names,
        }
    }
}

/// The access that stands for whatever could not be told.
fn unknown() -> Access {
    Access { action: schema::UNKNOWN, resource: Resource::target() }
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
        Err(_) => {
            let message = "the statement is not valid UTF-8";
            Err(Unread { refusal: Refusal::builtin(Code::NotUnderstood, "encoding", message), is_final: true })
        }
    };
    let own = names.asked.into_inner();
    let known = Arc::new(match analysed {
        Ok(analysis) => known(text, analysis, view, own),
        Err(unread) => not_understood(text, view, unread),
    });
    if !own {
        view.statements.remember(&known);
    }
    known
}

/// Why a text has no analysis.
struct Unread {
    refusal: Refusal,
    /// Also where no column is protected.
    is_final: bool,
}

fn analyze(text: &str, view: &View, names: &(dyn Prepared + Sync)) -> Result<Analysis, Unread> {
    let read = || sluice_sql::analyze(text, &view.catalog, &view.sensitive, names);
    let analysed = if sluice_sql::needs_big_stack(text) { on_big_stack(read)? } else { read() };
    analysed.map_err(|unreadable| {
        let mut refusal = Refusal::builtin(Code::NotUnderstood, "unreadable", unreadable.to_string())
            .with_hint("The broker forwards only statements that it understands.");
        // Where is said, and not what: a text is quoted in no message.
        if unreadable == Unreadable::Syntax
            && let Some(span) = sluice_sql::misread(text)
        {
            refusal.grounds.get_or_insert_default().span = Some(span);
        }
        Unread { refusal, is_final: false }
    })
}

/// A command of a replication connection; nothing of it is told but that it is one.
pub(crate) fn replication(text: Bytes, stage: Stage) -> Operation {
    let mut facts = facts(&Analysis::default());
    for (name, fact) in &mut facts.values {
        if *name == "kind" {
            *fact = Fact::Text("replication".into());
        }
    }
    let access = Access { action: schema::REPLICATE, resource: Resource::target() };
    let meaning = Meaning {
        action: schema::REPLICATE,
        accesses: std::iter::once(access).collect(),
        exposures: Vec::new(),
        facts,
        understood: true,
    };
    let shape = Shape::new(meaning, [&Digest::of_parts([&b"replication"[..], &text]).0[..]]);
    Operation { shape: Arc::new(shape), text: Text::new(text), stage, bound: None, spend: Spend::REQUEST }
}

/// Runs a deep recursion where it cannot exhaust the stack.
fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Unread> {
    let failed = || {
        let refusal = Refusal::builtin(Code::NotUnderstood, "unreadable", "the statement could not be read");
        Unread { refusal, is_final: true }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(BIG_STACK_BYTES).spawn_scoped(scope, work);
        thread.map_err(|_| failed())?.join().map_err(|_| failed())
    })
}

/// Where no column is protected and no role pinned, what could not be told is asked for as `sql.unknown`; elsewhere it is refused.
fn known(text: &Bytes, mut analysis: Analysis, view: &View, own: bool) -> Known {
    let told = view.must_be_told();
    analysis.refusals.retain(|refused| view.pins_role || !refused.reason.leaves_role());
    let is_final = told || analysis.refusals.iter().any(|refused| refused.reason.is_final());
    let refused = analysis.refusals.first().map(|refused| in_words(refused.reason));
    let (refusal, untold) = if is_final { (refused, None) } else { (None, refused) };
    let is_unknown = analysis.refusals.iter().any(|refused| refused.reason == Reason::UnknownRelation);
    let refusal = view.lost.clone().filter(|_| is_unknown).or(refusal);
    let unpins_names = untold.is_some() && analysis.refusals.iter().any(|refused| refused.reason.unpins_names());
    let accesses: BTreeSet<Access> =
        analysis.accesses.iter().map(access).chain(untold.as_ref().map(|_| unknown())).collect();
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
    Known { text: text.clone(), analysis: Arc::new(analysis), shape: Arc::new(shape), refusal, untold, unpins_names }
}

fn in_words(reason: Reason) -> Refusal {
    let refusal = Refusal::builtin(Code::Unsupported, "sql-refused", reason.message());
    match reason.hint() {
        Some(hint) => refusal.with_hint(hint),
        None => refusal,
    }
}

/// A text without an analysis may do anything.
#[expect(clippy::field_reassign_with_default, reason = "some fields of an analysis are not ours to set")]
fn not_understood(text: &Bytes, view: &View, unread: Unread) -> Known {
    let mut analysis = Analysis::default();
    analysis.touches_sensitive = true;
    analysis.changes_catalog = true;
    let is_final = view.must_be_told() || unread.is_final;
    let (refusal, untold) = if is_final { (Some(unread.refusal), None) } else { (None, Some(unread.refusal)) };
    let meaning = Meaning {
        action: schema::UNKNOWN,
        accesses: std::iter::once(unknown()).collect(),
        exposures: Vec::new(),
        facts: unread_facts(&analysis),
        understood: refusal.is_none(),
    };
    let shape = Shape::new(meaning, [&digest(text, &view.catalog, None).0[..]]);
    Known {
        text: text.clone(),
        analysis: Arc::new(analysis),
        shape: Arc::new(shape),
        unpins_names: untold.is_some(),
        refusal,
        untold,
    }
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
        Object::Channel(name) => Resource::new(schema::CHANNEL, [&**name]),
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
    exposures.extend(heard(analysis, view));
    exposures
}

/// What a channel that is listened to may show: any class of the database.
fn heard<'a>(analysis: &'a Analysis, view: &View) -> impl Iterator<Item = Exposure> + use<'a> {
    let listens = analysis.statements.iter().any(|statement| statement.kind == sluice_sql::Kind::Listen);
    let tags: BTreeSet<Tag> = view.tags.iter().flatten().cloned().collect();
    let told = listens && !tags.is_empty();
    let channels = analysis.accesses.iter().map(|access| &access.object);
    channels.filter(move |object| told && matches!(object, Object::Channel(_))).map(move |channel| {
        let tags = tags.iter().cloned().collect();
        Exposure { resource: resource(channel), tags, usage: Usage::Reveal }
    })
}

/// Every function by its qualified name; an unqualified one may be the server's or one that the accesses name.
fn functions(analysis: &Analysis) -> Vec<Box<str>> {
    let server = |name: &str| if name.contains('.') { name.into() } else { format!("pg_catalog.{name}").into() };
    let called = analysis.accesses.iter().filter_map(|access| match &access.object {
        Object::Function(schema, name) => Some(format!("{schema}.{name}").into()),
        Object::Target | Object::Schema(_) | Object::Table(..) | Object::Setting(_) | Object::Channel(_) => None,
    });
    let all: BTreeSet<Box<str>> = analysis.functions.iter().map(|name| server(name)).chain(called).collect();
    all.into_iter().collect()
}

/// Nothing is claimed of a text that was not read.
fn unread_facts(analysis: &Analysis) -> Facts {
    let mut facts = facts(analysis);
    for (name, value) in &mut facts.values {
        match *name {
            "parsed" | "has_where" => *value = Fact::Bool(false),
            "row_changing" | "multi" => *value = Fact::Bool(true),
            _ => {}
        }
    }
    facts
}

fn facts(analysis: &Analysis) -> Facts {
    let kind = analysis.statements.first().map_or("empty", |statement| statement.kind.name());
    let kinds = analysis.kinds.iter().map(|kind| kind.name().into());
    let relations = analysis.relations.iter().map(|(schema, name)| format!("{schema}.{name}").into());
    Facts {
        group: schema::STMT,
        values: vec![
            ("kind", Fact::Text(kind.into())),
            ("kinds", Fact::Set(kinds.collect())),
            ("has_where", Fact::Bool(analysis.has_where())),
            ("row_changing", Fact::Bool(analysis.is_row_changing())),
            ("multi", Fact::Bool(analysis.is_multi())),
            ("functions", Fact::Set(functions(analysis))),
            ("relations", Fact::Set(relations.collect())),
            ("parsed", Fact::Bool(analysis.refusals.is_empty())),
        ],
    }
}
