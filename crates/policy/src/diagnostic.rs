//! What is wrong with policies: every fault at once, each with its place.

use std::fmt;
use std::ops::Range;

use crate::source::Source;

/// One fault in a policy file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file, by [`Source::name`]; `schema` for a fault in what protocols declare, `settings` for one in the settings.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The faulty part of the file, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A fault at a place in a file.
    pub(crate) fn at(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        let before = source.text.get(..span.start).unwrap_or(&source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: source.name.clone(), line, column, span, message: message.into(), help: None }
    }

    /// A fault that lies in no file.
    pub(crate) fn outside(place: &str, message: impl Into<String>) -> Self {
        Self { file: place.to_owned(), line: 1, column: 1, span: 0..0, message: message.into(), help: None }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Every fault that kept policies from compiling, by file and place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Diagnostics {
    problems: Vec<Problem>,
}

impl Diagnostics {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (&a.file, a.span.start, &a.message).cmp(&(&b.file, b.span.start, &b.message)));
        problems.dedup();
        Self { problems }
    }

    /// The faults, by file and place; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}
