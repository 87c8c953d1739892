//! The entities of one decision, built without JSON.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use sluice_model::{Environment, Group, Person, Principal, Resource, Tag, Target, TargetName, Who};

use crate::naming;
use crate::vocabulary::{Vocabulary, uid as entity_id};

/// Whose allow is asked for: an agent needs its own and its owner's.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) uid: EntityUid,
    pub(crate) stands: Stands,
}

/// In which role somebody is asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stands {
    ForItself,
    ForItsAgent,
}

/// Entities and who lies in whom, while they are gathered.
#[derive(Clone, Debug)]
pub(crate) struct World<'a> {
    vocabulary: &'a Vocabulary,
    parents: BTreeMap<EntityUid, HashSet<EntityUid>>,
    attributes: BTreeMap<EntityUid, HashMap<String, RestrictedExpression>>,
}

impl<'a> World<'a> {
    pub(crate) const fn new(vocabulary: &'a Vocabulary) -> Self {
        Self { vocabulary, parents: BTreeMap::new(), attributes: BTreeMap::new() }
    }

    /// Adds a principal; gives everyone whose allow it needs.
    pub(crate) fn principal(&mut self, who: &Principal) -> Vec<Actor> {
        let types = &self.vocabulary.types;
        let (uid, groups, attributes) = match &who.who {
            Who::User(person) => return vec![Actor { uid: self.person(person), stands: Stands::ForItself }],
            Who::Agent { name, purpose, groups, owner } => {
                let mut attributes = HashMap::from([(
                    "owner".to_owned(),
                    RestrictedExpression::new_entity_uid(entity_id(&types.user, &owner.name)),
                )]);
                if let Some(purpose) = purpose {
                    attributes.insert("purpose".to_owned(), RestrictedExpression::new_string(purpose.clone()));
                }
                (entity_id(&types.agent, name), groups, attributes)
            }
            Who::Workload { name, issuer, groups } => {
                let issuer = RestrictedExpression::new_string(issuer.clone());
                let attributes = HashMap::from([("issuer".to_owned(), issuer)]);
                (entity_id(&types.workload, name), groups, attributes)
            }
        };
        let groups = self.groups(groups);
        self.parents.insert(uid.clone(), groups);
        self.attributes.insert(uid.clone(), attributes);
        let mut actors = vec![Actor { uid, stands: Stands::ForItself }];
        if let Who::Agent { owner, .. } = &who.who {
            actors.push(Actor { uid: self.person(owner), stands: Stands::ForItsAgent });
        }
        actors
    }

    /// Adds an action with its effect group.
    pub(crate) fn action(&mut self, name: &str) -> EntityUid {
        let uid = self.vocabulary.action(name);
        self.parents.insert(uid.clone(), self.vocabulary.group_of(name).into_iter().collect());
        uid
    }

    /// Adds an environment.
    pub(crate) fn environment(&mut self, name: &Environment) -> EntityUid {
        let uid = entity_id(&self.vocabulary.types.environment, name.as_str());
        self.parents.entry(uid.clone()).or_default();
        uid
    }

    /// Adds a target with its environment.
    pub(crate) fn target(&mut self, target: &Target) -> EntityUid {
        let environment = self.environment(&target.environment);
        let uid = entity_id(&self.vocabulary.types.target, target.name.as_str());
        self.parents.insert(uid.clone(), HashSet::from([environment]));
        uid
    }

    /// Adds the values of a class at a target, which lie in both.
    pub(crate) fn value(&mut self, target: &Target, tag: &Tag) -> EntityUid {
        let above = HashSet::from([self.target(target), self.tag(tag)]);
        let uid = entity_id(&self.vocabulary.types.value, &format!("{}/{tag}", target.name));
        self.parents.insert(uid.clone(), above);
        uid
    }

    /// Adds a resource with everything it lies in; `None` where its kind is not declared or its path does not fit.
    pub(crate) fn resource(&mut self, target: &Target, resource: &Resource) -> Option<EntityUid> {
        let mut above = self.target(target);
        if resource.kind == Resource::TARGET {
            return resource.path.is_empty().then_some(above);
        }
        if resource.kind == Resource::VALUE {
            let [name] = resource.path.as_slice() else { return None };
            return Some(self.value(target, &Tag::new(name).ok()?));
        }
        let mut kinds = Vec::new();
        let mut at = resource.kind;
        while at != Resource::TARGET {
            let kind = self.vocabulary.kind(at)?;
            kinds.push(kind);
            at = kind.within;
        }
        if kinds.first()?.depth != resource.path.len() || kinds.len() != resource.path.len() {
            return None;
        }
        let mut id = target.name.as_str().to_owned();
        for (kind, name) in kinds.iter().rev().zip(&resource.path) {
            naming::push(&mut id, kind, name);
            let uid = entity_id(&kind.name, &id);
            self.parents.entry(uid.clone()).or_default().insert(above);
            above = uid;
        }
        Some(above)
    }

    /// Adds a tag with the classes it lies in.
    pub(crate) fn tag(&mut self, tag: &Tag) -> EntityUid {
        let of = &self.vocabulary.types.tag;
        let uid = entity_id(of, tag.as_str());
        let mut below = uid.clone();
        for name in tag.ancestors() {
            let above = entity_id(of, name);
            self.parents.insert(below, HashSet::from([above.clone()]));
            below = above;
        }
        self.parents.entry(below).or_default();
        uid
    }

    /// Puts a resource that is already there into classes.
    pub(crate) fn classify<'t>(&mut self, resource: &EntityUid, tags: impl IntoIterator<Item = &'t Tag>) {
        for tag in tags {
            let tag = self.tag(tag);
            self.parents.entry(resource.clone()).or_default().insert(tag);
        }
    }

    /// The entities, with all that each lies in; `None` where Cedar refuses them.
    pub(crate) fn entities(mut self) -> Option<Entities> {
        let mut all = Vec::with_capacity(self.parents.len());
        for (uid, parents) in self.parents {
            all.push(match self.attributes.remove(&uid) {
                Some(attributes) => Entity::new(uid, attributes, parents).ok()?,
                None => Entity::new_no_attrs(uid, parents),
            });
        }
        Entities::from_entities(all, None).ok()
    }

    fn person(&mut self, person: &Person) -> EntityUid {
        let uid = entity_id(&self.vocabulary.types.user, &person.name);
        let groups = self.groups(&person.groups);
        self.parents.insert(uid.clone(), groups);
        uid
    }

    fn groups(&self, groups: &BTreeSet<Group>) -> HashSet<EntityUid> {
        groups.iter().map(|group| entity_id(&self.vocabulary.types.group, group.as_str())).collect()
    }
}

/// Whether an entity id below a target belongs to this target.
pub(crate) fn lies_in(id: &str, target: &TargetName) -> bool {
    id.strip_prefix(target.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
