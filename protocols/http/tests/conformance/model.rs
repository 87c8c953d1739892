//! A server of the OpenAI API small enough to be played: the last words of a request say what it answers.

use serde_json::{Value, json};
use sluice_wire::conformance::{CANARY, Server};

use crate::rest::{Asked, address, answer, stream, take_request};

/// Answers in the form in which the product sends answers on.
#[derive(Default)]
pub(crate) struct Model {
    unread: Vec<u8>,
}

impl Server for Model {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(asked) = take_request(&mut self.unread) {
            said.extend(respond(&asked));
        }
        said
    }
}

fn respond(asked: &Asked) -> Vec<u8> {
    let (path, _) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let wish = wish(&body);
    let streams = body["stream"] == true;
    let json = |body: Value| answer(200, "application/json", body.to_string());
    match path {
        _ if wish == "silence" => Vec::new(),
        _ if wish == "fail" => fail(),
        "/chat/completions" if streams => stream("text/event-stream", chat_events(&wish)),
        "/chat/completions" => json(chat(&wish)),
        "/responses" if streams => stream("text/event-stream", response_events(&wish)),
        "/responses" => json(response("completed", &json!([item(&wish)]))),
        "/embeddings" => json(json!({ "object": "list", "data": [{ "object": "embedding", "index": 0,
            "embedding": [0.25, -1.5] }], "model": "gpt-5", "usage": { "prompt_tokens": 3, "total_tokens": 3 } })),
        "/images/generations" => stream("text/event-stream", image_events()),
        "/audio/transcriptions" => json(json!({ "text": format!("write to {}", address()) })),
        "/files/file-1/content" => answer(200, "application/octet-stream", b"\x00\xff\x7f"),
        "/files/file-2/content" => answer(200, "text/plain", format!("write to {}\n", address())),
        "/files" if asked.method == "GET" => {
            json(json!({ "object": "list", "data": [{ "id": "file-1" }, { "id": "file-2", "filename": address() }] }))
        }
        "/files" => json(json!({ "id": "file-1", "object": "file", "filename": address() })),
        "/models" => json(json!({ "object": "list", "data": [{ "id": "gpt-5", "object": "model" }] })),
        _ => json(json!({ "id": "x", "deleted": true })),
    }
}

fn fail() -> Vec<u8> {
    let error = json!({ "message": format!("no such user: {}", address()), "type": "invalid_request_error",
        "param": address(), "code": null });
    answer(400, "application/json", json!({ "error": error }).to_string())
}

/// The last words of a request.
fn wish(body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    let words = last.map_or(&body["input"], |message| &message["content"]);
    words.as_str().unwrap_or_default().to_owned()
}

/// The words of an answer, in pieces.
fn pieces(wish: &str) -> Vec<String> {
    let text = format!("Write to {} now.", address());
    // `cut 3`: in two, the second of which begins with that character of the address.
    let cut = wish.strip_prefix("cut ").and_then(|at| at.parse::<usize>().ok());
    let cut = cut.and_then(|at| text.split_at_checked("Write to ".len().saturating_add(at)));
    match cut {
        Some((one, other)) => vec![one.to_owned(), other.to_owned()],
        _ if wish == "letters" => text.chars().map(String::from).collect(),
        _ if wish == "document" => {
            let document = json!({ "mail": address(), "secret": CANARY }).to_string();
            document.as_bytes().chunks(5).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
        }
        _ => vec!["Hello".to_owned(), " there.".to_owned()],
    }
}

/// What a call is of: a tool, or an address where that is masked.
fn name(wish: &str) -> String {
    if wish == "mail as a name" { address() } else { "send_mail".to_owned() }
}

/// What a call hands over: the canary, or an address where it is masked.
fn arguments(wish: &str) -> String {
    let to = if wish.starts_with("mail") { address() } else { CANARY.to_owned() };
    json!({ "to": to, "n": [1, 2] }).to_string()
}

fn calls(wish: &str) -> bool {
    wish.starts_with("call") || wish.starts_with("mail")
}

fn chat(wish: &str) -> Value {
    let name = name(wish);
    let call = json!({ "id": name, "type": "function", "function": { "name": name, "arguments": arguments(wish) } });
    let (message, reason) = match wish {
        "call as before" => {
            let call = json!({ "name": "send_mail", "arguments": arguments(wish) });
            (json!({ "role": "assistant", "content": null, "function_call": call }), "function_call")
        }
        "call freely" => {
            let call = json!({ "id": "call_1", "type": "custom", "custom": { "name": "shell", "input": CANARY } });
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
        }
        _ if calls(wish) => (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls"),
        _ => (json!({ "role": "assistant", "content": pieces(wish).concat() }), "stop"),
    };
    json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5",
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 } })
}

/// Events without names, one a line.
fn unnamed(events: impl IntoIterator<Item = Value>) -> String {
    events.into_iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// What `delta` is in a chunk, with nothing else in it; members in the order in which chunks are made.
fn chunk(choices: &str) -> String {
    let head = r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5""#;
    format!("data: {{{head},\"choices\":[{choices}]}}\n\n")
}

fn delta(delta: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}"#))
}

fn chat_events(wish: &str) -> String {
    let mut events = delta(r#"{"role":"assistant","content":""}"#);
    let mut reason = "stop";
    if calls(wish) {
        let arguments = json!(arguments(wish));
        let name = name(wish);
        let call = format!(r#""type":"function","function":{{"name":"{name}","arguments":{arguments}}}"#);
        match wish {
            "call as before" => {
                events += &delta(&format!(r#"{{"function_call":{{"name":"send_mail","arguments":{arguments}}}}}"#));
            }
            "call twice" | "mail in pieces" => {
                let (name, text) = (r#"{"name":"send_mail","arguments":""}"#, arguments.as_str().unwrap());
                for index in 0..2 {
                    let first =
                        format!(r#"{{"index":{index},"id":"call_{index}","type":"function","function":{name}}}"#);
                    events += &delta(&format!(r#"{{"tool_calls":[{first}]}}"#));
                    for piece in text.as_bytes().chunks(3) {
                        let piece = json!(String::from_utf8_lossy(piece));
                        let piece = format!(r#"{{"index":{index},"function":{{"arguments":{piece}}}}}"#);
                        events += &delta(&format!(r#"{{"tool_calls":[{piece}]}}"#));
                    }
                }
            }
            _ => events += &delta(&format!(r#"{{"tool_calls":[{{"index":0,"id":"{name}",{call}}}]}}"#)),
        }
        reason = "tool_calls";
    } else {
        for piece in pieces(wish) {
            events += &delta(&json!({ "content": piece }).to_string());
        }
    }
    events += &chunk(&format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}"#));
    events += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":12}}\n\n";
    events + "data: [DONE]\n\n"
}

/// What a response puts out: a call of any sort, or a message.
fn item(wish: &str) -> Value {
    let arguments = arguments(wish);
    match wish {
        "call freely" => {
            json!({ "id": "i", "type": "custom_tool_call", "call_id": "c", "name": "run", "input": CANARY })
        }
        "call a shell" => {
            json!({ "id": "i", "type": "shell_call", "call_id": "c", "action": { "commands": [CANARY] } })
        }
        "call for a patch" => {
            json!({ "id": "i", "type": "apply_patch_call", "call_id": "c", "operation": { "diff": CANARY } })
        }
        "call a remote tool" => json!({ "id": "i", "type": "mcp_approval_request", "server_label": "s", "name": "t",
            "arguments": arguments }),
        _ if calls(wish) => json!({ "id": "i", "type": "function_call", "status": "completed", "arguments": arguments,
            "call_id": name(wish), "name": name(wish) }),
        _ => json!({ "id": "m", "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": pieces(wish).concat(), "annotations": [] }] }),
    }
}

fn response(status: &str, output: &Value) -> Value {
    json!({ "id": "resp_1", "object": "response", "status": status, "model": "gpt-5", "output": output,
        "usage": { "input_tokens": 4, "output_tokens": 6, "total_tokens": 10 } })
}

/// Named events with numbers.
fn numbered(events: Vec<Value>) -> String {
    let event = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = number.into();
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    };
    events.into_iter().enumerate().map(event).collect()
}

fn response_events(wish: &str) -> String {
    let whole = item(wish);
    let created = json!({ "type": "response.created", "response": response("in_progress", &json!([])) });
    let done = json!({ "type": "response.output_item.done", "output_index": 0, "item": whole });
    let completed = json!({ "type": "response.completed", "response": response("completed", &json!([whole])) });
    let mut opened = whole.clone();
    let mut events = vec![created];
    if calls(wish) {
        let text = arguments(wish);
        if whole["type"] == "function_call" {
            opened["arguments"] = "".into();
            opened["status"] = "in_progress".into();
        }
        events.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": opened }));
        if whole["type"] == "function_call" {
            let kind = |end: &str| format!("response.function_call_arguments.{end}");
            let at = json!({ "type": kind("delta"), "item_id": "i", "output_index": 0, "delta": text });
            events.push(at);
            let at = json!({ "type": kind("done"), "item_id": "i", "output_index": 0, "arguments": text });
            events.push(at);
        }
    } else {
        opened["content"] = json!([]);
        opened["status"] = "in_progress".into();
        events.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": opened }));
        for piece in pieces(wish) {
            events.push(json!({ "type": "response.output_text.delta", "item_id": "m", "output_index": 0,
                "content_index": 0, "delta": piece, "logprobs": [{ "token": piece, "logprob": -1 }] }));
        }
        events.push(json!({ "type": "response.output_text.done", "item_id": "m", "output_index": 0,
            "content_index": 0, "text": pieces(wish).concat() }));
    }
    events.extend([done, completed]);
    numbered(events)
}

fn image_events() -> String {
    let part = json!({ "type": "image_generation.partial_image", "b64_json": "aGk=", "partial_image_index": 0 });
    let usage = json!({ "input_tokens": 2, "output_tokens": 3, "total_tokens": 5 });
    unnamed([part, json!({ "type": "image_generation.completed", "b64_json": "aGkh", "usage": usage })])
}
