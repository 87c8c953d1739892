//! Reads a [`Catalog`] from a server: constant queries, every name qualified, one snapshot for all of them.
//!
//! Works on PostgreSQL 13 to 18 with no more than the right to connect: the system catalogs are readable by everybody.

mod runs;

use sluice_sql::{
    Catalog, ColumnRow, ForeignKeyRow, FunctionRow, InvalidCatalog, OperatorRow, RelationRow, Rows, RunRow, TypeRow,
    TypeRunRow,
};
use thiserror::Error;
use tokio_postgres::{Client, Row};

/// Why there is no catalog.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("the catalog queries failed")]
    Query(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Invalid(#[from] InvalidCatalog),
}

/// An empty search path makes every name that the server prints a qualified one. To compile such queries takes longer than to run them.
const OPEN: &str = "SET search_path = ''; SET jit = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const CLOSE: &str = "COMMIT";

const DATABASE: &str = "SELECT pg_catalog.current_database()::pg_catalog.text, pg_catalog.getdatabaseencoding()::pg_catalog.text <> 'UTF8'";

/// `_RETURN` is the rule that makes a view a view. Reading a definition locks what the view is made of, and would wait for
/// whoever holds an exclusive lock on any of that: such a view is read without its definition.
const RELATIONS: &str = "
WITH held AS MATERIALIZED (
  SELECT DISTINCT l.relation FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database b ON b.oid = l.database
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND b.datname = pg_catalog.current_database()
), locked AS MATERIALIZED (
  SELECT w.ev_class FROM held JOIN pg_catalog.pg_depend d
    ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = held.relation
    AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
)
SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
  c.relhasrules AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
  CASE WHEN c.relkind IN ('v', 'm') AND c.oid NOT IN (SELECT locked.ev_class FROM locked) THEN pg_catalog.pg_get_viewdef(c.oid) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'";

const COLUMNS: &str = "
SELECT a.attrelid, a.attnum, a.attname::pg_catalog.text, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod),
  a.attgenerated <> ''
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'";

const INHERITS: &str = "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i";

/// What a generated column is made of; before version 15 it depends on that itself, and later its expression does.
const GENERATED: &str = "
SELECT DISTINCT a.attrelid, a.attnum, d.refobjsubid::pg_catalog.int2
FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
    AND (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
      OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum)
WHERE a.attgenerated <> '' AND NOT a.attisdropped AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum";

const REFERENCES: &str = "
SELECT k.conrelid, k.confrelid, k.confdeltype::pg_catalog.text, k.confupdtype::pg_catalog.text
FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'";

/// By name: one overload that is not harmless makes the name so. What makes an identifier out of nothing is harmless, too, an
/// aggregate as far as what it is made of is, and what the server makes of its own with a range type, as far as nobody's code decides
/// about its values. Functions that an administrator put into `pg_catalog` count as well.
const FUNCTIONS: &str = "
WITH extended AS MATERIALIZED (
  SELECT d.objid AS oid FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'
), steady AS MATERIALIZED (
  SELECT p.oid FROM pg_catalog.pg_proc p LEFT JOIN extended ON extended.oid = p.oid
  WHERE p.prokind = 'f' AND p.provolatile = 'i' AND (p.oid < 16384 OR extended.oid IS NOT NULL)
), made AS MATERIALIZED (
  SELECT d.objid AS oid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend t
      ON t.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.objid = d.refobjid AND t.deptype = 'i'
        AND t.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
      OR t.classid = d.classid AND t.objid = d.objid AND t.objsubid = d.objsubid
        AND t.refclassid = d.refclassid AND t.refobjid = d.refobjid
    JOIN pg_catalog.pg_range r ON r.rngtypid IN (d.refobjid, t.refobjid)
  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'i'
    AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
    AND r.rngsubtype < 16384 AND r.rngsubopc < 16384 AND r.rngcanonical = 0
)
SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text,
  pg_catalog.bool_and(made.oid IS NOT NULL OR extended.oid IS NOT NULL AND CASE p.prokind
    WHEN 'f' THEN p.provolatile = 'i' OR p.proname IN ('uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4', 'gen_random_uuid')
    WHEN 'a' THEN NOT EXISTS (
      SELECT FROM pg_catalog.unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
        a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::pg_catalog.oid[]) AS part (oid)
      WHERE part.oid <> 0 AND part.oid NOT IN (SELECT steady.oid FROM steady))
    ELSE false END),
  pg_catalog.bool_or(extended.oid IS NOT NULL),
  pg_catalog.bool_and(NOT p.proretset AND p.prorettype IN (17, 25, 114, 1043, 3802))
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN extended ON extended.oid = p.oid LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
  LEFT JOIN (SELECT DISTINCT made.oid FROM made) made ON made.oid = p.oid
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_(toast_)?temp_'
GROUP BY 1, 2";

const OPERATORS: &str = "
SELECT n.nspname::pg_catalog.text, o.oprname::pg_catalog.text,
  p.oid IS NOT NULL AND p.provolatile = 'i' AND (p.oid < 16384 OR EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')),
  o.oprleft, o.oprright
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
  LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
WHERE o.oid >= 16384 AND n.nspname !~ '^pg_(toast_)?temp_'";

/// Reads a snapshot of the database that `client` is connected to. `search_path` is the pinned path of client sessions; the
/// connection's own is emptied.
///
/// # Errors
/// When a query fails, or the path is not fixed. The connection may be left inside a failed transaction.
///
/// # Cancel safety
/// Not cancel-safe: a connection whose load was dropped must not be used again.
pub(crate) async fn load(client: &Client, search_path: &[String], epoch: u64) -> Result<Catalog, LoadError> {
    client.batch_execute(OPEN).await?;
    let database = client.query_one(DATABASE, &[]).await?;
    let rows = Rows {
        database: database.try_get(0)?,
        recodes: database.try_get(1)?,
        search_path: search_path.to_vec(),
        relations: read(client, RELATIONS, relation).await?,
        columns: read(client, COLUMNS, column).await?,
        inherits: read(client, INHERITS, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await?,
        generated: read(client, GENERATED, |row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).await?,
        runs: read(client, runs::RUNS, run).await?,
        type_runs: read(client, runs::TYPE_RUNS, type_run).await?,
        references: read(client, REFERENCES, foreign_key).await?,
        functions: read(client, FUNCTIONS, function).await?,
        operators: read(client, OPERATORS, operator).await?,
    };
    client.batch_execute(CLOSE).await?;
    Ok(Catalog::build(rows, epoch)?)
}

async fn read<T>(
    client: &Client,
    query: &str,
    parse: fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, tokio_postgres::Error> {
    client.query(query, &[]).await?.iter().map(parse).collect()
}

fn relation(row: &Row) -> Result<RelationRow, tokio_postgres::Error> {
    let kind: &str = row.try_get(3)?;
    Ok(RelationRow {
        oid: row.try_get(0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        kind: kind.chars().next().unwrap_or_default(),
        has_rules: row.try_get(4)?,
        definition: row.try_get(5)?,
    })
}

fn column(row: &Row) -> Result<ColumnRow, tokio_postgres::Error> {
    Ok(ColumnRow {
        relation: row.try_get(0)?,
        attnum: row.try_get(1)?,
        name: row.try_get(2)?,
        type_oid: row.try_get(3)?,
        type_name: row.try_get(4)?,
        generated: row.try_get(5)?,
    })
}

fn function(row: &Row) -> Result<FunctionRow, tokio_postgres::Error> {
    Ok(FunctionRow {
        schema: row.try_get(0)?,
        name: row.try_get(1)?,
        safe: row.try_get(2)?,
        extension: row.try_get(3)?,
        texts: row.try_get(4)?,
    })
}

fn operator(row: &Row) -> Result<OperatorRow, tokio_postgres::Error> {
    Ok(OperatorRow {
        schema: row.try_get(0)?,
        name: row.try_get(1)?,
        safe: row.try_get(2)?,
        left: row.try_get(3)?,
        right: row.try_get(4)?,
    })
}

fn run(row: &Row) -> Result<RunRow, tokio_postgres::Error> {
    Ok(RunRow { relation: row.try_get(0)?, schema: row.try_get(1)?, function: row.try_get(2)? })
}

fn type_run(row: &Row) -> Result<TypeRunRow, tokio_postgres::Error> {
    let of = TypeRow { schema: row.try_get(0)?, name: row.try_get(1)? };
    Ok(TypeRunRow { of, schema: row.try_get(2)?, function: row.try_get(3)? })
}

fn foreign_key(row: &Row) -> Result<ForeignKeyRow, tokio_postgres::Error> {
    let (on_delete, on_update): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let first = |text: &str| text.chars().next().unwrap_or_default();
    Ok(ForeignKeyRow {
        relation: row.try_get(0)?,
        referenced: row.try_get(1)?,
        on_delete: first(on_delete),
        on_update: first(on_update),
    })
}
