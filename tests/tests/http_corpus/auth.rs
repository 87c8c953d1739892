//! Who asks, and what is asked of routes that do not exist (HA).
#![expect(clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sluice_tests::evasion::Evasion;
use sluice_tests::jwt::{ISSUER, Issuer, unsigned};

use crate::attempt::{Attempt, Seen};
use crate::requests::line;
use crate::world::World;

/// How many tokens of unknown keys are tried, and how often the keys may be fetched meanwhile.
const UNKNOWN_KEYS: usize = 2_000;
const FETCHES: usize = 2;
/// A secret that a client puts where everybody writes it down.
const IN_QUERY: &str = "sk-query-77aa31";

/// The attempts of a case.
pub(crate) fn attempts(case: &Evasion, world: &World) -> Vec<Attempt> {
    match case.id.as_str() {
        "HA-02" => in_query(),
        "HA-04" => algorithms(world),
        "HA-05" => case.values().iter().map(|head| with_head(world, head)).collect(),
        "HA-10" => issuers(world),
        "HA-12" => collisions(world),
        "HA-14" => vec![unknown_keys(world)],
        "HA-15" => vec![bearer("64 KiB", &"e".repeat(64 << 10)), bearer("10^4 dots", &"a.".repeat(10_000))],
        "HA-16" => vec![mcp(
            "tools/list",
            "Mcp-Session-Id: 1868a90c-b0e2-4a4e\r\n",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        )],
        "HA-18" => vec![mcp("tools/call", "", &call(&case.snippet)), split_header()],
        "HA-20" => vec![Attempt::new(
            "another key",
            mcp_head("Bearer sk-not-a-token", "", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        )],
        "HA-21" => vec![mcp("a batch", "", case.snippet.split(" ;").next().unwrap_or_default())],
        "HA-22" => vec![console()],
        _ => Vec::new(),
    }
}

/// A question for the models with this token.
fn bearer(what: &str, token: &str) -> Attempt {
    Attempt::new(what, format!("GET /v1/models HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

fn in_query() -> Vec<Attempt> {
    let kept_nowhere = |world: &World, _: &Seen| {
        let secret = IN_QUERY.as_bytes();
        let keeps = |bytes: &[u8]| sluice_tests::canary::contains(bytes, secret);
        let kept = world.kept().into_iter().find(|(_, bytes)| keeps(bytes)).map(|(name, _)| name);
        let kept = kept.or_else(|| keeps(world.broker.log().as_bytes()).then(|| "the log".to_owned()));
        kept.map(|place| format!("LEAK: the secret stands in {place}"))
    };
    ["api_key", "access_token", "key"]
        .map(|name| line(&format!("GET /v1/models?{name}={IN_QUERY}"), "").check(kept_nowhere))
        .to_vec()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Good claims under a head and a signature of somebody's choice.
fn forged(head: &Value, signature: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", part(head), part(&Issuer::claims("kim", "agents")));
    let signature = URL_SAFE_NO_PAD.encode(signature(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn algorithms(world: &World) -> Vec<Attempt> {
    let jwks: Value = serde_json::from_str(&world.issuer.jwks()).unwrap_or_default();
    let public = jwks.pointer("/keys/0/x").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mac = |key: &[u8], text: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
    };
    let head = |algorithm: &str| json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" });
    let raw = URL_SAFE_NO_PAD.decode(&public).unwrap_or_default();
    let mut attempts = vec![
        bearer("none", &unsigned(&Issuer::claims("kim", "agents"))),
        bearer("HS256 by the public key", &forged(&head("HS256"), |text| mac(&raw, text))),
        bearer(
            "HS256 by the public key as it is written",
            &forged(&head("HS256"), |text| mac(public.as_bytes(), text)),
        ),
        bearer("ES256K", &forged(&head("ES256K"), |_| vec![7; 64])),
        bearer("ES256 of zeros", &forged(&head("ES256"), |_| vec![0; 64])),
    ];
    for algorithm in ["None", "NONE", "nOnE", ""] {
        attempts.push(bearer(&format!("`{algorithm}`"), &forged(&head(algorithm), |_| Vec::new())));
    }
    attempts
}

/// A token under a head that names its key in this way.
fn with_head(world: &World, head: &str) -> Attempt {
    // Where the case names a server of keys, one listens.
    let head = head.replace("http://evil", &format!("http://127.0.0.1:{}/evil", world.mock.port()));
    let mut head: Value = serde_json::from_str(&head).unwrap_or_default();
    head["alg"] = json!("EdDSA");
    head["typ"] = json!("JWT");
    bearer(&head["kid"].to_string(), &forged(&head, |_| vec![7; 64]))
}

fn issuers(world: &World) -> Vec<Attempt> {
    let with = |name: &str, value: Value| {
        let mut claims = Issuer::claims("kim", "agents");
        claims[name] = value;
        world.issuer.sign(&claims)
    };
    vec![
        bearer("with a slash", &with("iss", json!(format!("{ISSUER}/")))),
        bearer("in upper case", &with("iss", json!(ISSUER.to_uppercase()))),
        bearer("another tenant", &with("iss", json!("https://id.tests.invalid/tenant-b"))),
        bearer("a list", &with("iss", json!([ISSUER]))),
        bearer("another audience", &with("aud", json!("elsewhere"))),
    ]
}

/// A good token, and on the same connection one that is like it for a while, or has its id.
fn collisions(world: &World) -> Vec<Attempt> {
    let good = world.issuer.sign(&Issuer::claims("kim", "agents"));
    let mut changed = good.clone();
    let signature = changed.rfind('.').unwrap_or_default();
    changed.replace_range(signature + 1..signature + 5, "AAAA");
    let mut other = Issuer::claims("kim", "strangers");
    other["jti"] = json!("kim-1");
    let same_id = world.issuer.sign(&other);
    let head =
        |token: &str| format!("GET /v1/models HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\n\r\n");
    let second = |_: &World, seen: &Seen| {
        let statuses: Vec<u16> = seen.responses.iter().map(sluice_tests::http::Response::status).collect();
        let sound = matches!(statuses[..], [200, 401 | 403]) && seen.told.len() == 1;
        (!sound).then(|| format!("NOT DENIED: {statuses:?}, told {} times", seen.told.len()))
    };
    [("the first characters", changed), ("the id", same_id)]
        .map(|(what, token)| {
            let both = format!("{}{}", head(&good), head(&token));
            Attempt { answers: 2, sound: 1, ..Attempt::new(what, both).check(second) }
        })
        .to_vec()
}

fn unknown_keys(world: &World) -> Attempt {
    let forge = |number: usize| {
        let head = json!({ "alg": "EdDSA", "typ": "JWT", "kid": format!("unknown-{number}") });
        forged(&head, |_| vec![7; 64])
    };
    let ask = |number: usize| {
        let token = forge(number);
        format!("GET /v1/models HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    let fetched = world.keys.told().len();
    let few = move |world: &World, seen: &Seen| {
        let fetches = world.keys.told().len() - fetched;
        let let_in = seen.responses.iter().any(|response| response.status() != 401);
        (fetches > FETCHES || let_in || seen.responses.len() != UNKNOWN_KEYS)
            .then(|| format!("FLOOD: {fetches} fetches, {} answers, let in: {let_in}", seen.responses.len()))
    };
    let flood: String = (0..UNKNOWN_KEYS).map(ask).collect();
    Attempt { answers: UNKNOWN_KEYS, ..Attempt::new("in a row", flood).check(few) }
}

fn mcp_head(authorization: &str, more: &str, body: &str) -> String {
    format!(
        "POST /v1/mcp HTTP/1.1\r\nHost: broker\r\nAuthorization: {authorization}\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn mcp(what: &str, more: &str, body: &str) -> Attempt {
    Attempt::new(what, mcp_head("TOKEN", more, body))
}

/// A call with the arguments of the case.
fn call(snippet: &str) -> String {
    let arguments = snippet.split("} ").next().unwrap_or_default();
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"lookup_order","arguments":{arguments}}}}}}}"#
    )
}

/// The value of a header that ends the header.
fn split_header() -> Attempt {
    let lines = "X-Order: 1\r\n /../../admin\r\n";
    line("GET /v1/models", lines)
}

fn console() -> Attempt {
    let body = "decision=approve";
    Attempt::new(
        "a simple request",
        format!(
            "POST /api/approvals/123 HTTP/1.1\r\nHost: broker\r\nOrigin: https://evil.example\r\n\
             Sec-Fetch-Site: cross-site\r\nCookie: session=abc\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}
