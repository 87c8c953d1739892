//! The shared corpus of evasions: `fixtures/corpora/sql_evasion.yaml`.

use std::fmt::Write as _;

use serde::Deserialize;

use super::schema::{Outcome, world};

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) sql: String,
    wire: String,
    expect: String,
    script: Option<serde_json::Value>,
    startup: Option<serde_json::Value>,
}

impl Case {
    /// Cases of the wire protocol and of limits on it are not texts.
    pub(super) fn is_text(&self) -> bool {
        self.wire == "simple" && self.script.is_none() && self.startup.is_none() && self.id != "DOS-06"
    }
}

/// Every case.
pub(super) fn corpus() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/corpora/sql_evasion.yaml");
    let corpus: Corpus = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    corpus.cases
}

#[test]
fn corpus_holds() {
    let corpus = corpus();
    let world = world();
    let mut wrong = String::new();
    let mut strict = String::new();
    let mut texts = 0;
    for case in corpus.iter().filter(|case| case.is_text()) {
        texts += 1;
        let outcome = world.ask(&case.sql);
        let holds = match (case.expect.as_str(), &outcome) {
            ("deny", Outcome::Refused(_)) | ("masked", Outcome::Rewritten(_)) | ("allowed", Outcome::Allowed) => true,
            ("masked", Outcome::Refused(why)) => {
                writeln!(strict, "{}: {why}", case.id).unwrap();
                true
            }
            ("masked", Outcome::Allowed) | ("allowed", Outcome::Rewritten(_)) => !world.shows(&case.sql),
            _ => false,
        };
        if !holds {
            writeln!(wrong, "{} expects {}, got {outcome:?}: {}", case.id, case.expect, case.sql).unwrap();
        }
    }
    assert!(texts > 100, "the corpus has {texts} texts");
    assert!(wrong.is_empty(), "{wrong}");
    // Refusing what could be shown masked is safe, but each one is somebody's work that stops.
    expect_test::expect![[r#"
        MAT-08: PinnedSetting
        LND-56: filter customers.ssn
        OK-17: filter customers.email
    "#]]
    .assert_eq(&strict);
}
