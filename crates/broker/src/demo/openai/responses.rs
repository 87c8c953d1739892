//! Responses: one document, or a stream of events
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>).

use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::ask::{Ask, Logprobs, words};
use super::brain::{Call, Ending};
use super::desk::{Desk, seconds};
use super::fault::Fault;
use super::pace::{Step, event, pieces};

/// Members of a request that its response repeats, and what stands there where it has none.
const REPEATED: [(&str, &str); 12] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("store", "true"),
    ("temperature", "1.0"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// One response, and the events that tell it.
pub(super) struct Reply<'a> {
    ask: &'a Ask,
    id: String,
    /// The members that do not change.
    frame: Map<String, Value>,
    output: Vec<Value>,
    spent: u64,
    steps: Vec<Step>,
    sequence: u64,
}

impl<'a> Reply<'a> {
    pub(super) fn new(ask: &'a Ask, body: &Value, desk: &Desk) -> Self {
        let id = desk.id("resp");
        let mut frame = Map::new();
        for (name, otherwise) in REPEATED {
            let given = body.get(name).filter(|given| !given.is_null());
            let value = given.cloned().or_else(|| serde_json::from_str(otherwise).ok());
            frame.insert(name.to_owned(), value.unwrap_or_default());
        }
        let fixed = json!({
            "id": id, "object": "response", "created_at": seconds(), "model": ask.model, "error": null,
            "incomplete_details": null, "background": false, "service_tier": "default", "top_logprobs": 0,
            "reasoning": { "effort": null, "summary": null }, "text": { "format": { "type": "text" } },
        });
        if let Value::Object(fixed) = fixed {
            frame.extend(fixed);
        }
        Self { ask, id, frame, output: Vec::new(), spent: 0, steps: Vec::new(), sequence: 0 }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether whoever asked wants it to be there later.
    pub(super) fn is_kept(&self) -> bool {
        self.frame.get("store") != Some(&Value::Bool(false))
    }

    pub(super) fn begin(&mut self) {
        let response = self.response("in_progress");
        self.tell("response.created", json!({ "response": response }), Step::Send);
        self.tell("response.in_progress", json!({ "response": response }), Step::Send);
    }

    /// Says a text, as an item of its own.
    pub(super) fn say(&mut self, text: &str, ending: Ending, desk: &Desk) {
        let item = desk.id("msg");
        let place = self.output.len();
        let pieces = pieces(text);
        let at = |mut members: Value| {
            if let Some(members) = members.as_object_mut() {
                members.extend([
                    ("item_id".to_owned(), json!(item)),
                    ("output_index".to_owned(), json!(place)),
                    ("content_index".to_owned(), json!(0)),
                ]);
            }
            members
        };
        let opened = json!({ "output_index": place, "item": message(&item, "in_progress", &json!([])) });
        self.tell("response.output_item.added", opened, Step::Send);
        self.tell("response.content_part.added", at(json!({ "part": part("", &json!([])) })), Step::Send);
        let told = if ending == Ending::Finish { pieces.len() } else { pieces.len().div_ceil(2) };
        for piece in pieces.iter().take(told) {
            let logprobs = self.logprobs(std::slice::from_ref(piece));
            self.tell("response.output_text.delta", at(json!({ "delta": piece, "logprobs": logprobs })), Step::Trickle);
        }
        match ending {
            Ending::Finish => {
                let logprobs = self.logprobs(&pieces);
                let part = part(text, &logprobs);
                self.tell("response.output_text.done", at(json!({ "text": text, "logprobs": logprobs })), Step::Send);
                self.tell("response.content_part.done", at(json!({ "part": part })), Step::Send);
                self.close(message(&item, "completed", &json!([part])), words(&json!(text)));
            }
            Ending::Fail => self.tell("error", Fault::staged(500).event(), Step::Trickle),
            Ending::HangUp => self.steps.push(Step::HangUp),
        }
    }

    /// Calls a function, as an item of its own.
    pub(super) fn call(&mut self, call: &Call, desk: &Desk) {
        let item = desk.id("fc");
        let id = desk.id("call");
        let place = self.output.len();
        let function = |status: &str, arguments: &str| {
            json!({
                "id": item, "type": "function_call", "status": status, "call_id": id, "name": call.name,
                "arguments": arguments,
            })
        };
        let opened = json!({ "output_index": place, "item": function("in_progress", "") });
        self.tell("response.output_item.added", opened, Step::Send);
        for piece in pieces(&call.arguments) {
            let delta = json!({ "item_id": item, "output_index": place, "delta": piece });
            self.tell("response.function_call_arguments.delta", delta, Step::Trickle);
        }
        let done = json!({ "item_id": item, "output_index": place, "name": call.name, "arguments": call.arguments });
        self.tell("response.function_call_arguments.done", done, Step::Send);
        self.close(function("completed", &call.arguments), words(&json!(call.arguments)));
    }

    fn close(&mut self, item: Value, spent: u64) {
        let place = self.output.len();
        self.tell("response.output_item.done", json!({ "output_index": place, "item": item }), Step::Send);
        self.output.push(item);
        self.spent = self.spent.saturating_add(spent);
    }

    /// The end; the response as a whole.
    pub(super) fn finish(&mut self) -> Value {
        let response = self.response("completed");
        self.tell("response.completed", json!({ "response": response }), Step::Send);
        response
    }

    /// What has been told.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn tell(&mut self, name: &str, mut members: Value, send: impl FnOnce(Bytes) -> Step) {
        if let Some(members) = members.as_object_mut() {
            members.insert("type".to_owned(), json!(name));
            members.insert("sequence_number".to_owned(), json!(self.sequence));
        }
        self.sequence = self.sequence.saturating_add(1);
        self.steps.push(send(event(name, &members)));
    }

    fn response(&self, status: &str) -> Value {
        let mut response = self.frame.clone();
        let is_whole = status == "completed";
        response.insert("status".to_owned(), json!(status));
        response.insert("completed_at".to_owned(), if is_whole { json!(seconds()) } else { Value::Null });
        response.insert("output".to_owned(), json!(self.output));
        response.insert("usage".to_owned(), if is_whole { self.usage() } else { Value::Null });
        Value::Object(response)
    }

    fn logprobs(&self, pieces: &[String]) -> Value {
        let token =
            |piece: &String| json!({ "token": piece, "logprob": -0.25, "bytes": piece.as_bytes(), "top_logprobs": [] });
        let sent = pieces.iter().filter(|_| self.ask.logprobs == Logprobs::Send);
        json!(sent.map(token).collect::<Vec<_>>())
    }

    fn usage(&self) -> Value {
        json!({
            "input_tokens": self.ask.words, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens": self.spent, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": self.ask.words.saturating_add(self.spent),
        })
    }
}

fn message(id: &str, status: &str, content: &Value) -> Value {
    json!({ "id": id, "type": "message", "role": "assistant", "status": status, "content": content })
}

fn part(text: &str, logprobs: &Value) -> Value {
    json!({ "type": "output_text", "annotations": [], "logprobs": logprobs, "text": text })
}
