//! Streams of typed events.

use super::*;
use crate::dialects::openai::routes::{Found, Routes, Yield};

fn numbers(run: &Run) -> Vec<i64> {
    run.data().iter().filter_map(|event| event["sequence_number"].as_i64()).collect()
}

#[test]
fn an_event_that_nothing_is_done_to_keeps_its_bytes() {
    let untouched = [
        r#"{ "type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","output":[]} }"#,
        r#"{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","output":[]}}"#,
        r#"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"m","type":"message","content":[]}}"#,
        r#"{"type":"response.output_text.delta","sequence_number":3,"item_id":"m","output_index":0,"content_index":0,"delta":"Hi. ","logprobs":[]}"#,
        r#"{"type":"keepalive","sequence_number":4}"#,
        r#"{"type":"response.output_text.done","sequence_number":5,"item_id":"m","output_index":0,"content_index":0,"text":"Hi. "}"#,
        r#"{"type":"response.completed","sequence_number":7,"response":{"id":"resp_1","output":[{"type":"message"}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}"#,
    ];
    for veil in [closed(), Veil::open()] {
        let mut run = Run::new(veil, Shape::Responses, options(Firewall::On));
        run.events(&untouched).end(End::Clean);
        let data: Vec<&str> = run.log.iter().filter_map(|line| Some(line.split_once('|')?.1)).collect();
        assert_eq!(data, untouched);
        assert_eq!(run.log[4], r#"keepalive|{"type":"keepalive","sequence_number":4}"#);
        assert_eq!(run.screen.usage().map(|usage| usage.output_tokens), Some(2));
        assert_eq!(run.screen.notes().object.as_deref(), Some("resp_1"));
    }
}

#[test]
fn what_is_held_leaves_before_the_end_and_events_are_counted_anew() {
    let place = r#""item_id":"m","output_index":0,"content_index":0"#;
    let mut run = Run::masked(Shape::Responses);
    run.events(&[
        format!(r#"{{"type":"response.output_text.delta","sequence_number":4,{place},"delta":"to zq7x.k1@leak","logprobs":[{{"token":"zq7x"}}]}}"#),
        format!(r#"{{"type":"response.output_text.delta","sequence_number":5,{place},"delta":".example.com","obfuscation":"x"}}"#),
        format!(r#"{{"type":"response.output_text.done","sequence_number":6,{place},"text":"to {EMAIL}"}}"#),
        format!(r#"{{"type":"response.content_part.done","sequence_number":7,{place},"part":{{"text":"to {EMAIL}","annotations":[{{"title":"{EMAIL}"}}]}}}}"#),
        format!(r#"{{"type":"response.completed","sequence_number":8,"response":{{"output":[{{"type":"message","content":[{{"text":"to {EMAIL}"}}]}}]}}}}"#),
    ])
    .end(End::Clean);
    let data = run.data();
    assert_eq!(data[0]["delta"], "to ");
    assert_eq!(data[0]["logprobs"], json!([]));
    let rest = json!({ "type": "response.output_text.delta", "sequence_number": 6, "item_id": "m", "output_index": 0,
        "content_index": 0, "delta": covered(EMAIL), "obfuscation": "x" });
    assert_eq!(data[2], rest);
    assert_eq!(run.log[2].split_once('|').unwrap().0, "response.output_text.delta");
    assert_eq!(data[3]["text"], format!("to {}", covered(EMAIL)));
    assert_eq!(numbers(&run), [4, 5, 6, 7, 8, 9]);
    assert!(!run.unescaped().contains("zq7x"));
}

#[test]
fn whatever_ends_a_text_lets_the_rest_of_it_go_first() {
    for (kind, members) in [
        ("response.output_text.done", r#""output_index":0,"content_index":1,"item_id":"m","text":"""#),
        ("response.content_part.done", r#""output_index":0,"content_index":1,"item_id":"m","part":{}"#),
        ("response.output_item.done", r#""output_index":0,"item":{"id":"m","type":"message"}"#),
        ("response.incomplete", r#""response":{}"#),
        ("response.failed", r#""response":{}"#),
        ("error", r#""message":"m""#),
    ] {
        let mut run = Run::masked(Shape::Responses);
        let delta = r#"{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":1,"delta":"zq7x.k1@leak.example.com"}"#;
        run.events(&[delta.to_owned(), format!(r#"{{"type":"{kind}",{members}}}"#)]);
        assert_eq!(run.data()[1]["delta"], covered(EMAIL), "{kind}");
        assert_eq!(run.data()[2]["type"], kind);
    }
    for (kind, members) in [
        ("response.output_text.done", r#""output_index":0,"content_index":0,"item_id":"m","text":"""#),
        ("response.refusal.done", r#""output_index":0,"content_index":1,"item_id":"m","refusal":"""#),
        ("response.output_item.done", r#""output_index":1,"item":{"id":"n","type":"message"}"#),
        ("response.in_progress", r#""response":{}"#),
    ] {
        let mut run = Run::masked(Shape::Responses);
        let delta = r#"{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":1,"delta":"zq7x.k1@leak.example.com"}"#;
        run.events(&[delta.to_owned(), format!(r#"{{"type":"{kind}",{members}}}"#)]);
        assert_eq!(run.data().len(), 2, "{kind}");
    }
}

#[test]
fn sound_is_taken_out() {
    let mut run = Run::masked(Shape::Responses);
    run.events(&[
        r#"{"type":"response.audio.delta","delta":"c2VjcmV0"}"#,
        r#"{"type":"response.audio.transcript.delta","delta":"zq7x.k1@leak.example.com"}"#,
        r#"{"type":"response.audio.transcript.done"}"#,
    ]);
    assert_eq!(run.data()[0]["delta"], "");
    assert_eq!(run.data()[2]["delta"], covered(EMAIL));
    let mut run = Run::masked(Shape::Other);
    run.events(&[r#"{"type":"speech.audio.delta","audio":"c2VjcmV0"}"#, r#"{"type":"speech.audio.done"}"#])
        .end(End::Clean);
    assert_eq!(run.log, [r#"|{"type":"speech.audio.delta","audio":""}"#, r#"|{"type":"speech.audio.done"}"#, "end"]);
}

#[test]
fn other_streams_end_where_their_kind_ends() {
    let mut run = Run::masked(Shape::Other);
    run.events(&[
        r#"{"type":"transcript.text.delta","delta":"zq7x.k1@leak.example.com","logprobs":[{"token":"zq7x"}]}"#,
        r#"{"type":"transcript.text.done","text":"zq7x.k1@leak.example.com","usage":{"input_tokens":1,"output_tokens":2}}"#,
    ]);
    run.end(End::Clean);
    assert_eq!(run.data()[1]["delta"], covered(EMAIL));
    assert_eq!(run.data()[2]["text"], covered(EMAIL));
    assert_eq!(run.log.last().unwrap(), "end");
    let mut run = Run::masked(Shape::Other);
    let image = r#"{"type":"image_generation.completed","b64_json":"aGk="}"#;
    run.events(&[image, image]).end(End::Clean);
    assert_eq!(run.log, [format!("|{image}"), format!("|{image}"), "end".to_owned()]);
}

#[test]
fn texts_of_many_sorts_are_each_a_text() {
    for (kind, members) in [
        ("response.refusal", r#""output_index":0,"content_index":0,"item_id":"m""#),
        ("response.reasoning_summary_text", r#""output_index":0,"summary_index":2,"item_id":"m""#),
        ("response.code_interpreter_call_code", r#""output_index":0,"item_id":"m""#),
        ("response.mcp_call_arguments", r#""output_index":0,"item_id":"m""#),
        ("response.something_new", r#""part_index":0"#),
    ] {
        let mut run = Run::masked(Shape::Responses);
        let delta = |piece: &str| format!(r#"{{"type":"{kind}.delta",{members},"delta":"{piece}"}}"#);
        run.events(&[
            delta("zq7x.k1"),
            delta("@leak.exam"),
            delta("ple.com"),
            format!(r#"{{"type":"{kind}.done",{members}}}"#),
        ]);
        let data = run.data();
        let released: String = data.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(released, covered(EMAIL), "{kind}");
    }
    let mut run = Run::masked(Shape::Responses);
    let output = |out: &str| {
        format!(
            r#"{{"type":"response.shell_call_output_content.delta","item_id":"o","output_index":0,"command_index":0,"delta":{{"stdout":"{out}"}}}}"#
        )
    };
    run.events(&[output("zq7x.k1"), output("@leak.example.com"),
        r#"{"type":"response.shell_call_output_content.done","item_id":"o","output_index":0,"command_index":0,"output":[]}"#.to_owned()]);
    assert_eq!(run.data()[2]["delta"], json!({ "stdout": covered(EMAIL) }));
    assert!(!run.unescaped().contains("zq7x"));
}

#[test]
fn json_in_pieces_is_looked_at_as_json() {
    let mut run = Run::masked(Shape::Responses);
    let place = r#""item_id":"m","output_index":0,"content_index":0"#;
    let text = r#"{"mail": "zq7x.k1\u0040leak.example.com", "password": "hunter2"}"#;
    for piece in text.as_bytes().chunks(5) {
        let piece = json!(str::from_utf8(piece).unwrap());
        run.event(&format!(r#"{{"type":"response.output_text.delta",{place},"delta":{piece}}}"#));
    }
    run.event(&format!(r#"{{"type":"response.output_text.done",{place},"text":{}}}"#, json!(text)));
    let data = run.data();
    let released: String = data.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(Some(released.as_str()), data.last().unwrap()["text"].as_str());
    assert!(!run.unescaped().contains(EMAIL) && !run.unescaped().contains(PASSWORD));

    let mut run = Run::masked(Shape::Responses);
    run.event(&format!(
        r#"{{"type":"response.output_text.delta",{place},"delta":"[link](https://a.example) and more "}}"#
    ));
    assert_eq!(run.data()[0]["delta"], "[link](https://a.example) and more ", "only what may be JSON waits");
}

#[test]
fn what_events_tell_of_is_told_before_them() {
    let yields = |method: &str, path: &str| {
        let routes = Routes::published();
        match routes.find(method, path) {
            Found::Route { route, .. } => route.creates().to_vec(),
            Found::UnknownPath | Found::MethodNotAllowed(_) => unreachable!("{path} is a route"),
        }
    };
    let told = |shape: Shape, yields: Vec<Yield>, events: &[Value]| {
        let mut run = Run::new(closed(), shape, Options { yields, ..options(Firewall::On) });
        for event in events {
            run.event(&event.to_string());
        }
        let told = run.log.iter().enumerate().filter(|(_, line)| line.starts_with("told"));
        told.map(|(at, line)| format!("{at} {line}")).collect::<Vec<_>>()
    };
    let code = |container: &str| json!({ "type": "code_interpreter_call", "id": "ci_1", "container_id": container });
    let shell = json!({ "type": "shell_call_output", "id": "sh_1", "environment": { "container_id": "cntr_2" } });
    let events = [
        json!({ "type": "response.created", "response": { "id": "resp_1", "output": [] } }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": code("cntr_1") }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": code("cntr_1") }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": shell }),
        json!({ "type": "response.completed", "response": { "id": "resp_2", "output": [code("cntr_1"), shell] } }),
    ];
    let made = told(Shape::Responses, yields("POST", "/responses"), &events);
    let expected = [
        "0 told response=resp_1",
        "2 told item_reference=ci_1 container=cntr_1",
        "5 told item_reference=sh_1 container=cntr_2",
    ];
    assert_eq!(made, expected);
    // Read again, it makes nothing known but what is in it.
    let read = told(Shape::Responses, yields("GET", "/responses/resp_1"), &events[..2]);
    assert_eq!(read, ["1 told item_reference=ci_1 container=cntr_1"]);
    assert_eq!(told(Shape::Responses, Vec::new(), &events), [""; 0]);
    let run = [json!({ "object": "thread.run", "id": "run_1", "thread_id": "thread_1", "usage": null, "choices": [] })];
    assert_eq!(told(Shape::Other, yields("POST", "/threads/runs"), &run), ["0 told thread=thread_1"]);
}
