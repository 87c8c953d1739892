//! The message that stands in the place of a refused call in a response.
//!
//! A stream tells an item in a fixed order: `output_item.added`, `content_part.added`, `output_text.delta`,
//! `output_text.done`, `content_part.done`, `output_item.done`
//! ([streaming events](https://platform.openai.com/docs/api-reference/responses-streaming)).

use bytes::Bytes;

use super::outlet::Outlet;
use super::words::quoted;

/// The whole item.
pub(super) fn refusal_item(index: i64, words: &str) -> String {
    item(index, "completed", &format!("[{}]", part(words)))
}

/// Sends the events of the item, numbered if the stream is, and named if its events are.
pub(super) fn send_refusal(index: i64, words: &str, named: Named, outlet: &mut Outlet) {
    let id = id(index);
    let at_item = format!(r#""output_index":{index}"#);
    let at_part = format!(r#""item_id":"{id}","output_index":{index},"content_index":0"#);
    let text = quoted(words);
    for (kind, body) in [
        ("response.output_item.added", format!(r#"{at_item},"item":{}"#, item(index, "in_progress", "[]"))),
        ("response.content_part.added", format!(r#"{at_part},"part":{}"#, part(""))),
        ("response.output_text.delta", format!(r#"{at_part},"delta":{text},"logprobs":[]"#)),
        ("response.output_text.done", format!(r#"{at_part},"text":{text},"logprobs":[]"#)),
        ("response.content_part.done", format!(r#"{at_part},"part":{}"#, part(words))),
        ("response.output_item.done", format!(r#"{at_item},"item":{}"#, refusal_item(index, words))),
    ] {
        let number = outlet.number_new();
        if number.is_some() && outlet.was_heard() {
            continue;
        }
        let number = number.map(|number| format!(r#","sequence_number":{number}"#)).unwrap_or_default();
        let data = format!(r#"{{"type":"{kind}"{number},{body}}}"#);
        let name = match named {
            Named::Yes => Some(kind.into()),
            Named::No => None,
        };
        outlet.send(name, Bytes::from(data));
    }
}

/// Whether the events of a stream have names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Named {
    Yes,
    No,
}

fn item(index: i64, status: &str, content: &str) -> String {
    let id = id(index);
    format!(r#"{{"id":"{id}","type":"message","status":"{status}","role":"assistant","content":{content}}}"#)
}

fn part(words: &str) -> String {
    format!(r#"{{"type":"output_text","text":{},"annotations":[],"logprobs":[]}}"#, quoted(words))
}

fn id(index: i64) -> String {
    format!("msg_refused_{index}")
}
