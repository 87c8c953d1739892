//! Why a text cannot be decided, and where.

use thiserror::Error;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4096;
/// The most words of one text, over all its commands.
pub const MAX_WORDS: usize = 64;

/// A text that shells may read differently, or that does something other than to run plain commands.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{reason} (at byte {at})")]
pub struct Undecidable {
    /// What stands in the way.
    pub reason: Reason,
    /// Where it stands, in bytes from the start.
    pub at: usize,
}

/// What stands in the way of a decision.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Nothing to run.
    #[error("there is no command")]
    Nothing,
    /// More than [`MAX_BYTES`].
    #[error("the command line is longer than {MAX_BYTES} bytes")]
    Long,
    /// More than [`MAX_WORDS`].
    #[error("the command line has more than {MAX_WORDS} words")]
    Wordy,
    /// A control character, a line end or a byte above 126.
    #[error("only printable ASCII can be decided")]
    Unprintable,
    /// A quote without its end.
    #[error("a quote is not closed")]
    Unclosed,
    /// `$` or a backtick outside single quotes.
    #[error("expansions and substitutions cannot be decided; put literal text into single quotes")]
    Expansion,
    /// A backslash outside single quotes.
    #[error("backslashes cannot be decided outside single quotes")]
    Backslash,
    /// `*`, `?`, `[` or `]` outside quotes.
    #[error("file name patterns cannot be decided; name the file, or quote the pattern")]
    Glob,
    /// `{` or `}` outside quotes.
    #[error("braces cannot be decided")]
    Braces,
    /// `(` or `)` outside quotes.
    #[error("subshells and functions cannot be decided")]
    Parentheses,
    /// `~` outside quotes.
    #[error("`~` cannot be decided outside quotes; write the path")]
    Tilde,
    /// `=` at the start of a word, which zsh expands.
    #[error("a word that starts with `=` cannot be decided")]
    Equals,
    /// `#` outside quotes.
    #[error("`#` cannot be decided outside quotes")]
    Comment,
    /// `!` outside single quotes, or `^`.
    #[error("history expansion cannot be decided; use single quotes")]
    History,
    /// `&` alone.
    #[error("commands in the background cannot be decided")]
    Background,
    /// A redirection other than the three that are read.
    #[error("only the redirections `2>&1`, `>/dev/null` and `2>/dev/null` can be decided, as words of their own")]
    Redirect,
    /// A stream that is redirected twice, or into a file and a pipe, which zsh reads as both.
    #[error("a stream is redirected twice")]
    Twice,
    /// An assignment or another `=` where a command is expected.
    #[error("assignments before a command cannot be decided")]
    Assignment,
    /// A word of the language of some shell where a command is expected.
    #[error("reserved words cannot be decided")]
    Reserved,
    /// `|`, `&&`, `||` or `;` without a command before or after.
    #[error("a command is missing")]
    Missing,
}

impl Reason {
    pub(crate) const fn at(self, at: usize) -> Undecidable {
        Undecidable { reason: self, at }
    }
}
