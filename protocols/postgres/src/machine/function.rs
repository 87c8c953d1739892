//! The function call message: a function by its number, past everything that reads SQL.
//!
//! libpq works on large objects with it. Each function on the list is ruled on as the statement that calls it; every other
//! one is refused (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-FUNCTION-CALL>).

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, Obligations, Refusal, Stage};
use sluice_wire::{Outbox, Violation};

use super::PostgresMachine;
use super::denial::unsupported;
use super::question::{Asked, Question};
use super::values::Values;
use crate::frame::{Fields, Frame};
use crate::operation::understand;
use crate::pipeline::Sent;

/// Functions that may be asked for, by their OID, which never changes (`pg_proc.dat`), as the statement that calls them.
/// None of them reads or writes a file of the server.
const FUNCTIONS: [(u32, &str, u16); 13] = [
    (715, "SELECT pg_catalog.lo_create($1)", 1),
    (952, "SELECT pg_catalog.lo_open($1, $2)", 2),
    (953, "SELECT pg_catalog.lo_close($1)", 1),
    (954, "SELECT pg_catalog.loread($1, $2)", 2),
    (955, "SELECT pg_catalog.lowrite($1, $2)", 2),
    (956, "SELECT pg_catalog.lo_lseek($1, $2, $3)", 3),
    (957, "SELECT pg_catalog.lo_creat($1)", 1),
    (958, "SELECT pg_catalog.lo_tell($1)", 1),
    (964, "SELECT pg_catalog.lo_unlink($1)", 1),
    (1004, "SELECT pg_catalog.lo_truncate($1, $2)", 2),
    (3170, "SELECT pg_catalog.lo_lseek64($1, $2, $3)", 3),
    (3171, "SELECT pg_catalog.lo_tell64($1)", 1),
    (3172, "SELECT pg_catalog.lo_truncate64($1, $2)", 2),
];

impl PostgresMachine {
    /// **Shape:** `function oid u32 · formats · arguments · result format u16`, each list `count i16 · item*`
    pub(super) fn function_call(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let body = frame.body_bytes();
        let mut fields = Fields::of_client(&body);
        let oid = fields.u32()?;
        let bound = body.slice_ref(fields.remaining());
        for _ in 0..fields.u16()? {
            fields.u16()?;
        }
        let arguments = fields.u16()?;
        for _ in 0..arguments {
            fields.value()?;
        }
        fields.u16()?;
        fields.end()?;
        let found = FUNCTIONS.iter().find(|(known, _, arity)| (*known, *arity) == (oid, arguments));
        let listed = self.functions.iter().find(|entry| entry.oid == oid);
        let known = found.map(|(_, text, _)| Bytes::from_static(text.as_bytes()));
        let Some(text) = known.or_else(|| listed.map(|entry| entry.call(arguments))) else {
            let message = "the function call message is supported for large objects and listed functions only";
            let refusal = Refusal::builtin(Code::Unsupported, "function-call", message);
            self.refuse_query(refusal.with_hint("Call the function in a SELECT."), out);
            return Ok(());
        };
        let view = self.schemas.view();
        let known = understand(&text, &view, &sluice_sql::NoPrepared);
        let epoch = view.catalog.epoch();
        let bound = Some(Values::of_call(&bound));
        self.ask(Question::new(frame, known, epoch, Asked::Function, bound), Stage::Perform, out);
        Ok(())
    }

    pub(super) fn forward_function(
        &mut self,
        question: &Question,
        obligations: &Arc<Obligations>,
        out: &mut Outbox<Frame>,
    ) -> Result<(), Refusal> {
        if obligations.controls.limits_results() {
            return Err(unsupported("controls", "the result of a function call message cannot be limited"));
        }
        let view = self.schemas.view();
        let handling = Arc::new(Self::handling(&question.known, obligations, &view)?);
        self.send(question.op, question.frame.clone(), Sent::Function, &handling, out);
        Ok(())
    }
}
