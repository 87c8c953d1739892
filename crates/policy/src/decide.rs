//! The decision: every access permitted and none forbidden, for everyone who stands behind the operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Context, Entities, EntityUid};
use sluice_model::{
    Approval, Controls, Hold, Level, Mask, Nearest, Obligations, Principal, Refusal, Resource, RuleId, Target, Verdict,
    Withheld,
};

use crate::ask::{Answer, Compiled, Question};
use crate::case::{Approved, Case, Decision};
use crate::context::{Base, context};
use crate::entity::Actor;
use crate::explain::{NearMiss, near};
use crate::refusal;
use crate::rule::{Rule, RuleSet};
use crate::scene::{Disclosed, Exposed, Scene};

/// Decides a case by a set of rules. Total: whatever goes wrong is a denial.
pub(crate) fn decide(compiled: &Compiled, rules: &RuleSet, case: &Case<'_>) -> Decision {
    if !case.operation.shape.understood {
        return deny(refusal::not_understood(), true);
    }
    if !in_token_scope(case.who, case.target) {
        return deny(refusal::token_scope(), true);
    }
    let Some(scene) = Scene::new(&compiled.vocabulary, case) else {
        return deny(refusal::policy_error(), false);
    };
    let first = hear(compiled, rules, case, &scene, case.approval);
    match first.ruling {
        Err(Stop::Refuse(refusal)) => deny(refusal, first.cacheable),
        Err(Stop::Fail(erring)) => fail(erring),
        Ok(Outcome::Allow(obligations)) => {
            let verdict = Verdict::Allow(Arc::new(obligations));
            Decision { verdict, cacheable: first.cacheable, erring: Vec::new() }
        }
        Ok(Outcome::Wait { approvals, refusal }) => {
            let what_if = hear(compiled, rules, case, &scene, Some(satisfied(case, &approvals)));
            if_approved(what_if, approvals, refusal)
        }
    }
}

/// Whether the credential may be used at a target at all.
pub(crate) fn in_token_scope(who: &Principal, target: &Target) -> bool {
    who.targets.as_ref().is_none_or(|targets| targets.contains(&target.name))
}

/// The approval that would satisfy what the annotations ask for, and no more.
fn satisfied(case: &Case<'_>, approvals: &[Approval]) -> Approved {
    let count = approvals.iter().map(|approval| approval.count).max().unwrap_or(1);
    let ttl = approvals.iter().map(|approval| approval.ttl_seconds).min().unwrap_or(1);
    Approved { count, expires: case.at.now.plus_seconds(i64::from(ttl)), digest_ok: true }
}

/// A hold only where approval would help: an annotation that is wrong can only deny.
fn if_approved(what_if: Heard, approvals: Vec<Approval>, refusal: Refusal) -> Decision {
    match what_if.ruling {
        Err(Stop::Refuse(obstacle)) => deny(obstacle, false),
        Err(Stop::Fail(erring)) => fail(erring),
        Ok(Outcome::Wait { .. }) => deny(refusal, false),
        Ok(Outcome::Allow(obligations)) => {
            let hold = Hold { approvals, refusal: Arc::new(refusal), obligations: Arc::new(obligations) };
            Decision { verdict: Verdict::Hold(Arc::new(hold)), cacheable: false, erring: Vec::new() }
        }
    }
}

fn deny(refusal: Refusal, cacheable: bool) -> Decision {
    Decision { verdict: Verdict::Deny(Arc::new(refusal)), cacheable, erring: Vec::new() }
}

fn fail(erring: Vec<RuleId>) -> Decision {
    Decision { verdict: Verdict::Deny(Arc::new(refusal::policy_error())), cacheable: false, erring }
}

#[derive(Debug)]
enum Outcome {
    Allow(Obligations),
    Wait { approvals: Vec<Approval>, refusal: Refusal },
}

#[derive(Debug)]
enum Stop {
    Refuse(Refusal),
    Fail(Vec<RuleId>),
}

impl Stop {
    /// The same, about this.
    fn on(self, resource: Option<&Resource>) -> Self {
        match (self, resource) {
            (Self::Refuse(refusal), Some(resource)) => Self::Refuse(refusal.on(resource)),
            (stop, _) => stop,
        }
    }
}

#[derive(Debug)]
struct Heard {
    ruling: Result<Outcome, Stop>,
    cacheable: bool,
}

fn hear(compiled: &Compiled, rules: &RuleSet, case: &Case<'_>, scene: &Scene<'_>, approval: Option<Approved>) -> Heard {
    let (part, session, stage) = (case.target.part.as_ref(), case.session.as_str(), case.operation.stage);
    let base = Base { at: case.at, part, session, stage, approval };
    let (Some(facts), Some(plain)) = (context(base, Some(&case.operation.shape.facts)), context(base, None)) else {
        return Heard { ruling: Err(Stop::Fail(Vec::new())), cacheable: false };
    };
    let bench = Bench { compiled, rules, scene, facts, plain };
    let mut hearing = Hearing { bench: &bench, tally: Tally::default() };
    let ruling = hearing.run();
    Heard { ruling, cacheable: !hearing.tally.volatile }
}

/// What stays the same during one evaluation.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) compiled: &'a Compiled,
    pub(crate) rules: &'a RuleSet,
    pub(crate) scene: &'a Scene<'a>,
    /// With the operation's facts, for the protocol's verbs.
    pub(crate) facts: Context,
    /// Without, for the product's own verbs.
    pub(crate) plain: Context,
}

impl Bench<'_> {
    fn own<'q>(
        &'q self,
        actor: &'q Actor,
        verb: &'q EntityUid,
        on: &'q EntityUid,
        entities: &'q Entities,
    ) -> Question<'q> {
        Question { principal: &actor.uid, action: verb, resource: on, context: &self.plain, entities }
    }
}

/// What one evaluation gathers.
#[derive(Debug, Default)]
struct Tally {
    /// A rule that reads what may change could have decided.
    volatile: bool,
    applied: BTreeSet<RuleId>,
    controls: Controls,
    approvals: BTreeMap<RuleId, Approval>,
    /// The first refusal that approval would lift.
    waits: Option<Refusal>,
}

/// One evaluation of a whole case.
#[derive(Debug)]
struct Hearing<'a> {
    bench: &'a Bench<'a>,
    tally: Tally,
}

/// How much of a value somebody may see, and whether they may use it unseen.
#[derive(Clone, Copy, Debug)]
struct Standing {
    level: Level,
    filter: bool,
}

impl<'a> Hearing<'a> {
    fn run(&mut self) -> Result<Outcome, Stop> {
        self.deeds()?;
        if let Some(refusal) = self.tally.waits.take() {
            let approvals = std::mem::take(&mut self.tally.approvals).into_values().collect();
            return Ok(Outcome::Wait { approvals, refusal });
        }
        let withheld = self.withheld()?;
        let masks = self.masks()?;
        let rules = std::mem::take(&mut self.tally.applied).into_iter().collect();
        let mut controls = std::mem::take(&mut self.tally.controls);
        // A rule that applies to several accesses, or to an agent and its owner, sets its budgets once.
        controls.budgets.sort();
        controls.budgets.dedup();
        Ok(Outcome::Allow(Obligations { masks, withheld, controls, rules }))
    }

    fn deeds(&mut self) -> Result<(), Stop> {
        let scene = self.bench.scene;
        for deed in &scene.deeds {
            for actor in &scene.actors {
                let question = Question {
                    principal: &actor.uid,
                    action: &deed.verb,
                    resource: &deed.resource,
                    context: &self.bench.facts,
                    entities: &scene.entities,
                };
                let (compiled, rules) = (self.bench.compiled, self.bench.rules);
                let silent = || {
                    let public = near(compiled, rules, &question, |rule| rule.notes.public);
                    let nearest = public.into_iter().map(|NearMiss { rule, unmet, .. }| Nearest { rule, unmet });
                    refusal::default_deny(actor.stands, &deed.action).with_nearest(nearest.collect())
                };
                self.weigh(&question, silent).map_err(|stop| stop.on(deed.on))?;
                let Tally { controls, applied, .. } = &mut self.tally;
                self.bench.compiled.limit(self.bench.rules, &question, controls, applied).map_err(Stop::Fail)?;
            }
        }
        Ok(())
    }

    /// Asks one question that must be permitted; a denial that approval would lift is noted and passed over.
    fn weigh(&mut self, question: &Question<'_>, silent: impl FnOnce() -> Refusal) -> Result<(), Stop> {
        match self.ask(question)? {
            Reply::Permitted => Ok(()),
            Reply::Silent => Err(Stop::Refuse(silent())),
            Reply::Forbidden(forbids) => {
                if let Some(rule) = forbids.iter().find(|rule| rule.notes.approval.is_none()) {
                    return Err(Stop::Refuse(refusal::forbidden(rule)));
                }
                for rule in forbids {
                    if let Some(approval) = &rule.notes.approval {
                        self.tally.approvals.insert(rule.id.clone(), approval.clone());
                    }
                    self.tally.waits.get_or_insert_with(|| refusal::forbidden(rule));
                }
                Ok(())
            }
        }
    }

    fn ask(&mut self, question: &Question<'_>) -> Result<Reply<'a>, Stop> {
        let rules = self.bench.rules;
        self.tally.volatile |= rules.volatile.iter().any(|rule| question.in_scope(rule));
        match self.bench.compiled.ask(rules, question) {
            Answer::Permit(permits) => {
                self.tally.applied.extend(permits.into_iter().map(|rule| rule.id.clone()));
                Ok(Reply::Permitted)
            }
            Answer::Forbid(forbids) => Ok(Reply::Forbidden(forbids)),
            Answer::Silent => Ok(Reply::Silent),
            Answer::Fault(erring) => Err(Stop::Fail(erring)),
        }
    }

    /// What must not reach the server as it is: of each class, what not everyone involved may send.
    fn withheld(&mut self) -> Result<Vec<Withheld>, Stop> {
        let bench = self.bench;
        let mut withheld = Vec::new();
        for disclosed in &bench.scene.disclosed {
            let mut least = Level::Full;
            for actor in &bench.scene.actors {
                least = least.max(self.sendable(actor, disclosed)?);
            }
            if least != Level::Full {
                let transform = bench.compiled.transforms.of([disclosed.tag], least);
                withheld.push(Withheld { tag: disclosed.tag.clone(), transform });
            }
        }
        Ok(withheld)
    }

    fn sendable(&mut self, actor: &Actor, disclosed: &Disclosed<'_>) -> Result<Level, Stop> {
        let bench = self.bench;
        let verbs = &bench.scene.verbs;
        for (verb, level) in [(&verbs.disclose, Level::Full), (&verbs.disclose_token, Level::Token)] {
            let question = bench.own(actor, verb, &disclosed.uid, &bench.scene.entities);
            if matches!(self.ask(&question)?, Reply::Permitted) {
                return Ok(level);
            }
        }
        Ok(Level::Redact)
    }

    fn masks(&mut self) -> Result<Vec<Mask>, Stop> {
        let mut masks = Vec::new();
        for exposed in &self.bench.scene.exposed {
            let standing = self.standing(exposed)?;
            if standing.level == Level::Full {
                continue;
            }
            if exposed.filtered && !standing.filter {
                return Err(Stop::Refuse(refusal::masked_filter(exposed.resource)));
            }
            let transform = self.bench.compiled.transforms.of(exposed.tags.iter().copied(), standing.level);
            masks.push(Mask { resource: exposed.resource.clone(), transform, filterable: exposed.filtered });
        }
        Ok(masks)
    }

    /// The least that anyone involved may see, of any class that the value is in.
    fn standing(&mut self, exposed: &'a Exposed<'a>) -> Result<Standing, Stop> {
        let scene = self.bench.scene;
        let mut least = Standing { level: Level::Full, filter: true };
        for actor in &scene.actors {
            for entities in std::iter::once(&scene.entities).chain(&exposed.apart) {
                let standing = self.standing_of(actor, exposed, entities)?;
                least.level = least.level.max(standing.level);
                least.filter &= standing.filter;
            }
        }
        Ok(least)
    }

    fn standing_of(&mut self, actor: &Actor, exposed: &Exposed<'_>, entities: &Entities) -> Result<Standing, Stop> {
        let bench = self.bench;
        let verbs = &bench.scene.verbs;
        let mut may = |verb| {
            let question = bench.own(actor, verb, &exposed.uid, entities);
            self.ask(&question).map(|reply| matches!(reply, Reply::Permitted))
        };
        if may(&verbs.reveal)? {
            return Ok(Standing { level: Level::Full, filter: true });
        }
        let level = if may(&verbs.partial)? {
            Level::Partial
        } else if may(&verbs.token)? {
            Level::Token
        } else {
            Level::Redact
        };
        let filter = exposed.filtered && may(&verbs.filter)?;
        Ok(Standing { level, filter })
    }
}

/// An answer that could be evaluated.
#[derive(Debug)]
enum Reply<'r> {
    Permitted,
    Forbidden(Vec<&'r Arc<Rule>>),
    Silent,
}
