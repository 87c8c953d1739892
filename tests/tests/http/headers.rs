//! Header rules: what passes at one target, what stays behind, what is refused.

use sluice_tests::api::Api;
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Peer, Told};

use crate::stand::Stand;

const RULES: &str = "header_rules: { \
    request: { pass: [X-Tenant, Accept-Language], drop: [user-agent], refuse: [X-Debug] }, \
    response: { pass: [ETag, Location, X-Note], drop: [retry-after] } }";

/// Answers with headers of every kind.
fn answer(told: &Told, peer: &mut Peer) {
    let note =
        told.header("x-tenant").map_or("", |tenant| if tenant == "leak" { "zq7x.k1%40leak.example.com" } else { "n" });
    let body = r#"{"object":"list","data":[]}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"7\"\r\nx-note: {note}\r\nx-other: o\r\n\
         location: /v1/next\r\nretry-after: 7\r\nset-cookie: a=b\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    peer.send(head.as_bytes());
}

/// A stand for each dialect, under these rules.
fn stands() -> [Stand; 2] {
    let rest = |mut api: Api| {
        api.more.retain(|setting| !setting.starts_with("dialect"));
        api.with(RULES).with("headers: { X-Set: by-us }")
    };
    [
        Stand::with(answer, "", |api| rest(api).with("dialect: openai"), |setup| setup),
        Stand::with(answer, "", rest, |setup| setup),
    ]
}

fn ask(stand: &Stand, headers: &[(&str, &str)]) -> Response {
    let plain = Request::get("/openai/models", &stand.token);
    stand.ask(&headers.iter().fold(plain, |request, (name, value)| request.header(name, value)))
}

#[test]
fn headers_pass_as_the_target_says() {
    for stand in stands() {
        let given = [
            ("X-Tenant", "acme"),
            ("Accept-Language", "de"),
            ("User-Agent", "curl"),
            ("X-Other", "o"),
            ("X-Set", "mine"),
        ];
        let response = ask(&stand, &given).with(200);
        let told = stand.mock.take().pop().unwrap_or_default();
        for (name, expect) in [
            ("x-tenant", Some("acme")),
            ("accept-language", Some("de")),
            ("user-agent", None),
            ("x-other", None),
            ("x-set", Some("by-us")),
        ] {
            assert_eq!(told.header(name), expect, "{name}: {}", told.head.text);
        }
        for (name, expect) in [
            ("etag", Some("\"7\"")),
            ("location", Some("/v1/next")),
            ("x-note", Some("n")),
            ("x-other", None),
            ("retry-after", None),
            ("set-cookie", None),
        ] {
            assert_eq!(response.header(name), expect, "{name}: {}", response.head.text);
        }
        let recorded = serde_json::Value::from(stand.recorded()).to_string();
        assert!(recorded.contains("[x-tenant: acme]"), "{recorded}");
    }
}

#[test]
fn a_header_that_the_target_does_not_take_is_refused() {
    for stand in stands() {
        let refused = ask(&stand, &[("X-Debug", "1")]).with(400);
        assert_eq!(refused.code(), "refused_header");
        let refused = ask(&stand, &[("X-Tenant", "caf\u{e9}")]).with(400);
        assert_eq!(refused.code(), "invalid_header");
        assert!(stand.mock.told().is_empty());
    }
}

#[test]
fn who_uses_a_wrong_method_is_told_the_right_ones() {
    let stand = Stand::open(|_: &Told, peer: &mut Peer| {
        let head = "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, OPTIONS\r\ncontent-type: application/json\r\n";
        peer.send(format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes());
    });
    let ask = |method: &str, path: &str| {
        let response = stand.ask(&Request::new(method, path).token(&stand.token)).with(405);
        response.header("allow").unwrap_or_default().to_owned()
    };
    assert_eq!(ask("TRACE", "/openai/v1/models"), "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(ask("OPTIONS", "/files/x"), "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(ask("DELETE", "/openai/v1/chat/completions"), "GET, HEAD, POST");
    assert_eq!(ask("GET", "/openai/v1/responses/compact"), "POST");
    assert!(stand.mock.told().is_empty());
    // The server's own.
    assert_eq!(ask("DELETE", "/files/x"), "GET, OPTIONS");
}

#[test]
fn protected_values_pass_in_no_header() {
    for stand in stands() {
        let _fine = ask(&stand, &[("X-Tenant", "zq7x.k1@leak.example.com")]).with(200);
        let _fine = ask(&stand, &[("X-Tenant", "zq7x.k1%40leak.example.com"), ("Accept-Language", "de")]).with(200);
        for told in stand.mock.take() {
            assert_eq!(told.header("x-tenant"), None, "{}", told.head.text);
        }
        let response = ask(&stand, &[("X-Tenant", "leak")]).with(200);
        assert_eq!((response.header("x-note"), response.header("etag")), (None, Some("\"7\"")));
        let recorded = serde_json::Value::from(stand.recorded()).to_string();
        assert!(!recorded.contains("zq7x"), "{recorded}");
        stand.broker.log_is_clean();
    }
}
