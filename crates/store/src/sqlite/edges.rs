//! Edges of runs in SQLite.

use sluice_kernel::BoxFuture;
use sluice_model::{FlowId, OpId, RunId, SessionId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Sqlite, boxed, signed, unsigned};
use crate::{Confidence, Edge, Edges, Place, StoreError, Tie};

impl Edges for Sqlite {
    fn replace_edges<'a>(&'a self, run: &'a RunId, edges: &'a [Edge]) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            sqlx::query("delete from edges where run = ?").bind(run.as_str()).execute(&mut *change).await?;
            for Edge { from, to, tie, confidence } in edges {
                sqlx::query("insert into edges values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing")
                    .bind(run.as_str())
                    .bind(from.session.as_str())
                    .bind(from.flow.0)
                    .bind(signed(from.op.0))
                    .bind(to.session.as_str())
                    .bind(to.flow.0)
                    .bind(signed(to.op.0))
                    .bind(tie.name())
                    .bind(confidence.name())
                    .execute(&mut *change)
                    .await?;
            }
            change.commit().await?;
            Ok(())
        })
    }

    fn edges<'a>(&'a self, run: &'a RunId) -> BoxFuture<'a, Result<Vec<Edge>, StoreError>> {
        boxed(async move {
            let query = sqlx::query("select * from edges where run = ?").bind(run.as_str());
            let mut edges = query.fetch_all(&self.read).await?.iter().map(edge).collect::<Result<Vec<_>, _>>()?;
            edges.sort();
            Ok(edges)
        })
    }
}

fn edge(row: &SqliteRow) -> Result<Edge, StoreError> {
    let unreadable = || StoreError::Unreadable("edge");
    let place = |session: &str, flow: &str, op: &str| {
        Ok::<_, StoreError>(Place {
            session: SessionId::new(row.try_get::<&str, _>(session)?).map_err(|_| unreadable())?,
            flow: FlowId(u32::try_from(row.try_get::<i64, _>(flow)?).map_err(|_| unreadable())?),
            op: OpId(unsigned(row.try_get(op)?, "edge")?),
        })
    };
    Ok(Edge {
        from: place("from_session", "from_flow", "from_op")?,
        to: place("to_session", "to_flow", "to_op")?,
        tie: Tie::parse(row.try_get("kind")?).ok_or_else(unreadable)?,
        confidence: Confidence::parse(row.try_get("confidence")?).ok_or_else(unreadable)?,
    })
}
