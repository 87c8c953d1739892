//! One connection's grammar, from the first `ReadyForQuery` to the end.
//!
//! Nothing a client sends is forwarded before it was asked about: `Query`, `Parse` and `Bind` each are an operation, and
//! the messages that follow a `Bind` travel under it. What is refused is replaced by text that cannot be parsed, so
//! that PostgreSQL itself aborts what must be aborted, skips to `Sync` and reports the right status; only the words of
//! its error are replaced by ours.

mod channels;
mod cursors;
mod denial;
mod dismissal;
mod function;
mod lapsing;
mod named;
mod naming;
mod question;
mod replies;
mod requests;
mod results;
mod values;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sluice_mask::Plan;
use sluice_model::{Code, Digest, Obligations, OpId, Refusal};
use sluice_sql::{Analysis, Change, Lasts, Rewritten};
use sluice_wire::{HoldNotice, Input, Lapse, Outbox, Side, Violation, Wants};

use crate::curfew::Curfew;
use crate::frame::Frame;
use crate::leaving::Leaving;
use crate::message::{self, Report};
use crate::names::{Batch, Names};
use crate::operation::{Known, understand};
use crate::pipeline::{Execution, Handling, MAX_OWED, Owed, Pipeline, Sent, Writes};
use crate::refusal::{self, Ends, Hush};
use crate::target::FunctionEntry;
use crate::tenure::Tenure;
use crate::veil::{Formats, MaskKey};
use crate::view::{Schemas, View};

pub(crate) use replies::{is_fatal, parameter};

use channels::Channels;
use dismissal::dismissed;
use lapsing::{Lapses, Stand};
use naming::{LookedUp, Naming};
use question::Question;

/// What a machine begins with.
#[derive(Debug)]
pub struct Setup {
    pub schemas: Arc<dyn Schemas>,
    /// Set when the flow ends while the server still owes answers: its statement should be cancelled.
    pub unfinished: Arc<AtomicBool>,
    /// Told when the client has left before all that the server owes was answered, and of every answer after that.
    pub leaving: Arc<Leaving>,
    /// Functions that the function call message may ask for, besides those of large objects.
    pub functions: Arc<[FunctionEntry]>,
    /// What masks that need a key are made with.
    pub mask_key: MaskKey,
    /// Told which statement is under way.
    pub curfew: Arc<Curfew>,
    /// Over once the target is configured otherwise.
    pub tenure: Arc<Tenure>,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct PostgresMachine {
    schemas: Arc<dyn Schemas>,
    unfinished: Arc<AtomicBool>,
    leaving: Arc<Leaving>,
    functions: Arc<[FunctionEntry]>,
    mask_key: MaskKey,
    curfew: Arc<Curfew>,
    tenure: Arc<Tenure>,
    /// The curfew knows of a statement.
    timing: bool,
    pipeline: Pipeline,
    statements: Names<Arc<Prepared>>,
    portals: Names<Portal>,
    /// The batch that the next message belongs to.
    batch: Batch,
    /// A message whose names are not settled yet, or that comes behind a limited statement.
    parked: Option<Frame>,
    doubt: Doubt,
    /// The client was told that a result cannot be shown: the rest of its batch is not shown either.
    shown: Shown,
    question: Option<Question>,
    rewrites: HashMap<Digest, (Arc<Obligations>, Arc<Rewritten>)>,
    functions_read: cursors::FunctionsRead,
    last_op: OpId,
    lapses: Lapses,
    channels: Channels,
    /// Transaction status of the newest `ReadyForQuery`: `I`, `T` or `E`. Nothing else is believed.
    status: u8,
    catalog: CatalogState,
    names: NamesAre,
    errand: Errand,
    /// How messages are handled that belong to no operation.
    idle: Arc<Handling>,
    farewell: Farewell,
}

/// A prepared statement, by `Parse` or by SQL.
#[derive(Debug)]
struct Prepared {
    /// `None` for one made by SQL `PREPARE`.
    known: Option<Arc<Known>>,
    analysis: Arc<Analysis>,
    /// The text that made it.
    text: Bytes,
    /// The parameter types declared with it: `count u16 · oid u32*`.
    types: Bytes,
    /// What its preparation was allowed with; its text was rewritten accordingly.
    obligations: Arc<Obligations>,
    handling: Arc<Handling>,
    /// The view of the schema that it was read against.
    epoch: u64,
    /// What its `EXECUTE` names.
    executes: Vec<LookedUp>,
}

/// A portal, kept open under the operation of its `Bind`, or a cursor.
#[derive(Clone, Debug)]
struct Portal {
    op: OpId,
    handling: Arc<Handling>,
    execution: Execution,
    naming: Option<Arc<Naming>>,
    /// The formats in which a simple query fetches from it.
    fetched: Formats,
    made: Made,
    stand: Stand,
    lasts: Lasts,
    /// How the rows are handled that a `FETCH` read when it was first executed: the server keeps them, whatever the name of its
    /// cursor stands for later.
    filled: Option<Arc<Handling>>,
    /// What the cursor stood on that it was filled from.
    source: Option<OpId>,
}

/// What made a portal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Made {
    ByBind,
    /// `DECLARE`: the protocol may describe and close it, and only SQL may read from it.
    BySql,
}

/// Whether the schema view is behind the session's own DDL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CatalogState {
    Fresh,
    /// Changed, but not known to be committed.
    Changed,
    /// Changed, and the transaction is over.
    Stale,
}

/// What is being fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Errand {
    None,
    /// A view that is newer than the session's own DDL.
    Renewal,
    /// A view that may be newer than the one at hand.
    Confirmation,
    /// The end of a request to cancel.
    Calm,
}

/// Whether a message names what the view does not hold.
#[derive(Debug)]
enum Doubt {
    None,
    /// It waits until the view is confirmed.
    Open(Frame),
    /// The view was confirmed for the message at hand.
    Settled,
}

/// Whether answers reach the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    All,
    /// Only what belongs to no statement, up to the next `ReadyForQuery`.
    Rest,
}

/// Whether unqualified names, and the role, still are what the analysis takes them for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NamesAre {
    Pinned,
    /// Something that could change them has run: each later statement is asked about as `sql.unknown` too.
    Uncertain,
}

/// Whether the client has been told that the session ends, or knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Farewell {
    Unsaid,
    Said,
    /// The client has left; what the server still owes reaches it if it reads on.
    Left,
}

/// What clients may read of a server's own words.
fn hush(view: &View) -> Hush {
    if view.is_tagged() { Hush::Values } else { Hush::Nothing }
}

impl Prepared {
    /// The same, read against a newer view in which no column is protected: nothing was rewritten, so the server's
    /// statement is this text still.
    fn read_anew(&self, name: &[u8], view: &View, names: &(dyn sluice_sql::Prepared + Sync)) -> Option<Self> {
        let known = understand(&self.text, view, names);
        let analysis = if self.known.is_some() {
            Arc::clone(&known.analysis)
        } else {
            let changes = known.analysis.statements.iter().filter_map(|statement| statement.change.as_ref());
            changes.rev().find_map(|change| match change {
                Change::Prepare(own, analysis) if own.as_bytes() == name => Some(Arc::clone(analysis)),
                Change::Prepare(..) | Change::Deallocate(_) | Change::DeallocateAll => None,
            })?
        };
        Some(Self {
            known: self.known.as_ref().map(|_| known),
            analysis,
            text: self.text.clone(),
            types: self.types.clone(),
            obligations: Arc::clone(&self.obligations),
            handling: Arc::clone(&self.handling),
            epoch: view.catalog.epoch(),
            executes: self.executes.clone(),
        })
    }

    /// Whether it was read against an older view than the newest, and may be read again.
    fn is_outdated(&self, view: &View) -> bool {
        self.epoch != view.catalog.epoch() && !view.is_tagged()
    }
}

impl PostgresMachine {
    /// A machine that has just sent its client the first `ReadyForQuery`.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let hush = hush(&setup.schemas.view());
        let idle = Arc::new(Handling {
            plan: Plan::clearing([]),
            hush,
            changes_catalog: false,
            writes: Writes::Nothing,
            veil: None,
            meter: None,
            of_sources: Vec::new(),
            time: None,
            text: Bytes::new(),
        });
        Self {
            schemas: setup.schemas,
            unfinished: setup.unfinished,
            leaving: setup.leaving,
            functions: setup.functions,
            mask_key: setup.mask_key,
            curfew: setup.curfew,
            tenure: setup.tenure,
            timing: false,
            pipeline: Pipeline::default(),
            statements: Names::default(),
            portals: Names::default(),
            batch: Batch::default(),
            parked: None,
            doubt: Doubt::None,
            shown: Shown::All,
            question: None,
            rewrites: HashMap::new(),
            functions_read: cursors::FunctionsRead::Nothing,
            last_op: OpId::CONNECT,
            lapses: Lapses::default(),
            channels: Channels::default(),
            status: b'I',
            catalog: CatalogState::Fresh,
            names: NamesAre::Pinned,
            errand: Errand::None,
            idle,
            farewell: Farewell::Unsaid,
        }
    }

    fn next_op(&mut self) -> OpId {
        self.last_op = self.last_op.next();
        self.last_op
    }

    /// Sends a message that the server will answer.
    fn send(&mut self, op: OpId, frame: Frame, sent: Sent, handling: &Arc<Handling>, out: &mut Outbox<Frame>) {
        if matches!(sent, Sent::Sync | Sent::Query { .. } | Sent::Function) {
            self.batch.0 = self.batch.0.wrapping_add(1);
        }
        self.pipeline.push(Owed { op, sent, handling: Arc::clone(handling) });
        out.to_server(op, frame);
    }

    fn release(&mut self, op: OpId, out: &mut Outbox<Frame>) {
        if self.pipeline.release(op) {
            out.done(op);
        }
    }

    fn release_portals(&mut self, portals: Vec<Portal>, out: &mut Outbox<Frame>) {
        for portal in portals {
            self.release(portal.op, out);
        }
    }

    /// The session's own DDL makes the view wrong before anyone can load a newer one.
    fn schema_is_in_flux(&self) -> bool {
        self.catalog != CatalogState::Fresh || self.errand == Errand::Renewal || self.pipeline.is_changing()
    }

    /// Fetches a new view of the schema once the session's own DDL is over and nothing else is pending, or one that
    /// holds what a waiting message names.
    fn run_errands(&mut self, out: &mut Outbox<Frame>) {
        if self.errand != Errand::None || self.question.is_some() {
            return;
        }
        if self.catalog == CatalogState::Stale {
            self.catalog = CatalogState::Fresh;
            self.errand = Errand::Renewal;
            out.errand(self.schemas.refresh());
        } else if matches!(self.doubt, Doubt::Open(_)) {
            self.errand = Errand::Confirmation;
            out.errand(self.schemas.confirm());
        } else if self.parked.is_some() && self.curfew.is_asking() {
            self.errand = Errand::Calm;
            let curfew = Arc::clone(&self.curfew);
            out.errand(Box::pin(async move { curfew.calm().await }));
        }
    }

    /// Says which statement the server is at, where its time or its result is limited.
    fn keep_time(&mut self) {
        let timed = self.pipeline.timed();
        if self.timing || timed.is_some() {
            self.timing = timed.is_some();
            self.curfew.watch(timed);
        }
    }

    /// Whether a message waits: the server may be cancelling what came before, and would cancel this.
    fn is_under_curfew(&self) -> bool {
        self.pipeline.is_closed_by_limit() || self.curfew.is_asking()
    }

    /// Whether a message must wait for a newer view; once for each, and never for what the session itself changes.
    fn doubts(&self, known: &Known) -> bool {
        known.doubts_the_view() && matches!(self.doubt, Doubt::None) && !self.schema_is_in_flux()
    }

    fn returned(&mut self, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let was = std::mem::replace(&mut self.errand, Errand::None);
        match std::mem::replace(&mut self.doubt, Doubt::None) {
            Doubt::Open(frame) if was == Errand::Confirmation => {
                self.doubt = Doubt::Settled;
                self.request(frame, out)?;
                self.doubt = Doubt::None;
            }
            other @ (Doubt::Open(_) | Doubt::None | Doubt::Settled) => self.doubt = other,
        }
        match self.parked.take() {
            Some(frame) if was == Errand::Calm => self.request(frame, out),
            parked => {
                self.parked = parked;
                Ok(())
            }
        }
    }

    /// The server skips everything up to the next `Sync`: what waits to be sent will not be.
    fn drop_what_is_skipped(&mut self, out: &mut Outbox<Frame>) {
        self.parked = None;
        self.doubt = Doubt::None;
        if let Some(question) = &mut self.question {
            question.moot = true;
            out.withdraw(question.op);
        }
    }

    fn held(&self, op: OpId, notice: &HoldNotice, out: &mut Outbox<Frame>) {
        if self.question.as_ref().is_some_and(|question| question.moot) {
            out.withdraw(op);
            return;
        }
        let locks = if self.status == b'T' { " The open transaction keeps its locks while it waits." } else { "" };
        let message = format!("waiting for approval {}: {}", notice.id, notice.message);
        let hint = format!(
            "{} may run: sluice approvals approve {} (within {} s). Cancel the statement to withdraw the request.{locks}",
            notice.approvers, notice.id, notice.wait_seconds,
        );
        let report = Report {
            severity: "NOTICE",
            sqlstate: "00000",
            message: &message,
            detail: None,
            hint: Some(&hint),
            position: None,
        };
        out.to_client(op, report.notice());
    }

    fn end_session(&mut self, refusal: &Refusal, out: &mut Outbox<Frame>) {
        if self.farewell != Farewell::Said {
            self.farewell = Farewell::Said;
            out.to_client(OpId::CONNECT, refusal::error(refusal, Ends::Session));
        }
        self.hang_up(out);
    }

    /// Ends the server's side.
    fn hang_up(&mut self, out: &mut Outbox<Frame>) {
        self.unfinished.fetch_or(self.pipeline.len() > 0, Ordering::Relaxed);
        out.to_server(OpId::CONNECT, message::terminate());
        out.close();
    }

    /// The client has nothing more to say. The server is told, who answers before it what it owes.
    fn leave(&mut self, out: &mut Outbox<Frame>) {
        if self.farewell == Farewell::Left {
            return;
        }
        // Amid a COPY nothing more can be answered.
        if self.pipeline.len() == 0 || self.pipeline.copying_in().is_some() || self.pipeline.awaits_copy() {
            self.hang_up(out);
            return;
        }
        self.farewell = Farewell::Left;
        out.to_server(OpId::CONNECT, message::terminate());
        self.leaving.stir();
    }

    fn ended(&mut self, side: Side, out: &mut Outbox<Frame>) {
        match side {
            Side::Client => self.leave(out),
            Side::Server if self.farewell == Farewell::Left => out.close(),
            Side::Server => {
                let lost = "the server closed the connection";
                self.end_session(&Refusal::builtin(Code::Unavailable, "server-closed", lost), out);
            }
        }
    }
}

impl sluice_wire::Machine for PostgresMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => self.request(frame, out)?,
            Input::FromServer(frame) => {
                self.reply(frame, out)?;
                self.part_if_dismissed(out);
            }
            Input::Ruled(op, ruling) if self.tenure.is_over() => self.ruled(op, dismissed(ruling), out)?,
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out)?,
            Input::Held(op, notice) => self.held(op, &notice, out),
            Input::Waiting(..) => {}
            Input::Returned => self.returned(out)?,
            Input::Revoked(refusal) => self.end_session(&refusal, out),
            Input::Ended(side) => self.ended(side, out),
        }
        self.run_errands(out);
        self.keep_time();
        Ok(())
    }

    fn unkept(&self, op: OpId, _obligations: &Obligations) -> Option<Refusal> {
        let question = self.question.as_ref().filter(|question| question.op == op)?;
        denial::unseen(&question.known.analysis)
    }

    fn values(&self, op: OpId) -> Option<String> {
        let question = self.question.as_ref().filter(|question| question.op == op)?;
        question.bound.as_ref().map(values::Values::shown)
    }

    fn lapsed(&mut self, lapse: Lapse) {
        self.lapse(lapse);
        self.channels.lapse(lapse);
    }

    fn wants(&self) -> Wants {
        if self.farewell == Farewell::Left {
            // What may still come is the end of its stream, or word that nobody is there any more.
            return Wants { client: true, server: true };
        }
        let settled = self.question.is_none() && self.parked.is_none() && self.errand == Errand::None;
        let settled = settled && matches!(self.doubt, Doubt::None);
        let client = settled && self.pipeline.len() < MAX_OWED && !self.pipeline.awaits_copy();
        Wants { client, server: true }
    }
}
