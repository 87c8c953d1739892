//! What passes and what does not, rule by rule.
#![expect(clippy::unwrap_used, reason = "tests")]

use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::*;

const BROKER: [&str; 2] = ["broker", "api.example.com:8443"];

fn at(allowed: &[String]) -> Listener<'_> {
    Listener { authorities: allowed }
}

fn names() -> Vec<String> {
    BROKER.map(str::to_owned).to_vec()
}

/// A request line without its version, and header lines between bars.
fn parts(line: &str, version: Version) -> Parts {
    let mut lines = line.split(" | ");
    let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
    let mut parts = Request::builder().method(method).uri(uri).version(version).body(()).unwrap().into_parts().0;
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        parts.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    parts
}

fn check(line: &str) -> Result<Checked, Flaw> {
    head(&parts(line, Version::HTTP_11), at(&names()))
}

fn code(result: &Result<Checked, Flaw>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(flaw) => format!("{} {}", flaw.status, flaw.code),
    }
}

/// Requests and what becomes of them.
fn table(version: Version, rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        assert_eq!(code(&head(&parts(line, version), at(&names()))), *expected, "{line}");
    }
}

#[test]
fn methods() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(code(&check(&format!("{method} /v1 | host: broker"))), "ok", "{method}");
    }
    for method in ["TRACE", "OPTIONS"] {
        assert_eq!(code(&check(&format!("{method} / | host: broker"))), "405 method_not_allowed", "{method}");
    }
    table(
        Version::HTTP_11,
        &[
            ("OPTIONS * | host: broker", "405 method_not_allowed"),
            ("CONNECT evil:443 | host: evil:443", "405 method_not_allowed"),
            ("PROPFIND /v1 | host: broker", "501 method_not_implemented"),
            ("get /v1 | host: broker", "501 method_not_implemented"),
        ],
    );
}

#[test]
fn versions() {
    table(Version::HTTP_10, &[("GET /v1 | host: broker", "ok"), ("GET /v1", "400 invalid_host")]);
    table(Version::HTTP_09, &[("GET /v1 | host: broker", "505 version_not_supported")]);
    table(Version::HTTP_3, &[("GET /v1 | host: broker", "505 version_not_supported")]);
}

#[test]
fn paths_that_pass() {
    let rows: [(&str, &[&str]); 10] = [
        ("/", &[]),
        ("/v1", &["v1"]),
        ("/openai/v1/chat/completions", &["openai", "v1", "chat", "completions"]),
        ("/v1/models/ft:gpt-4o:org::id", &["v1", "models", "ft:gpt-4o:org::id"]),
        ("/v1/a.b/..c/d..", &["v1", "a.b", "..c", "d.."]),
        ("/v1/a%20b", &["v1", "a b"]),
        ("/v1/100%25", &["v1", "100%"]),
        ("/v1/50%25-off", &["v1", "50%-off"]),
        ("/v1/%C3%A9t%c3%a9", &["v1", "été"]),
        ("/v1/%7Euser/a+b,c=d@e!$&'()*", &["v1", "~user", "a+b,c=d@e!$&'()*"]),
    ];
    for (path, expected) in rows {
        assert_eq!(
            path::segments(path).as_deref(),
            Ok(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..])
        );
    }
}

#[test]
fn paths_that_do_not_pass() {
    let rows = [
        "",
        "*",
        "v1",
        "//",
        "/v1/",
        "//v1",
        "/v1//models", // empty segments
        "/v1/.",
        "/v1/..",
        "/../v1",
        "/v1/../admin",
        "/v1/...",
        "/v1/.%20",
        "/v1/..%20/admin",
        "/v1/%20",
        "/v1/%2e",
        "/v1/%2E%2e/admin",
        "/v1/.%2e/admin",
        "/v1/%2e./admin",
        "/v1/a%2ejson",
        "/v1%2fadmin",
        "/v1/..%2Fadmin",
        "/v1%5cadmin",
        "/v1/%5C..",
        "/v1\\..\\admin",
        "/v1/a\\b",
        "/v1/models%00.json",
        "/v1/%0d%0aX:%20y",
        "/v1/%0a",
        "/v1/%7f",
        "/v1/%1b",
        "/v1/%C2%85",
        "/v1/%252e%252e/admin",
        "/v1/%252f",
        "/v1/%255c",
        "/v1/%2500",
        "/v1/%250a",
        "/v1/%2541",
        "/v1/%25252e",
        "/v1/%25%32%65",
        "/v1/%",
        "/v1/%2",
        "/v1/%zz",
        "/v1/%u002e",
        "/v1/a%2",
        "/v1/%6dodels",
        "/v1/%4Dodels",
        "/v1/a%2Db",
        "/v1/a;b",
        "/v1;x=1/models",
        "/v1/..;/admin",
        "/v1/a%3bb",
        "/v1/a%3Fb",
        "/v1/a%23b",
        "/v1/a#b",
        "/v1/a?b",
        "/v1/é",
        "/v1/a b",
        "/v1/\u{0}",
        "/v1/a\tb",
        "/v1/<b>",
        "/v1/\"",
        "/v1/{id}",
        "/v1/a|b",
        "/v1/a^b",
        "/v1/[x]",
        "/v1/%c0%af",
        "/v1/%c0%ae%c0%ae",
        "/v1/%e0%80%af",
        "/v1/%ff",
        "/v1/%ed%a0%80", // no UTF-8
        "/v1/%ef%bc%8f",
        "/v1/%ef%bc%8e%ef%bc%8e",
        "/v1/%ef%bc%bc",
        "/v1/%E2%80%A5",
        "/v1/%ef%bc%85", // fold to syntax
    ];
    for path in rows {
        assert_eq!(path::segments(path).map_err(|flaw| flaw.code), Err("invalid_path"), "{path}");
    }
}

#[test]
fn the_path_is_checked_in_a_head() {
    table(
        Version::HTTP_11,
        &[
            ("GET /v1/models | host: broker", "ok"),
            ("GET /v1/%2e%2e/admin | host: broker", "400 invalid_path"),
            ("GET /v1/models/ | host: broker", "400 invalid_path"),
            ("GET /v1//models | host: broker", "400 invalid_path"),
            ("GET /v1/é | host: broker", "400 invalid_path"),
            ("GET /v1\\..\\admin | host: broker", "400 invalid_path"),
        ],
    );
    let long = format!("GET /{} | host: broker", "a".repeat(MAX_TARGET_BYTES));
    assert_eq!(code(&check(&long)), "414 uri_too_long");
    let edge = format!("GET /{} | host: broker", "a".repeat(MAX_TARGET_BYTES - 1));
    assert_eq!(code(&check(&edge)), "ok");
}

#[test]
fn queries_that_pass() {
    let pair = |name: &str, value: &str| Pair { name: name.to_owned(), value: value.to_owned() };
    let rows = [
        ("", vec![]),
        ("limit=20&order=asc", vec![pair("limit", "20"), pair("order", "asc")]),
        ("include[]=a&include%5B%5D=b", vec![pair("include[]", "a"), pair("include[]", "b")]),
        ("metadata[k]=a+b%2Bc", vec![pair("metadata[k]", "a b+c")]),
        ("stream&after=x%25y", vec![pair("stream", ""), pair("after", "x%y")]),
        ("a=b=c", vec![pair("a", "b=c")]),
        ("page_token=x&max_tokens=1", vec![pair("page_token", "x"), pair("max_tokens", "1")]),
        ("q=%C3%A9?/", vec![pair("q", "é?/")]),
    ];
    for (query, expected) in rows {
        assert_eq!(query::pairs(query), Ok(expected), "{query}");
    }
}

#[test]
fn queries_that_do_not_pass() {
    let malformed = [
        "a=%",
        "a=%2",
        "a=%zz",
        "%=1",
        "a=\u{e9}",
        "a=b;c=d",
        "a=b c",
        "a=<",
        "a=\"",
        "a=\\",
        "a=b|c",
        "a=#",
        "a=`",
        "&a=1",
        "a=1&&b=2",
        "a=1&",
        "=1",
        "a=%00",
        "a=%0d%0ab",
        "a=%c0%af",
        "a%3Db=1",
        "a%26b=1",
        "%2561pi=1",
        "a%3bb=1",
        "a=%C2%85",
    ];
    for query in malformed {
        assert_eq!(query::pairs(query).map_err(|flaw| flaw.code), Err("invalid_query"), "{query}");
    }
    let credentials = [
        "api_key=x",
        "apikey=x",
        "API-Key=x",
        "api%5Fkey=x",
        "%61pi_key=x",
        "key=x",
        "token=x",
        "access_token=x",
        "Token[]=x",
        "limit=1&password=x",
        "authorization=Bearer+x",
        "x-api-key",
        "client_secret=",
        "api.key=x",
        "api+key=x",
        "jwt=x",
        "X-Amz-Signature=x",
        "subscription-key=x",
        "key[a]=x",
    ];
    for query in credentials {
        assert_eq!(query::pairs(query).map_err(|flaw| flaw.code), Err("credential_in_query"), "{query}");
    }
    assert_eq!(code(&check("GET /v1/models?api_key=x | host: broker")), "400 credential_in_query");
    assert!(query::pairs(&vec!["a=1"; 256].join("&")).is_ok());
    assert!(query::pairs(&vec!["a=1"; 257].join("&")).is_err());
}

#[test]
fn hosts() {
    table(
        Version::HTTP_11,
        &[
            ("GET /v1 | host: broker", "ok"),
            ("GET /v1 | host: BROKER:99", "ok"),
            ("GET /v1 | host: api.example.com:8443", "ok"),
            ("GET /v1 | host: api.example.com", "421 misdirected_request"),
            ("GET /v1 | host: api.example.com:443", "421 misdirected_request"),
            ("GET /v1 | host: evil", "421 misdirected_request"),
            ("GET /v1 | host: broker.evil", "421 misdirected_request"),
            ("GET /v1", "400 invalid_host"),
            ("GET /v1 | host:", "400 invalid_host"),
            ("GET /v1 | host: broker | host: evil", "400 repeated_header"),
            ("GET /v1 | host: broker | host: broker", "400 repeated_header"),
            ("GET /v1 | host: broker, evil", "400 invalid_host"),
            ("GET /v1 | host: a@broker", "400 invalid_host"),
            ("GET /v1 | host: broker:", "400 invalid_host"),
            ("GET /v1 | host: broker:0", "400 invalid_host"),
            ("GET /v1 | host: broker:080", "400 invalid_host"),
            ("GET /v1 | host: broker:65536", "400 invalid_host"),
            ("GET /v1 | host: broker:80:80", "400 invalid_host"),
            ("GET /v1 | host: broker:8o", "400 invalid_host"),
            ("GET /v1 | host: broker.", "400 invalid_host"),
            ("GET /v1 | host: .broker", "400 invalid_host"),
            ("GET /v1 | host: broker/x", "400 invalid_host"),
            ("GET /v1 | host: broker%2e", "400 invalid_host"),
            ("GET /v1 | host: brökér", "400 invalid_header"),
            ("GET http://broker/v1/models | host: broker", "ok"),
            ("GET https://BROKER/v1/models | host: broker", "ok"),
            ("GET http://evil/v1/models | host: broker", "400 invalid_host"),
            ("GET http://broker:99/v1/models | host: broker", "400 invalid_host"),
            ("GET http://a@broker:99/v1/models | host: broker", "400 invalid_host"),
            ("GET http://a@broker/v1/models | host: a@broker", "400 invalid_host"),
            ("GET http://evil/v1/models | host: evil", "421 misdirected_request"),
            ("GET http://broker/v1/models", "400 invalid_host"),
            ("GET ftp://broker/v1/models | host: broker", "400 invalid_host"),
        ],
    );
    table(
        Version::HTTP_2,
        &[
            ("GET https://broker/v1", "ok"),
            ("GET https://broker/v1 | host: broker", "ok"),
            ("GET https://broker/v1 | host: evil", "400 invalid_host"),
            ("GET https://evil/v1", "421 misdirected_request"),
            ("GET https://a@broker/v1", "400 invalid_host"),
            ("GET /v1 | host: broker", "ok"),
            ("GET /v1", "400 invalid_host"),
        ],
    );
    let any = |host: &str| code(&head(&parts(&format!("GET / | host: {host}"), Version::HTTP_11), at(&[])));
    for host in ["a", "a.b:1", "[::1]", "[::1]:8443", "127.0.0.1", "under_score"] {
        assert_eq!(any(host), "ok", "{host}");
    }
    for host in ["[::1", "::1", "[::1]x", "[::1]:", "[fe80::1%25eth0]", "[1]", "a b", "a..b", &"a".repeat(254)] {
        assert_eq!(any(host), "400 invalid_host", "{host}");
    }
}

#[test]
fn names_of_headers() {
    let reserved = [
        "X_Broker_User: admin",
        "content_length: 5",
        "X_Header: 1",
        "x-broker-user: admin",
        "X-Broker-User: admin",
        "x-sluice-session: 1",
        "sluice-user: 1",
        "Remote-User: admin",
        "x-remote-user: admin",
        "x-forwarded-user: admin",
        "x-auth-request-email: a",
        "x-authenticated-user: a",
        "x-webauth-user: a",
        "x-http-method-override: DELETE",
        "x-http-method: DELETE",
        "x-method-override: DELETE",
        "x-original-url: /admin",
        "x-rewrite-url: /admin",
        "X-Model: gpt-huge",
        "OpenAI-Model: gpt-huge",
        "x-model-override: gpt-huge",
        "Helicone-Model-Override: x",
        "helicone-auth: x",
        "x-portkey-config: {}",
        "x-litellm-tags: x",
        "cf-aig-authorization: x",
        "x-fallback-models: x",
    ];
    for header in reserved {
        assert_eq!(code(&check(&format!("GET /v1 | host: broker | {header}"))), "400 reserved_header", "{header}");
    }
    let fine = [
        "x-request-id: 1",
        "x-stainless-retry-count: 0",
        "openai-beta: assistants=v2",
        "mcp-method: tools/call",
        "x-modeling: 1",
        "x-forwarded-for: 10.0.0.1 | x-forwarded-for: 10.0.0.2",
        "x-forwarded-proto: https",
        "x-forwarded-host: a",
        "cookie: a=b",
        "via: 1.1 a | via: 1.1 b",
        "accept: a/b | accept: c/d",
        "x-unknown: caf\u{e9}",
    ];
    for header in fine {
        assert_eq!(code(&check(&format!("GET /v1 | host: broker | {header}"))), "ok", "{header}");
    }
}

#[test]
fn values_of_headers() {
    for name in
        ["authorization", "user-agent", "content-type", "openai-beta", "mcp-name", "x-stainless-lang", "api-key"]
    {
        let line = format!("POST /v1 | host: broker | {name}: caf\u{e9}");
        assert_eq!(code(&check(&line)), "400 invalid_header", "{name}");
    }
    let repeated = [
        "authorization: a",
        "content-length: 0",
        "content-type: a/b",
        "transfer-encoding: chunked",
        "content-encoding: gzip",
        "expect: 100-continue",
        "x-anything: 1",
        "user-agent: a",
        "x-api-key: a",
        "api-key: a",
        "traceparent: a",
        "connection: close",
    ];
    for header in repeated {
        let line = format!("POST /v1 | host: broker | {header} | {header}");
        assert_eq!(code(&check(&line)), "400 repeated_header", "{header}");
    }
}

#[test]
fn sizes_of_headers() {
    let lines = |count: usize| (1..count).map(|n| format!(" | x-{n}: 1")).collect::<String>();
    assert_eq!(code(&check(&format!("GET /v1 | host: broker{}", lines(100)))), "ok");
    assert_eq!(code(&check(&format!("GET /v1 | host: broker{}", lines(101)))), "431 header_too_large");
    let value = |bytes: usize| check(&format!("GET /v1 | host: broker | authorization: {}", "a".repeat(bytes)));
    assert_eq!(code(&value(16 * 1024)), "ok");
    assert_eq!(code(&value(16 * 1024 + 1)), "431 header_too_large");
    let big = "a".repeat(16 * 1024);
    assert_eq!(
        code(&check(&format!("GET /v1 | host: broker | x-a: {big} | x-b: {big} | x-c: {big}"))),
        "431 header_too_large"
    );
}

#[test]
fn connections() {
    table(
        Version::HTTP_11,
        &[
            ("GET /v1 | host: broker | connection: close", "ok"),
            ("GET /v1 | host: broker | connection: Keep-Alive | keep-alive: timeout=5", "ok"),
            ("GET /v1 | host: broker | connection: te, close | te: trailers", "ok"),
            ("GET /v1 | host: broker | connection: close, X-Broker-User", "400 invalid_connection"),
            ("GET /v1 | host: broker | connection: authorization", "400 invalid_connection"),
            ("GET /v1 | host: broker | connection: close,", "400 invalid_connection"),
            ("GET /v1 | host: broker | connection:", "400 invalid_connection"),
            ("GET /v1 | host: broker | connection: upgrade", "400 invalid_connection"),
            ("GET /v1 | host: broker | connection: Upgrade | upgrade: websocket", "426 upgrade_required"),
            ("GET /v1 | host: broker | connection: keep-alive, Upgrade | upgrade: WebSocket", "426 upgrade_required"),
            ("GET /v1 | host: broker | upgrade: websocket", "426 upgrade_required"),
            (
                "GET /v1 | host: broker | connection: Upgrade, HTTP2-Settings | upgrade: h2c | http2-settings: AA",
                "400 invalid_connection",
            ),
            ("GET /v1 | host: broker | upgrade: h2c, websocket", "400 invalid_connection"),
            ("GET /v1 | host: broker | upgrade: TLS/1.2", "400 invalid_connection"),
            ("GET /v1 | host: broker | http2-settings: AA", "400 invalid_connection"),
            ("GET /v1 | host: broker | te: trailers", "ok"),
            ("GET /v1 | host: broker | te: gzip", "400 invalid_connection"),
            ("GET /v1 | host: broker | te: trailers, deflate", "400 invalid_connection"),
            ("POST /v1 | host: broker | trailer: authorization", "400 invalid_connection"),
            ("POST /v1 | host: broker | expect: 100-Continue", "ok"),
            ("POST /v1 | host: broker | expect: 200-ok", "417 expectation_failed"),
            ("POST /v1 | host: broker | expect: 100-continue, x", "417 expectation_failed"),
            ("POST /v1 | host: broker | expect:", "417 expectation_failed"),
        ],
    );
    for header in [
        "connection: close",
        "keep-alive: a",
        "proxy-connection: a",
        "transfer-encoding: chunked",
        "upgrade: websocket",
    ] {
        table(Version::HTTP_2, &[(&format!("POST https://broker/v1 | {header}"), "400 invalid_connection")]);
    }
    table(
        Version::HTTP_2,
        &[
            ("POST https://broker/v1 | te: trailers", "ok"),
            ("POST https://broker/v1 | te: x", "400 invalid_connection"),
        ],
    );
}

#[test]
fn framing() {
    let body = |line: &str| {
        check(&format!("POST /v1 | host: broker{line}")).map(|checked| checked.body).map_err(|flaw| flaw.status)
    };
    assert_eq!(body(""), Ok(Body::Empty));
    assert_eq!(body(" | content-length: 0"), Ok(Body::Empty));
    assert_eq!(body(" | content-length: 12"), Ok(Body::Sized(12)));
    assert_eq!(body(" | transfer-encoding: Chunked"), Ok(Body::Chunked));
    for length in ["+5", "-5", "5, 5", "0x5", "5 ", "5.0", "", "9999999999999999999", "٥"] {
        assert_eq!(body(&format!(" | content-length: {length}")), Err(400), "{length}");
    }
    let codings = [
        "identity, chunked",
        "chunked, chunked",
        "\"chunked\"",
        "xchunked",
        "gzip",
        "",
        "chunked;a=b",
        "chunked,",
        "identity",
    ];
    for coding in codings {
        assert_eq!(body(&format!(" | transfer-encoding: {coding}")), Err(400), "{coding}");
    }
    assert_eq!(body(" | content-length: 6 | transfer-encoding: chunked"), Err(400));
    assert_eq!(body(" | content-length: 0 | transfer-encoding: chunked"), Err(400));
    table(Version::HTTP_10, &[("POST /v1 | host: broker | transfer-encoding: chunked", "400 malformed_request")]);
    let open = head(&parts("POST https://broker/v1", Version::HTTP_2), at(&names())).unwrap();
    assert_eq!(open.body, Body::Open);
}

#[test]
fn stray_bodies() {
    let stray = |line: &str| check(&format!("{line} | host: broker | content-length: 3")).unwrap().has_stray_body();
    for method in ["GET", "HEAD", "DELETE"] {
        assert!(stray(&format!("{method} /v1")), "{method}");
        assert!(
            !check(&format!("{method} /v1 | host: broker | content-length: 0")).unwrap().has_stray_body(),
            "{method}"
        );
    }
    assert!(check("GET /v1 | host: broker | transfer-encoding: chunked").unwrap().has_stray_body());
    assert!(!stray("POST /v1") && !stray("PUT /v1") && !stray("PATCH /v1"));
}

#[test]
fn codings() {
    let coding = |value: &str| {
        check(&format!("POST /v1 | host: broker | content-encoding: {value}")).map(|checked| checked.coding)
    };
    assert_eq!(check("POST /v1 | host: broker").unwrap().coding, Coding::Identity);
    assert_eq!(coding("identity"), Ok(Coding::Identity));
    assert_eq!(coding("GZIP"), Ok(Coding::Gzip));
    for value in ["gzip, gzip", "identity, gzip", "br", "zstd", "deflate", "x-gzip", "x-foo", "", "aws-chunked"] {
        assert_eq!(coding(value).map_err(|flaw| flaw.status), Err(415), "{value}");
    }
}

#[test]
fn content_types() {
    let media = |essence: &str, boundary: Option<&str>| Media {
        essence: essence.to_owned(),
        boundary: boundary.map(str::to_owned),
    };
    let fine = [
        ("application/json", media("application/json", None)),
        ("Application/JSON; charset=UTF-8", media("application/json", None)),
        ("application/json;charset=\"utf-8\"", media("application/json", None)),
        ("text/plain ; charset=utf8 ; format=flowed", media("text/plain", None)),
        ("multipart/form-data; boundary=abc-123", media("multipart/form-data", Some("abc-123"))),
        ("multipart/form-data; boundary=\"a b;c=d\"", media("multipart/form-data", Some("a b;c=d"))),
        ("application/vnd.api+json", media("application/vnd.api+json", None)),
    ];
    for (text, expected) in fine {
        assert_eq!(Media::parse(text), Ok(expected), "{text}");
    }
    for charset in ["utf-16", "utf-7", "latin1", "\"utf-32\"", "us-ascii", "utf-8-sig"] {
        let flaw = Media::parse(&format!("application/json; charset={charset}")).map_err(|flaw| flaw.status);
        assert_eq!(flaw, Err(415), "{charset}");
    }
    let wrong = [
        "",
        "json",
        "application/",
        "/json",
        "application/json, text/plain",
        "application/json;",
        "application/json; charset",
        "application/json; charset=",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset =utf-8",
        "a/b; c=\"d",
        "a/b; c=\"d\"e",
        "a/b; c=d e",
        "a/b; c=\"\\\"\"",
        "a/b/c",
        "a b/c",
        "application/json; =x",
        "a/b; ; c=d",
        "multipart/form-data; boundary=a; Boundary=b",
    ];
    for text in wrong {
        assert_eq!(Media::parse(text).map_err(|flaw| flaw.status), Err(400), "{text}");
    }
    assert!(Media::parse(&format!("a/{}", "b".repeat(255))).is_err());
    assert_eq!(
        code(&check("POST /v1 | host: broker | content-type: application/json; charset=utf-16")),
        "415 unsupported_charset"
    );
}

#[test]
fn what_is_sent_to_the_server() {
    let given = parts(
        "POST /v1 | host: broker | authorization: Bearer x | api-key: x | x-api-key: x | cookie: a=b | forwarded: for=a \
         | x-forwarded-for: a | x-forwarded-host: a | proxy-authorization: a | openai-organization: o | openai-project: p \
         | x-stainless-os: Linux | x-request-id: a | baggage: a=b | x-unknown: 1 | referer: a | origin: a | te: trailers \
         | accept-encoding: gzip, br | accept: application/JSON;q=0.9, text/event-stream, text/html, application/json | accept: */* \
         | content-type: application/json | user-agent: OpenAI/Python 3.57.0 | openai-beta: assistants=v2 | idempotency-key: k-1 \
         | traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 | tracestate: rojo=1,congo@x=t61r | range: bytes=0-1",
        Version::HTTP_11,
    );
    let sent = to_server(&given.headers);
    let expected = [
        ("accept", "application/json, text/event-stream, */*"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("idempotency-key", "k-1"),
        ("openai-beta", "assistants=v2"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "rojo=1,congo@x=t61r"),
        ("user-agent", "OpenAI/Python 3.57.0"),
    ];
    assert_eq!(listed(&sent), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

fn listed(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let mut listed: Vec<_> = headers.iter().map(pair).collect();
    listed.sort();
    listed
}

#[test]
fn values_that_are_not_sent_to_the_server() {
    let rows = [
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "traceparent: 00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "traceparent: zq7x.k1@leak.example.com",
        "tracestate: a=b",
        "openai-beta: a@b",
        "idempotency-key: a b",
        "accept: text/html",
        "content-type: x",
        "user-agent: caf\u{e9}",
        "user-agent: a\tb",
        "idempotency-key: a | idempotency-key: b",
    ];
    for row in rows {
        let sent = to_server(&parts(&format!("POST / | {row}"), Version::HTTP_11).headers);
        assert_eq!(listed(&sent), [("accept-encoding".to_owned(), "identity".to_owned())], "{row}");
    }
    let long = format!("POST / | user-agent: {}", "a".repeat(513));
    assert_eq!(to_server(&parts(&long, Version::HTTP_11).headers).len(), 1);
    let state = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 | tracestate: ";
    for bad in ["A=b", "a", "a=b=c", "", "a=b,,c=d", &vec!["a=b"; 33].join(",")] {
        let sent = to_server(&parts(&format!("POST / | {state}{bad}"), Version::HTTP_11).headers);
        assert!(!sent.contains_key("tracestate"), "{bad}");
    }
}

#[test]
fn what_is_sent_to_the_client() {
    let given = parts(
        "GET / | content-type: application/json | openai-processing-ms: 12 | openai-version: 2020-10-01 | openai-poll-after-ms: 500 \
         | x-ratelimit-limit-requests: 60 | x-ratelimit-reset-tokens: 6m0s | x-ratelimit-reset-requests: 1.5ms | retry-after: 3 \
         | retry-after-ms: 3000.5 | x-should-retry: true | cache-control: no-store, max-age=0 \
         | content-disposition: attachment; filename=\"zq7x.k1@leak.example.com\" | set-cookie: a=b | location: https://evil/ \
         | www-authenticate: Bearer | openai-organization: o | openai-project: p | x-request-id: a | access-control-allow-origin: * \
         | strict-transport-security: max-age=1 | server: a | alt-svc: h3 | cf-ray: 1 | date: a | openai-model: m | link: a",
        Version::HTTP_11,
    );
    let expected = [
        ("cache-control", "no-store, max-age=0"),
        ("content-disposition", "attachment"),
        ("content-type", "application/json"),
        ("openai-poll-after-ms", "500"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("retry-after", "3"),
        ("retry-after-ms", "3000.5"),
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-reset-requests", "1.5ms"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("x-should-retry", "true"),
    ];
    assert_eq!(listed(&to_client(&given.headers)), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let date =
        parts("GET / | retry-after: Sun, 06 Nov 1994 08:49:37 GMT | content-disposition: Inline", Version::HTTP_11);
    assert_eq!(to_client(&date.headers).len(), 2);
}

#[test]
fn values_that_are_not_sent_to_the_client() {
    let rows = [
        "content-type: text/html; charset=utf-16",
        "content-type: a",
        "content-type: a/b | content-type: c/d",
        "openai-processing-ms: zq7x.k1@leak.example.com",
        "openai-version: 900-55-0001",
        "x-ratelimit-limit-requests: 900-55-0001",
        "x-ratelimit-reset-tokens: zq7x.k1@leak.example.com",
        "retry-after: soon",
        "retry-after: Zqx, 900-55-0001 GMT",
        "retry-after-ms: -1",
        "x-should-retry: yes",
        "cache-control: private=\"zq7x.k1@leak.example.com\"",
        "retry-after: 1\t",
        "cache-control: caf\u{e9}",
        "x-should-retry: true | x-should-retry: false",
    ];
    for row in rows {
        assert!(to_client(&parts(&format!("GET / | {row}"), Version::HTTP_11).headers).is_empty(), "{row}");
    }
}

#[test]
fn flaws_say_nothing_of_the_request() {
    let flaw = check("GET /v1/zq7xk1%00 | host: broker").unwrap_err();
    assert!(!format!("{flaw:?}").contains("zq7xk1"));
}

proptest! {
    #[test]
    fn no_path_panics_and_what_passes_is_safe(path in "[/%.;\\\\a-fA-F0-9é\u{0}-\u{20}]{0,24}") {
        if let Ok(segments) = path::segments(&path) {
            for segment in segments {
                prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                prop_assert!(!segment.contains(['/', '\\', ';']) && !segment.contains(char::is_control));
            }
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _path = path::segments(&text);
        let _pairs = query::pairs(&text);
        let _media = Media::parse(&text);
        let _host = host::check(&text, &[]);
    }

    #[test]
    fn no_headers_panic(headers in prop::collection::vec(("[a-z-_]{1,12}|te|expect|upgrade|connection|content-length|content-encoding|transfer-encoding|content-type|host", prop::collection::vec(9_u8.., 0..12)), 0..6)) {
        let mut parts = parts("POST /v1", Version::HTTP_11);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
                parts.headers.append(name, value);
            }
        }
        let _checked = head(&parts, at(&[]));
        prop_assert!(!to_server(&parts.headers).contains_key("host"));
        let _answer = to_client(&parts.headers);
    }
}
