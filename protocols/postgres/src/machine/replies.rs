//! What a server answers.

use std::sync::Arc;

use sluice_model::{Code, OpId, Refusal};
use sluice_sql::Lasts;
use sluice_wire::{Outbox, Violation};

use super::{CatalogState, Farewell, PostgresMachine, Shown};
use crate::curfew;
use crate::frame::{Fields, Frame};
use crate::meter::{self, Metered};
use crate::parameters;
use crate::pipeline::{Copying, Execution, Handling, Owed, Sent, Tickets, Writes};
use crate::refusal::{self, Ends};
use crate::rows;

const OUT_OF_TURN: Violation = Violation::server("an answer came that nothing had asked for");

impl PostgresMachine {
    pub(super) fn reply(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        if self.farewell == Farewell::Left {
            self.leaving.stir();
        } else {
            self.leaving.heard();
        }
        match frame.tag() {
            b'D' | b'd' => self.data(frame, out),
            b'C' | b'I' => self.complete(frame, out),
            b'1' | b'2' | b'3' | b's' => self.step_done(frame, out),
            b'T' | b't' | b'n' => self.description(frame, out),
            b'G' | b'H' => self.copy_begins(frame, out),
            b'Z' => self.ready(frame, out),
            b'E' => self.error(frame, out),
            b'N' => self.notice(frame, out),
            b'S' => parameter(frame, out),
            b'A' => self.notified(frame, out),
            b'c' => self.copy_ends(frame, out),
            b'V' => self.function_returned(frame, out),
            _ => Err(Violation::server("unknown message type")),
        }
    }

    fn current(&self) -> (OpId, Arc<Handling>) {
        self.pipeline
            .front()
            .map_or((OpId::CONNECT, Arc::clone(&self.idle)), |owed| (owed.op, Arc::clone(&owed.handling)))
    }

    fn pop(&mut self, out: &mut Outbox<Frame>) {
        if let Some(owed) = self.pipeline.pop() {
            self.release(owed.op, out);
        }
    }

    /// Rows and copied data pass as they are: masks were applied where the data came from.
    fn data(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.front().ok_or(OUT_OF_TURN)?;
        match (frame.tag(), &owed.sent) {
            (b'D', Sent::Query { copying: Copying { rows: true, .. }, columns: Some(columns), .. }) => {
                rows::check_width(&frame, *columns)?;
            }
            (b'D', Sent::Execute(Execution::Rows) | Sent::Fetch(_))
            | (b'd', Sent::Query { copying: Copying { gives: true, .. }, .. } | Sent::Execute(Execution::Gives)) => {}
            _ => return Err(OUT_OF_TURN),
        }
        let op = owed.op;
        let frame = match owed.veil() {
            Some(veil) if frame.tag() == b'D' && self.shown == Shown::All => match veil.draw(&frame)? {
                Some(frame) => frame,
                None => {
                    let writes = owed.handling.writes;
                    self.withhold(op, &too_large(), writes, out);
                    return Ok(());
                }
            },
            Some(_) | None => frame,
        };
        let writes = owed.handling.writes;
        if self.shown != Shown::All {
            return Ok(());
        }
        match meter::pass(owed.meters(), frame) {
            Metered::All(frame) => self.show(op, frame, out),
            Metered::Part(frame) => {
                frame.into_iter().for_each(|frame| self.show(op, frame, out));
                self.withhold(op, &meter::exceeded(), writes, out);
                if !self.pipeline.writes() {
                    self.curfew.cut();
                }
            }
        }
        Ok(())
    }

    fn copy_begins(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.front_mut().ok_or(OUT_OF_TURN)?;
        match (frame.tag(), &mut owed.sent) {
            (b'G', Sent::Query { copying: Copying { takes: true, .. }, .. })
            | (b'H', Sent::Query { copying: Copying { gives: true, .. }, .. } | Sent::Execute(Execution::Gives)) => {}
            (b'G', Sent::Execute(execution @ Execution::Awaits)) => *execution = Execution::Takes,
            _ => return Err(OUT_OF_TURN),
        }
        let op = owed.op;
        self.show(op, frame, out);
        Ok(())
    }

    /// `FunctionCallResponse`; `ReadyForQuery` follows.
    fn function_returned(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.front().ok_or(OUT_OF_TURN)?;
        let Sent::Function = &owed.sent else { return Err(OUT_OF_TURN) };
        let mut fields = Fields::of_server(frame.body());
        fields.value()?;
        fields.end()?;
        let op = owed.op;
        self.show(op, frame, out);
        Ok(())
    }

    fn copy_ends(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.front().ok_or(OUT_OF_TURN)?;
        let (Sent::Query { copying: Copying { gives: true, .. }, .. } | Sent::Execute(Execution::Gives)) = &owed.sent
        else {
            return Err(OUT_OF_TURN);
        };
        let op = owed.op;
        self.show(op, frame, out);
        Ok(())
    }

    /// `CommandComplete` or `EmptyQueryResponse`: one statement of a query, or an execution, is done.
    fn complete(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.front_mut().ok_or(OUT_OF_TURN)?;
        if owed.handling.changes_catalog && self.catalog == CatalogState::Fresh {
            self.catalog = CatalogState::Changed;
        }
        let op = owed.op;
        match &mut owed.sent {
            Sent::Query { steps, columns, .. } => {
                *columns = None;
                let step = steps.pop_front().unwrap_or_default();
                self.show(op, frame, out);
                self.confirm(&step.tickets, out);
            }
            Sent::Execute(_) => {
                self.show(op, frame, out);
                self.pop(out);
            }
            Sent::Name(tickets) => {
                let tickets = std::mem::take(tickets);
                self.show(op, frame, out);
                self.confirm(&tickets, out);
                self.pop(out);
            }
            Sent::Fetch(ticket) => {
                let tickets = Tickets { portals: vec![*ticket], ..Tickets::default() };
                self.show(op, frame, out);
                self.confirm(&tickets, out);
                self.pop(out);
            }
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::Describe
            | Sent::Close(_)
            | Sent::Function
            | Sent::Sync
            | Sent::PoisonedMessage(_)
            | Sent::PoisonedQuery(_) => return Err(OUT_OF_TURN),
        }
        Ok(())
    }

    /// `ParseComplete`, `BindComplete`, `CloseComplete` or `PortalSuspended`.
    fn step_done(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let owed = self.pipeline.pop().ok_or(OUT_OF_TURN)?;
        let tickets = match (frame.tag(), owed.sent) {
            (b'1', Sent::Parse(ticket)) => Tickets { statements: vec![ticket], ..Tickets::default() },
            (b'2', Sent::Bind(ticket)) => Tickets { portals: vec![ticket], ..Tickets::default() },
            (b'3', Sent::Close(tickets)) => tickets,
            (b's', Sent::Execute(Execution::Rows)) => Tickets::default(),
            (b's', Sent::Fetch(ticket)) => Tickets { portals: vec![ticket], ..Tickets::default() },
            _ => return Err(OUT_OF_TURN),
        };
        self.show(owed.op, frame, out);
        self.confirm(&tickets, out);
        self.release(owed.op, out);
        Ok(())
    }

    /// The server did what changes names.
    fn confirm(&mut self, tickets: &Tickets, out: &mut Outbox<Frame>) {
        for ticket in &tickets.statements {
            self.statements.confirm(*ticket);
        }
        let replaced = tickets.portals.iter().flat_map(|ticket| self.portals.confirm(*ticket)).collect();
        self.release_portals(replaced, out);
    }

    /// `RowDescription`, `ParameterDescription` or `NoData`.
    fn description(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let view = self.schemas.view();
        let owed = self.pipeline.front_mut().ok_or(OUT_OF_TURN)?;
        let describes = matches!(owed.sent, Sent::Describe);
        let (op, writes) = (owed.op, owed.handling.writes);
        let described = if frame.tag() == b'T' { Some(rows::check(frame.body(), owed, &view)?) } else { None };
        match (described, &mut owed.sent) {
            (_, Sent::Describe) => {}
            (Some(described), Sent::Query { copying: Copying { rows: true, .. }, columns: columns @ None, .. }) => {
                *columns = Some(described.columns);
            }
            _ => return Err(OUT_OF_TURN),
        }
        let is_unknown = described.is_some_and(|described| described.is_unknown);
        let last = describes && frame.tag() != b't';
        if is_unknown && self.shown == Shown::All {
            self.withhold(op, &changed_meanwhile(), writes, out);
            if self.catalog == CatalogState::Fresh {
                self.catalog = CatalogState::Stale;
            }
        }
        self.show(op, frame, out);
        if last {
            self.pop(out);
        }
        Ok(())
    }

    /// Shows an answer, unless the client was told that it will not be.
    fn show(&self, op: OpId, frame: Frame, out: &mut Outbox<Frame>) {
        if self.shown == Shown::All {
            out.to_client(op, frame);
        }
    }

    /// Ends the batch for the client, whose result cannot be shown. The server goes on; what it answers is not shown.
    fn withhold(&mut self, op: OpId, refusal: &Refusal, writes: Writes, out: &mut Outbox<Frame>) {
        let refusal = match writes {
            Writes::Nothing => refusal.clone(),
            Writes::Rows => refusal.clone().with_hint("It was carried out all the same: look before you run it again."),
        };
        super::requests::note(&refusal, out);
        out.to_client(op, refusal::error(&refusal, Ends::Statement));
        self.shown = Shown::Rest;
        self.pipeline.withhold_to_sync();
        self.drop_what_is_skipped_if_discarding(out);
    }

    fn drop_what_is_skipped_if_discarding(&mut self, out: &mut Outbox<Frame>) {
        if self.pipeline.discarding {
            self.drop_what_is_skipped(out);
        }
    }

    fn ready(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_server(frame.body());
        let status = fields.u8()?;
        fields.end()?;
        let owed = self.pipeline.pop().ok_or(OUT_OF_TURN)?;
        let mut failed = Tickets::default();
        match owed.sent {
            Sent::Sync | Sent::Function | Sent::PoisonedQuery(_) => {}
            // Changes whose statement was never completed did not happen.
            Sent::Query { steps, .. } => steps.iter().for_each(|step| failed.extend(&step.tickets)),
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::Describe
            | Sent::Execute(_)
            | Sent::Name(_)
            | Sent::Fetch(_)
            | Sent::Close(_)
            | Sent::PoisonedMessage(_) => return Err(OUT_OF_TURN),
        }
        self.take_back(&failed, out);
        self.status = status;
        self.shown = Shown::All;
        out.to_client(owed.op, frame);
        if status == b'I' {
            // What is under way may have been asked about before something lapsed.
            if self.pipeline.len() == 0 {
                self.is_at_rest();
            }
            let portals = self.portals.forget_confirmed(|portal| portal.lasts == Lasts::Session);
            self.release_portals(portals, out);
            if self.catalog == CatalogState::Changed {
                self.catalog = CatalogState::Stale;
            }
        }
        self.release(owed.op, out);
        match self.parked.take() {
            Some(frame) => self.request(frame, out),
            None => Ok(()),
        }
    }

    fn error(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (op, handling) = self.current();
        let refusal = match self.pipeline.front().map(|owed| &owed.sent) {
            Some(Sent::PoisonedMessage(refusal) | Sent::PoisonedQuery(refusal)) => Some(Arc::clone(refusal)),
            Some(_) | None => self.overdue(&handling, &frame, out)?,
        };
        let fatal = is_fatal(&frame)?;
        let shown = match refusal {
            Some(refusal) if !fatal => refusal::error(&refusal, Ends::Statement),
            Some(_) | None => refusal::sanitise(frame, handling.hush, &handling.text)?,
        };
        if fatal {
            self.farewell = Farewell::Said;
        }
        if fatal {
            out.to_client(op, shown);
        } else {
            self.show(op, shown, out);
        }
        let failed = match self.pipeline.front().map(|owed| &owed.sent) {
            // A query's own `ReadyForQuery` follows; an error at `Sync` is a commit that failed.
            None | Some(Sent::Query { .. } | Sent::Function | Sent::PoisonedQuery(_) | Sent::Sync) => Vec::new(),
            Some(_) => self.pipeline.skip_to_sync(),
        };
        self.fail(failed, out);
        self.drop_what_is_skipped_if_discarding(out);
        Ok(())
    }

    /// The refusal that stands behind the server's words, where a statement took longer than it may.
    fn overdue(
        &self,
        handling: &Handling,
        error: &Frame,
        out: &mut Outbox<Frame>,
    ) -> Result<Option<Arc<Refusal>>, Violation> {
        let Some(limit) = handling.time.filter(|_| self.curfew.is_overdue()) else { return Ok(None) };
        if !is_cancelled(error)? {
            return Ok(None);
        }
        let refusal = curfew::overdue(limit);
        super::requests::note(&refusal, out);
        Ok(Some(Arc::new(refusal)))
    }

    /// Takes back what failed messages would have done.
    fn fail(&mut self, failed: Vec<Owed>, out: &mut Outbox<Frame>) {
        let mut tickets = Tickets::default();
        for owed in &failed {
            match &owed.sent {
                Sent::Parse(ticket) => tickets.statements.push(*ticket),
                Sent::Bind(ticket) | Sent::Fetch(ticket) => tickets.portals.push(*ticket),
                Sent::Name(of_message) | Sent::Close(of_message) => tickets.extend(of_message),
                Sent::Query { steps, .. } => steps.iter().for_each(|step| tickets.extend(&step.tickets)),
                Sent::Describe
                | Sent::Execute(_)
                | Sent::Function
                | Sent::Sync
                | Sent::PoisonedMessage(_)
                | Sent::PoisonedQuery(_) => {}
            }
        }
        self.take_back(&tickets, out);
        for owed in failed {
            self.release(owed.op, out);
        }
    }

    /// The server did not, or will not, do what changes names.
    pub(super) fn take_back(&mut self, tickets: &Tickets, out: &mut Outbox<Frame>) {
        self.statements.fail(&tickets.statements);
        let never_made = self.portals.fail(&tickets.portals);
        self.release_portals(never_made, out);
    }

    fn notice(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (op, handling) = self.current();
        out.to_client(op, refusal::sanitise(frame, handling.hush, &handling.text)?);
        Ok(())
    }
}

/// Somebody changed the schema after the statement was read, so that nobody knows what the columns are.
fn changed_meanwhile() -> Refusal {
    let message = "the schema changed while the statement was run; its result is withheld";
    Refusal::builtin(Code::Unsupported, "schema-changed", message).with_hint("Run it again.")
}

/// Rows that pass in pieces cannot be masked.
fn too_large() -> Refusal {
    Refusal::builtin(Code::Limit, "row-too-large", "a row is too large to be masked")
        .with_hint("Leave out the masked columns, or the large ones.")
}

/// `ParameterStatus`: pinned settings must stay, and only settings that clients use are passed on.
pub(crate) fn parameter(frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
    let mut fields = Fields::of_server(frame.body());
    let (name, value) = (fields.cstr()?, fields.cstr()?);
    fields.end()?;
    if !parameters::keeps_pinned(name, value) {
        return Err(Violation::server("a pinned setting was changed"));
    }
    if parameters::is_reported(name) {
        out.to_client(OpId::CONNECT, frame);
    }
    Ok(())
}

/// Whether an error says that a statement was cancelled.
fn is_cancelled(error: &Frame) -> Result<bool, Violation> {
    let mut fields = Fields::of_server(error.body());
    loop {
        match fields.u8()? {
            0 => return Ok(false),
            b'C' => return Ok(fields.cstr()? == b"57014"),
            _ => drop(fields.cstr()?),
        }
    }
}

/// Whether an error ends the session.
pub(crate) fn is_fatal(frame: &Frame) -> Result<bool, Violation> {
    let mut fields = Fields::of_server(frame.body());
    let mut fatal = false;
    loop {
        match fields.u8()? {
            0 => return Ok(fatal),
            b'V' => fatal |= matches!(fields.cstr()?, b"FATAL" | b"PANIC"),
            _ => drop(fields.cstr()?),
        }
    }
}
