//! A plain HTTP API: a shop whose customers have addresses.
//!
//! What passes unchanged is what is in the form that the product itself sends. Not in that form, and so in no talk of
//! the law of silence: headers that are no server's or no client's business, another `accept-encoding` than `identity`.

use std::sync::LazyLock;

use http::StatusCode;
use sluice_http::Setup;
use sluice_model::{Mask, Obligations, Refusal, Resource, Tag, Transform, Withheld};
use sluice_wire::Side;
use sluice_wire::conformance::{CANARY, Flood, Judge, Masked, Move, Server, Talk};

use crate::codec::{WHOLE, content_length, head};
use crate::reader::Answer;
use crate::subject::{Api, compiled};
use crate::text::{message, status_line};

/// Whatever is said to be secret is, and addresses are.
const TARGET: &str = r#"{
    "url": "http://shop.example.com/api", "tls": "dangerous_plaintext",
    "keys": {"**.secret": ["secret.note"]},
    "limits": {"request_bytes": 65536, "response_bytes": 65536, "event_bytes": 16384}
}"#;

/// The limits of the target, and one delivery more.
const LIMIT_BYTES: usize = 65_536 + PIECE_BYTES;
const EVENT_BYTES: usize = 16_384 + PIECE_BYTES;
const PIECE_BYTES: usize = 4_096;

const JSON: (&str, &str) = ("content-type", "application/json");
const PLAIN: (&str, &str) = ("accept-encoding", "identity");

pub(crate) struct Rest;

/// An address with the canary in it, which is what a detector finds.
pub(crate) fn address() -> String {
    format!("{CANARY}@leak.example.com")
}

/// Addresses and notes are masked, or withheld from the server.
pub(crate) fn obligations(name: &str) -> Option<Obligations> {
    let tags = ["pii.contact.email", "secret.note", "finance.pan"].map(|tag| Tag::new(tag).unwrap());
    let mask = |tag: &Tag| Mask { resource: Resource::value(tag), transform: Transform::Redact, filterable: false };
    let withhold = |tag: &Tag| Withheld { tag: tag.clone(), transform: Transform::Redact };
    match name {
        "masks" => Some(Obligations { masks: tags.iter().map(mask).collect(), ..Obligations::default() }),
        "withheld" => Some(Obligations { withheld: tags.iter().map(withhold).collect(), ..Obligations::default() }),
        _ => None,
    }
}

/// A request without a body, in the form in which it is sent on.
pub(crate) fn ask(method: &str, path: &str) -> Vec<u8> {
    message(&format!("{method} {path} HTTP/1.1"), &[PLAIN], b"")
}

/// A request with a body.
pub(crate) fn send(method: &str, path: &str, media: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    message(&format!("{method} {path} HTTP/1.1"), &[("content-type", media), PLAIN], body.as_ref())
}

/// A response whose body has a length.
pub(crate) fn answer(status: u16, media: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    message(&status_line(StatusCode::from_u16(status).unwrap()), &[("content-type", media)], body.as_ref())
}

/// A response whose body has none.
pub(crate) fn stream(media: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = message(&status_line(StatusCode::OK), &[("content-type", media)], b"");
    [&head, body.as_ref(), WHOLE].concat()
}

/// A request as a server reads it.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: String,
}

/// Takes whole requests from the front of what a server read.
pub(crate) fn take_request(unread: &mut Vec<u8>) -> Option<Asked> {
    let head = head(unread)?.unwrap();
    let length = content_length(&head.headers).unwrap().unwrap_or(0);
    let end = head.length + usize::try_from(length).unwrap();
    let body = String::from_utf8_lossy(unread.get(head.length..end)?).into_owned();
    unread.drain(..end);
    let [method, path, _] = head.line;
    Some(Asked { method, path, body })
}

/// Answers by the path.
#[derive(Default)]
pub(crate) struct Shop {
    unread: Vec<u8>,
}

impl Server for Shop {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(asked) = take_request(&mut self.unread) {
            said.extend(respond(&asked));
        }
        said
    }
}

fn respond(asked: &Asked) -> Vec<u8> {
    let (path, _) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mail = address();
    match (&*asked.method, path) {
        ("HEAD", _) => message("HTTP/1.1 200 OK", &[JSON], b""),
        ("DELETE", _) => message("HTTP/1.1 204 No Content", &[], b""),
        (_, "/silence") => Vec::new(),
        (_, "/people") => {
            answer(200, "application/json", format!(r#"{{ "id": 1.50, "mail":"{mail}", "{mail}": ["a {mail} b"] }}"#))
        }
        (_, "/nested") => answer(200, "application/json", format!(r#"{{"inner":"{{\"mail\":\"{mail}\"}}"}}"#)),
        (_, "/escaped") => {
            let escaped = mail.replace('c', "\\u0063").replace('@', "\\u0040");
            answer(200, "application/json", format!(r#"{{"mail":"{escaped}"}}"#))
        }
        (_, "/notes") => answer(
            200,
            "application/json",
            format!(r#"{{"rows":[{{"secret":"{CANARY}"}},{{"secret":["{CANARY}"]}}]}}"#),
        ),
        (_, "/problem") => answer(422, "application/problem+json", format!(r#"{{"detail":"no such {mail}"}}"#)),
        (_, "/lines") => {
            stream("application/x-ndjson", format!("{{\"mail\":\"{mail}\"}}\n\n{{\"secret\":\"{CANARY}\"}}\n"))
        }
        (_, "/page") => stream("text/plain", format!("Write to {mail}, or to <{mail}>.\n")),
        (_, "/events") => stream(
            "text/event-stream",
            format!("event: mail\ndata: {{\"mail\":\"{mail}\"}}\n\ndata: plain {mail}\ndata: and more\n\n"),
        ),
        (_, "/headers") => message(
            "HTTP/1.1 200 OK",
            &[
                JSON,
                ("x-request-id", &mail),
                ("set-cookie", &format!("mail={mail}")),
                ("content-disposition", &format!("attachment; filename=\"{mail}.json\"")),
                ("cache-control", &mail),
            ],
            b"{}",
        ),
        (_, "/moved") => message("HTTP/1.1 302 Found", &[("location", &format!("https://{mail}/")), JSON], b"{}"),
        (_, "/liar") => answer(200, "application/json", format!("no JSON but {mail}")),
        (_, "/file") => answer(200, "application/octet-stream", b"\x89\x00\xff data"),
        (_, "/gone") => answer(404, "application/json", r#"{"error":"there is no such thing"}"#),
        ("POST", _) => answer(201, "application/json", format!(r#"{{"made":{}}}"#, asked.body.len())),
        _ => answer(200, "application/json", r#"{"items": [1,2,3]}"#),
    }
}

fn one(name: &'static str, bytes: Vec<u8>) -> Talk {
    Talk::of(name, [bytes])
}

/// A request to which the server begins to answer as it likes.
fn begun(name: &'static str, answer: Vec<u8>) -> Talk {
    let mut talk = one(name, ask("GET", "/silence"));
    talk.moves.push(Move::Server(answer));
    talk
}

impl Api for Rest {
    type Server = Shop;

    fn setup() -> &'static Setup {
        static SETUP: LazyLock<Setup> = LazyLock::new(|| compiled(TARGET));
        &SETUP
    }

    fn server() -> Shop {
        Shop::default()
    }

    fn talks() -> Vec<Talk> {
        let events = "event: tick\ndata: {\"at\": 1}\n\ndata: [DONE]\n\n";
        vec![
            Talk::of(
                "one after another",
                [ask("GET", "/items?limit=3"), ask("HEAD", "/items"), ask("DELETE", "/items/1")],
            ),
            one(
                "at once",
                [ask("GET", "/items"), send("POST", "/items", "application/json", r#"{"a":[1 ,2]}"#)].concat(),
            ),
            Talk::of(
                "bodies of every sort",
                [
                    send("PUT", "/items/1", "text/plain; charset=utf-8", "just text"),
                    send("POST", "/items", "application/x-www-form-urlencoded", "a=1&b=2"),
                    send("POST", "/items", "application/octet-stream", b"\x00\x01\xfe"),
                ],
            ),
            Talk::of(
                "answers of every sort",
                ["/file", "/people", "/lines", "/page", "/events", "/gone", "/liar"].map(|path| ask("GET", path)),
            ),
            begun("the server takes its time", stream("text/event-stream", events)),
        ]
    }

    fn carrying() -> Vec<Talk> {
        let json = |body: String| send("POST", "/items", "application/json", body);
        vec![
            one("a path", ask("GET", &format!("/items/{CANARY}"))),
            one("a query", ask("DELETE", &format!("/items/1?name={CANARY}"))),
            one("JSON", json(format!(r#"{{"name":"{CANARY}"}}"#))),
            one("the name of a member", json(format!(r#"{{"{CANARY}":null}}"#))),
            one("a text", send("PATCH", "/items/1", "text/plain", format!("call it {CANARY}"))),
            one("a form", send("POST", "/items", "application/x-www-form-urlencoded", format!("name={CANARY}"))),
            one("a path of what is not looked into", send("PUT", &format!("/files/{CANARY}"), "image/png", b"\x89PNG")),
            one(
                "between others",
                [ask("GET", "/items"), json(format!(r#"["{CANARY}"]"#)), ask("GET", "/items")].concat(),
            ),
        ]
    }

    fn returning() -> Vec<Talk> {
        Vec::new()
    }

    fn follow_up() -> Talk {
        Talk::of("a follow-up", [ask("GET", "/items"), send("POST", "/items", "application/json", r#"{"a":1}"#)])
    }

    /// RFC 9457.
    fn shows_refusal(answer: &Answer, refusal: &Refusal) -> Result<(), String> {
        let is = |name: &str, value: &str| answer.headers.get(name).is_some_and(|found| found == value);
        if answer.status != StatusCode::FORBIDDEN || !is("content-type", "application/problem+json") {
            return Err(format!("an answer with {} is no refusal", answer.status));
        }
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        let said =
            detail.contains(&refusal.message) && problem["rule"] == refusal.rule.as_str() && problem["status"] == 403;
        if said && is("x-should-retry", "false") { Ok(()) } else { Err(format!("`{problem}` does not say it")) }
    }

    fn masked() -> Vec<Masked> {
        let obligations = obligations("masks").unwrap();
        let paths = [
            "/people", "/nested", "/escaped", "/notes", "/problem", "/lines", "/page", "/events", "/headers", "/moved",
            "/liar",
        ];
        let talks = paths.map(|path| Masked { talk: one(path, ask("GET", path)), obligations: obligations.clone() });
        talks.into()
    }

    fn floods() -> Vec<Flood> {
        let masks = || Judge::allow_with(obligations("masks").unwrap());
        let head = |media: &str, begins: &str| {
            let head = message("HTTP/1.1 200 OK", &[("content-type", media)], b"");
            [&head, begins.as_bytes()].concat()
        };
        let server = |name, media, begins, limit_bytes| Flood {
            name,
            talk: begun(name, head(media, begins)),
            judge: masks,
            from: Side::Server,
            goes_on: vec![b'x'; PIECE_BYTES],
            limit_bytes,
        };
        let chunked = |name, media: &str| Flood {
            name,
            talk: one(
                name,
                message("POST /silence HTTP/1.1", &[("content-type", media), ("transfer-encoding", "chunked")], b""),
            ),
            judge: Judge::allow_all,
            from: Side::Client,
            goes_on: vec![b'x'; PIECE_BYTES],
            limit_bytes: LIMIT_BYTES,
        };
        vec![
            chunked("a body that is read", "text/plain"),
            chunked("a body that is not looked into", "application/zip"),
            server("a document", "application/json", "[\"", LIMIT_BYTES),
            server("a line", "application/x-ndjson", "[\"", EVENT_BYTES),
            server("an event", "text/event-stream", "data: ", EVENT_BYTES),
            server("a comment", "text/event-stream", ": ", EVENT_BYTES),
            server("a text", "text/plain", "", EVENT_BYTES),
            server("a text that could be an address", "text/plain", "x@", EVENT_BYTES),
            Flood {
                judge: || {
                    Judge::new(|operation| match operation.shape.action.name {
                        "http.take_opaque" => Judge::hold_all().rule(operation),
                        _ => Judge::allow_with(obligations("masks").unwrap()).rule(operation),
                    })
                },
                ..server("what people are asked about", "application/zip", "", LIMIT_BYTES)
            },
        ]
    }

    fn unanswered() -> Vec<u8> {
        ask("GET", "/silence")
    }

    fn obligations(name: &str) -> Option<Obligations> {
        obligations(name)
    }
}
