//! A flow's recording and its ledger of operations: what was allowed, and how much of each was written down.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_model::{DecisionId, FlowId, OpId, Operation, Refusal, Verdict};
use sluice_recording::{self as recording, Batch, Capped, Event, SEGMENT_BYTES, Toward};
use sluice_wire::{FlowError, Frame, Kept};

use crate::hold::{Held, Settled};
use crate::limits::Limits;
use crate::ports::Unrecorded;
use crate::stay::Stay;

/// A frame is written down in pieces of at most this many bytes.
const PIECE_BYTES: usize = 512 * 1024;

/// The recording of a session, as one flow writes into it.
pub(crate) struct Tape {
    stay: Arc<Stay>,
    flow: FlowId,
    /// Few at a time, and asked for in order: an ordered map finds them without hashing.
    open: BTreeMap<OpId, Open>,
    last_asked: OpId,
    limits: Limits,
    /// How the ids of this flow's decisions begin.
    decisions: String,
    /// The time of everything written since the last commit, if anything was: one batch is handled without waiting.
    at_ns: Option<u64>,
    /// What was written since. Encoded here, so that flows of one session wait for each other only to commit.
    batch: Batch,
    sync_due: bool,
    pub(crate) counts: Counts,
}

/// What a flow, or a session, amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) refused: u64,
    pub(crate) to_client: u64,
    pub(crate) to_server: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, more: Self) {
        self.operations = self.operations.saturating_add(more.operations);
        self.refused = self.refused.saturating_add(more.refused);
        self.to_client = self.to_client.saturating_add(more.to_client);
        self.to_server = self.to_server.saturating_add(more.to_server);
    }
}

/// One operation that is not done.
struct Open {
    allowed: bool,
    to_client: Passing,
    to_server: Passing,
}

/// What an operation's frames towards one side amount to.
struct Passing {
    capped: Capped,
    /// Bytes that are counted only.
    counted: u64,
}

impl Open {
    const fn new(cap: u64) -> Self {
        Self { allowed: false, to_client: Passing::new(cap), to_server: Passing::new(cap) }
    }
}

impl Passing {
    const fn new(cap: u64) -> Self {
        Self { capped: Capped::new(cap), counted: 0 }
    }

    /// What of a frame is written down.
    fn keep<'a>(&mut self, wire: &'a [u8], kept: Kept, limits: &Limits) -> &'a [u8] {
        match kept {
            Kept::Whole => wire,
            Kept::UpToLimit => self.capped.keep(wire),
            Kept::Bulk => self.capped.keep_up_to(limits.recorded_bulk_bytes, wire),
            Kept::Counted => {
                self.counted = self.counted.saturating_add(wire.len() as u64);
                &[]
            }
        }
    }
}

impl Tape {
    /// Starts the ledger with the connection itself as the one allowed operation.
    pub(crate) fn new(stay: Arc<Stay>, flow: FlowId, limits: Limits) -> Self {
        let mut connect = Open::new(u64::MAX);
        connect.allowed = true;
        Self {
            flow,
            open: BTreeMap::from([(OpId::CONNECT, connect)]),
            last_asked: OpId::CONNECT,
            limits,
            decisions: decisions(stay.asker.session.as_str(), flow),
            stay,
            at_ns: None,
            batch: Batch::default(),
            sync_due: false,
            counts: Counts::default(),
        }
    }

    pub(crate) fn write(&mut self, event: &Event<'_>) -> Result<(), FlowError> {
        let at_ns = *self.at_ns.get_or_insert_with(|| self.stay.reel.watch.nanos());
        let added = self.batch.add(self.flow, at_ns, event).map_err(|error| Unrecorded(error.to_string()));
        let written = added.and_then(|()| match self.batch.len() {
            0..SEGMENT_BYTES => Ok(()),
            _ => self.stay.reel.append(&mut self.batch),
        });
        written.map_err(|error| self.unrecorded(&error))
    }

    /// Hands everything written to the operating system.
    pub(crate) fn commit(&mut self) -> Result<(), FlowError> {
        if self.at_ns.take().is_none() {
            return Ok(());
        }
        self.stay.reel.commit(&mut self.batch).map_err(|error| self.unrecorded(&error))
    }

    /// Makes it durable if something was written that must be: a verdict that is not a plain allow.
    pub(crate) async fn sync_if_due(&mut self) -> Result<(), FlowError> {
        if !std::mem::take(&mut self.sync_due) {
            return Ok(());
        }
        let synced = self.stay.reel.sync().await;
        synced.map_err(|error| self.unrecorded(&error))
    }

    /// Writes a question down. Each is about an operation of its own: an allow is never inherited.
    pub(crate) fn asked(&mut self, op: OpId, operation: &Operation) -> Result<(), FlowError> {
        if op <= self.last_asked {
            return Err(FlowError::AskedTwice);
        }
        self.last_asked = op;
        if self.open.len() >= self.limits.open_operations {
            return Err(sluice_wire::Violation::client("too many operations are open at once").into());
        }
        self.counts.operations += 1;
        self.open.entry(op).or_insert_with(|| Open::new(self.limits.recorded_bytes));
        self.write(&Event::Asked(recording::Asked::of(op, operation)))
    }

    /// Writes a verdict down, and gives a refusal its decision id.
    pub(crate) fn ruled(&mut self, op: OpId, verdict: Verdict, cached: bool) -> Result<Verdict, FlowError> {
        let decision = self.decision(op);
        let verdict = match verdict {
            Verdict::Allow(_) => verdict,
            Verdict::Deny(refusal) => {
                self.counts.refused += 1;
                self.sync_due = true;
                let mut refusal = refusal;
                Arc::make_mut(&mut refusal).decision = Some(decision.clone());
                Verdict::Deny(refusal)
            }
            Verdict::Hold(_) => {
                self.sync_due = true;
                verdict
            }
        };
        let ruled = recording::Ruled::of(op, &verdict, &decision);
        self.write(&Event::Ruled(if cached { ruled.from_cache() } else { ruled }))?;
        Ok(verdict)
    }

    /// A refusal of the whole session.
    pub(crate) fn refused(&mut self, refusal: &Refusal) -> Result<(), FlowError> {
        self.sync_due = true;
        let pairs = vec![
            recording::Pair::new("rule", refusal.rule.as_str()),
            recording::Pair::new("message", refusal.message.as_str()),
        ];
        self.write(&Event::Noted(recording::Noted { kind: "session-ended".into(), pairs }))
    }

    pub(crate) fn held(&mut self, held: &Held) -> Result<(), FlowError> {
        let approvers = held.hold.approvals.iter().map(|approval| approval.approvers.as_str().into()).collect();
        self.sync_due = true;
        self.write(&Event::Held(recording::Held { op: held.op, hold: held.notice.id.as_str().into(), approvers }))
    }

    pub(crate) fn settled(&mut self, held: &Held, settled: &Settled) -> Result<(), FlowError> {
        self.sync_due = true;
        self.write(&Event::Settled(recording::Settled {
            op: held.op,
            hold: held.notice.id.as_str().into(),
            outcome: settled.outcome,
            people: settled.people.iter().map(|person| person.as_str().into()).collect(),
        }))
    }

    pub(crate) fn allow(&mut self, op: OpId) {
        if let Some(open) = self.open.get_mut(&op) {
            open.allowed = true;
        }
    }

    pub(crate) fn is_allowed(&self, op: OpId) -> bool {
        self.open.get(&op).is_some_and(|open| open.allowed)
    }

    /// Writes a frame down: as much of it as it asks for, and mostly up to the operation's cap.
    pub(crate) fn passed(&mut self, op: OpId, toward: Toward, frame: &impl Frame) -> Result<(), FlowError> {
        let (wire, kept) = (frame.wire(), frame.kept());
        let length = wire.len() as u64;
        let cap = self.limits.recorded_bytes;
        let open = self.open.entry(op).or_insert_with(|| Open::new(cap));
        let passing = match toward {
            Toward::Client => {
                self.counts.to_client = self.counts.to_client.saturating_add(length);
                &mut open.to_client
            }
            Toward::Server => {
                self.counts.to_server = self.counts.to_server.saturating_add(length);
                &mut open.to_server
            }
        };
        for piece in passing.keep(wire, kept, &self.limits).chunks(PIECE_BYTES) {
            self.write(&Event::Passed(recording::Passed { op, toward, frame: recording::Content(piece) }))?;
        }
        Ok(())
    }

    /// Ends an operation: its allow is gone, and what was cut off its frames is accounted for.
    pub(crate) fn done(&mut self, op: OpId) -> Result<(), FlowError> {
        let Some(open) = self.open.remove(&op) else { return Ok(()) };
        for (toward, passing) in [(Toward::Client, open.to_client), (Toward::Server, open.to_server)] {
            if passing.counted > 0 {
                self.write(&Event::Gap(recording::Gap::counted(toward, passing.counted)))?;
            }
            if let Some(rest) = passing.capped.finish() {
                let cut = recording::Cut { op, toward, bytes: rest.bytes, digest: rest.digest };
                self.write(&Event::Cut(cut))?;
            }
        }
        self.write(&Event::Done(op))
    }

    /// Accounts for every operation that never got done, and leaves it to the session. All but the end of a flow that
    /// has said everything is committed at once: the session goes on, and may be quiet for long.
    pub(crate) fn finish(&mut self) {
        let quiet = self.at_ns.take().is_none() && self.open.keys().eq([&OpId::CONNECT]);
        let left: Vec<OpId> = self.open.keys().copied().collect();
        for op in left {
            if self.done(op).is_err() {
                return;
            }
        }
        let reel = &self.stay.reel;
        let left = if quiet { reel.append(&mut self.batch) } else { reel.commit(&mut self.batch) };
        if let Err(error) = left {
            self.unrecorded(&error);
        }
    }

    fn decision(&self, op: OpId) -> DecisionId {
        #[expect(clippy::expect_used, reason = "INVARIANT: the tail of an id and a number make an id")]
        DecisionId::new(format!("{}{}", self.decisions, op.0)).expect("a decision id")
    }

    fn unrecorded(&self, error: &Unrecorded) -> FlowError {
        tracing::error!(session = %self.stay.asker.session, error = %error, "the recording failed");
        FlowError::Unrecorded
    }
}

/// How the ids of a flow's decisions begin: the end of the session's id tells it from the sessions around it.
fn decisions(session: &str, flow: FlowId) -> String {
    let skip = session.chars().count().saturating_sub(8);
    let tail: String = session.chars().skip(skip).collect();
    match flow {
        FlowId(0) => format!("d-{tail}-"),
        FlowId(later) => format!("d-{tail}-{later}."),
    }
}
