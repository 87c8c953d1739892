//! Streams that a client goes on with: what is covered is covered wherever it begins to hear.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::mock::{Peer, Told};

use crate::stand::Stand;

const SECRET: &str = "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3";

/// What the model says, in pieces that cut every value.
const SAID: [&str; 12] = [
    "the key is ",
    "sk",
    "-proj-",
    "Ab1Cd2Ef3Gh4Ij5Kl6",
    "Mn7Op8Qr9St0Uv1Wx2Yz3",
    ", number ",
    "900",
    "-55",
    "-0001",
    " and mail zq7x.k1@le",
    "ak.example.com",
    ".",
];

/// The events of a response, numbered from zero.
fn events() -> Vec<Value> {
    let text = SAID.concat();
    let place = json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0 });
    let message = json!({ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] });
    let call = json!({ "id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}" });
    let opened = json!({ "id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": "" });
    let response = json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [message, call] });
    let at = |kind: &str, member: &str, value: Value| {
        let mut event = json!({ "type": kind, "output_index": 0 });
        if kind.starts_with("response.output_text") {
            event = place.clone();
            event["type"] = kind.into();
        }
        event[member] = value;
        event
    };
    let mut events = vec![json!({ "type": "response.created", "response": { "id": "resp_1", "object": "response" } })];
    events.push(at("response.output_item.added", "item", json!({ "id": "msg_1", "type": "message", "content": [] })));
    events.extend(SAID.iter().map(|piece| at("response.output_text.delta", "delta", (*piece).into())));
    events.push(at("response.output_text.done", "text", text.into()));
    events.push(at("response.output_item.done", "item", message));
    let of_call = |mut event: Value| {
        event["output_index"] = 1.into();
        event
    };
    events.push(of_call(at("response.output_item.added", "item", opened)));
    events.push(of_call(at("response.function_call_arguments.delta", "delta", "{".into())));
    events.push(of_call(at("response.function_call_arguments.delta", "delta", "}".into())));
    events.push(of_call(at("response.function_call_arguments.done", "arguments", "{}".into())));
    events.push(of_call(at("response.output_item.done", "item", call)));
    events.push(json!({ "type": "response.completed", "response": response }));
    let number = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = number.into();
        event
    };
    events.into_iter().enumerate().map(number).collect()
}

/// A server that goes on after the number that it is told.
fn resuming(told: &Told, peer: &mut Peer) {
    let after = told.line().split_once("starting_after=").and_then(|(_, rest)| rest.split([' ', '&']).next());
    let after = after.and_then(|number| number.parse().ok()).unwrap_or(-1_i64);
    let events = events().into_iter().filter(|event| event["sequence_number"].as_i64() > Some(after));
    let frames: Vec<String> = events
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect();
    peer.events(&frames);
}

fn heard(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// What was said in pieces from the event with that number on.
fn said(events: &[Value], after: i64) -> String {
    let later = events.iter().filter(|event| event["sequence_number"].as_i64() > Some(after));
    later.filter_map(|event| event["delta"].as_str()).collect()
}

#[test]
fn a_stream_that_is_gone_on_with_says_what_it_said_the_first_time() {
    let stand = Stand::open(resuming);
    let ask = |query: &str| {
        stand.ask(&stand.get(&format!("/openai/v1/responses/resp_1?stream=true{query}"))).with(200).text()
    };
    let whole = heard(&ask(""));
    let numbers: Vec<i64> = whole.iter().filter_map(|event| event["sequence_number"].as_i64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(!said(&whole, -1).contains("zq7x") && said(&whole, -1).contains("the key is "), "{whole:?}");
    for after in -1..=numbers.last().copied().unwrap_or_default() {
        let text = ask(&format!("&starting_after={after}"));
        let rest = heard(&text);
        let expected: Vec<&Value> =
            whole.iter().filter(|event| event["sequence_number"].as_i64() > Some(after)).collect();
        assert_eq!(rest.iter().collect::<Vec<_>>(), expected, "after {after}");
        for piece in ["Ab1Cd2", "Mn7Op8", SECRET, "-55", "-0001", "zq7x", "ak.example.com"] {
            assert!(!text.contains(piece), "{piece} after {after}: {text}");
        }
    }
    let told = stand.mock.take();
    assert!(told.iter().all(|told| !told.line().contains("starting_after")), "the server begins at the start");
}

#[test]
fn a_number_that_is_none_is_refused() {
    let stand = Stand::open(resuming);
    for query in ["starting_after=x", "starting_after=", "starting_after=1&starting_after=2"] {
        let refused = stand.ask(&stand.get(&format!("/openai/v1/responses/resp_1?stream=true&{query}")));
        assert_eq!(refused.status(), 400, "{query}: {}", refused.text());
    }
    assert!(stand.mock.told().is_empty());
}
