//! Streams of the sessions of agents.

use super::*;

fn event(kind: &str, more: Value) -> String {
    let mut event = json!({ "type": kind, "event_id": "ev_1", "session_id": "as_1", "turn_id": "turn_1" });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event.to_string()
}

fn session(actions: Value) -> Value {
    json!({ "session": { "id": "as_1", "object": "agent.session", "status": "idle", "required_actions": actions } })
}

fn call(name: &str) -> Value {
    json!({ "id": "fc_1", "type": "function_call", "name": name, "call_id": "call_1", "turn_id": "turn_1",
        "status": "in_progress", "arguments": { "to": "bob" } })
}

fn added(item: Value) -> String {
    event("agent.session.turn.item.added", json!({ "output_index": 0, "item": item }))
}

fn done(item: Value) -> String {
    event("agent.session.turn.item.done", json!({ "output_index": 0, "item": item }))
}

fn delta(kind: &str, item: &str, piece: &str) -> String {
    event(kind, json!({ "item_id": item, "output_index": 0, "content_index": 0, "delta": piece }))
}

fn guarded<T: AsRef<str>>(events: &[T]) -> Run {
    let mut run = Run::guarded(Shape::Agents);
    run.events(events);
    run
}

const TEXT: &str = "agent.session.turn.output_text.delta";

#[test]
fn a_turn_comes_through_as_it_is() {
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "Hi. " }] });
    let search = json!({ "id": "ws_1", "type": "web_search_call", "status": "completed", "turn_id": "turn_1" });
    let command = json!({ "id": "ce_1", "type": "command_execution", "command": "ls", "status": "completed" });
    let events = [
        event("agent.session.idle", session(json!([]))),
        event("agent.session.turn.created", json!({ "turn": { "id": "turn_1", "object": "agent.session.turn" } })),
        added(json!({ "id": "msg_1", "type": "message", "role": "assistant", "content": [] })),
        delta(TEXT, "msg_1", "Hi. "),
        event(
            "agent.session.turn.output_text.done",
            json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "Hi. " }),
        ),
        done(message),
        done(search),
        done(command),
        done(
            json!({ "id": "cs_1", "type": "create_subagent_call", "agent_id": "a", "content": [], "status": "completed" }),
        ),
        done(json!({ "id": "cu_1", "type": "computer_use_call", "status": "completed", "turn_id": "turn_1" })),
        event(
            "agent.session.requires_action",
            session(json!([{ "type": "environment_connection", "environment_id": "env_1" }])),
        ),
        r#"{"type":"error","event_id":"ev_2","session_id":"as_1","error":{"code":"x","message":"y","type":"z"}}"#
            .to_owned(),
        event(
            "agent.session.turn.completed",
            json!({ "turn": { "id": "turn_1" }, "usage": { "input_tokens": 5, "output_tokens": 7 } }),
        ),
        event("agent.session.idle", session(json!([]))),
    ];
    let mut run = guarded(&events);
    run.end(End::Clean);
    assert_eq!(run.log.pop().unwrap(), "end");
    let texts: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(run.data(), texts, "{:?}", run.log);
    assert_eq!(run.screen.usage().map(|usage| usage.total_tokens), Some(12));
}

#[test]
fn an_event_of_another_kind_ends_the_stream() {
    for other in [
        r#"{"type":"agent.reveal","text":"x"}"#,
        r#"{"type":"response.output_text.delta","delta":"x"}"#,
        r#"{"type":"thread.created"}"#,
        r#"{"choices":[]}"#,
        r#"{"delta":"x"}"#,
    ] {
        let run = guarded(&[other]);
        assert_eq!(run.log[0], "fault answer_unknown_event", "{other}");
    }
    for shape in [Shape::Other, Shape::Responses, Shape::Chat] {
        let mut run = Run::guarded(shape);
        run.event(&event("agent.session.idle", session(json!([]))));
        assert!(!run.fault_free(), "{shape:?}");
    }
}

#[test]
fn a_call_is_asked_about_where_it_is_first_told() {
    let waits = event("agent.session.requires_action", session(json!([call("good")])));
    let run = guarded(&[added(call("good")), done(call("good")), waits]);
    assert_eq!(run.log[0], r#"ask Function call_1 good {"to":"bob"}"#);
    assert_eq!(run.log.len(), 4, "{:?}", run.log);
    for told in [
        added(call("bad")),
        done(call("bad")),
        event("agent.session.requires_action", session(json!([call("bad")]))),
        event("agent.session.turn.completed", json!({ "turn": { "id": "turn_1", "items": [call("bad")] } })),
        event("agent.session.news", json!({ "item": call("bad") })),
        event("agent.session.news", json!({ "response": { "output": [call("bad")] } })),
    ] {
        let run = guarded(&[told.as_str()]);
        assert_eq!(run.log[0], r#"ask Function call_1 bad {"to":"bob"}"#, "{told}");
        assert_eq!(run.screen.fault(), Some(Fault::Refused), "{told}");
        assert!(!run.unescaped().contains("bob") && run.log[1].contains("call_refused"), "{:?}", run.log);
    }
    let piece = event(TEXT, json!({ "item_id": "m", "delta": "x", "item": call("bad") }));
    assert_eq!(guarded(&[piece]).log[0], "fault answer_contradicts");
}

#[test]
fn what_an_agent_waits_for_is_a_call_by_its_own_name() {
    let mcp = json!({ "type": "mcp_approval_request", "request_id": "r_1", "turn_id": "turn_1", "request": {
        "type": "mcp_tool_call", "name": "drop_table", "server_label": "db", "arguments": { "x": 1 }, "message": "may I?" } });
    let browser =
        |request: Value| json!({ "type": "computer_use_approval_request", "request_id": "r_2", "request": request });
    let origin = browser(json!({ "type": "browser_origin_access", "origin": "https://bank.example" }));
    let teleport = json!({ "type": "teleport", "id": "t" });
    for (action, expected) in [
        (mcp.clone(), r#"ask McpApproval r_1 drop_table {"x":1}"#.to_owned()),
        (origin.clone(), format!("ask Approval r_2 browser_origin_access {}", origin["request"])),
        (teleport.clone(), format!("ask Unknown t teleport {teleport}")),
    ] {
        let run = guarded(&[event("agent.session.requires_action", session(json!([action])))]);
        assert_eq!(run.log[0], expected);
        let mut whole = Run::guarded(Shape::Agents);
        let body = session(json!([action]))["session"].to_string();
        assert_eq!(whole.screen.body(Bytes::from(body)), Ok(()));
        assert_eq!(whole.drain().log[0], expected);
    }
    let run = guarded(&[done(origin)]);
    assert!(run.log[0].starts_with("ask Approval r_2"), "{:?}", run.log);
    // Two names: nobody can tell which one the client answers for.
    let mut two = mcp;
    two.as_object_mut().unwrap().insert("name".to_owned(), json!("harmless"));
    let run = guarded(&[event("agent.session.requires_action", session(json!([two])))]);
    assert!(run.log[0].starts_with("ask Unknown r_1 mcp_approval_request"), "{:?}", run.log);
}

#[test]
fn a_value_in_pieces_is_covered_and_nothing_is_lost() {
    let output = "agent.output.command_execution_output.delta";
    let summary = |piece: &str| {
        event(
            "agent.session.turn.reasoning_summary_text.delta",
            json!({ "item_id": "rs_1", "output_index": 1, "summary_index": 0, "delta": piece }),
        )
    };
    let (head, tail) = EMAIL.split_at(7);
    let events = [
        delta(TEXT, "msg_1", head),
        // Another subagent's item at the same place.
        delta(TEXT, "msg_2", "plain "),
        delta(TEXT, "msg_1", tail),
        delta(output, "ce_1", head),
        delta(output, "ce_1", tail),
        summary(head),
        summary(tail),
        event(
            "agent.session.turn.content_part.done",
            json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0,
            "part": { "type": "output_text", "text": EMAIL } }),
        ),
        delta(TEXT, "msg_2", "words"),
        done(
            json!({ "id": "ce_1", "type": "command_execution", "command": "x", "output": EMAIL, "status": "completed" }),
        ),
        event("agent.session.turn.failed", json!({ "turn": { "id": "turn_1" } })),
        event("agent.session.news", json!({ "words": EMAIL, "part": head })),
        event(
            "agent.session.environment.failed",
            json!({ "environment": { "id": "env_1", "error": { "message": EMAIL } } }),
        ),
    ];
    let mut run = Run::masked(Shape::Agents);
    run.events(&events).end(End::Clean);
    assert!(run.fault_free(), "{:?}", run.log);
    assert!(!run.unescaped().contains(EMAIL) && !run.unescaped().contains(head), "{:?}", run.log);
    let said = |kind: &str, item: &str| {
        let of = |data: &Value| data["type"] == kind && data["item_id"] == item;
        run.data()
            .iter()
            .filter(|data| of(data))
            .map(|data| data["delta"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(said(TEXT, "msg_1"), covered(EMAIL));
    assert_eq!(said(TEXT, "msg_2"), "plain words");
    assert_eq!(said(output, "ce_1"), covered(EMAIL));
    assert_eq!(said("agent.session.turn.reasoning_summary_text.delta", "rs_1"), covered(EMAIL));
}

#[test]
fn what_is_held_leaves_where_the_subscription_ends() {
    let mut run = Run::masked(Shape::Agents);
    run.event(&delta(TEXT, "msg_1", "ask zq7x.k1")).end(End::Clean);
    let said: String = run.data().iter().map(|data| data["delta"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, "ask zq7x.k1", "{:?}", run.log);
    assert_eq!(run.log.last().unwrap(), "end");
    let mut torn = Run::masked(Shape::Agents);
    torn.event(&delta(TEXT, "msg_1", "x")).end(End::Broken);
    assert!(torn.unescaped().contains("answer_torn"));
}

#[test]
fn a_session_that_is_made_is_told_of() {
    let routes = crate::dialects::openai::routes::Routes::published();
    let crate::dialects::openai::routes::Found::Route { route, .. } = routes.find("POST", "/agents/sessions") else {
        unreachable!("the route is published")
    };
    let options = Options { yields: route.creates().to_vec(), ..options(Firewall::On) };
    let mut run = Run::new(Veil::open(), Shape::Agents, options);
    let made = json!({ "session": { "id": "as_1", "object": "agent.session", "environment": { "id": "env_1" } } });
    run.event(&event("agent.session.created", made));
    assert_eq!(run.log[0], "told agent_session=as_1 environment=env_1");
}

#[test]
fn an_error_of_ours_is_one_of_theirs() {
    let mut run = guarded(&[added(call("good"))]);
    run.screen.fail(&Words::of_flaw(crate::flaw::Flaw::new(403, "no", "not here")));
    let last = run.drain().data().pop().unwrap();
    assert_eq!((last["error"]["code"].as_str(), last["type"].as_str()), (Some("no"), Some("error")));
}
