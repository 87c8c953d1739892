//! What a client sends.

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, OpId, Refusal, Stage};
use sluice_sql::Cursor;
use sluice_wire::{Outbox, Violation};

use super::cursors::too_many_portals;
use super::named::{Named, NamesInUse, check_name, check_types, kind_and_name, taken, unknown_name};
use super::naming::{LookedUp, Naming, check_nesting};
use super::question::{Asked, Question};
use super::values::Values;
use super::{Doubt, Farewell, Made, NamesAre, Portal, PostgresMachine};
use crate::frame::{Fields, Frame};
use crate::message;
use crate::names::{Change, Found};
use crate::operation::{Known, understand};
use crate::pipeline::{Handling, Sent, Tickets};
use crate::veil::Formats;

/// Names of prepared statements and portals one connection may hold.
pub(crate) const MAX_NAMES: usize = 10_000;

impl PostgresMachine {
    pub(super) fn request(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        if let Some(op) = self.pipeline.copying_in() {
            return self.during_copy(op, frame, out);
        }
        match frame.tag() {
            // PostgreSQL reads nothing after `Terminate`.
            _ if self.farewell == Farewell::Left => Ok(()),
            // Leftovers of a COPY that the server has already failed, which PostgreSQL ignores too.
            b'd' | b'c' | b'f' => Ok(()),
            b'X' => self.terminate(&frame, out),
            _ if self.is_under_curfew() => self.park(frame),
            tag if self.dismisses(tag) => {
                self.dismiss(tag, out);
                Ok(())
            }
            b'S' => self.sync(frame, out),
            _ if self.pipeline.discarding => Ok(()),
            b'Q' => self.query(frame, out),
            b'P' => self.parse(frame, out),
            b'B' => self.bind(frame, out),
            b'D' => self.describe(frame, out),
            b'E' => self.execute(frame, out),
            b'C' => self.close(frame, out),
            b'H' => {
                Fields::of_client(frame.body()).end()?;
                out.to_server(OpId::CONNECT, frame);
                Ok(())
            }
            b'F' => self.function_call(frame, out),
            _ => Err(Violation::client("unknown message type")),
        }
    }

    /// While a COPY FROM is under way, only its own messages mean what they say: PostgreSQL would take any other for the
    /// end of the COPY, and its answers would no longer be told apart.
    fn during_copy(&mut self, op: OpId, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match frame.tag() {
            b'd' => {
                out.to_server(op, frame);
                Ok(())
            }
            b'c' | b'f' => {
                self.pipeline.copied_in();
                out.to_server(op, frame);
                Ok(())
            }
            // PostgreSQL ignores both during COPY.
            b'H' | b'S' => Fields::of_client(frame.body()).end(),
            b'X' => self.terminate(&frame, out),
            _ => Err(Violation::client("a message other than CopyData, CopyDone or CopyFail came during COPY")),
        }
    }

    fn terminate(&mut self, frame: &Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        Fields::of_client(frame.body()).end()?;
        self.leave(out);
        Ok(())
    }

    fn sync(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        Fields::of_client(frame.body()).end()?;
        self.pipeline.discarding = false;
        let idle = Arc::clone(&self.idle);
        self.send(OpId::CONNECT, frame, Sent::Sync, &idle, out);
        Ok(())
    }

    fn query(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_client(frame.body());
        let text = frame.body_bytes().slice_ref(fields.cstr()?);
        fields.end()?;
        let names = NamesInUse::of(self);
        let view = self.schemas.view();
        let known = understand(&text, &view, &names);
        let Some(looked_up) = names.looked_up() else { return self.park(frame) };
        if !self.fetches_are_settled(&known.analysis) {
            return self.park(frame);
        }
        if self.doubts(&known) {
            self.doubt = Doubt::Open(frame);
            return Ok(());
        }
        if let Err(refusal) = check_nesting(&looked_up, &view) {
            self.refuse_query(refusal, out);
            return Ok(());
        }
        if let Some(lapsed) = self.lapsed_in(&known.analysis) {
            self.ask_again(lapsed, frame, out);
            return Ok(());
        }
        let bound = (!looked_up.is_empty()).then(|| Values::executed(texts(&looked_up)));
        let epoch = view.catalog.epoch();
        let asked = Asked::Query { looked_up };
        self.ask(Question::new(frame, known, epoch, asked, bound), Stage::Perform, out);
        Ok(())
    }

    /// **Shape:** `name cstr · text cstr · count i16 · type oid u32*`
    fn parse(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let body = frame.body_bytes();
        let mut fields = Fields::of_client(&body);
        let name = body.slice_ref(fields.cstr()?);
        let text = body.slice_ref(fields.cstr()?);
        let types = body.slice_ref(fields.remaining());
        let usable = check_types(fields)?.and_then(|()| check_name(&name, &self.schemas.view()));
        let usable = match (usable, self.statements.find(&name, self.batch)) {
            (Ok(()), Found::Unsettled) if !name.is_empty() => return self.park(frame),
            (Ok(()), Found::Known(_)) if !name.is_empty() => Err(taken(&Named::Statement)),
            (usable, Found::Known(_) | Found::Unknown | Found::Unsettled) => usable,
        };
        if let Err(refusal) = usable {
            self.refuse_message(refusal, out);
            return Ok(());
        }
        if self.statements.len() >= MAX_NAMES {
            self.refuse_message(too_many_statements(), out);
            return Ok(());
        }
        let view = self.schemas.view();
        let names = NamesInUse::of(self);
        let known = understand(&text, &view, &names);
        let Some(looked_up) = names.looked_up() else { return self.park(frame) };
        if self.doubts(&known) {
            self.doubt = Doubt::Open(frame);
            return Ok(());
        }
        if let Err(refusal) = check_nesting(&looked_up, &view) {
            self.refuse_message(refusal, out);
            return Ok(());
        }
        let epoch = view.catalog.epoch();
        let asked = Asked::Parse { name, types, looked_up };
        self.ask(Question::new(frame, known, epoch, asked, None), Stage::Prepare, out);
        Ok(())
    }

    /// **Shape:** `portal cstr · statement cstr · formats · values · result formats`, each list `count i16 · item*`
    fn bind(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let body = frame.body_bytes();
        let mut fields = Fields::of_client(&body);
        let portal = body.slice_ref(fields.cstr()?);
        let statement = fields.cstr()?;
        let bound = body.slice_ref(fields.remaining());
        for _ in 0..fields.u16()? {
            fields.u16()?;
        }
        for _ in 0..fields.u16()? {
            fields.value()?;
        }
        for _ in 0..fields.u16()? {
            fields.u16()?;
        }
        fields.end()?;
        let prepared = match self.statements.find(statement, self.batch) {
            Found::Unsettled => return self.park(frame),
            Found::Known(prepared) => {
                let view = self.schemas.view();
                let names = NamesInUse::of(self);
                let anew =
                    if prepared.is_outdated(&view) { prepared.read_anew(statement, &view, &names) } else { None };
                let prepared = anew.map_or_else(|| Arc::clone(prepared), Arc::new);
                prepared.known.clone().map(|known| (prepared, known))
            }
            Found::Unknown => None,
        };
        let usable = match self.portals.find(&portal, self.batch) {
            Found::Unsettled if !portal.is_empty() => return self.park(frame),
            // Whether a cursor is still there the server knows best.
            Found::Known(Portal { made: Made::ByBind, .. }) if !portal.is_empty() => Err(taken(&Named::Portal)),
            Found::Known(_) | Found::Unknown | Found::Unsettled => check_name(&portal, &self.schemas.view()),
        };
        let bindable = usable.and_then(|()| prepared.ok_or_else(|| unknown_name(&Named::Statement)));
        let executes = bindable.as_ref().map_or(&[][..], |(prepared, _)| &prepared.executes);
        let Some(stand) = self.names_stand(executes) else { return self.park(frame) };
        let (prepared, known) = match bindable.and_then(|bindable| stand.map(|()| bindable)) {
            Ok(bindable) => bindable,
            Err(refusal) => {
                self.refuse_message(refusal, out);
                return Ok(());
            }
        };
        let bound = Values::of_bind(&texts(&prepared.executes), &prepared.types, &bound);
        if self.portals.len() >= MAX_NAMES {
            self.refuse_message(too_many_portals(), out);
            return Ok(());
        }
        let epoch = prepared.epoch;
        let asked = Asked::Bind { portal, prepared };
        self.ask(Question::new(frame, known, epoch, asked, Some(bound)), Stage::Perform, out);
        Ok(())
    }

    /// **Shape:** `kind u8 · name cstr`
    fn describe(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (kind, name) = kind_and_name(&frame)?;
        let found = match kind {
            Named::Statement => match self.statements.find(&name, self.batch) {
                Found::Known(prepared) => {
                    let cursor = prepared.analysis.statements.first().and_then(|statement| statement.cursor.as_ref());
                    Some((OpId::CONNECT, self.described(cursor, &Formats::default(), &prepared.handling)))
                }
                Found::Unknown => None,
                Found::Unsettled => return self.park(frame),
            },
            Named::Portal => match self.portals.find(&name, self.batch) {
                Found::Known(portal) => Some((portal.op, self.portal_described(portal))),
                Found::Unknown => None,
                Found::Unsettled => return self.park(frame),
            },
        };
        match found {
            Some((_, None)) => return self.park(frame),
            Some((op, Some(handling))) => self.send(op, frame, Sent::Describe, &handling, out),
            // A cursor that SQL declared can be described, and where nothing is protected nothing is uncovered by it.
            None if !self.schemas.view().is_tagged() => {
                let idle = Arc::clone(&self.idle);
                self.send(OpId::CONNECT, frame, Sent::Describe, &idle, out);
            }
            None => self.refuse_message(unknown_name(&kind), out),
        }
        Ok(())
    }

    /// **Shape:** `portal cstr · row limit i32`
    fn execute(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_client(frame.body());
        let name = fields.cstr()?;
        fields.i32()?;
        fields.end()?;
        match self.portals.find(name, self.batch) {
            Found::Known(Portal { made: Made::BySql, .. }) | Found::Unknown => {
                self.refuse_message(unknown_name(&Named::Portal), out);
            }
            Found::Known(portal) => {
                let portal = portal.clone();
                if let Some(lapsed) = self.lapsed_by(name, &portal) {
                    self.ask_again(lapsed, frame, out);
                    return Ok(());
                }
                match &portal.naming {
                    None => self.perform(portal.op, frame, Sent::Execute(portal.execution), &portal.handling, out),
                    Some(naming) => self.execute_naming(frame, &portal, naming, out)?,
                }
            }
            Found::Unsettled => return self.park(frame),
        }
        Ok(())
    }

    /// Executes what changes names, or looks them up. Those of statements must be what they were when the portal was bound.
    fn execute_naming(
        &mut self,
        frame: Frame,
        portal: &Portal,
        naming: &Naming,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Violation> {
        let Some(stand) = self.names_stand(&naming.executes) else { return self.park(frame) };
        let Some(handling) = self.read_by(portal, naming) else { return self.park(frame) };
        let full = matches!(naming.change, Some(Change::Define(..))) && self.statements.len() >= MAX_NAMES;
        let declares = matches!(naming.cursor, Some(Cursor::Declare(..))) && self.portals.len() >= MAX_NAMES;
        let room = match (full, declares) {
            (true, _) => Err(too_many_statements()),
            (_, true) => Err(too_many_portals()),
            (false, false) => Ok(()),
        };
        let handling = match stand.and(room).and(handling) {
            Ok(handling) => handling,
            Err(refusal) => {
                self.refuse_message(refusal, out);
                return Ok(());
            }
        };
        let sent = self.sent_naming(&frame, portal, naming, &handling)?;
        self.perform(portal.op, frame, sent, &handling, out);
        Ok(())
    }

    /// Sends an execution.
    fn perform(&mut self, op: OpId, frame: Frame, sent: Sent, handling: &Arc<Handling>, out: &mut Outbox<Frame>) {
        self.send(op, frame, sent, handling, out);
        if handling.time.is_some() {
            // Otherwise the server keeps its answer to itself, and its time would go on.
            out.to_server(op, message::flush());
        }
    }

    /// What becomes of names with an execution that is being sent.
    fn sent_naming(
        &mut self,
        frame: &Frame,
        portal: &Portal,
        naming: &Naming,
        handling: &Arc<Handling>,
    ) -> Result<Sent, Violation> {
        if matches!(naming.cursor, Some(Cursor::Fetch(_))) && portal.filled.is_none() {
            let name = Bytes::copy_from_slice(Fields::of_client(frame.body()).cstr()?);
            return Ok(Sent::Fetch(self.fill(name, portal, handling)));
        }
        let statement = naming.change.clone().map(|change| self.statements.send(change, self.batch));
        let cursor = naming.cursor.as_ref().and_then(|cursor| {
            self.steer(cursor, &portal.handling, portal.handling.veil.as_ref(), || portal.stand.clone())
        });
        Ok(match (statement, cursor) {
            (None, None) => Sent::Execute(portal.execution),
            (statement, cursor) => Sent::Name(Tickets {
                statements: statement.into_iter().collect(),
                portals: cursor.into_iter().collect(),
            }),
        })
    }

    fn close(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (kind, name) = kind_and_name(&frame)?;
        if let Err(refusal) = check_name(&name, &self.schemas.view()) {
            self.refuse_message(refusal, out);
            return Ok(());
        }
        let batch = self.batch;
        let mut tickets = Tickets::default();
        match kind {
            Named::Statement => tickets.statements.push(self.statements.send(Change::Forget(name), batch)),
            Named::Portal => tickets.portals.push(self.portals.send(Change::Forget(name), batch)),
        }
        let idle = Arc::clone(&self.idle);
        self.send(OpId::CONNECT, frame, Sent::Close(tickets), &idle, out);
        Ok(())
    }

    /// Keeps a message until the names it uses are settled, and what is limited is over: at the latest by the next
    /// `ReadyForQuery`.
    fn park(&mut self, frame: Frame) -> Result<(), Violation> {
        self.parked = Some(frame);
        Ok(())
    }
}

impl PostgresMachine {
    pub(super) fn ask(&mut self, question: Question, stage: Stage, out: &mut Outbox<Frame>) {
        let op = self.next_op();
        let question = match self.names {
            NamesAre::Pinned => question,
            NamesAre::Uncertain => Question { known: Arc::new(question.known.in_doubt()), ..question },
        };
        let operation =
            Known::operation(&question.known, stage, question.bound.as_ref().map(|bound| bound.bytes.clone()));
        self.question = Some(Question { op, laws: self.lapses.laws, ..question });
        out.ask(op, operation);
    }
}

/// Refusals that need no asking.
impl PostgresMachine {
    /// Refuses an extended message: PostgreSQL fails it and skips to `Sync`, and so does the machine.
    pub(super) fn refuse_message(&mut self, refusal: Refusal, out: &mut Outbox<Frame>) {
        note(&refusal, out);
        self.poison_message(OpId::CONNECT, Arc::new(refusal), out);
    }

    pub(super) fn refuse_query(&mut self, refusal: Refusal, out: &mut Outbox<Frame>) {
        note(&refusal, out);
        self.poison_query(OpId::CONNECT, Arc::new(refusal), out);
    }

    /// Refuses a message by its kind.
    pub(super) fn poison(&mut self, op: OpId, tag: u8, refusal: Arc<Refusal>, out: &mut Outbox<Frame>) {
        match tag {
            b'Q' | b'F' => self.poison_query(op, refusal, out),
            _ => self.poison_message(op, refusal, out),
        }
    }

    pub(super) fn poison_message(&mut self, op: OpId, refusal: Arc<Refusal>, out: &mut Outbox<Frame>) {
        self.pipeline.push(crate::pipeline::Owed {
            op,
            sent: Sent::PoisonedMessage(refusal),
            handling: Arc::clone(&self.idle),
        });
        self.pipeline.discarding = true;
        out.to_server(OpId::CONNECT, crate::pipeline::poisoned_message());
    }

    pub(super) fn poison_query(&mut self, op: OpId, refusal: Arc<Refusal>, out: &mut Outbox<Frame>) {
        self.pipeline.push(crate::pipeline::Owed {
            op,
            sent: Sent::PoisonedQuery(refusal),
            handling: Arc::clone(&self.idle),
        });
        self.batch.0 = self.batch.0.wrapping_add(1);
        out.to_server(OpId::CONNECT, crate::pipeline::poisoned_query());
    }
}

pub(super) fn too_many_statements() -> Refusal {
    Refusal::builtin(Code::Limit, "prepared-statements", "too many prepared statements on one connection")
        .with_hint("Close the ones that are no longer needed.")
}

/// What `EXECUTE` names, for an approver, who approves exactly that.
fn texts(looked_up: &[LookedUp]) -> Vec<u8> {
    let texts: Vec<&[u8]> = looked_up.iter().map(|named| &*named.read.text).collect();
    texts.join(&b";\n"[..])
}

/// Writes down what was refused without a verdict of the engine.
pub(super) fn note(refusal: &Refusal, out: &mut Outbox<Frame>) {
    let values = vec![("rule", refusal.rule.to_string()), ("message", refusal.message.clone())];
    out.note("refused", values);
}
