//! The scope of a policy: whom, which verbs and which things its head names.

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

/// One part of a policy's head.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    Any,
    Is(EntityTypeName),
    Eq(EntityUid),
    In(EntityUid),
    IsIn(EntityTypeName, EntityUid),
}

impl Bound {
    fn covers(&self, uid: &EntityUid, entities: &Entities) -> bool {
        match self {
            Self::Any => true,
            Self::Is(of) => uid.type_name() == of,
            Self::Eq(named) => uid == named,
            Self::In(named) => within(uid, named, entities),
            Self::IsIn(of, named) => uid.type_name() == of && within(uid, named, entities),
        }
    }

    /// The entity it names, if any.
    pub(crate) const fn named(&self) -> Option<&EntityUid> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Eq(named) | Self::In(named) | Self::IsIn(_, named) => Some(named),
        }
    }
}

fn within(uid: &EntityUid, named: &EntityUid, entities: &Entities) -> bool {
    uid == named || entities.is_ancestor_of(named, uid)
}

/// The head of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    principal: Bound,
    actions: Option<Vec<EntityUid>>,
    resource: Bound,
}

impl Scope {
    pub(crate) fn of(policy: &Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Bound::Any,
            PrincipalConstraint::Is(of) => Bound::Is(of),
            PrincipalConstraint::Eq(named) => Bound::Eq(named),
            PrincipalConstraint::In(named) => Bound::In(named),
            PrincipalConstraint::IsIn(of, named) => Bound::IsIn(of, named),
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(named) => Some(vec![named]),
            ActionConstraint::In(named) => Some(named),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Bound::Any,
            ResourceConstraint::Is(of) => Bound::Is(of),
            ResourceConstraint::Eq(named) => Bound::Eq(named),
            ResourceConstraint::In(named) => Bound::In(named),
            ResourceConstraint::IsIn(of, named) => Bound::IsIn(of, named),
        };
        Self { principal, actions, resource }
    }

    /// Whether the head matches a request.
    pub(crate) fn covers(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource: &EntityUid,
        entities: &Entities,
    ) -> bool {
        let action_named = |actions: &Vec<EntityUid>| actions.iter().any(|named| within(action, named, entities));
        self.principal.covers(principal, entities)
            && self.actions.as_ref().is_none_or(action_named)
            && self.resource.covers(resource, entities)
    }

    /// Whether the head names its verbs, or a group of them.
    pub(crate) const fn names_action(&self) -> bool {
        self.actions.is_some()
    }

    /// The verbs and groups of verbs that the head names.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().flatten().map(|named| named.id().unescaped())
    }

    /// Whether the head's principal part matches.
    pub(crate) fn covers_principal(&self, principal: &EntityUid, entities: &Entities) -> bool {
        self.principal.covers(principal, entities)
    }

    pub(crate) const fn resource(&self) -> &Bound {
        &self.resource
    }
}
