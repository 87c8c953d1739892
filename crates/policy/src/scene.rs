//! One case, turned into the entities and questions that policies are asked about.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Entities, EntityUid};
use sluice_model::{Action, Resource, Tag, Usage};

use crate::case::Case;
use crate::entity::{Actor, World};
use crate::schema;
use crate::vocabulary::Vocabulary;

/// One access as Cedar sees it.
#[derive(Debug)]
pub(crate) struct Deed<'a> {
    pub(crate) action: Action,
    /// What it is done to, if that is not the whole target.
    pub(crate) on: Option<&'a Resource>,
    pub(crate) verb: EntityUid,
    pub(crate) resource: EntityUid,
}

/// One tagged resource, with every way in which the operation uses it.
#[derive(Debug)]
pub(crate) struct Exposed<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) tags: BTreeSet<&'a Tag>,
    pub(crate) uid: EntityUid,
    pub(crate) filtered: bool,
    /// Where it has several tags: the entities with one tag only, once per tag. What is revealed of a class says
    /// nothing of the other classes that the same column lies in.
    pub(crate) apart: Vec<Entities>,
}

/// One class of values that would flow to the target.
#[derive(Debug)]
pub(crate) struct Disclosed<'a> {
    pub(crate) tag: &'a Tag,
    pub(crate) uid: EntityUid,
}

/// The own verbs that are asked about values.
#[derive(Debug)]
pub(crate) struct Verbs {
    pub(crate) reveal: EntityUid,
    pub(crate) partial: EntityUid,
    pub(crate) token: EntityUid,
    pub(crate) filter: EntityUid,
    pub(crate) disclose: EntityUid,
    pub(crate) disclose_token: EntityUid,
}

impl Verbs {
    fn new(vocabulary: &Vocabulary) -> Self {
        Self {
            reveal: vocabulary.action(schema::REVEAL),
            partial: vocabulary.action(schema::REVEAL_PARTIAL),
            token: vocabulary.action(schema::REVEAL_TOKEN),
            filter: vocabulary.action(schema::FILTER),
            disclose: vocabulary.action(schema::DISCLOSE),
            disclose_token: vocabulary.action(schema::DISCLOSE_TOKEN),
        }
    }
}

/// Everything that is asked about one case.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) actors: Vec<Actor>,
    pub(crate) deeds: Vec<Deed<'a>>,
    pub(crate) exposed: Vec<Exposed<'a>>,
    pub(crate) disclosed: Vec<Disclosed<'a>>,
    pub(crate) verbs: Verbs,
    pub(crate) entities: Entities,
}

#[derive(Debug, Default)]
struct Uses<'a> {
    tags: BTreeSet<&'a Tag>,
    filtered: bool,
}

impl<'a> Scene<'a> {
    /// Lays a case out; `None` where it names what no protocol declares.
    pub(crate) fn new(vocabulary: &Vocabulary, case: &Case<'a>) -> Option<Self> {
        let shape = &*case.operation.shape;
        if !vocabulary.knows_facts(shape.action.name, &shape.facts) {
            return None;
        }
        let mut world = World::new(vocabulary);
        let actors = world.principal(case.who);
        let whole = Resource::target();
        let accesses = shape.accesses.iter();
        let mut asked: Vec<_> = accesses.map(|access| (&access.action, Some(&access.resource))).collect();
        // INVARIANT: what an operation is called is asked about, whatever else it asks for.
        if asked.iter().all(|(action, _)| **action != shape.action) {
            asked.push((&shape.action, None));
        }
        let mut deeds = Vec::with_capacity(asked.len());
        for (action, on) in asked {
            let resource = on.unwrap_or(&whole);
            if !vocabulary.permits_on(action, resource.kind, shape.facts.group) {
                return None;
            }
            let (verb, resource) = (world.action(action.name), world.resource(case.target, resource)?);
            deeds.push(Deed { action: *action, on, verb, resource });
        }
        let (uses, disclosed) = gather(case);
        let place = |tag| Disclosed { tag, uid: world.value(case.target, tag) };
        let disclosed = disclosed.into_iter().map(place).collect();
        let bare = world.clone();
        let mut exposed = Vec::with_capacity(uses.len());
        for (resource, uses) in uses {
            if resource.kind == Resource::VALUE && !is_of(resource, &uses.tags) {
                return None;
            }
            let uid = world.resource(case.target, resource)?;
            world.classify(&uid, uses.tags.iter().copied());
            let apart = apart(&bare, case, resource, &uses.tags)?;
            exposed.push(Exposed { resource, tags: uses.tags, uid, filtered: uses.filtered, apart });
        }
        let verbs = Verbs::new(vocabulary);
        Some(Self { actors, deeds, exposed, disclosed, verbs, entities: world.entities()? })
    }
}

fn gather<'a>(case: &Case<'a>) -> (BTreeMap<&'a Resource, Uses<'a>>, BTreeSet<&'a Tag>) {
    let mut uses: BTreeMap<&Resource, Uses<'_>> = BTreeMap::new();
    let mut disclosed = BTreeSet::new();
    for exposure in &case.operation.shape.exposures {
        match exposure.usage {
            Usage::Disclose => disclosed.extend(&exposure.tags),
            Usage::Reveal | Usage::Filter => {
                let entry = uses.entry(&exposure.resource).or_default();
                entry.tags.extend(&exposure.tags);
                entry.filtered |= exposure.usage == Usage::Filter;
            }
        }
    }
    (uses, disclosed)
}

/// Whether a found value is tagged as what its path says it is, and as nothing else.
fn is_of(value: &Resource, tags: &BTreeSet<&Tag>) -> bool {
    tags.iter().map(|tag| tag.as_str()).eq(value.path.iter().map(|part| &**part))
}

fn apart(bare: &World<'_>, case: &Case<'_>, resource: &Resource, tags: &BTreeSet<&Tag>) -> Option<Vec<Entities>> {
    if tags.len() < 2 {
        return Some(Vec::new());
    }
    let with_one = |tag: &&Tag| {
        let mut world = bare.clone();
        let uid = world.resource(case.target, resource)?;
        world.classify(&uid, [*tag]);
        world.entities()
    };
    tags.iter().map(with_one).collect()
}
