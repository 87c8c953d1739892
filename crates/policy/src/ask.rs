//! One question to Cedar, and what its answer means here.

use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use sluice_model::{Controls, RuleId};

use crate::rule::{Rule, RuleSet};
use crate::settings::Transforms;
use crate::vocabulary::Vocabulary;

/// Everything that compiling gave, apart from the rules themselves.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) transforms: Transforms,
    pub(crate) authorizer: Authorizer,
    pub(crate) epoch: u64,
}

/// May this principal do this to that?
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) principal: &'a EntityUid,
    pub(crate) action: &'a EntityUid,
    pub(crate) resource: &'a EntityUid,
    pub(crate) context: &'a Context,
    pub(crate) entities: &'a Entities,
}

impl Question<'_> {
    fn request(&self) -> Option<Request> {
        let (principal, action, resource) = (self.principal.clone(), self.action.clone(), self.resource.clone());
        Request::new(principal, action, resource, self.context.clone(), None).ok()
    }

    /// Whether a rule's head matches.
    pub(crate) fn in_scope(&self, rule: &Rule) -> bool {
        rule.scope.covers(self.principal, self.action, self.resource, self.entities)
    }
}

/// What the rules say.
#[derive(Debug)]
pub(crate) enum Answer<'r> {
    /// Permitted, by these.
    Permit(Vec<&'r Arc<Rule>>),
    /// Forbidden, by these.
    Forbid(Vec<&'r Arc<Rule>>),
    /// Nothing permits it.
    Silent,
    /// It could not be evaluated. Cedar skips a rule that errs, a forbid too, so its answer is worth nothing.
    Fault(Vec<RuleId>),
}

impl Compiled {
    /// Asks the rules that decide whether.
    pub(crate) fn ask<'r>(&self, rules: &'r RuleSet, question: &Question<'_>) -> Answer<'r> {
        let (decision, named) = match self.put(rules, &rules.access, question) {
            Ok(answer) => answer,
            Err(erring) => return Answer::Fault(erring),
        };
        match decision {
            Decision::Allow => {
                let must_be_named = self.vocabulary.must_be_named(question.action.id().unescaped());
                let permits: Vec<_> =
                    named.into_iter().filter(|rule| !must_be_named || rule.scope.names_action()).collect();
                if permits.is_empty() { Answer::Silent } else { Answer::Permit(permits) }
            }
            Decision::Deny if named.is_empty() => Answer::Silent,
            Decision::Deny => Answer::Forbid(named),
        }
    }

    /// Asks the rules that decide how: every one that is satisfied applies; of limits the strictest counts, and budgets
    /// are gathered.
    pub(crate) fn limit(
        &self,
        rules: &RuleSet,
        question: &Question<'_>,
        controls: &mut Controls,
        applied: &mut impl Extend<RuleId>,
    ) -> Result<(), Vec<RuleId>> {
        if rules.controls.is_empty() {
            return Ok(());
        }
        let (_, named) = self.put(rules, &rules.controls, question)?;
        for rule in named {
            if let Some(limits) = &rule.notes.controls {
                controls.max_rows = strictest(controls.max_rows, limits.max_rows);
                controls.max_bytes = strictest(controls.max_bytes, limits.max_bytes);
                controls.timeout_ms = strictest(controls.timeout_ms, limits.timeout_ms);
                controls.budgets.extend(rule.budgets());
                applied.extend([rule.id.clone()]);
            }
        }
        Ok(())
    }

    /// Whether a set of policies permits, without an error.
    pub(crate) fn permits(&self, policies: &PolicySet, question: &Question<'_>) -> bool {
        question.request().is_some_and(|request| {
            let response = self.authorizer.is_authorized(&request, policies, question.entities);
            response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
        })
    }

    fn put<'r>(
        &self,
        rules: &'r RuleSet,
        policies: &PolicySet,
        question: &Question<'_>,
    ) -> Result<(Decision, Vec<&'r Arc<Rule>>), Vec<RuleId>> {
        let request = question.request().ok_or_else(Vec::new)?;
        let response = self.authorizer.is_authorized(&request, policies, question.entities);
        let mut errors = response.diagnostics().errors().peekable();
        if errors.peek().is_some() {
            let erring = errors.filter_map(|AuthorizationError::PolicyEvaluationError(error)| {
                rules.rule(error.policy_id().as_ref()).map(|rule| rule.id.clone())
            });
            return Err(erring.collect());
        }
        let named = rules.named(response.diagnostics().reason()).ok_or_else(Vec::new)?;
        Ok((response.decision(), named))
    }
}

fn strictest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
