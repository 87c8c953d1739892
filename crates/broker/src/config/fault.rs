//! Mistakes in a file, with the place of each.

use std::fmt;
use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use super::node::Span;

/// One mistake in the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) span: Span,
}

impl Fault {
    /// A mistake at a place.
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), help: None, span }
    }

    /// The same with advice.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Every mistake found in one file, and the text that is shown around each.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    file: String,
    /// The file's text with anything that may be a secret blotted out.
    shown: String,
    faults: Vec<Fault>,
}

impl Faults {
    /// Mistakes in a file; `secrets` are blotted out wherever the text is shown.
    pub(crate) fn new(file: &Path, text: &str, secrets: &[Span], mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        Self { file: file.display().to_string(), shown: blot(text, secrets), faults }
    }

    /// A mistake that has no place in the file's text, such as a file that cannot be read.
    pub(crate) fn without_text(file: &Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        let fault = Fault::new(message, 0..0).with_help(help);
        Self { file: file.display().to_string(), shown: String::new(), faults: vec![fault] }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.faults.len()
    }

    /// One line per mistake: `file:line:column: message`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|fault| {
            if self.shown.is_empty() {
                return format!("{}: {}", self.file, fault.message);
            }
            let (line, column) = position(&self.shown, fault.span.start);
            format!("{}:{line}:{column}: {}", self.file, fault.message)
        })
    }

    /// The report for a person: a snippet and advice with every mistake.
    pub(crate) fn report(&self, colours: bool) -> String {
        let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
        let mut out = String::new();
        for fault in &self.faults {
            let shown = Shown { fault, source: NamedSource::new(&self.file, self.shown.clone()) };
            if handler.render_report(&mut out, &shown).is_err() {
                out.push_str(&fault.message);
            }
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[derive(Debug)]
struct Shown<'a> {
    fault: &'a Fault,
    source: NamedSource<String>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.fault.help.as_ref().map(|help| -> Box<dyn fmt::Display> { Box::new(help) })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let empty = self.source.inner().is_empty();
        if empty { None } else { Some(&self.source) }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.source.inner().is_empty() {
            return None;
        }
        let span = self.fault.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }
}

/// Line and column, both from 1, of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline.saturating_add(1));
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    (line.saturating_add(1), column.saturating_add(1))
}

/// The same text with some of it replaced by stars, byte for byte, so that positions stay right.
fn blot(text: &str, spans: &[Span]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        let Some(part) = bytes.get_mut(span.clone()) else { return String::new() };
        part.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).unwrap_or_default()
}
