//! Cursors that SQL declares, fetches from and closes.
//!
//! The portals of the protocol are cursors too, under the same names: SQL can fetch from a portal, so what is masked where the
//! portal is executed is masked where it is fetched from
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>).

use std::sync::Arc;

use bytes::Bytes;
use sluice_mask::Plan;
use sluice_model::{Code, OpId, Refusal};
use sluice_sql::{Analysis, Cursor, Format, Lasts};

use super::lapsing::Stand;
use super::named::check_spelling;
use super::naming::Naming;
use super::{Made, Portal, PostgresMachine, requests};
use crate::meter::Meter;
use crate::names::{Change, Found, Ticket};
use crate::pipeline::{Execution, Handling, Origin};
use crate::veil::{Formats, Veil};

/// How the rows of a statement are handled that reads from a cursor.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) veil: Option<Veil>,
    pub(super) plan: Option<Plan<Origin>>,
    pub(super) meter: Option<Arc<Meter>>,
}

/// Functions of the server that read a cursor whose name nobody knows before they run
/// (<https://www.postgresql.org/docs/current/functions-xml.html#FUNCTIONS-XML-MAPPING>).
const READERS: [&str; 2] = ["cursor_to_xml", "cursor_to_xmlschema"];

/// What functions of statements that were sent may read by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FunctionsRead {
    Nothing,
    Cursors,
}

impl PostgresMachine {
    /// Whether it is settled what every `FETCH` and `MOVE` of a text reads from.
    pub(super) fn fetches_are_settled(&self, analysis: &Analysis) -> bool {
        let mut read = analysis.statements.iter().filter_map(|statement| statement.cursor.as_ref()?.reads());
        read.all(|name| !matches!(self.portals.find(name.as_bytes(), self.batch), Found::Unsettled))
    }

    /// Refuses more cursors than a connection may have, and names of which it is not certain whose they are.
    pub(super) fn check_cursors(&mut self, analysis: &Analysis) -> Result<(), Refusal> {
        if analysis.functions.iter().any(|name| READERS.contains(&&**name)) {
            let stale = self.any_lapsed() || self.unknown_may_be_stale();
            if stale || self.schemas.view().is_tagged() || self.portals.any(executes) {
                return Err(read_by_function());
            }
            self.functions_read = FunctionsRead::Cursors;
        }
        let cursors: Vec<&Cursor> =
            analysis.statements.iter().filter_map(|statement| statement.cursor.as_ref()).collect();
        if cursors.is_empty() {
            return Ok(());
        }
        if self.schemas.view().minds_spelling() {
            cursors.iter().filter_map(|cursor| cursor.name()).map(str::as_bytes).try_for_each(check_spelling)?;
        }
        let new = cursors.iter().filter(|cursor| matches!(cursor, Cursor::Declare(..))).count();
        if new == 0 || self.portals.len().saturating_add(new) <= requests::MAX_NAMES {
            return Ok(());
        }
        Err(too_many_portals())
    }

    /// Refuses a portal that executes something by name where functions may read portals.
    pub(super) fn check_readers(&self, naming: Option<&Naming>) -> Result<(), Refusal> {
        match (self.functions_read, naming) {
            (FunctionsRead::Cursors, Some(naming)) if !naming.executes.is_empty() => Err(read_by_function()),
            (FunctionsRead::Cursors | FunctionsRead::Nothing, _) => Ok(()),
        }
    }

    /// What a `FETCH` or `MOVE` reads from; `None` where that is not settled yet, and inside where only the server knows it.
    ///
    /// A portal that looks names up itself is not read from: the server keeps the rows that it read first, and nobody could tell
    /// what its names stood for then.
    fn source(&self, name: &str) -> Option<Result<Option<&Portal>, Refusal>> {
        Some(match self.portals.find(name.as_bytes(), self.batch) {
            Found::Unsettled => return None,
            Found::Known(Portal { naming: Some(_), .. }) => Err(nested_fetch()),
            Found::Known(portal) => Ok(Some(portal)),
            Found::Unknown if self.schemas.view().is_tagged() || self.unknown_may_be_stale() => Err(unknown_cursor()),
            Found::Unknown => Ok(None),
        })
    }

    /// How the rows are handled that a `FETCH` of a simple query shows.
    pub(super) fn fetched(&self, name: &str) -> Result<Read, Refusal> {
        // INVARIANT: a text waits until it is settled what it reads from.
        let source = self.source(name).unwrap_or_else(|| Err(unknown_cursor()))?;
        let Some(Portal { handling, fetched, .. }) = source else { return Ok(Read::default()) };
        let veil = handling.veil.as_ref().map(|veil| veil.in_formats(fetched.clone()));
        Ok(Read { veil, plan: Some(handling.plan.clone()), meter: handling.meter.clone() })
    }

    /// How a text is handled that reads from cursors: it may take as long as each of them, and is limited where one is.
    pub(super) fn limited_as_read(&self, handling: Handling, analysis: &Analysis) -> Handling {
        let read = analysis.statements.iter().filter_map(|statement| statement.cursor.as_ref()?.reads());
        read.fold(handling, |handling, name| match self.source(name) {
            Some(Ok(Some(portal))) => limited_by(handling, &portal.handling),
            Some(Ok(None) | Err(_)) | None => handling,
        })
    }

    /// How the rows are handled that an execution of a portal shows; `None` where that is not settled yet.
    pub(super) fn read_by(&self, portal: &Portal, naming: &Naming) -> Option<Result<Arc<Handling>, Refusal>> {
        if let Some(filled) = &portal.filled {
            return Some(Ok(Arc::clone(filled)));
        }
        let Some(name) = naming.cursor.as_ref().and_then(Cursor::reads) else {
            return Some(Ok(Arc::clone(&portal.handling)));
        };
        let source = self.source(name)?;
        Some(source.map(|source| fetching(source, &naming.formats, &portal.handling)))
    }

    /// How a description of a portal is handled; `None` where that is not settled yet.
    pub(super) fn portal_described(&self, portal: &Portal) -> Option<Arc<Handling>> {
        match (&portal.filled, &portal.naming) {
            (Some(filled), _) => Some(Arc::clone(filled)),
            (None, Some(naming)) => self.described(naming.cursor.as_ref(), &naming.formats, &portal.handling),
            (None, None) => Some(Arc::clone(&portal.handling)),
        }
    }

    /// How a description of what may be a `FETCH` is handled. It shows no row, and what it does not know has no column to show.
    pub(super) fn described(
        &self,
        cursor: Option<&Cursor>,
        formats: &Formats,
        handling: &Arc<Handling>,
    ) -> Option<Arc<Handling>> {
        let Some(name) = cursor.and_then(Cursor::reads) else { return Some(Arc::clone(handling)) };
        Some(match self.source(name)? {
            Ok(source) => fetching(source, formats, handling),
            Err(_) => Arc::clone(handling),
        })
    }

    /// Notes that a `FETCH` is being sent for the first time: from then on the server keeps the rows that it read.
    pub(super) fn fill(&mut self, name: Bytes, portal: &Portal, handling: &Arc<Handling>) -> Ticket {
        self.pipeline.retain(portal.op);
        let read = portal.naming.as_ref().and_then(|naming| naming.cursor.as_ref()?.reads());
        let source = read.and_then(|name| self.stands_on(name));
        let filled = Portal { filled: Some(Arc::clone(handling)), source, ..portal.clone() };
        self.portals.send(Change::Define(name, filled), self.batch)
    }

    /// Notes what a statement that is being sent does to the names of cursors.
    pub(super) fn steer(
        &mut self,
        cursor: &Cursor,
        handling: &Arc<Handling>,
        veil: Option<&Veil>,
        stand: impl FnOnce() -> Stand,
    ) -> Option<Ticket> {
        let named = |name: &str| Bytes::copy_from_slice(name.as_bytes());
        let change = match cursor {
            Cursor::Declare(name, format, lasts) => {
                self.pipeline.retain(OpId::CONNECT);
                Change::Define(named(name), declared(*format, *lasts, handling, veil, stand()))
            }
            Cursor::Close(name) => Change::Forget(named(name)),
            Cursor::CloseAll => Change::ForgetAll,
            Cursor::Fetch(_) | Cursor::Move(_) => return None,
        };
        Some(self.portals.send(change, self.batch))
    }
}

/// A cursor whose rows are masked like this. It keeps no operation open: each `FETCH` is one of its own.
fn declared(format: Format, lasts: Lasts, handling: &Arc<Handling>, veil: Option<&Veil>, stand: Stand) -> Portal {
    let fetched = match format {
        Format::Text => Formats::default(),
        Format::Binary => Formats::new(vec![1]),
    };
    let handling = match veil {
        Some(veil) => Arc::new(Handling { veil: Some(veil.in_formats(Formats::default())), ..(**handling).clone() }),
        None => Arc::clone(handling),
    };
    Portal {
        op: OpId::CONNECT,
        handling,
        execution: Execution::Rows,
        naming: None,
        fetched,
        made: Made::BySql,
        stand,
        lasts,
        filled: None,
        source: None,
    }
}

/// Whether a portal executes what a name stands for when the portal is first read.
fn executes(portal: &Portal) -> bool {
    portal.naming.as_ref().is_some_and(|naming| !naming.executes.is_empty())
}

/// How the rows of a `FETCH` are handled: as what it reads from.
fn fetching(source: Option<&Portal>, formats: &Formats, handling: &Arc<Handling>) -> Arc<Handling> {
    let Some(source) = source.map(|portal| &portal.handling) else { return Arc::clone(handling) };
    let veil = source.veil.as_ref().map(|veil| veil.in_formats(formats.clone()));
    let handling = limited_by((**handling).clone(), source);
    Arc::new(Handling { veil, plan: source.plan.clone(), ..handling })
}

/// The limits of what is read from are those of who reads, too.
fn limited_by(mut handling: Handling, source: &Handling) -> Handling {
    handling.time = handling.time.into_iter().chain(source.time).min();
    handling.of_sources.extend(source.meter.clone());
    handling
}

fn nested_fetch() -> Refusal {
    let message = "FETCH or MOVE names a portal that executes or fetches from something by name itself";
    Refusal::builtin(Code::Unsupported, "nested-fetch", message)
        .with_hint("Execute that portal, or fetch from its cursor.")
}

fn read_by_function() -> Refusal {
    Refusal::builtin(Code::Unsupported, "cursor-in-function", "a function reads a cursor by its name")
        .with_hint("Use FETCH.")
}

fn unknown_cursor() -> Refusal {
    Refusal::builtin(Code::Unsupported, "unknown-cursor", "the cursor is not known on this connection")
        .with_hint("It may have been closed, or was opened by a function.")
}

pub(super) fn too_many_portals() -> Refusal {
    Refusal::builtin(Code::Limit, "portals", "too many portals on one connection")
}
