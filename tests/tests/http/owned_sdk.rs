//! Unmodified SDKs where objects belong to who made them.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_tests::http::Request;
use sluice_tests::mock::{Answer, Peer, Told};
use sluice_tests::sdk::Sdk;

use crate::stand::Stand;

/// A broker in front of a server, and the SDKs of somebody.
fn stand(answer: impl Answer) -> Stand {
    Stand::with(answer, "", |api| api.with("objects: owned"), |setup| setup)
}

fn sdk(stand: &Stand, who: &str) -> Sdk {
    let url = format!("http://127.0.0.1:{}/openai/v1", stand.broker.http_port());
    Sdk::new(&url, &stand.broker.token(who, "staff"))
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

/// A model that thinks, asks for a sum, thinks again and answers.
fn thinking() -> impl Answer {
    let turns = AtomicUsize::new(0);
    move |told: &Told, peer: &mut Peer| {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let asked = told.json();
        let mut input = asked["input"].as_array().into_iter().flatten();
        let thought = json!({ "type": "reasoning", "id": format!("rs_{turn}"), "summary": [] });
        let next = if input.any(|item| item["type"] == "function_call_output") {
            json!({ "type": "message", "id": format!("msg_{turn}"), "role": "assistant", "status": "completed",
                    "content": [{ "type": "output_text", "text": "It is 3.", "annotations": [] }] })
        } else {
            json!({ "type": "function_call", "id": format!("fc_{turn}"), "call_id": format!("call_{turn}"),
                    "name": "add", "arguments": "{\"a\":1,\"b\":2}", "status": "completed" })
        };
        respond(told, peer, &format!("resp_{turn}"), &[thought, next]);
    }
}

#[test]
fn the_agents_sdk_goes_on_with_what_its_model_thought() {
    let stand = stand(thinking());
    let said = sdk(&stand, "ann").run("reasoning.py");
    for step in ["whole", "streamed"] {
        assert_eq!(said.step(step)["answer"], "It is 3.", "{step}");
    }
    let brought_back = stand.mock.told().iter().filter(|told| told.json()["input"].to_string().contains("rs_")).count();
    assert_eq!(brought_back, 2);
    // The thoughts of one are nobody else's.
    let body = json!({ "model": "gpt-small", "input": [{ "type": "reasoning", "id": "rs_0", "summary": [] }] });
    let of = |who: &str| Request::post("/openai/v1/responses", &stand.broker.token(who, "staff"), &body.to_string());
    assert_eq!(stand.ask(&of("bob")).status(), 404);
    let _own = stand.ask(&of("ann")).with(200);
    stand.broker.log_is_clean();
}

#[test]
fn containers_of_a_streamed_response_are_known_once_it_tells_of_them() {
    let ran = json!({ "type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "print(1)",
                      "container_id": "cntr_1", "outputs": [] });
    let item = ran.clone();
    let stand = stand(move |told: &Told, peer: &mut Peer| match told.line().split(' ').next() {
        Some("POST") => respond(told, peer, "resp_1", std::slice::from_ref(&item)),
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

/// A server that keeps files, and lists the newest first, in parts.
fn filing() -> impl Answer {
    let files = Mutex::new(Vec::<Value>::new());
    move |told: &Told, peer: &mut Peer| {
        let Ok(mut files) = files.lock() else { return };
        let line = told.line().to_owned();
        if line.starts_with("POST") {
            let file = json!({ "id": format!("file-{:03}", files.len()), "object": "file", "bytes": 1, "created_at": 1,
                               "filename": "a.txt", "purpose": "user_data", "status": "processed" });
            files.insert(0, file.clone());
            return peer.json(&file.to_string());
        }
        let query = line.split(' ').nth(1).and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
        let asked = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name);
        let limit = asked("limit").and_then(|(_, limit)| limit.parse().ok()).unwrap_or(20);
        let begin = asked("after").map_or(0, |(_, id)| files.iter().position(|file| file["id"] == id).unwrap_or(0) + 1);
        let part: Vec<&Value> = files.iter().skip(begin).take(limit).collect();
        let id = |file: Option<&&Value>| file.map_or(Value::Null, |file| file["id"].clone());
        let list = json!({ "object": "list", "data": part, "first_id": id(part.first()), "last_id": id(part.last()),
                           "has_more": files.len() > begin + part.len() });
        peer.json(&list.to_string());
    }
}

#[test]
fn lists_are_whole_however_much_others_have_made() {
    let stand = stand(filing());
    let files = |who: &str, made: &str| sdk(&stand, who).with("SLUICE_MADE", made).run("pages.py");
    let newest_first = |ids: &Value| Value::from_iter(ids.as_array().into_iter().flatten().rev().cloned());
    let old = files("ann", "3").step("made")["ids"].clone();
    let others = files("bob", "150");
    assert_eq!(others.step("listed")["ids"], newest_first(&others.step("made")["ids"]));
    assert_eq!(files("ann", "0").step("listed")["ids"], newest_first(&old));
    let new = files("ann", "1");
    let mut all = newest_first(&new.step("made")["ids"]).as_array().cloned().unwrap_or_default();
    all.extend(newest_first(&old).as_array().cloned().unwrap_or_default());
    assert_eq!(new.step("listed")["ids"], Value::from(all));
    assert_eq!(files("cy", "0").step("listed")["ids"], json!([]));
    stand.broker.log_is_clean();
}
