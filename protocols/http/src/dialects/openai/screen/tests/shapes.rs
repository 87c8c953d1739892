//! Calls in shapes in which a client could run another one than somebody ruled on.

use super::*;

fn body(text: &str) -> Run {
    let mut run = Run::guarded(Shape::Other);
    if let Err(fault) = run.screen.body(Bytes::copy_from_slice(text.as_bytes())) {
        run.log.push(format!("fault {}", fault.code()));
    }
    run.drain();
    assert_eq!(run.log.pop().unwrap(), "end");
    run
}

/// The calls of a choice: as one body, and as a stream.
fn answers(calls: &Value) -> [Run; 2] {
    let whole =
        json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": { "tool_calls": calls } }] });
    let mut stream = Run::guarded(Shape::Chat);
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": calls } }] }).to_string();
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }).to_string();
    stream.events(&[chunk, end]);
    [body(&whole.to_string()), stream]
}

#[test]
fn a_call_is_what_its_type_says_and_nothing_beside_it() {
    let named = |member: &str| json!({ "name": "good", member: "{}" });
    for (call, kind) in [
        (json!({ "type": "function", "function": named("arguments") }), "Function"),
        (json!({ "type": "custom", "custom": named("input") }), "Custom"),
        (json!({ "type": "custom", "custom": named("input"), "function": null }), "Custom"),
        (json!({ "function": named("arguments") }), "Function"),
        (json!({ "custom": named("input") }), "Custom"),
        (json!({ "type": "custom", "function": named("arguments"), "custom": named("input") }), "Unknown"),
        (json!({ "type": "function", "function": named("arguments"), "custom": named("input") }), "Unknown"),
        (json!({ "function": named("arguments"), "custom": named("input") }), "Unknown"),
        (json!({ "type": "custom", "function": named("arguments") }), "Unknown"),
        (json!({ "type": "function", "custom": named("input") }), "Unknown"),
        (json!({ "type": 1, "function": named("arguments") }), "Unknown"),
        (json!({ "type": "function", "function": named("arguments"), "name": "bad" }), "Unknown"),
        (json!({ "type": "function", "function": named("arguments"), "arguments": "{}" }), "Unknown"),
        (json!({ "type": "custom", "custom": named("input"), "input": "x" }), "Unknown"),
        (json!({ "type": "function", "function": { "name": "good", "arguments": "{}", "input": "x" } }), "Unknown"),
        (json!({ "type": "custom", "custom": { "name": "good", "arguments": "{}", "input": "x" } }), "Unknown"),
    ] {
        let mut call = call;
        call["id"] = "c".into();
        call["index"] = 0.into();
        for run in answers(&json!([call])) {
            let asked = run.log.iter().find(|line| line.starts_with("ask"));
            assert!(asked.is_some_and(|asked| asked.starts_with(&format!("ask {kind} c "))), "{call}: {:?}", run.log);
        }
    }
}

#[test]
fn a_call_in_pieces_has_one_body() {
    let piece = |call: Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }).to_string();
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }).to_string();
    for second in [
        json!({ "index": 0, "custom": { "input": "x" } }),
        json!({ "index": 0, "function": { "input": "x" } }),
        json!({ "index": 0, "arguments": "x" }),
        json!({ "index": 0, "type": "custom" }),
    ] {
        let mut run = Run::guarded(Shape::Chat);
        let first =
            json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "good", "arguments": "{}" } });
        run.events(&[piece(first), piece(second.clone()), end.clone()]);
        assert!(run.log[0].starts_with("ask Unknown c "), "{second}: {:?}", run.log);
    }
}

#[test]
fn a_computer_is_told_one_thing() {
    let item = |actions: Value| json!({ "type": "computer_call", "call_id": "c", "action": { "type": "click" }, "actions": actions });
    for (actions, asked) in [
        (json!([{ "type": "wait" }]), "ask Unknown c computer_call "),
        (json!({ "type": "wait" }), "ask Unknown c computer_call "),
        (json!([]), r#"ask Computer c computer {"type":"click"}"#),
        (json!(null), r#"ask Computer c computer {"type":"click"}"#),
    ] {
        let run = body(&json!({ "output": [item(actions.clone())] }).to_string());
        assert!(run.log[0].starts_with(asked), "{actions}: {:?}", run.log);
    }
}

#[test]
fn calls_that_are_no_list_and_functions_that_are_one_are_refused() {
    let call = json!({ "id": "c", "type": "function", "function": { "name": "good", "arguments": "{}" } });
    let old = json!({ "name": "good", "arguments": "{}" });
    for message in [
        json!({ "tool_calls": { "0": call } }),
        json!({ "tool_calls": call }),
        json!({ "tool_calls": call.to_string() }),
        json!({ "function_call": [old] }),
        json!({ "function_call": old.to_string() }),
    ] {
        for text in
            [json!({ "choices": [{ "index": 0, "message": message }] }), json!({ "data": [{ "content": [message] }] })]
        {
            let run = body(&text.to_string());
            assert_eq!(run.log, ["fault answer_contradicts"], "{text}");
            assert!(run.raw.is_empty());
        }
        let mut run = Run::guarded(Shape::Chat);
        run.event(&json!({ "choices": [{ "index": 0, "delta": message }] }).to_string());
        assert_eq!(run.log[0], "fault answer_contradicts", "{message}");
        assert!(!run.unescaped().contains("good"));
    }
}

/// A tool's description has members of any name.
#[test]
fn what_describes_calls_is_no_call() {
    let schema = json!({ "type": "object", "properties": { "tool_calls": { "type": "array", "items": { "type": "object" } },
        "function_call": { "type": "object", "properties": { "name": { "type": "string" } } } } });
    let response = json!({ "id": "r", "object": "response", "output": [], "tools": [{ "type": "function", "name": "f", "parameters": schema }] });
    assert_eq!(body(&response.to_string()).log, [response.to_string()]);
    let mut run = Run::guarded(Shape::Responses);
    let event = json!({ "type": "response.created", "response": response }).to_string();
    run.event(&event);
    assert_eq!(run.log, [format!("response.created|{event}")]);
}

#[test]
fn a_stream_holds_no_call_elsewhere_that_a_body_could_not_hold() {
    let call = |name: &str| json!({ "type": "function_call", "call_id": "c", "name": name, "arguments": "{}" });
    let of_chat =
        |name: &str| json!([{ "id": "c", "type": "function", "function": { "name": name, "arguments": "{}" } }]);
    for (shape, event) in [
        (Shape::Responses, json!({ "type": "response.foo", "items": [call("NAME")] })),
        (Shape::Responses, json!({ "type": "response.content_part.done", "output_index": 0, "part": call("NAME") })),
        (
            Shape::Responses,
            json!({ "type": "response.output_item.done", "output_index": 0,
            "item": { "type": "message", "content": [call("NAME")] } }),
        ),
        (
            Shape::Responses,
            json!({ "type": "response.completed", "response": {
            "output": [{ "type": "message", "content": [call("NAME")] }] } }),
        ),
        (
            Shape::Responses,
            json!({ "type": "response.completed", "response": { "output": [], "items": [call("NAME")] } }),
        ),
        (
            Shape::Responses,
            json!({ "type": "response.completed", "response": {
            "required_action": { "submit_tool_outputs": { "tool_calls": of_chat("NAME") } } } }),
        ),
        (Shape::Other, json!({ "type": "conversation.item.created", "items": [call("NAME")] })),
    ] {
        let event = event.to_string();
        let mut run = Run::guarded(shape);
        run.event(&event.replace("NAME", "good"));
        assert_eq!(run.log[0], "ask Function c good {}", "{event}");
        assert_eq!(run.log.len(), 2, "{event}: {:?}", run.log);
        let is_listed = event.contains("done") || event.contains("completed");
        assert!(run.log[1].contains(if is_listed { "good" } else { "***" }), "{event}");
        let mut run = Run::guarded(shape);
        run.event(&event.replace("NAME", "bad"));
        assert_eq!(run.log[0], "ask Function c bad {}", "{event}");
        assert_eq!(run.screen.fault(), Some(Fault::Refused), "{event}");
        assert!(!run.unescaped().contains("bad"), "{event}");
    }
}

#[test]
fn what_comes_in_pieces_holds_no_call_elsewhere() {
    let call = json!({ "type": "function_call", "call_id": "c", "name": "good", "arguments": "{}" });
    let of_chat = json!([{ "id": "c", "type": "function", "function": { "name": "good", "arguments": "{}" } }]);
    for (shape, event) in [
        (Shape::Chat, json!({ "choices": [{ "index": 0, "delta": { "content": [call] } }] })),
        (Shape::Chat, json!({ "choices": [{ "index": 0, "delta": { "message": { "tool_calls": of_chat } } }] })),
        (Shape::Chat, json!({ "choices": [{ "index": 0, "message": { "tool_calls": of_chat } }] })),
        (Shape::Chat, json!({ "choices": [], "tool_calls": of_chat })),
        (
            Shape::Responses,
            json!({ "type": "response.output_text.delta", "output_index": 0, "delta": { "tool_calls": of_chat } }),
        ),
    ] {
        let mut run = Run::guarded(shape);
        run.event(&event.to_string());
        assert_eq!(run.log[0], "fault answer_contradicts", "{event}");
        assert!(!run.unescaped().contains("good"), "{event}");
    }
}
