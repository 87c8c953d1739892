//! What honest requests are understood as.

use super::*;
use crate::dialects::openai::estimate::Bound;

#[test]
fn what_a_chat_asks_for() {
    let world = World::new();
    let body = r#"{"model":"fast","messages":[{"role":"system","content":"be kind"},{"role":"user","content":[{"type":"text","text":"hi"}]}],
        "stream":true,"service_tier":"priority","max_completion_tokens":50,"n":2,"tools":[{"type":"function","function":{"name":"lookup_order","parameters":{"Type":"object"}}}]}"#;
    world.asked(CHAT, body, |asked| {
        assert_eq!(asked.model.as_deref(), Some("fast"));
        assert_eq!(asked.real_model.as_deref(), Some("gpt-small-2026"));
        assert_eq!(asked.stream, Stream::Events);
        assert_eq!(asked.when, When::Now);
        assert_eq!(asked.usage, Usage::Injected);
        assert_eq!(asked.messages, 2);
        assert_eq!(asked.tier.as_deref(), Some("priority"));
        assert_eq!(asked.estimate.output_tokens, 100);
        assert!(asked.outputs.is_empty() && asked.ids.is_empty() && asked.fetched.is_empty() && asked.inline == 0);
    });
    assert_eq!(world.tools(CHAT, body), ["Function lookup_order"]);
}

#[test]
fn untouched_bytes_survive() {
    let world = World::new();
    let body =
        r#" {"model" : "gpt-small", "messages":[ {"role":"user","content":"\u0040 \/"} ],  "temperature":1.0e0 }"#;
    assert_eq!(world.sent(CHAT, body), body);
}

#[test]
fn models_get_their_real_names_wherever_they_stand() {
    let world = World::new();
    let body = r#"{"model":"fast","input":"hi","moderation":{"model":"fast"},"tools":[{"type":"image_generation","model":"fast","svg":{"model":"gpt-small"}}]}"#;
    let sent = body.replace("\"fast\"", "\"gpt-small-2026\"");
    assert_eq!(world.sent(RESPONSES, body), sent);
    world.asked(RESPONSES, body, |asked| {
        assert_eq!(asked.models.iter().map(String::as_str).collect::<Vec<_>>(), ["fast", "gpt-small"]);
    });
}

#[test]
fn streams() {
    let world = World::new();
    let stream = |path: &str, body: &str| world.asked(path, body, |asked| asked.stream);
    assert_eq!(stream(CHAT, &chat("")), Stream::Whole);
    assert_eq!(stream(CHAT, &chat(r#","stream":false"#)), Stream::Whole);
    assert_eq!(stream(CHAT, &chat(r#","stream":null"#)), Stream::Whole);
    assert_eq!(stream(CHAT, &chat(r#","stream":true"#)), Stream::Events);
    let speech = r#"{"model":"gpt-small","input":"hi","voice":"ash","stream_format":"sse"}"#;
    assert_eq!(stream("/audio/speech", speech), Stream::Events);
    assert_eq!(stream("/audio/speech", &speech.replace("sse", "audio")), Stream::Whole);
    let when = |more: &str| world.asked(RESPONSES, &response(more), |asked| asked.when);
    assert_eq!((when(""), when(r#","background":true"#)), (When::Now, When::Later));
    for wrong in ["\"true\"", "1", "[true]", "{}"] {
        assert_eq!(world.verdict(CHAT, &chat(&format!(r#","stream":{wrong}"#))), "400 invalid_type stream", "{wrong}");
        assert_eq!(
            world.verdict(RESPONSES, &response(&format!(r#","background":{wrong}"#))),
            "400 invalid_type background"
        );
    }
}

#[test]
fn the_background_of_an_image_is_no_time() {
    let body = r#"{"model":"gpt-small","prompt":"x","background":"transparent"}"#;
    World::new().asked("/images/generations", body, |asked| assert_eq!(asked.when, When::Now));
}

#[test]
fn usage_is_asked_for() {
    let world = World::new();
    let rows = [
        ("", Usage::Injected, r#","stream_options":{"include_usage":true}}"#),
        (r#","stream_options":null"#, Usage::Injected, r#","stream_options":{"include_usage":true}}"#),
        (r#","stream_options":{}"#, Usage::Injected, r#","stream_options":{"include_usage":true}}"#),
        (
            r#","stream_options":{"include_usage":false}"#,
            Usage::Injected,
            r#","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#","stream_options":{"include_usage":null}"#,
            Usage::Injected,
            r#","stream_options":{"include_usage":true}}"#,
        ),
        (r#","stream_options":{"include_usage":true}"#, Usage::Asked, r#","stream_options":{"include_usage":true}}"#),
    ];
    for (options, usage, end) in rows {
        let body = chat(&format!(r#","stream":true{options}"#));
        assert_eq!(world.asked(CHAT, &body, |asked| asked.usage), usage, "{options}");
        assert!(world.sent(CHAT, &body).ends_with(end), "{options}");
    }
    let obfuscated = chat(r#","stream":true,"stream_options":{"include_obfuscation":false}"#);
    assert!(world.sent(CHAT, &obfuscated).ends_with(r#"{"include_obfuscation":false,"include_usage":true}}"#));
    assert_eq!(world.asked(CHAT, &chat(""), |asked| asked.usage), Usage::AsUsual);
    assert_eq!(world.asked(RESPONSES, &response(r#","stream":true"#), |asked| asked.usage), Usage::AsUsual);
    let old = r#"{"model":"gpt-small","prompt":"hi","stream":true}"#;
    assert_eq!(world.asked("/completions", old, |asked| asked.usage), Usage::Injected);
    world.table(
        CHAT,
        &[
            (&chat(r#","stream":true,"stream_options":[]"#), "400 invalid_type stream_options"),
            (&chat(r#","stream":true,"stream_options":{"include_usage":"no"}"#), "400 invalid_type include_usage"),
        ],
    );
}

#[test]
fn ids_of_every_kind() {
    let world = World::new();
    let body = r#"{"model":"gpt-small","previous_response_id":"resp_1","conversation":{"id":"conv_1"},"prompt":{"id":"pmpt_1","version":"2","variables":{"City":"Rome","Doc":{"type":"input_file","file_id":"file-9"}}},
        "prompt_cache_options":{"comparison_response_id":"resp_2"},
        "input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1","detail":"auto"},{"type":"input_file","file_id":"file-2"}]},
            {"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"type":"reasoning","id":"rs_1","summary":[]},{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"x"},
            {"type":"function_call","id":"fc_1","call_id":"call_1","name":"lookup_order","arguments":"{}"},
            {"type":"function_call_output","call_id":"call_1","output":[{"type":"input_file","file_id":"file-3"}]},
            {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1","code":"1","outputs":[{"type":"image","url":"https://x/"}],"status":"completed"}],
        "tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]},{"type":"code_interpreter","container":"cntr_2"},
            {"type":"code_interpreter","container":{"type":"auto","file_ids":["file-4"]}},
            {"type":"shell","environment":{"type":"container_reference","container_id":"cntr_3"}},
            {"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference","skill_id":"skill_1"}]}},
            {"type":"image_generation","input_image_mask":{"file_id":"file-5"}}]}"#;
    let expected = [
        "container cntr_1",
        "container cntr_2",
        "container cntr_3",
        "conversation conv_1",
        "file file-1",
        "file file-2",
        "file file-3",
        "file file-4",
        "file file-5",
        "file file-9",
        "item ci_1",
        "item fc_1",
        "item rs_2",
        "item_reference msg_1",
        "item_reference msg_2",
        "item_reference rs_1",
        "prompt pmpt_1",
        "response resp_1",
        "response resp_2",
        "skill skill_1",
        "vector_store vs_1",
        "vector_store vs_2",
    ];
    assert_eq!(world.ids(RESPONSES, body), expected);
    assert_eq!(world.ids(RESPONSES, &response(r#","conversation":"conv_2""#)), ["conversation conv_2"]);
}

#[test]
fn ids_of_other_operations() {
    let world = World::new();
    let rows = [
        (
            "/batches",
            r#"{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}"#,
            vec!["file file-1"],
        ),
        (
            "/fine_tuning/jobs",
            r#"{"model":"gpt-small","training_file":"file-1","validation_file":"file-2"}"#,
            vec!["file file-1", "file file-2"],
        ),
        (
            "/threads/runs",
            r#"{"assistant_id":"asst_1","thread":{"messages":[{"role":"user","content":"x","attachments":[{"file_id":"file-1","tools":[{"type":"file_search"}]}]}]}}"#,
            vec!["assistant asst_1", "file file-1"],
        ),
        (
            "/threads",
            r#"{"tool_resources":{"file_search":{"vector_store_ids":["vs_1"]},"code_interpreter":{"file_ids":["file-1"]}}}"#,
            vec!["file file-1", "vector_store vs_1"],
        ),
        (
            "/threads/thread_1/messages",
            r#"{"role":"user","content":[{"type":"image_file","image_file":{"file_id":"file-1"}}]}"#,
            vec!["file file-1"],
        ),
        ("/vector_stores", r#"{"file_ids":["file-1"],"name":"a"}"#, vec!["file file-1"]),
        (
            "/vector_stores/vs_1/file_batches",
            r#"{"files":[{"file_id":"file-1","attributes":{"X":"y"}}]}"#,
            vec!["file file-1"],
        ),
        (
            "/containers",
            r#"{"name":"a","file_ids":["file-1"],"skills":[{"type":"skill_reference","skill_id":"skill_1"}]}"#,
            vec!["file file-1", "skill skill_1"],
        ),
        ("/uploads/upload_1/complete", r#"{"part_ids":["part_1"]}"#, vec!["part part_1"]),
        (
            "/evals/eval_1/runs",
            r#"{"data_source":{"type":"jsonl","source":{"type":"file_id","id":"file-1"}}}"#,
            vec!["file file-1"],
        ),
        ("/audio/speech", r#"{"model":"gpt-small","input":"x","voice":{"id":"voice_1"}}"#, vec!["voice voice_1"]),
        ("/conversations", r#"{"items":[{"type":"item_reference","id":"msg_1"}]}"#, vec!["item_reference msg_1"]),
        (
            CHAT,
            r#"{"model":"gpt-small","messages":[{"role":"assistant","audio":{"id":"audio_1"}},{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
            vec!["audio audio_1", "file file-1"],
        ),
        (
            RESPONSES,
            r#"{"model":"gpt-small","input":"x","metadata":{"file_id":"free text, not an id"},"text":{"new_id":"x_1"}}"#,
            vec!["other x_1"],
        ),
    ];
    for (path, body, expected) in rows {
        assert_eq!(world.ids(path, body), expected, "{path}");
    }
}

#[test]
fn ids_that_are_none() {
    let world = World::new();
    for id in [r#""a/b""#, r#""../x""#, r#""a b""#, r#""""#, "\"a\\u0000\"", r#""é""#, "\"a\\u200b\"", r#""a?b""#] {
        assert_eq!(
            world.verdict(RESPONSES, &response(&format!(r#","previous_response_id":{id}"#))).trim(),
            "400 invalid_id",
            "{id}"
        );
    }
    for id in ["1", "[\"resp_1\"]", "{\"id\":\"resp_1\"}", "true"] {
        assert_eq!(
            world.verdict(RESPONSES, &response(&format!(r#","previous_response_id":{id}"#))),
            "400 invalid_type id",
            "{id}"
        );
    }
    world.table(
        RESPONSES,
        &[
            (&response(r#","previous_response_id":null"#), "ok"),
            (&response(r#","conversation":{"id":["conv_1"]}"#), "400 invalid_type id"),
            (
                &response(r#","tools":[{"type":"file_search","vector_store_ids":"vs_1"}]"#),
                "400 invalid_type vector_store_ids",
            ),
        ],
    );
}

#[test]
fn results_of_tools() {
    let world = World::new();
    let outputs = |path: &str, body: &str| {
        let show = |output: &Output| format!("{}={}", output.call, output.text);
        world.asked(path, body, |asked| asked.outputs.iter().map(show).collect::<Vec<_>>())
    };
    let body = r#"{"model":"gpt-small","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c0","type":"function","function":{"name":"lookup_order","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c0","content":"old"},
        {"role":"assistant","content":null},{"role":"tool","tool_call_id":"c1","content":"a\u0040b"},{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]},{"role":"function","name":"f","content":"z"},{"role":"user","content":"go on"}]}"#;
    assert_eq!(outputs(CHAT, body), ["c1=a@b", "c2=xy", "f=z"]);
    let body = items(
        r#"{"role":"user","content":"a"},{"type":"function_call_output","call_id":"c0","output":"old"},{"role":"assistant","content":"b"},{"type":"reasoning","summary":[]},
        {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"1"},
        {"type":"function_call","call_id":"c2","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"}]},
        {"type":"local_shell_call_output","id":"c3","output":"3"},{"type":"shell_call_output","call_id":"c4","output":[{"stdout":"4","stderr":""}]},
        {"type":"apply_patch_call_output","call_id":"c5","status":"completed"}"#,
    );
    assert_eq!(outputs(RESPONSES, &body), ["c1=1", "c2=2", "c3=3", r#"c4=[{"stdout":"4","stderr":""}]"#, "c5="]);
    let body = r#"{"tool_outputs":[{"tool_call_id":"c1","output":"1"}]}"#;
    assert_eq!(outputs("/threads/thread_1/runs/run_1/submit_tool_outputs", body), ["c1=1"]);
}

#[test]
fn approvals_of_hosted_tools() {
    let world = World::new();
    let body = items(
        r#"{"type":"mcp_approval_response","approval_request_id":"mcpr_1","approve":true},{"type":"mcp_approval_response","approval_request_id":"mcpr_2","approve":false}"#,
    );
    world.asked(RESPONSES, &body, |asked| {
        let approval = |request: &str, answer| Approval { request: request.to_owned(), answer };
        assert_eq!(asked.approvals, [approval("mcpr_1", Answer::Approve), approval("mcpr_2", Answer::Decline)]);
    });
    let agents = r#"{"events":[{"type":"agent.session.input.mcp_approval_request_result","request_id":"r_1","response":{"type":"mcp_tool_call","decision":"approve"}}]}"#;
    world.asked("/agents/sessions/s_1/events", agents, |asked| assert_eq!(asked.approvals.len(), 1));
    world.table(
        RESPONSES,
        &[
            (
                &items(r#"{"type":"mcp_approval_response","approval_request_id":"mcpr_1","approve":"true"}"#),
                "400 invalid_type approve",
            ),
            (&items(r#"{"type":"mcp_approval_response","approve":true}"#), "400 invalid_value approval_request_id"),
        ],
    );
}

#[test]
fn hosted_mcp_asks_first_and_has_no_credentials() {
    let world = World::new();
    let tool = |more: &str| {
        response(&format!(
            r#","tools":[{{"type":"mcp","server_label":"crm","server_url":"https://mcp.example.com/sse"{more}}}]"#
        ))
    };
    let ends = [
        ("", r#","require_approval":"always"}]}"#),
        (r#","require_approval":"never""#, r#","require_approval":"always"}]}"#),
        (r#","require_approval":null"#, r#","require_approval":"always"}]}"#),
        (r#","require_approval":{"never":{"tool_names":["x"]}}"#, r#","require_approval":"always"}]}"#),
        (r#","authorization":"Bearer s3cret""#, r#"/sse","require_approval":"always"}]}"#),
        (r#","headers":{"X-Key":"s3cret"},"authorization":"s3cret""#, r#"/sse","require_approval":"always"}]}"#),
    ];
    for (more, end) in ends {
        let sent = world.sent(RESPONSES, &tool(more));
        assert!(sent.ends_with(end) && !sent.contains("s3cret"), "{more}: {sent}");
    }
    world.asked(RESPONSES, &tool(r#","headers":{"X":"s3cret"},"authorization":"s3cret""#), |asked| {
        assert_eq!(asked.credentials, 2)
    });
    assert_eq!(world.hosts(RESPONSES, &tool("")), ["Mcp mcp.example.com"]);
    assert_eq!(
        world.tools(RESPONSES, &tool(r#","allowed_tools":["delete_x","y"]"#)),
        ["Remote delete_x!", "Hosted mcp", "Remote y"]
    );
    assert_eq!(world.tools(RESPONSES, &tool(r#","allowed_tools":{"tool_names":["y"]}"#)), ["Hosted mcp", "Remote y"]);
    let loaded = items(
        r#"{"type":"tool_search_output","tools":[{"type":"mcp","server_label":"a","connector_id":"connector_gmail","require_approval":"never"}]}"#,
    );
    assert!(world.sent(RESPONSES, &loaded).contains(r#""require_approval":"always""#));
    assert_eq!(world.hosts(RESPONSES, &loaded), ["Mcp connector_gmail"]);
    // A choice among tools has no approvals.
    let chosen = response(
        r#","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp","server_label":"crm"}]}"#,
    );
    assert_eq!(world.sent(RESPONSES, &chosen), chosen);
    let agent = r#"{"model":"gpt-small","tools":[{"type":"mcp","server_label":"a","transport":{"type":"http","server_url":"https://mcp.example.com","authorization":"s3cret"}}]}"#;
    assert_eq!(world.sent("/agents", agent), agent.replace(r#","authorization":"s3cret""#, ""));
}

#[test]
fn secrets_of_containers_are_taken_out() {
    let world = World::new();
    let body = r#"{"name":"a","network_policy":{"type":"allowlist","allowed_domains":["Wheels.example.org"],"domain_secrets":[{"domain":"wheels.example.org","name":"K","value":"s3cret"}]}}"#;
    assert!(!world.sent("/containers", body).contains("s3cret"));
    assert_eq!(world.hosts("/containers", body), ["Network wheels.example.org"]);
    // What an administrator stores is left alone.
    let vault = r#"{"name":"a","auth":{"type":"static_bearer","token":"s3cret","authorization":"s3cret"}}"#;
    assert_eq!(world.sent("/vaults/v_1/credentials", vault), vault);
}

#[test]
fn estimates() {
    let world = World::new();
    let estimate = |path: &str, body: &str| world.asked(path, body, |asked| asked.estimate);
    let body = chat(r#","max_tokens":10,"max_completion_tokens":7"#);
    let got = estimate(CHAT, &body);
    assert_eq!((got.input_tokens, got.output_tokens, got.bound), (body.len() as u64, 10, Bound::Firm));
    let got = estimate(CHAT, &chat(""));
    assert_eq!((got.output_tokens, got.bound), (1000, Bound::Loose));
    assert_eq!(estimate(CHAT, &chat(r#","n":3"#)).output_tokens, 3000);
    assert_eq!(estimate(RESPONSES, &response(r#","max_output_tokens":9"#)).output_tokens, 9);
    let predicted = chat(r#","max_tokens":1,"prediction":{"type":"content","content":"abc"}"#);
    assert_eq!(estimate(CHAT, &predicted).output_tokens, 1 + r#"{"type":"content","content":"abc"}"#.len() as u64);
    // A known context bounds what the body does not hold, too.
    let fast = |more: &str| response(&format!(r#","max_output_tokens":1{more}"#)).replace("gpt-small", "fast");
    let state = fast(r#","previous_response_id":"resp_1""#);
    assert_eq!((estimate(RESPONSES, &state).input_tokens, estimate(RESPONSES, &state).bound), (500, Bound::Firm));
    assert_eq!(estimate(RESPONSES, &fast("")).input_tokens, fast("").len() as u64);
    for more in
        [r#","previous_response_id":"resp_1""#, r#","prompt":{"id":"p_1"}"#, r#","tools":[{"type":"web_search"}]"#]
    {
        assert_eq!(
            estimate(RESPONSES, &response(&format!(r#","max_output_tokens":1{more}"#))).bound,
            Bound::Open,
            "{more}"
        );
    }
    // Of a loop of calls, a context bounds one turn only.
    for more in [
        r#","prompt":{"id":"p_1"}"#,
        r#","tools":[{"type":"web_search"}]"#,
        r#","tools":[{"type":"mcp","server_label":"s","server_url":"https://a.b.cd/"}]"#,
    ] {
        assert_eq!(estimate(RESPONSES, &fast(more)).bound, Bound::Open, "{more}");
    }
    // An image counts as one whatever its size is; a file counts by its bytes.
    let image =
        part(&format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}"#, "A".repeat(4000)));
    let got = estimate(CHAT, &image).input_tokens;
    assert!((50_000..50_300).contains(&got), "{got}");
    let file = part(&format!(r#"{{"type":"file","file":{{"file_data":"{}"}}}}"#, "A".repeat(4000)));
    let got = estimate(CHAT, &file).input_tokens;
    assert!((3_000..3_300).contains(&got), "{got}");
    world.asked(CHAT, &file, |asked| assert_eq!(asked.inline, 1));
    for (more, expected) in [
        (r#","max_tokens":"10""#, "400 invalid_type max_tokens"),
        (r#","max_tokens":1.5"#, "400 invalid_type max_tokens"),
        (r#","max_tokens":1e3"#, "400 invalid_type max_tokens"),
        (r#","max_tokens":-1"#, "400 invalid_value max_tokens"),
        (r#","max_completion_tokens":99999999999999999999"#, "400 invalid_type max_completion_tokens"),
        (r#","n":-1"#, "400 invalid_value n"),
        (r#","n":129"#, "400 invalid_value n"),
        (r#","n":[2]"#, "400 invalid_type n"),
        (r#","n":null,"max_tokens":null"#, "ok"),
        (r#","n":0"#, "ok"),
    ] {
        assert_eq!(world.verdict(CHAT, &chat(more)).trim_end(), expected, "{more}");
    }
}

#[test]
fn a_server_that_has_any_model() {
    let mut world = World::new();
    world.models = Models::Any;
    world.table(
        RESPONSES,
        &[(r#"{"input":"hi"}"#, "ok"), (r#"{"model":"whatever-1","input":"hi"}"#, "ok"), ("{}", "ok")],
    );
    for name in ["", " a", "a b", "a\\n", "é", "a\\u200b"] {
        let body = format!(r#"{{"model":"{name}","input":"hi"}}"#);
        assert_eq!(world.verdict(RESPONSES, &body), "403 model_not_allowed model", "{name}");
    }
}
