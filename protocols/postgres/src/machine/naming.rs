//! What SQL does with the names of prepared statements: `PREPARE`, `EXECUTE`, `DEALLOCATE` and `DISCARD`, as simple queries
//! and as messages of the extended protocol, where they take effect when their portal is executed.
//!
//! <https://www.postgresql.org/docs/current/sql-prepare.html>

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, Mask, Obligations, Refusal};
use sluice_sql::{Analysis, Cursor, Statement};

use super::denial::unsupported;
use super::named::check_spelling;
use super::question::{Question, is_of};
use super::results::result_formats;
use super::{PostgresMachine, Prepared};
use crate::names::{Change, Found};
use crate::pipeline::Handling;
use crate::veil::{Formats, Veil};
use crate::view::View;

/// A prepared statement that SQL `EXECUTE` names.
#[derive(Clone, Debug)]
pub(super) struct LookedUp {
    pub(super) name: Bytes,
    /// What the name stood for.
    pub(super) stands_for: Arc<Prepared>,
    /// The same, read against the newest view.
    pub(super) read: Arc<Prepared>,
}

/// What the execution of a portal does with names: its statement is `PREPARE`, `EXECUTE`, `DEALLOCATE` or `DISCARD`, or steers a
/// cursor.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) change: Option<Change<Arc<Prepared>>>,
    pub(super) executes: Vec<LookedUp>,
    pub(super) cursor: Option<Cursor>,
    /// The formats of the portal's own rows.
    pub(super) formats: Formats,
}

/// Refuses `EXECUTE` of what changes or looks up names itself: nobody could tell what these stand for afterwards. Names of cursors
/// matter where columns are masked, and where one is read, which may be a portal that executes something.
pub(super) fn check_nesting(looked_up: &[LookedUp], view: &View) -> Result<(), Refusal> {
    let nests = |named: &LookedUp| {
        let steers = |cursor: &Cursor| cursor.reads().is_some() || view.is_tagged();
        let names = |statement: &Statement| statement.change.is_some() || statement.cursor.as_ref().is_some_and(steers);
        named.read.analysis.statements.iter().any(names) || !named.read.executes.is_empty()
    };
    if view.minds_spelling() {
        looked_up.iter().try_for_each(|named| check_spelling(&named.name))?;
    }
    if !looked_up.iter().any(nests) {
        return Ok(());
    }
    let message = "EXECUTE names a statement that is PREPARE, EXECUTE or DEALLOCATE itself, or steers a cursor";
    Err(Refusal::builtin(Code::Unsupported, "nested-execute", message).with_hint("Send that statement by itself."))
}

impl PostgresMachine {
    /// Whether names stand for what they stood for when the statement that uses them was ruled on; `None` where that is
    /// not settled yet.
    pub(super) fn names_stand(&self, executes: &[LookedUp]) -> Option<Result<(), Refusal>> {
        for named in executes {
            match self.statements.find(&named.name, self.batch) {
                Found::Known(prepared) if Arc::ptr_eq(prepared, &named.stands_for) => {}
                Found::Known(_) | Found::Unknown => {
                    let message = "the statement that EXECUTE names is not what it was when this was prepared";
                    let refusal = Refusal::builtin(Code::Unsupported, "renamed-statement", message);
                    return Some(Err(refusal.with_hint("Prepare the EXECUTE again.")));
                }
                Found::Unsettled => return None,
            }
        }
        Some(Ok(()))
    }
}

/// What was prepared by other statements was prepared under the same policies.
pub(super) fn executes_the_same(looked_up: &[LookedUp], obligations: &Obligations) -> Result<(), Refusal> {
    if looked_up.iter().all(|named| covers(&named.read.obligations, obligations, &named.read.analysis)) {
        Ok(())
    } else {
        Err(prepared_under_other_policies())
    }
}

/// What a text that is one `EXECUTE` shows is masked as its statement's own result is.
pub(super) fn veiled_like(
    looked_up: &[LookedUp],
    analysis: &Analysis,
    veils: Vec<Option<Veil>>,
) -> Result<Vec<Option<Veil>>, Refusal> {
    if looked_up.iter().all(|named| named.read.handling.veil.is_none()) {
        return Ok(veils);
    }
    match (looked_up, &*analysis.statements) {
        ([named], [statement]) if statement.kind == sluice_sql::Kind::Execute => {
            Ok(vec![named.read.handling.veil.clone()])
        }
        _ => {
            Err(unsupported("veiled-execute", "the result of the statement that EXECUTE names is masked as it passes")
                .with_hint("Send the EXECUTE by itself."))
        }
    }
}

/// What executing a portal does with names.
pub(super) fn naming(
    question: &Question,
    prepared: &Prepared,
    obligations: &Arc<Obligations>,
    handling: &Arc<Handling>,
) -> Result<Option<Arc<Naming>>, Refusal> {
    let statement = prepared.analysis.statements.first();
    let change = statement.and_then(|statement| statement.change.as_ref());
    let cursor = statement.and_then(|statement| statement.cursor.clone());
    if change.is_none() && cursor.is_none() && prepared.executes.is_empty() {
        return Ok(None);
    }
    let change = change.map(|change| name_change(change, question, obligations, handling));
    let formats = result_formats(&question.frame)?;
    Ok(Some(Arc::new(Naming { change, executes: prepared.executes.clone(), cursor, formats })))
}

/// What a statement does to the names of statements.
pub(super) fn name_change(
    change: &sluice_sql::Change,
    question: &Question,
    obligations: &Arc<Obligations>,
    handling: &Arc<Handling>,
) -> Change<Arc<Prepared>> {
    match change {
        sluice_sql::Change::Prepare(name, analysis) => Change::Define(
            Bytes::copy_from_slice(name.as_bytes()),
            Arc::new(Prepared {
                known: None,
                text: question.known.text.clone(),
                types: Bytes::from_static(&[0, 0]),
                analysis: Arc::clone(analysis),
                obligations: Arc::clone(obligations),
                handling: Arc::clone(handling),
                epoch: question.epoch,
                executes: Vec::new(),
            }),
        ),
        sluice_sql::Change::Deallocate(name) => Change::Forget(Bytes::copy_from_slice(name.as_bytes())),
        sluice_sql::Change::DeallocateAll => Change::ForgetAll,
    }
}

pub(super) fn prepared_under_other_policies() -> Refusal {
    Refusal::builtin(Code::Policy, "stale-statement", "the statement was prepared under other policies")
        .with_hint("Prepare it again.")
}

/// Whether every mask due now on a prepared statement's columns was applied when it was prepared, and no other.
fn covers(then: &Obligations, now: &Obligations, analysis: &Analysis) -> bool {
    let of_statement = |mask: &&Mask| analysis.uses.iter().any(|used| is_of(used, mask));
    now.masks.iter().filter(of_statement).eq(then.masks.iter().filter(of_statement))
}
