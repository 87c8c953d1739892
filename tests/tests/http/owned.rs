//! Objects of a shared key: who made one may use it, others are told that there is none.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::Api;

use crate::stand::Stand;

/// An API that has whatever it is asked for, and makes objects with ids of the asker's choice.
fn keeping(told: &Told, peer: &mut Peer) {
    let line = told.line().to_owned();
    let (method, path) = line.split_once(' ').unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let wanted = told.json()["metadata"]["id"].as_str().unwrap_or("resp_x").to_owned();
    match (method, path) {
        ("POST", "/v1/responses") => {
            let answer = Api::Responses.answer("\"Fine.\"").replace("resp_1", &wanted);
            if told.json()["stream"] == true {
                let events = Api::Responses.events(&["Fine."]);
                let events: Vec<String> = events.iter().map(|event| event.replace("resp_1", &wanted)).collect();
                peer.events(&events);
            } else {
                peer.json(&answer);
            }
        }
        ("POST", "/v1/conversations") => {
            peer.json(&json!({ "id": wanted, "object": "conversation", "created_at": 1, "metadata": {} }).to_string());
        }
        ("GET", "/v1/files") => {
            let file = |id: &str| {
                json!({ "id": id, "object": "file", "bytes": 1, "created_at": 1,
                                          "filename": "a.txt", "purpose": "assistants" })
            };
            let list = json!({ "object": "list", "data": [file("file-1"), file("file-2")], "has_more": false,
                               "first_id": "file-1", "last_id": "file-2" });
            peer.json(&list.to_string());
        }
        ("POST", "/v1/fine_tuning/jobs") => {
            peer.json(&json!({ "id": wanted, "object": "fine_tuning.job", "result_files": [] }).to_string());
        }
        ("GET", "/v1/fine_tuning/jobs") => {
            let job = |id: &str, file: &str| json!({ "id": id, "object": "fine_tuning.job", "result_files": [file] });
            let data = [job("ftjob-ann", "file-ann"), job("ftjob-bob", "file-bob"), job("ftjob-x", "file-x")];
            peer.json(&json!({ "object": "list", "data": data, "has_more": false }).to_string());
        }
        ("DELETE", _) => peer.json(r#"{"id":"resp_1","object":"response","deleted":true}"#),
        (_, path) => {
            let id = path.rsplit('/').next().unwrap_or_default();
            peer.json(&Api::Responses.answer("\"Fine.\"").replace("resp_1", id));
        }
    }
}

fn stand() -> Stand {
    Stand::with(keeping, "", |api| api.with("objects: owned"), |setup| setup)
}

/// As somebody.
fn ask(stand: &Stand, who: &str, method: &str, path: &str, body: &str) -> Response {
    let token = stand.broker.token(who, "staff");
    let path = format!("/openai/v1{path}");
    let request =
        if body.is_empty() { Request::new(method, &path).token(&token) } else { Request::post(&path, &token, body) };
    stand.ask(&request)
}

fn making(id: &str, more: &str) -> String {
    format!(r#"{{"model":"gpt-small","input":"Hello.","metadata":{{"id":"{id}"}}{more}}}"#)
}

#[test]
fn a_response_belongs_to_who_asked_for_it() {
    let stand = stand();
    for (id, more) in [("resp_whole", ""), ("resp_streamed", r#","stream":true"#)] {
        let _made = ask(&stand, "ann", "POST", "/responses", &making(id, more)).with(200);
        let _own = ask(&stand, "ann", "GET", &format!("/responses/{id}"), "").with(200);
        let told = stand.mock.take().len();
        assert_eq!(told, 2);
        for (method, path) in [
            ("GET", format!("/responses/{id}")),
            ("GET", format!("/responses/{id}/input_items")),
            ("DELETE", format!("/responses/{id}")),
        ] {
            let other = ask(&stand, "bob", method, &path, "");
            assert_eq!(other.status(), 404, "{method} {path}: {}", other.text());
        }
        // Nor may it be gone on with.
        let more = format!(r#","previous_response_id":"{id}""#);
        let other = ask(&stand, "bob", "POST", "/responses", &making("resp_other", &more));
        assert_eq!(other.status(), 404, "{}", other.text());
        assert!(stand.mock.take().is_empty());
        let _own = ask(&stand, "ann", "POST", "/responses", &making("resp_more", &more)).with(200);
        let _counted = stand.mock.take();
    }
    // What nobody is known to have made belongs to nobody, and reads the same.
    let unknown = ask(&stand, "ann", "GET", "/responses/resp_unknown", "");
    let others = ask(&stand, "bob", "GET", "/responses/resp_whole", "");
    let words = |response: &Response| {
        let mut error = response.json()["error"].clone();
        error["decision"] = Value::Null;
        error
    };
    assert_eq!((unknown.status(), words(&unknown)), (others.status(), words(&others)));
}

#[test]
fn a_conversation_belongs_to_who_began_it() {
    let stand = stand();
    let body = r#"{"metadata":{"id":"conv_1"}}"#;
    let _made = ask(&stand, "ann", "POST", "/conversations", body).with(200);
    let _own = ask(&stand, "ann", "GET", "/conversations/conv_1", "").with(200);
    assert_eq!(ask(&stand, "bob", "GET", "/conversations/conv_1", "").status(), 404);
    let more = r#","conversation":"conv_1""#;
    assert_eq!(ask(&stand, "bob", "POST", "/responses", &making("resp_2", more)).status(), 404);
    let _own = ask(&stand, "ann", "POST", "/responses", &making("resp_2", more)).with(200);
}

#[test]
fn lists_show_ones_own() {
    let stand = stand();
    let listed = ask(&stand, "ann", "GET", "/files", "").with(200).json();
    assert_eq!(listed["data"], json!([]), "{listed}");
    assert!(!listed.to_string().contains("file-1"), "{listed}");
}

#[test]
fn a_list_gives_nobody_what_others_items_tell_of() {
    let stand = stand();
    for (who, job) in [("ann", "ftjob-ann"), ("bob", "ftjob-bob")] {
        let body = format!(r#"{{"model":"gpt-small","metadata":{{"id":"{job}"}}}}"#);
        let _made = ask(&stand, who, "POST", "/fine_tuning/jobs", &body).with(200);
    }
    for (who, own) in [("ann", "ann"), ("bob", "bob")] {
        let listed = ask(&stand, who, "GET", "/fine_tuning/jobs", "").with(200).json();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!(listed["data"][0]["id"], json!(format!("ftjob-{own}")));
    }
    for (who, file, status) in [
        ("ann", "file-bob", 404),
        ("ann", "file-x", 404),
        ("ann", "file-ann", 200),
        ("bob", "file-ann", 404),
        ("bob", "file-bob", 200),
    ] {
        let content = ask(&stand, who, "GET", &format!("/files/{file}/content"), "");
        assert_eq!(content.status(), status, "{who} {file}: {}", content.text());
    }
}

#[test]
fn what_was_made_is_known_after_a_restart() {
    let mut stand = stand();
    let _made = ask(&stand, "ann", "POST", "/responses", &making("resp_kept", "")).with(200);
    stand.broker.kill();
    stand.broker.restart();
    let _own = ask(&stand, "ann", "GET", "/responses/resp_kept", "").with(200);
    assert_eq!(ask(&stand, "bob", "GET", "/responses/resp_kept", "").status(), 404);
}

#[test]
fn an_agents_objects_are_its_own() {
    let stand = stand();
    let token = stand.broker.mint(&["--user", "ann", "--group", "staff", "--agent", "robo", "--agent-group", "staff"]);
    let request = Request::post("/openai/v1/responses", &token, &making("resp_robo", ""));
    let _made = stand.ask(&request).with(200);
    let _own = stand.ask(&Request::get("/openai/v1/responses/resp_robo", &token)).with(200);
    assert_eq!(ask(&stand, "bob", "GET", "/responses/resp_robo", "").status(), 404);
}

#[test]
fn shared_objects_are_shared() {
    let stand = Stand::open(keeping);
    let _made = ask(&stand, "ann", "POST", "/responses", &making("resp_shared", "")).with(200);
    let _others = ask(&stand, "bob", "GET", "/responses/resp_shared", "").with(200);
}
