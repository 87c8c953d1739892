//! What stands below a member that is covered by its name, names included, in every form that it comes in.

use serde_json::{Value, json};
use sluice_tests::api::Api as Target;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::http::Request;
use sluice_tests::mock::{Mock, Peer, Told};
use sluice_tests::openai::{self, Api};

use crate::stand::{STAFF, Stand};

const KEYS: &str = "keys: { \"**.api_key\": [secret.key] }";
/// In no other name and no value.
const SECRET: &str = "KCAN7Q";

/// Values with the secret as the name of a member below a covered one.
fn values() -> Vec<Value> {
    let plain = json!({ "api_key": { SECRET: true, format!("{SECRET}2"): { SECRET: null } } });
    let listed = json!({ "api_key": [[{ SECRET: {} }], 1] });
    let quoted = json!({ "note": plain.to_string(), "more": [listed.to_string()] });
    vec![json!([plain]), plain, listed, quoted]
}

fn members(text: &str) -> usize {
    text.matches("***").count()
}

#[test]
fn names_below_a_covered_member_pass_neither_way() {
    for value in values() {
        let text = value.to_string();
        let forms = [
            ("application/json", text.clone(), 200),
            ("application/x-ndjson", format!("{text}\n{text}\n"), 200),
            ("text/plain", text.clone(), 200),
            ("text/event-stream", format!("data: {text}\n\n"), 415),
        ];
        for (media, body, status) in forms {
            let answer = body.clone();
            let mock = Mock::start(move |_: &Told, peer: &mut Peer| peer.answer("200 OK", media, answer.as_bytes()));
            let target = Target::rest("shop", "prod", mock.port()).with(KEYS);
            let broker = Broker::start(&Setup::http(vec![target], STAFF));
            let token = broker.token("ann", "staff");
            let response = broker.http().ask(&Request::get("/shop/a", &token)).with(200);
            assert!(!response.text().contains(SECRET), "{media}: {}", response.text());
            assert!(members(&response.text()) > 0, "{media}: {}", response.text());
            let _asked = mock.take();
            let request = Request::new("POST", "/shop/a").token(&token).header("Content-Type", media);
            let response = broker.http().ask(&request.body(body.as_bytes()));
            assert_eq!(response.status(), status, "{media}: {}", response.text());
            for told in mock.take() {
                let sent = String::from_utf8_lossy(&told.body).into_owned();
                assert!(!sent.contains(SECRET) && members(&sent) > 0, "{media}: {sent}");
            }
        }
    }
}

/// The events of a chat in which a model calls a tool with these arguments, in pieces.
fn call(arguments: &str) -> Vec<String> {
    let part = |function: Value| json!({ "tool_calls": [{ "index": 0, "function": function }] });
    let first = json!({ "tool_calls": [{ "index": 0, "id": "call_1", "type": "function",
                                         "function": { "name": "look", "arguments": "" } }] });
    let pieces: Vec<char> = arguments.chars().collect();
    let pieces = pieces.chunks(5).map(|piece| part(json!({ "arguments": piece.iter().collect::<String>() })));
    let mut events: Vec<String> =
        std::iter::once(first).chain(pieces).map(|delta| openai::chunk(0, &delta, None)).collect();
    events.push(openai::chunk(0, &json!({}), Some("tool_calls")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

#[test]
fn a_model_shows_and_is_shown_none_of_them() {
    for value in values() {
        let text = value.to_string();
        let said = text.clone();
        let stand = Stand::with(
            move |told: &Told, peer: &mut Peer| {
                if told.json().get("stream") == Some(&Value::Bool(true)) {
                    peer.events(&call(&said));
                } else {
                    peer.json(&Api::Chat.answer(&Value::from(said.as_str()).to_string()));
                }
            },
            "",
            |api| api.with(KEYS),
            |setup| setup,
        );
        for request in [stand.chat(&text), stand.streamed_chat("Hello.")] {
            let response = stand.ask(&request).with(200);
            assert!(!response.text().contains(SECRET), "{}", response.text());
            assert!(members(&response.text()) > 0, "{}", response.text());
        }
        for told in stand.mock.take() {
            let sent = String::from_utf8_lossy(&told.body).into_owned();
            assert!(!sent.contains(SECRET), "{sent}");
        }
    }
}

#[test]
fn a_part_whose_name_says_one_is_not_sent() {
    let stand = Stand::with(|_: &Told, peer: &mut Peer| peer.json("{}"), "", |api| api.with(KEYS), |setup| setup);
    for (name, is_sent) in [("metadata[plain]", true), (&format!("metadata[api_key][{SECRET}]"), false)] {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nHello.\r\n";
        let body = format!("{}{}{file}--x--\r\n", part("purpose", "user_data"), part(name, "1"));
        let request = Request::new("POST", "/openai/v1/files").token(&stand.token);
        let request = request.header("Content-Type", "multipart/form-data; boundary=x");
        let response = stand.ask(&request.body(body.as_bytes()));
        let sent = stand.mock.take();
        assert!(sent.iter().all(|told| !String::from_utf8_lossy(&told.body).contains(SECRET)), "{}", response.text());
        assert!(!is_sent || !sent.is_empty() || response.status() == 400, "{name}: {}", response.text());
    }
}
