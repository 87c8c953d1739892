//! Paths in their normal form, and patterns of them.

use thiserror::Error;

/// A pattern of paths: `*` stands for one or more characters of one component, a last component `**` for one or more
/// components.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    components: Vec<String>,
    below: bool,
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is not a pattern of paths: it must be its own normal form, with `**` only as its last component")]
pub struct PatternError(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Where the pattern itself is not a path in its normal form, or `**` stands anywhere but at the end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (head, below) = match text.strip_suffix("/**") {
            Some(head) => (head, true),
            None => (text, false),
        };
        let fits = (head.is_empty() && below) || is_normal(head);
        if !fits || head.contains("**") {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), components: head.split('/').map(str::to_owned).collect(), below })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path in its normal form matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if !is_normal(path) {
            return false;
        }
        let mut parts = path.split('/');
        if !self.components.iter().all(|wanted| parts.next().is_some_and(|part| component_matches(wanted, part))) {
            return false;
        }
        let more = parts.next();
        if self.below { more.is_some_and(|part| !part.is_empty()) } else { more.is_none() }
    }
}

/// Whether a path is its own normal form: not empty, no empty, `.` or `..` component, and no component that starts with `-`, so
/// that no part of it can be taken for an option.
#[must_use]
pub fn is_normal(path: &str) -> bool {
    let components = path.strip_prefix('/').unwrap_or(path);
    let whole = matches!(path, "/" | ".");
    whole || components.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.starts_with('-'))
}

/// Whether a text matches a pattern in which `*` is one or more characters; linear for each literal part.
pub(crate) fn component_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(after) = after_some(rest, |tail| tail.find(part)).and_then(|tail| tail.strip_prefix(part)) else {
            return false;
        };
        rest = after;
    }
    rest.strip_suffix(last).is_some_and(|star| !star.is_empty())
}

/// What follows at least one character, at the place that `find` names.
fn after_some<'a>(text: &'a str, find: impl Fn(&'a str) -> Option<usize>) -> Option<&'a str> {
    let mut chars = text.chars();
    chars.next()?;
    let tail = chars.as_str();
    tail.get(find(tail)?..)
}
