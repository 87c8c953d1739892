//! What a client sends.

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, OpId, Refusal, Stage};
use sluice_wire::{Outbox, Violation};

use super::PostgresMachine;
use super::question::{Asked, Question};
use crate::frame::{Fields, Frame};
use crate::names::Change;
use crate::operation::{Known, understand};
use crate::pipeline::Sent;

/// Names of prepared statements and portals one connection may hold.
pub(crate) const MAX_NAMES: usize = 10_000;

impl PostgresMachine {
    pub(super) fn request(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        if let Some(op) = self.pipeline.copying_in() {
            return self.during_copy(op, frame, out);
        }
        match frame.tag() {
            // Leftovers of a COPY that the server has already failed, which PostgreSQL ignores too.
            b'd' | b'c' | b'f' => Ok(()),
            b'S' => self.sync(frame, out),
            b'X' => self.terminate(frame, out),
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
            b'F' => {
                self.function_call(out);
                Ok(())
            }
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
            b'X' => self.terminate(frame, out),
            _ => Err(Violation::client("a message other than CopyData, CopyDone or CopyFail came during COPY")),
        }
    }

    fn terminate(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        Fields::of_client(frame.body()).end()?;
        out.to_server(OpId::CONNECT, frame);
        out.close();
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
        let looked_up = names.looked_up();
        let epoch = view.catalog.epoch();
        self.ask(
            Question { op: OpId::CONNECT, frame, known, epoch, asked: Asked::Query { looked_up } },
            Stage::Perform,
            None,
            out,
        );
        Ok(())
    }

    /// **Shape:** `name cstr · text cstr · count i16 · type oid u32*`
    fn parse(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let body = frame.body_bytes();
        let mut fields = Fields::of_client(&body);
        let name = body.slice_ref(fields.cstr()?);
        let text = body.slice_ref(fields.cstr()?);
        let types = body.slice_ref(fields.remaining());
        for _ in 0..fields.u16()? {
            fields.u32()?;
        }
        fields.end()?;
        if self.statements.len() >= MAX_NAMES {
            let full =
                Refusal::builtin(Code::Limit, "prepared-statements", "too many prepared statements on one connection");
            self.refuse_message(full.with_hint("Close the ones that are no longer needed."), out);
            return Ok(());
        }
        let view = self.schemas.view();
        let known = understand(&text, &view, &NamesInUse::none());
        let epoch = view.catalog.epoch();
        self.ask(
            Question { op: OpId::CONNECT, frame, known, epoch, asked: Asked::Parse { name, types } },
            Stage::Prepare,
            None,
            out,
        );
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
        let prepared = self.statements.get(statement).cloned();
        let Some((prepared, known)) =
            prepared.and_then(|prepared| Some((Arc::clone(&prepared), prepared.known.clone()?)))
        else {
            self.refuse_message(unknown_name("statement"), out);
            return Ok(());
        };
        if self.portals.len() >= MAX_NAMES {
            self.refuse_message(Refusal::builtin(Code::Limit, "portals", "too many portals on one connection"), out);
            return Ok(());
        }
        let epoch = prepared.epoch;
        let asked = Asked::Bind { portal, prepared };
        self.ask(Question { op: OpId::CONNECT, frame, known, epoch, asked }, Stage::Perform, Some(bound), out);
        Ok(())
    }

    /// **Shape:** `kind u8 · name cstr`
    fn describe(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (kind, name) = kind_and_name(&frame)?;
        let found = match kind {
            Named::Statement => {
                self.statements.get(&name).map(|prepared| (OpId::CONNECT, Arc::clone(&prepared.handling)))
            }
            Named::Portal => self.portals.get(&name).map(|portal| (portal.op, Arc::clone(&portal.handling))),
        };
        match found {
            Some((op, handling)) => self.send(op, frame, Sent::Describe, &handling, out),
            None => self.refuse_message(unknown_name(kind.word()), out),
        }
        Ok(())
    }

    /// **Shape:** `portal cstr · row limit i32`
    fn execute(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_client(frame.body());
        let name = fields.cstr()?;
        fields.i32()?;
        fields.end()?;
        match self.portals.get(name).cloned() {
            Some(portal) => self.send(portal.op, frame, Sent::Execute, &portal.handling, out),
            None => self.refuse_message(unknown_name("portal"), out),
        }
        Ok(())
    }

    fn close(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let (kind, name) = kind_and_name(&frame)?;
        let sent = match kind {
            Named::Statement => Sent::Close(vec![self.statements.send(Change::Forget(name))], Vec::new()),
            Named::Portal => Sent::Close(Vec::new(), vec![self.portals.send(Change::Forget(name))]),
        };
        let idle = Arc::clone(&self.idle);
        self.send(OpId::CONNECT, frame, sent, &idle, out);
        Ok(())
    }

    /// Calls a function by OID, past everything that reads SQL.
    fn function_call(&mut self, out: &mut Outbox<Frame>) {
        let refusal =
            Refusal::builtin(Code::Unsupported, "function-call", "the function call message is not supported")
                .with_hint("Call the function in a SELECT.");
        self.refuse_query(refusal, out);
    }
}

enum Named {
    Statement,
    Portal,
}

impl Named {
    const fn word(&self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Portal => "portal",
        }
    }
}

fn kind_and_name(frame: &Frame) -> Result<(Named, Bytes), Violation> {
    let body = frame.body_bytes();
    let mut fields = Fields::of_client(&body);
    let kind = match fields.u8()? {
        b'S' => Named::Statement,
        b'P' => Named::Portal,
        _ => return Err(Violation::client("neither a statement nor a portal is named")),
    };
    let name = body.slice_ref(fields.cstr()?);
    fields.end()?;
    // A copy of its own: names outlive the read buffer.
    Ok((kind, Bytes::copy_from_slice(&name)))
}

fn unknown_name(kind: &str) -> Refusal {
    Refusal::builtin(Code::Unsupported, "unknown-name", format!("the {kind} is not known on this connection"))
        .with_hint("It may have been closed, or its preparation was refused.")
}

/// The connection's prepared statements, as SQL `EXECUTE` sees them.
struct NamesInUse<'a> {
    machine: Option<&'a PostgresMachine>,
    looked_up: std::sync::Mutex<Vec<Arc<super::Prepared>>>,
}

impl<'a> NamesInUse<'a> {
    fn of(machine: &'a PostgresMachine) -> Self {
        Self { machine: Some(machine), looked_up: std::sync::Mutex::default() }
    }

    /// No names: `EXECUTE` in a `Parse` would be decided before anyone knows what it will stand for.
    fn none() -> NamesInUse<'static> {
        NamesInUse { machine: None, looked_up: std::sync::Mutex::default() }
    }

    fn looked_up(self) -> Vec<Arc<super::Prepared>> {
        self.looked_up.into_inner().unwrap_or_default()
    }
}

impl sluice_sql::Prepared for NamesInUse<'_> {
    fn lookup(&self, name: &str) -> Option<Arc<sluice_sql::Analysis>> {
        let prepared = self.machine?.statements.get(name.as_bytes())?;
        self.looked_up.lock().ok()?.push(Arc::clone(prepared));
        Some(Arc::clone(&prepared.analysis))
    }
}

impl PostgresMachine {
    pub(super) fn ask(&mut self, question: Question, stage: Stage, bound: Option<Bytes>, out: &mut Outbox<Frame>) {
        let op = self.next_op();
        let operation = Known::operation(&question.known, stage, bound);
        self.question = Some(Question { op, ..question });
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
        out.to_server(OpId::CONNECT, crate::pipeline::poisoned_query());
    }
}

/// Writes down what was refused without a verdict of the engine.
pub(super) fn note(refusal: &Refusal, out: &mut Outbox<Frame>) {
    let values = vec![("rule", refusal.rule.to_string()), ("message", refusal.message.clone())];
    out.note("refused", values);
}
