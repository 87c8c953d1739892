//! Calls of tools: asked about before their first byte leaves.

use super::*;

fn tools(index: i64, calls: Value, reason: Option<&str>) -> String {
    json!({ "id": "chatcmpl-1", "choices": [{ "index": index, "delta": { "tool_calls": calls }, "finish_reason": reason }] })
        .to_string()
}

fn finish(index: i64, reason: &str) -> String {
    json!({ "id": "chatcmpl-1", "choices": [{ "index": index, "delta": {}, "finish_reason": reason }] }).to_string()
}

fn text(index: i64, text: &str) -> String {
    json!({ "choices": [{ "index": index, "delta": { "content": text } }] }).to_string()
}

const WORDS: &str = "A call to a tool was refused by policy (rule no-tools): not here";

#[test]
fn a_chat_call_is_put_together_and_asked_about_before_it_leaves() {
    let mut run = Run::guarded(Shape::Chat);
    run.events(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"send","arguments":""}}]}}]}"#.to_owned(),
        tools(0, json!([{ "index": 0, "function": { "arguments": "{\"to\":\"zq7x" } }]), None),
        tools(0, json!([{ "index": 0, "function": { "name": "_mail", "arguments": ".k1@leak.example.com\"}" } }]), None),
        finish(0, "tool_calls"),
        "[DONE]".to_owned(),
    ])
    .end(End::Clean);
    assert_eq!(run.log[0], r#"|{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#);
    assert_eq!(run.log[1], format!(r#"ask Function call_1 send_mail {{"to":"{EMAIL}"}}"#));
    let arguments = covered(&format!(r#"{{"to":"{EMAIL}"}}"#));
    let calls = json!([{ "index": 0, "id": "call_1", "type": "function", "function": { "name": "send_mail", "arguments": arguments } }]);
    assert_eq!(run.data()[1]["choices"][0]["delta"], json!({ "tool_calls": calls }));
    assert_eq!(run.data()[2]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(run.log[4..], ["|[DONE]", "end"]);
    assert_eq!(run.screen.notes().calls, ["call_1"]);
}

#[test]
fn interleaved_calls_and_choices_are_kept_apart() {
    let mut run = Run::guarded(Shape::Chat);
    run.events(&[
        tools(
            0,
            json!([{ "index": 0, "id": "a", "function": { "name": "bad_one", "arguments": "{\"to\":\"zq7x" } }]),
            None,
        ),
        tools(0, json!([{ "index": 1, "id": "b", "function": { "name": "two", "arguments": "{\"n\":" } }]), None),
        text(1, "meanwhile "),
        tools(1, json!([{ "index": 0, "id": "c", "function": { "name": "three", "arguments": "{}" } }]), None),
        tools(
            0,
            json!([{ "index": 0, "function": { "arguments": ".k1@leak.example.com\"}" } },
            { "index": 1, "function": { "arguments": "1}" } }]),
            None,
        ),
        finish(0, "tool_calls"),
        finish(1, "tool_calls"),
        "[DONE]".to_owned(),
    ]);
    assert_eq!(run.log[0], format!("|{}", text(1, "meanwhile ")));
    assert_eq!(
        run.log[1..3],
        [format!(r#"ask Function a bad_one {{"to":"{EMAIL}"}}"#), r#"ask Function b two {"n":1}"#.to_owned()]
    );
    let choices: Vec<Value> = run.data().iter().map(|chunk| chunk["choices"][0].clone()).collect();
    assert_eq!(choices[1]["delta"]["tool_calls"][0]["index"], 0, "counted without gaps");
    assert_eq!(choices[1]["delta"]["tool_calls"][0]["id"], "b");
    assert_eq!(choices[2]["delta"], json!({ "content": WORDS }));
    assert_eq!(choices[3]["finish_reason"], "tool_calls", "one is left");
    assert_eq!(run.log[6], "ask Function c three {}");
    assert_eq!(choices[4]["index"], 1);
    assert!(!run.unescaped().contains("zq7x") && !run.unescaped().contains("bad_one"));
}

#[test]
fn a_choice_without_calls_has_no_reason_to_call() {
    for (events, reason) in [
        (vec![tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "bad", "arguments": "{}" } }]), None), finish(0, "tool_calls")], Some("stop")),
        (vec![tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "bad", "arguments": "{}" } }]), Some("tool_calls"))], Some("stop")),
        (vec![tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "bad", "arguments": "{}" } }]), Some("length"))], Some("length")),
        (vec![json!({ "choices": [{ "index": 0, "delta": { "function_call": { "name": "bad", "arguments": "{" } } }] }).to_string(), finish(0, "function_call")], Some("stop")),
        (vec![tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "bad", "arguments": "{}" } }]), None), "[DONE]".to_owned()], None),
    ] {
        let mut run = Run::guarded(Shape::Chat);
        run.event(&text(0, "Well. ")).events(&events);
        let choices: Vec<Value> = run.data().iter().map(|chunk| chunk["choices"][0].clone()).collect();
        assert_eq!(choices[1]["delta"]["content"], format!("\n\n{WORDS}"), "{:?}", run.log);
        assert_eq!(choices.last().unwrap()["finish_reason"].as_str(), reason);
        assert!(!choices.iter().any(|choice| choice["delta"].get("tool_calls").is_some_and(|calls| calls[0].is_object())));
        assert!(run.screen.notes().calls.is_empty());
    }
}

#[test]
fn other_forms_of_calls_are_calls() {
    let custom = json!([{ "index": 0, "id": "a", "type": "custom", "extra": { "x": 1 }, "custom": { "name": "patch", "input": "*** zq7x.k1@leak.example.com" } }]);
    let mut run = Run::guarded(Shape::Chat);
    run.events(&[tools(0, custom, None), finish(0, "tool_calls")]);
    assert_eq!(run.log[0], format!("ask Custom a patch *** {EMAIL}"));
    let call = run.data()[0]["choices"][0]["delta"]["tool_calls"][0].clone();
    assert_eq!(
        call,
        json!({ "index": 0, "id": "a", "type": "custom", "custom": { "name": "patch", "input": covered(&format!("*** {EMAIL}")) }, "extra": { "x": 1 } })
    );

    let mut run = Run::guarded(Shape::Chat);
    let old = |call: Value| json!({ "choices": [{ "index": 0, "delta": { "function_call": call } }] }).to_string();
    run.events(&[
        old(json!({ "name": "f", "arguments": "{" })),
        old(json!({ "arguments": "}" })),
        finish(0, "function_call"),
    ]);
    assert_eq!(run.log[0], "ask Function  f {}");
    assert_eq!(run.data()[0]["choices"][0]["delta"], json!({ "function_call": { "name": "f", "arguments": "{}" } }));

    let unknown = json!([{ "index": 0, "id": "a", "type": "rocket", "rocket": { "name": "moon" } }]);
    let mut run = Run::guarded(Shape::Chat);
    run.events(&[tools(0, unknown, None), finish(0, "tool_calls")]);
    assert_eq!(run.log[0], "ask Unknown a rocket ");
    assert!(!run.unescaped().contains("moon"), "what nobody ruled on does not leave");

    // Without indexes another id is another call.
    let mut run = Run::guarded(Shape::Chat);
    let bare = |id: &str| {
        tools(0, json!([{ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }]), None)
    };
    run.events(&[bare("a"), bare("b"), finish(0, "tool_calls")]);
    assert_eq!(run.log[..2], ["ask Function a f {}", "ask Function b f {}"]);
}

#[test]
fn calls_where_a_stream_has_none_are_refused() {
    for event in [
        r#"{"choices":[{"index":0,"message":{"tool_calls":[{"id":"a"}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{}},{"index":0,"delta":{}}]}"#,
        r#"{"choices":[{"index":"0","delta":{}}]}"#,
    ] {
        let mut run = Run::guarded(Shape::Chat);
        run.event(event);
        assert!(run.log[0].starts_with("fault answer_"), "{event}");
        assert_eq!(run.log.len(), 3);
    }
    let mut run = Run::guarded(Shape::Chat);
    run.events(&[finish(0, "stop"), tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "f" } }]), None)]);
    assert_eq!(run.log[1], "fault answer_contradicts");
}

/// The events of one call of a function, with its arguments in two pieces.
fn call(index: i64, name: &str, number: i64) -> Vec<String> {
    let item = |status: &str, arguments: &str| {
        json!({ "id": format!("fc_{index}"), "type": "function_call", "status": status, "arguments": arguments,
            "call_id": format!("call_{index}"), "name": name })
    };
    let whole = format!(r#"{{"to":"{EMAIL}"}}"#);
    let (first, second) = whole.split_at(10);
    [
        json!({ "type": "response.output_item.added", "output_index": index, "item": item("in_progress", "") }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": index, "item_id": format!("fc_{index}"), "delta": first }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": index, "item_id": format!("fc_{index}"), "delta": second }),
        json!({ "type": "response.function_call_arguments.done", "output_index": index, "item_id": format!("fc_{index}"), "arguments": whole }),
        json!({ "type": "response.output_item.done", "output_index": index, "item": item("completed", &whole) }),
    ]
    .into_iter()
    .zip(number..)
    .map(|(mut event, number)| {
        event["sequence_number"] = number.into();
        event.to_string()
    })
    .collect()
}

fn completed(items: &[&str]) -> String {
    let items: Vec<Value> =
        items.iter().map(|event| serde_json::from_str::<Value>(event).unwrap()["item"].clone()).collect();
    json!({ "type": "response.completed", "sequence_number": 90, "response": { "id": "resp_1", "output": items } })
        .to_string()
}

#[test]
fn a_call_of_a_response_leaves_when_it_is_allowed_and_in_one_piece() {
    let events = call(0, "send", 1);
    let mut run = Run::guarded(Shape::Responses);
    run.events(&events[..4]);
    assert!(run.log.is_empty());
    run.event(&events[4]).event(&completed(&[&events[4]])).end(End::Clean);
    assert_eq!(run.log[0], format!(r#"ask Function call_0 send {{"to":"{EMAIL}"}}"#));
    let kinds: Vec<&str> = run.log.iter().filter_map(|line| Some(line.split_once('|')?.0)).collect();
    assert_eq!(
        kinds,
        [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let arguments = covered(&format!(r#"{{"to":"{EMAIL}"}}"#));
    let data = run.data();
    assert_eq!(data[0]["item"]["arguments"], "");
    assert_eq!(data[0]["item"]["status"], "in_progress");
    assert_eq!(data[1]["delta"], arguments);
    assert_eq!(data[2]["arguments"], arguments);
    assert_eq!(data[3]["item"]["arguments"], arguments);
    assert_eq!(data[4]["response"]["output"][0]["arguments"], arguments);
    let numbers: Vec<i64> = data.iter().map(|event| event["sequence_number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(run.screen.notes().calls, ["call_0"]);
}

#[test]
fn a_message_stands_where_a_refused_call_was() {
    let events = call(2, "bad", 7);
    let mut run = Run::guarded(Shape::Responses);
    run.event(r#"{"type":"response.created","sequence_number":6,"response":{"output":[]}}"#);
    run.events(&events)
        .event(&completed(&[r#"{"item":{"type":"message"}}"#, r#"{"item":{"type":"reasoning"}}"#, &events[4]]))
        .end(End::Clean);
    let item = json!({ "id": "msg_refused_2", "type": "message", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": WORDS, "annotations": [], "logprobs": [] }] });
    let expected = [
        json!({ "type": "response.output_item.added", "sequence_number": 7, "output_index": 2,
            "item": { "id": "msg_refused_2", "type": "message", "status": "in_progress", "role": "assistant", "content": [] } }),
        json!({ "type": "response.content_part.added", "sequence_number": 8, "item_id": "msg_refused_2", "output_index": 2,
            "content_index": 0, "part": { "type": "output_text", "text": "", "annotations": [], "logprobs": [] } }),
        json!({ "type": "response.output_text.delta", "sequence_number": 9, "item_id": "msg_refused_2", "output_index": 2,
            "content_index": 0, "delta": WORDS, "logprobs": [] }),
        json!({ "type": "response.output_text.done", "sequence_number": 10, "item_id": "msg_refused_2", "output_index": 2,
            "content_index": 0, "text": WORDS, "logprobs": [] }),
        json!({ "type": "response.content_part.done", "sequence_number": 11, "item_id": "msg_refused_2", "output_index": 2,
            "content_index": 0, "part": item["content"][0] }),
        json!({ "type": "response.output_item.done", "sequence_number": 12, "output_index": 2, "item": item }),
    ];
    assert_eq!(run.data()[1..7], expected);
    assert_eq!(run.data()[7]["response"]["output"][2], item);
    assert_eq!(run.data()[7]["sequence_number"], 13);
    assert!(run.log[1].starts_with("ask ") && run.log.last().unwrap() == "end");
    assert!(!run.unescaped().contains("call_2") && !run.unescaped().contains("bad"));
}

#[test]
fn other_items_go_on_while_a_call_is_under_way() {
    let events = call(0, "send", 1);
    let mut run = Run::guarded(Shape::Responses);
    let other = |number: i64| {
        format!(
            r#"{{"type":"response.output_text.delta","sequence_number":{number},"output_index":1,"content_index":0,"item_id":"m","delta":"Hi. "}}"#
        )
    };
    run.event(r#"{"type":"response.created","sequence_number":0,"response":{}}"#);
    run.events(&[&events[0], &other(9), &events[1], &other(10), &events[2], &events[3], &events[4]]);
    let data = run.data();
    assert_eq!(data[1]["type"], "response.output_text.delta");
    let numbers: Vec<i64> = data.iter().map(|event| event["sequence_number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn whatever_a_client_carries_out_is_asked_about() {
    for (item, question) in [
        (
            json!({ "type": "custom_tool_call", "call_id": "c", "name": "n", "input": "free text" }),
            "ask Custom c n free text",
        ),
        (
            json!({ "type": "shell_call", "call_id": "c", "action": { "commands": ["ls"] } }),
            r#"ask Shell c shell {"commands":["ls"]}"#,
        ),
        (
            json!({ "type": "local_shell_call", "call_id": "c", "action": { "command": ["ls"] } }),
            r#"ask LocalShell c local_shell {"command":["ls"]}"#,
        ),
        (
            json!({ "type": "apply_patch_call", "call_id": "c", "operation": { "path": "p" } }),
            r#"ask ApplyPatch c apply_patch {"path":"p"}"#,
        ),
        (
            json!({ "type": "computer_call", "call_id": "c", "action": { "type": "click" } }),
            r#"ask Computer c computer {"type":"click"}"#,
        ),
        (
            json!({ "type": "computer_call", "call_id": "c", "action": null, "actions": [1] }),
            "ask Computer c computer [1]",
        ),
        (
            json!({ "type": "mcp_approval_request", "id": "m", "name": "n", "server_label": "s", "arguments": "{}" }),
            "ask McpApproval m n {}",
        ),
        (
            json!({ "type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {} }),
            "ask ToolSearch c tool_search {}",
        ),
        (json!({ "id": "r", "type": "rocket" }), r#"ask Unknown r rocket {"id":"r","type":"rocket"}"#),
    ] {
        let done = json!({ "type": "response.output_item.done", "output_index": 0, "item": item }).to_string();
        let mut run = Run::guarded(Shape::Responses);
        run.event(&done).event(&completed(&[&done]));
        assert_eq!(run.log[0], question);
        assert_eq!(run.data()[0]["item"], item);
        assert_eq!(run.log.len(), 3, "asked once: {:?}", run.log);
    }
    for kind in [
        "message",
        "reasoning",
        "mcp_call",
        "code_interpreter_call",
        "web_search_call",
        "file_search_call",
        "shell_call_output",
    ] {
        let mut run = Run::guarded(Shape::Responses);
        run.event(&json!({ "type": "response.output_item.done", "output_index": 0, "item": { "type": kind, "arguments": "{}" } }).to_string());
        assert_eq!((run.log.len(), run.data().len()), (1, 1), "{kind}");
    }
}

#[test]
fn commands_and_patches_in_pieces_agree_with_what_was_ruled_on() {
    let item = |commands: Value| json!({ "id": "sh", "type": "shell_call", "status": "completed", "call_id": "c", "action": { "commands": commands } });
    let mut run = Run::guarded(Shape::Responses);
    run.events(&[
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item(json!([])) }).to_string(),
        json!({ "type": "response.shell_call_command.added", "output_index": 0, "command_index": 0, "command": "" }).to_string(),
        json!({ "type": "response.shell_call_command.delta", "output_index": 0, "command_index": 0, "delta": "rm -rf /" }).to_string(),
        json!({ "type": "response.shell_call_command.done", "output_index": 0, "command_index": 0, "command": "rm -rf /" }).to_string(),
        json!({ "type": "response.shell_call_command.delta", "output_index": 0, "command_index": 1, "delta": "x" }).to_string(),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item(json!(["ls"])) }).to_string(),
        json!({ "type": "response.shell_call_command.done", "output_index": 0, "command_index": 0, "command": "rm -rf /" }).to_string(),
    ]);
    assert_eq!(run.log[0], r#"ask Shell c shell {"commands":["ls"]}"#);
    let data = run.data();
    assert_eq!(data.len(), 5, "{data:?}");
    assert_eq!((data[0]["item"]["action"]["commands"].clone(), data[1]["command"].clone()), (json!([]), json!("")));
    assert_eq!((data[2]["delta"].clone(), data[3]["command"].clone()), (json!("ls"), json!("ls")));
    assert!(!run.unescaped().contains("rm -rf"));

    let patch = |diff: &str| json!({ "id": "p", "type": "apply_patch_call", "call_id": "c", "operation": { "type": "update_file", "diff": diff } });
    let mut run = Run::guarded(Shape::Responses);
    run.events(&[
        json!({ "type": "response.output_item.added", "output_index": 0, "item": patch("") }).to_string(),
        json!({ "type": "response.apply_patch_call_operation_diff.delta", "output_index": 0, "item_id": "p", "delta": "+a" }).to_string(),
        json!({ "type": "response.something.delta", "output_index": 0, "item_id": "p", "delta": "+b" }).to_string(),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": patch("+a+b") }).to_string(),
    ]);
    assert_eq!(run.data()[1]["delta"], "+a+b");
    assert_eq!(run.data().len(), 3);
}

#[test]
fn an_answer_that_says_two_things_is_refused() {
    let [added, delta, _, _, done]: [String; 5] = call(0, "send", 1).try_into().unwrap();
    let message = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message"}}"#.to_owned();
    for events in [
        vec![added.clone(), message],
        vec![added.clone(), added.clone()],
        vec![delta.clone()],
        vec![r#"{"type":"response.output_item.done","item":{"type":"function_call"}}"#.to_owned()],
        vec![r#"{"type":"conversation.item.created","item":{"type":"function_call"}}"#.to_owned()],
    ] {
        let mut run = Run::guarded(Shape::Responses);
        run.events(&events);
        assert!(run.log[0].starts_with("fault answer_"), "{events:?}");
        assert!(!run.unescaped().contains("call_0"));
    }
    // What comes after the end of a call drops out.
    let mut run = Run::guarded(Shape::Responses);
    run.events(&[added, done.clone(), delta, done.clone(), completed(&[&done])]);
    assert_eq!(run.data().len(), 3);
    assert!(run.fault_free());
}

#[test]
fn a_whole_response_holds_no_call_that_nobody_ruled_on() {
    let done = call(0, "bad", 1).pop().unwrap();
    let fine = call(1, "fine", 1).pop().unwrap();
    let mut run = Run::guarded(Shape::Responses);
    // Twice the same call: the second is another one.
    run.event(&done).event(&completed(&[&done, &fine, &fine, &done])).end(End::Clean);
    let asked: Vec<&str> =
        run.log.iter().filter(|line| line.starts_with("ask")).map(|line| line.split(' ').nth(3).unwrap()).collect();
    assert_eq!(asked, ["bad", "fine", "fine", "bad"]);
    let output = run.data().last().unwrap()["response"]["output"].clone();
    let kinds: Vec<&str> = output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call", "message"]);
}

#[test]
fn a_call_that_is_cut_short_never_leaves() {
    let events = call(0, "send", 1);
    for end in [Some(End::Clean), Some(End::Broken), None] {
        let mut run = Run::guarded(Shape::Responses);
        run.events(&events[..4]);
        match end {
            Some(end) => run.end(end),
            None => run.event(r#"{"type":"response.incomplete","response":{"output":[]}}"#),
        };
        assert!(!run.unescaped().contains("call_0") && !run.log[0].starts_with("ask"), "{:?}", run.log);
        let mut run = Run::guarded(Shape::Chat);
        run.event(&tools(0, json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{" } }]), None));
        run.end(end.unwrap_or(End::Broken));
        assert_eq!(run.log.len(), 2);
        assert!(run.log[0].contains("answer_torn"));
    }
}

#[test]
fn nothing_overtakes_a_question() {
    let mut screen = Screen::new(closed(), Shape::Chat, options(Firewall::On));
    let event = |data: &str| Event { name: None, data: Bytes::copy_from_slice(data.as_bytes()) };
    screen
        .event(event(&tools(
            0,
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } }]),
            Some("tool_calls"),
        )))
        .unwrap();
    assert!(matches!(screen.next(), Some(Next::Ask(_))));
    screen.event(event(&text(1, "Hi. "))).unwrap();
    screen.event(event("[DONE]")).unwrap();
    screen.end(End::Clean);
    assert_eq!(screen.next(), None);
    screen.ruled(CallRuling::Allow);
    let mut left = Vec::new();
    while let Some(Next::Bytes(bytes)) = screen.next() {
        left.push(String::from_utf8(bytes.to_vec()).unwrap());
    }
    assert_eq!(left.len(), 4);
    assert!(left[0].contains("tool_calls") && left[2].contains("Hi. ") && left[3] == "data: [DONE]\n\n");
}

#[test]
fn a_question_dies_with_the_answer() {
    let mut screen = Screen::new(closed(), Shape::Responses, options(Firewall::On));
    let done = call(0, "send", 1).pop().unwrap();
    screen.event(Event { name: None, data: done.into() }).unwrap();
    let refusal =
        sluice_model::Refusal::builtin(sluice_model::Code::Revoked, "session-revoked", "the session was revoked");
    screen.fail(&Words::of(&refusal));
    assert!(matches!(screen.next(), Some(Next::Bytes(bytes)) if bytes.starts_with(b"event: error\n")));
    assert_eq!(screen.next(), Some(Next::Finished));
    screen.ruled(CallRuling::Allow);
    assert_eq!(screen.next(), None);
}
