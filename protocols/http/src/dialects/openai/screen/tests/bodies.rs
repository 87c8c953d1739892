//! Answers that are one document.

use super::*;

fn body(shape: Shape, firewall: Firewall, body: &str) -> Run {
    let mut run = Run::new(closed(), shape, options(firewall));
    if let Err(fault) = run.screen.body(Bytes::copy_from_slice(body.as_bytes())) {
        run.log.push(format!("fault {}", fault.code()));
    }
    run.drain();
    assert_eq!(run.log.pop().unwrap(), "end");
    run
}

#[test]
fn every_text_of_a_body_is_masked() {
    for shape in [Shape::Chat, Shape::Completions, Shape::Responses, Shape::Other] {
        for text in [
            r#"{"choices":[{"message":{"content":"zq7x.k1@leak.example.com"}}]}"#,
            r#"{"choices":[{"message":{"content":"zq7x.k1\u0040leak.example.com"}}]}"#,
            r#"{"choices":[{"logprobs":{"content":[{"token":"zq7x.k1@","bytes":[122],"top_logprobs":[{"token":"zq7x"}]}]}}]}"#,
            r#"{"choices":[{"message":{"audio":{"transcript":"zq7x.k1@leak.example.com","data":"zq7x"}}}]}"#,
            r#"{"error":{"message":"no such user zq7x.k1@leak.example.com","code":null}}"#,
            r#"{"output":[{"type":"message","content":[{"text":"zq7x.k1@leak.example.com","annotations":[{"url":"mailto:zq7x.k1@leak.example.com"}]}]}]}"#,
            r#"{"output":[{"type":"mcp_call","output":"{\"to\":\"zq7x.k1\\u0040leak.example.com\",\"password\":\"zq7x\"}"}]}"#,
            r#"{"zq7x.k1@leak.example.com":1}"#,
        ] {
            let run = body(shape, Firewall::Off, text);
            let out: Value = serde_json::from_str(&run.log[0]).unwrap();
            let mut texts = run.log[0].clone();
            push_texts(&out, &mut texts);
            assert!(!texts.contains("zq7x"), "{texts}");
        }
    }
}

#[test]
fn a_body_that_nothing_is_done_to_keeps_its_bytes() {
    let text = r#" { "id":"resp_1","object":"response", "n": 1.50, "data":[{"b64_json":"aGk="}],"usage":{"input_tokens":3,"output_tokens":4},
        "conversation":{"id":"conv_1"},"output":[{"type":"code_interpreter_call","container_id":"cntr_1"}] }"#;
    for firewall in [Firewall::On, Firewall::Off] {
        let run = body(Shape::Responses, firewall, text);
        assert_eq!(run.log, [text]);
        assert_eq!(run.screen.usage().map(|usage| usage.total_tokens), Some(7));
        let notes = run.screen.notes();
        assert_eq!(notes.object.as_deref(), Some("resp_1"));
    }
}

#[test]
fn calls_of_a_message_are_asked_about_in_order() {
    let run = body(
        Shape::Chat,
        Firewall::On,
        r#"{"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[
            {"id":"a","type":"function","function":{"name":"fine","arguments":"{\"to\":\"zq7x.k1@leak.example.com\"}"}},
            {"id":"b","type":"custom","custom":{"name":"bad","input":"x"}}]}},
           {"index":1,"finish_reason":"tool_calls","message":{"content":"Well.","tool_calls":[{"id":"c","function":{"name":"bad","arguments":"{}"}}]}},
           {"index":2,"finish_reason":"function_call","message":{"function_call":{"name":"bad","arguments":"{}"}}}]}"#,
    );
    assert_eq!(run.log[0], format!(r#"ask Function a fine {{"to":"{EMAIL}"}}"#));
    assert_eq!(run.log[1..4], ["ask Custom b bad x", "ask Function c bad {}", "ask Function  bad {}"]);
    let out: Value = serde_json::from_str(&run.log[4]).unwrap();
    let words = "A call to a tool was refused by policy (rule no-tools): not here";
    let first = &out["choices"][0];
    assert_eq!(first["finish_reason"], "tool_calls");
    assert_eq!(first["message"]["content"], words);
    assert_eq!(first["message"]["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(first["message"]["tool_calls"][0]["function"]["arguments"], covered(&format!(r#"{{"to":"{EMAIL}"}}"#)));
    assert_eq!(
        out["choices"][1],
        json!({ "index": 1, "finish_reason": "stop", "message": { "content": format!("Well.\n\n{words}") } })
    );
    assert_eq!(out["choices"][2], json!({ "index": 2, "finish_reason": "stop", "message": { "content": words } }));
    assert_eq!(run.screen.notes().calls, ["a"]);
}

#[test]
fn calls_of_a_response_are_asked_about_wherever_it_stands() {
    let item = r#"{"type":"function_call","call_id":"c","name":"bad","arguments":"{}"}"#;
    for text in [
        format!(r#"{{"object":"response","output":[{{"type":"reasoning"}},{item}]}}"#),
        format!(r#"{{"data":[{{"output":[1,{item}]}}]}}"#),
    ] {
        let run = body(Shape::Responses, Firewall::On, &text);
        assert_eq!(run.log[0], "ask Function c bad {}");
        assert!(
            run.log[1].contains(r#"{"id":"msg_refused_1","type":"message","status":"completed""#),
            "{}",
            run.log[1]
        );
        assert!(!run.log[1].contains("function_call"));
    }
}

#[test]
fn a_body_that_cannot_be_read_does_not_leave() {
    for (text, code) in [
        ("", "answer_not_json"),
        ("<html>zq7x.k1@leak.example.com</html>", "answer_not_json"),
        (r#"{"a":1,"\u0061":"zq7x.k1@leak.example.com"}"#, "answer_not_json"),
        (&"[".repeat(100_000), "answer_not_json"),
    ] {
        let run = body(Shape::Other, Firewall::On, text);
        assert_eq!(run.log, [format!("fault {code}")]);
        assert!(run.raw.is_empty());
    }
}

#[test]
fn calls_that_stand_elsewhere_are_asked_about_and_decide_on_the_whole() {
    for place in [
        r#"{"required_action":{"submit_tool_outputs":{"tool_calls":[{"id":"c","function":{"name":"NAME","arguments":"{}"}}]}}}"#,
        r#"{"data":[{"type":"function_call","call_id":"c","name":"NAME","arguments":"{}"}]}"#,
        r#"{"type":"function_call","call_id":"c","name":"NAME","arguments":"{}"}"#,
        r#"{"data":[{"role":"assistant","function_call":{"id":"c","name":"NAME","arguments":"{}"}}]}"#,
        r#"{"output":{"item":{"type":"function_call","call_id":"c","name":"NAME","arguments":"{}"}}}"#,
        r#"{"output":[{"type":"message","content":[{"type":"function_call","call_id":"c","name":"NAME","arguments":"{}"}]}]}"#,
        r#"{"response":{"choices":{"message":{"tool_calls":[{"id":"c","function":{"name":"NAME","arguments":"{}"}}]}}}}"#,
    ] {
        let good = place.replace("NAME", "good");
        let run = body(Shape::Other, Firewall::On, &good);
        assert_eq!(run.log, ["ask Function c good {}", good.as_str()]);
        let run = body(Shape::Other, Firewall::On, &place.replace("NAME", "bad"));
        assert_eq!(run.log, ["ask Function c bad {}"], "{place}");
        assert_eq!(run.screen.fault(), Some(Fault::Refused));
        assert!(run.raw.is_empty());
    }
    let hosted = r#"{"step_details":{"type":"tool_calls","tool_calls":[{"id":"c","type":"code_interpreter"}]}}"#;
    assert_eq!(body(Shape::Other, Firewall::On, hosted).log, [hosted]);
}
