//! The engine's answer, and what a protocol is told once nobody has to wait.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{DecisionId, Group, Obligations, Resource, RuleId};

/// The engine's answer. There is no default: nothing permitted is a denial somebody wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "an unexamined verdict is an open door"]
pub enum Verdict {
    Allow(Arc<Obligations>),
    Deny(Arc<Refusal>),
    Hold(Arc<Hold>),
}

/// All that a machine ever acts on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "an unexamined ruling is an open door"]
pub enum Ruling {
    Allow(Arc<Obligations>),
    Deny(Arc<Refusal>),
}

/// Why something was refused, in a closed set; each protocol maps it to its own error once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A policy, or the absence of one.
    Policy,
    /// The operation could not be understood.
    NotUnderstood,
    /// The operation needs something this version does not do safely yet.
    Unsupported,
    /// A limit was reached.
    Limit,
    /// A budget or a rate is used up.
    Budget,
    /// Whoever asked withdrew it.
    Withdrawn,
    /// Nobody approved in time.
    Expired,
    /// People have been asked and have not answered yet; asking for the same again takes it up.
    Pending,
    /// The principal, token or policy behind the session is gone.
    Revoked,
    /// There is no room for it at the moment.
    Crowded,
    /// The broker is shutting down.
    Stopping,
    /// It could not be recorded, so it did not happen.
    Unrecorded,
    /// Who asks is not known.
    Unauthenticated,
    /// The target cannot be reached.
    Unavailable,
}

/// A denial in words for the user, plus a rule id for the auditor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub code: Code,
    pub rule: RuleId,
    /// One sentence; never echoes what a client or server sent.
    pub message: String,
    /// What would pass.
    pub hint: Option<String>,
    /// When asking again may succeed, where that is known.
    pub retry_after_seconds: Option<u32>,
    /// What is known beyond that, for whoever wants to ask better.
    pub grounds: Option<Box<Grounds>>,
    /// Filled in by the kernel when it rules.
    pub decision: Option<DecisionId>,
}

/// What a refusal is about, and what would have passed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grounds {
    /// What the refused part of the operation is done to.
    pub on: Option<Resource>,
    /// Where the text names it.
    pub span: Option<Span>,
    /// The permits that come nearest, of those that may be shown to anybody.
    pub nearest: Vec<Nearest>,
}

/// A part of a text, in characters from 1; `end` is the first one after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// A rule that would have permitted it, had its conditions been met.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Nearest {
    pub rule: RuleId,
    /// The conditions that were not, in Cedar's syntax.
    pub unmet: Vec<String>,
}

impl Refusal {
    /// A refusal by a built-in rule. `rule` is a literal, so an invalid id is a mistake found by the first test.
    #[must_use]
    pub fn builtin(code: Code, rule: &'static str, message: impl Into<String>) -> Self {
        let rule = RuleId::new(rule).unwrap_or_else(|_| unreachable_rule());
        Self {
            code,
            rule,
            message: message.into(),
            hint: None,
            retry_after_seconds: None,
            grounds: None,
            decision: None,
        }
    }

    /// The same refusal with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same refusal with what it is about.
    #[must_use]
    pub fn on(mut self, resource: &Resource) -> Self {
        self.grounds.get_or_insert_default().on = Some(resource.clone());
        self
    }

    /// The same refusal with the permits that come nearest.
    #[must_use]
    pub fn with_nearest(mut self, nearest: Vec<Nearest>) -> Self {
        if !nearest.is_empty() {
            self.grounds.get_or_insert_default().nearest = nearest;
        }
        self
    }

    /// The same refusal with the time after which asking again may succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }
}

fn unreachable_rule() -> RuleId {
    #[expect(clippy::unwrap_used, reason = "INVARIANT: `builtin` is a valid id")]
    RuleId::new("builtin").unwrap()
}

/// How far one approval reaches.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Statement,
    Session,
    Window,
}

/// What an approval must satisfy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Approval {
    pub approvers: Group,
    pub count: u32,
    pub scope: Scope,
    pub ttl_seconds: u32,
}

/// An operation that waits for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// Every approval that must be given; one per determining rule.
    pub approvals: Vec<Approval>,
    /// What the client is told if it is not given.
    pub refusal: Arc<Refusal>,
    /// What is allowed once it is given.
    pub obligations: Arc<Obligations>,
}
