//! How a stream ends: as it should, broken, unknown, too large, or by us.

use super::*;

fn refusal() -> Words {
    Words::of(&sluice_model::Refusal::builtin(sluice_model::Code::Policy, "no-tools", "not \"here\""))
}

#[test]
fn an_error_is_told_in_the_words_of_the_api() {
    for (shape, expected) in [
        (
            Shape::Responses,
            r#"error|{"type":"error","message":"not \"here\"","param":null,"code":"no-tools","sequence_number":1,"error":{"type":"policy_denied","message":"not \"here\"","param":null,"code":"no-tools","rule":"no-tools"}}"#,
        ),
        (
            Shape::Chat,
            r#"|{"error":{"type":"policy_denied","message":"not \"here\"","param":null,"code":"no-tools","rule":"no-tools"}}"#,
        ),
    ] {
        let mut run = Run::masked(shape);
        let begun = if shape == Shape::Responses {
            r#"{"type":"response.created","sequence_number":0}"#
        } else {
            r#"{"choices":[]}"#
        };
        run.event(begun);
        run.screen.fail(&refusal());
        run.screen.fail(&refusal());
        run.drain();
        assert_eq!(run.log[1..], [expected, "end"]);
        run.event(begun).end(End::Clean);
        assert_eq!(run.log.len(), 3, "nothing comes after the end");
    }
}

#[test]
fn an_end_without_the_last_event_is_an_error() {
    let chunk = r#"{"choices":[{"index":0,"delta":{"content":"to zq7x.k1@leak"}}]}"#;
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"delta":"to zq7x.k1@leak"}"#;
    for (shape, event, last) in [
        (Shape::Chat, chunk, "[DONE]"),
        (Shape::Completions, r#"{"choices":[{"index":0,"text":"to zq7x.k1@leak"}]}"#, "[DONE]"),
        (Shape::Responses, delta, r#"{"type":"response.completed","response":{}}"#),
        (Shape::Responses, delta, "[DONE]"),
        (Shape::Other, chunk, "[DONE]"),
    ] {
        for how in [End::Clean, End::Broken] {
            let mut run = Run::masked(shape);
            run.event(event).end(how);
            assert_eq!(run.log.len(), 3);
            assert!(run.log[1].contains(r#""code":"answer_torn""#));
            assert!(!run.unescaped().contains("zq7x"), "what is held is not flushed");
            let mut run = Run::masked(shape);
            run.event(event).event(last).end(how);
            assert_eq!((run.log.last().unwrap().as_str(), run.log.len()), ("end", 4), "{:?}", run.log);
            assert!(run.fault_free());
        }
    }
}

#[test]
fn an_error_of_the_server_is_masked_and_the_last_event() {
    for (shape, event, expected) in [
        (Shape::Chat, r#"{"error":{"message":"zq7x.k1@leak.example.com"},"x":"zq7x"}"#, "|"),
        (Shape::Responses, r#"{"error":{"message":"zq7x.k1@leak.example.com"},"x":"zq7x"}"#, "error|"),
        (Shape::Responses, r#"{"type":"error","message":"zq7x.k1@leak.example.com"}"#, "error|"),
        (Shape::Chat, r#"{"choices":[],"error":{"message":"zq7x.k1@leak.example.com"}}"#, "|"),
    ] {
        let mut run = Run::masked(shape);
        run.event(event).event(event).end(End::Clean);
        assert!(run.log[0].starts_with(expected), "{:?}", run.log);
        assert_eq!(run.log.len(), 2);
        assert!(!run.unescaped().contains("zq7x"));
    }
}

#[test]
fn what_is_known_by_no_rule_does_not_leave() {
    let named = |name: &str, data: &str| (Some(name.into()), data.to_owned());
    for (shape, (name, data), code) in [
        (Shape::Chat, (None, "zq7x".to_owned()), "answer_not_json"),
        (Shape::Chat, (None, "[\"zq7x\"]".to_owned()), "answer_unknown_event"),
        (Shape::Chat, (None, "[DONE] zq7x".to_owned()), "answer_not_json"),
        (Shape::Chat, (None, r#"{"choices":[],"choices":["zq7x"]}"#.to_owned()), "answer_not_json"),
        (Shape::Chat, (None, r#"{"x":"zq7x"}"#.to_owned()), "answer_unknown_event"),
        (
            Shape::Chat,
            named("content_block_delta", r#"{"type":"content_block_delta","delta":{"text":"zq7x"}}"#),
            "answer_unknown_event",
        ),
        (
            Shape::Chat,
            (None, r#"{"type":"response.output_text.delta","delta":"zq7x"}"#.to_owned()),
            "answer_unknown_event",
        ),
        (
            Shape::Responses,
            named("content_block_delta", r#"{"type":"content_block_delta","delta":{"text":"zq7x"}}"#),
            "answer_unknown_event",
        ),
        (
            Shape::Responses,
            named("response.created", r#"{"type":"response.output_text.delta","delta":"zq7x"}"#),
            "answer_contradicts",
        ),
        (Shape::Responses, (None, r#"{"type":"response.zq7x.k1@leak"}"#.to_owned()), "answer_unknown_event"),
        (Shape::Responses, (None, r#"{"type":"errors","x":"zq7x"}"#.to_owned()), "answer_unknown_event"),
        (Shape::Responses, (None, r#"{"choices":[{"delta":{"content":"zq7x"}}]}"#.to_owned()), "answer_unknown_event"),
        (Shape::Other, named("zq7x", r#"{"delta":"zq7x"}"#), "answer_unknown_event"),
        (Shape::Other, named("thread.zq7x@", r#"{"delta":"zq7x"}"#), "answer_unknown_event"),
    ] {
        let mut run = Run::masked(shape);
        run.named(name, &data);
        assert_eq!(run.log[0], format!("fault {code}"), "{data}");
        assert!(run.log[1].contains(r#""type":"server_error""#) && run.log[2] == "end");
        assert!(!run.unescaped().contains("zq7x"));
        assert_eq!(run.screen.fault().map(|fault| fault.code()), Some(code));
    }
}

#[test]
fn with_nothing_to_hide_and_nothing_to_ask_all_json_passes() {
    let mut run = Run::new(Veil::open(), Shape::Chat, options(Firewall::Off));
    run.named(Some("content_block_delta".into()), r#"{"type":"content_block_delta","delta":{"text":"x"}}"#);
    run.named(None, r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a"}],"content":"x@y.example.com"},"logprobs":{"content":[1]}}]}"#);
    run.end(End::Clean);
    assert_eq!(
        run.log,
        [
            r#"content_block_delta|{"type":"content_block_delta","delta":{"text":"x"}}"#,
            r#"|{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a"}],"content":"x@y.example.com"},"logprobs":{"content":[1]}}]}"#,
            "end",
        ]
    );
    assert_eq!(run.screen.notes().calls, ["a"]);
    let mut run = Run::new(Veil::open(), Shape::Chat, options(Firewall::Off));
    run.event("no json");
    assert_eq!(run.log[0], "fault answer_not_json");
}

#[test]
fn an_event_has_a_limit_and_a_call_has_one() {
    let with = |bytes: usize| Options { max_event_bytes: bytes, max_call_bytes: 8, ..options(Firewall::On) };
    let event = r#"{"choices":[]}"#;
    for (bytes, fits) in [(event.len() - 1, false), (event.len(), true), (event.len() + 1, true)] {
        let mut run = Run::new(closed(), Shape::Chat, with(bytes));
        run.event(event);
        assert_eq!(run.fault_free(), fits);
    }
    for (length, fits) in [(7, true), (8, true), (9, false)] {
        let arguments = "x".repeat(length);
        let mut run = Run::new(closed(), Shape::Responses, with(1_000));
        run.event(&format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"custom_tool_call","input":"{arguments}"}}}}"#));
        assert_eq!(run.fault_free(), fits);
        let mut run = Run::new(closed(), Shape::Chat, with(1_000));
        for piece in arguments.split_inclusive('x') {
            run.event(&format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{piece}"}}}}]}}}}]}}"#));
        }
        assert_eq!(run.fault_free(), fits);
    }
}

#[test]
fn what_waits_has_a_limit() {
    let mut screen = Screen::new(closed(), Shape::Responses, options(Firewall::On));
    let event = |data: String| Event { name: None, data: data.into() };
    screen
        .event(event(
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"computer_call"}}"#.to_owned(),
        ))
        .unwrap();
    assert!(matches!(screen.next(), Some(Next::Ask(_))));
    let filler = format!(r#"{{"type":"keepalive","x":"{}"}}"#, "x".repeat(100_000));
    let mut taken = 0;
    while screen.event(event(filler.clone())).is_ok() {
        taken += 1;
        assert_eq!(screen.has_room(), taken <= 10, "{taken}");
    }
    assert_eq!(taken, QUEUE_BYTES / (filler.len() + size_of::<Event>()));
    assert!(matches!(screen.next(), Some(Next::Bytes(_))));
    assert_eq!(screen.next(), Some(Next::Finished));
}

#[test]
fn texts_that_may_be_json_have_a_limit_together() {
    let mut run = Run::masked(Shape::Responses);
    let piece = format!("[\\\"{}", "x".repeat(500_000));
    for index in 0..8 {
        run.event(&format!(
            r#"{{"type":"response.output_text.delta","output_index":{index},"content_index":0,"delta":"{piece}"}}"#
        ));
    }
    assert!(run.fault_free());
    run.event(&format!(
        r#"{{"type":"response.output_text.delta","output_index":9,"content_index":0,"delta":"{piece}"}}"#
    ));
    assert_eq!(run.screen.fault(), Some(Fault::TooLarge));
}

#[test]
fn an_endless_stream_keeps_nothing() {
    let mut run = Run::guarded(Shape::Responses);
    for index in 0..2_000 {
        let place = format!(r#""output_index":{index},"content_index":0,"item_id":"m{index}""#);
        run.event(&format!(r#"{{"type":"response.output_text.delta",{place},"delta":"zq7x.k1@leak"}}"#));
        run.event(&format!(r#"{{"type":"response.output_text.done",{place},"text":"zq7x.k1@leak"}}"#));
        run.log.clear();
    }
    assert!(run.screen.responses.is_idle());
    let mut run = Run::guarded(Shape::Chat);
    for _ in 0..2_000 {
        run.event(r#"{"choices":[{"index":0,"delta":{"content":"some words and zq7x.k1@leak.example.com then "}}]}"#);
        run.log.clear();
    }
    assert!(run.screen.chat.is_small());
    assert!(run.fault_free());
}

#[test]
fn choices_have_a_limit() {
    let mut run = Run::masked(Shape::Chat);
    for index in 0..256 {
        run.event(&format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}}}}]}}"#));
    }
    assert!(run.fault_free());
    run.event(r#"{"choices":[{"index":256,"delta":{"content":"x"}}]}"#);
    assert_eq!(run.screen.fault(), Some(Fault::TooMany));
}

#[test]
fn an_event_without_data_is_nothing() {
    let mut run = Run::masked(Shape::Chat);
    run.event("").event("[DONE]").event("[DONE]").event(r#"{"choices":[]}"#).end(End::Clean);
    assert_eq!(run.log, ["|[DONE]", "end"]);
}
