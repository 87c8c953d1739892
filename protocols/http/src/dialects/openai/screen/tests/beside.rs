//! Texts in pieces where no rule knows of any: none of them leaves piece by piece.

use super::*;

/// Ways to cut an address, none of which leaves a piece that is one.
const CUTS: [&[&str]; 4] = [
    &["mail zq7x.k1@le", "ak.exam", "ple.com now"],
    &["zq7x.k1", "@", "leak.example.com"],
    &["zq7x.k1@", "leak", ".example.com"],
    &["to: zq7x", ".k1@leak.example.com", ""],
];

/// Every string under the members of an event, joined.
fn joined(run: &Run, at: impl Fn(&Value) -> Value) -> String {
    fn push(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => out.push_str(text),
            Value::Array(items) => items.iter().for_each(|item| push(item, out)),
            Value::Object(members) => members.values().for_each(|member| push(member, out)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut out = String::new();
    run.data().iter().for_each(|event| push(&at(event), &mut out));
    out
}

#[test]
fn an_event_of_a_kind_that_is_not_listed_tells_no_text_in_pieces() {
    for (shape, kind, member) in [
        (Shape::Responses, "response.mcp_call.arguments_delta", "delta"),
        (Shape::Responses, "response.reasoning.chunk", "text"),
        (Shape::Responses, "response.output_text.delta", "text"),
        (Shape::Responses, "response.output_text.delta", "type_of_text"),
        (Shape::Responses, "response.something_new.delta", "text"),
        (Shape::Responses, "response.audio.delta", "transcript"),
        (Shape::Other, "speech.audio.delta", "delta"),
        (Shape::Other, "transcript.text.chunk", "text"),
        (Shape::Other, "thread.foo", "text"),
        (Shape::Other, "conversation.item.chunk", "text"),
    ] {
        for wrap in
            [|piece: &str| json!(piece), |piece: &str| json!([piece]), |piece: &str| json!({ "x": [{ "y": piece }] })]
        {
            for cut in CUTS {
                let mut run = Run::masked(shape);
                for piece in cut {
                    let event = json!({ "type": kind, "output_index": 0, "content_index": 0, "item_id": "msg_1", member: wrap(piece) });
                    run.event(&event.to_string());
                }
                let text = joined(&run, |event| event[member].clone());
                assert!(run.fault_free() && run.data().len() >= 3, "{:?}", run.log);
                assert!(!text.contains("leak") && !text.contains("k1@"), "{kind} {member}: {text}");
                assert!(run.data().iter().all(|event| event["item_id"] == "msg_1" && event["type"] == kind));
            }
        }
    }
}

#[test]
fn events_that_are_listed_say_what_they_say() {
    for event in [
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "message", "status": "in_progress", "x": "Some words." } }),
        json!({ "type": "response.mcp_call.failed", "output_index": 0, "item_id": "mcp_1", "error": "Some words." }),
        json!({ "type": "error", "message": "Some words." }),
    ] {
        let event = event.to_string();
        let mut run = Run::masked(Shape::Responses);
        run.event(&event);
        assert_eq!(run.log[0].split_once('|').unwrap().1, event);
    }
}

#[test]
fn whatever_a_delta_holds_is_one_text_for_each_place() {
    for (what, delta) in [
        ("content of strings", (|piece: &str| json!({ "content": [piece] })) as fn(&str) -> Value),
        ("content of lists", |piece| json!({ "content": [[piece]] })),
        (
            "reasoning without an index",
            |piece| json!({ "reasoning_details": [{ "type": "reasoning.text", "text": piece }] }),
        ),
        (
            "reasoning with one",
            |piece| json!({ "reasoning_details": [{ "index": 0, "type": "reasoning.text", "text": piece }] }),
        ),
        ("an object", |piece| json!({ "reasoning": { "content": piece } })),
        ("a name that is an object", |piece| json!({ "format": { "x": piece } })),
        ("a name that is a list", |piece| json!({ "role": [piece] })),
    ] {
        for cut in CUTS {
            let mut run = Run::masked(Shape::Chat);
            for piece in cut {
                run.event(&json!({ "choices": [{ "index": 0, "delta": delta(piece) }] }).to_string());
            }
            run.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#).event("[DONE]");
            let mut text = joined(&run, |event| event["choices"][0]["delta"].clone());
            text = text.replace("reasoning.text", "");
            assert_eq!(text, covered(&cut.concat()), "{what}: {:?}", run.log);
            assert!(run.fault_free());
        }
    }
}

#[test]
fn names_are_words_and_nothing_that_a_value_could_be_a_piece_of() {
    for member in ["role", "type", "format", "object", "id", "call_id"] {
        for cut in CUTS {
            let mut run = Run::masked(Shape::Chat);
            for piece in cut {
                run.event(&json!({ "choices": [{ "index": 0, "delta": { member: piece } }] }).to_string());
            }
            run.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#).event("[DONE]");
            let text = joined(&run, |event| event["choices"][0]["delta"][member].clone());
            assert!(!text.contains(EMAIL), "{member}: {text}");
        }
    }
    let mut run = Run::masked(Shape::Responses);
    for piece in CUTS[1] {
        run.event(
            &json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "", "obfuscation": piece })
                .to_string(),
        );
    }
    assert!(!joined(&run, |event| event["obfuscation"].clone()).contains("leak"), "{:?}", run.log);
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    let mut run = Run::masked(Shape::Chat);
    run.event(role);
    assert_eq!(run.log, [format!("|{role}")]);
}

#[test]
fn what_stands_beside_a_delta_is_a_name_or_covered() {
    for place in ["/extra", "/choices/0/extra", "/choices/0/message", "/id_of", "/usage"] {
        for cut in CUTS {
            let mut run = Run::masked(Shape::Chat);
            for piece in cut {
                let mut chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "some/model-4.1",
                    "system_fingerprint": "fp_1", "service_tier": "default", "usage": null,
                    "choices": [{ "index": 0, "delta": { "content": "Hi. " }, "finish_reason": null }] });
                let (parent, name) = place.rsplit_once('/').unwrap();
                chunk.pointer_mut(parent).unwrap()[name] = json!({ "x": [piece] });
                run.event(&chunk.to_string());
            }
            run.event(r#"{"choices":[{"index":0,"delta":{"content":"zq7x"},"finish_reason":null}]}"#);
            run.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#).event("[DONE]");
            let text = joined(&run, |event| event.pointer(place).cloned().unwrap_or_default());
            assert!(!text.contains("leak") && !text.contains("k1@"), "{place}: {text}");
            let chunk = &run.data()[0];
            assert_eq!((&chunk["id"], &chunk["model"]), (&json!("chatcmpl-1"), &json!("some/model-4.1")));
            assert_eq!((&chunk["system_fingerprint"], &chunk["service_tier"]), (&json!("fp_1"), &json!("default")));
        }
    }
    let cited = json!({ "choices": [{ "index": 0, "delta": { "annotations": [{ "type": "url_citation",
        "url_citation": { "url": "https://a.example/b c", "title": "Some words" } }] } }] });
    let mut run = Run::masked(Shape::Chat);
    run.event(&cited.to_string());
    assert_eq!(run.data(), [cited]);
}

#[test]
fn the_events_of_a_call_hold_no_text_that_nobody_looked_at() {
    let item = |arguments: &str| json!({ "id": "fc", "type": "function_call", "call_id": "c", "name": "f", "arguments": arguments });
    let mut run = Run::guarded(Shape::Responses);
    run.event(&json!({ "type": "response.output_item.added", "output_index": 0, "item": item("") }).to_string());
    for piece in CUTS[1] {
        run.event(&json!({ "type": "response.foo", "output_index": 0, "text": piece }).to_string());
    }
    run.event(&json!({ "type": "response.output_item.done", "output_index": 0, "item": item("{}") }).to_string());
    assert!(!joined(&run, |event| event["text"].clone()).contains("leak"), "{:?}", run.log);
    assert!(run.fault_free());
}

#[test]
fn the_end_of_an_unknown_text_tells_all_of_it_once() {
    let event = |end: &str, member: &str, text: &str| {
        json!({ "type": format!("response.something_new.{end}"), "output_index": 0, member: text }).to_string()
    };
    let mut run = Run::masked(Shape::Responses);
    run.events(&[event("delta", "delta", "to zq7x.k1@le"), event("delta", "delta", "ak.example.com")]);
    run.events(&[event("done", "text", &format!("to {EMAIL}")), event("done", "text", "ak.example.com")]);
    let texts: Vec<Value> = run.data().iter().filter_map(|event| event.get("text").cloned()).collect();
    assert_eq!(texts, [format!("to {}", covered(EMAIL)), "***".to_owned()]);
    assert!(run.fault_free());
}
