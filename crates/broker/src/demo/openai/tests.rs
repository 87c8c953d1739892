//! The stand-in, asked over HTTP.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::FakeOpenAi;

const KEY: &str = "sk-demo-tests";

async fn ask(fake: &FakeOpenAi, method: &str, path: &str, body: &Value) -> (u16, String) {
    ask_as(fake, KEY, method, path, body).await
}

async fn ask_as(fake: &FakeOpenAi, key: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
    let stream = TcpStream::connect(("127.0.0.1", fake.port())).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let mut text = Vec::new();
    let mut body = answer.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend(frame.into_data().unwrap_or_default());
    }
    drop(sender);
    connection.abort();
    (status, String::from_utf8(text).unwrap())
}

/// The documents of the `data:` lines, without `[DONE]`.
fn documents(stream: &str) -> Vec<Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]");
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tools() -> Value {
    let function = |name: &str| json!({ "type": "function", "name": name, "parameters": {} });
    json!(["query_database", "lookup_order", "delete_customer"].map(function))
}

#[tokio::test]
async fn strangers_get_nowhere_and_are_written_down() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let (status, said) = ask_as(&fake, "sk-demo-other", "GET", "/v1/models", &Value::Null).await;
    assert_eq!(status, 401);
    assert!(said.contains("invalid_api_key"), "{said}");
    let (status, said) = ask(&fake, "GET", "/v1/models", &Value::Null).await;
    assert_eq!(status, 200);
    assert!(said.contains("gpt-demo"), "{said}");
    assert_eq!(ask(&fake, "GET", "/v1/files", &Value::Null).await.0, 404);
    assert_eq!(ask(&fake, "POST", "/v1/responses", &json!("nonsense")).await.0, 400);
    let seen = fake.requests();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen.first().unwrap().authorization.as_deref(), Some("Bearer sk-demo-other"));
    assert_eq!((seen.last().unwrap().method.as_str(), seen.last().unwrap().path.as_str()), ("POST", "/v1/responses"));
    fake.stop().await;
}

#[tokio::test]
async fn a_response_tells_its_text_in_order_and_is_there_later() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let text = "Write to zq7x.k1@leak.example.com, 900-55-0001.";
    let body = json!({ "model": "gpt-demo", "input": format!("Repeat: {text}"), "stream": true });
    let (status, stream) = ask(&fake, "POST", "/v1/responses", &body).await;
    assert_eq!(status, 200);
    let events = documents(&stream);
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let deltas = kinds.iter().filter(|kind| **kind == "response.output_text.delta").count();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert!(deltas > 8, "{deltas} deltas");
    assert!(events.iter().enumerate().all(|(place, event)| event["sequence_number"] == json!(place)));
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(said, text);
    assert!(
        !events.iter().any(|event| event["delta"].as_str().is_some_and(|delta| delta.contains('@') && delta.len() > 7))
    );
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], text);
    assert_eq!(
        last["usage"],
        json!({
            "input_tokens": 5, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens": 4, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 9,
        })
    );
    let path = format!("/v1/responses/{}", last["id"].as_str().unwrap());
    assert_eq!(ask(&fake, "GET", &path, &Value::Null).await.1, last.to_string());
    assert_eq!(ask(&fake, "DELETE", &path, &Value::Null).await.0, 200);
    assert_eq!(ask(&fake, "GET", &path, &Value::Null).await.0, 404);
    fake.stop().await;
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_told() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let question = json!({ "role": "user", "content": "What is in order 10?" });
    let body = json!({ "model": "gpt-demo", "input": [question], "tools": tools(), "stream": true });
    let events = documents(&ask(&fake, "POST", "/v1/responses", &body).await.1);
    let call = &events.last().unwrap()["response"]["output"][0];
    assert_eq!((call["name"].as_str(), call["arguments"].as_str()), (Some("lookup_order"), Some(r#"{"order_id":10}"#)));
    let told: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(told, r#"{"order_id":10}"#);
    let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "a walnut desk" });
    let body = json!({ "model": "gpt-demo", "input": [question, call, result], "tools": tools() });
    let (_, said) = ask(&fake, "POST", "/v1/responses", &body).await;
    assert!(said.contains("This is what I found: a walnut desk"), "{said}");
    fake.stop().await;
}

#[tokio::test]
async fn a_chat_completion_streams_its_choices() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let messages = json!([{ "role": "user", "content": [{ "type": "text", "text": "repeat: one two three" }] }]);
    let body = json!({
        "model": "gpt-demo", "messages": messages, "n": 2, "stream": true, "stream_options": { "include_usage": true },
    });
    let (_, stream) = ask(&fake, "POST", "/v1/chat/completions", &body).await;
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
    let chunks = documents(&stream);
    for index in 0..2 {
        let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
        let ours: Vec<&Value> = choices.filter(|choice| choice["index"] == json!(index)).collect();
        let said: String = ours.iter().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
        assert_eq!(said, "one two three");
        assert_eq!(ours.last().unwrap()["finish_reason"], "stop");
    }
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 6);
    let (_, whole) = ask(&fake, "POST", "/v1/chat/completions", &json!({ "model": "m", "messages": messages })).await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
    fake.stop().await;
}

#[tokio::test]
async fn a_chat_completion_calls_tools() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let tools: Vec<Value> =
        tools().as_array().unwrap().iter().map(|tool| json!({ "type": "function", "function": tool })).collect();
    let messages = json!([{ "role": "user", "content": "Show order 10 and delete customer Bao Tran" }]);
    let mut body = json!({ "model": "gpt-demo", "messages": messages, "tools": tools });
    let whole: Value = serde_json::from_str(&ask(&fake, "POST", "/v1/chat/completions", &body).await.1).unwrap();
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
    body["stream"] = json!(true);
    let chunks = documents(&ask(&fake, "POST", "/v1/chat/completions", &body).await.1);
    for (index, call) in calls.iter().enumerate() {
        let deltas = chunks.iter().flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
        let ours: Vec<&Value> = deltas.filter(|delta| delta["index"] == json!(index)).collect();
        assert_eq!(ours.first().unwrap()["function"]["name"], call["function"]["name"]);
        let arguments: String = ours.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
        assert_eq!(json!(arguments), call["function"]["arguments"]);
    }
    assert_eq!(calls.len(), 2);
    fake.stop().await;
}

#[tokio::test]
async fn failures_come_as_asked() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let (status, said) = ask(&fake, "POST", "/v1/responses", &json!({ "model": "m", "input": "fail with 503" })).await;
    assert_eq!(status, 503);
    assert!(said.contains("server_error"), "{said}");
    let body = json!({ "model": "m", "input": "fail half-way", "stream": true });
    let events = documents(&ask(&fake, "POST", "/v1/responses", &body).await.1);
    assert_eq!(events.last().unwrap()["type"], "error");
    let messages = json!([{ "role": "user", "content": "hang up half-way" }]);
    let body = json!({ "model": "m", "messages": messages, "stream": true });
    let (status, stream) = ask(&fake, "POST", "/v1/chat/completions", &body).await;
    assert!(status == 200 && !stream.contains("[DONE]"), "{stream}");
    fake.stop().await;
}

#[tokio::test]
async fn embeddings_depend_on_the_text_alone() {
    let fake = FakeOpenAi::start(KEY).await.unwrap();
    let body = json!({ "model": "text-embedding-demo", "input": ["a b", "c"], "dimensions": 4 });
    let (_, first) = ask(&fake, "POST", "/v1/embeddings", &body).await;
    assert_eq!(first, ask(&fake, "POST", "/v1/embeddings", &body).await.1);
    let document: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(document["data"][0]["embedding"].as_array().unwrap().len(), 4);
    assert_ne!(document["data"][0]["embedding"], document["data"][1]["embedding"]);
    assert_eq!(document["usage"]["total_tokens"], 3);
    fake.stop().await;
}
