//! Unmodified SDKs where objects belong to who made them.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::http::Request;
use sluice_tests::mock::{Answer, Peer, Told};

use crate::stand::Stand;

/// A broker in front of a server.
fn stand(answer: impl Answer) -> Stand {
    Stand::with(answer, "", |api| api.with("objects: owned"), |setup| setup)
}

/// Answers with these items, whole or as events.
fn respond(told: &Told, peer: &mut Peer, id: &str, output: &[Value]) {
    let details = json!({ "cached_tokens": 0, "reasoning_tokens": 0 });
    let usage = json!({ "input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
                        "input_tokens_details": details, "output_tokens_details": details });
    let response = |status: &str, output: &[Value]| {
        json!({ "id": id, "object": "response", "created_at": 1, "model": "gpt-small", "status": status,
                "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": usage })
    };
    if told.json()["stream"] != true {
        return peer.json(&response("completed", output).to_string());
    }
    let mut events = vec![json!({ "type": "response.created", "response": response("in_progress", &[]) })];
    for (index, item) in output.iter().enumerate() {
        for kind in ["response.output_item.added", "response.output_item.done"] {
            events.push(json!({ "type": kind, "output_index": index, "item": item }));
        }
    }
    events.push(json!({ "type": "response.completed", "response": response("completed", output) }));
    let numbered = events.iter_mut().enumerate().map(|(number, event)| {
        event["sequence_number"] = json!(number);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    });
    peer.events(&numbered.collect::<Vec<_>>());
}

#[test]
fn containers_of_a_streamed_response_are_known_once_it_tells_of_them() {
    let ran = json!({ "type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "print(1)",
                      "container_id": "cntr_1", "outputs": [] });
    let item = ran.clone();
    let stand = stand(move |told: &Told, peer: &mut Peer| match told.line().split(' ').next() {
        Some("POST") => respond(told, peer, "resp_1", &[item.clone()]),
        _ => peer.json(r#"{"object":"list","data":[],"has_more":false}"#),
    });
    let ask = |who: &str, method: &str, path: &str, body: &str| {
        let token = stand.broker.token(who, "staff");
        let path = format!("/openai/v1{path}");
        let plain = Request::new(method, &path).token(&token);
        stand.ask(&if body.is_empty() { plain } else { Request::post(&path, &token, body) })
    };
    let tools = json!([{ "type": "code_interpreter", "container": { "type": "auto" } }]);
    let body = json!({ "model": "gpt-small", "input": "Run it.", "stream": true, "store": false, "tools": tools });
    let _made = ask("ann", "POST", "/responses", &body.to_string()).with(200);
    let _own = ask("ann", "GET", "/containers/cntr_1/files", "").with(200);
    assert_eq!(ask("bob", "GET", "/containers/cntr_1/files", "").status(), 404);
    let next = json!({ "model": "gpt-small", "input": [{ "role": "user", "content": "Well?" }, ran], "store": false });
    let _own = ask("ann", "POST", "/responses", &next.to_string()).with(200);
    assert_eq!(ask("bob", "POST", "/responses", &next.to_string()).status(), 404);
}
