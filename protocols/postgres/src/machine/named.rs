//! Names of statements and portals, as messages and SQL use them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_model::{Code, Refusal};
use sluice_wire::Violation;

use super::PostgresMachine;
use super::naming::LookedUp;
use crate::frame::{Fields, Frame};
use crate::names::Found;
use crate::view::View;

/// The length of a name in bytes beyond which PostgreSQL cuts it off, so that two names become one.
const MAX_NAME_BYTES: usize = 63;

/// A name that a reader of UTF-8 has cut off is longer than this, whichever character it was cut at.
const MAX_CERTAIN_BYTES: usize = 59;

/// The first OID of a database's own types (<https://www.postgresql.org/docs/current/system-catalog-initial-data.html>).
const FIRST_OWN_TYPE: u32 = 16_384;

/// Refuses a name in a message that the server would take for another: it cuts names off, after it has put them in its own encoding.
pub(super) fn check_name(name: &[u8], view: &View) -> Result<(), Refusal> {
    if name.len() <= MAX_NAME_BYTES {
        return if view.catalog.recodes() { check_spelling(name) } else { Ok(()) };
    }
    Err(Refusal::builtin(Code::Limit, "name-too-long", "a statement or portal name is longer than 63 bytes"))
}

/// Refuses a name that a server whose encoding is not UTF-8 may take for another: it would fold the case of other letters,
/// and cut the name off elsewhere (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
pub(super) fn check_spelling(name: &[u8]) -> Result<(), Refusal> {
    if name.is_ascii() && name.len() <= MAX_CERTAIN_BYTES {
        return Ok(());
    }
    let message = "the name of a cursor or prepared statement is longer than 59 bytes, or not of ASCII characters";
    Err(Refusal::builtin(Code::Unsupported, "uncertain-name", message)
        .with_hint("Give it a short name of ASCII characters."))
}

/// Refuses a name that is taken; PostgreSQL would fail the message, and the old meaning stays.
pub(super) fn taken(kind: &Named) -> Refusal {
    let rule = match kind {
        Named::Statement => "taken-statement",
        Named::Portal => "taken-portal",
    };
    Refusal::builtin(Code::Unsupported, rule, format!("a {} of that name exists on this connection", kind.word()))
        .with_hint("Close it first, or use another name.")
}

/// Refuses parameter types that bring code of their own: a domain runs its checks when a value is bound.
pub(super) fn check_types(mut types: Fields<'_>) -> Result<Result<(), Refusal>, Violation> {
    let mut own = false;
    for _ in 0..types.u16()? {
        own |= types.u32()? >= FIRST_OWN_TYPE;
    }
    types.end()?;
    if !own {
        return Ok(Ok(()));
    }
    let message = "a parameter is declared with a type of the database's own";
    let refusal = Refusal::builtin(Code::Unsupported, "parameter-type", message);
    Ok(Err(refusal.with_hint("Declare it as text or leave its type open, and cast it in the statement.")))
}

pub(super) enum Named {
    Statement,
    Portal,
}

impl Named {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Portal => "portal",
        }
    }
}

pub(super) fn kind_and_name(frame: &Frame) -> Result<(Named, Bytes), Violation> {
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

pub(super) fn unknown_name(kind: &Named) -> Refusal {
    let rule = match kind {
        Named::Statement => "unknown-statement",
        Named::Portal => "unknown-portal",
    };
    Refusal::builtin(Code::Unsupported, rule, format!("the {} is not known on this connection", kind.word()))
        .with_hint("It may have been closed, or its preparation was refused.")
}

/// The connection's prepared statements, as SQL `EXECUTE` sees them.
pub(super) struct NamesInUse<'a> {
    machine: &'a PostgresMachine,
    looked_up: Mutex<Vec<LookedUp>>,
    unsettled: AtomicBool,
}

impl<'a> NamesInUse<'a> {
    pub(super) fn of(machine: &'a PostgresMachine) -> Self {
        Self { machine, looked_up: Mutex::default(), unsettled: AtomicBool::new(false) }
    }

    /// What was looked up; `None` where that is not settled yet.
    pub(super) fn looked_up(self) -> Option<Vec<LookedUp>> {
        let unsettled = self.unsettled.load(Ordering::Relaxed);
        (!unsettled).then(|| self.looked_up.into_inner().unwrap_or_default())
    }
}

impl sluice_sql::Prepared for NamesInUse<'_> {
    fn lookup(&self, name: &str) -> Option<Arc<sluice_sql::Analysis>> {
        let machine = self.machine;
        match machine.statements.find(name.as_bytes(), machine.batch) {
            Found::Known(prepared) => {
                let view = machine.schemas.view();
                let none = &sluice_sql::NoPrepared;
                let outdated = prepared.is_outdated(&view);
                let anew = if outdated { prepared.read_anew(name.as_bytes(), &view, none) } else { None };
                let read = anew.map_or_else(|| Arc::clone(prepared), Arc::new);
                let analysis = Arc::clone(&read.analysis);
                let name = Bytes::copy_from_slice(name.as_bytes());
                self.looked_up.lock().ok()?.push(LookedUp { name, stands_for: Arc::clone(prepared), read });
                Some(analysis)
            }
            Found::Unknown => None,
            Found::Unsettled => {
                self.unsettled.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}
