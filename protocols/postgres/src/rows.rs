//! The net behind the masks: no result begins that still carries a protected column.

use sluice_wire::{Frame as _, Violation};

use crate::frame::{Extent, Fields, Frame};
use crate::pipeline::Owed;
use crate::veil::Changed;
use crate::view::View;

/// OIDs below this belong to PostgreSQL itself and are the same in every database.
const FIRST_USER_OID: u32 = 16_384;

/// What a `RowDescription` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Described {
    /// The number of columns.
    pub(crate) columns: u16,
    /// A column comes from a relation that the view does not hold, or the columns are not those that were read: somebody changed
    /// the schema since.
    pub(crate) is_unknown: bool,
}

/// Checks a `RowDescription` against what the operation that it answers may reveal.
///
/// **Shape:** `count i16 · (name cstr · table oid u32 · attnum i16 · type oid u32 · size i16 · modifier i32 · format i16)*`
pub(crate) fn check(body: &[u8], owed: &Owed, view: &View) -> Result<Described, Violation> {
    let mut fields = Fields::of_server(body);
    let count = fields.u16()?;
    let mut origins = Vec::new();
    let mut is_unknown = false;
    for position in 0..usize::from(count) {
        fields.cstr()?;
        let table = fields.u32()?;
        let attnum = i16::from_be_bytes(fields.bytes()?);
        let type_oid = fields.u32()?;
        let _size_modifier_format: [u8; 8] = fields.bytes()?;
        is_unknown |= table >= FIRST_USER_OID && view.is_tagged() && view.catalog.relation_by_oid(table).is_none();
        let covered = match owed.veil().map(|veil| veil.covers(position, type_oid)) {
            None => false,
            Some(Ok(covered)) => covered,
            Some(Err(Changed)) => {
                is_unknown = true;
                false
            }
        };
        origins.push((!covered && view.is_sensitive(table, attnum)).then_some((table, attnum)));
    }
    fields.end()?;
    is_unknown |= owed.veil().is_some_and(|veil| veil.width() != usize::from(count));
    if is_unknown {
        return Ok(Described { columns: count, is_unknown });
    }
    owed.plan()
        .bind(origins)
        .map_err(|_| Violation::server("a result would have carried a protected column unmasked"))?;
    Ok(Described { columns: count, is_unknown })
}

/// Checks that every row of a run has as many fields as were described.
///
/// **Shape:** `'D' · length u32 · count u16 · …`
pub(crate) fn check_width(rows: &Frame, columns: u16) -> Result<(), Violation> {
    let mut rest = if rows.extent() == Extent::Later { &[][..] } else { rows.wire() };
    while !rest.is_empty() {
        let mut fields = Fields::of_server(rest);
        let (_tag, length, count) = (fields.u8()?, fields.u32()?, fields.u16()?);
        if count != columns {
            return Err(Violation::server("a row does not have the columns that were described"));
        }
        let next = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(())
}
