//! What is found and what is not; what a route allows; what the file may hold.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use expect_test::{Expect, expect};

use super::*;

/// Extracted once from the sources of the SDK's resources.
const OPENAI_PYTHON: &str = include_str!("../../../../../../fixtures/http/openai-python-paths.txt");

/// The lines of a list that are no comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// Splits the first column of a list into method and path.
fn operation(line: &str) -> (&str, &str) {
    line.split(" | ").next().unwrap().split_once(' ').unwrap()
}

/// Puts something in the place of every `{id}`.
fn fill(template: &str, id: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { id.to_owned() } else { segment.to_owned() };
    template.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn route<'r>(routes: &'r Routes, method: &str, path: &'r str) -> &'r Route {
    match routes.find(method, path) {
        Found::Route { route, .. } => route,
        other @ (Found::MethodNotAllowed(_) | Found::UnknownPath) => panic!("{method} {path}: {other:?}"),
    }
}

fn shown(found: &Found<'_>) -> String {
    match found {
        Found::Route { route, ids } => {
            let ids = ids.iter().map(|Id { class, value }| format!(" {class}={value}")).collect::<String>();
            format!("{route} [{}]{ids}", route.action())
        }
        Found::MethodNotAllowed(allowed) => format!("405 {allowed}"),
        Found::UnknownPath => "404".to_owned(),
    }
}

fn check(requests: &[(&str, &str)], expected: &Expect) {
    let routes = Routes::published();
    let line = |(method, path): &(&str, &str)| format!("{method} {path} -> {}\n", shown(&routes.find(method, path)));
    expected.assert_eq(&requests.iter().map(line).collect::<String>());
}

#[test]
fn every_line_parses_and_is_found() {
    let routes = parse::routes(API).unwrap();
    assert!(lines(API).count() > 350, "{} operations", lines(API).count());
    for line in lines(API) {
        let (method, path) = operation(line);
        let filled = fill(path, "x-1");
        assert_eq!(route(&routes, method, &filled).to_string(), format!("{method} {path}"));
    }
}

#[test]
fn the_file_is_sorted() {
    let keys: Vec<_> = lines(API).map(operation).map(|(method, path)| (path, method)).collect();
    let wrong: Vec<_> = keys.windows(2).filter(|pair| pair.first() >= pair.last()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_call_of_openai_python_is_found() {
    let routes = Routes::published();
    let mut missing = Vec::new();
    for (method, path) in lines(OPENAI_PYTHON).map(operation) {
        let filled = fill(path, "abc_123");
        match routes.find(method, &filled) {
            Found::Route { route, .. } => assert_eq!(fill(route.path, "abc_123"), filled),
            Found::MethodNotAllowed(_) | Found::UnknownPath => missing.push(format!("{method} {path}")),
        }
    }
    assert!(lines(OPENAI_PYTHON).count() > 350);
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn operations_are_found_with_their_ids() {
    check(
        &[
            ("POST", "/chat/completions"),
            ("POST", "/responses"),
            ("GET", "/responses/resp_1"),
            ("POST", "/responses/resp_1/cancel"),
            ("GET", "/models"),
            ("GET", "/models/ft:gpt-4o:org::id"),
            ("GET", "/files/file-1/content"),
            ("GET", "/vector_stores/vs_1/file_batches/vsfb_1/files"),
            ("GET", "/containers/cntr_1/files/cfile_1/content"),
            ("POST", "/threads/thread_1/runs/run_1/submit_tool_outputs"),
            ("DELETE", "/conversations/conv_1/items/msg_1"),
            ("POST", "/organization/projects/proj_1/archive"),
        ],
        &expect![[r#"
            POST /chat/completions -> POST /chat/completions [llm.chat]
            POST /responses -> POST /responses [llm.chat]
            GET /responses/resp_1 -> GET /responses/{response_id} [llm.read] response=resp_1
            POST /responses/resp_1/cancel -> POST /responses/{response_id}/cancel [llm.delete] response=resp_1
            GET /models -> GET /models [llm.models]
            GET /models/ft:gpt-4o:org::id -> GET /models/{model} [llm.models] model=ft:gpt-4o:org::id
            GET /files/file-1/content -> GET /files/{file_id}/content [llm.read] file=file-1
            GET /vector_stores/vs_1/file_batches/vsfb_1/files -> GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files [llm.read] vector_store=vs_1 file_batch=vsfb_1
            GET /containers/cntr_1/files/cfile_1/content -> GET /containers/{container_id}/files/{file_id}/content [llm.read] container=cntr_1 container_file=cfile_1
            POST /threads/thread_1/runs/run_1/submit_tool_outputs -> POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs [llm.run] thread=thread_1 run=run_1
            DELETE /conversations/conv_1/items/msg_1 -> DELETE /conversations/{conversation_id}/items/{item_id} [llm.delete] conversation=conv_1 item=msg_1
            POST /organization/projects/proj_1/archive -> POST /organization/projects/{project_id}/archive [llm.admin] project=proj_1
        "#]],
    );
}

#[test]
fn a_literal_wins_over_an_id() {
    check(
        &[
            ("POST", "/responses/compact"),
            ("GET", "/responses/compact"),
            ("DELETE", "/responses/input_tokens"),
            ("POST", "/threads/runs"),
            ("GET", "/threads/runs"),
            ("GET", "/threads/runs/messages"),
            ("GET", "/videos/characters/char_1"),
            ("GET", "/videos/characters"),
            ("GET", "/agents/automations"),
            ("GET", "/agents/agent_1"),
            ("GET", "/agents/environments/templates/files"),
            ("GET", "/agents/environments/env_1/files"),
        ],
        &expect![[r#"
            POST /responses/compact -> POST /responses/compact [llm.chat]
            GET /responses/compact -> 405 POST
            DELETE /responses/input_tokens -> 405 POST
            POST /threads/runs -> POST /threads/runs [llm.run]
            GET /threads/runs -> 405 POST
            GET /threads/runs/messages -> 404
            GET /videos/characters/char_1 -> GET /videos/characters/{character_id} [llm.read] character=char_1
            GET /videos/characters -> 405 POST
            GET /agents/automations -> GET /agents/automations [llm.read]
            GET /agents/agent_1 -> GET /agents/{agent_id} [llm.read] agent=agent_1
            GET /agents/environments/templates/files -> GET /agents/environments/templates/{environment_template_id} [llm.read] environment_template=files
            GET /agents/environments/env_1/files -> GET /agents/environments/{environment_id}/files [llm.read] environment=env_1
        "#]],
    );
}

#[test]
fn a_wrong_method_is_told_from_a_wrong_path() {
    check(
        &[
            ("GET", "/embeddings"),
            ("PUT", "/files/file-1"),
            ("HEAD", "/models"),
            ("post", "/responses"),
            ("", "/responses"),
            ("GET", "/responses"),
            ("GET", "/realtime"),
            ("GET", "/vector_stores/vs_1/search/more"),
            ("GET", "/organization"),
            ("GET", "/unknown"),
            ("GET", "/fine_tuning/alpha"),
        ],
        &expect![[r#"
            GET /embeddings -> 405 POST
            PUT /files/file-1 -> 405 DELETE, GET, HEAD
            HEAD /models -> 405 GET, HEAD
            post /responses -> 405 POST
             /responses -> 405 POST
            GET /responses -> 405 POST
            GET /realtime -> 404
            GET /vector_stores/vs_1/search/more -> 404
            GET /organization -> 404
            GET /unknown -> 404
            GET /fine_tuning/alpha -> 404
        "#]],
    );
}

#[test]
fn odd_paths_are_unknown() {
    let routes = Routes::published();
    let long = format!("/models/{}", "m".repeat(257));
    let deep = "/responses".repeat(10_000);
    let odd = [
        "",
        "/",
        "//",
        "responses",
        "/responses/",
        "//responses",
        "/responses//",
        "/Responses",
        "/responses/resp_1/",
        "/responses//input_items",
        "/responses/resp_1/../resp_2",
        "/responses/.",
        "/responses/..",
        "/responses/a%2Fb",
        "/models/ft%3Agpt-4o",
        "/models/meta/llama",
        "/responses/a b",
        "/responses/a?b",
        "/responses/a;b",
        "/responses/a@b",
        "/responses/ä",
        "/responses/a\0",
        "/responses/{response_id}",
        "/v1/responses",
        &long,
        &deep,
    ];
    for path in odd {
        for method in METHODS {
            assert!(matches!(routes.find(method, path), Found::UnknownPath), "{method} {path}");
        }
    }
    let longest = format!("/models/{}", "m".repeat(256));
    route(&routes, "GET", &longest);
    route(&routes, "GET", "/models/A-Za.z_0~9:...");
}

const METHODS: [&str; 3] = ["DELETE", "GET", "POST"];

#[test]
fn query_parameters_are_known_with_their_brackets() {
    let routes = Routes::published();
    let allowed = |path: &str, name: &str| route(&routes, "GET", path).allows_query(name);
    for name in ["include", "include[]", "stream", "starting_after", "beta"] {
        assert!(allowed("/responses/resp_1", name), "{name}");
    }
    for name in ["", "includes", "include[", "include]", "include[0]", "include[][]", "stream[]", "[]", "Include"] {
        assert!(!allowed("/responses/resp_1", name), "{name}");
    }
    let longest = format!("metadata[{}]", "ä".repeat(64));
    for name in ["metadata", "metadata[k]", "metadata[a key.of-mine]", &longest] {
        assert!(allowed("/chat/completions", name), "{name}");
    }
    let long = format!("metadata[{}]", "k".repeat(65));
    for name in ["metadata[]", "metadata[a][b]", "metadata[a", "metadata[a]b", "metadata[a\n]", "metadata.k", &long] {
        assert!(!allowed("/chat/completions", name), "{name}");
    }
    for name in ["effective_at[gte]", "effective_at[lt]", "project_ids[]", "event_types"] {
        assert!(allowed("/organization/audit_logs", name), "{name}");
    }
    for name in ["effective_at[eq]", "effective_at[]", "effective_at[gt|gte]"] {
        assert!(!allowed("/organization/audit_logs", name), "{name}");
    }
    assert!(!allowed("/models", "limit"));
}

#[test]
fn fields_are_known_at_the_top_of_a_body() {
    let routes = Routes::published();
    let chat = route(&routes, "POST", "/chat/completions");
    for field in ["model", "messages", "stream_options", "tools", "response_format"] {
        assert!(chat.allows_field(field), "{field}");
    }
    for field in ["input", "Model", "model ", "", "messages[]", "stop[]"] {
        assert!(!chat.allows_field(field), "{field}");
    }
    let responses = route(&routes, "POST", "/responses");
    for field in ["conversation", "previous_response_id", "prompt", "multi_agent"] {
        assert!(responses.allows_field(field), "{field}");
    }
    let files = route(&routes, "POST", "/files");
    for part in ["file", "purpose", "expires_after[anchor]"] {
        assert!(files.allows_part(part), "{part}");
    }
    assert!(!files.allows_part("file[]"));
    assert!(!files.allows_field("expires_after[anchor]"));
    let edits = route(&routes, "POST", "/images/edits");
    for part in ["image", "image[]", "svg[model]", "svg[reasoning][effort]", "svg[a][]", "svg[a][b][c][d]"] {
        assert!(edits.allows_part(part), "{part}");
    }
    for part in ["image[a]", "image[][]", "svg[]", "svg[][a]", "svg[a]b[c]", "svg[a][b", "svg[a][b][c][d][e]"] {
        assert!(!edits.allows_part(part), "{part}");
    }
    assert!(!route(&routes, "POST", "/responses/resp_1/cancel").allows_field("model"));
}

#[test]
fn a_route_knows_its_bodies_and_answers() {
    let routes = Routes::published();
    let responses = route(&routes, "POST", "/responses");
    assert!(responses.takes(Body::Json) && !responses.takes(Body::Multipart));
    assert!(responses.answers(Answer::Sse) && responses.answers(Answer::Json) && !responses.answers(Answer::Binary));
    assert!(!route(&routes, "POST", "/embeddings").answers(Answer::Sse));
    assert!(!route(&routes, "GET", "/models").takes_body());
    assert!(route(&routes, "POST", "/containers/cntr_1/files").takes(Body::Multipart));
    assert!(route(&routes, "POST", "/realtime/calls").takes(Body::Sdp));
    assert!(route(&routes, "GET", "/files/file-1/content").answers(Answer::Binary));
    assert!(route(&routes, "POST", "/audio/transcriptions").answers(Answer::Text));
    assert!(route(&routes, "DELETE", "/containers/cntr_1").answers(Answer::Empty));
    assert!(route(&routes, "POST", "/realtime/client_secrets").mints() && !responses.mints());
    let models: Vec<Vec<_>> = responses.models().iter().map(|model| model.steps().collect()).collect();
    assert!(models.contains(&vec!["model"]) && models.contains(&vec!["tools", "*", "model"]), "{models:?}");
}

#[test]
fn a_route_knows_whose_objects_it_handles() {
    let routes = Routes::published();
    let created = |method: &str, path: &str| -> Vec<String> {
        let shown = |created: &Yield| format!("{}@{}", created.class, created.at.0);
        route(&routes, method, path).creates().iter().map(shown).collect()
    };
    assert_eq!(created("POST", "/files"), ["file@id"]);
    assert_eq!(created("POST", "/uploads/upload_1/complete"), ["file@file.id"]);
    assert_eq!(created("POST", "/threads/runs"), ["thread@thread_id"]);
    assert_eq!(created("GET", "/batches/batch_1"), ["file@output_file_id", "file@error_file_id"]);
    assert_eq!(created("POST", "/embeddings"), [""; 0]);
    assert_eq!(route(&routes, "GET", "/files").lists(), Some("file"));
    assert_eq!(route(&routes, "GET", "/models").lists(), None);
    for class in ["response", "conversation", "file", "vector_store", "batch", "container", "thread", "upload"] {
        assert!(routes.is_owned(class), "{class}");
    }
    for class in ["message", "container_file", "model", "project", ""] {
        assert!(!routes.is_owned(class), "{class}");
    }
}

#[test]
fn verbs_follow_from_methods_and_paths() {
    let routes = Routes::published();
    let mut used = BTreeSet::new();
    for (method, path) in lines(API).map(operation) {
        let filled = fill(path, "x");
        let found = route(&routes, method, &filled);
        let Action { name, effect } = found.action();
        used.insert(name);
        let admin = name == "llm.admin";
        assert!(admin || !path.starts_with("/organization") && !path.starts_with("/projects"), "{found}: {name}");
        match method {
            "GET" => assert!(admin || effect == Effect::Read && !found.takes_body(), "{found}: {name}"),
            "DELETE" => assert!(admin || name == "llm.delete" && !found.takes_body(), "{found}: {name}"),
            "POST" => assert!(name != "llm.models", "{found}: {name}"),
            _ => panic!("{found}"),
        }
    }
    assert_eq!(used, ACTIONS.iter().map(|action| action.name).collect());
}

#[test]
fn a_malformed_line_is_an_error() {
    let cases = [
        ("", "the path is missing"),
        ("GET /a", "a column is missing"),
        ("FETCH /a | llm.read | none | answer: json", "an unknown method"),
        ("GET a | llm.read | none | answer: json", "a path starts with a slash"),
        ("GET /a/ | llm.read | none | answer: json", "a segment is malformed"),
        ("GET /{a | llm.read | none | ids: a | answer: json", "a segment is malformed"),
        ("GET /a | llm.guess | none | answer: json", "an unknown action"),
        ("GET /a | llm.read | form | answer: json", "an unknown kind of body"),
        ("GET /a | llm.read | none | answer: json | query: b", "the columns are not in their order"),
        ("GET /a | llm.read | none | answer: json | answer: sse", "the columns are not in their order"),
        ("GET /a | llm.read | none | answer: xml", "an unknown kind of answer"),
        ("GET /a | llm.read | none | more: b | answer: json", "an unknown column"),
        ("GET /a | llm.read | none | mint | answer: json", "a column has no label"),
        ("GET /a | llm.read | none", "there is no answer"),
        ("GET /{a} | llm.read | none | answer: json", "not every id in the path has a class"),
        ("GET /a | llm.read | none | body: b | answer: json", "a body has fields, and only a body"),
        ("POST /a | llm.read | json | answer: json", "a body has fields, and only a body"),
        ("POST /a | llm.read | json | body: b b[] | answer: json", "a name is there twice"),
        ("POST /a | llm.read | json | body: b[ | answer: json", "a bracket is open"),
        ("POST /a | llm.read | json | body: b  c | answer: json", "a name is malformed"),
        (
            "POST /a | llm.read | json | body: b | models: c | answer: json",
            "a model is named in a field that is not there",
        ),
        ("POST /a | llm.read | json | body: b | models: b..c | answer: json", "a pointer is malformed"),
        (
            "GET /a | llm.read | none | answer: json\nGET /a | llm.read | none | answer: json",
            "the operation is there twice",
        ),
    ];
    for (text, problem) in cases {
        let line = text.lines().count().max(1);
        let text = if text.is_empty() { "\n" } else { text };
        assert_eq!(parse::routes(text).unwrap_err().to_string(), format!("line {line}: {problem}"), "{text}");
    }
}
