//! Which functions run when rows are written, or values become others: found in what the server stores of its definitions.
//!
//! Stored expressions name functions by their oids in the text of their trees: `funcid` in calls, `opfuncid` in operators, of which
//! only those of the database's own can be other than harmless, and by `resulttype` what a value is made one of. What a type is
//! made of runs with it, however deep: a domain of a domain, the items of an array, the attributes of a composite type, the bounds
//! of a range (<https://www.postgresql.org/docs/current/catalogs.html>).

/// `runs (of, function, written)`: what runs with a type; `written` unless it only runs when a value of the type becomes another.
macro_rules! with_types {
    ($rest:literal) => {
        concat!(
            r"
WITH RECURSIVE own AS MATERIALIZED (
  SELECT p.oid FROM pg_catalog.pg_proc p
  WHERE p.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
), kept (type, code) AS MATERIALIZED (
  SELECT k.contypid, k.conbin::pg_catalog.text FROM pg_catalog.pg_constraint k WHERE k.contypid <> 0
  UNION ALL SELECT t.oid, t.typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type t WHERE t.typdefaultbin IS NOT NULL
), direct (of, function, written) AS (
  SELECT kept.type, (found.parts)[2]::pg_catalog.oid, true
  FROM kept, pg_catalog.regexp_matches(kept.code, ':(funcid|opfuncid) (\d+)', 'g') AS found (parts)
  WHERE (found.parts)[1] = 'funcid' OR (found.parts)[2]::pg_catalog.oid >= 16384
  UNION SELECT t.oid, own.oid, true FROM own JOIN pg_catalog.pg_type t
    ON own.oid IN (t.typinput::pg_catalog.oid, t.typreceive::pg_catalog.oid, t.typmodin::pg_catalog.oid)
  UNION SELECT x.casttarget, x.castfunc, true FROM pg_catalog.pg_cast x WHERE x.castfunc IN (SELECT own.oid FROM own)
  UNION SELECT x.castsource, x.castfunc, false FROM pg_catalog.pg_cast x WHERE x.castfunc IN (SELECT own.oid FROM own)
  UNION SELECT r.rngtypid, own.oid, true FROM own JOIN pg_catalog.pg_range r
    ON own.oid IN (r.rngcanonical::pg_catalog.oid, r.rngsubdiff::pg_catalog.oid)
  UNION SELECT r.rngtypid, s.amproc::pg_catalog.oid, true FROM pg_catalog.pg_range r
    JOIN pg_catalog.pg_opclass c ON c.oid = r.rngsubopc JOIN pg_catalog.pg_amproc s ON s.amprocfamily = c.opcfamily
    WHERE s.amproc::pg_catalog.oid IN (SELECT own.oid FROM own)
), holds (whole, part) AS (
  SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.typbasetype >= 16384
  UNION SELECT t.oid, t.typelem FROM pg_catalog.pg_type t WHERE t.typelem >= 16384
  UNION SELECT t.oid, a.atttypid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
    WHERE t.typrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
  UNION SELECT r.rngtypid, r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngsubtype >= 16384
  -- A type of many ranges belongs to that of one; older servers have none.
  UNION SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
      AND d.deptype = 'i'
  UNION SELECT kept.type, (found.parts)[1]::pg_catalog.oid
    FROM kept, pg_catalog.regexp_matches(kept.code, ':resulttype (\d+)', 'g') AS found (parts)
    WHERE (found.parts)[1]::pg_catalog.oid >= 16384
), runs (of, function, written) AS (
  SELECT direct.of, direct.function, direct.written FROM direct
  UNION SELECT holds.whole, runs.function, runs.written FROM runs JOIN holds ON holds.part = runs.of WHERE runs.of >= 16384
)",
            $rest
        )
    };
}

/// Triggers that only keep foreign keys are the server's; those that parts have of their table count as internal in some versions.
/// Whatever is written to a part is compared with the keys of all that it is a part of.
pub(super) const RUNS: &str = with_types!(
    r"
, parts (top, relation) AS (
  SELECT k.partrelid, k.partrelid FROM pg_catalog.pg_partitioned_table k WHERE k.partexprs IS NOT NULL
  UNION SELECT parts.top, i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.relation
), tree (relation, code) AS MATERIALIZED (
  SELECT d.adrelid, d.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef d
  UNION ALL SELECT k.conrelid, k.conbin::pg_catalog.text FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0
  UNION ALL SELECT i.indrelid, i.indexprs::pg_catalog.text FROM pg_catalog.pg_index i
  UNION ALL SELECT i.indrelid, i.indpred::pg_catalog.text FROM pg_catalog.pg_index i
  UNION ALL SELECT t.tgrelid, t.tgqual::pg_catalog.text FROM pg_catalog.pg_trigger t
  UNION ALL SELECT parts.relation, k.partexprs::pg_catalog.text
    FROM parts JOIN pg_catalog.pg_partitioned_table k ON k.partrelid = parts.top
), typed (relation, type) AS (
  SELECT a.attrelid, a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
  UNION SELECT tree.relation, (found.parts)[1]::pg_catalog.oid
    FROM tree, pg_catalog.regexp_matches(tree.code, ':resulttype (\d+)', 'g') AS found (parts)
    WHERE (found.parts)[1]::pg_catalog.oid >= 16384
), called (relation, function) AS (
  SELECT tree.relation, (found.parts)[2]::pg_catalog.oid
  FROM tree, pg_catalog.regexp_matches(tree.code, ':(funcid|opfuncid) (\d+)', 'g') AS found (parts)
  WHERE (found.parts)[1] = 'funcid' OR (found.parts)[2]::pg_catalog.oid >= 16384
  UNION SELECT t.tgrelid, t.tgfoid FROM pg_catalog.pg_trigger t
    WHERE (NOT t.tgisinternal OR t.tgfoid >= 16384) AND t.tgenabled <> 'D'
  UNION SELECT typed.relation, runs.function FROM typed JOIN runs ON runs.of = typed.type WHERE runs.written
)
SELECT called.relation, n.nspname::pg_catalog.text, p.proname::pg_catalog.text
FROM called JOIN pg_catalog.pg_proc p ON p.oid = called.function JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE called.relation >= 16384"
);

/// By the name of the type.
pub(super) const TYPE_RUNS: &str = with_types!(
    r"
SELECT DISTINCT m.nspname::pg_catalog.text, t.typname::pg_catalog.text, n.nspname::pg_catalog.text, p.proname::pg_catalog.text
FROM runs JOIN pg_catalog.pg_type t ON t.oid = runs.of JOIN pg_catalog.pg_namespace m ON m.oid = t.typnamespace
  JOIN pg_catalog.pg_proc p ON p.oid = runs.function JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
);
