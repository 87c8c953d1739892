//! The API of OpenAI: chat, responses, embeddings, files, and the calls of tools in their answers.
//!
//! What passes unchanged is what is in the form that the product itself sends. Not in that form, and so in no talk of
//! the law of silence: the version in a path, the alias of a model, usage that a stream is not asked for, an MCP tool
//! that nobody is asked about, comments and ids of events, calls in more pieces than one, members that a server leaves
//! out of the chunk of a call.

use std::marker::PhantomData;
use std::sync::LazyLock;

use http::StatusCode;
use sluice_http::Setup;
use sluice_model::{Obligations, Refusal};
use sluice_wire::Side;
use sluice_wire::conformance::{CANARY, Flood, Judge, Masked, Move, Talk};

use crate::codec::content_length;
use crate::model::Model;
use crate::reader::Answer;
use crate::rest::{address, ask, obligations, send};
use crate::subject::{Api, compiled};
use crate::text::message;

const TARGET: &str = r#"{
    "url": "http://models.example.com/v1", "dialect": "openai", "tls": "dangerous_plaintext",
    "models": {"gpt-5": {"input_price": 2.0, "output_price": 8.0}, "small": {"real": "gpt-5-mini"}},
    "destructive_tools": ["delete_*"], "keys": {"**.secret": ["secret.note"]},
    "limits": {"request_bytes": 65536, "response_bytes": 65536, "event_bytes": 16384}, "objects": "shared"
}"#;

/// The limits of the target, and one delivery more.
const LIMIT_BYTES: usize = 65_536 + PIECE_BYTES;
const EVENT_BYTES: usize = 16_384 + PIECE_BYTES;
const PIECE_BYTES: usize = 4_096;
/// What may wait behind a question, before the server has to.
const WAITING_BYTES: usize = (1 << 20) + 65_536;
/// What is put together of texts that may be documents, and of calls.
const GATHERED_BYTES: usize = (4 << 20) + 65_536;

pub(crate) struct Openai<W>(PhantomData<W>);

/// Whose the objects of the target are.
pub(crate) trait Whose: 'static {
    fn setup() -> &'static Setup;
}

/// Whoever may use the target may use them.
pub(crate) struct Shared;

/// They belong to who made them.
pub(crate) struct Owned;

impl Whose for Shared {
    fn setup() -> &'static Setup {
        static SETUP: LazyLock<Setup> = LazyLock::new(|| compiled(TARGET));
        &SETUP
    }
}

impl Whose for Owned {
    fn setup() -> &'static Setup {
        static SETUP: LazyLock<Setup> = LazyLock::new(|| compiled(&TARGET.replace("shared", "owned")));
        &SETUP
    }
}

fn json(path: &str, body: &str) -> Vec<u8> {
    send("POST", path, "application/json", body)
}

fn chat(wish: &str) -> Vec<u8> {
    let body = format!(r#"{{"model":"gpt-5","messages":[{{"role":"user","content":"{wish}"}}]}}"#);
    json("/chat/completions", &body)
}

fn chat_stream(wish: &str) -> Vec<u8> {
    let options = r#""stream":true,"stream_options":{"include_usage":true}"#;
    let body = format!(r#"{{"model":"gpt-5",{options},"messages":[{{"role":"user","content":"{wish}"}}]}}"#);
    json("/chat/completions", &body)
}

fn respond(wish: &str) -> Vec<u8> {
    json("/responses", &format!(r#"{{"model":"gpt-5","input":"{wish}"}}"#))
}

fn respond_stream(wish: &str) -> Vec<u8> {
    json("/responses", &format!(r#"{{"model":"gpt-5","stream":true,"input":"{wish}"}}"#))
}

/// A form with a field and a file.
fn form(path: &str, field: (&str, &str), file: &str, content: &[u8]) -> Vec<u8> {
    let (name, value) = field;
    let disposition = "content-disposition: form-data; name=";
    let first = format!("--b\r\n{disposition}\"{name}\"\r\n\r\n{value}\r\n");
    let second = format!("--b\r\n{disposition}\"file\"; filename=\"{file}\"\r\n\r\n");
    let body = [first.as_bytes(), second.as_bytes(), content, b"\r\n--b--\r\n"].concat();
    send("POST", path, "multipart/form-data; boundary=b", body)
}

fn one(name: &'static str, bytes: Vec<u8>) -> Talk {
    Talk::of(name, [bytes])
}

/// Every position at which an address can be cut in two.
fn cuts() -> impl Iterator<Item = String> {
    (0..=address().len()).map(|at| format!("cut {at}"))
}

impl<W: Whose> Api for Openai<W> {
    type Server = Model;

    fn setup() -> &'static Setup {
        W::setup()
    }

    fn server() -> Model {
        Model::default()
    }

    fn talks() -> Vec<Talk> {
        let embedding = json("/embeddings", r#"{"model":"gpt-5","input":["a","b"]}"#);
        vec![
            Talk::of("chats", ["hello", "call a tool", "call as before", "fail"].map(chat)),
            Talk::of("streams of chats", ["hello", "letters", "call a tool"].map(chat_stream)),
            Talk::of("responses", ["hello", "call a tool", "call a shell", "fail"].map(respond)),
            Talk::of("streams of responses", ["hello", "call a tool", "call for a patch"].map(respond_stream)),
            Talk::of(
                "what is stored",
                [
                    ask("GET", "/models"),
                    ask("GET", "/files?limit=2"),
                    ask("DELETE", "/files/file-1"),
                    ask("GET", "/files/file-1/content"),
                    form("/files", ("purpose", "user_data"), "a.bin", b"\x00\xff"),
                    form("/audio/transcriptions", ("model", "gpt-5"), "a.txt", b"hello"),
                ],
            ),
            one("at once", [embedding, chat_stream("hello"), respond("hello"), ask("GET", "/models")].concat()),
            one(
                "images",
                json("/images/generations", r#"{"model":"gpt-5","prompt":"a cat","stream":true,"partial_images":1}"#),
            ),
        ]
    }

    fn carrying() -> Vec<Talk> {
        let said = |before: &str, content: &str| {
            json("/chat/completions", &format!(r#"{{"model":"gpt-5","messages":[{before}{content}]}}"#))
        };
        let call = r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"#;
        let result = format!(r#"{{"role":"tool","tool_call_id":"c","content":"{CANARY}"}}"#);
        let system = format!(r#"{{"role":"system","content":"{CANARY}"}},"#);
        let hello = r#"{"role":"user","content":"hello"}"#;
        let tool = format!(r#"{{"type":"function","name":"{CANARY}"}}"#);
        vec![
            one("the words of a user", chat(CANARY)),
            one("a stream", chat_stream(CANARY)),
            one("a system's words", said(&system, hello)),
            one("a result", said(call, &result)),
            one("an input", respond_stream(CANARY)),
            one("a tool", json("/responses", &format!(r#"{{"model":"gpt-5","input":"hello","tools":[{tool}]}}"#))),
            one("an embedding", json("/embeddings", &format!(r#"{{"model":"gpt-5","input":"{CANARY}"}}"#))),
            one("an id", ask("DELETE", &format!("/files/{CANARY}"))),
            one("a query", ask("GET", &format!("/files?after={CANARY}"))),
            one("the name of a file", form("/files", ("purpose", "user_data"), &format!("{CANARY}.bin"), b"\x00")),
            one("a field of a form", form("/files", ("expires_after[anchor]", CANARY), "a.bin", b"\x00")),
            one("the longer path", json("/v1/embeddings", &format!(r#"{{"model":"small","input":"{CANARY}"}}"#))),
            one("between others", [chat("hello"), respond(CANARY), chat_stream("hello")].concat()),
        ]
    }

    fn returning() -> Vec<Talk> {
        let chats = ["call a tool", "call as before", "call freely"];
        let streams = ["call a tool", "call as before", "call twice"];
        let outputs = ["call a tool", "call freely", "call a shell", "call for a patch", "call a remote tool"];
        let of = |wishes: &[&'static str], send: fn(&str) -> Vec<u8>| -> Vec<Talk> {
            wishes.iter().map(|wish| one(wish, send(wish))).collect()
        };
        [of(&chats, chat), of(&streams, chat_stream), of(&outputs, respond), of(&outputs, respond_stream)].concat()
    }

    fn follow_up() -> Talk {
        Talk::of("a follow-up", [ask("GET", "/models"), chat_stream("hello")])
    }

    /// An error object, or words in the place of a call.
    fn shows_refusal(answer: &Answer, refusal: &Refusal) -> Result<(), String> {
        let is = |name: &str, value: &str| answer.headers.get(name).is_some_and(|found| found == value);
        let body = String::from_utf8_lossy(&answer.body);
        if answer.status == StatusCode::OK {
            let words = format!("(rule {}): {}", refusal.rule, refusal.message);
            return if body.contains(&words) { Ok(()) } else { Err(format!("`{body}` does not say `{words}`")) };
        }
        if answer.status != StatusCode::FORBIDDEN || !is("content-type", "application/json") {
            return Err(format!("an answer with {} is no refusal", answer.status));
        }
        if content_length(&answer.headers)? != Some(body.len() as u64) {
            return Err("the length is wrong".to_owned());
        }
        let said: serde_json::Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let error = &said["error"];
        let says = error["message"].as_str().is_some_and(|said| said.contains(&refusal.message))
            && error["rule"] == refusal.rule.as_str()
            && error["code"] == refusal.rule.as_str()
            && error["type"] == "policy_denied";
        if says && is("x-should-retry", "false") { Ok(()) } else { Err(format!("`{said}` does not say it")) }
    }

    fn masked() -> Vec<Masked> {
        let mut talks: Vec<Talk> = Vec::new();
        for wish in cuts() {
            talks.push(one("a stream of a chat, cut", chat_stream(&wish)));
            talks.push(one("a stream of a response, cut", respond_stream(&wish)));
        }
        for wish in ["letters", "document", "mail in a call", "mail in pieces", "mail as a name", "fail"] {
            talks.push(one("a stream of a chat", chat_stream(wish)));
            talks.push(one("a stream of a response", respond_stream(wish)));
            talks.push(one("a chat", chat(wish)));
            talks.push(one("a response", respond(wish)));
        }
        talks.push(one("a transcript", form("/audio/transcriptions", ("model", "gpt-5"), "a.txt", b"hello")));
        talks.push(one("a list", ask("GET", "/files")));
        talks.push(one("a file", ask("GET", "/files/file-2/content")));
        let obligations = obligations("masks").unwrap();
        talks.into_iter().map(|talk| Masked { talk, obligations: obligations.clone() }).collect()
    }

    fn floods() -> Vec<Flood> {
        let masks = || Judge::allow_with(obligations("masks").unwrap());
        let begun = |name, sent: Vec<u8>, media: &str, begins: &str| {
            let mut talk = one(name, sent);
            let head = message("HTTP/1.1 200 OK", &[("content-type", media)], b"");
            talk.moves.push(Move::Server([&head, begins.as_bytes()].concat()));
            talk
        };
        let flood = |name, talk, goes_on: Vec<u8>, limit_bytes| Flood {
            name,
            talk,
            judge: masks,
            from: Side::Server,
            goes_on,
            limit_bytes,
        };
        let events = "text/event-stream";
        let delta =
            |delta: String| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n").into_bytes();
        let words = |first: char| format!("{{\"content\":\"{first}{}\"}}", "[".repeat(PIECE_BYTES));
        let piece = |name: &str| {
            let call = r#"{"index":0,"id":"c","function":{"name":"NAME","arguments":"ARGUMENTS"}}"#;
            let call = call.replace("NAME", name).replace("ARGUMENTS", &"x".repeat(PIECE_BYTES));
            format!(r#"{{"tool_calls":[{call}]}}"#)
        };
        let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
        let held = "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":\
                    {\"name\":\"send_mail\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n";
        vec![
            Flood {
                judge: Judge::allow_all,
                from: Side::Client,
                ..flood(
                    "a request",
                    one("a request", message("POST /responses HTTP/1.1", &chunked, b"")),
                    vec![b' '; PIECE_BYTES],
                    LIMIT_BYTES,
                )
            },
            flood(
                "a body",
                begun("a body", chat("silence"), "application/json", "[\""),
                vec![b'x'; PIECE_BYTES],
                LIMIT_BYTES,
            ),
            flood(
                "an event",
                begun("an event", chat_stream("silence"), events, "data: "),
                vec![b'x'; PIECE_BYTES],
                EVENT_BYTES,
            ),
            flood(
                "a comment",
                begun("a comment", chat_stream("silence"), events, ": "),
                vec![b'x'; PIECE_BYTES],
                EVENT_BYTES,
            ),
            flood(
                "a document",
                begun("a document", chat_stream("silence"), events, ""),
                delta(words('[')),
                GATHERED_BYTES,
            ),
            flood("words", begun("words", chat_stream("silence"), events, ""), delta(words('x')), EVENT_BYTES),
            flood("a call", begun("a call", chat_stream("silence"), events, ""), delta(piece("x")), EVENT_BYTES),
            Flood {
                judge: || Judge::hold_those("send_mail"),
                ..flood(
                    "what comes behind a question",
                    begun("a question", chat_stream("silence"), events, held),
                    delta(words('x')),
                    WAITING_BYTES,
                )
            },
        ]
    }

    fn unanswered() -> Vec<u8> {
        chat("silence")
    }

    fn obligations(name: &str) -> Option<Obligations> {
        obligations(name)
    }
}
