//! What hides something: another model, a tool, an address, an id, in a place where it could be overlooked.

use proptest::prelude::*;

use super::*;

#[test]
fn bodies_that_are_no_objects() {
    let world = World::new();
    for body in ["[]", "null", "\"x\"", "1", "[{\"model\":\"gpt-small\"}]"] {
        assert_eq!(world.verdict(CHAT, body).trim(), "400 invalid_type", "{body}");
    }
}

#[test]
fn members_that_are_unknown() {
    let world = World::new();
    world.table(
        CHAT,
        &[
            (r#"{"model":"gpt-small","Model":"gpt-huge"}"#, "400 unknown_parameter Model"),
            (r#"{"model":"gpt-small","model ":"gpt-huge"}"#, "400 unknown_parameter"),
            ("{\"model\":\"gpt-small\",\"mode\\u006c\\u200b\":\"x\"}", "400 unknown_parameter"),
            (&chat(r#","models":["gpt-huge"]"#), "400 unknown_parameter models"),
            (&chat(r#","route":"fallback""#), "400 unknown_parameter route"),
            (&chat(r#","provider":{}"#), "400 unknown_parameter provider"),
            (&chat(r#","extra_body":{"model":"x"}"#), "400 unknown_parameter extra_body"),
            (&chat(r#","input":"x""#), "400 unknown_parameter input"),
            (&chat(r#","":1"#), "400 unknown_parameter"),
            (&chat(r#","<script>":1"#), "400 unknown_parameter"),
        ],
    );
    let long = format!(r#","{}":1"#, "a".repeat(65));
    assert_eq!(world.verdict(CHAT, &chat(&long)), "400 unknown_parameter ");
}

#[test]
fn names_in_another_case_at_any_depth() {
    let world = World::new();
    let bodies = [
        r#"{"model":"gpt-small","messages":[{"role":"user","Content":"x"}]}"#.to_owned(),
        r#"{"model":"gpt-small","messages":[{"role":"user","content":"a","\u0063ontent\u0000":"x"}]}"#.to_owned(),
        chat(r#","tools":[{"type":"function","function":{"name":"lookup_order","Name":"delete_user"}}]"#),
        chat(r#","tools":[{"type":"function","function":{"name":"lookup_order"},"Function":{"name":"delete_user"}}]"#),
        chat(r#","tool_choice":{"type":"function","function":{"name":"lookup_order","NAME":"delete_user"}}"#),
        chat(r#","stream":true,"stream_options":{"Include_Usage":false}"#),
        chat(r#","moderation":{"Model":"gpt-huge"}"#),
        part(r#"{"type":"image_url","image_url":{"URL":"http://169.254.169.254/"}}"#),
        part(r#"{"type":"image_url","Image_Url":"http://169.254.169.254/"}"#),
        part("{\"type\":\"image_url\",\"image_ur\u{217c}\":{\"url\":\"http://a/\"}}"),
    ];
    for body in bodies {
        assert!(world.verdict(CHAT, &body).starts_with("400 unknown_parameter"), "{body}");
    }
    let free = chat(
        r#","metadata":{"Key":"x"},"tools":[{"type":"function","function":{"name":"f","parameters":{"Properties":{"X-Y":{}}}}}],"logit_bias":{"50256":-100}"#,
    );
    assert_eq!(world.verdict(CHAT, &free), "ok");
    let schema = response(
        r#","text":{"format":{"type":"json_schema","name":"a","schema":{"Type":"X"}}},"prompt":{"id":"p","variables":{"My Name":"x"}}"#,
    );
    assert_eq!(world.verdict(RESPONSES, &schema), "ok");
}

#[test]
fn models_that_are_not_allowed() {
    let world = World::new();
    for name in [
        "gpt-huge",
        "gpt-small\\u200b",
        " gpt-small",
        "gpt-small ",
        "gpt-small\\u0000",
        "GPT-small",
        "gpt-Small",
        "",
        "gpt-small\\n",
        "g\u{440}t-small",
        "gpt\u{2011}small",
        "gpt-small-2026",
        "gpt%2dsmall",
        "../gpt-small",
        "gpt-small,gpt-huge",
    ] {
        let body = format!(r#"{{"model":"{name}","messages":[]}}"#);
        assert_eq!(world.verdict(CHAT, &body), "403 model_not_allowed model", "{name}");
    }
    assert_eq!(world.verdict(CHAT, r#"{"model":"gpt\u002dsmall","messages":[]}"#), "ok");
    for wrong in [r#"["gpt-huge"]"#, r#"{"name":"gpt-huge"}"#, "1", "true", r#"["gpt-small"]"#] {
        let body = format!(r#"{{"model":{wrong},"messages":[]}}"#);
        assert_eq!(world.verdict(CHAT, &body), "400 invalid_type model", "{wrong}");
    }
}

#[test]
fn models_that_are_left_out() {
    let world = World::new();
    let missing = "400 missing_required_parameter model";
    world.table(CHAT, &[(r#"{"messages":[]}"#, missing), (r#"{"model":null,"messages":[]}"#, missing)]);
    world.table(
        RESPONSES,
        &[
            (r#"{"input":"x"}"#, missing),
            (r#"{"prompt":{"id":"p_1"}}"#, missing),
            (r#"{"input":"x","moderation":{"model":"gpt-small"}}"#, missing),
        ],
    );
    world.table("/images/generations", &[(r#"{"prompt":"x"}"#, missing)]);
    world.table("/moderations", &[(r#"{"input":"x"}"#, missing)]);
    world
        .table("/embeddings", &[(r#"{"input":"x"}"#, missing), (r#"{"model":"gpt-small","input":[[1,2],[3]]}"#, "ok")]);
    world.table(
        "/realtime/client_secrets",
        &[
            (r#"{"session":{"type":"realtime","model":"gpt-small"}}"#, "ok"),
            (r#"{"session":{"type":"realtime","model":"gpt-huge"}}"#, "403 model_not_allowed model"),
            (r#"{"session":{"type":"realtime"}}"#, missing),
            (r#"{"session":{"type":"realtime","audio":{"input":{"transcription":{"model":"gpt-small"}}}}}"#, missing),
            (r#"{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"gpt-small"}}}}}"#, "ok"),
            (r#"{"session":{"type":"transcription"}}"#, missing),
            ("{}", missing),
        ],
    );
    // The model of an assistant was checked when the assistant was made.
    world.table(
        "/threads/runs",
        &[
            (r#"{"assistant_id":"asst_1"}"#, "ok"),
            (r#"{"assistant_id":"asst_1","model":"gpt-huge"}"#, "403 model_not_allowed model"),
        ],
    );
}

#[test]
fn models_in_other_places() {
    let world = World::new();
    let denied = "403 model_not_allowed model";
    world.table(
        RESPONSES,
        &[
            (&response(r#","tools":[{"type":"image_generation","model":"gpt-huge"}]"#), denied),
            (&response(r#","tools":[{"type":"image_generation","svg":{"model":"gpt-huge"}}]"#), denied),
            (&response(r#","tools":[{"type":"something_new","deep":[{"model":"gpt-huge"}]}]"#), denied),
            (&response(r#","moderation":{"model":"gpt-huge"}"#), denied),
            (&items(r#"{"type":"additional_tools","role":"developer","tools":[{"type":"image_generation","model":"gpt-huge"}]}"#), denied),
            (&items(r#"{"type":"tool_search_output","tools":[{"type":"image_generation","svg":{"model":["gpt-huge"]}}]}"#), "400 invalid_type model"),
        ],
    );
    world.table(
        "/evals",
        &[(
            r#"{"data_source_config":{"type":"logs"},"testing_criteria":[{"type":"label_model","model":"gpt-huge"}]}"#,
            denied,
        )],
    );
    world.table("/assistants", &[(r#"{"model":"gpt-huge"}"#, denied)]);
}

#[test]
fn tools_that_are_offered() {
    let world = World::new();
    let rows = [
        (CHAT, chat(r#","tools":[{"type":"function","function":{"name":"delete_user"}}]"#), vec!["Function delete_user!"]),
        (CHAT, chat(r#","functions":[{"name":"delete_user","parameters":{}}]"#), vec!["Function delete_user!"]),
        (CHAT, chat(r#","tool_choice":{"type":"function","function":{"name":"delete_user"}}"#), vec!["Function delete_user!"]),
        (CHAT, chat(r#","function_call":{"name":"delete_user"}"#), vec!["Function delete_user!"]),
        (CHAT, chat(r#","tool_choice":"delete_user""#), vec!["Function delete_user!"]),
        (CHAT, chat(r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}}]}}"#), vec!["Function a"]),
        (CHAT, chat(r#","tool_choice":{"type":"custom","custom":{"name":"a"}}"#), vec!["Custom a"]),
        (CHAT, chat(r#","tools":[{"type":"custom","custom":{"name":"a"}}]"#), vec!["Custom a"]),
        (CHAT, chat(r#","tools":[{"type":"function","name":"a","function":{"name":"b"}}]"#), vec!["Function a", "Function b"]),
        (CHAT, chat(r#","web_search_options":{}"#), vec!["Hosted web_search"]),
        (CHAT, chat(r#","tools":null,"tool_choice":"auto","function_call":"none""#), vec![]),
        (CHAT, r#"{"model":"gpt-small","messages":[{"role":"assistant","function_call":{"name":"old","arguments":"{}"},"tool_calls":[{"id":"c","type":"function","function":{"name":"old","arguments":""}}]}]}"#.to_owned(), vec![]),
        (CHAT, r#"{"model":"gpt-small","messages":[{"role":"user","content":"x","tools":[{"type":"shell"}]}]}"#.to_owned(), vec!["Hosted shell"]),
        (RESPONSES, response(r#","tools":[{"type":"function","name":"a","parameters":{"tools":[{"type":"shell"}]}}]"#), vec!["Function a"]),
        (RESPONSES, response(r#","tools":[{"type":"custom","name":"a"},{"type":"namespace","name":"n","tools":[{"type":"function","name":"b"},{"type":"custom","name":"c"}]}]"#), vec!["Custom a", "Function b", "Custom c"]),
        (RESPONSES, response(r#","tools":[{"type":"web_search_preview_2025_03_11"},{"type":"tool_search"},{"type":"programmatic_tool_calling"},{"type":"brand_new_tool"}]"#), vec!["Hosted brand_new_tool", "Hosted programmatic_tool_calling", "Hosted tool_search", "Hosted web_search_preview_2025_03_11"]),
        (RESPONSES, response(r#","tool_choice":{"type":"function","name":"delete_user"}"#), vec!["Function delete_user!"]),
        (RESPONSES, response(r#","tool_choice":{"type":"code_interpreter"}"#), vec!["Hosted code_interpreter"]),
        (RESPONSES, response(r#","tool_choice":{"type":"mcp","server_label":"a","name":"delete_x"}"#), vec!["Remote delete_x!", "Hosted mcp"]),
        (RESPONSES, response(r#","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"a"},{"type":"image_generation"}]}"#), vec!["Function a", "Hosted image_generation"]),
        (RESPONSES, items(r#"{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"delete_user"}]}"#), vec!["Function delete_user!"]),
        (RESPONSES, items(r#"{"type":"tool_search_output","tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"a"}]}]}"#), vec!["Function a"]),
        (RESPONSES, items(r#"{"type":"mcp_list_tools","id":"m","server_label":"a","tools":[{"name":"x","input_schema":{}}]}"#), vec![]),
        ("/threads/runs", r#"{"assistant_id":"asst_1","tools":[{"type":"code_interpreter"}],"thread":{"messages":[{"role":"user","content":"x","attachments":[{"tools":[{"type":"file_search"}]}]}]}}"#.to_owned(), vec!["Hosted code_interpreter", "Hosted file_search"]),
        ("/realtime/client_secrets", r#"{"session":{"type":"realtime","model":"gpt-small","tools":[{"type":"function","name":"a"},{"type":"mcp","server_label":"b"}],"tool_choice":{"type":"function","name":"c"}}}"#.to_owned(), vec!["Function a", "Function c", "Hosted mcp"]),
    ];
    for (path, body, expected) in rows {
        assert_eq!(world.tools(path, &body), expected, "{body}");
    }
}

#[test]
fn tools_that_are_none() {
    let world = World::new();
    let tools = |tools: &str| world.verdict(CHAT, &chat(&format!(r#","tools":{tools}"#))).trim_end().to_owned();
    for wrong in ["{}", "\"x y\"", "1", "[1]", "[[]]", "[null]"] {
        assert!(tools(wrong).starts_with("400 invalid_type"), "{wrong}");
    }
    assert_eq!(tools(r#"[{"function":{"name":"a"}}]"#), "400 missing_required_parameter type");
    assert_eq!(tools(r#"[{"type":"function"}]"#), "400 missing_required_parameter name");
    assert_eq!(tools(r#"[{"type":"function","function":{"name":["delete_user"]}}]"#), "400 invalid_type name");
    assert_eq!(tools(r#"[{"type":["function"],"function":{"name":"a"}}]"#), "400 invalid_type type");
    for kind in ["Function", "function ", "web search", "", "f\\u200b"] {
        assert_eq!(
            tools(&format!(r#"[{{"type":"{kind}","function":{{"name":"a"}}}}]"#)),
            "400 invalid_tool_type",
            "{kind}"
        );
    }
    for name in ["", "delete user", "delete_user\\u200b", " delete_user", "delete_us\u{435}r", "a/b", "a\\u0000"] {
        assert_eq!(
            tools(&format!(r#"[{{"type":"function","function":{{"name":"{name}"}}}}]"#)),
            "400 invalid_tool_name",
            "{name}"
        );
    }
    let choice =
        |choice: &str| world.verdict(CHAT, &chat(&format!(r#","tool_choice":{choice}"#))).trim_end().to_owned();
    assert_eq!(choice("[]"), "400 invalid_type tool_choice");
    assert_eq!(choice("1"), "400 invalid_type tool_choice");
    assert_eq!(choice("{}"), "400 missing_required_parameter name");
    assert_eq!(choice(r#"{"type":7}"#), "400 invalid_type type");
    assert_eq!(choice("\"delete user\""), "400 invalid_tool_name");
}

#[test]
fn addresses() {
    let world = World::new();
    let image =
        |url: &str| world.verdict(CHAT, &part(&format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#)));
    assert_eq!(image("https://cdn.example.com/a.png?X-Amz-Signature=1"), "ok");
    assert_eq!(image("data:image/png;base64,iVBORw0KGgo="), "ok");
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://cdn.example.com/a",
        "file:///etc/passwd",
        "ftp://cdn.example.com/",
        "//cdn.example.com",
        "",
        "gopher://x",
        "data:text/html,<b>",
    ] {
        assert!(image(url).starts_with("400 invalid_url"), "{url}");
    }
    for url in [
        "https://evil.example.com/",
        "https://169.254.169.254/",
        "https://cdn.example.com.evil.com/",
        "https://xcdn.example.com/",
        "https://cdn.example.com:8443/",
    ] {
        assert_eq!(image(url), "403 host_not_allowed url", "{url}");
    }
    let evil = "\"https://evil.com/\"";
    let bodies = [
        (CHAT, part(&format!(r#"{{"type":"image_url","image_url":{evil}}}"#))),
        (CHAT, part(&format!(r#"{{"type":"text","text":"x","image_url":{evil}}}"#))),
        (CHAT, part(&format!(r#"{{"type":"file","file":{{"file_url":{evil}}}}}"#))),
        (RESPONSES, items(&format!(r#"{{"role":"user","content":[{{"type":"input_image","image_url":{evil}}}]}}"#))),
        (RESPONSES, items(&format!(r#"{{"role":"user","content":[{{"type":"input_file","file_url":{evil}}}]}}"#))),
        (
            RESPONSES,
            items(&format!(
                r#"{{"type":"function_call_output","call_id":"c","output":[{{"type":"input_image","image_url":{evil}}}]}}"#
            )),
        ),
        (
            RESPONSES,
            items(&format!(
                r#"{{"type":"computer_call_output","call_id":"c","output":{{"type":"computer_screenshot","image_url":{evil}}}}}"#
            )),
        ),
        (
            RESPONSES,
            items(&format!(
                r#"{{"type":"web_search_call","id":"w","role":"user","content":[{{"type":"input_image","image_url":{evil}}}]}}"#
            )),
        ),
        (
            RESPONSES,
            response(&format!(r#","tools":[{{"type":"image_generation","input_image_mask":{{"image_url":{evil}}}}}]"#)),
        ),
        (RESPONSES, response(&format!(r#","tools":[{{"type":"new_tool","callback_url":{evil}}}]"#))),
        (
            RESPONSES,
            response(&format!(
                r#","prompt":{{"id":"p","variables":{{"A":{{"type":"input_image","image_url":{evil}}}}}}}"#
            )),
        ),
        (
            "/decisions",
            format!(
                r#"{{"model":"gpt-small","input":[{{"role":"user","content":[{{"type":"input_image","image_url":{evil}}}]}}]}}"#
            ),
        ),
        (
            "/moderations",
            format!(r#"{{"model":"gpt-small","input":[{{"type":"image_url","image_url":{{"url":{evil}}}}}]}}"#),
        ),
        (
            "/threads",
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":{evil}}}}}]}}]}}"#
            ),
        ),
        (
            "/conversations",
            format!(r#"{{"items":[{{"role":"user","content":[{{"type":"input_image","image_url":{evil}}}]}}]}}"#),
        ),
    ];
    for (path, body) in bodies {
        assert!(world.verdict(path, &body).starts_with("403 host_not_allowed"), "{path} {body}");
    }
}

#[test]
fn addresses_that_are_only_remembered() {
    let world = World::new();
    let found = items(
        r#"{"type":"web_search_call","id":"w","action":{"type":"open_page","url":"https://evil.com/"},"status":"completed"},{"role":"assistant","content":[{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"http://a/"}]}]}"#,
    );
    assert_eq!(world.verdict(RESPONSES, &found), "ok");
}

#[test]
fn addresses_of_mcp_servers() {
    let world = World::new();
    for server in [
        "http://mcp.example.com",
        "https://u:p@mcp.example.com",
        "https://mcp.example.com\\\\@x",
        "https://mcp.example.com/?api_key=x",
        "https://mcp.example.com/?%61pi_key=x",
        "data:a/b;base64,AA",
    ] {
        let body = response(&format!(r#","tools":[{{"type":"mcp","server_label":"a","server_url":"{server}"}}]"#));
        assert!(world.verdict(RESPONSES, &body).starts_with("400"), "{server}");
    }
    for server in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://mcp/",
        "https://mcp.internal/",
        "https://2130706433/",
    ] {
        let body = response(&format!(r#","tools":[{{"type":"mcp","server_label":"a","server_url":"{server}"}}]"#));
        assert_eq!(world.verdict(RESPONSES, &body), "403 host_not_allowed server_url", "{server}");
    }
}

#[test]
fn items_and_parts_that_are_unknown() {
    let world = World::new();
    world.table(
        RESPONSES,
        &[
            (&items(r#"{"type":"brand_new_item"}"#), "400 unknown_item"),
            (&items(r#"{"type":"Message","role":"user","content":"x"}"#), "400 unknown_item"),
            (&items(r#"{"type":["message"],"role":"user","content":"x"}"#), "400 invalid_type type"),
            (&items(r#"{"content":"x"}"#), "400 missing_required_parameter type"),
            (&items(r#"{"role":"root","content":"x"}"#), "400 invalid_value role"),
            (&items(r#"{"type":"message","content":"x"}"#), "400 missing_required_parameter role"),
            (&items(r#""text""#), "400 invalid_type input"),
            (r#"{"model":"gpt-small","input":{"role":"user"}}"#, "400 invalid_type input"),
            (&items(r#"{"role":"user","content":[{"type":"input_video","video":"http://a/"}]}"#), "400 unknown_part"),
            (&items(r#"{"role":"user","content":[{"type":"input_text","text":"x","video":"http://a/"}]}"#), "400 unknown_parameter video"),
            (&items(r#"{"role":"user","content":[{"image":"http://a/"}]}"#), "400 missing_required_parameter type"),
            (&items(r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_video","video":"http://a/"}]}"#), "400 unknown_part"),
            (&items(r#"{"type":"function_call_output","call_id":"c","output":{"type":"input_video","video":"http://a/"}}"#), "400 unknown_part"),
            (&items(r#"{"role":"user","content":[1]}"#), "400 invalid_type content"),
            (&items(r#"{"role":"user","content":7}"#), "400 invalid_type content"),
        ],
    );
    world.table(
        CHAT,
        &[
            (r#"{"model":"gpt-small","messages":{}}"#, "400 invalid_type messages"),
            (r#"{"model":"gpt-small","messages":["x"]}"#, "400 invalid_type messages"),
            (r#"{"model":"gpt-small","messages":[{"content":"x"}]}"#, "400 missing_required_parameter role"),
            (r#"{"model":"gpt-small","messages":[{"role":"User","content":"x"}]}"#, "400 invalid_value role"),
            (r#"{"model":"gpt-small","messages":[{"role":["user"],"content":"x"}]}"#, "400 invalid_type role"),
            (&part(r#"{"type":"video_url","video_url":{"url":"http://a/"}}"#), "400 unknown_part"),
        ],
    );
}

#[test]
fn limits() {
    let world = World::new();
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let tools = |count| {
        let tool = |n| format!(r#"{{"type":"custom","custom":{{"name":"t{n}"}}}}"#);
        world.verdict(CHAT, &chat(&format!(r#","tools":[{}]"#, many(count, &tool))))
    };
    assert_eq!((tools(1024).as_str(), tools(1025).as_str()), ("ok", "400 too_many "));
    let ids = |count| {
        let item = |n| format!(r#"{{"role":"assistant","id":"msg_{n}","content":"a"}}"#);
        world.verdict(RESPONSES, &items(&many(count, &item)))
    };
    assert_eq!((ids(16_384).as_str(), ids(16_385).as_str()), ("ok", "400 too_many "));
    let references = |count| {
        let item = |n| format!(r#"{{"type":"item_reference","id":"msg_{n}"}}"#);
        world.verdict(RESPONSES, &items(&many(count, &item)))
    };
    assert_eq!((references(2_048).as_str(), references(2_049).as_str()), ("ok", "400 too_many "));
    let hosts = |count| {
        let host = |n| format!(r#""h{n}.example.com""#);
        let policy = format!(
            r#"{{"name":"a","network_policy":{{"type":"allowlist","allowed_domains":[{}]}}}}"#,
            many(count, &host)
        );
        world.verdict("/containers", &policy)
    };
    assert_eq!((hosts(256).as_str(), hosts(257).as_str()), ("ok", "400 too_many "));
    let domain = |name: &str| {
        world.verdict("/containers", &format!(r#"{{"name":"a","network_policy":{{"allowed_domains":["{name}"]}}}}"#))
    };
    assert_eq!((domain("*.a.b").as_str(), domain("a b").as_str()), ("ok", "400 invalid_value allowed_domains"));
}

/// Pieces of requests, put together at random.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1".to_owned()),
        "\"(mcp|function|gpt-small|message|user|data:image/png;base64,A|https://cdn.example.com/|https://a.b.cd/|resp_1|item_reference)\"",
        "\"[a-zé@ ]{0,5}\"",
    ];
    let name = "model|type|role|input|messages|tools|tool_choice|functions|function_call|content|id|name|image_url|url|file_id|file_ids|output|call_id|require_approval|authorization|headers|server_url|prompt|conversation|stream|stream_options|include_usage|n|max_tokens|metadata|audio|data|network_policy|allowed_domains|allowed_tools|tool_names|function|[a-z]{1,3}";
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let object = prop::collection::btree_map(name, inner.clone(), 0..6);
        let object = object.prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![object, prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(",")))]
    })
}

#[test]
fn nothing_panics_and_what_is_sent_is_understood_again() {
    let world = World::new();
    let paths = [
        CHAT,
        RESPONSES,
        "/conversations",
        "/agents",
        "/containers",
        "/realtime/client_secrets",
        "/evals",
        "/completions",
    ];
    proptest!(ProptestConfig::with_cases(200), |(body in json(), value in json(), path in 0_usize..paths.len())| {
        let path = paths.get(path).copied().unwrap_or(CHAT);
        let bodies = [body, format!(r#"{{"model":"gpt-small","tools":{value},"input":[{value}]}}"#), chat(&format!(r#","tools":[{value}],"tool_choice":{value}"#)), part(&value), items(&value)];
        for body in bodies {
            let Ok(document) = Document::parse(body, Limits::STANDARD) else { continue };
            if let Ok(asked) = read(world.route(path), &document, &world.rules()) {
                let sent = Document::parse(asked.edits.apply(), Limits::STANDARD).unwrap();
                prop_assert!(sent.root().get("authorization").is_none());
                // Real names are no names that clients may use.
                if asked.models.iter().all(|name| name == "gpt-small") {
                    let again = read(world.route(path), &sent, &world.rules()).unwrap();
                    prop_assert_eq!(again.credentials, 0);
                    prop_assert_eq!(&again.tools, &asked.tools);
                    prop_assert!(again.usage != Usage::Injected);
                }
            }
        }
    });
}

#[test]
fn items_that_the_server_has_to_find_by_their_ids() {
    let world = World::new();
    let classes = |item: &str| world.ids(RESPONSES, &items(item));
    // What stands for the thing itself is not there.
    for item in [
        r#"{"type":"image_generation_call","id":"x_1"}"#,
        r#"{"type":"image_generation_call","id":"x_1","status":"completed"}"#,
        r#"{"type":"image_generation_call","id":"x_1","result":null}"#,
        r#"{"type":"image_generation_call","id":"x_1","result":""}"#,
        r#"{"type":"image_generation_call","id":"x_1","result":{}}"#,
        r#"{"type":"reasoning","id":"x_1","summary":[],"encrypted_content":""}"#,
        r#"{"type":"compaction","id":"x_1"}"#,
        r#"{"type":"compaction","id":"x_1","encrypted_content":null}"#,
        r#"{"type":"compaction_trigger","id":"x_1"}"#,
        r#"{"type":"configuration_update","id":"x_1"}"#,
        r#"{"type":"code_interpreter_call","id":"x_1","outputs":[]}"#,
        r#"{"type":"code_interpreter_call","id":"x_1","code":null}"#,
        r#"{"type":"file_search_call","id":"x_1","results":[]}"#,
        r#"{"type":"web_search_call","id":"x_1","status":"completed"}"#,
        r#"{"type":"mcp_call","id":"x_1","server_label":"a"}"#,
        r#"{"type":"mcp_list_tools","id":"x_1","server_label":"a"}"#,
        r#"{"type":"computer_call_output","id":"x_1","call_id":"c"}"#,
        r#"{"type":"message","id":"x_1","role":"assistant"}"#,
        r#"{"type":"function_call","id":"x_1"}"#,
    ] {
        assert_eq!(classes(item), ["item_reference x_1"], "{item}");
    }
    for item in [
        r#"{"type":"image_generation_call","id":"x_1","result":"aGk="}"#,
        r#"{"type":"compaction","id":"x_1","encrypted_content":"x"}"#,
        r#"{"type":"code_interpreter_call","id":"x_1","code":"1","outputs":null}"#,
        r#"{"type":"file_search_call","id":"x_1","queries":["a"],"results":null}"#,
        r#"{"type":"web_search_call","id":"x_1","action":{"type":"search","query":"a"}}"#,
        r#"{"type":"mcp_call","id":"x_1","server_label":"a","name":"b","arguments":"{}"}"#,
        r#"{"type":"computer_call","id":"x_1","call_id":"c","actions":[]}"#,
        r#"{"type":"apply_patch_call_output","id":"x_1","call_id":"c","status":"completed"}"#,
        r#"{"type":"message","id":"x_1","role":"assistant","content":""}"#,
        r#"{"type":"function_call","id":"x_1","call_id":"c","name":"f","arguments":""}"#,
    ] {
        assert_eq!(classes(item), ["item x_1"], "{item}");
    }
    // Wherever an item stands, such as in the template of an evaluation.
    let run = r#"{"data_source":{"type":"responses","source":{"type":"file_content","content":[]},
        "input_messages":{"type":"template","template":[{"type":"image_generation_call","id":"x_1"}]}}}"#;
    assert_eq!(world.ids("/evals/eval_1/runs", run), ["item_reference x_1"]);
}

#[test]
fn evaluations_of_whatever_is_like_a_description() {
    let world = World::new();
    let query = |path: &str, body: &str| {
        let ids = world.ids(path, body);
        assert!(ids.iter().all(|id| id == "query query" || id.starts_with("file ")), "{ids:?}");
        ids.contains(&"query query".to_owned())
    };
    for config in [
        r#"{"type":"stored_completions","metadata":{}}"#,
        r#"{"type":"logs","metadata":{"user":"bob"}}"#,
        r#"{"type":"next"}"#,
        r#"{"metadata":{}}"#,
        r#"null"#,
    ] {
        let body = format!(r#"{{"name":"x","data_source_config":{config},"testing_criteria":[]}}"#);
        assert!(query("/evals", &body), "{config}");
    }
    assert!(query("/evals", r#"{"name":"x"}"#));
    let own = r#"{"name":"x","data_source_config":{"type":"custom","item_schema":{}},"testing_criteria":[]}"#;
    assert!(!query("/evals", own));

    let run = |source: &str| format!(r#"{{"name":"x","data_source":{source}}}"#);
    for source in [
        r#"{"type":"completions","source":{"type":"stored_completions","metadata":{},"limit":1000}}"#,
        r#"{"type":"responses","source":{"type":"responses","users":["bob"],"instructions_search":""}}"#,
        r#"{"type":"responses","source":{"type":"logs"}}"#,
        r#"{"type":"completions","source":{"type":"next","file_content":[]}}"#,
        r#"{"type":"completions","source":{"metadata":{}}}"#,
        r#"{"type":"completions","source":null}"#,
        r#"{"type":"completions"}"#,
        r#"{"type":"stored_completions","source":{"type":"file_content","content":[]}}"#,
        r#"{"type":"stored_completions","metadata":{}}"#,
    ] {
        assert!(query("/evals/eval_1/runs", &run(source)), "{source}");
    }
    assert!(query("/evals/eval_1/runs", r#"{"name":"x"}"#));
    for source in [
        r#"{"type":"jsonl","source":{"type":"file_id","id":"file-1"}}"#,
        r#"{"type":"responses","source":{"type":"file_content","content":[{"item":{"a":"b"}}]}}"#,
    ] {
        assert!(!query("/evals/eval_1/runs", &run(source)), "{source}");
    }
}

/// An evaluation may take its messages from its samples, which otherwise are handed on as they are.
#[test]
fn samples_that_are_messages_are_read_as_such() {
    let world = World::new();
    let run = |messages: &str, source: &str| {
        format!(
            r#"{{"name":"x","data_source":{{"type":"responses","model":"gpt-small","input_messages":{messages},"source":{source}}}}}"#
        )
    };
    let reference = r#"{"type":"item_reference","item_reference":"item.said"}"#;
    let odd = r#"{"item_reference":"item.said","type":"Item_Reference"}"#;
    let template = r#"{"type":"template","template":[{"role":"user","content":"{{item.said}}"}]}"#;
    let sample = |value: &str| format!(r#"{{"type":"file_content","content":[{{"item":{{}}}},{{"item":{value}}}]}}"#);
    let verdict = |messages: &str, source: &str| {
        world.verdict("/evals/eval_1/runs", &run(messages, source)).trim_end().to_owned()
    };
    let said = |part: &str| format!(r#"{{"said":[{{"role":"user","content":[{part}]}}]}}"#);
    for (part, expected) in [
        (r#"{"type":"input_image","image_url":"https://evil.com/x"}"#, "403 host_not_allowed image_url"),
        (r#"{"type":"input_image","image_url":{"url":"https://evil.com/x"}}"#, "403 host_not_allowed url"),
        (r#"{"type":"next","text":"x"}"#, "400 unknown_part"),
        (r#"{"type":"input_text","Model":"x"}"#, "400 unknown_parameter Model"),
        (r#"{"type":"input_text","text":"x"}"#, "ok"),
    ] {
        assert_eq!(verdict(reference, &sample(&said(part))), expected, "{part}");
        assert_eq!(verdict(odd, &sample(&said(part))), expected, "{part}");
        let beside = format!(r#"{{"type":"file_content","content":[{{"item":{{}},"sample":{}}}]}}"#, said(part));
        assert_eq!(verdict(reference, &beside), expected, "{part}");
        assert_eq!(verdict(template, &sample(&said(part))), "ok", "{part}");
    }
    assert_eq!(
        verdict(reference, &sample(r#"{"said":[{"role":"user","content":"x","model":"gpt-huge"}]}"#)),
        "403 model_not_allowed model"
    );
    let ids = |messages: &str, source: &str| world.ids("/evals/eval_1/runs", &run(messages, source));
    let file = said(r#"{"type":"input_file","file_id":"file-1"}"#);
    assert_eq!(ids(reference, &sample(&file)), ["file file-1"]);
    assert_eq!(ids(template, &sample(&file)), [""; 0]);
    let item = r#"{"said":[{"type":"item_reference","id":"msg_1"}]}"#;
    assert_eq!(ids(reference, &sample(item)), ["item_reference msg_1"]);

    // What is in a file is not read.
    let unread = |messages: &str, source: &str| {
        world.asked("/evals/eval_1/runs", &run(messages, source), |asked| {
            (asked.unread, asked.ids.iter().map(|id| id.class).collect::<Vec<_>>().join(" "))
        })
    };
    let file = r#"{"type":"file_id","id":"file-1"}"#;
    assert_eq!(unread(reference, file), (true, "file query".to_owned()));
    assert_eq!(unread(template, file), (false, "file".to_owned()));
    let schema = r#"{"name":"x","data_source_config":{"type":"custom","item_schema":{"properties":{"item_reference":{}}}},"testing_criteria":[]}"#;
    world.asked("/evals", schema, |asked| assert_eq!((asked.unread, asked.ids.len()), (false, 0)));
    assert_eq!(unread(reference, &sample("{}")), (false, String::new()));
}
