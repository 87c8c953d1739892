//! What a request asks, whichever of the two APIs it is made through.

use serde_json::Value;

use super::fault::Fault;

/// How many choices one request may ask for.
const MOST_CHOICES: u64 = 8;

/// One request, as far as the script cares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ask {
    pub(super) model: String,
    /// The last message of a user.
    pub(super) question: String,
    /// What tools have said since.
    pub(super) results: Vec<String>,
    /// The names of the functions that may be called.
    pub(super) tools: Vec<String>,
    pub(super) choices: u64,
    /// How many words it takes to say all of it.
    pub(super) words: u64,
    pub(super) form: Form,
    pub(super) logprobs: Logprobs,
}

/// How the answer is sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Form {
    #[default]
    Whole,
    Stream,
    /// A stream that ends with the usage, in the Chat API.
    StreamWithUsage,
}

/// Whether the tokens are sent once more with their probabilities.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Logprobs {
    #[default]
    Leave,
    Send,
}

impl Ask {
    /// Reads a request for a chat completion (<https://platform.openai.com/docs/api-reference/chat/create>).
    pub(super) fn of_chat(body: &Value) -> Result<Self, Fault> {
        let messages = member(body, "messages").as_array().ok_or_else(|| Fault::wrong("`messages` is missing."))?;
        let mut ask = Self::of(body, "messages")?;
        for message in messages {
            let text = text(member(message, "content"));
            match member(message, "role").as_str() {
                Some("user") => ask.hear(text),
                Some("tool" | "function") => ask.results.push(text),
                _ => {}
            }
        }
        let tools = list(member(body, "tools")).iter().map(|tool| member(tool, "function"));
        ask.offer(tools, member(body, "tool_choice"));
        ask.choices = member(body, "n").as_u64().unwrap_or(1).clamp(1, MOST_CHOICES);
        if member(member(body, "stream_options"), "include_usage") == &Value::Bool(true) && ask.form == Form::Stream {
            ask.form = Form::StreamWithUsage;
        }
        if member(body, "logprobs") == &Value::Bool(true) {
            ask.logprobs = Logprobs::Send;
        }
        Ok(ask)
    }

    /// Reads a request for a response (<https://platform.openai.com/docs/api-reference/responses/create>).
    pub(super) fn of_responses(body: &Value) -> Result<Self, Fault> {
        let mut ask = Self::of(body, "input")?;
        match member(body, "input") {
            Value::String(question) => ask.hear(question.clone()),
            Value::Array(items) => {
                for item in items {
                    match (member(item, "type").as_str(), member(item, "role").as_str()) {
                        (None | Some("message"), Some("user")) => ask.hear(text(member(item, "content"))),
                        (Some("function_call_output"), _) => ask.results.push(text(member(item, "output"))),
                        _ => {}
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(Fault::wrong("`input` is missing."));
            }
        }
        ask.offer(list(member(body, "tools")).iter(), member(body, "tool_choice"));
        ask.words = ask.words.saturating_add(words(member(body, "instructions")));
        let include = list(member(body, "include"));
        if include.iter().any(|name| name == "message.output_text.logprobs") {
            ask.logprobs = Logprobs::Send;
        }
        Ok(ask)
    }

    fn of(body: &Value, input: &str) -> Result<Self, Fault> {
        let model = member(body, "model").as_str().ok_or_else(|| Fault::wrong("`model` is missing."))?;
        let form = if member(body, "stream") == &Value::Bool(true) { Form::Stream } else { Form::Whole };
        Ok(Self { model: model.to_owned(), choices: 1, words: words(member(body, input)), form, ..Self::default() })
    }

    fn hear(&mut self, question: String) {
        self.question = question;
        self.results.clear();
    }

    /// The functions, unless none may be called, or only one.
    fn offer<'v>(&mut self, tools: impl Iterator<Item = &'v Value>, choice: &Value) {
        let forced = member(choice, "name").as_str().or_else(|| member(member(choice, "function"), "name").as_str());
        let names = tools.filter_map(|tool| member(tool, "name").as_str());
        let allowed = names.filter(|name| choice != "none" && forced.is_none_or(|forced| forced == *name));
        self.tools = allowed.map(str::to_owned).collect();
    }
}

/// A member of an object; null where there is none.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The elements of an array; none where it is none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How many words all the texts in a document have, in place of tokens.
pub(super) fn words(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX),
        Value::Array(items) => items.iter().map(words).fold(0, u64::saturating_add),
        Value::Object(members) => members.values().map(words).fold(0, u64::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A text, or the texts of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| member(part, "text").as_str()).collect::<Vec<_>>().join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
