//! Streams of Assistants, whose events have a name and objects with a `type` of their own.

use super::*;

fn call(name: &str, arguments: &str) -> Value {
    json!({ "id": "call_1", "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn step(details: Value) -> Value {
    json!({ "id": "step_1", "object": "thread.run.step", "type": "tool_calls", "status": "in_progress", "step_details": details })
}

fn delta(calls: Value) -> Value {
    json!({ "id": "step_1", "object": "thread.run.step.delta", "delta": { "step_details": { "type": "tool_calls", "tool_calls": calls } } })
}

fn waiting(name: &str) -> Value {
    json!({ "id": "run_1", "object": "thread.run", "status": "requires_action", "required_action": {
        "type": "submit_tool_outputs", "submit_tool_outputs": { "tool_calls": [call(name, "{}")] } } })
}

fn run(events: &[(&str, Value)]) -> Run {
    let mut run = Run::guarded(Shape::Other);
    for (name, event) in events {
        run.named(Some((*name).into()), &event.to_string());
    }
    run
}

#[test]
fn the_name_of_an_event_says_what_it_is() {
    let events = [
        ("thread.created", json!({ "id": "thread_1", "object": "thread" })),
        ("thread.run.created", json!({ "id": "run_1", "object": "thread.run", "required_action": null })),
        ("thread.run.step.created", step(json!({ "type": "tool_calls", "tool_calls": [] }))),
        ("thread.run.step.in_progress", step(json!({ "type": "tool_calls", "tool_calls": [] }))),
        (
            "thread.message.delta",
            json!({ "id": "msg_A", "object": "thread.message.delta", "delta": { "content": [
            { "index": 0, "type": "text", "text": { "value": "Hi. " } }] } }),
        ),
        ("thread.run.completed", json!({ "id": "run_1", "object": "thread.run", "status": "completed" })),
    ];
    let mut run = run(&events);
    run.named(Some("done".into()), "[DONE]").end(End::Clean);
    let expected: Vec<String> = events.iter().map(|(name, event)| format!("{name}|{event}")).collect();
    assert_eq!(run.log[..6], expected);
    assert_eq!(run.log[6..], ["done|[DONE]", "end"]);
    let mut other = Run::guarded(Shape::Other);
    other.named(Some("thread.run.created".into()), r#"{"type":"response.created"}"#);
    assert_eq!(other.log[0], "fault answer_contradicts");
}

#[test]
fn a_call_of_a_run_is_asked_about_where_it_is_whole() {
    let pieces = |name: &'static str| {
        [
            (
                "thread.run.step.delta",
                delta(
                    json!([{ "index": 0, "id": "call_1", "type": "function", "function": { "name": name, "arguments": "" } }]),
                ),
            ),
            (
                "thread.run.step.delta",
                delta(json!([{ "index": 0, "type": "function", "function": { "arguments": "{}" } }])),
            ),
            ("thread.run.requires_action", waiting(name)),
        ]
    };
    let good = run(&pieces("good"));
    assert_eq!(good.log.len(), 2, "{:?}", good.log);
    assert_eq!(good.log[0], "ask Function call_1 good {}");
    assert!(good.log[1].starts_with("thread.run.requires_action|") && good.log[1].contains("good"));
    let bad = run(&pieces("bad"));
    assert_eq!(bad.log[0], "ask Function call_1 bad {}");
    assert_eq!(bad.screen.fault(), Some(Fault::Refused));
    assert!(!bad.unescaped().contains("bad") && bad.log[1].contains("call_refused"), "{:?}", bad.log);
}

#[test]
fn what_the_models_side_does_is_told_in_pieces() {
    let hosted =
        |input: &str| json!({ "index": 0, "type": "code_interpreter", "code_interpreter": { "input": input } });
    let both = json!([hosted("to zq7x"), { "index": 1, "type": "function", "function": { "name": "bad" } }]);
    let mut run = run(&[
        ("thread.run.step.delta", delta(both)),
        ("thread.run.step.delta", delta(json!([hosted(".k1@leak.example.com")]))),
        (
            "thread.run.step.completed",
            step(json!({ "type": "tool_calls", "tool_calls": [{ "type": "code_interpreter" }] })),
        ),
    ]);
    assert!(!run.log.iter().any(|line| line.starts_with("ask")) && run.fault_free(), "{:?}", run.log);
    let said = |event: &Value| {
        event["delta"]["step_details"]["tool_calls"][0]["code_interpreter"]["input"].as_str().map(str::to_owned)
    };
    assert_eq!(run.data().iter().filter_map(said).collect::<String>(), format!("to {}", covered(EMAIL)));
    assert!(!run.drain().unescaped().contains("bad"));
}

#[test]
fn a_piece_of_a_step_has_no_call_elsewhere() {
    let item = json!({ "type": "function_call", "call_id": "c", "name": "good", "arguments": "{}" });
    let mut odd = delta(json!([]));
    odd["delta"]["items"] = json!([item]);
    for event in [odd, delta(json!({ "0": call("good", "{}") }))] {
        let run = run(&[("thread.run.step.delta", event.clone())]);
        assert_eq!(run.log[0], "fault answer_contradicts", "{event}");
        assert!(!run.unescaped().contains("good"));
    }
}
