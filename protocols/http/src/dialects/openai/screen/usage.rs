//! What a server says an answer took.

use sluice_mask::json::Node;

/// Tokens as the server counted them last; what it did not say is zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    /// Of the input, those that came out of the server's cache.
    pub(crate) cached_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) total_tokens: u64,
}

impl Usage {
    /// The usage in a chunk, an event or a body: beside everything, or in its `response`.
    ///
    /// Chat and embeddings say `prompt_tokens` and `completion_tokens`, Responses and audio `input_tokens` and
    /// `output_tokens`.
    pub(super) fn of(root: Node<'_>) -> Option<Self> {
        let usage = [root.get("usage"), root.at(&["response", "usage"])]
            .into_iter()
            .flatten()
            .find(|usage| usage.members().next().is_some())?;
        let count = |paths: [&[&str]; 2]| {
            let tokens = paths.into_iter().find_map(|path| usage.at(path)?.as_i64());
            tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or_default()
        };
        let input_tokens = count([&["input_tokens"], &["prompt_tokens"]]);
        let output_tokens = count([&["output_tokens"], &["completion_tokens"]]);
        let total_tokens = match count([&["total_tokens"], &["total_tokens"]]) {
            0 => input_tokens.saturating_add(output_tokens),
            total => total,
        };
        let cached_tokens =
            count([&["input_tokens_details", "cached_tokens"], &["prompt_tokens_details", "cached_tokens"]]);
        Some(Self { input_tokens, cached_tokens, output_tokens, total_tokens })
    }
}

#[cfg(test)]
mod tests {
    use sluice_mask::json::{Document, Limits};

    use super::*;

    #[test]
    fn both_spellings_are_read_wherever_they_stand() {
        let usage = |input_tokens, cached_tokens, output_tokens, total_tokens| {
            Some(Usage { input_tokens, cached_tokens, output_tokens, total_tokens })
        };
        for (body, expected) in [
            (r#"{}"#, None),
            (r#"{"usage":null,"choices":[]}"#, None),
            (r#"{"usage":{}}"#, None),
            (r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#, usage(1, 0, 2, 3)),
            (
                r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"total_tokens":9}}"#,
                usage(9, 4, 0, 9),
            ),
            (
                r#"{"response":{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":6}}}"#,
                usage(5, 2, 6, 11),
            ),
            (r#"{"usage":{"input_tokens":-1,"output_tokens":1e3,"total_tokens":"3"}}"#, usage(0, 0, 0, 0)),
            (r#"{"usage":{"type":"duration","seconds":3}}"#, usage(0, 0, 0, 0)),
        ] {
            let document = Document::parse(body, Limits::STANDARD).unwrap_or_else(|fault| unreachable!("{fault}"));
            assert_eq!(Usage::of(document.root()), expected, "{body}");
        }
    }
}
