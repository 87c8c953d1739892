//! Sessions, as the list of them knows them; what happened in one stands in its recording.

use sluice_kernel::BoxFuture;
use sluice_model::{Environment, Part, Principal, RunId, SessionId, TargetName, UnixMicros};

use crate::StoreError;

/// What is known when a session opens.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct SessionStart {
    pub id: SessionId,
    /// Who opened it, and in which run.
    pub principal: Principal,
    pub target: TargetName,
    /// The part of the target that it is at.
    pub part: Option<Part>,
    pub environment: Environment,
    pub protocol: String,
    /// The client's address.
    pub client: String,
    pub policy_epoch: u64,
    pub opened: UnixMicros,
}

/// What is known when a session has closed.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct SessionEnd {
    /// One word; `crash` if the broker stopped before the session did.
    pub reason: String,
    pub closed: UnixMicros,
    pub operations: u64,
    pub refused: u64,
    pub bytes_to_client: u64,
    pub bytes_to_server: u64,
}

impl SessionEnd {
    /// The end of a session that the broker did not see.
    #[must_use]
    pub fn crash(now: UnixMicros) -> Self {
        Self {
            reason: "crash".to_owned(),
            closed: now,
            operations: 0,
            refused: 0,
            bytes_to_client: 0,
            bytes_to_server: 0,
        }
    }
}

/// One session.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct SessionRow {
    #[serde(flatten)]
    pub start: SessionStart,
    /// `None` while it is open.
    pub end: Option<SessionEnd>,
}

/// Which sessions to list; newest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionFilter {
    pub target: Option<TargetName>,
    /// The person who answers for the session: the user, or the agent's owner.
    pub person: Option<String>,
    /// Opened at this moment or later.
    pub since: Option<UnixMicros>,
    pub open: Option<bool>,
    /// Of this run.
    pub run: Option<RunId>,
    pub limit: u32,
}

impl SessionFilter {
    /// The newest sessions, whatever they are.
    #[must_use]
    pub const fn newest(limit: u32) -> Self {
        Self { target: None, person: None, since: None, open: None, run: None, limit }
    }
}

/// Operations on sessions.
pub trait Sessions: Send + Sync {
    /// Writes down that a session opened.
    fn open_session<'a>(&'a self, start: &'a SessionStart) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes down that a session closed; `false` if it was not open.
    fn close_session<'a>(&'a self, id: &'a SessionId, end: &'a SessionEnd) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The sessions that a filter selects, newest first.
    fn list_sessions<'a>(&'a self, filter: &'a SessionFilter) -> BoxFuture<'a, Result<Vec<SessionRow>, StoreError>>;

    /// One session.
    fn show_session<'a>(&'a self, id: &'a SessionId) -> BoxFuture<'a, Result<Option<SessionRow>, StoreError>>;

    /// Closes every open session as crashed, when the broker starts; gives how many there were.
    fn crash_open_sessions(&self, now: UnixMicros) -> BoxFuture<'_, Result<u64, StoreError>>;
}
