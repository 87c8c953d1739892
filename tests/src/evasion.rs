//! The HTTP evasion corpus, as its file has it.

use serde::Deserialize;

use crate::corpus::Expect;

/// The whole corpus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evasions {
    pub cases: Vec<Evasion>,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evasion {
    pub id: String,
    pub technique: String,
    pub direction: Direction,
    /// A notation: what it means depends on the first letters of the id.
    pub snippet: String,
    pub expect: Expect,
    pub why: String,
    #[serde(default)]
    pub hyper_1_12_default: Option<String>,
}

/// Which way what evades goes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Request,
    Response,
    Both,
}

impl Evasions {
    /// Reads the repository's copy.
    ///
    /// # Panics
    /// When it is not there or not of this shape.
    #[must_use]
    #[expect(clippy::expect_used, reason = "test support: without its corpus the test fails")]
    pub fn load() -> Self {
        let path = crate::broker::root().join("fixtures/corpora/http_evasion.yaml");
        let text = std::fs::read_to_string(path).expect("the corpus is there");
        serde_saphyr::from_str(&text).expect("the corpus has its shape")
    }
}

impl Evasion {
    /// The statuses that the corpus asks for: numbers at the beginning of its reason, with slashes between them.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let words: &str = self.why.split([' ', ':', ';']).next().unwrap_or_default();
        let numbers: Result<Vec<u16>, _> = words.split('/').map(str::parse).collect();
        numbers.unwrap_or_default()
    }

    /// What the snippet holds between separators.
    pub fn variants(&self, separator: &str) -> impl Iterator<Item = &str> {
        self.snippet.split(separator)
    }

    /// The JSON values in the snippet, as they are written.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        let mut rest = self.snippet.as_str();
        let mut values = Vec::new();
        while let Some(at) = rest.find(['{', '[', '"']) {
            let (value, after) = rest.split_at(at).1.split_at(value_end(rest.split_at(at).1));
            values.push(value.to_owned());
            rest = after;
        }
        values
    }
}

/// Where the JSON value ends that a text begins with.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 && !quoted {
            return at + 1;
        }
    }
    text.len()
}

/// A text in which `\xNN` stands for a byte; other escapes are left to JSON.
#[must_use]
pub fn with_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, tail) = after.split_at_checked(2).unwrap_or((after, ""));
        match u8::from_str_radix(digits, 16) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice([b"\\x", digits.as_bytes()].concat().as_slice()),
        }
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(snippet: &str, why: &str) -> Evasion {
        let (id, technique) = (String::new(), String::new());
        let (direction, expect) = (Direction::Request, Expect::Deny);
        let (snippet, why) = (snippet.to_owned(), why.to_owned());
        Evasion { id, technique, direction, snippet, expect, why, hyper_1_12_default: None }
    }

    #[test]
    fn the_corpus_is_read_whole() {
        let corpus = Evasions::load();
        assert!(corpus.cases.len() >= 79, "{} cases", corpus.cases.len());
        for expect in [Expect::Deny, Expect::Masked, Expect::Allowed] {
            assert!(corpus.cases.iter().any(|case| case.expect == expect), "no case is {expect:?}");
        }
    }

    #[test]
    fn notations_are_taken_apart() {
        let values = case(r#"{"a":"}\"{"} , " b", "c" ; [1,2]"#, "").values();
        assert_eq!(values, [r#"{"a":"}\"{"}"#, r#"" b""#, r#""c""#, "[1,2]"]);
        assert_eq!(case("", "426/403 unless").statuses(), [426, 403]);
        assert_eq!(case("", "404: case").statuses(), [404]);
        assert_eq!(case("", "400").statuses(), [400]);
        assert_eq!(case("", "exact byte match").statuses(), Vec::<u16>::new());
        assert_eq!(with_bytes(r#""\xff\xfe\u0040""#), b"\"\xff\xfe\\u0040\"");
    }
}
