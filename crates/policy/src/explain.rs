//! Why a case is decided as it is, for `sluice policy explain`.

use cedar_policy::EntityUid;
use sluice_model::{RuleId, Verdict};

use crate::ask::{Answer, Compiled, Question};
use crate::case::{Case, Decision};
use crate::context::{Base, context};
use crate::decide::decide;
use crate::policies::Policies;
use crate::rule::{Rule, RuleSet};
use crate::scene::Scene;

const MAX_NEAR: usize = 3;

/// A decision with its reasons.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision itself.
    pub decision: Decision,
    /// Every question that the case puts to the policies, in order.
    pub asked: Vec<Asked>,
    /// What the verdict would be if the rules with `@mode("shadow")` enforced; `None` where there are none.
    pub with_shadow: Option<Verdict>,
}

/// One question: may this principal do this to that?
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// The principal, as policies write it.
    pub principal: String,
    /// The verb.
    pub action: String,
    /// The resource, as policies write it.
    pub resource: String,
    /// What the policies say.
    pub outcome: Outcome,
}

/// The policies' answer to one question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Permitted by these rules.
    Permit(Vec<RuleId>),
    /// Forbidden by these rules.
    Forbid(Vec<RuleId>),
    /// Permitted by none; these come nearest, at most three.
    Silent(Vec<NearMiss>),
    /// These rules could not be evaluated.
    Fault(Vec<RuleId>),
}

/// A permit whose head matches but whose conditions do not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NearMiss {
    /// The rule.
    pub rule: RuleId,
    /// The conditions that are not met, in Cedar's syntax.
    pub unmet: Vec<String>,
    /// Whether the conditions may be shown to anybody, by `@explain("public")`; otherwise to administrators only.
    pub public: bool,
}

impl Policies {
    /// Decides a case and says why.
    #[must_use]
    pub fn explain(&self, case: &Case<'_>) -> Explanation {
        let shadow = self.shadowed.as_ref().map(|rules| decide(&self.compiled, rules, case).verdict);
        Explanation { decision: self.decide(case), asked: self.asked(case).unwrap_or_default(), with_shadow: shadow }
    }

    /// Every question of a case; `None` where it cannot be put to policies at all.
    fn asked(&self, case: &Case<'_>) -> Option<Vec<Asked>> {
        let scene = Scene::new(&self.compiled.vocabulary, case)?;
        let stage = case.operation.stage;
        let (at, part, session) = (case.at, case.target.part.as_ref(), case.session.as_str());
        let base = Base { at, part, session, stage, approval: case.approval };
        let facts = context(base, Some(&case.operation.shape.facts))?;
        let plain = context(base, None)?;
        let verbs = &scene.verbs;
        let deeds = scene.deeds.iter().map(|deed| (&deed.verb, &deed.resource, &facts));
        let values = scene.exposed.iter().flat_map(|exposed| {
            let filter = exposed.filtered.then_some(&verbs.filter);
            let asked = [&verbs.reveal, &verbs.partial, &verbs.token].into_iter().chain(filter);
            asked.map(|verb| (verb, &exposed.uid, &plain))
        });
        let sent = scene
            .disclosed
            .iter()
            .flat_map(|disclosed| [&verbs.disclose, &verbs.disclose_token].map(|verb| (verb, &disclosed.uid, &plain)));
        let questions = deeds.chain(sent).chain(values).flat_map(|(action, resource, context)| {
            let entities = &scene.entities;
            let of = |principal| Question { principal, action, resource, context, entities };
            scene.actors.iter().map(move |actor| of(&actor.uid))
        });
        Some(questions.map(|question| self.answer(&question)).collect())
    }

    fn answer(&self, question: &Question<'_>) -> Asked {
        let ids = |rules: Vec<&std::sync::Arc<Rule>>| rules.into_iter().map(|rule| rule.id.clone()).collect();
        let outcome = match self.compiled.ask(&self.rules, question) {
            Answer::Permit(rules) => Outcome::Permit(ids(rules)),
            Answer::Forbid(rules) => Outcome::Forbid(ids(rules)),
            Answer::Silent => Outcome::Silent(near(&self.compiled, &self.rules, question, |_| true)),
            Answer::Fault(erring) => Outcome::Fault(erring),
        };
        let shown = |uid: &EntityUid| uid.to_string();
        Asked {
            principal: shown(question.principal),
            action: question.action.id().unescaped().to_owned(),
            resource: shown(question.resource),
            outcome,
        }
    }
}

/// The permits that come nearest to answering a question, of those that are to be shown; others are not evaluated.
pub(crate) fn near(
    compiled: &Compiled,
    rules: &RuleSet,
    question: &Question<'_>,
    shown: impl Fn(&Rule) -> bool,
) -> Vec<NearMiss> {
    let matching = rules.rules().filter(|rule| rule.permits() && shown(rule) && question.in_scope(rule));
    let miss = |rule: &std::sync::Arc<Rule>| {
        let unmet = rule.clauses.iter().filter(|clause| !compiled.permits(&clause.alone, question));
        let unmet: Vec<String> = unmet.map(|clause| clause.text.clone()).collect();
        NearMiss { rule: rule.id.clone(), unmet, public: rule.notes.public }
    };
    // A permit with every clause met is one that does not name a verb that must be named: no near miss.
    let mut near: Vec<NearMiss> = matching.map(miss).filter(|near| !near.unmet.is_empty()).collect();
    near.sort_by_key(|near| near.unmet.len());
    near.truncate(MAX_NEAR);
    near
}
