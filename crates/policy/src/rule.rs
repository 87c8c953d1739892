//! One compiled policy, and sets of them ready to be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use sluice_model::{Budget, RuleId};

use crate::annotation::Notes;
use crate::condition::Clause;
use crate::scope::Scope;

/// One policy with everything that Cedar does not look at.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    /// The file it stands in, by [`crate::Source::name`].
    pub(crate) source: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) notes: Notes,
    pub(crate) scope: Scope,
    pub(crate) volatile: bool,
    /// For a permit: its conditions, conjunct by conjunct.
    pub(crate) clauses: Vec<Clause>,
}

impl Rule {
    pub(crate) fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit && self.notes.controls.is_none()
    }

    /// The budgets that it sets where it applies.
    pub(crate) fn budgets(&self) -> impl Iterator<Item = Budget> {
        self.notes.quotas.iter().map(|quota| quota.budget(self.id.clone(), self.notes.per))
    }
}

/// Rules that are asked together: those that decide whether, and those that decide how.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    rules: BTreeMap<Box<str>, Arc<Rule>>,
    pub(crate) access: PolicySet,
    pub(crate) controls: PolicySet,
    /// Rules whose answer may differ the next time.
    pub(crate) volatile: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// Builds the sets; `None` where two rules share an id, so that a forbid is never lost.
    pub(crate) fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Option<Self> {
        let mut set =
            Self { rules: BTreeMap::new(), access: PolicySet::new(), controls: PolicySet::new(), volatile: Vec::new() };
        for rule in rules {
            let policies = if rule.notes.controls.is_some() { &mut set.controls } else { &mut set.access };
            policies.add(rule.policy.clone()).ok()?;
            if rule.volatile {
                set.volatile.push(rule.clone());
            }
            if set.rules.insert(rule.id.as_str().into(), rule).is_some() {
                return None;
            }
        }
        Some(set)
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.values()
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.get(id)
    }

    /// The rules behind Cedar's answer, by id; `None` where Cedar names a policy that is not in the set.
    pub(crate) fn named<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Option<Vec<&Arc<Rule>>> {
        let mut found = ids.map(|id| self.rule(id.as_ref())).collect::<Option<Vec<_>>>()?;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Some(found)
    }
}
