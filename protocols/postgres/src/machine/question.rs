//! The open question, and what follows from its answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use sluice_mask::Plan;
use sluice_model::{Code, Mask, Obligations, OpId, Refusal, Ruling};
use sluice_sql::{Analysis, ColumnMask, ColumnUse, Cursor, Lasts, Rewritten, Statement, Verb};
use sluice_wire::{Outbox, Violation};

use super::channels::is_of_channel;
use super::cursors::Read;
use super::denial::{in_own_words, pointing, unsupported};
use super::lapsing::{Laws, Stand};
use super::naming::{LookedUp, executes_the_same, name_change, naming, prepared_under_other_policies, veiled_like};
use super::results::result_formats;
use super::values::Values;
use super::{Made, NamesAre, Portal, PostgresMachine, Prepared, hush, requests};
use crate::frame::Frame;
use crate::message::{self, put_cstr};
use crate::meter::Meter;
use crate::names::Change;
use crate::operation::{Known, understand};
use crate::pipeline::{Copying, Execution, Handling, Sent, Step, Tickets, Writes};
use crate::refusal::Hush;
use crate::veil::{Formats, Veil};
use crate::view::View;

/// What was asked and not answered yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) op: OpId,
    /// The client's frame, forwarded as it is where nothing is masked.
    pub(super) frame: Frame,
    pub(super) known: Arc<Known>,
    /// The view of the schema that the text was read against.
    pub(super) epoch: u64,
    pub(super) asked: Asked,
    /// Values that it is asked for with.
    pub(super) bound: Option<Values>,
    /// How often policies had changed when it was asked.
    pub(super) laws: Laws,
    /// The server has come to skip it meanwhile.
    pub(super) moot: bool,
}

/// Which message asked.
#[derive(Debug)]
pub(super) enum Asked {
    Query {
        looked_up: Vec<LookedUp>,
    },
    Parse {
        name: Bytes,
        types: Bytes,
        looked_up: Vec<LookedUp>,
    },
    Bind {
        portal: Bytes,
        prepared: Arc<Prepared>,
    },
    Function,
    /// What a portal was made for that the message executes or reads.
    Again {
        name: Bytes,
        stand: Box<Stand>,
    },
}

impl Question {
    /// A question that is about to be asked.
    pub(super) fn new(frame: Frame, known: Arc<Known>, epoch: u64, asked: Asked, bound: Option<Values>) -> Self {
        Self { op: OpId::CONNECT, frame, known, epoch, asked, bound, laws: Laws::default(), moot: false }
    }
}

impl PostgresMachine {
    /// Acts on a ruling. A denial, or an allow that cannot be kept, becomes an error of the server's own making.
    pub(super) fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let Some(question) = self.question.take_if(|question| question.op == op) else { return Ok(()) };
        if question.moot {
            out.done(op);
            return Ok(());
        }
        if self.reads_anew(&question) {
            out.done(op);
            return self.request(question.frame, out);
        }
        if let (Asked::Again { .. }, Ruling::Allow(obligations)) = (&question.asked, &ruling) {
            return self.stands_again(question, obligations, out);
        }
        let refusal = match ruling {
            Ruling::Allow(obligations) => match self.forward(&question, &obligations, out) {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    requests::note(&refusal, out);
                    Arc::new(refusal)
                }
            },
            Ruling::Deny(refusal) => {
                let refusal = in_own_words(refusal, &question.known);
                pointing(refusal, &question.known.text)
            }
        };
        self.poison(op, question.frame.tag(), refusal, out);
        Ok(())
    }

    /// The schema changed while the question was open, and the text means something else now: it is asked about anew.
    /// Where columns are protected it is refused instead, so that nobody waits for the moment between two readings.
    fn reads_anew(&self, question: &Question) -> bool {
        let view = self.schemas.view();
        !view.is_tagged() && still_reads_the_same(question, &view).is_err()
    }

    fn forward(
        &mut self,
        question: &Question,
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = &question.known.refusal {
            return Err(refusal.clone());
        }
        if !obligations.withheld.is_empty() {
            return Err(unsupported("withheld", "values cannot be withheld from an SQL server"));
        }
        self.refuse_in_flux(&question.known.analysis)?;
        self.check_cursors(&question.known.analysis)?;
        if question.known.unpins_names {
            self.names = NamesAre::Uncertain;
        }
        if matches!(question.asked, Asked::Query { .. } | Asked::Bind { .. }) {
            self.listen(question.op, &question.known.analysis, obligations);
        }
        match &question.asked {
            Asked::Query { looked_up } => self.forward_query(question, looked_up, obligations, out),
            Asked::Parse { name, types, looked_up } => {
                self.forward_parse(question, (name, types), looked_up, obligations, out)
            }
            Asked::Bind { portal, prepared } => self.forward_bind(question, portal, prepared, obligations, out),
            Asked::Function => self.forward_function(question, obligations, out),
            // INVARIANT: it stands again instead.
            Asked::Again { .. } => Err(schema_changed()),
        }
    }

    /// Where columns are protected, nothing touches a relation while the session's own DDL makes its name uncertain.
    fn refuse_in_flux(&self, analysis: &Analysis) -> Result<(), Refusal> {
        let own = analysis.changes_catalog && analysis.is_multi();
        let touches = |access: &sluice_sql::Access| {
            !matches!(access.verb, Verb::Define | Verb::Session | Verb::Describe | Verb::Listen)
        };
        let uncertain = (own || self.schema_is_in_flux()) && analysis.accesses.iter().any(touches);
        if uncertain && self.schemas.view().is_tagged() {
            let changing = "the schema is being changed in this transaction";
            return Err(unsupported("schema-changing", changing)
                .with_hint("Commit the change first, and send the statement by itself."));
        }
        Ok(())
    }

    fn forward_query(
        &mut self,
        question: &Question,
        looked_up: &[LookedUp],
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Refusal> {
        let analysis = &question.known.analysis;
        let view = self.schemas.view();
        let rewritten = self.rewritten_for(question, looked_up, obligations, &view)?;
        let veils = self.veils(&question.known, obligations, &view, rewritten.as_deref())?;
        let veils = veiled_like(looked_up, analysis, veils)?;
        let handling = Self::handling(&question.known, obligations, &view)?;
        let handling = Arc::new(self.limited_as_read(handling, analysis));
        let frame = match rewritten {
            Some(rewritten) => message::query(rewritten.text.as_bytes()),
            None => question.frame.clone(),
        };
        let mut steps = VecDeque::with_capacity(analysis.statements.len());
        if let Err(refusal) = self.steps(question, obligations, &handling, veils, &mut steps) {
            let mut tickets = Tickets::default();
            steps.iter().for_each(|step| tickets.extend(&step.tickets));
            self.take_back(&tickets, out);
            return Err(refusal);
        }
        let sent = Sent::Query { steps, copying: copying(analysis), columns: None };
        self.send(question.op, frame, sent, &handling, out);
        Ok(())
    }

    /// The text to send, where it still means what was ruled on, and so does what it executes.
    fn rewritten_for(
        &mut self,
        question: &Question,
        looked_up: &[LookedUp],
        obligations: &Arc<Obligations>,
        view: &View,
    ) -> Result<Option<Arc<Rewritten>>, Refusal> {
        executes_the_same(looked_up, obligations)?;
        still_reads_the_same(question, view)?;
        if looked_up.iter().any(|named| named.read.epoch != view.catalog.epoch()) {
            return Err(schema_changed());
        }
        self.rewritten(&question.known, obligations, view)
    }

    /// What becomes of names, and what is masked, with each statement of a query that is being sent. What was noted before a
    /// refusal must be taken back.
    fn steps(
        &mut self,
        question: &Question,
        obligations: &Arc<Obligations>,
        handling: &Arc<Handling>,
        veils: Vec<Option<Veil>>,
        steps: &mut VecDeque<Step>,
    ) -> Result<(), Refusal> {
        let analysis = &question.known.analysis;
        let batch = self.batch;
        let defines = |change: &&sluice_sql::Change| matches!(change, sluice_sql::Change::Prepare(..));
        let new = analysis.statements.iter().filter_map(|statement| statement.change.as_ref()).filter(defines).count();
        if new > 0 && self.statements.len().saturating_add(new) > requests::MAX_NAMES {
            return Err(requests::too_many_statements());
        }
        for (statement, veil) in analysis.statements.iter().zip(veils) {
            let change = statement.change.as_ref().map(|change| name_change(change, question, obligations, handling));
            let read = statement.cursor.as_ref().and_then(Cursor::reads).map(|name| self.fetched(name)).transpose()?;
            let Read { veil, plan, meter } = read.unwrap_or(Read { veil, plan: None, meter: None });
            let steer = |cursor| self.steer(cursor, handling, veil.as_ref(), || Stand::of(question, obligations));
            let portals = statement.cursor.iter().filter_map(steer).collect();
            let statements = change.map(|change| self.statements.send(change, batch)).into_iter().collect();
            steps.push_back(Step { tickets: Tickets { statements, portals }, veil, plan, meter });
        }
        Ok(())
    }

    fn forward_parse(
        &mut self,
        question: &Question,
        (name, types): (&Bytes, &Bytes),
        looked_up: &[LookedUp],
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Refusal> {
        let analysis = &question.known.analysis;
        if analysis.is_multi() && analysis.statements.iter().any(|statement| statement.change.is_some()) {
            return Err(unsupported("prepare-in-parse", "PREPARE and DEALLOCATE are prepared one by one"));
        }
        let view = self.schemas.view();
        let rewritten = self.rewritten_for(question, looked_up, obligations, &view)?;
        let veils = self.veils(&question.known, obligations, &view, rewritten.as_deref())?;
        let pinned = |statement: &Statement| statement.outputs.as_ref().is_some_and(sluice_sql::Outputs::is_pinned);
        if veils.iter().any(Option::is_some) && !analysis.statements.iter().all(pinned) {
            let message = "masked columns of written rows are returned with `*` in a prepared statement";
            return Err(unsupported("unpinned", message).with_hint("Name the columns after RETURNING."));
        }
        let veil = match &*veiled_like(looked_up, analysis, veils)? {
            [veil] => veil.clone(),
            veils if veils.iter().all(Option::is_none) => None,
            _ => return Err(unsupported("several-statements", "several statements are not prepared as one")),
        };
        let handling = Arc::new(Handling { veil, ..Self::handling(&question.known, obligations, &view)? });
        let frame = match rewritten {
            Some(rewritten) => parse_frame(name, rewritten.text.as_bytes(), types),
            None => question.frame.clone(),
        };
        let prepared = Prepared {
            known: Some(Arc::clone(&question.known)),
            text: question.known.text.clone(),
            types: Bytes::copy_from_slice(types),
            analysis: Arc::clone(analysis),
            obligations: Arc::clone(obligations),
            handling: Arc::clone(&handling),
            epoch: view.catalog.epoch(),
            executes: looked_up.to_vec(),
        };
        let name = Bytes::copy_from_slice(name);
        let ticket = self.statements.send(Change::Define(name, Arc::new(prepared)), self.batch);
        self.send(question.op, frame, Sent::Parse(ticket), &handling, out);
        Ok(())
    }

    fn forward_bind(
        &mut self,
        question: &Question,
        portal: &Bytes,
        prepared: &Arc<Prepared>,
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Refusal> {
        if prepared.obligations.masks != obligations.masks {
            return Err(prepared_under_other_policies());
        }
        executes_the_same(&prepared.executes, obligations)?;
        still_reads_the_same(question, &self.schemas.view())?;
        let meter = Meter::of(&obligations.controls).map(Arc::new);
        let time = time(obligations);
        let same = meter.is_none() && prepared.handling.meter.is_none() && time == prepared.handling.time;
        let handling = match &prepared.handling.veil {
            Some(veil) => {
                let veil = Some(veil.in_formats(result_formats(&question.frame)?));
                Arc::new(Handling { veil, meter, time, ..(*prepared.handling).clone() })
            }
            None if same => Arc::clone(&prepared.handling),
            None => Arc::new(Handling { meter, time, ..(*prepared.handling).clone() }),
        };
        let naming = naming(question, prepared, obligations, &handling)?;
        self.check_readers(naming.as_deref())?;
        self.pipeline.retain(question.op);
        let value = Portal {
            op: question.op,
            handling: Arc::clone(&handling),
            execution: execution(&prepared.analysis),
            naming,
            fetched: Formats::default(),
            made: Made::ByBind,
            stand: Stand::of(question, obligations),
            lasts: Lasts::Transaction,
            filled: None,
            source: None,
        };
        let ticket = self.portals.send(Change::Define(Bytes::copy_from_slice(portal), value), self.batch);
        self.send(question.op, question.frame.clone(), Sent::Bind(ticket), &handling, out);
        Ok(())
    }

    pub(super) fn handling(known: &Known, obligations: &Obligations, view: &View) -> Result<Handling, Refusal> {
        let analysis = &known.analysis;
        let masks = column_masks(analysis, &obligations.masks)?;
        let masked = |used: &&ColumnUse| masks.iter().any(|mask| (mask.oid, mask.attnum) == (used.oid, used.attnum));
        let cleared = analysis.uses.iter().filter(|used| !masked(used)).map(|used| (used.oid, used.attnum));
        // FETCH does not say what its cursor shows: DECLARE was ruled on that.
        let plan = Plan::clearing(cleared);
        let hush = if masks.is_empty() { hush(view) } else { Hush::Rewritten };
        let writes = if analysis.is_row_changing() { Writes::Rows } else { Writes::Nothing };
        let meter = Meter::of(&obligations.controls).map(Arc::new);
        Ok(Handling {
            plan,
            hush,
            changes_catalog: analysis.changes_catalog,
            writes,
            veil: None,
            meter,
            of_sources: Vec::new(),
            time: time(obligations),
            text: known.text.clone(),
        })
    }
}

/// How long policy lets it take.
pub(super) fn time(obligations: &Obligations) -> Option<Duration> {
    obligations.controls.timeout_ms.map(Duration::from_millis)
}

/// A statement is forwarded only under the view of the schema that it was decided on, or one in which it means the same.
fn still_reads_the_same(question: &Question, view: &View) -> Result<(), Refusal> {
    if question.epoch == view.catalog.epoch() {
        return Ok(());
    }
    let again = understand(&question.known.text, view, &sluice_sql::NoPrepared);
    if again.analysis == question.known.analysis && again.refusal == question.known.refusal {
        Ok(())
    } else {
        Err(schema_changed())
    }
}

pub(super) fn schema_changed() -> Refusal {
    Refusal::builtin(Code::Unsupported, "schema-changed", "the schema changed since the statement was read")
        .with_hint("Run it again, or prepare it again.")
}

/// What the statements lead to; a text without an analysis leads to rows at most.
fn copying(analysis: &Analysis) -> Copying {
    let mut copying = Copying { rows: analysis.statements.is_empty(), ..Copying::default() };
    for statement in &analysis.statements {
        match statement.copy {
            sluice_sql::Copy::None => copying.rows = true,
            sluice_sql::Copy::Out => copying.gives = true,
            sluice_sql::Copy::In => {
                copying.takes = true;
                copying.to_come = copying.to_come.saturating_add(1);
            }
        }
    }
    copying
}

/// What the one statement of a portal leads to.
fn execution(analysis: &Analysis) -> Execution {
    match analysis.statements.first().map(|statement| statement.copy) {
        Some(sluice_sql::Copy::In) => Execution::Awaits,
        Some(sluice_sql::Copy::Out) => Execution::Gives,
        Some(sluice_sql::Copy::None) | None => Execution::Rows,
    }
}

pub(super) fn is_of(used: &ColumnUse, mask: &Mask) -> bool {
    mask.resource.path.iter().map(|part| &**part).eq([&*used.schema, &*used.table, &*used.column])
}

pub(super) fn column_masks(analysis: &Analysis, masks: &[Mask]) -> Result<Vec<ColumnMask>, Refusal> {
    let mut columns = Vec::with_capacity(masks.len());
    for mask in masks.iter().filter(|mask| !is_of_channel(mask)) {
        let mut uses = analysis.uses.iter().filter(|used| is_of(used, mask)).peekable();
        if uses.peek().is_none() {
            return Err(unsupported("unmaskable", "a mask is due on a column that the statement does not use"));
        }
        columns.extend(uses.map(|used| ColumnMask {
            oid: used.oid,
            attnum: used.attnum,
            transform: mask.transform.clone(),
            filterable: mask.filterable,
        }));
    }
    columns.dedup_by_key(|mask| (mask.oid, mask.attnum));
    Ok(columns)
}

fn parse_frame(name: &[u8], text: &[u8], types: &[u8]) -> Frame {
    Frame::build(b'P', |out| {
        put_cstr(out, name);
        put_cstr(out, text);
        out.put_slice(types);
    })
}
