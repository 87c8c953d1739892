//! What is masked in a result as it passes, and in which formats.

use std::sync::Arc;

use sluice_model::{Obligations, Refusal};
use sluice_sql::{ColumnMask, Rewritten};
use sluice_wire::Violation;

use super::PostgresMachine;
use super::channels::is_of_channel;
use super::denial::{unmaskable, unsupported};
use super::question::{column_masks, schema_changed};
use crate::frame::{Fields, Frame};
use crate::operation::Known;
use crate::pipeline::Origin;
use crate::veil::{Formats, MaskKey, Veil, Veiled};
use crate::view::View;

/// Rewritten texts that one connection remembers.
const REWRITES: usize = 256;

impl PostgresMachine {
    /// The text with its protected relations masked, or `None` where no mask is due.
    pub(super) fn rewritten(
        &mut self,
        known: &Known,
        obligations: &Arc<Obligations>,
        view: &View,
    ) -> Result<Option<Arc<Rewritten>>, Refusal> {
        if obligations.masks.iter().all(is_of_channel) {
            return Ok(None);
        }
        let key = known.shape.digest();
        if let Some((under, rewritten)) = self.rewrites.get(&key)
            && under.masks == obligations.masks
        {
            return Ok(Some(Arc::clone(rewritten)));
        }
        let masks = column_masks(&known.analysis, &obligations.masks)?;
        let text = std::str::from_utf8(&known.text)
            .map_err(|_| unsupported("encoding", "the statement is not valid UTF-8"))?;
        let rewritten = sluice_sql::rewrite(text, &known.analysis, &view.catalog, &masks).map_err(unmaskable)?;
        let rewritten = Arc::new(rewritten);
        if self.rewrites.len() >= REWRITES {
            self.rewrites.clear();
        }
        self.rewrites.insert(key, (Arc::clone(obligations), Arc::clone(&rewritten)));
        Ok(Some(rewritten))
    }

    /// What is masked as it passes, of each statement's result.
    pub(super) fn veils(
        &self,
        known: &Known,
        obligations: &Obligations,
        view: &View,
        rewritten: Option<&Rewritten>,
    ) -> Result<Vec<Option<Veil>>, Refusal> {
        let Some(rewritten) = rewritten else { return Ok(vec![None; known.analysis.statements.len()]) };
        let masks = column_masks(&known.analysis, &obligations.masks)?;
        let one = |wire: &Vec<Option<Origin>>| {
            (!wire.is_empty()).then(|| veil(wire, &masks, view, &self.mask_key)).transpose()
        };
        rewritten.wire.iter().map(one).collect()
    }
}

/// What is masked at each position of a result.
fn veil(wire: &[Option<Origin>], masks: &[ColumnMask], view: &View, key: &MaskKey) -> Result<Veil, Refusal> {
    let one = |place: &Option<(u32, i16)>| {
        let Some((oid, attnum)) = *place else { return Ok(None) };
        let mask = masks.iter().find(|mask| (mask.oid, mask.attnum) == (oid, attnum));
        let tag = view.tags_of(oid, attnum).into_iter().next();
        let column = view.catalog.column(oid, attnum);
        match (mask, column, tag) {
            (Some(mask), Some(column), Some(tag)) => Ok(Some(Veiled::new(column, mask.transform.clone(), tag))),
            _ => Err(schema_changed()),
        }
    };
    let columns: Result<Vec<Option<Veiled>>, Refusal> = wire.iter().map(one).collect();
    Ok(Veil::new(columns?, key))
}

/// The result formats of a `Bind` whose shape was checked.
pub(super) fn result_formats(frame: &Frame) -> Result<Formats, Refusal> {
    let read = || {
        let mut fields = Fields::of_client(frame.body());
        fields.cstr()?;
        fields.cstr()?;
        for _ in 0..fields.u16()? {
            fields.u16()?;
        }
        for _ in 0..fields.u16()? {
            fields.value()?;
        }
        let count = fields.u16()?;
        (0..count).map(|_| fields.u16()).collect::<Result<Vec<u16>, Violation>>()
    };
    read().map(Formats::new).map_err(|_| unsupported("bind", "the formats of the result cannot be read"))
}
