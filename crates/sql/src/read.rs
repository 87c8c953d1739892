//! Text into the server's own parse tree, within limits.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_query::protobuf::{ParseResult, ScanToken, Token};

/// The longest text that is read.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// The most tokens that may nest in each other, counted generously; real statements stay far below.
pub const MAX_NESTING: usize = 1_500;

/// A name with its quotes that is no longer is cut off in no encoding.
const MAX_CERTAIN_BYTES: usize = 59;

/// A text this short cannot nest deeply enough to matter.
const SHALLOW_BYTES: usize = 384;

/// Texts above this are worth a thread with a large stack.
const SMALL_BYTES: usize = 4 * 1024;

/// Why a text is not forwarded: it cannot be read with certainty.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    #[error("the statement is longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    #[error("the statement contains a zero byte")]
    Nul,
    #[error("the statement nests too deeply")]
    TooDeep,
    #[error("the statement does not parse")]
    Syntax,
    #[error("the statement needs too much work to analyse")]
    TooComplex,
}

/// Whether the caller does well to analyse a text on a thread with a stack of 16 MiB or more.
#[must_use]
pub const fn needs_big_stack(text: &str) -> bool {
    text.len() > SMALL_BYTES
}

/// Parses a text with the server's grammar.
pub(crate) fn parse(text: &str) -> Result<ParseResult, Unreadable> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Unreadable::TooLong);
    }
    if text.contains('\0') {
        return Err(Unreadable::Nul);
    }
    if text.len() > SHALLOW_BYTES && nesting(&scan(text)?) > MAX_NESTING {
        return Err(Unreadable::TooDeep);
    }
    // `pg_query` summarises every tree it decodes and panics on shapes its summary does not expect.
    let parsed = catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, pg_query::ParserOptions::default())));
    match parsed {
        Ok(Ok(result)) => Ok(result.protobuf),
        Ok(Err(pg_query::Error::Decode(_))) => Err(Unreadable::TooDeep),
        Ok(Err(_)) | Err(_) => Err(Unreadable::Syntax),
    }
}

/// How far the grammar reads a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// To its end, where more may have to follow.
    Whole,
    Part,
    /// It is not the grammar that refuses it.
    Untold,
}

/// Tells how far the grammar reads a text that is neither long nor deep.
pub(crate) fn extent(text: &str) -> Extent {
    match catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, pg_query::ParserOptions::default()))) {
        Ok(Ok(_)) => Extent::Whole,
        Ok(Err(pg_query::Error::Parse(why))) if why == "syntax error at end of input" => Extent::Whole,
        Ok(Err(pg_query::Error::Parse(why))) if why.starts_with("syntax error at or near") => Extent::Part,
        Ok(Err(_)) | Err(_) => Extent::Untold,
    }
}

/// Splits a text into the server's tokens.
pub(crate) fn scan(text: &str) -> Result<Vec<ScanToken>, Unreadable> {
    match catch_unwind(AssertUnwindSafe(|| pg_query::scan(text))) {
        Ok(Ok(result)) => Ok(result.tokens),
        Ok(Err(_)) | Err(_) => Err(Unreadable::Syntax),
    }
}

/// Where the first name stands that a server with another encoding than UTF-8 may take for another: it folds the case of letters
/// beyond ASCII, and cuts names off by other bytes
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
pub(crate) fn uncertain_name(text: &str) -> Result<Option<usize>, Unreadable> {
    let plain = |text: &str| text.is_ascii() && !text.contains("U&") && !text.contains("u&");
    if plain(text) {
        return Ok(None);
    }
    let uncertain = |token: &ScanToken| {
        let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
        let name = text.get(start..end)?;
        let is_name = matches!(Token::try_from(token.token), Ok(Token::Ident | Token::Uident));
        let folds = !name.contains('"') && name.chars().any(|c| !c.is_ascii() && !c.to_lowercase().eq([c]));
        (is_name && !plain(name) && (folds || name.len() > MAX_CERTAIN_BYTES)).then_some(start)
    };
    Ok(scan(text)?.iter().find_map(uncertain))
}

/// An upper bound on how deeply the tree of these tokens can nest.
///
/// Only brackets and chains make depth: between two commas of one bracket level every token that is not a plain name or constant
/// counts as one step of a chain. Set operations chain across commas, so they are counted apart.
fn nesting(tokens: &[ScanToken]) -> usize {
    let mut open: Vec<Chain> = Vec::new();
    let mut here = Chain::default();
    let mut deepest = 0;
    for token in tokens {
        match Token::try_from(token.token) {
            Ok(Token::Ascii40 | Token::Ascii91) => {
                open.push(here);
                here = Chain { below: here.depth() + 1, ..Chain::default() };
            }
            Ok(Token::Ascii41 | Token::Ascii93) => {
                let inner = here.chain;
                here = open.pop().unwrap_or_default();
                // A bracket can be one link of a chain: `(a)(b)`, `x[1][2]`.
                here.chain += usize::from(inner > 0);
            }
            Ok(Token::Ascii44) => here.chain = 0,
            Ok(Token::Ascii59) => here = Chain { below: here.below, ..Chain::default() },
            Ok(Token::Union | Token::Intersect | Token::Except) => here.sets += 1,
            Ok(Token::Ident | Token::Uident | Token::Sconst | Token::Iconst | Token::Fconst | Token::Ascii46) => {}
            Ok(Token::SqlComment | Token::CComment) => {}
            _ => here.chain += 1,
        }
        deepest = deepest.max(here.depth());
    }
    deepest
}

/// One bracket level of [`nesting`].
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    below: usize,
    sets: usize,
    chain: usize,
}

impl Chain {
    const fn depth(self) -> usize {
        self.below + self.sets + self.chain
    }
}
