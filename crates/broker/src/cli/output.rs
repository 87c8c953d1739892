//! What commands print: text for people, JSON for programs, and nothing that could drive a terminal.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use jiff::Timestamp;
use sluice_model::UnixMicros;
use sluice_recording::is_hidden;

/// How data is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// One JSON document per line.
    Json,
}

/// Prints one line. A reader that has gone away ends the process quietly, as it does other Unix tools.
pub(crate) fn out(line: impl Display) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints one line of advice beside the data; failing to is no failure.
pub(crate) fn hint(line: impl Display) {
    let _unseen = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whether colours may be used on stdout.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether colours may be used on stderr.
pub(crate) fn colours_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The styles that output uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Good,
    Bad,
    Strong,
    Dim,
}

/// A text in a style, where colours are wanted.
pub(crate) fn styled(text: impl Display, style: Style, colours: bool) -> String {
    let code = match style {
        Style::Good => "32",
        Style::Bad => "31",
        Style::Strong => "1",
        Style::Dim => "2",
    };
    if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// A text with every control character shown rather than sent to the terminal. Newlines and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || is_hidden(c) {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A text so that no two look alike: where anything in it is escaped, or looks as if, backslashes are doubled.
pub(crate) fn exact(text: &str) -> String {
    let plain = printable(text);
    if plain.contains("\\u{") { printable(&text.replace('\\', "\\\\")) } else { plain }
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `most` characters of a text, with an ellipsis where some are left out.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A moment as RFC 3339 with seconds.
pub(crate) fn time(at: UnixMicros) -> String {
    Timestamp::from_second(at.seconds()).map_or_else(|_| at.seconds().to_string(), |at| at.to_string())
}

/// A table with aligned columns; the last column takes what it needs.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\u{202e}d\te\n"), "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\te\n");
        assert_eq!(one_line("select\n\t1;\r\n"), "select 1;\\u{d}");
    }

    #[test]
    fn what_is_invisible_is_seen_and_no_two_texts_look_alike() {
        assert_eq!(printable("a\u{200b}b\u{feff}c\u{e0041}"), "a\\u{200b}b\\u{feff}c\\u{e0041}");
        assert_eq!(exact("where a ~ '\\d'"), "where a ~ '\\d'");
        let texts = ["\u{200b}", "\\u{200b}", "\\\u{200b}", "\\\\u{200b}", "\\u{200b}\u{200b}", "\\x"];
        let mut shown: Vec<String> = texts.iter().map(|text| exact(text)).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), texts.len(), "{shown:?}");
    }

    #[test]
    fn tables_align_and_long_texts_are_cut() {
        let rows = vec![vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "WHAT"], &rows), "ID   WHAT\na    long\nbcd  x");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(UnixMicros(1_795_371_600_123_456)), "2026-11-22T18:20:00Z");
    }
}
