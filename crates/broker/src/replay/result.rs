//! PostgreSQL results as tables, the way psql prints them.

use std::collections::HashMap;

use sluice_model::OpId;
use sluice_postgres::{Replay, ReplayLine as Line};
use sluice_recording::Shown;

use super::Replayer;

/// Rows that are kept back to align a table; longer results are printed in several.
const ROWS_AT_A_TIME: usize = 200;
/// Characters of one value that are shown.
const VALUE_CHARS: usize = 60;

/// Replays PostgreSQL frames.
#[derive(Default)]
pub(crate) struct PostgresReplay {
    frames: Replay,
    tables: HashMap<OpId, Table>,
}

#[derive(Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Replayer for PostgresReplay {
    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.frames.to_client(op, bytes) {
            self.line(op, line, &mut lines);
        }
        lines
    }

    fn done(&mut self, op: OpId) -> Vec<String> {
        let mut lines = self.tables.remove(&op).map_or_else(Vec::new, |mut table| table.flush());
        if let Some(line) = self.frames.done(op) {
            self.line(op, line, &mut lines);
        }
        lines
    }
}

impl PostgresReplay {
    fn line(&mut self, op: OpId, line: Line, lines: &mut Vec<String>) {
        let table = self.tables.entry(op).or_default();
        match line {
            Line::Columns(names) => {
                lines.extend(table.flush());
                table.columns = names.iter().map(|name| cell(name.as_bytes())).collect();
            }
            Line::Row(values) => {
                table.rows.push(values.iter().map(|value| value.as_deref().map_or_else(String::new, cell)).collect());
                if table.rows.len() >= ROWS_AT_A_TIME {
                    lines.extend(table.flush());
                }
            }
            Line::Copied(data) => lines.push(Shown(&data).to_string()),
            Line::Complete(tag) => {
                lines.extend(table.flush());
                lines.push(Shown(tag.as_bytes()).to_string());
            }
            Line::Report { severity, sqlstate, message, hint } => {
                lines.extend(table.flush());
                let shown = |text: &str| Shown(text.as_bytes()).to_string();
                lines.push(format!("{} {}: {}", shown(&severity), shown(&sqlstate), shown(&message)));
                lines.extend(hint.map(|hint| format!("HINT: {}", shown(&hint))));
            }
            Line::Unreadable => {
                lines.extend(table.flush());
                lines.push("(the recording was cut here)".to_owned());
            }
        }
    }
}

impl Table {
    fn flush(&mut self) -> Vec<String> {
        let rows = std::mem::take(&mut self.rows);
        let wide = rows.iter().map(Vec::len).chain([self.columns.len()]).max().unwrap_or(0);
        if rows.is_empty() && self.columns.is_empty() {
            return Vec::new();
        }
        let chars = |cell: Option<&String>| cell.map_or(0, |cell| cell.chars().count());
        let width = |column: usize| {
            let heads = std::iter::once(chars(self.columns.get(column)));
            rows.iter().map(|row| chars(row.get(column))).chain(heads).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..wide).map(width).collect();
        let line = |cells: &[String]| {
            let empty = String::new();
            let padded = widths
                .iter()
                .enumerate()
                .map(|(column, width)| format!(" {:width$} ", cells.get(column).unwrap_or(&empty)));
            padded.collect::<Vec<_>>().join("|").trim_end().to_owned()
        };
        let mut lines = Vec::new();
        if !self.columns.is_empty() {
            lines.push(line(&self.columns));
            lines.push(widths.iter().map(|width| "-".repeat(width.saturating_add(2))).collect::<Vec<_>>().join("+"));
            self.columns.clear();
        }
        lines.extend(rows.iter().map(|row| line(row)));
        lines
    }
}

/// One value, harmless and short. Binary results are shown as escaped bytes.
fn cell(value: &[u8]) -> String {
    let shown = Shown(value).to_string();
    if shown.chars().count() <= VALUE_CHARS {
        return shown;
    }
    shown.chars().take(VALUE_CHARS.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Line {
        Line::Columns(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn row(values: &[Option<&str>]) -> Line {
        Line::Row(values.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect())
    }

    fn shown(lines: Vec<Line>) -> Vec<String> {
        let (mut replay, mut out) = (PostgresReplay::default(), Vec::new());
        lines.into_iter().for_each(|line| replay.line(OpId(1), line, &mut out));
        out.extend(replay.done(OpId(1)));
        out
    }

    #[test]
    fn a_result_is_a_table() {
        let lines = shown(vec![
            names(&["id", "name"]),
            row(&[Some("1"), Some("Ada Winters")]),
            row(&[Some("22"), None]),
            Line::Complete("SELECT 2".to_owned()),
        ]);
        assert_eq!(lines, [" id | name", "----+-------------", " 1  | Ada Winters", " 22 |", "SELECT 2"]);
    }

    #[test]
    fn nothing_acts_on_the_terminal_and_values_are_short() {
        let long = "x".repeat(100);
        let lines = shown(vec![
            names(&["\x1b[2J"]),
            row(&[Some(&long)]),
            Line::Report {
                severity: "ERROR".to_owned(),
                sqlstate: "42501".to_owned(),
                message: "a\x07b".to_owned(),
                hint: None,
            },
        ]);
        assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 64), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("ERROR 42501: a\\x07b"));
    }
}
