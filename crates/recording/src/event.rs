//! What a recording says, one event at a time.
//!
//! Events borrow everything they carry: written, they are copied once into the segment; read, they point into it.

use std::borrow::Cow;
use std::fmt;

use sluice_model::{
    DecisionId, Digest, Fact, FlowId, OpId, Operation, Principal, Stage, TargetName, UnixMicros, Usage, Verdict, Who,
};

/// One thing that happened in a flow: the closed set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<'a> {
    Opened(Opened<'a>),
    Asked(Asked<'a>),
    Ruled(Ruled<'a>),
    Held(Held<'a>),
    Settled(Settled<'a>),
    Passed(Passed<'a>),
    Cut(Cut),
    Done(OpId),
    Noted(Noted<'a>),
    Gap(Gap<'a>),
    Closed(Closed<'a>),
}

/// An event as it stands in a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored<'a> {
    /// Counted from 0 without a hole, over all flows of the session.
    pub seq: u64,
    pub flow: FlowId,
    /// Nanoseconds of a monotonic clock since the session's wall-clock anchor.
    pub at_ns: u64,
    pub event: Event<'a>,
}

/// Bytes of traffic. `Debug` prints their length only.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Content<'a>(pub &'a [u8]);

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

/// A name and a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair<'a> {
    pub name: Cow<'a, str>,
    pub value: Cow<'a, str>,
}

impl<'a> Pair<'a> {
    /// A pair of a name and a value.
    pub fn new(name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// One link of a principal chain, outermost first: the agent, then the person it acts for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Actor<'a> {
    /// With its kind: `user:ana`, `agent:triage`, `workload:ci`.
    pub name: Cow<'a, str>,
    pub groups: Vec<Cow<'a, str>>,
}

impl Actor<'_> {
    /// The chain of a principal.
    #[must_use]
    pub fn chain(principal: &Principal) -> Vec<Actor<'_>> {
        let own = Actor {
            name: match &principal.who {
                Who::User(person) => format!("user:{}", person.name).into(),
                Who::Agent { name, .. } => format!("agent:{name}").into(),
                Who::Workload { name, .. } => format!("workload:{name}").into(),
            },
            groups: principal.groups().iter().map(|g| g.as_str().into()).collect(),
        };
        match &principal.who {
            Who::Agent { owner, .. } => vec![
                own,
                Actor {
                    name: format!("user:{}", owner.name).into(),
                    groups: owner.groups.iter().map(|g| g.as_str().into()).collect(),
                },
            ],
            Who::User(_) | Who::Workload { .. } => vec![own],
        }
    }
}

/// The session began.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened<'a> {
    pub session: Cow<'a, str>,
    pub principal: Vec<Actor<'a>>,
    /// The credential shown, by the handle that revokes it.
    pub token: Cow<'a, str>,
    pub target: Cow<'a, str>,
    pub environment: Cow<'a, str>,
    pub protocol: Cow<'a, str>,
    pub schema_version: u32,
    /// The client's address.
    pub client: Cow<'a, str>,
    /// The policies in force when the session began.
    pub policy_epoch: Cow<'a, str>,
    /// The wall-clock time that `at_ns` counts from.
    pub anchor: UnixMicros,
    pub broker_version: Cow<'a, str>,
    /// The run that the session belongs to; recordings of before there were runs have none.
    pub run: Option<Cow<'a, str>>,
    /// The part of the target that the session is at; where a target has none, and in older recordings, there is none.
    pub part: Option<Cow<'a, str>>,
}

impl<'a> Opened<'a> {
    /// The name of the target, checked.
    #[must_use]
    pub fn target_name(&self) -> Option<TargetName> {
        TargetName::new(&self.target).ok()
    }
}

/// One access of an asked operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accessed<'a> {
    pub action: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    pub path: Vec<Cow<'a, str>>,
}

/// A tagged thing that an asked operation uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exposed<'a> {
    pub usage: Usage,
    pub kind: Cow<'a, str>,
    pub path: Vec<Cow<'a, str>>,
    pub tags: Vec<Cow<'a, str>>,
}

/// The client asked for an operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked<'a> {
    pub op: OpId,
    pub stage: Stage,
    pub action: Cow<'a, str>,
    pub understood: bool,
    pub facts: Vec<Pair<'a>>,
    pub accesses: Vec<Accessed<'a>>,
    /// What rulings and approvals bind to.
    pub digest: Digest,
    /// The exact text asked for.
    pub text: Content<'a>,
    /// Values bound to the text's parameters, exactly as sent.
    pub bound: Option<Content<'a>>,
    /// None in recordings of before they were written down.
    pub exposures: Vec<Exposed<'a>>,
}

impl<'a> Asked<'a> {
    /// What is recorded of an operation.
    #[must_use]
    pub fn of(op: OpId, operation: &'a Operation) -> Self {
        let shape = &operation.shape;
        let accesses = shape.accesses.iter().map(|access| Accessed {
            action: access.action.name.into(),
            kind: access.resource.kind.into(),
            path: access.resource.path.iter().map(|part| Cow::from(&**part)).collect(),
        });
        let exposures = shape.exposures.iter().map(|exposure| Exposed {
            usage: exposure.usage,
            kind: exposure.resource.kind.into(),
            path: exposure.resource.path.iter().map(|part| Cow::from(&**part)).collect(),
            tags: exposure.tags.iter().map(|tag| tag.as_str().into()).collect(),
        });
        let facts = shape.facts.values.iter();
        Self {
            op,
            stage: operation.stage,
            action: shape.action.name.into(),
            understood: shape.understood,
            facts: facts.map(|(name, fact)| Pair::new(*name, fact_text(fact))).collect(),
            accesses: accesses.collect(),
            digest: operation.digest(),
            text: Content(operation.text.content()),
            bound: operation.bound.as_ref().map(|bound| Content(bound.content())),
            exposures: exposures.collect(),
        }
    }
}

fn fact_text(fact: &Fact) -> Cow<'_, str> {
    match fact {
        Fact::Bool(value) => Cow::from(if *value { "true" } else { "false" }),
        Fact::Long(value) => value.to_string().into(),
        Fact::Text(value) => Cow::from(&**value),
        Fact::Set(values) => match &values[..] {
            [] => Cow::from(""),
            [value] => Cow::from(&**value),
            values => values.join(", ").into(),
        },
    }
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Word {
    Allow,
    Deny,
    Hold,
}

impl Word {
    /// The word itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Hold => "hold",
        }
    }
}

/// The engine answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ruled<'a> {
    pub op: OpId,
    pub verdict: Word,
    pub rules: Vec<Cow<'a, str>>,
    /// One `kind path transform` for each mask, one `disclose tag transform` for each class withheld from the server.
    pub masks: Vec<Cow<'a, str>>,
    /// What the user was told; empty for an allow.
    pub message: Cow<'a, str>,
    pub decision: Cow<'a, str>,
    /// The answer was given before to an equal operation, under the same policies.
    pub cached: bool,
}

impl<'a> Ruled<'a> {
    /// What is recorded of a verdict that the engine has just given.
    #[must_use]
    pub fn of(op: OpId, verdict: &'a Verdict, decision: &'a DecisionId) -> Self {
        let (word, obligations, refusal) = match verdict {
            Verdict::Allow(obligations) => (Word::Allow, Some(obligations), None),
            Verdict::Deny(refusal) => (Word::Deny, None, Some(refusal)),
            Verdict::Hold(hold) => (Word::Hold, Some(&hold.obligations), Some(&hold.refusal)),
        };
        let allowing = obligations.iter().flat_map(|o| o.rules.iter());
        let refusing = refusal.iter().map(|refusal| &refusal.rule);
        let mut rules: Vec<Cow<'_, str>> = refusing.chain(allowing).map(|rule| rule.as_str().into()).collect();
        rules.dedup();
        let masks = obligations.iter().flat_map(|o| o.masks.iter()).map(|mask| {
            let path = mask.resource.path.join(".");
            format!("{} {path} {}", mask.resource.kind, mask.transform).into()
        });
        let withheld = obligations.iter().flat_map(|o| o.withheld.iter());
        let withheld = withheld.map(|withheld| format!("disclose {} {}", withheld.tag, withheld.transform).into());
        Self {
            op,
            verdict: word,
            rules,
            masks: masks.chain(withheld).collect(),
            message: refusal.map_or("", |refusal| refusal.message.as_str()).into(),
            decision: decision.as_str().into(),
            cached: false,
        }
    }

    /// The same, given before.
    #[must_use]
    pub fn from_cache(mut self) -> Self {
        self.cached = true;
        self
    }
}

/// The operation waits for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held<'a> {
    pub op: OpId,
    pub hold: Cow<'a, str>,
    /// The groups whose approval is needed.
    pub approvers: Vec<Cow<'a, str>>,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    Approved,
    Denied,
    Expired,
    Withdrawn,
    Revoked,
}

impl Outcome {
    /// The outcome in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
        }
    }
}

/// The wait ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled<'a> {
    pub op: OpId,
    pub hold: Cow<'a, str>,
    pub outcome: Outcome,
    /// The people who approved, or the one who denied.
    pub people: Vec<Cow<'a, str>>,
}

/// Which side a frame went to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Toward {
    Client,
    Server,
}

impl Toward {
    /// The side in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// A frame passed the door, as that side saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passed<'a> {
    pub op: OpId,
    pub toward: Toward,
    pub frame: Content<'a>,
}

/// The rest of an operation's frames passed without being written down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    pub op: OpId,
    pub toward: Toward,
    /// How many bytes passed after the cap.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub digest: Digest,
}

/// Something a protocol found worth recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Noted<'a> {
    pub kind: Cow<'a, str>,
    pub pairs: Vec<Pair<'a>>,
}

/// Something is missing here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap<'a> {
    pub reason: Cow<'a, str>,
    /// How many bytes of the recording are missing, where it is known.
    pub bytes: u64,
}

impl Gap<'_> {
    /// What an operation's frames towards a side amounted to, where none of them is written down.
    #[must_use]
    pub const fn counted(toward: Toward, bytes: u64) -> Self {
        let [to_client, to_server] = COUNTED;
        let reason = match toward {
            Toward::Client => to_client,
            Toward::Server => to_server,
        };
        Self { reason: Cow::Borrowed(reason), bytes }
    }

    /// Whether nothing went wrong: it was counted on purpose.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        COUNTED.iter().any(|reason| *reason == self.reason)
    }
}

/// The reasons of a gap that is one on purpose.
const COUNTED: [&str; 2] = ["to the client are counted, not recorded", "to the server are counted, not recorded"];

/// The session ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed<'a> {
    pub reason: Cow<'a, str>,
    pub counters: Vec<(Cow<'a, str>, u64)>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use sluice_model::{Mask, Obligations, Resource, Tag, Transform, Withheld};

    use super::*;

    #[test]
    fn a_verdict_says_what_is_masked_and_what_is_withheld() {
        let tag = Tag::new("pii.contact").unwrap();
        let mask = |resource| Mask { resource, transform: Transform::Redact, filterable: false };
        let obligations = Obligations {
            masks: vec![mask(Resource::new("Column", ["public", "t", "email"])), mask(Resource::value(&tag))],
            withheld: vec![Withheld { tag, transform: Transform::Token }],
            ..Obligations::default()
        };
        let (verdict, decision) = (Verdict::Allow(Arc::new(obligations)), DecisionId::new("d-1").unwrap());
        assert_eq!(
            Ruled::of(OpId(1), &verdict, &decision).masks,
            ["Column public.t.email redact", "Value pii.contact redact", "disclose pii.contact token"]
        );
    }
}
