//! What a request becomes: an operation with its accesses, or a refusal.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use sluice_model::{Operation, TargetName};

use super::*;
use crate::dial::Pools;
use crate::target::Target;

static OPEN: LazyLock<Arc<Served>> = LazyLock::new(|| served(""));
static OWNED: LazyLock<Arc<Served>> = LazyLock::new(|| served(r#","objects":"owned""#));
static LISTED: LazyLock<Arc<Served>> = LazyLock::new(|| served(r#","models":{"gpt-small":{}}"#));

/// A target with these settings.
fn served(settings: &str) -> Arc<Served> {
    let target = format!(r#"{{"url":"https://api.example.com","dialect":"openai"{settings}}}"#);
    let target: Target = serde_json::from_str(&target).unwrap();
    Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap().into()
}

fn share(served: &Arc<Served>) -> Share {
    served.room.share(&Arc::from("user:ann"))
}

/// Its accesses where it is asked about, and else why it is refused.
fn asked(served: &Arc<Served>, path: &str, media: &'static str, body: &str) -> Result<Vec<String>, String> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
    let prepared = prepare(&head, Bytes::from(body.to_owned()), served, share(served));
    let prepared = prepared.map_err(|words| words.code.to_string())?;
    let accesses = &prepared.operation.shape.meaning().accesses;
    Ok(accesses.iter().map(|access| access.action.name.to_owned()).collect())
}

/// Whether it is seen what a request uses up.
fn metered(path: &str, media: &'static str, body: &str) -> Metered {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
    let prepared = prepare(&head, Bytes::from(body.to_owned()), &OPEN, share(&OPEN));
    prepared.map(|prepared| prepared.metered).map_err(|words| words.code.to_string()).unwrap()
}

#[test]
fn what_goes_on_after_its_answer_is_never_metered() {
    const JSON: &str = "application/json";
    let session = r#"{"agent_id":"a_1","environment":{"type":"none"},"input":"x","stream":true}"#;
    let film = "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na cat\r\n--b--\r\n";
    let form = "multipart/form-data; boundary=b";
    for (path, media, body) in [
        ("/agents/sessions", JSON, session),
        ("/agents/sessions", JSON, r#"{"agent_id":"a_1","environment":{"type":"none"},"input":"x"}"#),
        ("/agents/sessions/s_1/events", JSON, r#"{"events":[{"type":"agent.session.input.cancel"}]}"#),
        ("/agents/automations/a_1/invocations", JSON, ""),
        ("/threads/t_1/runs", JSON, r#"{"assistant_id":"a"}"#),
        ("/evals/e_1/runs", JSON, r#"{"data_source":{"type":"jsonl","source":{"type":"file_id","id":"file-1"}}}"#),
        ("/fine_tuning/jobs", JSON, r#"{"model":"m","training_file":"file-1"}"#),
        ("/realtime/client_secrets", JSON, r#"{"session":{"type":"realtime","model":"m"}}"#),
        ("/videos", form, film),
        ("/videos/video_1/remix", JSON, r#"{"prompt":"x"}"#),
        ("/videos/extensions", form, film),
        ("/responses", JSON, r#"{"model":"m","input":"x","background":true}"#),
    ] {
        assert_eq!(metered(path, media, body), Metered::Never, "{path} {body}");
    }
    for (path, body) in [
        ("/threads/runs", r#"{"assistant_id":"a","stream":true}"#),
        ("/threads/t_1/runs", r#"{"assistant_id":"a","stream":true}"#),
        ("/threads/t_1/runs/r_1/submit_tool_outputs", r#"{"tool_outputs":[],"stream":true}"#),
        ("/fine_tuning/jobs/j_1/pause", ""),
        ("/agents/automations/a_1/pause", ""),
        ("/images/generations", r#"{"prompt":"x"}"#),
        ("/responses", r#"{"model":"m","input":"x"}"#),
    ] {
        assert_eq!(metered(path, JSON, body), Metered::ByAnswer, "{path} {body}");
    }
}

const OPAQUE: &str = "llm.send_opaque";

fn is_opaque(asked: &Result<Vec<String>, String>) -> bool {
    asked.as_ref().is_ok_and(|accesses| accesses.iter().any(|action| action == OPAQUE))
}

fn json(served: &Arc<Served>, path: &str, body: &str) -> Result<Vec<String>, String> {
    asked(served, path, "application/json", body)
}

/// A form in which a bar stands for the end of a line.
fn form(served: &Arc<Served>, path: &str, parts: &[&str]) -> Result<Vec<String>, String> {
    let parts: String =
        parts.iter().map(|part| format!("--b0|Content-Disposition: form-data; {part}|")).collect::<Vec<_>>().concat();
    asked(served, path, "multipart/form-data; boundary=b0", &format!("{parts}--b0--|").replace('|', "\r\n"))
}

fn refused(code: &str) -> Result<Vec<String>, String> {
    Err(code.to_owned())
}

/// Everything of a line of the table of operations that a body may hold: its fields, and where it names models.
fn column<'a>(line: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let column = line.split(" | ").find_map(|column| column.strip_prefix(name));
    column.unwrap_or_default().split(' ').filter(|word| !word.is_empty())
}

/// `{"a":{"b":"m"}}` for `a.b`; elements of lists are objects in a list.
fn nested(pointer: &str, value: &str) -> String {
    pointer.rsplit('.').fold(value.to_owned(), |inner, step| match step {
        "*" => format!("[{inner}]"),
        step => format!(r#"{{"{step}":{inner}}}"#),
    })
}

/// Bodies of each kind that an operation may take: with a model and without, with tools, with what is opaque.
fn bodies(line: &str) -> Vec<(&'static str, String)> {
    const JSON: &str = "application/json";
    let mut bodies = vec![(JSON, "{}".to_owned())];
    let models: Vec<String> = column(line, "models: ").map(|pointer| nested(pointer, r#""m""#)).collect();
    let fields: Vec<&str> = column(line, "body: ").map(|field| field.split('[').next().unwrap()).collect();
    let mut members: Vec<String> = fields.iter().map(|field| format!(r#""{field}":{{"data":"AAAA"}}"#)).collect();
    members.extend(fields.iter().filter(|field| **field == "tools").flat_map(|_| {
        [r#"{"type":"function","name":"f","function":{"name":"f"}}"#, r#"{"type":"code_interpreter"}"#, ""]
            .map(|tool| format!(r#""tools":[{tool}]"#))
    }));
    let image = r#"{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}"#;
    let tool = r#""tools":[{"type":"function","name":"f"}]"#;
    for field in ["input", "items", "messages"] {
        members.extend([format!(r#""{field}":[{image}]"#), format!(r#""{field}":[{image}],{tool}"#)]);
    }
    members.push(
        r#""metadata":{},"tool_resources":{"x":{"b64_json":"AAAA"}},"tools":[{"type":"code_interpreter"}]"#.to_owned(),
    );
    members.push(r#""session":{"tools":[{"type":"function","name":"f"}]}"#.to_owned());
    bodies.extend(members.iter().map(|member| (JSON, format!("{{{member}}}"))));
    for model in models {
        let open = model.strip_suffix('}').unwrap().to_owned();
        bodies.extend(members.iter().map(|member| (JSON, format!("{open},{member}}}"))));
        bodies.push((JSON, model));
    }
    let model = "--b0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n";
    for field in fields {
        for media in ["", "; filename=\"a.png\"\r\nContent-Type: image/png"] {
            let part = format!("--b0\r\nContent-Disposition: form-data; name=\"{field}\"{media}\r\n\r\n7\r\n");
            bodies.extend([format!("{part}--b0--"), format!("{model}{part}--b0--")].map(|form| (FORM, form)));
        }
    }
    bodies.push(("application/sdp", "v=0".to_owned()));
    bodies
}

const FORM: &str = "multipart/form-data; boundary=b0";

/// Whatever a request names, offers or hides, its own verb is asked about: on the target, unless the client says which
/// model it is about.
#[test]
fn the_verb_of_a_route_is_always_asked_about() {
    let mut seen = BTreeMap::<_, usize>::new();
    for line in include_str!("../api.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split(" | ");
        let (method, path) = columns.next().unwrap().split_once(' ').unwrap();
        let verb = columns.next().unwrap();
        let path = path.replace(['{', '}'], "");
        for (media, body) in std::iter::once(("", String::new())).chain(bodies(line)) {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
            let headers = if media.is_empty() { HeaderMap::new() } else { headers };
            let length = if body.is_empty() { Length::None } else { Length::Known(body.len() as u64) };
            let head = Request::new(method.parse().unwrap(), path.clone(), headers, length);
            let Ok(prepared) = prepare(&head, Bytes::from(body.clone()), &OPEN, share(&OPEN)) else { continue };
            let meaning = prepared.operation.shape.meaning();
            let of = |kind: &str| {
                let is = |access: &&Access| access.action.name == verb && access.resource.kind == kind;
                meaning.accesses.iter().any(|access| is(&access))
            };
            let told =
                |name: &str| meaning.facts.values.iter().find(|(fact, _)| *fact == name).map(|(_, fact)| fact.clone());
            assert!(of(Resource::TARGET) || of(MODEL), "{line}: {body}");
            let named = told("model") != Some(Fact::Text("".into()));
            assert!(of(Resource::TARGET) || named || body.contains("model"), "{line}: {body}");
            let opaque = told("opaque") == Some(Fact::Bool(true));
            let offers = meaning.accesses.iter().any(|access| access.action == OFFER);
            *seen.entry((named, opaque, offers)).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_model_for_a_part_of_the_work_leaves_the_rest_to_the_server() {
    let of = |path: &str, media: &'static str, body: &str| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
        let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
        let prepared =
            prepare(&head, Bytes::from(body.to_owned()), &OPEN, share(&OPEN)).map_err(|words| words.code).unwrap();
        let accesses = prepared.operation.shape.meaning().accesses.iter();
        accesses.map(|access| format!("{} {}", access.action.name, access.resource.kind)).collect::<Vec<_>>().join(", ")
    };
    let tool = r#""tools":[{"type":"image_generation","model":"m"}]"#;
    let json = |path: &str, body: &str| of(path, "application/json", body);
    assert_eq!(json("/responses", &format!("{{{tool}}}")), "llm.chat Target, llm.chat Model, tool.offer Tool");
    assert_eq!(json("/responses", &format!(r#"{{"model":"m",{tool}}}"#)), "llm.chat Model, tool.offer Tool");
    let part = |name: &str| format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nm\r\n");
    let form = |names: &[&str]| names.iter().map(|name| part(name)).collect::<String>() + "--b0--";
    assert_eq!(of("/images/edits", FORM, &form(&["svg[model]"])), "llm.image Target, llm.image Model");
    assert_eq!(of("/images/edits", FORM, &form(&["svg[model]", "model"])), "llm.image Model");
    assert_eq!(
        self::form(&LISTED, "/images/edits", &[r#"name="svg[model]"||gpt-small"#]),
        refused("missing_required_parameter")
    );
}

#[test]
fn a_path_names_models_that_may_be_named() {
    let told = |served: &Arc<Served>, method: Method, path: &str| {
        let head = Request::new(method, path.to_owned(), HeaderMap::new(), Length::None);
        prepare(&head, Bytes::new(), served, share(served))
            .map_or_else(|words| words.code.to_string(), |_| "ok".to_owned())
    };
    let renamed = served(r#","models":{"gpt-small":{"real":"gpt-small-2026"}}"#);
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        for name in ["gpt-small", "gpt-small-2026"] {
            assert_eq!(told(&renamed, method.clone(), &format!("/v1/models/{name}")), "ok", "{method} {name}");
        }
        for name in ["gpt-huge", "GPT-small", "ft:gpt-small:x::1"] {
            let path = format!("/models/{name}");
            assert_eq!(told(&renamed, method.clone(), &path), "model_not_allowed", "{method} {name}");
            assert_eq!(told(&OPEN, method.clone(), &path), "ok", "{method} {name}");
        }
    }
    assert_eq!(told(&renamed, Method::GET, "/models"), "ok");
    // What an administrator does is for policies alone.
    assert_eq!(told(&renamed, Method::GET, "/fine_tuning/checkpoints/ft:x/permissions"), "ok");
    assert_eq!(told(&OWNED, Method::GET, "/models/gpt-huge"), "ok");
    assert_eq!(told(&OWNED, Method::DELETE, "/models/gpt-huge"), "unowned_reference");
}

/// What people are shown of a form, and whether it is all of it.
fn shown(path: &str, parts: &[&str]) -> (String, bool) {
    let parts = parts.iter().map(|part| format!("--b0|Content-Disposition: form-data; {part}|"));
    let body = format!("{}--b0--|", parts.collect::<String>()).replace('|', "\r\n");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FORM))]);
    let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
    let operation =
        prepare(&head, Bytes::from(body), &OPEN, share(&OPEN)).map_err(|words| words.code).unwrap().operation;
    (String::from_utf8(operation.text.content().to_vec()).unwrap(), operation.text.is_whole())
}

#[test]
fn people_see_what_they_approve_of_a_form() {
    let (text, whole) = shown(
        "/images/edits",
        &[
            r#"name="prompt"||a cat|model: gpt-small|"model": "x""#,
            r#"name="model"||m"#,
            r#"name="image[]"; filename="a: b.png"|Content-Type: image/png||12345"#,
        ],
    );
    let hash = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
    assert!(whole);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "POST /images/edits",
            r#""prompt": "a cat\r\nmodel: gpt-small\r\n\"model\": \"x\"""#,
            r#""model": "m""#,
            &format!(r#""image[]" (file "a: b.png", image/png): 5 bytes that are not shown, SHA-256 {hash}"#),
        ]
    );
    let purpose = r#"name="purpose"||user_data"#;
    let file = |text: &str| format!("name=\"file\"; filename=\"a.txt\"|Content-Type: text/plain||{text}");
    let (text, whole) = shown("/files", &[purpose, &file("rm -rf /|4111 1111 1111 1111")]);
    assert!(whole && text.ends_with(r#""file" (file "a.txt", text/plain): "rm -rf /\r\n***""#), "{text}");
}

/// A part is covered like a member of its name, in what is shown and in what is sent.
#[test]
fn parts_are_covered_by_their_names() {
    let keyed = served(r#","keys":{"**.api_key":["secret.key"]}"#);
    for (name, covered) in [("api_key", true), ("a][api_key", true), ("a", false)] {
        let body = format!(
            "--b0|Content-Disposition: form-data; name=\"model\"||m|--b0|Content-Disposition: form-data; \
             name=\"chunking_strategy[{name}]\"||RCAN1|--b0--|"
        );
        let body = body.replace('|', "\r\n");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FORM))]);
        let head =
            Request::new(Method::POST, "/audio/transcriptions".into(), headers, Length::Known(body.len() as u64));
        let prepared = prepare(&head, Bytes::from(body), &keyed, share(&keyed)).map_err(|words| words.code).unwrap();
        let shown = String::from_utf8(prepared.operation.text.content().to_vec()).unwrap();
        assert_eq!(shown.contains("RCAN1"), !covered, "{shown}");
        let facts = &prepared.operation.shape.meaning().facts.values;
        let tags = facts.iter().find(|(fact, _)| *fact == "tags").map(|(_, fact)| fact.clone());
        let expected = if covered { vec!["secret.key".into()] } else { Vec::new() };
        assert_eq!(tags, Some(Fact::Set(expected)), "{name}");
        let sent =
            prepared.body.covered(prepared.inside, keyed.classes.everything()).map_err(|words| words.code).unwrap();
        assert_eq!(String::from_utf8_lossy(&sent.unwrap()).contains("RCAN1"), !covered, "{name}");
    }
}

/// Whatever little of it is shown.
#[test]
fn nobody_can_approve_a_long_form() {
    let purpose = r#"name="purpose"||user_data"#;
    for kind in ["a.txt", "a.png"] {
        let file = |bytes: usize| format!("name=\"file\"; filename=\"{kind}\"||{}", "x ".repeat(bytes / 2));
        let (text, whole) = shown("/files", &[purpose, &file(250_000)]);
        assert!(whole, "{kind}: {text:.300}");
        let (text, whole) = shown("/files", &[purpose, &file(270_000)]);
        assert!(!whole && text.contains(" more bytes]") && text.len() < 300, "{kind}: {text:.300}");
    }
}

const BATCH: &str = r#"{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}"#;

#[test]
fn a_batch_is_not_read_and_so_it_is_refused_or_opaque() {
    for (name, served) in [("owned", &*OWNED), ("listed", &*LISTED)] {
        assert_eq!(json(served, "/v1/batches", BATCH), refused("batch_not_allowed"), "{name}");
    }
    assert!(is_opaque(&json(&OPEN, "/batches", BATCH)));
}

#[test]
fn so_is_the_file_of_its_requests() {
    let file = r#"name="file"; filename="a.jsonl"|Content-Type: application/jsonl||{"custom_id":"1"}"#;
    let bare = r#"name="file"||{"custom_id":"1"}"#;
    for purpose in [
        r#"name="purpose"||batch"#,
        r#"name="purpose"||Batch"#,
        r#"name="purpose"||batch "#,
        r#"name="purpose"||"#,
        r#"name="purpose"||next"#,
        r#"name="purpose"; filename="a"||batch"#,
    ] {
        for file in [file, bare] {
            for (name, served) in [("owned", &*OWNED), ("listed", &*LISTED)] {
                let asked = form(served, "/files", &[purpose, file]);
                assert_eq!(asked, refused("batch_not_allowed"), "{name} {purpose} {file}");
            }
            assert!(is_opaque(&form(&OPEN, "/files", &[purpose, file])), "{purpose} {file}");
        }
    }
    let upload = |purpose: &str| {
        format!(r#"{{"bytes":1,"filename":"a.jsonl","mime_type":"application/jsonl","purpose":{purpose}}}"#)
    };
    for purpose in [r#""batch""#, r#""BATCH""#, "null", "1"] {
        assert_eq!(json(&OWNED, "/uploads", &upload(purpose)), refused("batch_not_allowed"), "{purpose}");
        assert!(is_opaque(&json(&OPEN, "/uploads", &upload(purpose))), "{purpose}");
    }
    for (name, served) in [("open", &*OPEN), ("owned", &*OWNED), ("listed", &*LISTED)] {
        let other = form(served, "/files", &[r#"name="purpose"||user_data"#, file]);
        assert!(other.is_ok(), "{name}: {other:?}");
        assert!(json(served, "/uploads", &upload(r#""assistants""#)).is_ok(), "{name}");
    }
}

#[test]
fn a_file_that_does_not_say_what_it_is_cannot_be_looked_into() {
    let of = |path, parts: &[&str]| is_opaque(&form(&OPEN, path, parts));
    let purpose = r#"name="purpose"||user_data"#;
    for file in [
        r#"name="file"||%PDF-1.7"#,
        r#"name="file"|Content-Type: text/plain||text"#,
        r#"name="file"|Content-Type: application/pdf||%PDF-1.7"#,
        r#"name="file"; filename="a.pdf"||%PDF-1.7"#,
        r#"name="file"; filename="a"||text"#,
    ] {
        assert!(of("/files", &[purpose, file]), "{file}");
    }
    let model = r#"name="model"||gpt-small"#;
    assert!(of("/images/edits", &[model, r#"name="image[]"||text"#]));
    assert!(of("/images/edits", &[model, r#"name="prompt"|Content-Type: application/pdf||%PDF-1.7"#]));
    assert!(!of("/images/edits", &[model, r#"name="prompt"|Content-Type: text/plain||A cat."#]));
}

#[test]
fn an_approval_is_for_what_the_server_is_told_in_headers_as_well() {
    let ask = |more: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.extend(
            more.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        let body = r#"{"model":"gpt-small","input":"x"}"#;
        let head = Request::new(Method::POST, "/responses".to_owned(), headers, Length::Known(body.len() as u64));
        prepare(&head, Bytes::from_static(body.as_bytes()), &OPEN, share(&OPEN))
            .map_err(|words| words.code)
            .unwrap()
            .operation
    };
    let plain = ask(&[]);
    let digest = |operation: &Operation| operation.shape.digest().0;
    for header in [("openai-beta", "evil=v9"), ("accept", "text/event-stream")] {
        let other = ask(&[header]);
        assert_ne!(digest(&other), digest(&plain), "{header:?}");
        assert!(
            String::from_utf8_lossy(other.text.content()).contains(&format!("[{}: {}]", header.0, header.1)),
            "{header:?}"
        );
    }
    for header in [("user-agent", "x"), ("idempotency-key", "k"), ("accept", "*/*")] {
        assert_eq!(digest(&ask(&[header])), digest(&plain), "{header:?}");
    }
    let facts = |operation: &Operation| {
        let facts = operation.shape.meaning().facts.clone();
        facts.values.into_iter().find(|(name, _)| *name == "beta").map(|(_, fact)| fact)
    };
    let named = ask(&[("openai-beta", "a=v1, b=v2")]);
    assert_eq!(facts(&named), Some(Fact::Set(vec!["a=v1".into(), "b=v2".into()])));
    assert_eq!(facts(&plain), Some(Fact::Set(Vec::new())));
}

#[test]
fn what_no_route_leads_to_is_nobodys() {
    let classes = |path: &str, body: &str| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
        let prepared =
            prepare(&head, Bytes::from(body.to_owned()), &OWNED, share(&OWNED)).map_err(|words| words.code).unwrap();
        let classes: Vec<&str> = prepared.expected.openai.unwrap().creates.iter().map(|made| made.class).collect();
        classes.join(" ")
    };
    let chat = |more: &str| classes("/chat/completions", &format!(r#"{{"model":"m","messages":[]{more}}}"#));
    assert_eq!(chat(r#","store":true"#), "completion");
    for more in ["", r#","store":false"#, r#","store":null"#] {
        assert_eq!(chat(more), "", "{more}");
    }
    let response = |more: &str| classes("/responses", &format!(r#"{{"model":"m","input":"x"{more}}}"#));
    for more in ["", r#","store":true"#, r#","store":null"#] {
        assert_eq!(response(more), "response item_reference container container", "{more}");
    }
    assert_eq!(response(r#","store":false"#), "container container");
    assert_eq!(classes("/conversations", "{}"), "conversation");
}
