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

/// A count that is none.
struct Uncounted;

impl Usage {
    /// The usage in a chunk, an event or a body: beside everything, or in its `response`.
    ///
    /// Chat and embeddings say `prompt_tokens` and `completion_tokens`, Responses and audio `input_tokens` and
    /// `output_tokens`. One that counts no tokens, or not as whole numbers, says nothing.
    pub(super) fn of(root: Node<'_>) -> Option<Self> {
        let usage = [root.get("usage"), root.at(&["response", "usage"])]
            .into_iter()
            .flatten()
            .find(|usage| usage.members().next().is_some())?;
        let count = |paths: [&[&str]; 2]| {
            let node = paths.into_iter().find_map(|path| usage.at(path)).filter(|node| !node.is_null());
            node.map(|node| node.as_i64().and_then(|tokens| u64::try_from(tokens).ok()))
                .map_or(Ok(None), |tokens| tokens.map(Some).ok_or(Uncounted))
        };
        let input = count([&["input_tokens"], &["prompt_tokens"]]).ok()?;
        let output = count([&["output_tokens"], &["completion_tokens"]]).ok()?;
        let total = count([&["total_tokens"], &["total_tokens"]]).ok()?;
        let cached = count([&["input_tokens_details", "cached_tokens"], &["prompt_tokens_details", "cached_tokens"]]);
        input.or(output).or(total)?;
        let (input_tokens, output_tokens) = (input.unwrap_or(0), output.unwrap_or(0));
        let sum = input_tokens.saturating_add(output_tokens);
        let cached_tokens = cached.ok().flatten().unwrap_or(0);
        Some(Self { input_tokens, cached_tokens, output_tokens, total_tokens: total.unwrap_or(sum).max(sum) })
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
            (r#"{"usage":{"input_tokens":5,"output_tokens":null,"total_tokens":0}}"#, usage(5, 0, 0, 5)),
            (r#"{"usage":{"total_tokens":7}}"#, usage(0, 0, 0, 7)),
            (r#"{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":"2"}}}"#, usage(5, 0, 0, 5)),
            (r#"{"usage":{"input_tokens":-1,"output_tokens":6}}"#, None),
            (r#"{"usage":{"input_tokens":5,"output_tokens":1e3}}"#, None),
            (r#"{"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":"3"}}"#, None),
            (r#"{"usage":{"type":"duration","seconds":3}}"#, None),
        ] {
            let document = Document::parse(body, Limits::STANDARD).unwrap_or_else(|fault| unreachable!("{fault}"));
            assert_eq!(Usage::of(document.root()), expected, "{body}");
        }
    }
}
