//! Cursors: `DECLARE`, `FETCH`, `MOVE` and `CLOSE`.

use pg_query::protobuf::{ClosePortalStmt, DeclareCursorStmt, FetchStmt};

use super::Walk;
use super::statement::Done;
use crate::access::{Object, Verb};
use crate::analysis::{Cursor, Format, Kind, Lasts};

/// `BINARY` and `WITH HOLD`, as the parser of PostgreSQL says them.
const CURSOR_OPT_BINARY: i32 = 0x0001;
const CURSOR_OPT_HOLD: i32 = 0x0020;

impl<'a> Walk<'a> {
    pub(super) fn declare(&mut self, declare: &'a DeclareCursorStmt) -> Done {
        self.access(Verb::Session, Object::Target);
        let format = if declare.options & CURSOR_OPT_BINARY == 0 { Format::Text } else { Format::Binary };
        let lasts = if declare.options & CURSOR_OPT_HOLD == 0 { Lasts::Transaction } else { Lasts::Session };
        let cursor = Some(Cursor::Declare(declare.portalname.as_str().into(), format, lasts));
        let Some(query) = declare.query.as_deref() else {
            self.misunderstood();
            return Done::of(Kind::Cursor);
        };
        let inner = self.top(query);
        // One that is held outlives what its transaction was ruled by: it is masked at the source.
        let outputs = inner.outputs.filter(|_| lasts == Lasts::Transaction);
        Done { cursor, outputs, counted: inner.counted, ..Done::of(Kind::Cursor) }
    }

    pub(super) fn fetch(&mut self, fetch: &FetchStmt) -> Done {
        let name = fetch.portalname.as_str().into();
        let cursor = if fetch.ismove { Cursor::Move(name) } else { Cursor::Fetch(name) };
        Done { cursor: Some(cursor), ..self.steer(Kind::Cursor) }
    }

    pub(super) fn close(&mut self, close: &ClosePortalStmt) -> Done {
        let all = close.portalname.is_empty();
        let cursor = if all { Cursor::CloseAll } else { Cursor::Close(close.portalname.as_str().into()) };
        Done { cursor: Some(cursor), ..self.steer(Kind::Cursor) }
    }
}
