//! The compiled policies, whole or as the slice that one session needs.

use std::sync::Arc;

use cedar_policy::EntityUid;
use sluice_model::{Controls, Principal, RuleId, Schema, Target, TargetName};

use crate::ask::Compiled;
use crate::case::{Case, Decision};
use crate::compile::{Output, compile};
use crate::decide::decide;
use crate::diagnostic::Diagnostics;
use crate::entity::{World, lies_in};
use crate::naming;
use crate::rule::{Rule, RuleSet};
use crate::settings::Settings;
use crate::source::Source;

/// A checked set of policies of one epoch; deciding with it is a pure function.
#[derive(Clone, Debug)]
pub struct Policies {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) shadowed: Option<Arc<RuleSet>>,
}

impl Policies {
    /// Compiles policies against what protocols declare; gives every fault at once, each with its place.
    pub fn compile(
        sources: &[Source],
        schemas: &[&'static Schema],
        settings: &Settings,
        epoch: u64,
    ) -> Result<Self, Diagnostics> {
        let Output { compiled, enforced, shadowed } = compile(sources, schemas, settings, epoch)?;
        Ok(Self { compiled: Arc::new(compiled), rules: Arc::new(enforced), shadowed: shadowed.map(Arc::new) })
    }

    /// Decides one case by all policies. Total: whatever goes wrong is a denial.
    pub fn decide(&self, case: &Case<'_>) -> Decision {
        decide(&self.compiled, &self.rules, case)
    }

    /// The policies that may ever apply to a principal at a target: the same decisions, several times faster.
    #[must_use]
    pub fn slice(&self, who: &Principal, target: &Target) -> Slice {
        let rules = self.reach(who, target).map_or_else(|| self.rules.clone(), Arc::new);
        Slice { policies: self.clone(), rules, who: who.clone(), target: target.clone() }
    }

    /// The number of this set of policies, part of what a decision and an approval are bound to.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.compiled.epoch
    }

    /// Every enforcing rule with the file it stands in, by id.
    pub fn ids(&self) -> impl Iterator<Item = (&RuleId, &str)> {
        self.rules.rules().map(|rule| (&rule.id, &*rule.source))
    }

    /// The rules that limit results (`@max_rows`, …) which no protocol keeps, with the files they stand in: they limit verbs
    /// other than those that `keeps` says of. Budgets are not among these limits.
    pub fn unkept(&self, keeps: impl Fn(&str) -> bool) -> impl Iterator<Item = (&RuleId, &str)> {
        let is_kept = move |rule: &&Arc<Rule>| rule.scope.names_action() && rule.scope.actions().all(&keeps);
        let limits = |rule: &&Arc<Rule>| rule.notes.controls.as_ref().is_some_and(Controls::limits_results);
        self.rules.rules().filter(limits).filter(move |rule| !is_kept(rule)).map(|rule| (&rule.id, &*rule.source))
    }

    /// The targets, and the things below them, that rules name, with the rules and the files they stand in.
    pub fn named(&self) -> impl Iterator<Item = Named<'_>> {
        let vocabulary = &self.compiled.vocabulary;
        let rules = self.rules.rules().chain(self.shadowed.iter().flat_map(|shadowed| shadowed.rules()));
        rules.flat_map(move |rule| {
            let literals = rule.policy.entity_literals().into_iter();
            literals.filter_map(move |uid| {
                let (target, below) = naming::named(vocabulary, &uid)?;
                Some(Named { rule: &rule.id, source: &rule.source, target, below })
            })
        })
    }

    /// The same policies without one rule: what would be if nobody had written it.
    #[must_use]
    pub fn without(&self, rule: &RuleId) -> Option<Self> {
        let rest = self.rules.rules().filter(|other| other.id != *rule).cloned();
        let rules = Arc::new(RuleSet::new(rest)?);
        Some(Self { compiled: self.compiled.clone(), rules, shadowed: None })
    }

    fn reach(&self, who: &Principal, target: &Target) -> Option<RuleSet> {
        let mut world = World::new(&self.compiled.vocabulary);
        let actors = world.principal(who);
        let target_uid = world.target(target);
        let entities = world.entities()?;
        let types = &self.compiled.vocabulary.types;
        let here = |named: &EntityUid| {
            let of = named.type_name();
            if *of == types.target || *of == types.environment {
                *named == target_uid || entities.is_ancestor_of(named, &target_uid)
            } else {
                *of == types.tag || lies_in(named.id().unescaped(), &target.name)
            }
        };
        let applies = |rule: &&Arc<Rule>| {
            rule.scope.resource().named().is_none_or(here)
                && actors.iter().any(|actor| rule.scope.covers_principal(&actor.uid, &entities))
        };
        RuleSet::new(self.rules.rules().filter(applies).cloned())
    }
}

/// What a rule names by its own id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named<'a> {
    pub rule: &'a RuleId,
    /// The file that the rule stands in.
    pub source: &'a str,
    pub target: TargetName,
    /// Kind and name of what lies right below the target; `None` where the rule names the target itself, or what lies
    /// deeper.
    pub below: Option<(&'static str, String)>,
}

/// The policies that matter for one principal at one target.
#[derive(Clone, Debug)]
pub struct Slice {
    policies: Policies,
    rules: Arc<RuleSet>,
    who: Principal,
    target: Target,
}

impl Slice {
    /// Decides one case; one of another principal or target is decided by all policies.
    pub fn decide(&self, case: &Case<'_>) -> Decision {
        let own = self.who == *case.who && self.target == *case.target;
        if own { decide(&self.policies.compiled, &self.rules, case) } else { self.policies.decide(case) }
    }

    /// The number of the set of policies that this is a slice of.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.policies.epoch()
    }

    /// How many rules are left to ask.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.rules().count()
    }

    /// Whether no rule is left, so that everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
