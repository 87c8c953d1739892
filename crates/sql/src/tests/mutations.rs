//! The corpus in other words: comments, case, quotes, casts and queries around it change nothing of the verdict.

use pg_query::protobuf::{KeywordKind, Token};

use super::corpus::{Case, corpus};
use super::schema::{Outcome, world};
use crate::read;

const VARIANTS: usize = 10_000;

/// A sequence that looks random and is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Allowed, masked or refused.
fn class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "allowed",
        Outcome::Rewritten(_) => "masked",
        Outcome::Refused(_) => "refused",
    }
}

/// The same tokens with other gaps, letter case and quotes; `None` where the text cannot be taken apart.
fn respelt(sql: &str, dice: &mut Dice) -> Option<String> {
    let tokens = read::scan(sql).ok()?;
    let mut out = String::new();
    let mut done = 0;
    for token in tokens {
        let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
        let (gap, word) = (sql.get(done..start)?, sql.get(start..end)?);
        done = end;
        out.push_str(gap);
        if !gap.is_empty() && gap.bytes().all(|byte| byte.is_ascii_whitespace()) {
            let gaps = ["", "", "/**/", "/* FROM x; ' */ ", "-- \"\n", "\t\n"];
            out.push_str(gaps.get(usize::try_from(dice.roll(6)).ok()?)?);
        }
        let is_keyword = token.keyword_kind != KeywordKind::NoKeyword as i32;
        let is_name = Token::try_from(token.token) == Ok(Token::Ident);
        let is_bare = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match dice.roll(4) {
            0 if (is_keyword || is_name) && is_bare => out.push_str(&word.to_ascii_uppercase()),
            1 if is_name && is_bare && word.bytes().all(|byte| !byte.is_ascii_uppercase()) => {
                out.push_str(&format!("\"{word}\""));
            }
            _ => out.push_str(word),
        }
    }
    out.push_str(sql.get(done..)?);
    Some(out)
}

/// A query that shows the rows of another.
fn wrapped(sql: &str, dice: &mut Dice) -> String {
    let sql = sql.trim().trim_end_matches(';');
    match dice.roll(5) {
        0 => format!("WITH w AS ({sql}\n) SELECT * FROM w"),
        1 => format!("WITH RECURSIVE w AS MATERIALIZED ({sql}\n) TABLE w"),
        2 => format!("SELECT (x.*)::text FROM ({sql}\n) AS x"),
        3 => format!("SELECT * FROM (SELECT * FROM ({sql}\n) AS x OFFSET 0) AS y"),
        _ => format!("({sql}\n) UNION ALL ({sql}\n)"),
    }
}

/// A plain query, whose rows another may show without a change of what it does. What is distinct, or unfolds, only at the outside of a
/// statement is no such query.
fn is_wrappable(case: &Case) -> bool {
    let sql = case.sql.to_ascii_lowercase();
    let is_query = sql.starts_with("select") || sql.starts_with("with") || sql.starts_with("((");
    let awkward = [";", "into", "distinct", "unnest", "--", "/*", "for update", "$1"];
    is_query && !awkward.iter().any(|word| sql.contains(word)) && read::parse(&case.sql).is_ok()
}

#[test]
fn other_words_for_the_corpus_keep_their_verdict() {
    let (world, corpus, mut dice) = (world(), corpus(), Dice(5));
    let cases: Vec<(&Case, &str)> = corpus
        .iter()
        .filter(|case| case.is_text() && read::parse(&case.sql).is_ok())
        .map(|case| (case, class(&world.ask(&case.sql))))
        .collect();
    let (mut made, mut wraps, mut wrong) = (0, 0, Vec::new());
    while made < VARIANTS {
        for (case, expected) in &cases {
            let Some(mut variant) = respelt(&case.sql, &mut dice) else { continue };
            if is_wrappable(case) && dice.roll(2) == 0 {
                variant = wrapped(&variant, &mut dice);
                wraps += 1;
            }
            made += 1;
            let outcome = world.ask(&variant);
            if class(&outcome) != *expected {
                wrong.push(format!("{}: {expected}, but {outcome:?}:\n    {variant}", case.id));
            }
        }
    }
    assert!(cases.len() > 100 && wraps > 1_000, "{} cases, {wraps} wrapped", cases.len());
    assert!(
        wrong.is_empty(),
        "{} of {made}:\n{}",
        wrong.len(),
        wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}
