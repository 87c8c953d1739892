//! A verdict without a policy engine.

use std::fmt;
use std::sync::Arc;

use sluice_model::{Approval, Code, Group, Hold, Obligations, Operation, Refusal, Scope, Verdict};

/// Gives every operation a verdict.
pub struct Judge(Box<dyn Fn(&Operation) -> Verdict>);

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

impl Judge {
    /// A judge of one's own.
    pub fn new(judge: impl Fn(&Operation) -> Verdict + 'static) -> Self {
        Self(Box::new(judge))
    }

    /// Allows everything, with nothing masked.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::allow_with(Obligations::default())
    }

    /// Allows everything, on conditions.
    #[must_use]
    pub fn allow_with(obligations: Obligations) -> Self {
        let obligations = Arc::new(obligations);
        Self::new(move |_| Verdict::Allow(Arc::clone(&obligations)))
    }

    /// Denies everything.
    #[must_use]
    pub fn deny_all() -> Self {
        Self::new(|_| Verdict::Deny(Arc::new(a_refusal())))
    }

    /// Denies what holds some bytes, in its text or its bound values, and allows the rest.
    #[must_use]
    pub fn deny_those(bytes: &'static str) -> Self {
        Self::those(bytes, || Verdict::Deny(Arc::new(a_refusal())))
    }

    /// Holds what holds some bytes, and allows the rest.
    #[must_use]
    pub fn hold_those(bytes: &'static str) -> Self {
        Self::those(bytes, || Verdict::Hold(Arc::new(a_hold())))
    }

    /// Holds everything.
    #[must_use]
    pub fn hold_all() -> Self {
        Self::new(|_| Verdict::Hold(Arc::new(a_hold())))
    }

    fn those(bytes: &'static str, verdict: impl Fn() -> Verdict + 'static) -> Self {
        Self::new(
            move |operation| {
                if mentions(operation, bytes.as_bytes()) { verdict() } else { Verdict::Allow(Arc::default()) }
            },
        )
    }

    /// The verdict on an operation.
    pub fn rule(&self, operation: &Operation) -> Verdict {
        (self.0)(operation)
    }
}

/// Whether an operation's text or bound values hold some bytes.
pub(crate) fn mentions(operation: &Operation, bytes: &[u8]) -> bool {
    let bound = operation.bound.as_ref().map(|bound| bound.content());
    holds(operation.text.content(), bytes) || bound.is_some_and(|bound| holds(bound, bytes))
}

/// Whether some bytes occur among others.
pub(crate) fn holds(all: &[u8], some: &[u8]) -> bool {
    some.is_empty() || all.windows(some.len()).any(|window| window == some)
}

/// A refusal as a policy gives it.
#[must_use]
pub fn a_refusal() -> Refusal {
    let refusal = Refusal::builtin(Code::Policy, "law-of-the-kit", "this is denied to see what happens");
    refusal.with_hint("Ask for something else.")
}

/// The words for an operation whose request was taken back.
pub(crate) fn withdrawn() -> Refusal {
    Refusal::builtin(Code::Withdrawn, "hold-withdrawn", "the request for approval was withdrawn")
}

/// The words for an operation whose request stands, although its flow waits no longer.
pub(crate) fn pending() -> Refusal {
    let refusal = Refusal::builtin(Code::Pending, "hold-pending", "the request still waits for approval");
    refusal.with_hint("Ask for exactly the same again; the request stands until it expires.")
}

/// The words for a client whose server is gone.
pub(crate) fn lost() -> Refusal {
    Refusal::builtin(Code::Unavailable, "server-lost", "the connection to the server was lost")
}

/// A hold as a policy gives it.
#[must_use]
pub fn a_hold() -> Hold {
    let approvers = Group::new("approvers");
    let approval =
        approvers.map(|approvers| Approval { approvers, count: 1, scope: Scope::Statement, ttl_seconds: 60 });
    Hold {
        approvals: approval.into_iter().collect(),
        refusal: Arc::new(Refusal::builtin(Code::Policy, "hold-of-the-kit", "this is held to see what happens")),
        obligations: Arc::default(),
    }
}
