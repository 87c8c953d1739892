//! Bodies and streams of OpenAI's API, as clients send them and servers answer.
#![expect(clippy::indexing_slicing, reason = "test support: documents are made and changed by their shape")]

use serde_json::{Value, json};

use crate::views::datas;

/// The model that tests ask.
pub const MODEL: &str = "gpt-small";

/// The two APIs for one and the same thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Api {
    Chat,
    Responses,
}

impl Api {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Chat, Self::Responses];

    /// Where it is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
        }
    }

    /// A question; `text` is the JSON of its text, with the quotes.
    #[must_use]
    pub fn question(self, text: &str) -> String {
        match self {
            Self::Chat => format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":{text}}}]}}"#),
            Self::Responses => format!(r#"{{"model":"{MODEL}","input":{text}}}"#),
        }
    }

    /// A question whose answer is to be streamed.
    #[must_use]
    pub fn streamed(self, text: &str) -> String {
        self.question(text).replacen('{', r#"{"stream":true,"#, 1)
    }

    /// A whole answer; `text` is the JSON of its text, with the quotes.
    #[must_use]
    pub fn answer(self, text: &str) -> String {
        match self {
            Self::Chat => format!(
                r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":{text}}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}}}"#
            ),
            Self::Responses => format!(
                r#"{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"{MODEL}","output":[{{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{text},"annotations":[]}}]}}],"usage":{{"input_tokens":9,"output_tokens":12,"total_tokens":21}}}}"#
            ),
        }
    }

    /// An answer as events, one for each delta and those around them.
    #[must_use]
    pub fn events<T: AsRef<str>>(self, deltas: &[T]) -> Vec<String> {
        match self {
            Self::Chat => chat(deltas),
            Self::Responses => responses(deltas),
        }
    }

    /// A call of a tool as events.
    #[must_use]
    pub fn call<T: AsRef<str>>(self, name: &str, arguments: &[T]) -> Vec<String> {
        match self {
            Self::Chat => chat_call(name, arguments),
            Self::Responses => responses_call(name, arguments),
        }
    }

    /// A whole answer that calls a tool.
    #[must_use]
    pub fn calling(self, name: &str, arguments: &str) -> Value {
        match self {
            Self::Chat => json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
                "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                    "role": "assistant", "content": null, "tool_calls": [{
                        "id": "call_1", "type": "function", "function": { "name": name, "arguments": arguments } }] } }],
            }),
            Self::Responses => answered(&[item(name, arguments, "completed")]),
        }
    }

    /// The tools that a question offers, each with one text parameter.
    #[must_use]
    pub fn tools(self, names: &[&str]) -> String {
        let parameters = json!({ "type": "object", "properties": { "to": { "type": "string" } } });
        let tool = |name: &&str| match self {
            Self::Chat => json!({ "type": "function", "function": { "name": name, "parameters": parameters } }),
            Self::Responses => json!({ "type": "function", "name": name, "parameters": parameters, "strict": false }),
        };
        Value::from(names.iter().map(tool).collect::<Vec<_>>()).to_string()
    }

    /// A question that offers tools.
    #[must_use]
    pub fn offering(self, text: &str, names: &[&str]) -> String {
        self.question(text).replacen('{', &format!(r#"{{"tools":{},"#, self.tools(names)), 1)
    }

    /// The text of an answer's first choice, whole or streamed.
    #[must_use]
    pub fn text(self, body: &[u8]) -> String {
        if let Ok(whole) = serde_json::from_slice::<Value>(body) {
            let place = match self {
                Self::Chat => "/choices/0/message/content",
                Self::Responses => "/output/0/content/0/text",
            };
            return whole.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
        }
        let delta = |event: &Value| match self {
            Self::Chat => event.pointer("/choices/0/delta/content").and_then(Value::as_str).map(str::to_owned),
            Self::Responses if event["type"] == "response.output_text.delta" => {
                event["delta"].as_str().map(str::to_owned)
            }
            Self::Responses => None,
        };
        events(body).iter().filter_map(delta).collect()
    }
}

/// The events of a stream that are JSON.
#[must_use]
pub fn events(stream: &[u8]) -> Vec<Value> {
    datas(stream).iter().filter_map(|data| serde_json::from_slice(data).ok()).collect()
}

/// The error in a stream, in either API.
#[must_use]
pub fn error(stream: &[u8]) -> Option<Value> {
    events(stream).into_iter().find_map(|event| event.get("error").filter(|error| error.is_object()).cloned())
}

/// One event without a name.
#[must_use]
pub fn data(document: &Value) -> String {
    format!("data: {document}\n\n")
}

/// One event with its own type as a name.
#[must_use]
pub fn named(document: &Value) -> String {
    format!("event: {}\ndata: {document}\n\n", document["type"].as_str().unwrap_or_default())
}

/// One chunk of a chat completion.
#[must_use]
pub fn chunk(choice: u32, delta: &Value, finish: Option<&str>) -> String {
    data(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
        "choices": [{ "index": choice, "delta": delta, "finish_reason": finish }],
    }))
}

fn chat<T: AsRef<str>>(deltas: &[T]) -> Vec<String> {
    let mut events = vec![chunk(0, &json!({ "role": "assistant", "content": "" }), None)];
    events.extend(deltas.iter().map(|delta| chunk(0, &json!({ "content": delta.as_ref() }), None)));
    events.push(chunk(0, &json!({}), Some("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn chat_call<T: AsRef<str>>(name: &str, arguments: &[T]) -> Vec<String> {
    let function = json!({ "name": name, "arguments": "" });
    let first = json!({ "index": 0, "id": "call_1", "type": "function", "function": function });
    let mut events = vec![chunk(0, &json!({ "role": "assistant", "content": null, "tool_calls": [first] }), None)];
    for piece in arguments {
        let more = json!({ "index": 0, "function": { "arguments": piece.as_ref() } });
        events.push(chunk(0, &json!({ "tool_calls": [more] }), None));
    }
    events.push(chunk(0, &json!({}), Some("tool_calls")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn answered(output: &[Value]) -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": MODEL, "output": output,
        "usage": { "input_tokens": 9, "output_tokens": 12, "total_tokens": 21 },
    })
}

fn item(name: &str, arguments: &str, status: &str) -> Value {
    json!({
        "id": "fc_1", "type": "function_call", "status": status, "call_id": "call_1", "name": name,
        "arguments": arguments,
    })
}

/// Numbers events and names them.
fn numbered(events: Vec<Value>) -> Vec<String> {
    let number = |(place, mut event): (usize, Value)| {
        event["sequence_number"] = json!(place);
        named(&event)
    };
    events.into_iter().enumerate().map(number).collect()
}

fn responses<T: AsRef<str>>(deltas: &[T]) -> Vec<String> {
    let text: String = deltas.iter().map(AsRef::as_ref).collect();
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    let message = |status: &str, content: &[Value]| json!({ "id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content });
    let at = |kind: &str, more: Value| {
        let mut event = json!({ "type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0 });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    };
    let mut begun = answered(&[]);
    begun["status"] = json!("in_progress");
    begun["usage"] = Value::Null;
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": message("in_progress", &[]) }),
        at("response.content_part.added", json!({ "part": part("") })),
    ];
    let delta = |delta: &T| at("response.output_text.delta", json!({ "delta": delta.as_ref(), "logprobs": [] }));
    events.extend(deltas.iter().map(delta));
    let whole = message("completed", &[part(&text)]);
    events.extend([
        at("response.output_text.done", json!({ "text": text, "logprobs": [] })),
        at("response.content_part.done", json!({ "part": part(&text) })),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": whole }),
        json!({ "type": "response.completed", "response": answered(std::slice::from_ref(&whole)) }),
    ]);
    numbered(events)
}

fn responses_call<T: AsRef<str>>(name: &str, arguments: &[T]) -> Vec<String> {
    let text: String = arguments.iter().map(AsRef::as_ref).collect();
    let mut begun = answered(&[]);
    begun["status"] = json!("in_progress");
    begun["usage"] = Value::Null;
    let added = item(name, "", "in_progress");
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": added }),
    ];
    for piece in arguments {
        let kind = "response.function_call_arguments.delta";
        events.push(json!({ "type": kind, "item_id": "fc_1", "output_index": 0, "delta": piece.as_ref() }));
    }
    let kind = "response.function_call_arguments.done";
    let whole = item(name, &text, "completed");
    events.extend([
        json!({ "type": kind, "item_id": "fc_1", "output_index": 0, "arguments": text }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": whole }),
        json!({ "type": "response.completed", "response": answered(std::slice::from_ref(&whole)) }),
    ]);
    numbered(events)
}
