//! The short form of a schema: `cat /var/log/*`.

use sluice_model::Effect;
use thiserror::Error;

use crate::judgement::Operand;
use crate::pattern::{component_matches, is_normal};
use crate::script::Script;
use crate::shape::Kind;
use crate::undecidable::Undecidable;

/// A command word by word, in which `*` stands for a part of one word.
///
/// A word that is `*` alone is one name: letters, digits and `@_.:-`, not starting with `-`. In a word with a `/`, `*` is one
/// or more characters of one component, and the whole must be a path in its normal form. Everything else is literal, and there
/// are neither more nor fewer words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: String,
    words: Vec<String>,
}

/// A template that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    /// It is no plain command.
    #[error("the template `{text}` is not a plain command: {why}")]
    NotPlain {
        /// The template.
        text: String,
        /// What stands in the way.
        why: Undecidable,
    },
    /// It is more than one command, or redirects.
    #[error("the template `{0}` must be one command")]
    Many(String),
    /// The command's name is open.
    #[error("the template `{0}` names no command")]
    NoName(String),
    /// `**`, which would not mean what it means in a bounded path.
    #[error("the template `{0}` has `**`: a star is a part of one word")]
    Stars(String),
    /// A path with `.` or `..`, or with a component that starts with `-`.
    #[error("the template `{0}` has a path that is not in its normal form")]
    Path(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// Where it is not exactly one plain command with a literal name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        // A star is the one thing that a template has and a command line has not; `%` stands for it while the rest is read.
        let starless: Vec<u8> = text.bytes().map(|byte| if byte == b'*' { b'%' } else { byte }).collect();
        let script = Script::parse(&starless).map_err(|why| TemplateError::NotPlain { text: text.to_owned(), why })?;
        let [command] = script.commands.as_slice() else { return Err(TemplateError::Many(text.to_owned())) };
        let words: Vec<String> = text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if !command.redirects.is_empty() || words.len() != command.words.len() || text.contains(['\'', '"', ';']) {
            return Err(TemplateError::Many(text.to_owned()));
        }
        if words.first().is_none_or(|name| name.contains('*')) {
            return Err(TemplateError::NoName(text.to_owned()));
        }
        if text.contains("**") {
            return Err(TemplateError::Stars(text.to_owned()));
        }
        if words.iter().skip(1).any(|word| word.contains('*') && word.contains('/') && !is_normal(word)) {
            return Err(TemplateError::Path(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), words })
    }

    /// The template as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an argument vector matches; its operands then, as far as they are open or paths.
    #[must_use]
    pub fn matches(&self, argv: &[&str]) -> Option<Vec<Operand>> {
        let same = argv.len() == self.words.len();
        let fits = same && self.words.iter().zip(argv).all(|(wanted, word)| word_matches(wanted, word));
        fits.then(|| {
            let open = self.words.iter().zip(argv).skip(1).filter(|(wanted, word)| is_operand(wanted, word));
            open.map(|(_, word)| operand(word)).collect()
        })
    }
}

fn is_operand(wanted: &str, word: &str) -> bool {
    wanted.contains('*') || (word.contains('/') && !word.starts_with('-'))
}

fn operand(word: &str) -> Operand {
    let kind = if word.contains('/') { Kind::Path } else { Kind::Word };
    Operand { kind, text: word.to_owned(), effect: Effect::Execute, flag: None }
}

fn word_matches(wanted: &str, word: &str) -> bool {
    if !wanted.contains('*') {
        return wanted == word;
    }
    if !wanted.contains('/') {
        let known =
            |byte: u8| byte.is_ascii_alphanumeric() || b"@_.:-".contains(&byte) || wanted.as_bytes().contains(&byte);
        let open = wanted.starts_with('*');
        return component_matches(wanted, word) && word.bytes().all(known) && (!open || is_operand_like(word));
    }
    let (wanted, parts) = (wanted.split('/'), word.split('/'));
    is_normal(word)
        && wanted.clone().count() == parts.clone().count()
        && wanted.zip(parts).all(|(wanted, part)| component_matches(wanted, part))
}

/// Not an option, and not a folder that is written with dots.
fn is_operand_like(word: &str) -> bool {
    !word.starts_with('-') && !matches!(word, "." | "..")
}
