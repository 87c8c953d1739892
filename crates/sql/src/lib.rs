//! PostgreSQL text into what it does, and text rewritten so that protected columns are masked at the source.
//!
//! The server's own grammar (`pg_query`) reads the text; everything else here is a pure function of that tree and a [`Catalog`]
//! snapshot. **Invariant:** what is not understood is refused: an unknown node, relation, function or setting never passes as harmless.

mod access;
mod analysis;
mod analyze;
mod catalog;
mod census;
mod dependents;
mod known;
mod locate;
mod mask;
mod read;
mod rewrite;
mod sensitive;
mod walk;

#[cfg(test)]
mod tests;

pub use access::{Access, ColumnUse, Object, Usage, Verb};
pub use analysis::{
    Analysis, Change, Copy, Cursor, Format, Kind, Lasts, Outputs, Places, Reason, Refused, Statement, Transaction,
};
pub use analyze::{NoPrepared, Prepared, analyze};
pub use catalog::{
    Catalog, Column, ColumnRow, ForeignKeyRow, FunctionRow, InvalidCatalog, OperatorRow, Relation, RelationKind,
    RelationRow, Rows, RunRow, TypeRow, TypeRunRow,
};
pub use locate::{Sought, locate, misread};
pub use read::{MAX_NESTING, MAX_TEXT_BYTES, Unreadable, needs_big_stack};
pub use rewrite::{ColumnMask, Rewritten, Unmaskable, rewrite};
pub use sensitive::{Missing, Sensitive, SensitiveColumn};
pub use walk::{MAX_FROM_ENTRIES, MAX_OUTPUT_COLUMNS};
