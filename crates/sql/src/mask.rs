//! Mask expressions: SQL of the column's own type that the server evaluates.

use sluice_model::Transform;

use crate::{Column, Unmaskable};

const TEXT: u32 = 25;
const NAME: u32 = 19;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;

/// Values are shown in part only where they are at least this much longer than the part.
const HIDDEN_CHARACTERS: u32 = 4;

/// An expression that stands for the column; it names the column bare where it reads it at all.
pub(crate) fn expression(column: &Column, transform: &Transform) -> Result<String, Unmaskable> {
    let text = text_type(column);
    match transform {
        Transform::Null => Ok(null(column)),
        Transform::Redact => Ok(text.map_or_else(|| null(column), |of| format!("'***'::{of}"))),
        Transform::Constant(value) => Ok(text.map_or_else(|| null(column), |of| format!("{}::{of}", literal(value)))),
        Transform::Partial { keep_last } => {
            Ok(text.map_or_else(|| null(column), |of| partial(&identifier(&column.name), of, *keep_last)))
        }
        Transform::Bucket { width: 0 } => Err(Unmaskable::Transform),
        Transform::Bucket { width } => Ok(bucket(column, *width).unwrap_or_else(|| null(column))),
        Transform::Hash | Transform::Token | Transform::Fpe => Err(Unmaskable::Transform),
    }
}

/// An expression that is NULL where the column is, and else says nothing of it: what `count(column)` needs.
pub(crate) fn countable(column: &Column) -> Option<String> {
    let something = match column.type_oid {
        20 | 21 | 23 | 26 | 700 | 701 | 1700 => "0",
        16 => "false",
        1082 | 1114 | 1184 => "1970-01-01",
        2950 => "00000000-0000-0000-0000-000000000000",
        114 | 3802 => "{}",
        17 => "",
        _ => text_type(column).map(|_| "***")?,
    };
    let name = identifier(&column.name);
    let of = &column.type_name;
    Some(format!("CASE WHEN {name} IS NOT NULL THEN '{something}'::{of} END"))
}

fn null(column: &Column) -> String {
    format!("NULL::{}", column.type_name)
}

/// The type to cast a text to, where the column holds text.
fn text_type(column: &Column) -> Option<&str> {
    let is_text = matches!(column.type_oid, TEXT | NAME | BPCHAR | VARCHAR);
    (is_text || column.type_name.ends_with(".citext")).then_some(&*column.type_name)
}

fn partial(column: &str, of: &str, keep: u8) -> String {
    let shown = u32::from(keep);
    let least = shown + HIDDEN_CHARACTERS;
    let value = format!("{column}::pg_catalog.text");
    format!(
        "CASE WHEN {value} IS NULL THEN NULL::{of} \
         WHEN pg_catalog.length({value}) OPERATOR(pg_catalog.>=) {least} \
         THEN ('***'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.right({value}, {shown}))::{of} \
         ELSE '***'::{of} END"
    )
}

/// Numbers rounded down to a multiple, clamped so that no value raises an error.
fn bucket(column: &Column, width: u32) -> Option<String> {
    let (least, of) = match column.type_oid {
        21 => (Some("-32768"), "pg_catalog.int2"),
        23 => (Some("-2147483648"), "pg_catalog.int4"),
        20 => (Some("-9223372036854775808"), "pg_catalog.int8"),
        1700 => (None, "pg_catalog.numeric"),
        _ => return None,
    };
    let value = identifier(&column.name);
    let down = format!(
        "(pg_catalog.floor(({value}::pg_catalog.numeric) OPERATOR(pg_catalog./) {width}::pg_catalog.numeric) \
         OPERATOR(pg_catalog.*) {width}::pg_catalog.numeric)"
    );
    let clamped = match least {
        Some(least) => format!(
            "CASE WHEN {down} OPERATOR(pg_catalog.<) '{least}'::pg_catalog.numeric \
             THEN '{least}'::pg_catalog.numeric ELSE {down} END"
        ),
        None => down,
    };
    Some(format!("({clamped})::{of}"))
}

/// A quoted name.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text constant that means the same whatever the string settings.
fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if value.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
