//! Cursors that SQL declares, fetches from and closes.
//!
//! The portals of the protocol are cursors too, under the same names: SQL can fetch from a portal, so what is masked where the
//! portal is executed is masked where it is fetched from
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>).

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, OpId, Refusal};
use sluice_sql::{Analysis, Cursor, Format};

use super::named::check_spelling;
use super::{Made, Portal, PostgresMachine, requests};
use crate::names::{Change, Found, Ticket};
use crate::pipeline::{Execution, Handling};
use crate::veil::{Formats, Veil};

impl PostgresMachine {
    /// Whether it is settled what every `FETCH` of a text fetches from.
    pub(super) fn fetches_are_settled(&self, analysis: &Analysis) -> bool {
        analysis.statements.iter().all(|statement| match &statement.cursor {
            Some(Cursor::Fetch(name)) => !matches!(self.portals.find(name.as_bytes(), self.batch), Found::Unsettled),
            Some(Cursor::Declare(..) | Cursor::Close(_) | Cursor::CloseAll) | None => true,
        })
    }

    /// Refuses more cursors than a connection may have, and names of which it is not certain whose they are.
    pub(super) fn check_cursors(&self, analysis: &Analysis) -> Result<(), Refusal> {
        let cursors: Vec<&Cursor> =
            analysis.statements.iter().filter_map(|statement| statement.cursor.as_ref()).collect();
        if cursors.is_empty() {
            return Ok(());
        }
        if self.schemas.view().is_tagged() {
            cursors.iter().filter_map(|cursor| cursor.name()).map(str::as_bytes).try_for_each(check_spelling)?;
        }
        let new = cursors.iter().filter(|cursor| matches!(cursor, Cursor::Declare(..))).count();
        if new == 0 || self.portals.len().saturating_add(new) <= requests::MAX_NAMES {
            return Ok(());
        }
        Err(too_many_portals())
    }

    /// What masks the rows that a `FETCH` of a simple query shows.
    pub(super) fn fetched(&self, name: &str) -> Option<Veil> {
        match self.portals.find(name.as_bytes(), self.batch) {
            Found::Known(portal) => {
                let veil = portal.handling.veil.as_ref();
                veil.map(|veil| veil.in_formats(portal.fetched.clone()))
            }
            Found::Unknown => None,
            // INVARIANT: a text waits until it is settled; no row fits a mask of no columns.
            Found::Unsettled => Some(Veil::new(Vec::new(), &self.mask_key)),
        }
    }

    /// How the rows of a `FETCH` through the extended protocol are handled; `None` where that is not settled yet.
    pub(super) fn as_fetched(
        &self,
        cursor: Option<&Cursor>,
        formats: &Formats,
        handling: &Arc<Handling>,
    ) -> Option<Arc<Handling>> {
        let Some(Cursor::Fetch(name)) = cursor else { return Some(Arc::clone(handling)) };
        let veil = match self.portals.find(name.as_bytes(), self.batch) {
            Found::Known(portal) => portal.handling.veil.as_ref(),
            Found::Unknown => None,
            Found::Unsettled => return None,
        };
        Some(match veil {
            Some(veil) => Arc::new(Handling { veil: Some(veil.in_formats(formats.clone())), ..(**handling).clone() }),
            None => Arc::clone(handling),
        })
    }

    /// Notes what a statement that is being sent does to the names of cursors.
    pub(super) fn steer(&mut self, cursor: &Cursor, handling: &Arc<Handling>, veil: Option<&Veil>) -> Option<Ticket> {
        let named = |name: &str| Bytes::copy_from_slice(name.as_bytes());
        let change = match cursor {
            Cursor::Declare(name, format) => {
                self.pipeline.retain(OpId::CONNECT);
                Change::Define(named(name), declared(*format, handling, veil))
            }
            Cursor::Close(name) => Change::Forget(named(name)),
            Cursor::CloseAll => Change::ForgetAll,
            Cursor::Fetch(_) => return None,
        };
        Some(self.portals.send(change, self.batch))
    }
}

/// A cursor whose rows are masked like this. It keeps no operation open: each `FETCH` is one of its own.
fn declared(format: Format, handling: &Arc<Handling>, veil: Option<&Veil>) -> Portal {
    let fetched = match format {
        Format::Text => Formats::default(),
        Format::Binary => Formats::new(vec![1]),
    };
    let handling = match veil {
        Some(veil) => Arc::new(Handling { veil: Some(veil.in_formats(Formats::default())), ..(**handling).clone() }),
        None => Arc::clone(handling),
    };
    Portal { op: OpId::CONNECT, handling, execution: Execution::Rows, naming: None, fetched, made: Made::BySql }
}

pub(super) fn too_many_portals() -> Refusal {
    Refusal::builtin(Code::Limit, "portals", "too many portals on one connection")
}
