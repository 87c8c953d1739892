//! Where a text names something, so that an error can point at it.

use pg_query::protobuf::{Node, ScanToken, Token};
use pg_query::{NodeEnum, NodeRef};
use sluice_model::Span;

use crate::read::{Extent, extent, needs_big_stack, parse, scan};

/// What is looked for. A schema that the text leaves out is taken for the right one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sought<'a> {
    /// A table, view or the like.
    Relation { schema: &'a str, name: &'a str },
    /// A function or procedure.
    Function { schema: &'a str, name: &'a str },
    /// A column of whatever relation.
    Column(&'a str),
}

/// The first place that names it; `None` where that cannot be told: for an operator, or a name that a view or a rule
/// has brought in, or in a text that is long.
#[must_use]
pub fn locate(text: &str, sought: Sought<'_>) -> Option<Span> {
    if needs_big_stack(text) {
        return None;
    }
    let tree = parse(text).ok()?;
    let places = tree.nodes().into_iter().filter_map(|(node, ..)| place(node, sought));
    let start = usize::try_from(places.min()?).ok()?;
    let end = end_of_name(&scan(text).ok()?, start)?;
    span(text, start, end)
}

/// The first word that the server's grammar does not take, or the end of a text that stops too early; `None` where that cannot be
/// told.
#[must_use]
pub fn misread(text: &str) -> Option<Span> {
    if needs_big_stack(text) {
        return None;
    }
    let is_word = |token: &&ScanToken| !matches!(Token::try_from(token.token), Ok(Token::SqlComment | Token::CComment));
    let tokens = scan(text).ok()?;
    let tokens: Vec<&ScanToken> = tokens.iter().filter(is_word).collect();
    let byte = |at: i32| usize::try_from(at).ok();
    let reads = |token: &ScanToken| byte(token.end).and_then(|end| text.get(..end)).map_or(Extent::Untold, extent);
    match extent(text) {
        Extent::Whole => span(text, text.len(), text.len()),
        Extent::Part => {
            let first = tokens.partition_point(|token| reads(token) == Extent::Whole);
            let token = tokens.get(first).filter(|token| reads(token) == Extent::Part)?;
            span(text, byte(token.start)?, byte(token.end)?)
        }
        Extent::Untold => None,
    }
}

fn span(text: &str, start: usize, end: usize) -> Option<Span> {
    let at = |bytes: usize| u32::try_from(text.get(..bytes)?.chars().count() + 1).ok();
    Some(Span { start: at(start)?, end: at(end)? })
}

/// The byte at which a node names what is sought.
fn place(node: NodeRef<'_>, sought: Sought<'_>) -> Option<i32> {
    let (named, location) = match sought {
        Sought::Relation { schema, name } => {
            let NodeRef::RangeVar(found) = node else { return None };
            let in_schema = found.schemaname.is_empty() || found.schemaname == schema;
            (in_schema && found.relname == name, found.location)
        }
        Sought::Function { schema, name } => {
            let NodeRef::FuncCall(found) = node else { return None };
            let parts: Vec<&str> = found.funcname.iter().filter_map(string).collect();
            (parts == [name] || parts == [schema, name], found.location)
        }
        Sought::Column(name) => {
            let NodeRef::ColumnRef(found) = node else { return None };
            (found.fields.last().and_then(string) == Some(name), found.location)
        }
    };
    (named && location >= 0).then_some(location)
}

fn string(node: &Node) -> Option<&str> {
    let Some(NodeEnum::String(text)) = &node.node else { return None };
    Some(&text.sval)
}

/// The end of the name that begins at a byte, with all its parts.
fn end_of_name(tokens: &[ScanToken], start: usize) -> Option<usize> {
    let byte = |at: i32| usize::try_from(at).ok();
    let first = tokens.iter().position(|token| byte(token.start) == Some(start))?;
    let mut end = tokens.get(first)?.end;
    let mut rest = tokens.get(first + 1..)?;
    while let [dot, part, later @ ..] = rest
        && Token::try_from(dot.token) == Ok(Token::Ascii46)
    {
        end = part.end;
        rest = later;
    }
    byte(end)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What is pointed at.
    fn pointed(text: &str, sought: Sought<'_>) -> Option<String> {
        let Span { start, end } = locate(text, sought)?;
        let skipped = usize::try_from(start).unwrap() - 1;
        Some(text.chars().skip(skipped).take(usize::try_from(end - start).unwrap()).collect())
    }

    const USERS: Sought<'_> = Sought::Relation { schema: "public", name: "users" };

    #[test]
    fn a_relation_is_found_where_it_stands() {
        let told = |text: &str| pointed(text, USERS);
        assert_eq!(told("SELECT users FROM orders, users u").as_deref(), Some("users"));
        assert_eq!(locate("SELECT users FROM orders, users u", USERS).unwrap(), Span { start: 27, end: 32 });
        assert_eq!(told("SELECT 'é', 1 FROM \"public\" . users").as_deref(), Some("\"public\" . users"));
        assert_eq!(told("DELETE FROM Users WHERE true").as_deref(), Some("Users"));
        assert_eq!(told("INSERT INTO users VALUES (1)").as_deref(), Some("users"));
        assert_eq!(told("UPDATE users SET a = 1").as_deref(), Some("users"));
        assert_eq!(told("SELECT 1; SELECT * FROM (SELECT * FROM users) x").as_deref(), Some("users"));
        assert_eq!(told("SELECT * FROM other.users"), None);
        assert_eq!(told("SELECT 'users'"), None);
    }

    #[test]
    fn functions_and_columns_are_found() {
        let sleep = Sought::Function { schema: "pg_catalog", name: "pg_sleep" };
        assert_eq!(pointed("SELECT pg_sleep(1)", sleep).as_deref(), Some("pg_sleep"));
        assert_eq!(
            pointed("SELECT 1 WHERE pg_catalog.pg_sleep(1) IS NULL", sleep).as_deref(),
            Some("pg_catalog.pg_sleep")
        );
        let email = Sought::Column("email");
        assert_eq!(pointed("SELECT id FROM users u WHERE u.email = 'x'", email).as_deref(), Some("u.email"));
        assert_eq!(pointed("SELECT id FROM users", email), None);
    }

    #[test]
    fn the_first_word_that_is_not_read_is_told() {
        let told = |text: &str| {
            let Span { start, end } = misread(text)?;
            let skipped = usize::try_from(start).unwrap() - 1;
            let word: String = text.chars().skip(skipped).take(usize::try_from(end - start).unwrap()).collect();
            Some((start, word))
        };
        let at = |start: u32, word: &str| Some((start, word.to_owned()));
        assert_eq!(told("SELECT 1 FROM FROM"), at(15, "FROM"));
        assert_eq!(told("SELECT 'é' /* FROM */, FROM orders FROM"), at(24, "FROM"));
        assert_eq!(told("SELECT 1; SELEC 2; SELECT 3"), at(11, "SELEC"));
        assert_eq!(told("SELECT (1"), at(10, ""));
        assert_eq!(told("SELECT 1)"), at(9, ")"));
        assert_eq!(told("CREATE TABLE t (a int,)"), at(23, ")"));
        assert_eq!(told("SELECT 'not ended"), None);
        assert_eq!(told(&format!("SELECT {} FROM FROM", "1 + ".repeat(2_000))), None);
    }

    #[test]
    fn a_text_that_does_not_parse_names_nothing() {
        assert_eq!(locate("SELECT FROM FROM users", USERS), None);
    }
}
