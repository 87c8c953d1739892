//! An operation that waits for people.

use std::sync::Arc;
use std::time::Duration;

use sluice_model::{Digest, Hold, HoldId, OpId, Operation, Part, Refusal, UnixMicros};
use sluice_recording::Outcome;
use sluice_wire::HoldNotice;

use crate::clock;
use crate::ports::{ApprovalRequest, Approve, BoxFuture, Settlement};
use crate::stay::Stay;

/// The version of what an approval digest covers.
const DIGEST_VERSION: &[u8] = b"sluice-approval-2";

/// A hold that has been filed or is about to be.
pub(crate) struct Held {
    pub(crate) op: OpId,
    pub(crate) operation: Operation,
    /// Bound values as people are shown them, where that is not as they are.
    values: Option<String>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) notice: HoldNotice,
    pub(crate) digest: Digest,
    requested: UnixMicros,
}

/// A request that stands although its flow waits no longer.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) id: HoldId,
    pub(crate) requested: UnixMicros,
    pub(crate) expires: UnixMicros,
}

/// How the wait ended.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    pub(crate) people: Vec<String>,
    pub(crate) expires: UnixMicros,
}

impl Settled {
    pub(crate) fn alone(outcome: Outcome) -> Self {
        Self { outcome, people: Vec::new(), expires: UnixMicros(0) }
    }
}

impl Held {
    /// Prepares the request for an operation; `role` is the login role at the target.
    pub(crate) fn new(
        id: HoldId,
        op: OpId,
        (operation, values): (Operation, Option<String>),
        hold: Arc<Hold>,
        stay: &Stay,
        role: &str,
        cap_seconds: u32,
    ) -> Self {
        let requested = clock::now();
        let ttl = hold.approvals.iter().map(|approval| approval.ttl_seconds).min().unwrap_or(0).min(cap_seconds);
        let approvers: Vec<String> = hold
            .approvals
            .iter()
            .map(|approval| format!("{} of group `{}`", approval.count, approval.approvers))
            .collect();
        let notice = HoldNotice {
            id,
            message: hold.refusal.message.clone(),
            approvers: approvers.join(" and "),
            expires: requested.plus_seconds(i64::from(ttl)),
            wait_seconds: ttl,
        };
        let digest = digest(&operation, &hold, stay, role);
        Self { op, operation, values, hold, notice, digest, requested }
    }

    /// The same as a request that was filed before and still stands.
    pub(crate) fn resume(mut self, standing: Standing) -> Self {
        let left = standing.expires.seconds().saturating_sub(clock::now().seconds());
        self.notice.id = standing.id;
        self.notice.expires = standing.expires;
        self.notice.wait_seconds = u32::try_from(left).unwrap_or(0);
        self.requested = standing.requested;
        self
    }

    /// Seconds since people were asked.
    pub(crate) fn asked_seconds(&self) -> u32 {
        u32::try_from(clock::now().seconds().saturating_sub(self.requested.seconds())).unwrap_or(0)
    }

    /// The request, for an equal operation to take up.
    pub(crate) fn standing(&self) -> Standing {
        Standing { id: self.notice.id.clone(), requested: self.requested, expires: self.notice.expires }
    }

    /// Files the request.
    pub(crate) fn file(
        &self,
        approve: &Arc<dyn Approve>,
        stay: &Stay,
    ) -> BoxFuture<'static, Result<Option<Settled>, Refusal>> {
        let bound = self.operation.bound.as_ref().map(|bound| bound.content().to_vec());
        let request = ApprovalRequest {
            id: self.notice.id.clone(),
            session: stay.asker.session.clone(),
            principal: stay.asker.who.clone(),
            target: stay.asker.target.name.clone(),
            part: stay.asker.target.part.clone(),
            action: self.operation.shape.action.name,
            rule: self.hold.refusal.rule.clone(),
            message: self.notice.message.clone(),
            approvals: self.hold.approvals.clone(),
            text: self.operation.text.content().to_vec(),
            bound: self.values.clone().map(String::into_bytes).or(bound),
            digest: self.digest,
            requested: self.requested,
            expires: self.notice.expires,
        };
        let approve = Arc::clone(approve);
        Box::pin(async move { approve.request(request).await.map(|()| None) })
    }

    /// Looks whether people have answered a request that stands, and uses their approval up.
    pub(crate) fn look(&self, approve: &Arc<dyn Approve>) -> BoxFuture<'static, Result<Option<Settled>, Refusal>> {
        let approve = Arc::clone(approve);
        let (id, digest) = (self.notice.id.clone(), self.digest);
        Box::pin(async move {
            match approve.settlement(id.clone()).await {
                Some(settlement) => Ok(Some(conclude(&approve, id, digest, settlement).await)),
                None => Ok(None),
            }
        })
    }

    /// Waits for people, up to the expiry.
    pub(crate) fn wait(&self, approve: &Arc<dyn Approve>) -> BoxFuture<'static, Settlement> {
        let (approve, id) = (Arc::clone(approve), self.notice.id.clone());
        let patience = Duration::from_secs(u64::from(self.notice.wait_seconds));
        Box::pin(async move {
            let settlement = tokio::time::timeout(patience, approve.settled(id)).await;
            settlement.unwrap_or(Settlement::Expired)
        })
    }

    /// What a settlement comes to; uses an approval up.
    pub(crate) fn conclude(&self, approve: &Arc<dyn Approve>, settlement: Settlement) -> BoxFuture<'static, Settled> {
        let approve = Arc::clone(approve);
        let (id, digest) = (self.notice.id.clone(), self.digest);
        Box::pin(async move { conclude(&approve, id, digest, settlement).await })
    }

    /// Whether the approval is still for the same operation under the same policies (I6).
    pub(crate) fn still_stands(&self, stay: &Stay, role: &str) -> bool {
        digest(&self.operation, &self.hold, stay, role) == self.digest
    }
}

/// What a settlement comes to: an approval counts once, and only where it is used up.
async fn conclude(approve: &Arc<dyn Approve>, id: HoldId, digest: Digest, settlement: Settlement) -> Settled {
    match settlement {
        Settlement::Approved { by, expires } => {
            let used = approve.consume(id, digest, clock::now()).await;
            let outcome = if used { Outcome::Approved } else { Outcome::Expired };
            Settled { outcome, people: by, expires }
        }
        Settlement::Denied { by } => Settled { outcome: Outcome::Denied, people: vec![by], expires: UnixMicros(0) },
        Settlement::Cancelled => Settled::alone(Outcome::Withdrawn),
        Settlement::Expired => {
            approve.withdraw(id, clock::now()).await;
            Settled::alone(Outcome::Expired)
        }
    }
}

/// What an approval is for: version, principal and owner, target and its part, role, protocol, operation, scope, policy epoch.
fn digest(operation: &Operation, hold: &Hold, stay: &Stay, role: &str) -> Digest {
    let who = stay.asker.who.to_string();
    let scopes = format!("{:?}", hold.approvals.iter().map(|approval| approval.scope).collect::<Vec<_>>());
    let operation = operation.digest();
    let part = stay.asker.target.part.as_ref();
    let has_part = [u8::from(part.is_some())];
    let epoch = stay.rulings.epoch().to_be_bytes();
    Digest::of_parts([
        DIGEST_VERSION,
        who.as_bytes(),
        stay.asker.target.name.as_str().as_bytes(),
        &has_part,
        part.map_or("", Part::as_str).as_bytes(),
        role.as_bytes(),
        stay.asker.target.protocol.as_bytes(),
        &operation.0,
        scopes.as_bytes(),
        &epoch,
    ])
}
