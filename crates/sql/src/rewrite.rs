//! Rewriting at the source: a relation with masked columns becomes a sub-select that masks them.
//!
//! Expressions, whole rows, aggregates and error texts of the statement then see the mask, whatever they are made of. The result is
//! read again: unless every masked relation stands exactly where this module put it, there is no result.

mod plan;

use std::collections::BTreeSet;

use pg_query::protobuf::{ScanToken, Token};

use crate::analysis::{Analysis, CopyUse, Kind, Qualified, RangeUse, Sample};
use crate::walk::Walk;
use crate::{Catalog, NoPrepared, Relation, RelationKind, Sensitive, mask, read};

pub use plan::ColumnMask;
use plan::Plan;

/// A text whose protected relations are masked, and what is left to the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rewritten {
    pub text: String,
    /// For each statement, the column to mask in each position of its result; empty where the result needs nothing more.
    pub wire: Vec<Vec<Option<(u32, i16)>>>,
}

/// Why a text cannot be rewritten; it must be refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unmaskable {
    #[error("a masked column is used for more than showing it")]
    Filtered,
    #[error("a masked column that decides is also shown in another form than its own")]
    FilteredAndDerived,
    #[error("a masked column would be stored elsewhere or given to code that is not known")]
    Leaves,
    #[error("a masked column of a written row is returned in another form than its own")]
    Returned,
    #[error("a masked column is counted and shown in one statement")]
    Counted,
    #[error("rows of a masked relation are locked")]
    Locked,
    #[error("a masked relation is sampled in a way that cannot be rewritten")]
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

/// Replaces every relation that has masked columns by a sub-select that masks them.
///
/// `text` must be the text of `analysis`, and `catalog` the snapshot it was analysed with. The text comes back unchanged where no
/// masked relation is read.
///
/// # Errors
/// When the result could not be trusted.
pub fn rewrite(
    text: &str,
    analysis: &Analysis,
    catalog: &Catalog,
    masks: &[ColumnMask],
) -> Result<Rewritten, Unmaskable> {
    let plan = Plan::of(analysis, catalog, masks)?;
    let ranges: Vec<&RangeUse> = analysis.places.ranges.iter().filter(|range| plan.is_replaced(range.oid)).collect();
    if ranges.is_empty() {
        return Ok(Rewritten { text: text.to_owned(), wire: plan.wire });
    }
    possible(analysis)?;
    let tokens = read::scan(text).map_err(|_| Unmaskable::Spelling)?;
    let tokens: Vec<ScanToken> = tokens.into_iter().filter(|token| !is_comment(token)).collect();
    let source = Source { text, tokens: &tokens, catalog, plan: &plan };
    let mut edits = Vec::new();
    for range in ranges {
        match analysis.places.copies.iter().find(|copy| copy.at == range.at) {
            Some(copy) => edits.push(source.copied(range, copy)?),
            None => {
                let sample = analysis.places.samples.iter().find(|sample| sample.relation == range.at);
                let sample = sample.map(|sample| source.sampled(sample)).transpose()?;
                edits.push(source.splice(range, sample.as_ref())?);
                edits.extend(sample.map(|(start, end)| Edit { start, end, with: String::new(), reads: None }));
            }
        }
    }
    for qualified in analysis.places.qualified.iter().filter(|qualified| plan.is_replaced(qualified.oid)) {
        edits.push(unqualify(&tokens, qualified)?);
    }
    let (result, expected) = apply(text, edits)?;
    verify(&result, &expected, analysis, catalog, &plan)?;
    Ok(Rewritten { text: result, wire: plan.wire })
}

const fn possible(analysis: &Analysis) -> Result<(), Unmaskable> {
    match (analysis.places.locks_rows, analysis.places.system_columns) {
        (true, _) => Err(Unmaskable::Locked),
        (_, true) => Err(Unmaskable::SystemColumn),
        (false, false) => Ok(()),
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

/// A text, and what is to become of it.
struct Source<'s> {
    text: &'s str,
    /// Without comments.
    tokens: &'s [ScanToken],
    catalog: &'s Catalog,
    plan: &'s Plan<'s>,
}

impl Source<'_> {
    /// Replaces `[ONLY] name [*]` by a sub-select under the same alias; a `TABLESAMPLE` goes inside.
    fn splice(&self, range: &RangeUse, sample: Option<&(usize, usize)>) -> Result<Edit, Unmaskable> {
        let relation = self.catalog.relation_by_oid(range.oid).ok_or(Unmaskable::Stale)?;
        if relation.kind == RelationKind::Sequence {
            return Err(Unmaskable::NotATable);
        }
        let spot = spot(self.tokens, range.at)?;
        let columns = self.plan.columns(relation, &[])?;
        let only = if spot.only { "ONLY " } else { "" };
        let head = if spot.table_command { "SELECT * FROM (SELECT " } else { "(SELECT " };
        let select = format!("{head}{columns} FROM {only}");
        let name = qualified_name(relation);
        let sample = match sample {
            Some((start, end)) => format!(" {}", self.text.get(*start..*end).ok_or(Unmaskable::Spelling)?),
            None => String::new(),
        };
        let alias = if range.aliased { String::new() } else { format!(" AS {}", mask::identifier(&relation.name)) };
        let glue = |at: usize| self.text.as_bytes().get(at).is_some_and(|byte| !byte.is_ascii_whitespace());
        let before = if spot.start > 0 && glue(spot.start - 1) { " " } else { "" };
        let after = if glue(spot.end) { " " } else { "" };
        Ok(Edit {
            start: spot.start,
            end: spot.end,
            reads: Some((range.oid, before.len() + select.len())),
            with: format!("{before}{select}{name}{sample}){alias}{after}"),
        })
    }

    /// Replaces `name [(columns)]` of `COPY name TO` by a query of the same rows and columns: those of the table itself, without its
    /// children (<https://www.postgresql.org/docs/current/sql-copy.html>).
    fn copied(&self, range: &RangeUse, copy: &CopyUse) -> Result<Edit, Unmaskable> {
        let relation = self.catalog.relation_by_oid(range.oid).ok_or(Unmaskable::Stale)?;
        let first = position(self.tokens, range.at)?;
        let mut last = name_end(self.tokens, first)?;
        if !copy.columns.is_empty() {
            last = self.closing(last + 1)?;
        }
        let select = format!("(SELECT {} FROM ONLY ", self.plan.columns(relation, &copy.columns)?);
        let (start, end) = self.bytes(first, last)?;
        let reads = Some((range.oid, select.len()));
        Ok(Edit { start, end, reads, with: format!("{select}{})", qualified_name(relation)) })
    }

    /// The bytes of `TABLESAMPLE method(…) [REPEATABLE (…)]`; its arguments read nothing.
    fn sampled(&self, sample: &Sample) -> Result<(usize, usize), Unmaskable> {
        let method = position(self.tokens, sample.method).map_err(|_| Unmaskable::Sampled)?;
        let first = method.checked_sub(1).ok_or(Unmaskable::Sampled)?;
        if self.kind(first) != Some(Token::Tablesample) {
            return Err(Unmaskable::Sampled);
        }
        let mut last = self.closing(name_end(self.tokens, method)? + 1)?;
        if self.kind(last + 1) == Some(Token::Repeatable) {
            last = self.closing(last + 2)?;
        }
        let simple = |at: usize| {
            let kinds = [Token::Ascii40, Token::Ascii41, Token::Ascii45, Token::Iconst, Token::Fconst, Token::Param];
            let of = self.kind(at);
            of == Some(Token::Repeatable) || kinds.into_iter().any(|kind| of == Some(kind))
        };
        let arguments = name_end(self.tokens, method)? + 1;
        if !(arguments..=last).all(simple) {
            return Err(Unmaskable::Sampled);
        }
        self.bytes(first, last)
    }

    fn kind(&self, at: usize) -> Option<Token> {
        self.tokens.get(at).and_then(token)
    }

    /// The parenthesis that closes the one at a token.
    fn closing(&self, open: usize) -> Result<usize, Unmaskable> {
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.kind(at) {
                Some(Token::Ascii40) => depth += 1,
                Some(Token::Ascii41) if depth == 1 => return Ok(at),
                Some(Token::Ascii41) => depth = depth.checked_sub(1).ok_or(Unmaskable::Spelling)?,
                _ if depth == 0 => return Err(Unmaskable::Spelling),
                _ => {}
            }
        }
        Err(Unmaskable::Spelling)
    }

    fn bytes(&self, first: usize, last: usize) -> Result<(usize, usize), Unmaskable> {
        let start = self.tokens.get(first).and_then(|token| usize::try_from(token.start).ok());
        let end = self.tokens.get(last).and_then(|token| usize::try_from(token.end).ok());
        start.zip(end).ok_or(Unmaskable::Spelling)
    }
}

fn qualified_name(relation: &Relation) -> String {
    format!("{}.{}", mask::identifier(&relation.schema), mask::identifier(&relation.name))
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
    plan: &Plan<'_>,
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
        .filter(|range| plan.is_replaced(range.oid))
        .map(|range| (range.at, range.oid))
        .collect();
    let same = kinds(&again) == kinds(analysis) && count(&again) == count(analysis) && standing == *expected;
    let unqualified = again.places.qualified.iter().all(|qualified| !plan.is_replaced(qualified.oid));
    if same && unqualified { Ok(()) } else { Err(Unmaskable::Spelling) }
}
