//! Recorded exchanges as lines that people read: what was asked, and the answer as it streamed.

use bytes::Bytes;
use sluice_mask::json::{Document, Limits, Node};

use crate::media::{Media, media};
use crate::sse::{Decoder, Event};

/// The longest body that is taken apart, and the longest event.
const LIMITS: Limits = Limits { size_bytes: 8 << 20, depth: 128, nodes: 400_000 };
const EVENT_BYTES: usize = 4 << 20;
/// Characters of streamed text on one line.
const LINE_CHARS: usize = 100;
/// Characters of a body that is not a conversation.
const BODY_CHARS: usize = 400;

/// Reads one recorded answer. What is recorded of it may come in pieces, and be cut at a cap. Lines are content: whoever
/// prints them makes them harmless first.
#[derive(Default)]
pub struct Replay {
    at: At,
    raw: Vec<u8>,
    /// Text that streamed in and makes no line yet.
    text: String,
}

#[derive(Default)]
enum At {
    #[default]
    Head,
    Events(Box<Decoder>),
    Body(Media),
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("unread_bytes", &self.raw.len()).finish_non_exhaustive()
    }
}

impl Replay {
    /// Takes bytes that went to the client.
    pub fn to_client(&mut self, bytes: &[u8]) -> Vec<String> {
        self.raw.extend_from_slice(bytes);
        let mut lines = Vec::new();
        if matches!(self.at, At::Head) {
            self.head(&mut lines);
        }
        if let At::Events(decoder) = &mut self.at {
            decoder.push(&self.raw);
            self.raw.clear();
            while let Ok(Some(event)) = decoder.next() {
                self.text.push_str(&delta(&event));
            }
            while let Some(line) = self.line() {
                lines.push(line);
            }
        }
        lines
    }

    /// Nothing more follows.
    #[must_use]
    pub fn done(mut self) -> Vec<String> {
        match self.at {
            At::Head => Vec::new(),
            At::Events(_) => Some(std::mem::take(&mut self.text)).filter(|text| !text.is_empty()).into_iter().collect(),
            At::Body(Media::Json) => answer(&self.raw),
            At::Body(Media::Text | Media::Form | Media::Lines | Media::Events) => {
                vec![shortened(&String::from_utf8_lossy(&self.raw))]
            }
            At::Body(Media::Opaque) if self.raw.is_empty() => Vec::new(),
            At::Body(Media::Opaque) => vec![format!("({} bytes that are no text)", self.raw.len())],
        }
    }

    fn head(&mut self, lines: &mut Vec<String>) {
        let Some(end) = self.raw.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        let rest = self.raw.split_off(end.saturating_add(4));
        let head = String::from_utf8_lossy(&std::mem::replace(&mut self.raw, rest)).into_owned();
        let mut rows = head.lines();
        let status = rows.next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
        let headers = rows.filter_map(|row| {
            let (name, value) = row.split_once(": ")?;
            Some((name.parse().ok()?, value.parse().ok()?))
        });
        if status.starts_with("102") {
            lines.push("(kept waiting)".to_owned());
            return self.head(lines);
        }
        lines.push(status.to_owned());
        self.at = match media(&headers.collect()) {
            Media::Events => At::Events(Box::new(Decoder::new(EVENT_BYTES))),
            other @ (Media::Json | Media::Lines | Media::Text | Media::Form | Media::Opaque) => At::Body(other),
        };
    }

    /// The next whole line of streamed text.
    fn line(&mut self) -> Option<String> {
        let newline = self.text.find('\n');
        let long = self.text.char_indices().nth(LINE_CHARS).map(|(at, _)| at);
        let end = match (newline, long) {
            (Some(newline), Some(long)) => newline.min(long),
            (one, other) => one.or(other)?,
        };
        let rest = self.text.split_off(end);
        let rest = rest.strip_prefix('\n').map(str::to_owned).unwrap_or(rest);
        Some(std::mem::replace(&mut self.text, rest))
    }
}

/// What a request says, as lines: the operation, then what is new in the conversation.
#[must_use]
pub fn asked(text: &str) -> Vec<String> {
    let (first, body) = text.split_once('\n').unwrap_or((text, ""));
    let mut lines = vec![first.to_owned()];
    let Ok(document) = Document::parse(Bytes::copy_from_slice(body.as_bytes()), LIMITS) else {
        lines.extend(Some(shortened(body)).filter(|body| !body.is_empty()));
        return lines;
    };
    let root = document.root();
    if let Some(model) = root.get("model").and_then(|model| model.text()) {
        lines = vec![format!("{first} ({model})")];
    }
    let said = root.get("messages").or_else(|| root.get("input"));
    match said {
        Some(said) if said.text().is_some() => lines.push(format!("user: {}", said.text().unwrap_or_default())),
        Some(said) => lines.extend(newest(said)),
        None => lines.extend(Some(shortened(body)).filter(|body| body.len() > 2)),
    }
    lines
}

/// The messages after the last of the model's own.
fn newest(messages: Node<'_>) -> Vec<String> {
    let shown: Vec<Option<String>> = messages.items().map(message).collect();
    let from = shown.iter().rposition(Option::is_none).map_or(0, |at| at.saturating_add(1));
    shown.into_iter().skip(from).flatten().collect()
}

/// One message to the model; `None` for one of its own.
fn message(node: Node<'_>) -> Option<String> {
    let member = |name: &str| node.get(name).and_then(|value| value.text()).map(|text| text.into_owned());
    let kind = member("type").unwrap_or_default();
    let role = member("role").unwrap_or_default();
    if role == "assistant" || kind == "function_call" || kind == "reasoning" {
        return None;
    }
    let content = node.get("content").or_else(|| node.get("output"));
    let text = content.map(text_of).unwrap_or_default();
    let who = if role.is_empty() { kind } else { role };
    Some(format!("{who}: {}", shortened(&text)))
}

/// All text below a node, in order.
fn text_of(node: Node<'_>) -> String {
    if let Some(text) = node.text() {
        return text.into_owned();
    }
    let parts = node.items().filter_map(|part| part.get("text").and_then(|text| text.text()));
    parts.collect::<Vec<_>>().join(" ")
}

/// What one event adds to the text.
fn delta(event: &Event) -> String {
    let Ok(document) = Document::parse(event.data.clone(), LIMITS) else { return String::new() };
    let root = document.root();
    let kind = root.get("type").and_then(|kind| kind.text()).unwrap_or_default();
    if kind == "error" || root.get("error").is_some_and(|error| !error.is_null()) {
        return format!("\n{}\n", shortened(&String::from_utf8_lossy(&event.data)));
    }
    if kind.ends_with("text.delta") {
        return root.get("delta").and_then(|delta| delta.text()).unwrap_or_default().into_owned();
    }
    if kind == "response.output_item.done" {
        return root.get("item").and_then(call).map(|call| format!("\n{call}\n")).unwrap_or_default();
    }
    let mut out = String::new();
    for choice in root.get("choices").into_iter().flat_map(|choices| choices.items()) {
        if let Some(text) = choice.at(&["delta", "content"]).and_then(|text| text.text()) {
            out.push_str(&text);
        }
        for called in choice.at(&["delta", "tool_calls"]).into_iter().flat_map(|calls| calls.items()) {
            out.push_str(&call(called).map(|call| format!("\n{call}\n")).unwrap_or_default());
        }
    }
    out
}

/// A call that a model asks for.
fn call(node: Node<'_>) -> Option<String> {
    let function = node.get("function").unwrap_or(node);
    let name = function.get("name")?.text()?.into_owned();
    let arguments = function.get("arguments").or_else(|| function.get("input")).and_then(|text| text.text());
    Some(format!("calls {name}({})", shortened(&arguments.unwrap_or_default())))
}

/// A whole answer.
fn answer(body: &[u8]) -> Vec<String> {
    let Ok(document) = Document::parse(Bytes::copy_from_slice(body), LIMITS) else {
        return vec![shortened(&String::from_utf8_lossy(body))];
    };
    let root = document.root();
    let mut lines = Vec::new();
    for choice in root.get("choices").into_iter().flat_map(|choices| choices.items()) {
        lines.extend(choice.at(&["message", "content"]).and_then(|text| text.text()).map(|text| text.into_owned()));
        let calls = choice.at(&["message", "tool_calls"]).into_iter().flat_map(|calls| calls.items());
        lines.extend(calls.filter_map(call));
    }
    for item in root.get("output").into_iter().flat_map(|output| output.items()) {
        match call(item) {
            Some(call) => lines.push(call),
            None => lines.extend(item.get("content").map(text_of).filter(|text| !text.is_empty())),
        }
    }
    if lines.is_empty() {
        lines.push(shortened(&String::from_utf8_lossy(body)));
    }
    lines
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(BODY_CHARS) {
        Some((at, _)) => format!("{} … ({} bytes)", text.get(..at).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_becomes_its_text_whatever_the_pieces() {
        let recorded = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello \"}}]}\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"you\\nand me\"}}]}\n\ndata: [DONE]\n\n";
        for cut in 0..recorded.len() {
            let (one, two) = recorded.as_bytes().split_at(cut);
            let mut replay = Replay::default();
            let mut lines = replay.to_client(one);
            lines.extend(replay.to_client(two));
            lines.extend(replay.done());
            assert_eq!(lines, ["200 OK", "Hello you", "and me"], "cut at {cut}");
        }
    }

    #[test]
    fn whole_answers_show_text_and_calls() {
        let mut replay = Replay::default();
        let body = r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]},{"type":"function_call","name":"f","arguments":"{\"a\":1}"}]}"#;
        let head = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        assert_eq!(replay.to_client(format!("{head}{body}").as_bytes()), ["(kept waiting)", "200 OK"]);
        assert_eq!(replay.done(), ["Hi", "calls f({\"a\":1})"]);
    }

    #[test]
    fn requests_show_what_is_new() {
        let text = "POST /chat/completions\n{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"old\"},\
            {\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"tool\",\"content\":\"42\"},{\"role\":\"user\",\"content\":\"new\"}]}";
        assert_eq!(asked(text), ["POST /chat/completions (m)", "tool: 42", "user: new"]);
        assert_eq!(asked("GET /models"), ["GET /models"]);
        assert_eq!(asked("POST /responses\n{\"model\":\"m\",\"input\":\"hi\"}"), ["POST /responses (m)", "user: hi"]);
    }
}
