//! What the kernel needs of the world, as traits that adapters fill.

use std::future::Future;
use std::pin::Pin;

use sluice_model::{
    Approval, Digest, HoldId, Part, Principal, Refusal, RuleId, SessionId, Target, TargetName, TokenId, Unit,
    UnixMicros,
};
use sluice_recording::Batch;
use sluice_wire::{Authenticated, Claim, Credential, Made, Object, Peer, ScramParameters};
use thiserror::Error;

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Turns claims into principals.
pub trait Identify: Send + Sync {
    /// SCRAM parameters of a user; stable, made-up ones for a user that does not exist.
    fn challenge<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<ScramParameters, Refusal>>;

    /// Checks a claim at a moment.
    fn authenticate(&self, claim: Claim, now: UnixMicros) -> BoxFuture<'_, Result<Authenticated, Refusal>>;

    /// Whether a token was revoked; asked about every live session once a second, so it must not block.
    fn is_revoked(&self, token: &TokenId) -> bool;

    /// Whether what a principal signed in with makes it the same principal under the configuration in force; asked about
    /// every live session once a second, so it must not block.
    fn still_holds(&self, who: &Principal, now: UnixMicros) -> bool;
}

/// Lends target credentials.
pub trait Lend: Send + Sync {
    /// The credential of a target for a principal, fresh for one server connection.
    fn lend<'a>(&'a self, target: &'a TargetName, who: &'a Principal) -> BoxFuture<'a, Result<Credential, Refusal>>;
}

/// It could not be recorded, so it must not happen.
#[derive(Debug, Error)]
#[error("the recording failed: {0}")]
pub struct Unrecorded(pub String);

/// The facts with which a session opens.
#[derive(Clone, Debug)]
pub struct Opening {
    pub session: SessionId,
    pub principal: Principal,
    pub target: Target,
    pub peer: Peer,
    pub policy_epoch: u64,
    pub schema_version: u32,
    pub at: UnixMicros,
}

/// The facts with which a session closes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// A word from a closed set: `client`, `client-lost`, `server-lost`, `revoked`, `violation`, `unrecorded`,
    /// `refused`, `idle`.
    pub reason: &'static str,
    pub at: UnixMicros,
    pub operations: u64,
    pub refused: u64,
    pub bytes_to_client: u64,
    pub bytes_to_server: u64,
}

/// What has been used up of one budget in one window: a counter that outlives the process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spent {
    pub rule: RuleId,
    pub unit: Unit,
    pub window_seconds: u32,
    /// Whose counter it is; empty where the rule has one for all.
    pub whose: String,
    /// The number of the window since 1970, in lengths of a window.
    pub window: i64,
    pub used: u64,
}

/// Keeps sessions and their recordings, who made what at targets, and what budgets have left.
pub trait Keep: Send + Sync {
    /// Whether another session may be opened: there is room to record it.
    fn admits(&self) -> Result<(), Unrecorded>;

    /// Opens a session's row and recording; its `opened` event is durable on return.
    fn begin(&self, opening: Opening) -> BoxFuture<'_, Result<Box<dyn Recorder>, Unrecorded>>;

    /// The counters of budgets whose window has not passed.
    fn spent(&self) -> BoxFuture<'_, Result<Vec<Spent>, Unrecorded>>;

    /// Writes down who made objects at a target; what has an owner keeps it.
    fn claim(&self, target: TargetName, owner: String, made: Vec<Made>) -> BoxFuture<'_, Result<(), Unrecorded>>;

    /// The owner of each object at a target, in the same order.
    fn owners(
        &self,
        target: TargetName,
        objects: Vec<Object>,
    ) -> BoxFuture<'_, Result<Vec<Option<String>>, Unrecorded>>;

    /// Writes counters of budgets down, each in the place of the one before, and forgets passed windows.
    fn keep_spent(&self, spent: Vec<Spent>) -> BoxFuture<'_, Result<(), Unrecorded>>;
}

/// One session's recording. Any error is final.
pub trait Recorder: Send + Sync {
    /// Takes the events that a flow has encoded, and empties the batch.
    fn append(&mut self, batch: &mut Batch) -> Result<(), Unrecorded>;

    /// Hands everything appended to the operating system. Nothing described by it has gone out before.
    fn commit(&mut self) -> Result<(), Unrecorded>;

    /// Makes everything committed durable. The future stands alone, so that other flows go on writing meanwhile.
    fn sync(&mut self) -> BoxFuture<'static, Result<(), Unrecorded>>;

    /// Writes the closing event and footer and closes the session's row.
    fn finish(self: Box<Self>, nanos: u64, closing: Closing) -> BoxFuture<'static, Result<(), Unrecorded>>;
}

/// An operation that asks people for leave.
#[derive(Clone, Debug)]
pub struct ApprovalRequest {
    pub id: HoldId,
    pub session: SessionId,
    pub principal: Principal,
    pub target: TargetName,
    /// The part of the target that the session is at.
    pub part: Option<Part>,
    pub action: &'static str,
    /// The rule that demands it, and its words.
    pub rule: RuleId,
    pub message: String,
    /// Every approval that must be given.
    pub approvals: Vec<Approval>,
    /// The exact text, and the bound values as people are shown them: different values differently.
    pub text: Vec<u8>,
    pub bound: Option<Vec<u8>>,
    /// What the approval is for, and nothing else.
    pub digest: Digest,
    pub requested: UnixMicros,
    pub expires: UnixMicros,
}

/// How a request ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settlement {
    Approved { by: Vec<String>, expires: UnixMicros },
    Denied { by: String },
    Expired,
    Cancelled,
}

/// Asks people.
pub trait Approve: Send + Sync {
    /// Files a request.
    fn request(&self, request: ApprovalRequest) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Waits until a request is settled. Dropping the future changes nothing.
    fn settled(&self, id: HoldId) -> BoxFuture<'_, Settlement>;

    /// How a request has ended by now; `None` while it is open.
    fn settlement(&self, id: HoldId) -> BoxFuture<'_, Option<Settlement>>;

    /// Takes a request back; used when the client gives up, disappears or the wait is over.
    fn withdraw(&self, id: HoldId, now: UnixMicros) -> BoxFuture<'_, ()>;

    /// Uses an approval up, atomically: true at most once, and only for this digest before its expiry.
    fn consume(&self, id: HoldId, digest: Digest, now: UnixMicros) -> BoxFuture<'_, bool>;
}
