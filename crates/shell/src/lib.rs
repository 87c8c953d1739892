//! Command lines into argument vectors that every POSIX shell reads alike, judged by schemas of commands.
//!
//! An `exec` request of SSH ([RFC 4254 §6.5](https://www.rfc-editor.org/rfc/rfc4254#section-6.5)) is text for the login shell of
//! the target. [`Script::parse`] reads the small part of the
//! [shell command language](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html) about which dash, bash,
//! zsh, ksh and busybox cannot disagree; [`Book::judge`] matches every command of it with a schema. **Invariant:** what is not
//! understood is [`Judgement::Undecidable`] or [`Judgement::Unknown`], never structured; only [`Script::render`] is forwarded.

mod argv;
mod book;
mod judgement;
mod pattern;
mod read;
mod schema;
mod script;
mod shape;
mod sheet;
mod template;
mod undecidable;

#[cfg(test)]
mod tests;

pub use book::{Book, BookError, File};
pub use judgement::{By, Command, Judgement, Operand};
pub use pattern::{Pattern, PatternError, is_normal};
pub use script::{Join, Redirect, Script, Simple, Word};
pub use shape::{Kind, is_plain_value};
pub use sheet::Class;
pub use template::{Template, TemplateError};
pub use undecidable::{MAX_BYTES, MAX_WORDS, Reason, Undecidable};
