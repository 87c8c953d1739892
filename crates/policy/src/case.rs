//! What is decided on, and what is decided.

use std::net::IpAddr;

use sluice_model::{Operation, Principal, RuleId, SessionId, Target, UnixMicros, Verdict};

/// When and from where something is asked; the caller reads the clock, policies never do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// The time.
    pub now: UnixMicros,
    /// The day of the week in the site's zone, 1 (Monday) to 7 (Sunday).
    pub weekday: u8,
    /// The minute of the day in the site's zone, 0 to 1439.
    pub minute: u16,
    /// The client's address, where it has one.
    pub client: Option<IpAddr>,
}

/// Approval that was given for exactly this operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Approved {
    /// How many different people gave it.
    pub count: u32,
    /// When it ends.
    pub expires: UnixMicros,
    /// Whether what is asked for is, byte for byte, what was approved.
    pub digest_ok: bool,
}

/// One operation to decide on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Who asks.
    pub who: &'a Principal,
    /// Of what.
    pub target: &'a Target,
    /// For what.
    pub operation: &'a Operation,
    /// When and from where.
    pub at: Moment,
    /// In which session.
    pub session: &'a SessionId,
    /// What people already approved.
    pub approval: Option<Approved>,
}

/// A verdict, and whether it holds for every equal operation of the principal at the target until the policies change.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "an unexamined verdict is an open door"]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// No rule that could have decided reads the time, the session, the client, the stage or an approval.
    pub cacheable: bool,
    /// Rules that failed to evaluate, which is why the verdict is a denial: worth an alarm.
    pub erring: Vec<RuleId>,
}
