//! Denials in words. They are inert templates: nothing in them was sent by a client.

use sluice_model::{Action, Code, Effect, Refusal, Resource};

use crate::entity::Stands;
use crate::rule::Rule;

/// Rules that no policy can override; a policy may not take their ids.
pub(crate) const BUILT_IN: [&str; 7] = [
    "not-understood",
    "policy-error",
    "default-deny",
    "masked-filter",
    "token-scope",
    "own-request",
    "not-an-approver",
];

const MAX_NAME_CHARS: usize = 128;

pub(crate) fn not_understood() -> Refusal {
    Refusal::builtin(Code::NotUnderstood, "not-understood", "this operation could not be understood, so it is refused")
        .with_hint("write it in a simpler form, one operation at a time")
}

pub(crate) fn policy_error() -> Refusal {
    Refusal::builtin(Code::Policy, "policy-error", "a policy could not be evaluated, so nothing is permitted")
        .with_hint("an administrator finds the rule in the log")
}

pub(crate) fn token_scope() -> Refusal {
    Refusal::builtin(Code::Policy, "token-scope", "the credential is not for this target")
        .with_hint("sign in with a credential that is scoped to this target")
}

pub(crate) fn default_deny(stands: Stands, action: &Action) -> Refusal {
    let what = match action.effect {
        Effect::Connect => "connect to this target",
        Effect::Read => "read this",
        Effect::Write => "change data here",
        Effect::Define => "change definitions here",
        Effect::Administer => "administer this",
        Effect::Execute => "run this",
        Effect::Unknown => "run something whose effect could not be told",
    };
    unpermitted(stands, what, action.name)
}

pub(crate) fn unpermitted(stands: Stands, what: &str, action: &str) -> Refusal {
    let whom = match stands {
        Stands::ForItself => "you",
        Stands::ForItsAgent => "the owner of this agent",
    };
    let message = format!("no policy permits {whom} to {what} (`{action}`)");
    Refusal::builtin(Code::Policy, "default-deny", message)
        .with_hint("`sluice policy explain` shows the permits that come nearest")
}

pub(crate) fn masked_filter(resource: &Resource) -> Refusal {
    let name = printable(&resource.path.join("."));
    let message =
        format!("`{name}` is masked for you: it may be selected, but not used to filter, sort, group or join");
    Refusal::builtin(Code::Policy, "masked-filter", message)
        .with_hint("leave it out of conditions, orderings, groupings and joins, or ask for `filter` or `reveal` on it")
        .on(resource)
}

/// The refusal by determining forbids: one that nothing lifts speaks first.
pub(crate) fn forbidden(rule: &Rule) -> Refusal {
    let message = rule.notes.message.clone().unwrap_or_else(|| format!("rule `{}` forbids this", rule.id));
    Refusal {
        code: Code::Policy,
        rule: rule.id.clone(),
        message,
        hint: rule.notes.hint.clone(),
        retry_after_seconds: None,
        grounds: None,
        decision: None,
    }
}

/// A name from a catalog, without what could be read as more than a name.
fn printable(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "._$-".contains(c) { c } else { '?' };
    name.chars().take(MAX_NAME_CHARS).map(plain).collect()
}
