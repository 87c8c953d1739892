//! What the broker asks about the catalog, and the answers for the demo's two tables.
//!
//! The questions are constants of `protocols/postgres`; each is known here by a word that only it holds. A new question
//! is not understood, and the demo's own check then fails.

use super::engine::{Answer, COLUMNS, Cell, Kind};

/// A question about the catalog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Question {
    Fingerprint,
    Database,
    Relations,
    Columns,
    Inherits,
    Generated,
    References,
    Runs,
    TypeRuns,
    Functions,
    Operators,
}

/// The first user object of a fresh PostgreSQL.
const FIRST_OID: i64 = 16_384;

/// The question that a text asks.
pub(super) fn question(text: &str) -> Option<Question> {
    let marks = [
        ("concat_ws(", Question::Fingerprint),
        ("pg_get_viewdef", Question::Relations),
        ("a.attgenerated <> '' AND", Question::Generated),
        ("called.relation", Question::Runs),
        ("SELECT DISTINCT m.nspname", Question::TypeRuns),
        ("k.confrelid", Question::References),
        ("a.attrelid", Question::Columns),
        ("i.inhparent", Question::Inherits),
        ("pg_operator o", Question::Operators),
        ("pg_proc p JOIN", Question::Functions),
        ("current_database()", Question::Database),
    ];
    let mentions = text.contains("pg_catalog.");
    marks.into_iter().find(|(mark, _)| mentions && text.contains(mark)).map(|(_, question)| question)
}

/// Its answer.
pub(super) fn answer(question: Question) -> Answer {
    let text = |text: &str| Cell::Text(text.to_owned());
    let (kinds, rows): (&[Kind], Vec<Vec<Cell>>) = match question {
        Question::Fingerprint => (&[Kind::Text], vec![vec![text("demo")]]),
        Question::Database => (&[Kind::Text, Kind::Bool], vec![vec![text("shop"), Cell::Bool(false)]]),
        Question::Relations => {
            let rows = tables().map(|(oid, name, _)| {
                vec![Cell::Int(oid), text("public"), text(name), text("r"), Cell::Bool(false), Cell::Null]
            });
            (&[Kind::Oid, Kind::Text, Kind::Text, Kind::Text, Kind::Bool, Kind::Text], rows.collect())
        }
        Question::Columns => {
            let rows = tables().flat_map(|(oid, _, columns)| {
                (1..).zip(columns).map(move |(number, (name, kind))| {
                    let (type_oid, type_name) = described(*kind);
                    let (oid, number, type_oid) = (Cell::Int(oid), Cell::Int(number), Cell::Int(type_oid));
                    vec![oid, number, text(name), type_oid, text(type_name), Cell::Bool(false)]
                })
            });
            (&[Kind::Oid, Kind::SmallInt, Kind::Text, Kind::Oid, Kind::Text, Kind::Bool], rows.collect())
        }
        Question::Inherits => (&[Kind::Oid, Kind::Oid], Vec::new()),
        Question::References => (&[Kind::Oid, Kind::Oid, Kind::Text, Kind::Text], Vec::new()),
        Question::Generated => (&[Kind::Oid, Kind::SmallInt, Kind::SmallInt], Vec::new()),
        Question::Runs => (&[Kind::Oid, Kind::Text, Kind::Text], Vec::new()),
        Question::TypeRuns => (&[Kind::Text, Kind::Text, Kind::Text, Kind::Text], Vec::new()),
        Question::Functions => (&[Kind::Text, Kind::Text, Kind::Bool, Kind::Bool, Kind::Bool], Vec::new()),
        Question::Operators => (&[Kind::Text, Kind::Text, Kind::Bool, Kind::Oid, Kind::Oid], Vec::new()),
    };
    let columns = kinds.iter().map(|kind| ("?column?".to_owned(), *kind)).collect();
    Answer { columns, rows, done: None }
}

fn tables() -> impl Iterator<Item = (i64, &'static str, &'static [(&'static str, Kind)])> {
    (FIRST_OID..).zip(COLUMNS).map(|(oid, (name, columns))| (oid, name, columns))
}

/// The type's OID and name in PostgreSQL.
const fn described(kind: Kind) -> (i64, &'static str) {
    match kind {
        Kind::Int => (23, "integer"),
        Kind::BigInt => (20, "bigint"),
        Kind::Text => (25, "text"),
        Kind::Money => (1700, "numeric(10,2)"),
        Kind::Oid => (26, "oid"),
        Kind::SmallInt => (21, "smallint"),
        Kind::Bool => (16, "boolean"),
    }
}
