//! The SQL evasion corpus, as its file has it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The whole corpus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// The statements that make the data.
    pub schema: String,
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    pub technique: String,
    pub sql: String,
    pub wire: String,
    pub expect: Expect,
    pub why: String,
    pub oracle: String,
    /// Further startup parameters.
    #[serde(default)]
    pub startup: BTreeMap<String, String>,
    /// Statements of a DBA before the session.
    #[serde(default)]
    pub setup: Option<String>,
    #[serde(default)]
    pub script: Vec<Step>,
    #[serde(default)]
    pub observed_pg15: BTreeMap<String, String>,
    #[serde(default)]
    pub defeats: Vec<String>,
}

/// What must come of a case.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    Deny,
    Masked,
    Allowed,
}

/// One message of a script.
#[derive(Clone, Debug, Deserialize)]
pub enum Step {
    /// `Query`.
    Q(String),
    /// `Query` with raw bytes, in hexadecimal.
    Qhex(String),
    /// `Parse`.
    P {
        #[serde(default)]
        name: String,
        sql: String,
    },
    /// `Bind`.
    B {
        #[serde(default)]
        portal: String,
        #[serde(default)]
        stmt: String,
        #[serde(default)]
        params: Vec<String>,
    },
    /// `Describe`.
    D {
        kind: char,
        #[serde(default)]
        name: String,
    },
    /// `Execute`.
    E {
        #[serde(default)]
        portal: String,
        #[serde(default)]
        max: u32,
    },
    /// `Close`.
    C {
        kind: char,
        #[serde(default)]
        name: String,
    },
    /// `Flush`.
    H {},
    /// `Sync`.
    S {},
    /// `FunctionCall`.
    F {
        oid: u32,
        #[serde(default)]
        args: Vec<String>,
    },
    /// Raw bytes, in hexadecimal.
    #[serde(rename = "raw")]
    Raw(String),
}

impl Corpus {
    /// Reads the repository's copy.
    ///
    /// # Panics
    /// When it is not there or not of this shape.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test support: without its corpus the test fails")]
    pub fn load() -> Self {
        let path = crate::broker::root().join("fixtures/corpora/sql_evasion.yaml");
        let text = std::fs::read_to_string(path).expect("the corpus is there");
        serde_saphyr::from_str(&text).expect("the corpus has its shape")
    }
}

/// Bytes from hexadecimal with blanks.
///
/// # Panics
/// When it is not hexadecimal.
#[must_use]
#[expect(clippy::expect_used, reason = "test support: a corpus with a slip fails the test")]
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_read_whole() {
        let corpus = Corpus::load();
        assert!(corpus.cases.len() >= 150, "{} cases", corpus.cases.len());
        for expect in [Expect::Deny, Expect::Masked, Expect::Allowed] {
            assert!(corpus.cases.iter().any(|case| case.expect == expect), "no case is {expect:?}");
        }
        for step in corpus.cases.iter().flat_map(|case| &case.script) {
            if let Step::Raw(hex) | Step::Qhex(hex) = step {
                assert!(!unhex(hex).is_empty());
            }
        }
    }
}
