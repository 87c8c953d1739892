//! Where requests begin and end: what two programs could read in two ways is read in none.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use sluice_tests::http::{Http, Request};
use sluice_tests::wait::SOON;

use crate::stand::{Stand, echo};

/// Heads that are answered with 400, after which the connection is closed.
const MALFORMED: &[(&str, &str)] = &[
    (
        "both lengths",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\nAUTH\r\n0\r\n\r\nG",
    ),
    (
        "both lengths, the other way",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\nAUTH\r\n5c\r\nSMUG / HTTP/1.1\r\n",
    ),
    ("two equal lengths", "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nContent-Length: 3\r\nAUTH\r\nabc"),
    ("a list of lengths", "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: 3, 3\r\nAUTH\r\nabc"),
    ("a length with a sign", "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: +3\r\nAUTH\r\nabc"),
    ("a hexadecimal length", "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: 0x3\r\nAUTH\r\nabc"),
    (
        "a length beyond everything",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nContent-Length: 99999999999999999999\r\nAUTH\r\nabc",
    ),
    (
        "two codings",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nAUTH\r\n0\r\n\r\n",
    ),
    (
        "gzip before chunked",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: gzip, chunked\r\nAUTH\r\n0\r\n\r\n",
    ),
    (
        "a coding with a parameter",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked;q=1\r\nAUTH\r\n0\r\n\r\n",
    ),
    (
        "a blank before the colon",
        "POST /files/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding : chunked\r\nAUTH\r\n0\r\n\r\n",
    ),
    ("a coding in HTTP/1.0", "POST /files/a HTTP/1.0\r\nHost: b\r\nTransfer-Encoding: chunked\r\nAUTH\r\n0\r\n\r\n"),
    ("bare line feeds", "GET /files/a HTTP/1.1\nHost: b\nAUTH\n"),
    ("one bare line feed", "GET /files/a HTTP/1.1\r\nHost: b\nX: y\r\nAUTH\r\n"),
    ("a bare carriage return", "GET /files/a HTTP/1.1\r\nHost: b\rX: y\r\nAUTH\r\n"),
    ("a folded line", "GET /files/a HTTP/1.1\r\nHost: b\r\nX: y\r\n  z\r\nAUTH\r\n"),
    ("a folded first line", "GET /files/a HTTP/1.1\r\n X: y\r\nHost: b\r\nAUTH\r\n"),
    ("no host", "GET /files/a HTTP/1.1\r\nX: y\r\nAUTH\r\n"),
    ("two hosts", "GET /files/a HTTP/1.1\r\nHost: b\r\nHost: b\r\nAUTH\r\n"),
    ("a line without a colon", "GET /files/a HTTP/1.1\r\nHost: b\r\nHello\r\nAUTH\r\n"),
    ("a name of nothing", "GET /files/a HTTP/1.1\r\nHost: b\r\n: y\r\nAUTH\r\n"),
    ("NUL in a value", "GET /files/a HTTP/1.1\r\nHost: b\r\nX: a\0b\r\nAUTH\r\n"),
    ("two blanks", "GET  /files/a HTTP/1.1\r\nHost: b\r\nAUTH\r\n"),
    ("a tab", "GET\t/files/a HTTP/1.1\r\nHost: b\r\nAUTH\r\n"),
    ("a blank in the path", "GET /files/a b HTTP/1.1\r\nHost: b\r\nAUTH\r\n"),
    ("no version", "GET /files/a\r\nHost: b\r\nAUTH\r\n"),
];

/// Bodies in chunks that are no chunks.
const CHUNKS: &[&str] = &[
    "3;\nxx\r\nabc\r\n0\r\n\r\n",
    "fffffffffffffffff\r\n",
    "3\nabc\r\n0\r\n\r\n",
    "3\r\nabcX\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "g\r\nabc\r\n0\r\n\r\n",
];

/// `AUTH` is the last line of a head.
fn authorized(text: &str, token: &str) -> String {
    let ending = if text.contains("AUTH\r\n") { "\r\n" } else { "\n" };
    text.replacen("AUTH", &format!("Authorization: Bearer {token}{ending}"), 1)
}

#[test]
fn malformed_heads_are_answered_with_400_and_the_connection_is_closed() {
    let stand = Stand::open(echo);
    for (what, text) in MALFORMED {
        let mut client = stand.broker.http();
        client.send(authorized(text, &stand.token).as_bytes());
        let response = client.response();
        assert_eq!(response.status(), 400, "{what}: {}{}", response.head.text, response.text());
        assert!(client.closes_within(SOON), "{what}: the connection stays open");
    }
    let told: Vec<String> = stand.mock.told().iter().map(|told| told.line().to_owned()).collect();
    assert!(told.is_empty(), "{told:?}");
    stand.broker.log_is_clean();
}

#[test]
fn malformed_chunks_reach_no_server_whole() {
    let stand = Stand::open(echo);
    for chunks in CHUNKS {
        let mut client = stand.broker.http();
        let head = format!(
            "POST /files/a HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            stand.token
        );
        client.send(format!("{head}{chunks}GET /files/smuggled HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes());
        let status = client.try_begun().map(|response| response.status());
        assert!(status.is_none_or(|status| status == 400), "{chunks:?}: {status:?}");
        assert!(client.closes_within(SOON), "{chunks:?}: the connection stays open");
    }
    let told: Vec<String> = stand.mock.told().iter().map(|told| told.line().to_owned()).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn after_a_refused_head_nothing_is_read() {
    let stand = Stand::open(echo);
    let good = String::from_utf8_lossy(&stand.get("/files/smuggled").bytes()).into_owned();
    for (what, text) in MALFORMED {
        let mut client = stand.broker.http();
        client.send(format!("{}{good}{good}", authorized(text, &stand.token)).as_bytes());
        let _refused = client.response();
        assert!(client.closes_within(SOON), "{what}: the connection stays open");
        let after = String::from_utf8_lossy(&client.rest(Duration::from_millis(1))).into_owned();
        assert!(!after.contains("HTTP/1.1"), "{what}: {after}");
    }
    assert!(stand.mock.told().is_empty());
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let stand = Stand::open(echo);
    let mut client = stand.broker.http();
    let mut bytes = Vec::new();
    for number in 0..30 {
        bytes.extend(match number % 3 {
            0 => stand.get(&format!("/files/r{number}")).bytes(),
            1 => stand.post(&format!("/files/r{number}"), "{\"a\":1}").bytes(),
            _ => chunked(&stand, &format!("/files/r{number}"), &["{\"a\"", ":1}"]),
        });
    }
    client.send(&bytes);
    for number in 0..30 {
        let response = client.response().with(200);
        assert_eq!(response.json()["path"], format!("/r{number}"));
    }
    assert_eq!(stand.mock.told().len(), 30);
}

fn chunked(stand: &Stand, path: &str, parts: &[&str]) -> Vec<u8> {
    let request = Request::new("POST", path).token(&stand.token).header("Content-Type", "application/json");
    let chunks = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
    let mut bytes = request.header("Transfer-Encoding", "chunked").head();
    bytes.extend(format!("{}0\r\n\r\n", chunks.collect::<String>()).into_bytes());
    bytes
}

#[test]
fn a_request_may_come_byte_by_byte_and_a_connection_stays_open() {
    let stand = Stand::open(echo);
    let mut client = stand.broker.http();
    let bytes = stand.post("/files/slow", "{\"a\":1}").bytes();
    let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
    client.send_split(&pieces);
    assert_eq!(client.response().with(200).json()["bytes"], 7);
    for number in 0..50 {
        let path = format!("/files/again{number}");
        assert_eq!(client.ask(&stand.get(&path)).with(200).json()["path"], format!("/again{number}"));
    }
    assert!(!client.closes_within(Duration::from_millis(50)));
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let stand = Stand::open(echo);
    let inner = "GET /files/smuggled HTTP/1.1\r\nHost: b\r\n\r\n";
    let request = Request::new("POST", "/files/outer").token(&stand.token).header("Content-Type", "text/plain");
    let response = stand.ask(&request.body(inner.as_bytes())).with(200);
    assert_eq!(response.json()["bytes"], inner.len());
    let told = stand.mock.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told.iter().map(|told| told.body.clone()).collect::<Vec<_>>(), [inner.as_bytes()]);
}

#[test]
fn who_waits_to_be_told_to_continue_is_told() {
    let stand = Stand::open(echo);
    let mut client = stand.broker.http();
    let body = "{\"a\":1}";
    let request = stand.post("/files/expecting", body).header("Expect", "100-continue");
    client.send(&request.head());
    let head = client.head();
    assert_eq!(head.map(|head| head.status()), Some(100));
    client.send(body.as_bytes());
    assert_eq!(client.response().with(200).json()["bytes"], body.len());

    // Who may not do it is not told to send it first.
    let mut client = stand.broker.http();
    let stranger = Request::post("/files/expecting", "no-token", body).header("Expect", "100-continue");
    client.send(&stranger.head());
    assert_eq!(client.head().map(|head| head.status()), Some(401));
    let odd = stand.post("/files/expecting", body).header("Expect", "200-ok");
    assert!(matches!(stand.ask(&odd).status(), 400 | 417));
}

#[test]
fn old_clients_are_answered_and_let_go() {
    let stand = Stand::open(echo);
    let ask = |more: &str| {
        let mut client = stand.broker.http();
        let token = &stand.token;
        client.send(format!("GET /files/old HTTP/1.0\r\nAuthorization: Bearer {token}\r\n{more}\r\n").as_bytes());
        (client.response(), client)
    };
    let (response, mut client) = ask("Host: b\r\n");
    assert_eq!(response.with(200).json()["path"], "/old");
    assert!(client.closes_within(SOON));
    // Without a host there is one reading at most: the path names the target.
    let (response, mut client) = ask("");
    assert!(matches!(response.status(), 200 | 400), "{}", response.head.text);
    assert!(client.closes_within(SOON));
}

#[test]
fn the_absolute_form_names_the_same_host_or_is_refused() {
    let stand = Stand::open(echo);
    let ask = |target: &str, host: &str| {
        let mut client = stand.broker.http();
        let token = &stand.token;
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        client.send(text.as_bytes());
        client.response()
    };
    assert_eq!(ask("http://broker:99/files/a", "broker:99").with(200).json()["path"], "/a");
    for (target, host) in [
        ("http://evil/files/a", "broker"),
        ("http://broker:99/files/a", "broker"),
        ("http://a@broker/files/a", "broker"),
        ("ftp://broker/files/a", "broker"),
        ("broker:99", "broker:99"),
        ("*", "broker"),
        ("//evil/files/a", "broker"),
    ] {
        let response = ask(target, host);
        assert!((400..500).contains(&response.status()), "{target}: {}", response.head.text);
    }
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn heads_have_a_limit() {
    let stand = Stand::open(echo);
    let answer = |request: &Request| {
        let mut client = stand.broker.http();
        client.send(&request.bytes());
        let response = client.response();
        assert_eq!(response.status(), 431, "{}", response.head.text);
        client
    };
    let mut large = stand.get("/files/a");
    for number in 0..9 {
        large = large.header(&format!("X-Filler-{number}"), &"y".repeat(8_000));
    }
    assert!(answer(&large).closes_within(SOON));
    let mut many = stand.get("/files/a");
    for number in 0..200 {
        many = many.header(&format!("X-Filler-{number}"), "y");
    }
    assert!(answer(&many).closes_within(SOON));
    let long = stand.ask(&stand.get(&format!("/files/{}", "a".repeat(9_000))));
    assert_eq!(long.status(), 414, "{}", long.head.text);
    // A head that never ends is not waited for beyond the limit.
    let mut client = stand.broker.http();
    client.send(format!("GET /files/a HTTP/1.1\r\nHost: b\r\nX-Endless: {}", "y".repeat(100_000)).as_bytes());
    assert_eq!(client.response().status(), 431);
    assert!(stand.mock.told().is_empty());
}

#[test]
fn head_requests_have_answers_without_a_body() {
    let stand = Stand::open(|told, peer| {
        if told.line().starts_with("HEAD ") {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n");
        } else {
            peer.json("{}");
        }
    });
    let mut client: Http = stand.broker.http();
    client.send(&Request::new("HEAD", "/files/a").token(&stand.token).bytes());
    let head = client.begun();
    assert_eq!(head.status(), 200, "{}", head.head.text);
    // What follows is the next answer.
    assert_eq!(client.ask(&stand.get("/files/b")).with(200).text(), "{}");
}
