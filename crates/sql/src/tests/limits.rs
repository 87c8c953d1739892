//! No input ends the process, whatever its size and shape.

use std::thread;

use proptest::prelude::*;

use super::schema::world;
use crate::{MAX_FROM_ENTRIES, MAX_OUTPUT_COLUMNS, MAX_TEXT_BYTES, Unreadable};

/// Runs on a stack as small as a worker thread's.
fn analyze(text: String) -> Result<(), Unreadable> {
    let run = move || world().analyze(&text).map(drop);
    thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap()
}

#[test]
fn deep_texts_are_refused() {
    let count = 40_000;
    let nests = [
        format!("SELECT 1{}", "+1".repeat(count)),
        format!("SELECT {}1", "+-".repeat(count)),
        format!("SELECT {}1", "- ".repeat(count)),
        format!("SELECT {}1{}", "(".repeat(count), ")".repeat(count)),
        format!("SELECT {}", "(".repeat(count)),
        format!("SELECT {}true", "NOT ".repeat(count)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(9_000), " END".repeat(9_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(20_000), "]".repeat(20_000)),
        format!("SELECT {}1{}", "a[".repeat(count), "]".repeat(count)),
        format!("SELECT {}1{}", "f(".repeat(count), ")".repeat(count)),
        format!("SELECT x{}", "->'a'".repeat(count)),
        format!("SELECT x{}", "::text".repeat(30_000)),
        format!("SELECT x{}", " COLLATE \"C\"".repeat(15_000)),
        format!("SELECT x{}", " IS NULL".repeat(20_000)),
        format!("SELECT x{}", " AT TIME ZONE 'UTC'".repeat(10_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(13_000)),
        format!("SELECT 1, 2{}", " UNION SELECT 1, 2".repeat(11_000)),
        format!("SELECT 1{}", " EXCEPT ALL VALUES (1)".repeat(9_000)),
        format!("SELECT * FROM a{}", " JOIN b ON true".repeat(13_000)),
        format!("SELECT * FROM a{}", " NATURAL JOIN b".repeat(13_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(20_000), ")".repeat(20_000)),
        format!("{}SELECT 1{}", "WITH a AS (".repeat(12_000), ") SELECT 1".repeat(11_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(20_000)),
        format!("SELECT 1 WHERE {}1{}", "1 IN (".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1", "1 BETWEEN 1 AND ".repeat(12_000)),
        format!("SELECT {}1", "a = ANY (ARRAY[".repeat(12_000)),
        format!("SELECT {}", "'{' || ".repeat(20_000)),
    ];
    for text in nests {
        let head: String = text.chars().take(30).collect();
        assert!(matches!(analyze(text), Err(Unreadable::TooDeep | Unreadable::Syntax)), "{head}");
    }
}

/// Nothing between a text that is certainly shallow and one that is certainly deep may end the process either.
#[test]
fn every_depth_returns() {
    let links = [
        "+1",
        "+-",
        "-",
        "(",
        "[",
        "f(",
        "NOT ",
        "::a",
        " COLLATE c",
        "->1",
        " UNION SELECT 1",
        " JOIN b ON a",
        "CASE WHEN 1 THEN ",
    ];
    for link in links {
        for count in [40, 90, 200, 370, 400, 700, 1_000, 1_400, 1_500, 1_600, 3_000] {
            let _ = analyze(format!("SELECT a{}", link.repeat(count)));
            let _ = analyze(format!("SELECT {}a", link.repeat(count)));
        }
    }
}

#[test]
fn length_is_limited() {
    let text = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
    let world = world();
    assert!(world.analyze(&text(MAX_TEXT_BYTES - 1)).is_ok());
    assert!(world.analyze(&text(MAX_TEXT_BYTES)).is_ok());
    assert_eq!(world.analyze(&text(MAX_TEXT_BYTES + 1)), Err(Unreadable::TooLong));
}

#[test]
fn flat_texts_may_be_long() {
    let world = world();
    let list = vec!["1"; 20_000].join(", ");
    assert!(world.analyze(&format!("SELECT * FROM orders WHERE id IN ({list})")).is_ok());
    let rows = vec!["(1, -2, 'it''s (a) value -- + - * /')"; 4_000].join(", ");
    assert!(world.analyze(&format!("INSERT INTO orders VALUES {rows}")).is_ok());
    let chain = vec!["id = 1"; 700].join(" OR ");
    assert!(world.analyze(&format!("SELECT * FROM orders WHERE {chain}")).is_ok());
}

/// A result of the server has at most so many columns.
#[test]
fn columns_are_limited() {
    let world = world();
    let list = |columns: usize| format!("SELECT {} FROM orders", vec!["id"; columns].join(", "));
    assert!(world.analyze(&list(MAX_OUTPUT_COLUMNS - 1)).is_ok());
    assert!(world.analyze(&list(MAX_OUTPUT_COLUMNS)).is_ok());
    assert_eq!(world.analyze(&list(MAX_OUTPUT_COLUMNS + 1)), Err(Unreadable::TooComplex));
    let stars = |times: usize| format!("SELECT {} FROM orders", vec!["*"; times].join(", "));
    assert!(world.analyze(&stars(MAX_OUTPUT_COLUMNS / 3)).is_ok());
    assert_eq!(world.analyze(&stars(MAX_OUTPUT_COLUMNS / 3 + 1)), Err(Unreadable::TooComplex));
}

#[test]
fn entries_are_limited() {
    let world = world();
    let from = |entries: usize| format!("SELECT 1 FROM {}", vec!["marker"; entries].join(", "));
    assert!(world.analyze(&from(MAX_FROM_ENTRIES - 1)).is_ok());
    assert!(world.analyze(&from(MAX_FROM_ENTRIES)).is_ok());
    assert_eq!(world.analyze(&from(MAX_FROM_ENTRIES + 1)), Err(Unreadable::TooComplex));
}

/// Texts that once took gigabytes, and their relatives.
#[test]
fn bombs_are_defused() {
    let from =
        |relation: &str, count: usize| (0..count).map(|at| format!("{relation} a{at}")).collect::<Vec<_>>().join(", ");
    let select = |list: &str, times: usize, from: &str| format!("SELECT {} FROM {from}", vec![list; times].join(", "));
    let customers = from("customers", 400);
    let wide = select("*", 500, "orders");
    let exploding = [
        select("*", 4_000, &from("orders", 400)),
        select("*", 32_000, &from("orders", 500)),
        select("a1.*", 20_000, &customers),
        select("zz", 60_000, &customers),
        select("email", 20_000, &customers),
        select("zz.email", 20_000, &customers),
        select("(a1).*", 10_000, &customers),
        format!("WITH w AS ({wide}) SELECT 1 FROM {}", vec!["(TABLE w) x"; 10_000].join(", ")),
    ];
    for text in exploding {
        let head: String = text.chars().take(30).collect();
        assert_eq!(analyze(text), Err(Unreadable::TooComplex), "{head}");
    }
    let large = [
        select(&format!("({wide})"), 80, &customers),
        format!("SELECT 1 FROM {}", (0..60).map(|at| format!("({wide}) a{at}")).collect::<Vec<_>>().join(", ")),
        vec![select("*", 500, "orders"); 100].join(" UNION ALL "),
        vec![select("*", 500, "orders"); 100].join(";"),
        format!("SELECT 1 FROM orders {}", "NATURAL JOIN orders ".repeat(40)),
    ];
    for text in large {
        let head: String = text.chars().take(30).collect();
        assert!(!matches!(analyze(text), Err(Unreadable::Syntax)), "{head}");
    }
}

#[test]
fn zero_bytes_are_refused() {
    assert_eq!(world().analyze("SELECT 1\0; DELETE FROM orders"), Err(Unreadable::Nul));
}

#[test]
fn recursive_nests_end() {
    let mut text = "SELECT ssn FROM customers".to_owned();
    for level in 0..12 {
        text =
            format!("WITH RECURSIVE r{level}(x) AS ({text} UNION ALL SELECT x FROM r{level}) SELECT x FROM r{level}");
    }
    let _ = analyze(text);
}

/// Words that make statements of some sense more likely than noise does.
const WORDS: [&str; 56] = [
    "SELECT",
    "FROM",
    "WHERE",
    "customers",
    "orders",
    "email",
    "ssn",
    "id",
    "*",
    ",",
    "(",
    ")",
    ".",
    "AS",
    "c",
    "JOIN",
    "ON",
    "USING",
    "LATERAL",
    "UNION",
    "ALL",
    "WITH",
    "RECURSIVE",
    "t",
    "GROUP BY",
    "ORDER BY",
    "1",
    "'x'",
    "=",
    "||",
    "->>",
    "::text",
    "max",
    "count",
    "lower",
    "CASE WHEN",
    "THEN",
    "END",
    "NOT",
    "IN",
    "ANY",
    "EXISTS",
    "ARRAY[",
    "]",
    "OVER",
    "ONLY",
    "TABLE",
    "VALUES",
    "INSERT INTO",
    "UPDATE",
    "SET",
    "DELETE",
    "RETURNING",
    ";",
    "v_contact",
    "public",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(world().ask(&text));
    }

    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 1..40)) {
        drop(world().ask(&words.join(" ")));
    }

    #[test]
    fn sensible_queries_are_read_or_refused(
        list in proptest::collection::vec(proptest::sample::select(&WORDS[3..50]), 1..8),
        rest in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..12),
    ) {
        drop(world().ask(&format!("SELECT {} FROM customers c {}", list.join(" "), rest.join(" "))));
    }
}

#[test]
fn names_that_another_encoding_reads_otherwise() {
    let long = |bytes: usize| "x".repeat(bytes);
    for (name, uncertain) in [
        ("Customers".to_owned(), false),
        (long(70), false),
        ("\u{e4}pfel".to_owned(), false),
        ("\u{c4}pfel".to_owned(), true),
        ("\"\u{c4}pfel\"".to_owned(), false),
        (format!("{}\u{e4}", long(57)), false),
        (format!("{}\u{e4}", long(58)), true),
        (format!("\"{}\u{e4}\"", long(58)), true),
        (format!("U&\"{}\"", long(55)), false),
        (format!("U&\"{}\"", long(56)), true),
        ("'\u{c4}pfel'".to_owned(), false),
        ("1 /* \u{c4}pfel */".to_owned(), false),
    ] {
        let found = crate::read::uncertain_name(&format!("SELECT {name}")).unwrap();
        assert_eq!(found, uncertain.then_some(7), "{name}");
    }
}
