//! The vocabulary of the protocols, against which every policy and every operation is checked.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use sluice_model::{
    Action, ActionSpec, Effect, Fact, FactGroup, FactSpec, FactType, Facts, Resource, ResourceSpec, Schema,
};

use crate::diagnostic::Problem;
use crate::schema::{RESERVED, is_own};

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
    pub(crate) value: EntityTypeName,
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
            value: named(Resource::VALUE)?,
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
    /// Whether its names are the only step: nothing lies between it and the target, or in it.
    pub(crate) alone: bool,
    /// Whether anything of the kind can have a name.
    pub(crate) can_be: fn(&str) -> bool,
    pub(crate) doc: &'static str,
}

#[derive(Clone, Debug)]
struct Verb {
    effect: Effect,
    on: &'static [&'static str],
    facts: &'static str,
}

/// Everything a policy or an operation may name.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    pub(crate) types: Types,
    kinds: BTreeMap<&'static str, Kind>,
    verbs: BTreeMap<&'static str, Verb>,
    groups: BTreeMap<&'static str, &'static FactGroup>,
    schemas: Vec<&'static Schema>,
}

impl Vocabulary {
    /// Checks that protocols do not contradict each other, and indexes what they declare.
    pub(crate) fn new(schemas: &[&'static Schema]) -> Result<Self, Vec<Problem>> {
        let mut faults = Faults::default();
        let mut groups = BTreeMap::new();
        let mut verbs = BTreeMap::new();
        let mut withins = BTreeMap::new();
        for schema in schemas {
            for group in schema.facts {
                faults.group(group, groups.insert(group.name, group).is_none());
            }
            for spec in schema.resources {
                let agrees = withins.entry(spec.kind).or_insert(spec).within == spec.within;
                faults.check(agrees && is_name(spec.kind) && !RESERVED.contains(&spec.kind), "resource", spec.kind);
            }
            for spec in schema.actions {
                let verb = Verb { effect: spec.action.effect, on: spec.on, facts: spec.facts };
                faults.action(spec, schema, verbs.insert(spec.action.name, verb).is_none());
            }
        }
        let mut kinds = BTreeMap::new();
        for (kind, spec) in &withins {
            let alone = spec.within == Resource::TARGET && withins.values().all(|other| other.within != *kind);
            match (depth(kind, &withins), EntityTypeName::from_str(kind)) {
                (Some(depth), Ok(name)) => {
                    let (within, can_be, doc) = (spec.within, spec.can_be, spec.doc);
                    kinds.insert(*kind, Kind { name, within, depth, alone, can_be, doc });
                }
                _ => faults.check(false, "resource", kind),
            }
        }
        match Types::new() {
            Some(types) if faults.0.is_empty() => Ok(Self { types, kinds, verbs, groups, schemas: schemas.to_vec() }),
            _ => Err(faults.0),
        }
    }

    /// The kind, where a protocol declares it.
    pub(crate) fn kind(&self, kind: &str) -> Option<&Kind> {
        self.kinds.get(kind)
    }

    /// The kind of a type of entity.
    pub(crate) fn kind_of(&self, of: &EntityTypeName) -> Option<(&'static str, &Kind)> {
        self.kinds.iter().find(|(_, kind)| kind.name == *of).map(|(name, kind)| (*name, kind))
    }

    /// Whether an action is declared with this effect, may be done to this kind of resource, and is told with this
    /// group of facts: a rule about it reads no other, and a `has` that is always false would never forbid.
    pub(crate) fn permits_on(&self, action: &Action, kind: &str, facts: &str) -> bool {
        let verb = self.verbs.get(action.name);
        verb.is_some_and(|verb| verb.effect == action.effect && verb.on.contains(&kind) && verb.facts == facts)
    }

    /// Whether facts are exactly those of the action's group.
    pub(crate) fn knows_facts(&self, action: &str, facts: &Facts) -> bool {
        let carried = self.verbs.get(action).filter(|verb| verb.facts == facts.group);
        carried.and_then(|verb| self.groups.get(verb.facts)).is_some_and(|group| {
            let same_type =
                |(spec, (name, fact)): (&FactSpec, &(&str, Fact))| spec.name == *name && spec.of == type_of(fact);
            group.facts.len() == facts.values.len() && group.facts.iter().zip(&facts.values).all(same_type)
        })
    }

    /// The group of facts of a name.
    pub(crate) fn group(&self, name: &str) -> Option<&'static FactGroup> {
        self.groups.get(name).copied()
    }

    /// Every group of facts, by name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &'static FactGroup> {
        self.groups.values().copied()
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
            let message = format!("{what} `{name}` is badly named, declared twice, or declared with something unknown");
            self.0.push(Problem::outside("schema", message));
        }
    }

    fn group(&mut self, group: &FactGroup, unique: bool) {
        self.check(unique && is_name(group.name) && group.name != "base", "facts group", group.name);
        for fact in group.facts {
            self.check(is_name(fact.name), "fact", fact.name);
        }
    }

    fn action(&mut self, spec: &ActionSpec, schema: &Schema, unique: bool) {
        let known = |kind: &&str| *kind == Resource::TARGET || schema.resources.iter().any(|r| r.kind == *kind);
        let on_known = !spec.on.is_empty() && spec.on.iter().all(known);
        let told = schema.group(spec.facts).is_some();
        self.check(unique && is_free(spec.action.name) && on_known && told, "action", spec.action.name);
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_free(action: &str) -> bool {
    let plain = action.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    plain && !is_own(action) && Effect::ALL.iter().all(|effect| effect.name() != action)
}

fn depth(kind: &str, withins: &BTreeMap<&'static str, &'static ResourceSpec>) -> Option<usize> {
    let mut at = kind;
    for depth in 1..=withins.len() {
        at = withins.get(at)?.within;
        if at == Resource::TARGET {
            return Some(depth);
        }
    }
    None
}
