//! Whose credential goes where, and which headers.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;

use sluice_tests::api::{self, KEY};
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::canary::contains;
use sluice_tests::http::Request;
use sluice_tests::mock::{Mock, Peer, Told};
use sluice_tests::openai::Api;

use crate::stand::{STAFF, Stand, model};

/// Headers of a client that no server has a use for, or may not see.
const BEHIND: &[(&str, &str)] = &[
    ("Cookie", "session=client-cookie"),
    ("Proxy-Authorization", "Basic Y2xpZW50"),
    ("X-Forwarded-For", "192.0.2.7"),
    ("Forwarded", "for=192.0.2.7"),
    ("OpenAI-Organization", "org-client"),
    ("OpenAI-Project", "proj-client"),
    ("X-Stainless-Os", "client-os"),
    ("X-Anything", "client-anything"),
    ("Referer", "http://client.invalid/"),
    ("Origin", "http://client.invalid"),
    ("Accept-Encoding", "gzip, br"),
    ("X-Request-Id", "client-request"),
];

/// Headers of a server that a client has no use for, or may not see.
const KEPT: &str = "set-cookie: a=server-cookie\r\nopenai-organization: server-org\r\nx-request-id: server-request\r\n\
    www-authenticate: Bearer realm=\"server-realm\"\r\nserver: server-name\r\nvia: server-via\r\n\
    authorization: Bearer server-token\r\nlocation: http://server.invalid/\r\nalt-svc: h3=\":1\"\r\n\
    access-control-allow-origin: *\r\nx-anything: server-anything\r\nlink: </server>; rel=preload\r\n";

/// An answer that carries everything a server could show, its own key included.
fn talkative(told: &Told, peer: &mut Peer) {
    let shown = told.header("authorization").unwrap_or_default();
    let body = Api::Chat.answer("\"It is fine.\"");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{KEPT}x-debug: {shown}\r\n\
         openai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nx-ratelimit-remaining-tokens: 99\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    peer.send(head.as_bytes());
}

#[test]
fn the_clients_token_and_the_servers_key_never_meet() {
    let stand = Stand::open(talkative);
    let mut request = stand.chat("Hello.");
    for (name, value) in BEHIND {
        request = request.header(name, value);
    }
    let mut client = stand.broker.http();
    let response = client.ask(&request).with(200);
    let told = stand.mock.hears(1).into_iter().next().unwrap_or_default();
    assert_eq!(told.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    let to_server = String::from_utf8_lossy(&told.bytes()).to_lowercase();
    assert!(!contains(&told.bytes(), stand.token.as_bytes()));
    for needle in ["client", "192.0.2.7", "gzip", "org-", "stainless"] {
        assert!(!to_server.contains(needle), "`{needle}` reached the server:\n{to_server}");
    }
    assert_eq!(told.header("accept-encoding"), Some("identity"));
    let to_client = String::from_utf8_lossy(&client.heard).to_lowercase();
    assert!(!to_client.contains("server") && !contains(&client.heard, KEY.as_bytes()), "{to_client}");
    for (name, value) in
        [("openai-processing-ms", "12"), ("openai-version", "2020-10-01"), ("x-ratelimit-remaining-tokens", "99")]
    {
        assert_eq!(response.header(name), Some(value));
    }
    assert_eq!(response.header("x-request-id").map(str::to_owned), Some(stand.session()));
    nowhere(&stand, KEY);
    nowhere(&stand, &stand.token);
}

/// A secret is in no file that the broker keeps, in no log, and in nothing that it prints.
fn nowhere(stand: &Stand, secret: &str) {
    let replayed = stand.broker.cli(&["replay", &stand.session(), "--output", "json"]).done().said();
    let shown = stand.broker.cli(&["sessions", "show", &stand.session()]).done().said();
    for (what, text) in [("the log", stand.broker.log()), ("the replay", replayed), ("the session", shown)] {
        assert!(!text.contains(secret), "{what} holds a secret:\n{text}");
    }
    for folder in ["var", "var/recordings"] {
        for file in fs::read_dir(stand.broker.folder().join(folder)).into_iter().flatten().flatten() {
            let bytes = fs::read(file.path()).unwrap_or_default();
            assert!(!contains(&bytes, secret.as_bytes()), "{} holds a secret", file.path().display());
        }
    }
}

#[test]
fn a_key_is_shown_as_the_target_wants_it() {
    for (auth, name, value) in [
        ("auth: bearer", "authorization", format!("Bearer {KEY}")),
        ("auth: { header: api-key }", "api-key", KEY.to_owned()),
        ("auth: none", "authorization", String::new()),
    ] {
        let stand = Stand::with(model, "", |api| api.with(auth), |setup| setup);
        let _fine = stand.ask(&stand.chat("Hello.")).with(200);
        let told = stand.mock.hears(1).into_iter().next().unwrap_or_default();
        assert_eq!(told.header(name).unwrap_or_default(), value, "{auth}");
        let keys = told.head.headers().filter(|(_, value)| value.contains(KEY)).count();
        assert_eq!(keys, usize::from(auth != "auth: none"), "{}", told.head.text);
    }
}

#[test]
fn a_server_that_echoes_its_key_shows_it_to_nobody() {
    let stand = Stand::open(|told, peer| {
        let shown = told.header("authorization").unwrap_or_default().to_owned();
        peer.answer(
            "401 Unauthorized",
            "application/json",
            format!(r#"{{"error":{{"message":"bad key: {shown}"}}}}"#).as_bytes(),
        );
    });
    let mut client = stand.broker.http();
    let _refused = client.ask(&stand.chat("Hello."));
    assert!(!contains(&client.heard, KEY.as_bytes()), "{}", String::from_utf8_lossy(&client.heard));
    nowhere(&stand, KEY);
}

#[test]
fn exactly_one_token_is_shown() {
    let stand = Stand::open(model);
    let ask = |request: Request| stand.ask(&request);
    let get = || Request::new("GET", "/openai/v1/models");
    assert_eq!(ask(get().header("api-key", &stand.token)).status(), 200);
    assert_eq!(ask(get().header("X-Api-Key", &stand.token)).status(), 200);
    let told = stand.mock.take();
    assert!(told.iter().all(|told| !contains(&told.bytes(), stand.token.as_bytes())));
    for (what, request) in [
        ("none", get()),
        ("two", get().token(&stand.token).header("api-key", &stand.token)),
        ("another scheme", get().header("Authorization", &format!("Basic {}", stand.token))),
        ("empty", get().header("Authorization", "Bearer ")),
        ("somebody's own key", get().token("sk-proj-0123456789abcdef0123456789abcdef")),
    ] {
        let response = ask(request);
        assert_eq!(response.status(), 401, "{what}: {}", response.text());
        assert!(response.header("www-authenticate").is_some(), "{what}");
    }
    let twice = ask(get().token(&stand.token).token(&stand.token));
    assert!(matches!(twice.status(), 400 | 401), "{}", twice.text());
    assert!(stand.mock.take().is_empty());
    assert!(!stand.broker.log().contains("sk-proj-"));
}

#[test]
fn a_missing_and_a_forbidden_target_read_the_same() {
    let stand = Stand::open(model);
    let stranger = stand.broker.token("eve", "nobodies");
    let ask = |target: &str, token: &str| {
        let response = stand.ask(&Request::get(&format!("/{target}/v1/models"), token));
        let mut error = response.json()["error"].clone();
        error["decision"] = serde_json::Value::Null;
        (response.status(), error, response.header("x-request-id").is_some())
    };
    let forbidden = ask("openai", &stranger);
    assert_eq!(forbidden, ask("nowhere", &stranger));
    assert_eq!(forbidden, ask("nowhere", &stand.token));
    let scoped = stand.broker.mint(&["--user", "ann", "--group", "staff", "--target", "files"]);
    assert_eq!(forbidden, ask("openai", &scoped));
    assert_eq!(forbidden.0, 403);
}

#[test]
fn tokens_do_not_cross_the_network_in_the_clear() {
    let mock = Mock::start(model);
    let setup = Setup::http(vec![api::Api::openai("openai", "prod", mock.port())], STAFF);
    let change = |yaml: &str| yaml.replace("  dangerous_cleartext_loopback: true\n", "");
    let broker = Broker::start_with(&setup, change);
    let mut client = broker.http();
    client.send(&Request::get("/openai/v1/models", &broker.token("ann", "staff")).bytes());
    assert!(client.try_begun().is_none(), "{}", String::from_utf8_lossy(&client.heard));
    assert!(mock.told().is_empty());
}
