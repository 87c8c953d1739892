//! Rewriting at the source: a relation with masked columns becomes a sub-select that masks them.
//!
//! Expressions, whole rows, aggregates and error texts of the statement then see the mask, whatever they are made of. The result is
//! read again: unless every masked relation stands exactly where this module put it, there is no result.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{ScanToken, Token};
use sluice_model::Transform;

use crate::analysis::{Analysis, Kind, Qualified, RangeUse};
use crate::walk::Walk;
use crate::{Catalog, NoPrepared, Relation, RelationKind, Sensitive, Usage, mask, read};

/// One column to mask and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnMask {
    pub oid: u32,
    pub attnum: i16,
    pub transform: Transform,
}

/// Why a text cannot be rewritten; it must be refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unmaskable {
    #[error("a masked column is used for more than showing it")]
    Filtered,
    #[error("a masked column is counted and shown in one statement")]
    Counted,
    #[error("rows of a masked relation are locked")]
    Locked,
    #[error("a masked relation is sampled")]
    Sampled,
    #[error("a system column of a masked relation is used")]
    SystemColumn,
    #[error("a masked relation is not a table")]
    NotATable,
    #[error("this kind of mask cannot be made in the statement")]
    Transform,
    #[error("the relation changed since the statement was read")]
    Stale,
    #[error("the statement is spelt in a way that cannot be rewritten safely")]
    Spelling,
}

type Masks<'m> = BTreeMap<u32, BTreeMap<i16, &'m Transform>>;

/// Replaces every relation that has masked columns by a sub-select that masks them.
///
/// `text` must be the text of `analysis`, and `catalog` the snapshot it was analysed with. The text comes back unchanged where no
/// masked relation is read.
///
/// # Errors
/// When the result could not be trusted.
pub fn rewrite(text: &str, analysis: &Analysis, catalog: &Catalog, masks: &[ColumnMask]) -> Result<String, Unmaskable> {
    let mut by_relation = Masks::new();
    for mask in masks {
        by_relation.entry(mask.oid).or_default().insert(mask.attnum, &mask.transform);
    }
    let is_masked = |oid: u32, attnum: i16| by_relation.get(&oid).is_some_and(|masks| masks.contains_key(&attnum));
    if analysis.uses.iter().any(|used| used.usage == Usage::Filter && is_masked(used.oid, used.attnum)) {
        return Err(Unmaskable::Filtered);
    }
    let counted: BTreeSet<(u32, i16)> =
        analysis.places.counted.iter().filter(|(oid, attnum)| is_masked(*oid, *attnum)).copied().collect();
    if analysis.uses.iter().any(|used| counted.contains(&(used.oid, used.attnum))) {
        return Err(Unmaskable::Counted);
    }
    // A column of a view that is used decides, which was refused above: what is left of a view shows none of them.
    let is_view = |oid: &u32| catalog.relation_by_oid(*oid).is_some_and(|relation| relation.kind == RelationKind::View);
    if analysis.uses.iter().any(|used| is_view(&used.oid) && is_masked(used.oid, used.attnum)) {
        return Err(Unmaskable::NotATable);
    }
    by_relation.retain(|oid, _| !is_view(oid));
    let ranges: Vec<&RangeUse> =
        analysis.places.ranges.iter().filter(|range| by_relation.contains_key(&range.oid)).collect();
    if ranges.is_empty() {
        return Ok(text.to_owned());
    }
    possible(analysis)?;
    let tokens = read::scan(text).map_err(|_| Unmaskable::Spelling)?;
    let tokens: Vec<ScanToken> = tokens.into_iter().filter(|token| !is_comment(token)).collect();
    let mut edits = Vec::new();
    for range in ranges {
        let masks = by_relation.get(&range.oid).ok_or(Unmaskable::Stale)?;
        edits.push(splice(text, &tokens, range, catalog, masks, &counted)?);
    }
    for qualified in analysis.places.qualified.iter().filter(|qualified| by_relation.contains_key(&qualified.oid)) {
        edits.push(unqualify(&tokens, qualified)?);
    }
    let (result, expected) = apply(text, edits)?;
    verify(&result, &expected, analysis, catalog, &by_relation)?;
    Ok(result)
}

const fn possible(analysis: &Analysis) -> Result<(), Unmaskable> {
    match (analysis.places.locks_rows, analysis.places.samples, analysis.places.system_columns) {
        (true, _, _) => Err(Unmaskable::Locked),
        (_, true, _) => Err(Unmaskable::Sampled),
        (_, _, true) => Err(Unmaskable::SystemColumn),
        (false, false, false) => Ok(()),
    }
}

/// A replacement of bytes.
#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    with: String,
    /// The relation that the replacement reads, and how far into it the name stands.
    reads: Option<(u32, usize)>,
}

/// Replaces `[ONLY] name [*]` by a sub-select under the same alias.
fn splice(
    text: &str,
    tokens: &[ScanToken],
    range: &RangeUse,
    catalog: &Catalog,
    masks: &BTreeMap<i16, &Transform>,
    counted: &BTreeSet<(u32, i16)>,
) -> Result<Edit, Unmaskable> {
    let relation = catalog.relation_by_oid(range.oid).ok_or(Unmaskable::Stale)?;
    if relation.kind == RelationKind::View || relation.kind == RelationKind::Sequence {
        return Err(Unmaskable::NotATable);
    }
    let spot = spot(tokens, range.at)?;
    let columns = columns(relation, masks, counted)?;
    let only = if spot.only { "ONLY " } else { "" };
    let head = if spot.table_command { "SELECT * FROM (SELECT " } else { "(SELECT " };
    let select = format!("{head}{columns} FROM {only}");
    let name = format!("{}.{}", mask::identifier(&relation.schema), mask::identifier(&relation.name));
    let alias = if range.aliased { String::new() } else { format!(" AS {}", mask::identifier(&relation.name)) };
    let glue = |at: usize| text.as_bytes().get(at).is_some_and(|byte| !byte.is_ascii_whitespace());
    let before = if spot.start > 0 && glue(spot.start - 1) { " " } else { "" };
    let after = if glue(spot.end) { " " } else { "" };
    Ok(Edit {
        start: spot.start,
        end: spot.end,
        reads: Some((range.oid, before.len() + select.len())),
        with: format!("{before}{select}{name}){alias}{after}"),
    })
}

/// The select list of a masking sub-select: every column, in order. A column that is only counted stays countable.
fn columns(
    relation: &Relation,
    masks: &BTreeMap<i16, &Transform>,
    counted: &BTreeSet<(u32, i16)>,
) -> Result<String, Unmaskable> {
    if masks.keys().any(|attnum| !relation.columns.iter().any(|column| column.attnum == *attnum)) {
        return Err(Unmaskable::Stale);
    }
    let one = |column: &crate::Column| {
        let name = mask::identifier(&column.name);
        match masks.get(&column.attnum) {
            None => Ok(name),
            Some(_) if counted.contains(&(relation.oid, column.attnum)) => {
                Ok(format!("{} AS {name}", mask::countable(column).ok_or(Unmaskable::Counted)?))
            }
            Some(transform) => Ok(format!("{} AS {name}", mask::expression(column, transform)?)),
        }
    };
    let columns: Result<Vec<String>, Unmaskable> = relation.columns.iter().map(one).collect();
    Ok(columns?.join(", "))
}

/// Where a relation stands in the text.
struct Spot {
    start: usize,
    end: usize,
    only: bool,
    /// It is the operand of `TABLE x`.
    table_command: bool,
}

fn spot(tokens: &[ScanToken], at: usize) -> Result<Spot, Unmaskable> {
    let first = position(tokens, at)?;
    let mut last = name_end(tokens, first)?;
    let kind = |index: Option<usize>| index.and_then(|index| tokens.get(index)).and_then(token);
    let mut start = first;
    let mut only = false;
    let before = first.checked_sub(1);
    if kind(before) == Some(Token::Only) {
        only = true;
        start = first - 1;
    } else if kind(before) == Some(Token::Ascii40) && kind(first.checked_sub(2)) == Some(Token::Only) {
        // `ONLY (name)`
        if kind(Some(last + 1)) != Some(Token::Ascii41) {
            return Err(Unmaskable::Spelling);
        }
        only = true;
        start = first - 2;
        last += 1;
    }
    if kind(Some(last + 1)) == Some(Token::Ascii42) {
        last += 1;
    }
    let table_command = kind(start.checked_sub(1)) == Some(Token::Table);
    if table_command {
        start -= 1;
    }
    let start = tokens.get(start).map(|token| token.start);
    let end = tokens.get(last).map(|token| token.end);
    match (start.map(usize::try_from), end.map(usize::try_from)) {
        (Some(Ok(start)), Some(Ok(end))) => Ok(Spot { start, end, only, table_command }),
        _ => Err(Unmaskable::Spelling),
    }
}

/// The token that starts at a byte; it must be a plain name, not one that a later `UESCAPE` changes.
fn position(tokens: &[ScanToken], at: usize) -> Result<usize, Unmaskable> {
    let found = tokens.iter().position(|token| usize::try_from(token.start) == Ok(at)).ok_or(Unmaskable::Spelling)?;
    let is_name = tokens.get(found).is_some_and(is_name);
    if is_name { Ok(found) } else { Err(Unmaskable::Spelling) }
}

/// The last token of a dotted name.
fn name_end(tokens: &[ScanToken], first: usize) -> Result<usize, Unmaskable> {
    let mut last = first;
    while tokens.get(last + 1).and_then(token) == Some(Token::Ascii46) {
        if !tokens.get(last + 2).is_some_and(is_name) {
            return Err(Unmaskable::Spelling);
        }
        last += 2;
    }
    Ok(last)
}

fn is_name(found: &ScanToken) -> bool {
    let is_keyword = found.keyword_kind != pg_query::protobuf::KeywordKind::NoKeyword as i32;
    is_keyword || token(found) == Some(Token::Ident)
}

fn token(found: &ScanToken) -> Option<Token> {
    Token::try_from(found.token).ok()
}

fn is_comment(found: &ScanToken) -> bool {
    matches!(token(found), Some(Token::SqlComment | Token::CComment))
}

/// `schema.table.column` loses its schema: the sub-select has an alias instead.
fn unqualify(tokens: &[ScanToken], qualified: &Qualified) -> Result<Edit, Unmaskable> {
    let first = position(tokens, qualified.at)?;
    let keep = first + 2 * qualified.names;
    for step in 0..qualified.names {
        if tokens.get(first + 2 * step + 1).and_then(token) != Some(Token::Ascii46) {
            return Err(Unmaskable::Spelling);
        }
    }
    let bytes = |index: usize| tokens.get(index).and_then(|token| usize::try_from(token.start).ok());
    match (bytes(first), bytes(keep)) {
        (Some(start), Some(end)) => Ok(Edit { start, end, with: String::new(), reads: None }),
        _ => Err(Unmaskable::Spelling),
    }
}

/// Applies edits; also where the masked relations then stand.
fn apply(text: &str, mut edits: Vec<Edit>) -> Result<(String, BTreeSet<(usize, u32)>), Unmaskable> {
    edits.sort_by_key(|edit| edit.start);
    let mut result = String::with_capacity(text.len() * 2);
    let mut expected = BTreeSet::new();
    let mut done = 0;
    for edit in edits {
        let kept = text.get(done..edit.start).ok_or(Unmaskable::Spelling)?;
        result.push_str(kept);
        if let Some((oid, offset)) = edit.reads {
            expected.insert((result.len() + offset, oid));
        }
        result.push_str(&edit.with);
        done = edit.end;
    }
    result.push_str(text.get(done..).ok_or(Unmaskable::Spelling)?);
    Ok((result, expected))
}

/// Reads the result again: the same statements, the same relations, and masked ones nowhere but where they were put.
fn verify(
    result: &str,
    expected: &BTreeSet<(usize, u32)>,
    analysis: &Analysis,
    catalog: &Catalog,
    masked: &Masks<'_>,
) -> Result<(), Unmaskable> {
    let tree = read::parse(result).map_err(|_| Unmaskable::Spelling)?;
    let nothing = Sensitive::default();
    let again = Walk::new(catalog, &nothing, &NoPrepared, catalog.search_path())
        .run(&tree.stmts, result)
        .map_err(|_| Unmaskable::Spelling)?;
    let kinds = |analysis: &Analysis| analysis.statements.iter().map(|statement| statement.kind).collect::<Vec<Kind>>();
    let count = |analysis: &Analysis| {
        let mut oids: Vec<u32> = analysis.places.ranges.iter().map(|range| range.oid).collect();
        oids.sort_unstable();
        oids
    };
    let standing: BTreeSet<(usize, u32)> = again
        .places
        .ranges
        .iter()
        .filter(|range| masked.contains_key(&range.oid))
        .map(|range| (range.at, range.oid))
        .collect();
    let same = kinds(&again) == kinds(analysis) && count(&again) == count(analysis) && standing == *expected;
    let unqualified = again.places.qualified.iter().all(|qualified| !masked.contains_key(&qualified.oid));
    if same && unqualified { Ok(()) } else { Err(Unmaskable::Spelling) }
}
