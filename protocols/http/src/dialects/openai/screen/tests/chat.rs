//! Streams of chunks.

use super::*;

fn chunk(index: i64, delta: Value, reason: Option<&str>) -> String {
    json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "real",
        "choices": [{ "index": index, "delta": delta, "finish_reason": reason }] })
    .to_string()
}

#[test]
fn a_chunk_that_nothing_is_done_to_keeps_its_bytes() {
    let untouched = [
        r#"{ "choices" : [ {"index":0, "delta":{"role":"assistant","content":""},"x":1.50} ] , "usage":null}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hi. "}}]}"#,
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
        "[DONE]",
    ];
    for veil in [closed(), Veil::open()] {
        let mut run = Run::new(veil, Shape::Chat, options(Firewall::On));
        run.events(&untouched).end(End::Clean);
        let expected: Vec<String> = untouched.iter().map(|data| format!("|{data}")).chain(["end".to_owned()]).collect();
        assert_eq!(run.log, expected);
        assert_eq!(run.screen.usage().map(|usage| usage.total_tokens), Some(3));
    }
}

#[test]
fn what_is_held_leaves_before_the_reason_in_the_form_of_a_chunk() {
    let mut run = Run::masked(Shape::Chat);
    run.events(&[
        chunk(0, json!({ "content": "to zq7x.k1@leak" }), None),
        chunk(0, json!({ "content": ".example.com" }), None),
        chunk(0, json!({}), Some("stop")),
        "[DONE]".to_owned(),
    ]);
    let rest = &run.data()[2];
    assert_eq!(rest["id"], "chatcmpl-1");
    assert_eq!(rest["choices"][0]["delta"], json!({ "content": covered(EMAIL) }));
    assert_eq!(rest["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(run.data()[3]["choices"][0]["finish_reason"], "stop");
    assert!(!run.unescaped().contains("zq7x"));
}

#[test]
fn a_reason_in_the_same_chunk_ends_the_text_there() {
    let mut run = Run::masked(Shape::Chat);
    run.events(&[chunk(0, json!({ "content": EMAIL }), Some("stop"))]);
    assert_eq!(run.data().len(), 1);
    assert_eq!(run.data()[0]["choices"][0]["delta"]["content"], covered(EMAIL));
}

#[test]
fn the_end_mark_ends_what_has_no_reason() {
    let mut run = Run::masked(Shape::Chat);
    run.events(&[chunk(1, json!({ "content": EMAIL }), None), "[DONE]".to_owned()]);
    assert_eq!(
        run.data()[1]["choices"][0],
        json!({ "index": 1, "delta": { "content": covered(EMAIL) },
        "logprobs": null, "finish_reason": null })
    );
    assert_eq!(run.log.last().unwrap(), "|[DONE]");
}

#[test]
fn a_text_that_goes_on_after_its_end_is_refused() {
    let late = chunk(0, json!({ "content": ".example.com" }), None);
    let mut run = Run::masked(Shape::Chat);
    run.events(&[
        chunk(0, json!({ "content": "zq7x.k1@leak" }), Some("stop")),
        chunk(0, json!({ "content": "" }), None),
        late,
    ]);
    assert_eq!(run.log[2], "fault answer_contradicts");
    assert_eq!(run.log.last().unwrap(), "end");
}

#[test]
fn sound_and_probabilities_are_taken_out() {
    let mut run = Run::masked(Shape::Chat);
    let audio = json!({ "audio": { "id": "audio_1", "data": "c2VjcmV0", "transcript": "zq7x.k1@leak.example.com" } });
    run.events(&[chunk(0, audio, None), chunk(0, json!({ "audio": { "expires_at": 1 } }), Some("stop"))]);
    let audio = |at: usize| run.data()[at]["choices"][0]["delta"]["audio"].clone();
    assert_eq!(audio(0), json!({ "id": "audio_1", "data": "", "transcript": "" }));
    assert_eq!(audio(1), json!({ "transcript": covered(EMAIL) }));
    assert_eq!(audio(2), json!({ "expires_at": 1 }));

    let mut run = Run::masked(Shape::Chat);
    run.event(r#"{"choices":[{"index":0,"delta":{},"log\u0070robs":{"content":[{"token":"zq7x","bytes":[122]}]},"top_logprobs":[1],"token_ids":[7]}]}"#);
    let choice = run.data()[0]["choices"][0].clone();
    assert_eq!(choice, json!({ "index": 0, "delta": {}, "logprobs": null, "top_logprobs": [], "token_ids": [] }));
}

#[test]
fn the_chunk_of_usage_is_swallowed_for_who_did_not_ask() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let beside = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    for (usage_chunk, events) in [(UsageChunk::Pass, 3), (UsageChunk::Swallow, 2)] {
        let mut run = Run::new(closed(), Shape::Chat, Options { usage_chunk, ..options(Firewall::Off) });
        run.events(&[beside, usage, "[DONE]"]);
        assert_eq!(run.log.len(), events);
        assert_eq!(run.screen.usage().map(|usage| usage.total_tokens), Some(3));
    }
}

#[test]
fn the_client_reads_the_name_of_the_model_that_it_used() {
    let options = Options { model_alias: Some("small".to_owned()), ..options(Firewall::On) };
    let mut run = Run::new(closed(), Shape::Chat, options.clone());
    run.events(&[chunk(0, json!({ "content": EMAIL }), None), chunk(0, json!({}), Some("stop"))]);
    assert!(run.data().iter().all(|chunk| chunk["model"] == "small"));
    let mut run = Run::new(Veil::open(), Shape::Responses, options);
    run.event(r#"{"type":"response.created","response":{"model":"real"},"model":{"x":1}}"#);
    assert_eq!(
        run.log,
        [r#"response.created|{"type":"response.created","response":{"model":"small"},"model":{"x":1}}"#]
    );
}

#[test]
fn names_of_events_do_not_leave() {
    let mut run = Run::masked(Shape::Chat);
    run.named(Some(EMAIL.into()), r#"{"choices":[]}"#).named(Some("done".into()), "[DONE]");
    assert_eq!(run.log, [r#"|{"choices":[]}"#, "done|[DONE]"]);
}

#[test]
fn what_a_model_says_makes_no_event() {
    let mut run = Run::masked(Shape::Chat);
    let said = "\n\ndata: {\"choices\":[]}\n\n\u{2028}data: x\u{2029}";
    run.event(&chunk(0, json!({ "content": said }), Some("stop")));
    assert_eq!(run.data().len(), 1);
    assert_eq!(run.data()[0]["choices"][0]["delta"]["content"], said);
    assert_eq!(String::from_utf8(run.raw).unwrap().lines().count(), 2);
    let mut run = Run::masked(Shape::Chat);
    run.event("{\"choices\":[],\"x\":\"\n\ndata: {}\n\n\"}");
    assert_eq!(run.log[0], "fault answer_not_json");
}

#[test]
fn parts_of_a_content_are_pieces_of_one_text() {
    let mut run = Run::masked(Shape::Chat);
    let part =
        |text: &str| json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": text }] }] });
    run.events(&[
        chunk(0, part("zq7x.k1@le"), None),
        chunk(0, part("ak.example.com"), None),
        chunk(0, json!({}), Some("stop")),
    ]);
    assert_eq!(run.data()[2]["choices"][0]["delta"], part(&covered(EMAIL)));
    assert!(!run.unescaped().contains("zq7x"));
}

#[test]
fn what_a_key_rule_covers_is_covered_in_pieces_too() {
    let mut run = Run::masked(Shape::Chat);
    for piece in ["hun", "ter2"] {
        run.event(&chunk(0, json!({ "password": piece, "content": "Hi. " }), None));
    }
    run.event(&chunk(0, json!({}), Some("stop")));
    let released: Vec<Value> =
        run.data().iter().map(|chunk| chunk["choices"][0]["delta"]["password"].clone()).collect();
    assert_eq!(released, [json!(""), json!(""), json!("***"), Value::Null]);
}

#[test]
fn unknown_texts_are_texts_in_lists_too() {
    let mut run = Run::masked(Shape::Chat);
    run.events(&[
        chunk(0, json!({ "notes": [{ "t": EMAIL }], "thoughts": { "deep": "zq7x.k1@le" } }), None),
        chunk(0, json!({ "thoughts": { "deep": "ak.example.com" } }), None),
        chunk(0, json!({}), Some("stop")),
    ]);
    let deltas: Vec<Value> = run.data().iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(
        deltas[2..4],
        [json!({ "notes": [{ "t": covered(EMAIL) }] }), json!({ "thoughts": { "deep": covered(EMAIL) } })]
    );
    assert!(!run.unescaped().contains("zq7x"));
}
