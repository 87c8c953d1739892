//! What the protocols declare, as a Cedar schema and as the vocabulary that every operation is checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use sluice_model::{Effect, Fact, FactType, Facts, Resource, Schema};

use crate::diagnostic::Problem;

/// The verbs of the product itself that are about values.
pub(crate) const REVEAL: &str = "reveal";
pub(crate) const REVEAL_PARTIAL: &str = "reveal.partial";
pub(crate) const REVEAL_TOKEN: &str = "reveal.token";
pub(crate) const FILTER: &str = "filter";
pub(crate) const DISCLOSE: &str = "disclose";
/// The verbs of the product itself that are about sessions.
pub(crate) const APPROVE: &str = "approve";
pub(crate) const REPLAY: &str = "replay";
pub(crate) const KILL: &str = "kill";
pub(crate) const ADMIN: &str = "admin";

const EXPOSING: [&str; 4] = [REVEAL, REVEAL_PARTIAL, REVEAL_TOKEN, FILTER];
const GOVERNING: [&str; 4] = [APPROVE, REPLAY, KILL, ADMIN];
const RESERVED: [&str; 8] = ["Action", "Agent", "Env", "Group", "Tag", "Target", "User", "Workload"];
const PRINCIPALS: &str = "[User, Agent, Workload]";

/// Entity types that exist whatever the protocols are.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    pub(crate) action: EntityTypeName,
    pub(crate) agent: EntityTypeName,
    pub(crate) environment: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) tag: EntityTypeName,
    pub(crate) target: EntityTypeName,
    pub(crate) user: EntityTypeName,
    pub(crate) workload: EntityTypeName,
}

impl Types {
    fn new() -> Option<Self> {
        let named = |name: &str| EntityTypeName::from_str(name).ok();
        Some(Self {
            action: named("Action")?,
            agent: named("Agent")?,
            environment: named("Env")?,
            group: named("Group")?,
            tag: named("Tag")?,
            target: named("Target")?,
            user: named("User")?,
            workload: named("Workload")?,
        })
    }
}

/// A kind of resource below a target.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: EntityTypeName,
    pub(crate) within: &'static str,
    /// Steps below the target: the length of a resource's path.
    pub(crate) depth: usize,
}

#[derive(Clone, Debug)]
struct Verb {
    effect: Effect,
    on: &'static [&'static str],
    facts: usize,
}

/// Everything a policy or an operation may name.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    pub(crate) types: Types,
    kinds: BTreeMap<&'static str, Kind>,
    verbs: BTreeMap<&'static str, Verb>,
    schemas: Vec<&'static Schema>,
}

impl Vocabulary {
    /// Checks that protocols do not contradict each other, and indexes what they declare.
    pub(crate) fn new(schemas: &[&'static Schema]) -> Result<Self, Vec<Problem>> {
        let mut faults = Faults::default();
        let mut kinds = BTreeMap::new();
        let mut verbs: BTreeMap<&'static str, Verb> = BTreeMap::new();
        let mut withins = BTreeMap::new();
        for (index, schema) in schemas.iter().enumerate() {
            faults.check(
                is_name(schema.facts_group) && schema.facts_group != "base",
                "facts group",
                schema.facts_group,
            );
            for fact in schema.facts {
                faults.check(is_name(fact.name), "fact", fact.name);
            }
            for spec in schema.resources {
                let agrees = *withins.entry(spec.kind).or_insert(spec.within) == spec.within;
                faults.check(agrees && is_name(spec.kind) && !RESERVED.contains(&spec.kind), "resource", spec.kind);
            }
            for spec in schema.actions {
                let known = |kind: &&str| *kind == Resource::TARGET || schema.resources.iter().any(|r| r.kind == *kind);
                let verb = Verb { effect: spec.action.effect, on: spec.on, facts: index };
                let unique = verbs.insert(spec.action.name, verb).is_none() && is_free(spec.action.name);
                faults.check(unique && !spec.on.is_empty() && spec.on.iter().all(known), "action", spec.action.name);
            }
        }
        for (kind, within) in &withins {
            match (depth(kind, &withins), EntityTypeName::from_str(kind)) {
                (Some(depth), Ok(name)) => drop(kinds.insert(*kind, Kind { name, within, depth })),
                _ => faults.check(false, "resource", kind),
            }
        }
        match Types::new() {
            Some(types) if faults.0.is_empty() => Ok(Self { types, kinds, verbs, schemas: schemas.to_vec() }),
            _ => Err(faults.0),
        }
    }

    /// The kind, where a protocol declares it.
    pub(crate) fn kind(&self, kind: &str) -> Option<&Kind> {
        self.kinds.get(kind)
    }

    /// Whether an action is declared with this effect and may be done to this kind of resource.
    pub(crate) fn permits_on(&self, action: &sluice_model::Action, kind: &str) -> bool {
        let verb = self.verbs.get(action.name);
        verb.is_some_and(|verb| verb.effect == action.effect && verb.on.contains(&kind))
    }

    /// Whether facts are exactly those that the action's protocol declares.
    pub(crate) fn knows_facts(&self, action: &str, facts: &Facts) -> bool {
        let schema = self.verbs.get(action).and_then(|verb| self.schemas.get(verb.facts));
        schema.is_some_and(|schema| {
            let same_type = |(spec, (name, fact)): (&sluice_model::FactSpec, &(&str, Fact))| {
                spec.name == *name && spec.of == type_of(fact)
            };
            schema.facts_group == facts.group
                && schema.facts.len() == facts.values.len()
                && schema.facts.iter().zip(&facts.values).all(same_type)
        })
    }

    /// The protocols, as they declare themselves.
    pub(crate) fn schemas(&self) -> &[&'static Schema] {
        &self.schemas
    }

    /// The action as a Cedar entity.
    pub(crate) fn action(&self, name: &str) -> EntityUid {
        uid(&self.types.action, name)
    }

    /// The effect group an action lies in; own verbs lie in none.
    pub(crate) fn group_of(&self, action: &str) -> Option<EntityUid> {
        self.verbs.get(action).map(|verb| uid(&self.types.action, verb.effect.name()))
    }

    /// Whether only a permit that names the action, or its group, covers it: the product's own verbs, and whatever
    /// could not be told.
    pub(crate) fn must_be_named(&self, action: &str) -> bool {
        self.verbs.get(action).is_none_or(|verb| verb.effect == Effect::Unknown)
    }
}

/// An entity's id.
pub(crate) fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

fn type_of(fact: &Fact) -> FactType {
    match fact {
        Fact::Bool(_) => FactType::Bool,
        Fact::Long(_) => FactType::Long,
        Fact::Text(_) => FactType::Text,
        Fact::Set(_) => FactType::Set,
    }
}

#[derive(Debug, Default)]
struct Faults(Vec<Problem>);

impl Faults {
    fn check(&mut self, holds: bool, what: &str, name: &str) {
        if !holds {
            let message = format!("{what} `{name}` is badly named, declared twice or declared on something unknown");
            self.0.push(Problem::outside("schema", message));
        }
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_free(action: &str) -> bool {
    let plain = action.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let own = EXPOSING.contains(&action) || GOVERNING.contains(&action) || action == DISCLOSE;
    plain && !own && Effect::ALL.iter().all(|effect| effect.name() != action)
}

fn depth(kind: &str, withins: &BTreeMap<&'static str, &'static str>) -> Option<usize> {
    let mut at = kind;
    for depth in 1..=withins.len() {
        at = withins.get(at)?;
        if at == Resource::TARGET {
            return Some(depth);
        }
    }
    None
}

/// The Cedar schema of a set of protocols, in Cedar's own syntax, as `sluice policy schema` prints it.
#[must_use]
pub fn schema_text(schemas: &[&'static Schema]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail; the results are those of `write!` only.
    let _ = write_schema(&mut text, schemas);
    text
}

fn write_schema(out: &mut String, schemas: &[&'static Schema]) -> std::fmt::Result {
    let versions: Vec<String> = schemas.iter().map(|s| format!("{} {}", s.protocol, s.version)).collect();
    writeln!(out, "// What Sluice policies may name. Protocols: {}.\n", versions.join(", "))?;
    out.push_str(PRELUDE);
    let leaves = write_resources(out, schemas)?;
    writeln!(out, "\n// Effects: groups that hold the actions of every protocol.")?;
    let groups: Vec<String> = Effect::ALL.iter().map(|effect| format!("{:?}", effect.name())).collect();
    writeln!(out, "action {};", groups.join(", "))?;
    for schema in schemas {
        write_protocol(out, schema)?;
    }
    writeln!(
        out,
        "\n// The product's own verbs: a permit must name them, an unconstrained `action` does not cover them."
    )?;
    let exposing = EXPOSING.map(|verb| format!("{verb:?}")).join(", ");
    let exposed: Vec<&str> = leaves.iter().copied().chain(["Tag"]).collect();
    write_own(out, &exposing, &exposed.join(", "))?;
    write_own(out, &format!("{DISCLOSE:?}"), "Tag")?;
    write_own(out, &GOVERNING.map(|verb| format!("{verb:?}")).join(", "), "Target, Env")
}

const PRELUDE: &str = "\
entity Group;
entity User in [Group];
// An agent acts for its owner; both need an allow.
entity Agent in [Group] { owner: User, purpose?: String };
entity Workload in [Group] { issuer: String };
entity Env;
entity Target in [Env];
// Dots make the hierarchy: Tag::\"pii.contact\" lies in Tag::\"pii\".
entity Tag in [Tag];

type ApprovalGiven = { count: Long, expires: Long, digest_ok: Bool };
// now and expires: seconds since 1970. weekday: 1 is Monday, 7 is Sunday. minute: of the day, site time.
type BaseContext = {
  now: Long, weekday: Long, minute: Long,
  session: String, stage: String,
  client?: ipaddr, approval?: ApprovalGiven,
};

// Ids below a target are paths: Column::\"orders-db/public/customers/email\"; a `/` or `%` inside a name is %2F or %25.
";

/// Writes every kind once; gives the kinds in which nothing lies: those may carry tags.
fn write_resources(out: &mut String, schemas: &[&'static Schema]) -> Result<BTreeSet<&'static str>, std::fmt::Error> {
    let all = || schemas.iter().flat_map(|schema| schema.resources);
    let parents: BTreeSet<&str> = all().map(|spec| spec.within).collect();
    let mut written = BTreeSet::new();
    let mut leaves = BTreeSet::new();
    for spec in all() {
        if !written.insert(spec.kind) {
            continue;
        }
        let leaf = !parents.contains(spec.kind);
        if leaf {
            leaves.insert(spec.kind);
        }
        write_doc(out, spec.doc)?;
        writeln!(out, "entity {} in [{}{}];", spec.kind, spec.within, if leaf { ", Tag" } else { "" })?;
    }
    Ok(leaves)
}

fn write_protocol(out: &mut String, schema: &Schema) -> std::fmt::Result {
    let context = format!("{}Facts", capital(schema.protocol));
    writeln!(out, "\n// {}: context.{}", schema.protocol, schema.facts_group)?;
    writeln!(out, "type {context} = {{")?;
    for fact in schema.facts {
        let of = match fact.of {
            FactType::Bool => "Bool",
            FactType::Long => "Long",
            FactType::Text => "String",
            FactType::Set => "Set<String>",
        };
        write_doc(out, fact.doc)?;
        writeln!(out, "  {}: {of},", fact.name)?;
    }
    writeln!(out, "}};")?;
    for spec in schema.actions {
        write_doc(out, spec.doc)?;
        writeln!(
            out,
            "action {:?} in [{:?}] appliesTo {{ principal: {PRINCIPALS}, resource: [{}], context: {{ base: BaseContext, {}: {context} }} }};",
            spec.action.name,
            spec.action.effect.name(),
            spec.on.join(", "),
            schema.facts_group,
        )?;
    }
    Ok(())
}

fn write_own(out: &mut String, verbs: &str, on: &str) -> std::fmt::Result {
    writeln!(
        out,
        "action {verbs} appliesTo {{ principal: {PRINCIPALS}, resource: [{on}], context: {{ base: BaseContext }} }};"
    )
}

fn write_doc(out: &mut String, doc: &str) -> std::fmt::Result {
    doc.lines().filter(|line| !line.trim().is_empty()).try_for_each(|line| writeln!(out, "// {}", line.trim()))
}

/// `postgres` as part of a type's name.
fn capital(protocol: &str) -> String {
    let clean: String = protocol.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut letters = clean.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}
