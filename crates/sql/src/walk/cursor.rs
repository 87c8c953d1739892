//! Cursors: `DECLARE`, `FETCH`, `MOVE` and `CLOSE`.

use pg_query::protobuf::{ClosePortalStmt, DeclareCursorStmt, FetchStmt};

use super::Walk;
use super::statement::Done;
use crate::access::{Object, Verb};
use crate::analysis::{Cursor, Format, Kind};

/// `BINARY` and `WITH HOLD`, as the parser of PostgreSQL says them.
const CURSOR_OPT_BINARY: i32 = 0x0001;
const CURSOR_OPT_HOLD: i32 = 0x0020;

impl<'a> Walk<'a> {
    pub(super) fn declare(&mut self, declare: &'a DeclareCursorStmt) -> Done {
        self.access(Verb::Session, Object::Target);
        let format = if declare.options & CURSOR_OPT_BINARY == 0 { Format::Text } else { Format::Binary };
        let cursor = Some(Cursor::Declare(declare.portalname.as_str().into(), format));
        let Some(query) = declare.query.as_deref() else {
            self.misunderstood();
            return Done::of(Kind::Cursor);
        };
        let inner = self.top(query);
        // One that is held outlives its transaction, after which nobody keeps its name.
        let outputs = inner.outputs.filter(|_| declare.options & CURSOR_OPT_HOLD == 0);
        Done { cursor, outputs, counted: inner.counted, ..Done::of(Kind::Cursor) }
    }

    pub(super) fn fetch(&mut self, fetch: &FetchStmt) -> Done {
        let cursor = (!fetch.ismove).then(|| Cursor::Fetch(fetch.portalname.as_str().into()));
        Done { cursor, ..self.steer(Kind::Cursor) }
    }

    pub(super) fn close(&mut self, close: &ClosePortalStmt) -> Done {
        let all = close.portalname.is_empty();
        let cursor = if all { Cursor::CloseAll } else { Cursor::Close(close.portalname.as_str().into()) };
        Done { cursor: Some(cursor), ..self.steer(Kind::Cursor) }
    }
}
