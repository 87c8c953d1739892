//! What the broker does about each question.

use sluice_kernel::clock;
use sluice_model::{HoldId, Principal, Refusal, Secret, UnixMicros};
use sluice_policy::{Moment, Place, Verb};
use sluice_recording::Shown;
use sluice_store::{Approvals as _, HoldFilter, HoldRow, State, StoreError};
use sluice_wire::Claim;
use tracing::{error, info};

use super::server::{Caller, Desk};
use super::{Answer, Ask, Waiting};

/// The most requests that one list shows.
const LIST: u32 = 200;

/// A person's answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Vote {
    Approve,
    Deny,
}

impl Desk {
    /// Answers one question.
    pub(crate) async fn answer(&self, ask: Ask, caller: Caller) -> Answer {
        match ask {
            Ask::List { all } => self.list(all).await,
            Ask::Show { id } => match self.store.show_hold(&id).await {
                Ok(Some(hold)) => Answer::Holds { holds: vec![self.shown(&hold)] },
                Ok(None) => unknown(),
                Err(error) => broken(&error),
            },
            Ask::Approve { id, token } => self.vote(id, Secret::from(token), Vote::Approve).await,
            Ask::Deny { id, token } => self.vote(id, Secret::from(token), Vote::Deny).await,
            Ask::End { session, reason } => self.end(&session, reason.as_deref(), caller).await,
            Ask::Key { id } => self.key(&id).await,
        }
    }

    async fn list(&self, all: bool) -> Answer {
        let state = if all { None } else { Some(State::Requested) };
        match self.store.list_holds(HoldFilter { state, limit: LIST }).await {
            Ok(holds) => Answer::Holds { holds: holds.iter().map(|hold| self.shown(hold).listed()).collect() },
            Err(error) => broken(&error),
        }
    }

    async fn vote(&self, id: HoldId, token: Secret, vote: Vote) -> Answer {
        let now = clock::now();
        let who = match self.kernel.identify().authenticate(Claim::Token(token), now).await {
            Ok(authenticated) => authenticated.principal,
            Err(refusal) => return refused(refusal),
        };
        let hold = match self.store.show_hold(&id).await {
            Ok(Some(hold)) => hold,
            Ok(None) => return unknown(),
            Err(error) => return broken(&error),
        };
        if let Err(refusal) = self.may_vote(&who, &hold, now) {
            info!(principal = %who, hold = %id, rule = %refusal.rule, "an answer to a request was refused");
            return refused(refusal);
        }
        let counted = match vote {
            Vote::Approve => self.holds.approve(&id, &who, now).await.map(|tally| {
                if tally.complete() {
                    "approved: whoever waits goes on".to_owned()
                } else {
                    format!("counted: {} of {} approvals", tally.given, tally.needed)
                }
            }),
            Vote::Deny => self.holds.deny(&id, &who, now).await.map(|()| "denied: whoever waits is told".to_owned()),
        };
        match counted {
            Ok(message) => {
                info!(principal = %who, hold = %id, vote = ?vote, "an answer to a request was counted");
                let hold = self.store.show_hold(&id).await.ok().flatten().unwrap_or(hold);
                Answer::Counted { message, hold: Box::new(self.shown(&hold)) }
            }
            Err(reason) => Answer::refused(reason.to_string()),
        }
    }

    /// Whether policy lets a person answer for at least one of the groups that are asked.
    fn may_vote(&self, who: &Principal, hold: &HoldRow, now: UnixMicros) -> Result<(), Refusal> {
        let laws = self.kernel.laws();
        let target = laws.targets.get(&hold.target).map(|target| target.at(hold.part.clone()));
        let Some(target) = &target else {
            let message = "the target of this request is no longer configured";
            return Err(Refusal::builtin(sluice_model::Code::Unavailable, "no-such-target", message));
        };
        let (weekday, minute) = laws.zone.calendar(now);
        let at = Moment { now, weekday, minute, client: None };
        let mut answer = Err(Refusal::builtin(
            sluice_model::Code::Policy,
            "not-an-approver",
            "this request asks nobody for an approval",
        ));
        for approval in &hold.approvals {
            let verb = Verb::Approve { approvers: &approval.approvers, requester: &hold.principal };
            answer = laws.policies.may(who, verb, Place::Target(target), at);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn shown(&self, hold: &HoldRow) -> Waiting {
        let laws = self.kernel.laws();
        let text = |content: &sluice_model::Text| readable(content.content());
        Waiting {
            id: hold.id.to_string(),
            state: hold.state.name().to_owned(),
            principal: hold.principal.to_string(),
            session: hold.session.to_string(),
            target: hold.target.to_string(),
            part: hold.part.as_ref().map(ToString::to_string),
            environment: laws.targets.get(&hold.target).map(|target| target.environment.to_string()),
            action: hold.action.clone(),
            rule: hold.rule.to_string(),
            message: hold.message.clone(),
            approvers: hold.approvals.iter().map(|approval| approval.approvers.to_string()).collect(),
            given: hold.tally.given,
            needed: hold.tally.needed,
            approved_by: hold.votes.iter().map(|vote| vote.person.clone()).collect(),
            settled_by: hold.settled_by.clone(),
            text: text(&hold.text),
            bound: hold.bound.as_ref().map(text),
            left_out: 0,
            digest: hold.digest.hex(),
            requested: hold.requested.0,
            expires: hold.expires.0,
        }
    }
}

/// Text as it is; what is none with its bytes escaped, never with others in their place.
fn readable(content: &[u8]) -> String {
    std::str::from_utf8(content).map_or_else(|_| Shown(content).to_string(), str::to_owned)
}

fn refused(refusal: Refusal) -> Answer {
    Answer::Refused { message: refusal.message, hint: refusal.hint, rule: Some(refusal.rule.to_string()) }
}

fn unknown() -> Answer {
    Answer::Refused {
        message: "there is no such request".to_owned(),
        hint: Some("`sluice approvals list` shows those that wait".to_owned()),
        rule: None,
    }
}

pub(super) fn broken(error: &StoreError) -> Answer {
    error!(error = %error, "the store could not be read");
    Answer::refused("the broker's store could not be read; its log says why")
}
