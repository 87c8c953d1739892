//! Requests for approval: `requested → approved → consumed`, or `denied`, `expired`, `cancelled`, `revoked`.

use sluice_kernel::{ApprovalRequest, BoxFuture};
use sluice_model::{Approval, Digest, HoldId, Part, Principal, RuleId, SessionId, TargetName, Text, UnixMicros};
use thiserror::Error;

use crate::StoreError;

/// How many requests one principal may have open, so that approvers are not worn out.
pub const MAX_OPEN_HOLDS: u32 = 32;

/// Where a request stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Requested,
    Approved,
    Consumed,
    Denied,
    Expired,
    Cancelled,
    Revoked,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Requested, Self::Approved, Self::Consumed, Self::Denied, Self::Expired, Self::Cancelled, Self::Revoked];

    /// The state in one word, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Consumed => "consumed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

/// One person's approval.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Vote {
    pub person: String,
    pub at: UnixMicros,
}

/// How many of the needed approvals were given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Tally {
    pub given: u32,
    pub needed: u32,
}

impl Tally {
    /// Whether nobody else is needed.
    #[must_use]
    pub const fn complete(self) -> bool {
        self.given >= self.needed
    }
}

/// One request, with everything an approver must see.
#[derive(Clone, Debug)]
pub struct HoldRow {
    pub id: HoldId,
    pub state: State,
    pub digest: Digest,
    pub principal: Principal,
    pub session: SessionId,
    pub target: TargetName,
    pub part: Option<Part>,
    pub action: String,
    pub rule: RuleId,
    pub message: String,
    pub approvals: Vec<Approval>,
    pub text: Text,
    pub bound: Option<Text>,
    pub requested: UnixMicros,
    /// After this nothing can be approved or consumed.
    pub expires: UnixMicros,
    pub settled: Option<UnixMicros>,
    /// Who denied or revoked it.
    pub settled_by: Option<String>,
    pub votes: Vec<Vote>,
    pub tally: Tally,
}

/// Which requests to list; newest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HoldFilter {
    pub state: Option<State>,
    pub limit: u32,
}

/// Why somebody's answer to a request does not count.
#[derive(Debug, Error)]
pub enum NotCounted {
    #[error("there is no such request")]
    Unknown,
    #[error("the request is {}", .0.name())]
    Settled(State),
    #[error("only a person may approve")]
    NotAPerson,
    #[error("who asked, or owns the agent that asked, may not approve")]
    OwnRequest,
    #[error("approvers must be in a group that the rule names")]
    NotAnApprover,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Operations on requests for approval.
pub trait Approvals: Send + Sync {
    /// Files a request; `false` if its principal has [`MAX_OPEN_HOLDS`] open ones.
    fn request<'a>(&'a self, request: &'a ApprovalRequest) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Counts a person's approval, once.
    fn approve<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<Tally, NotCounted>>;

    /// Ends a request with a no.
    fn deny<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), NotCounted>>;

    /// Takes an approval back that was not consumed; only who could have given it can.
    fn revoke_approval<'a>(
        &'a self,
        id: &'a HoldId,
        approver: &'a Principal,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), NotCounted>>;

    /// Takes a request back; `false` if it was settled before.
    fn withdraw<'a>(&'a self, id: &'a HoldId, now: UnixMicros) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Uses an approval up: `true` at most once, only for this digest and only before its expiry.
    fn consume<'a>(
        &'a self,
        id: &'a HoldId,
        digest: &'a Digest,
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Expires what is due; gives how many there were.
    fn expire_holds(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Cancels what nobody waits for any more, when the broker starts; gives how many there were.
    fn cancel_open_holds(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// The requests that a filter selects, newest first.
    fn list_holds(&self, filter: HoldFilter) -> BoxFuture<'_, Result<Vec<HoldRow>, StoreError>>;

    /// One request.
    fn show_hold<'a>(&'a self, id: &'a HoldId) -> BoxFuture<'a, Result<Option<HoldRow>, StoreError>>;
}
