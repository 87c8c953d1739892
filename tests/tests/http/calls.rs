//! Calls that a model asks for: each is decided on, wherever it stands.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::{self, Api};

use crate::stand::Stand;

/// Nobody deletes customers, and orders are looked up for the own person only.
const FIREWALL: &str = r#"
@id("nobody-deletes") @message("Customers are not deleted.")
forbid (principal, action == Action::"tool.call", resource)
when { context.tool.destructive };
@id("own-orders") @message("Only your own orders.")
forbid (principal, action == Action::"tool.call", resource == Tool::"openai/lookup_order")
unless { context.tool.args.contains("to=ann") };
"#;

fn stand(answer: impl sluice_tests::mock::Answer) -> Stand {
    Stand::with(answer, FIREWALL, |api| api.with("destructive_tools: [\"delete_*\"]"), |setup| setup)
}

/// The tool and the arguments are what the question's text says: `NAME ARGUMENTS`.
fn obeying(told: &Told, peer: &mut Peer) {
    let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
    let body = told.json();
    let text = body.pointer("/messages/0/content").or_else(|| body.get("input")).and_then(Value::as_str);
    let (name, arguments) = text.and_then(|text| text.split_once(' ')).unwrap_or_default();
    if body["stream"] == true {
        let pieces: Vec<String> = arguments.chars().map(String::from).collect();
        peer.events(&api.call(name, &pieces));
    } else {
        peer.json(&api.calling(name, arguments).to_string());
    }
}

/// The answer to a question that makes the model call a tool.
fn asked(stand: &Stand, api: Api, streamed: &str, name: &str, arguments: &str) -> String {
    let text = Value::from(format!("{name} {arguments}")).to_string();
    let body = api.offering(&text, &["lookup_order", "delete_customer"]).replacen('{', &format!("{{{streamed}"), 1);
    stand.ask(&stand.post(&format!("/openai{}", api.path()), &body)).with(200).text()
}

#[test]
fn calls_are_decided_on_by_name_and_arguments() {
    let stand = stand(obeying);
    let cases = [
        ("lookup_order", r#"{"to":"ann"}"#, None),
        ("lookup_order", r#"{"to":"bob"}"#, Some("own-orders")),
        ("lookup_order", r#"{"to":"bob","To":"ann"}"#, Some("own-orders")),
        ("lookup_order", r#"{"to":["ann"]}"#, Some("own-orders")),
        ("lookup_order", r#"{"to":"\u0061nn"}"#, None),
        ("lookup_order", r#"to=ann"#, Some("own-orders")),
        ("delete_customer", r#"{"to":"ann"}"#, Some("nobody-deletes")),
        ("delete_everything", r#"{}"#, Some("nobody-deletes")),
    ];
    for (name, arguments, refused) in cases {
        for api in Api::BOTH {
            for streamed in ["", "\"stream\":true,"] {
                let text = asked(&stand, api, streamed, name, arguments);
                let what = format!("{name} {arguments}, {api:?}, {streamed}: {text}");
                match refused {
                    Some(rule) => {
                        assert!(text.contains(&format!("refused by policy (rule {rule})")), "{what}");
                        assert!(!text.contains("call_1"), "{what}");
                    }
                    None => assert!(text.contains("call_1") && !text.contains("refused by policy"), "{what}"),
                }
            }
        }
    }
    let recorded = stand.recorded();
    let refusals = recorded.iter().filter(|event| event["event"] == "ruled" && event["verdict"] == "deny").count();
    assert_eq!(refusals, 6 * 4, "{refusals} refusals were recorded");
}

#[test]
fn arguments_with_two_readings_are_refused() {
    let stand = stand(obeying);
    for api in Api::BOTH {
        let text = asked(&stand, api, "", "lookup_order", r#"{"to":"ann","to":"bob"}"#);
        assert!(!text.contains("call_1"), "{api:?}: {text}");
    }
}

#[test]
fn of_two_calls_one_may_be_refused() {
    let call = |index: u32, name: &str, arguments: &str| {
        json!({ "index": index, "id": format!("call_{index}"), "type": "function",
                "function": { "name": name, "arguments": arguments } })
    };
    let calls = [call(0, "lookup_order", r#"{"to":"ann"}"#), call(1, "delete_customer", r#"{"to":"ann"}"#)];
    let whole = json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-small",
        "choices": [{ "index": 0, "finish_reason": "tool_calls",
                      "message": { "role": "assistant", "content": null, "tool_calls": calls } }] });
    let events = vec![
        openai::chunk(0, &json!({ "tool_calls": calls }), None),
        openai::chunk(0, &json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let stand = stand(
        move |told: &Told, peer: &mut Peer| {
            if told.json()["stream"] == true { peer.events(&events) } else { peer.json(&whole.to_string()) }
        },
    );
    for streamed in ["", "\"stream\":true,"] {
        let text = asked(&stand, Api::Chat, streamed, "lookup_order", "{}");
        assert!(text.contains("call_0") && !text.contains("call_1"), "{text}");
        assert!(text.contains("nobody-deletes") && text.contains("\"tool_calls\""), "{text}");
    }
}

#[test]
fn offers_are_decided_on_too() {
    let policy =
        r#"@id("no-shell") forbid (principal, action == Action::"tool.offer", resource == Tool::"openai/shell");"#;
    let stand = Stand::with(obeying, policy, |api| api, |setup| setup);
    let ask = |tools: &str| {
        let body = Api::Responses.question("\"lookup_order {}\"").replacen('{', &format!("{{\"tools\":{tools},"), 1);
        stand.ask(&stand.post("/openai/v1/responses", &body))
    };
    let refused = ask(r#"[{"type":"shell","environment":{"type":"local"}}]"#);
    assert_eq!((refused.status(), refused.code().as_str()), (403, "no-shell"), "{}", refused.text());
    let named = ask(r#"[{"type":"function","name":"shell","parameters":{},"strict":false}]"#);
    assert_eq!(named.status(), 403, "{}", named.text());
    assert!(stand.mock.told().is_empty());
    // A server of tools is told to ask for every call, and not handed a credential.
    let mcp = ask(
        r#"[{"type":"mcp","server_label":"x","server_url":"https://mcp.invalid/","authorization":"tok-123","require_approval":"never"}]"#,
    );
    if mcp.status() == 200 {
        let told = stand.mock.take().pop().unwrap_or_default().json();
        assert_eq!(told.pointer("/tools/0/require_approval"), Some(&json!("always")), "{told}");
        assert_eq!(told.pointer("/tools/0/authorization"), None, "{told}");
    } else {
        assert!(stand.mock.told().is_empty(), "{}", mcp.text());
    }
}

/// A model's side that calls a tool of a namespace.
fn scoped(_: &Told, peer: &mut Peer) {
    let call = json!({ "type": "function_call", "id": "fc", "call_id": "call_1", "namespace": "crm", "name": "look", "arguments": "{}" });
    peer.json(&json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [call] }).to_string());
}

#[test]
fn a_tool_of_a_namespace_goes_by_its_own_name_too() {
    for (rule, refused) in [
        (r#"resource == Tool::"openai/look""#, true),
        (r#"resource == Tool::"openai/crm.look""#, true),
        (r#"resource == Tool::"openai/crm""#, false),
    ] {
        let policy = format!(r#"@id("not-this") forbid (principal, action == Action::"tool.call", {rule});"#);
        let stand = Stand::with(scoped, &policy, |api| api, |setup| setup);
        let text = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.question("\"x\""))).with(200).text();
        assert_eq!(text.contains("(rule not-this)"), refused, "{rule}: {text}");
        assert_eq!(text.contains("call_1"), !refused, "{rule}: {text}");
    }
    let fact = r#"context.tool.name == "look" && context.tool.scope == "crm""#;
    let policy =
        format!(r#"@id("not-this") forbid (principal, action == Action::"tool.call", resource) when {{ {fact} }};"#);
    let stand = Stand::with(scoped, &policy, |api| api, |setup| setup);
    let text = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.question("\"x\""))).with(200).text();
    assert!(text.contains("(rule not-this)") && !text.contains("call_1"), "{text}");
}

#[test]
fn a_call_that_reads_in_two_ways_is_refused() {
    let body = |call: Value| {
        json!({ "id": "c", "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "tool_calls",
            "message": { "role": "assistant", "content": null, "tool_calls": call } }] })
    };
    let function = json!({ "name": "look", "arguments": "{}" });
    let custom = json!({ "name": "delete_customer", "input": "x" });
    for (calls, status) in [
        (json!([{ "id": "call_1", "type": "custom", "function": function, "custom": custom }]), 200),
        (json!({ "0": { "id": "call_1", "type": "function", "function": function } }), 502),
    ] {
        let answer = body(calls).to_string();
        let stand = stand(move |_: &Told, peer: &mut Peer| peer.json(&answer));
        let text = stand.ask(&stand.chat("x")).with(status).text();
        assert!(!text.contains("call_1") && !text.contains("delete_customer"), "{text}");
    }
}
