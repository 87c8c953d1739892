//! Scripts of bytes into statement texts: as they stand, or as changes of statements that mean something.

/// Words that change what a text means.
const WORDS: &[&str] = &[
    "(",
    ")",
    ",",
    ";",
    ".",
    "*",
    "::",
    "$1",
    "''",
    "'***'",
    "\"email\"",
    "AS",
    "SELECT",
    "FROM",
    "WHERE",
    "ONLY",
    "TABLE",
    "WITH",
    "RECURSIVE",
    "UNION ALL",
    "LATERAL",
    "VALUES",
    "DISTINCT",
    "ORDER BY",
    "GROUP BY",
    "LIMIT 1",
    "FOR UPDATE",
    "RETURNING",
    "EXPLAIN ANALYZE",
    "TABLESAMPLE system (50)",
    "customers",
    "public.customers",
    "archive.customers",
    "v_contact",
    "v_names",
    "mv_contact",
    "orders",
    "email",
    "ssn",
    "name",
    "customers.email",
    "customers.*",
    "count",
    "row_to_json",
    "COPY",
    "TO STDOUT",
    "USING",
    "JOIN",
    "NATURAL",
    "CROSS JOIN",
    "ON true",
    "/**/",
    "--\n",
    "U&\"em\\0061il\"",
    "[1]",
    "||",
    "IS NOT NULL",
    "CASE WHEN",
    "THEN",
    "END",
    "NULL",
    "COLLATE \"C\"",
    "OVER ()",
    "\u{e9}",
    "\u{2028}",
];

/// Statements to begin with.
pub(crate) struct Texts(Vec<Vec<String>>);

impl Texts {
    pub(crate) fn new() -> Self {
        let files = [
            include_str!("../../../../fixtures/sql/bypass.sql"),
            include_str!("../../../../fixtures/sql/false-alarms.sql"),
            include_str!("../../../../fixtures/sql/definitions.sql"),
            include_str!("../../../../fixtures/sql/filtering.sql"),
        ];
        let blocks = files.iter().flat_map(|file| file.split("-- expect: ").skip(1));
        Self(blocks.filter_map(|block| block.split_once('\n')).map(|(_, sql)| words(sql.trim())).collect())
    }

    /// The text of a script. An even first byte: what follows is the text. An odd one: what follows are changes.
    pub(crate) fn spell(&self, script: &[u8]) -> String {
        let Some((kind, rest)) = script.split_first() else { return String::new() };
        if kind % 4 == 0 {
            return String::from_utf8_lossy(rest).into_owned();
        }
        let mut script = rest.iter().copied();
        let mut text = self.statement(&mut script);
        while let Some(change) = script.next() {
            self.change(change, &mut text, &mut script);
        }
        text.concat()
    }

    fn statement(&self, script: &mut impl Iterator<Item = u8>) -> Vec<String> {
        self.0.get(below(script, self.0.len())).cloned().unwrap_or_default()
    }

    fn change(&self, change: u8, text: &mut Vec<String>, script: &mut impl Iterator<Item = u8>) {
        let at = below(script, text.len());
        let word = |script: &mut _| format!(" {} ", WORDS.get(below(script, WORDS.len())).unwrap_or(&""));
        match change % 8 {
            0 if at < text.len() => drop(text.remove(at)),
            1 if at < text.len() => text.insert(at, text.get(at).cloned().unwrap_or_default()),
            2 if at < text.len() => {
                let other = below(script, text.len());
                text.swap(at, other);
            }
            3 if at < text.len() => {
                let word = word(script);
                text.splice(at..=at, [word]);
            }
            4 => text.insert(at, word(script)),
            5 => {
                let around =
                    [("SELECT * FROM (", ") AS q"), ("WITH w AS (", ") TABLE w"), ("EXPLAIN ", ""), ("SELECT (", ")")];
                let (before, after) = around.get(below(script, around.len())).unwrap_or(&("", ""));
                text.insert(0, (*before).to_owned());
                text.push((*after).to_owned());
            }
            6 => {
                let other = self.statement(script);
                let (from, count) = (below(script, other.len()), below(script, 12));
                text.splice(at..at, other.into_iter().skip(from).take(count));
            }
            _ => {
                let (end, other) = ((at + below(script, 8)).min(text.len()), self.statement(script));
                let (from, count) = (below(script, other.len()), below(script, 8));
                text.splice(at..end, other.into_iter().skip(from).take(count));
            }
        }
    }
}

fn below(script: &mut impl Iterator<Item = u8>, limit: usize) -> usize {
    let wide = usize::from(script.next().unwrap_or(0)) << 8 | usize::from(script.next().unwrap_or(0));
    wide.checked_rem(limit).unwrap_or(0)
}

/// A text in pieces: names, numbers, gaps, and every other character on its own.
fn words(text: &str) -> Vec<String> {
    let kind = |character: char| match character {
        _ if character.is_alphanumeric() || character == '_' => 0,
        _ if character.is_whitespace() => 1,
        _ => 2,
    };
    let mut found: Vec<String> = Vec::new();
    let mut last = 2;
    for character in text.chars() {
        match found.last_mut() {
            Some(word) if kind(character) == last && last != 2 => word.push(character),
            _ => found.push(character.to_string()),
        }
        last = kind(character);
    }
    found
}
