//! Sessions of agents that the vendor runs: their streams, what they wait for, and what is said to them.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai;
use sluice_tests::sdk::Sdk;

use crate::stand::Stand;

const POLICY: &str = r#"
@id("nobody-deletes") @message("Customers are not deleted.")
forbid (principal, action == Action::"tool.call", resource) when { context.tool.name like "delete_*" };
@id("no-bank") @message("Not there.")
forbid (principal, action == Action::"tool.call", resource == Tool::"openai/computer_use.browser_origin_access");
@id("people-approve") @message("Agents do not approve.")
forbid (principal, action, resource) when { context has llm && context.llm.approves > 0 };
@id("known-hosts") @message("Not there.")
forbid (principal, action, resource)
when { context has llm && !(["good.example.com"].containsAll(context.llm.hosts)) };
"#;

const EMAIL: &str = "zq7x.k1@leak.example.com";

fn session(actions: &Value) -> Value {
    json!({ "id": "as_1", "object": "agent.session", "status": if actions == &json!([]) { "idle" } else { "requires_action" },
            "required_actions": actions, "created_at": 1, "last_active_at": 1, "metadata": {}, "vault_ids": [],
            "agent": { "id": "ag_1", "model": "gpt-small", "tools": [] }, "environment": { "type": "none" } })
}

/// A turn in which the agent has a tool called and says something.
fn turn(tool: &str) -> Vec<String> {
    let turn = json!({ "id": "t_1", "object": "agent.session.turn", "status": "in_progress", "subagent_id": null });
    let call = json!({ "id": "fc_1", "type": "function_call", "name": tool, "call_id": "c_1", "turn_id": "t_1",
                       "status": "in_progress", "arguments": { "to": "ann" } });
    let (head, tail) = EMAIL.split_at(7);
    let at = json!({ "item_id": "m_1", "output_index": 1, "content_index": 0 });
    let delta = |text: &str| ("agent.session.turn.output_text.delta", json!({ "delta": text }), &at);
    let nowhere = Value::Null;
    let events = [
        ("agent.session.turn.created", json!({ "turn": turn }), &nowhere),
        ("agent.session.turn.item.added", json!({ "item": call, "output_index": 0 }), &nowhere),
        delta("Write to "),
        delta(head),
        delta(tail),
        ("agent.session.turn.output_text.done", json!({ "text": format!("Write to {EMAIL}") }), &at),
        ("agent.session.turn.completed", json!({ "turn": turn }), &nowhere),
        ("agent.session.idle", json!({ "session": session(&json!([])) }), &nowhere),
    ];
    let ids = 1..;
    let whole = |((kind, more, at), id): ((&str, Value, &Value), u32)| {
        let mut event = json!({ "type": kind, "event_id": format!("e_{id}"), "session_id": "as_1", "turn_id": "t_1" });
        for part in [&more, at].into_iter().filter_map(Value::as_object) {
            part.iter().for_each(|(name, value)| event[name] = value.clone());
        }
        openai::named(&event)
    };
    events.into_iter().zip(ids).map(whole).collect()
}

/// A server of one session, whose agent calls this tool or waits for this.
fn agent(tool: &'static str, actions: &Value) -> impl sluice_tests::mock::Answer {
    let waits = session(actions);
    move |told: &Told, peer: &mut Peer| match told.line() {
        "GET /v1/agents/sessions/as_1/events" => peer.events(&turn(tool)),
        "GET /v1/agents/sessions/as_1" => peer.json(&waits.to_string()),
        _ => peer.json("{}"),
    }
}

fn stand(tool: &'static str, actions: &Value) -> Stand {
    Stand::with(agent(tool, actions), POLICY, |api| api, |setup| setup)
}

fn followed(stand: &Stand) -> Value {
    let url = format!("http://127.0.0.1:{}/openai/v1", stand.broker.http_port());
    Sdk::new(&url, &stand.token).run("agent_session.py").step("stream")
}

#[test]
fn the_stream_of_an_unmodified_sdk_is_screened() {
    let good = stand("lookup_order", &json!([]));
    let said = followed(&good);
    assert_eq!(said["ran"], json!([["lookup_order", { "to": "ann" }]]), "{said}");
    assert_eq!((said["kinds"].as_array().map_or(0, Vec::len) >= 7, &said["error"]), (true, &Value::Null), "{said}");
    let text = said["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("Write to ") && !text.contains(EMAIL) && !text.contains("zq7x"), "{said}");
    let results = good.mock.told().iter().filter(|told| told.json().to_string().contains("tool_result")).count();
    assert_eq!(results, 1);
    // A call that is refused reaches no handler.
    let said = followed(&stand("delete_customer", &json!([])));
    assert_eq!((&said["ran"], &said["error"]), (&json!([]), &json!("call_refused")), "{said}");
}

#[test]
fn what_a_session_waits_for_is_decided_on_by_its_name() {
    let mcp = |name: &str| {
        json!([{ "type": "mcp_approval_request", "request_id": "r_1", "turn_id": "t_1", "request": {
            "type": "mcp_tool_call", "name": name, "server_label": "crm", "arguments": {}, "message": "May I?" } }])
    };
    let origin = json!([{ "type": "computer_use_approval_request", "request_id": "r_1", "turn_id": "t_1", "request": {
        "type": "browser_origin_access", "origin": "https://bank.example" } }]);
    for (actions, code) in
        [(mcp("lookup"), None), (mcp("delete_all"), Some("call-refused")), (origin, Some("call-refused"))]
    {
        let stand = stand("lookup_order", &actions);
        let response = stand.ask(&stand.get("/openai/v1/agents/sessions/as_1"));
        let refused = (response.status() == 403).then(|| response.code());
        assert_eq!(refused.as_deref(), code, "{actions}: {}", response.text());
    }
}

#[test]
fn approvals_and_networks_are_told_to_policies() {
    let stand = stand("lookup_order", &json!([]));
    let answer = |kind: &str, response: &str| {
        let event = format!(r#"{{"type":"agent.session.input.{kind}","request_id":"r_1","response":{response}}}"#);
        let request = stand.post("/openai/v1/agents/sessions/as_1/events", &format!(r#"{{"events":[{event}]}}"#));
        let response = stand.ask(&request);
        (response.status() == 403).then(|| response.code())
    };
    let people = Some("people-approve".to_owned());
    let computer = "computer_use_approval_request_result";
    assert_eq!(answer("mcp_approval_request_result", r#"{"type":"mcp_tool_call","decision":"approve"}"#), people);
    assert_eq!(answer(computer, r#"{"type":"browser_origin_access","decision":"approve"}"#), people);
    assert_eq!(answer(computer, r#"{"type":"browser_authentication","action":"submit","fields":[]}"#), people);
    assert_eq!(answer(computer, r#"{"type":"browser_origin_access","decision":"deny"}"#), None);
    let made = |network: &str| {
        let environment = format!(r#"{{"environment":{{"type":"openai_hosted"{network}}}}}"#);
        let response = stand.ask(&stand.post("/openai/v1/agents/environments", &environment));
        (response.status() == 403).then(|| response.code())
    };
    let hosts = Some("known-hosts".to_owned());
    assert_eq!(made(r#","network":{"access":"restricted","allowed_domains":["evil.example.net"]}"#), hosts);
    assert_eq!(made(r#","network":{"access":"enabled"}"#), hosts);
    assert_eq!(made(""), hosts);
    assert_eq!(made(r#","network":{"access":"restricted","allowed_domains":["good.example.com"]}"#), None);
    assert_eq!(made(r#","network":{"access":"disabled"}"#), None);
}
