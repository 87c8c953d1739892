//! The product's own verbs about sessions, decided by the same engine.

use sluice_model::{Code, Environment, Group, Principal, Refusal, Stage, Target, Who};

use crate::ask::{Answer, Question};
use crate::case::Moment;
use crate::context::{Base, context};
use crate::decide::in_token_scope;
use crate::entity::World;
use crate::policies::Policies;
use crate::refusal;
use crate::schema;

/// Something that the product itself does for somebody.
#[derive(Clone, Copy, Debug)]
pub enum Verb<'a> {
    /// Approve what somebody else asked for.
    Approve {
        /// The group that the approval is asked of.
        approvers: &'a Group,
        /// Who asked; neither they nor the person behind them may approve it.
        requester: &'a Principal,
    },
    /// Watch a recording.
    Replay,
    /// End a running session.
    Kill,
    /// Change how the product itself works.
    Admin,
}

impl Verb<'_> {
    /// The verb as policies spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => schema::APPROVE,
            Self::Replay => schema::REPLAY,
            Self::Kill => schema::KILL,
            Self::Admin => schema::ADMIN,
        }
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve operations here",
            Self::Replay => "watch recordings here",
            Self::Kill => "end sessions here",
            Self::Admin => "administer Sluice here",
        }
    }
}

/// Where one of the product's own verbs is done.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// At one target.
    Target(&'a Target),
    /// In a whole environment.
    Environment(&'a Environment),
}

impl Policies {
    /// Whether a principal may do one of the product's own verbs.
    pub fn may(&self, who: &Principal, verb: Verb<'_>, place: Place<'_>, at: Moment) -> Result<(), Refusal> {
        if let Verb::Approve { approvers, requester } = verb {
            may_answer(who, approvers, requester)?;
        }
        self.permits_verb(who, verb.name(), verb.words(), place, at)
    }

    pub(crate) fn permits_verb(
        &self,
        who: &Principal,
        verb: &str,
        words: &str,
        place: Place<'_>,
        at: Moment,
    ) -> Result<(), Refusal> {
        let mut world = World::new(&self.compiled.vocabulary);
        let actors = world.principal(who);
        let resource = match place {
            Place::Target(target) if !in_token_scope(who, target) => return Err(refusal::token_scope()),
            Place::Target(target) => world.target(target),
            Place::Environment(_) if who.targets.is_some() => return Err(refusal::token_scope()),
            Place::Environment(environment) => world.environment(environment),
        };
        let action = self.compiled.vocabulary.action(verb);
        let part = match place {
            Place::Target(target) => target.part.as_ref(),
            Place::Environment(_) => None,
        };
        let base = Base { at, part, session: "", stage: Stage::Perform, approval: None };
        let context = context(base, None).ok_or_else(refusal::policy_error)?;
        let entities = world.entities().ok_or_else(refusal::policy_error)?;
        for actor in &actors {
            let question = Question {
                principal: &actor.uid,
                action: &action,
                resource: &resource,
                context: &context,
                entities: &entities,
            };
            match self.compiled.ask(&self.rules, &question) {
                Answer::Permit(_) => {}
                Answer::Silent => return Err(refusal::unpermitted(actor.stands, words, verb)),
                Answer::Forbid(forbids) => {
                    let first = forbids.first().map(|rule| refusal::forbidden(rule));
                    return Err(first.unwrap_or_else(refusal::policy_error));
                }
                Answer::Fault(_) => return Err(refusal::policy_error()),
            }
        }
        Ok(())
    }
}

/// Approvals are given by people of the group that was asked, and never by whoever asked.
fn may_answer(who: &Principal, approvers: &Group, requester: &Principal) -> Result<(), Refusal> {
    let Who::User(person) = &who.who else {
        return Err(Refusal::builtin(Code::Policy, "not-an-approver", "only people approve"));
    };
    if requester.person().is_some_and(|behind| behind.name == person.name) {
        let message = "nobody approves what they or their agent asked for";
        return Err(Refusal::builtin(Code::Policy, "own-request", message).with_hint("ask somebody else of the group"));
    }
    if person.groups.contains(approvers) {
        Ok(())
    } else {
        let message = format!("this approval is asked of the group `{approvers}`");
        Err(Refusal::builtin(Code::Policy, "not-an-approver", message))
    }
}
