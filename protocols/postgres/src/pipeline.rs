//! The answers that a server owes, in the order of what was sent to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluice_mask::Plan;
use sluice_model::{OpId, Refusal};

use crate::curfew::Timed;
use crate::frame::Frame;
use crate::meter::Meter;
use crate::names::Ticket;
use crate::refusal::Hush;
use crate::veil::Veil;

/// Messages that may wait for an answer; above this no more client frames are taken.
///
/// A server keeps at most 8 KiB of short answers to itself, fewer than 1,700 of them, so it answers long before.
pub(crate) const MAX_OWED: usize = 8_192;

/// A column at its origin: table OID and attribute number.
pub(crate) type Origin = (u32, i16);

/// How an operation's results are handled.
#[derive(Clone, Debug)]
pub(crate) struct Handling {
    /// Protected columns this principal sees in full.
    pub(crate) plan: Plan<Origin>,
    pub(crate) hush: Hush,
    pub(crate) changes_catalog: bool,
    pub(crate) writes: Writes,
    /// What is masked as it passes, where it is executed.
    pub(crate) veil: Option<Veil>,
    /// What may be shown of it; each operation has its own.
    pub(crate) meter: Option<Arc<Meter>>,
    /// The same of the cursors that it reads from.
    pub(crate) of_sources: Vec<Arc<Meter>>,
    /// How long it may take.
    pub(crate) time: Option<Duration>,
    /// The text that the client wrote.
    pub(crate) text: Bytes,
}

/// Whether an operation changes rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Writes {
    Nothing,
    Rows,
}

/// What the statements of a query lead to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Copying {
    /// COPY from the client whose data the client has not ended yet.
    pub(crate) to_come: u32,
    /// Any COPY from the client.
    pub(crate) takes: bool,
    /// Any COPY to the client.
    pub(crate) gives: bool,
    /// Any statement that is no COPY.
    pub(crate) rows: bool,
}

/// What the execution of a portal leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Execution {
    Rows,
    /// COPY to the client.
    Gives,
    /// COPY from the client. Until the server takes it or fails nobody knows what the next message of the client means:
    /// `Sync` is passed over during a COPY, and ends a batch that has failed.
    Awaits,
    /// COPY from the client, under way.
    Takes,
    /// COPY from the client, who has said that it was all.
    Taken,
}

/// Changes to names that come into force with an answer.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    pub(crate) statements: Vec<Ticket>,
    pub(crate) portals: Vec<Ticket>,
}

impl Tickets {
    pub(crate) fn extend(&mut self, more: &Self) {
        self.statements.extend(&more.statements);
        self.portals.extend(&more.portals);
    }
}

/// One statement of a simple query.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) tickets: Tickets,
    /// What is masked as its rows pass.
    pub(crate) veil: Option<Veil>,
    /// Protected columns that its rows may show, where it shows those of another statement.
    pub(crate) plan: Option<Plan<Origin>>,
    /// What may be shown of the cursor that it reads from.
    pub(crate) meter: Option<Arc<Meter>>,
}

/// What was sent.
#[derive(Debug)]
pub(crate) enum Sent {
    /// A simple query of some statements.
    /// `columns` is the width of the result that is coming in, once it was described.
    Query {
        steps: VecDeque<Step>,
        copying: Copying,
        columns: Option<u16>,
    },
    Parse(Ticket),
    Bind(Ticket),
    Describe,
    Execute(Execution),
    /// An execution that changes names.
    Name(Tickets),
    /// The first execution of a `FETCH`, which reads all that it will show.
    Fetch(Ticket),
    Close(Tickets),
    /// A function call message.
    Function,
    Sync,
    /// Text that cannot be parsed, in the place of an extended message that was refused.
    PoisonedMessage(Arc<Refusal>),
    /// Text that cannot be parsed, in the place of a query or function call that was refused.
    PoisonedQuery(Arc<Refusal>),
}

/// One message that waits for its answer.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) op: OpId,
    pub(crate) sent: Sent,
    pub(crate) handling: Arc<Handling>,
}

impl Owed {
    const fn is_performed(&self) -> bool {
        matches!(self.sent, Sent::Query { .. } | Sent::Execute(_) | Sent::Name(_) | Sent::Fetch(_))
    }

    /// Whether the server may have to be asked to cancel it.
    fn is_limited(&self) -> bool {
        let handling = &self.handling;
        let limited = handling.time.is_some() || handling.meter.is_some() || !handling.of_sources.is_empty();
        limited && (self.is_performed() || matches!(self.sent, Sent::Function))
    }

    /// The statements of a query that are not answered yet; `None` of other messages.
    const fn steps(&self) -> Option<&VecDeque<Step>> {
        if let Sent::Query { steps, .. } = &self.sent { Some(steps) } else { None }
    }

    /// What is masked in the rows that come in.
    pub(crate) fn veil(&self) -> Option<&Veil> {
        match self.steps() {
            Some(steps) => steps.front()?.veil.as_ref(),
            None => self.handling.veil.as_ref(),
        }
    }

    /// What the rows that come in may show.
    pub(crate) fn plan(&self) -> &Plan<Origin> {
        self.steps().and_then(|steps| steps.front()?.plan.as_ref()).unwrap_or(&self.handling.plan)
    }

    /// What the rows that come in count on: its own meter, and that of what it reads from.
    pub(crate) fn meters(&self) -> impl Iterator<Item = &Meter> {
        let own = self.handling.meter.as_ref();
        let source = match self.steps() {
            Some(steps) => steps.front().and_then(|step| step.meter.as_ref()),
            None => self.handling.of_sources.first(),
        };
        // A text that declares a cursor and reads from it has one meter for both.
        let source = source.filter(|source| !own.is_some_and(|own| Arc::ptr_eq(own, source)));
        own.into_iter().chain(source).map(|meter| &**meter)
    }

    /// Whether the server answers it with `ReadyForQuery`.
    const fn ends_batch(&self) -> bool {
        matches!(self.sent, Sent::Query { .. } | Sent::Function | Sent::Sync | Sent::PoisonedQuery(_))
    }

    fn performs_ddl(&self) -> bool {
        self.is_performed() && self.handling.changes_catalog
    }
}

/// The queue of answers owed, and the operations that they keep open.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    owed: VecDeque<Owed>,
    users: HashMap<OpId, u32>,
    /// How many of them may change the schema once the server gets to them.
    changing: usize,
    /// How many of them are limited.
    limited: usize,
    /// How many have been answered, or skipped.
    over: u64,
    /// The server skips everything up to the next `Sync`.
    pub(crate) discarding: bool,
}

impl Pipeline {
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    pub(crate) fn front(&self) -> Option<&Owed> {
        self.owed.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Owed> {
        self.owed.front_mut()
    }

    /// A query that may carry `CopyData` from the client is waiting for its answer.
    pub(crate) fn copying_in(&self) -> Option<OpId> {
        let last = self.owed.back()?;
        let in_query = matches!(last.sent, Sent::Query { copying: Copying { to_come: 1.., .. }, .. });
        (in_query || matches!(last.sent, Sent::Execute(Execution::Takes))).then_some(last.op)
    }

    /// Whether the server has yet to say that it takes copied data.
    pub(crate) fn awaits_copy(&self) -> bool {
        self.owed.back().is_some_and(|owed| matches!(owed.sent, Sent::Execute(Execution::Awaits)))
    }

    /// The client has sent the end of the data of one COPY.
    pub(crate) fn copied_in(&mut self) {
        match self.owed.back_mut().map(|owed| &mut owed.sent) {
            Some(Sent::Query { copying, .. }) => copying.to_come = copying.to_come.saturating_sub(1),
            Some(Sent::Execute(execution)) => *execution = Execution::Taken,
            Some(_) | None => {}
        }
    }

    /// Something under way may change the schema.
    pub(crate) const fn is_changing(&self) -> bool {
        self.changing > 0
    }

    /// The limited statement that the server is at.
    pub(crate) fn timed(&self) -> Option<Timed> {
        if self.limited == 0 {
            return None;
        }
        let performed = |owed: &&Owed| owed.is_performed() || matches!(owed.sent, Sent::Function);
        let (owed, place) = self.owed.iter().zip(self.over..).find(|(owed, _)| performed(owed))?;
        owed.is_limited().then_some(Timed { place, limit: owed.handling.time })
    }

    /// A limited statement is under way, and what follows belongs to another batch: it would be met by a request to
    /// cancel that comes too late.
    pub(crate) fn is_closed_by_limit(&self) -> bool {
        self.limited > 0 && self.owed.back().is_some_and(Owed::ends_batch)
    }

    /// Whether anything that is owed changes rows.
    pub(crate) fn writes(&self) -> bool {
        self.owed.iter().any(|owed| owed.handling.writes == Writes::Rows)
    }

    pub(crate) fn push(&mut self, owed: Owed) {
        self.retain(owed.op);
        self.changing = self.changing.saturating_add(usize::from(owed.performs_ddl()));
        self.limited = self.limited.saturating_add(usize::from(owed.is_limited()));
        self.owed.push_back(owed);
    }

    pub(crate) fn pop(&mut self) -> Option<Owed> {
        let owed = self.owed.pop_front();
        self.forget(owed.as_ref());
        owed
    }

    fn forget(&mut self, owed: Option<&Owed>) {
        self.changing = self.changing.saturating_sub(usize::from(owed.is_some_and(Owed::performs_ddl)));
        self.limited = self.limited.saturating_sub(usize::from(owed.is_some_and(Owed::is_limited)));
        self.over = self.over.saturating_add(u64::from(owed.is_some()));
    }

    /// Takes everything up to the next `Sync` off the queue: the server has failed one message and skips the others.
    pub(crate) fn skip_to_sync(&mut self) -> Vec<Owed> {
        let sync = self.owed.iter().position(|owed| matches!(owed.sent, Sent::Sync));
        self.discarding |= sync.is_none();
        let skipped: Vec<Owed> = self.owed.drain(..sync.unwrap_or(self.owed.len())).collect();
        skipped.iter().for_each(|owed| self.forget(Some(owed)));
        skipped
    }

    /// The client was told of an error that the server does not know of: what it sends up to its next `Sync` is skipped.
    pub(crate) fn withhold_to_sync(&mut self) {
        let in_query = matches!(self.front().map(|owed| &owed.sent), Some(Sent::Query { .. }));
        self.discarding |= !in_query && !self.owed.iter().any(|owed| matches!(owed.sent, Sent::Sync));
    }

    /// Keeps an operation open.
    pub(crate) fn retain(&mut self, op: OpId) {
        let users = self.users.entry(op).or_insert(0);
        *users = users.saturating_add(1);
    }

    /// Lets go of an operation; true when nothing uses it any more.
    pub(crate) fn release(&mut self, op: OpId) -> bool {
        let Some(users) = self.users.get_mut(&op) else { return false };
        *users = users.saturating_sub(1);
        let last = *users == 0;
        if last {
            self.users.remove(&op);
        }
        last && op != OpId::CONNECT
    }
}

/// Unparsable text for a simple query. PostgreSQL answers 42601, aborts what it must and reports the right status.
pub(crate) fn poisoned_query() -> Frame {
    crate::message::query(POISON.as_bytes())
}

/// Unparsable text for an extended message. A named statement is neither made nor dropped by a failing `Parse`.
pub(crate) fn poisoned_message() -> Frame {
    Frame::build(b'P', |out| {
        crate::message::put_cstr(out, b"sluice_refused");
        crate::message::put_cstr(out, POISON.as_bytes());
        bytes::BufMut::put_u16(out, 0);
    })
}

/// Fails in the server's raw parser, before any transaction state is looked at.
const POISON: &str = "sluice_refused this statement";
