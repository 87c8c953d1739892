//! Answers that come as a stream (HX).
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use sluice_tests::evasion::Evasion;
use sluice_tests::mock::Peer;
use sluice_tests::openai::{self, Api, chunk};

use crate::attempt::{Attempt, Seen};
use crate::requests::line;
use crate::world::World;

/// What spells the protected values.
pub(crate) const TEXT: &str = "mail zq7x.k1@leak.example.com or 900-55-0001";
/// How much a broker may grow by while it is flooded, in KiB.
const GROWTH_KIB: u64 = 48 << 10;

/// The attempts of a case.
pub(crate) fn attempts(case: &Evasion) -> Vec<Attempt> {
    match case.id.as_str() {
        "HX-05" => endings(),
        "HX-06" => fields(),
        "HX-07" => vec![injected()],
        "HX-09" => vec![interleaved(), interleaved_items()],
        "HX-10" => vec![split_name(), whole_name()],
        "HX-13" => foreign(&case.snippet),
        "HX-16" => Api::BOTH.map(broken_off).to_vec(),
        "HX-17" => Api::BOTH.into_iter().flat_map(unended).collect(),
        "HX-18" => vec![flood(), drip(), trickle()],
        "HX-19" => vec![oversized()],
        "HX-21" => vec![line(
            "GET /v1/realtime",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )],
        "HX-22" => vec![switched()],
        _ => Vec::new(),
    }
}

fn ask(what: &str, api: Api) -> Attempt {
    Attempt::post(what, api, api.streamed("\"Hello.\""))
}

/// The same at the target with little patience.
fn ask_hastily(what: &str) -> Attempt {
    let attempt = ask(what, Api::Chat);
    let text = String::from_utf8_lossy(&attempt.bytes).replacen("Host: broker", "Host: hasty", 1);
    Attempt { bytes: text.into_bytes(), ..attempt }
}

fn in_pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(size).map(|part| part.iter().collect()).collect()
}

/// Every way to end a line, and one event over several lines.
fn endings() -> Vec<Attempt> {
    let stream = Api::Chat.events(&in_pieces(TEXT, 3)).concat();
    let mut mixed = String::new();
    for (number, part) in stream.split('\n').enumerate() {
        mixed.push_str(part);
        mixed.push_str(["\n", "\r", "\r\n"][number % 3]);
    }
    let spread = stream.replace(",\"", ",\ndata: \"").replace("{\"content\"", "{\ndata:\"content\"");
    let ways = [
        ("CR", stream.replace('\n', "\r")),
        ("CRLF", stream.replace('\n', "\r\n")),
        ("LF", stream.clone()),
        ("mixed", mixed),
        ("several data lines", spread.clone()),
        ("several data lines, CR", spread.replace('\n', "\r")),
    ];
    let attempt = |(what, stream): (&str, String)| ask(what, Api::Chat).streaming(&[stream]).check(spells_the_rest);
    ways.map(attempt).to_vec()
}

/// What is not protected must come through.
fn spells_the_rest(_: &World, seen: &Seen) -> Option<String> {
    let text = seen.responses.first().map(|response| Api::Chat.text(&response.body)).unwrap_or_default();
    let rest = text.starts_with("mail ") && text.contains(" or ");
    (!rest).then(|| format!("LOST: the text is {text:?}"))
}

fn fields() -> Vec<Attempt> {
    let fields = [
        ": zq7x.k1@leak.example.com",
        "event: zq7x.k1@leak.example.com",
        "id: zq7x.k1@leak.example.com",
        "retry: 900550001",
        "zq7x.k1@leak.example.com: x",
        "zq7x.k1@leak.example.com",
    ];
    let attempt = |field: &str| {
        let before: String = Api::Chat.events(&["Fine."]).iter().map(|event| format!("{field}\n{event}")).collect();
        ask(field, Api::Chat).streaming(&[before])
    };
    fields.map(attempt).to_vec()
}

/// A text with line feeds that nobody escaped.
fn injected() -> Attempt {
    let inner = chunk(0, &json!({ "content": TEXT }), None);
    let outer = chunk(0, &json!({ "content": "PLACE" }), None).replace("PLACE", &format!("x\n\n{inner}"));
    let stream = format!("{outer}data: [DONE]\n\n");
    ask("unescaped", Api::Chat).streaming(&[stream])
}

fn calls(parts: &[(u32, serde_json::Value)]) -> Vec<String> {
    let mut events: Vec<String> = parts
        .iter()
        .map(|(index, function)| {
            let mut call = json!({ "index": index, "function": function });
            if function.get("name").is_some() {
                call["id"] = json!(format!("call_{index}"));
                call["type"] = json!("function");
            }
            chunk(0, &json!({ "tool_calls": [call] }), None)
        })
        .collect();
    events.push(chunk(0, &json!({}), Some("tool_calls")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn offering(what: &str, api: Api) -> Attempt {
    let body = api.offering("\"Hello.\"", &["lookup_order"]).replacen('{', "{\"stream\":true,", 1);
    Attempt::post(what, api, body)
}

fn interleaved() -> Attempt {
    let events = calls(&[
        (0, json!({ "name": "lookup_order", "arguments": "" })),
        (1, json!({ "name": "lookup_order", "arguments": "" })),
        (0, json!({ "arguments": "{\"to\":\"zq7x" })),
        (1, json!({ "arguments": "{\"to\":\"900-" })),
        (0, json!({ "arguments": ".k1@leak.example.com\"}" })),
        (1, json!({ "arguments": "55-0001\"}" })),
    ]);
    offering("two calls", Api::Chat).streaming(&events).check(valid_arguments)
}

fn interleaved_items() -> Attempt {
    let events = Api::Responses.call("lookup_order", &in_pieces(r#"{"to":"zq7x.k1@leak.example.com"}"#, 5));
    offering("an item", Api::Responses).streaming(&events)
}

/// The arguments of every call are still JSON.
fn valid_arguments(_: &World, seen: &Seen) -> Option<String> {
    let body = seen.responses.first().map(|response| response.body.clone()).unwrap_or_default();
    let mut arguments = [String::new(), String::new()];
    for event in openai::events(&body) {
        for call in
            event.pointer("/choices/0/delta/tool_calls").and_then(|calls| calls.as_array()).into_iter().flatten()
        {
            let index = call["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
            if let (Some(text), Some(more)) = (arguments.get_mut(index), call["function"]["arguments"].as_str()) {
                text.push_str(more);
            }
        }
    }
    let broken = arguments.iter().find(|text| serde_json::from_str::<serde_json::Value>(text).is_err());
    broken.map(|text| format!("LOST: the arguments are {text:?}"))
}

fn split_name() -> Attempt {
    let events = calls(&[
        (0, json!({ "name": "delete", "arguments": "" })),
        (0, json!({ "name": "_user" })),
        (0, json!({ "arguments": "{\"to\":" })),
        (0, json!({ "arguments": "\"bob\"}" })),
    ]);
    offering("in two", Api::Chat).streaming(&events).check(no_call)
}

fn whole_name() -> Attempt {
    let events = Api::Responses.call("delete_user", &["{\"to\":", "\"bob\"}"]);
    offering("whole", Api::Responses).streaming(&events).check(no_call)
}

fn no_call(_: &World, seen: &Seen) -> Option<String> {
    let text = String::from_utf8_lossy(&seen.heard).into_owned();
    text.contains("bob").then(|| format!("LEAK: arguments of the refused call were released: {text}"))
}

/// Events of another vendor's API: those that the case names.
fn foreign(snippet: &str) -> Vec<Attempt> {
    let (event, kinds) = snippet.split_once(" {").unwrap_or((snippet, ""));
    let kinds = kinds.trim_end_matches('}').split('|').map(str::to_owned).collect::<Vec<_>>();
    let attempt = |kind: String| {
        let field = kind.trim_end_matches("_delta").replace("input_json", "partial_json");
        let mut events = Vec::new();
        for piece in in_pieces(TEXT, 4) {
            let delta = json!({ "type": kind, field.as_str(): piece });
            events.push(openai::named(&json!({ "type": event, "index": 0, "delta": delta })));
        }
        [Api::Chat, Api::Responses].map(|api| {
            let events = events.clone();
            ask(&format!("{kind} in {api:?}"), api).streaming(&events)
        })
    };
    kinds.into_iter().flat_map(attempt).collect()
}

/// The server is gone while a text is held that may become a protected value.
fn broken_off(api: Api) -> Attempt {
    let mut events = api.events(&in_pieces("mail zq7x.k1@leak.exa", 3));
    let kept = events.iter().position(|event| event.contains(".exa") || event.contains("exa\"")).unwrap_or(0);
    events.truncate(kept + 1);
    ask(&format!("{api:?}"), api)
        .script(move |_, peer| {
            peer.begin("text/event-stream");
            for event in &events {
                peer.chunked(event.as_bytes());
            }
            peer.reset();
        })
        .check(says_so)
}

/// A stream that has broken off says so.
fn says_so(_: &World, seen: &Seen) -> Option<String> {
    let body = seen.responses.first().map(|response| response.body.clone()).unwrap_or_default();
    openai::error(&body).is_none().then(|| format!("BROKEN: no error in {}", String::from_utf8_lossy(&body)))
}

/// A stream without its last event, ended in order and not.
fn unended(api: Api) -> Vec<Attempt> {
    let mut events = api.events(&["One two ", "three!\n"]);
    // Without the event that ends the answer, too.
    events.truncate(events.len() - if api == Api::Chat { 2 } else { 4 });
    let answered = Some((api, events.concat().into_bytes()));
    let (ended, cut) = (events.clone(), events);
    let in_order = ask(&format!("{api:?}, in order"), api).streaming(&ended);
    let closed = ask(&format!("{api:?}, closed"), api).script(move |_, peer| {
        peer.begin("text/event-stream");
        for event in &cut {
            peer.chunked(event.as_bytes());
        }
        peer.close();
    });
    [in_order, closed].map(|attempt| Attempt { answered: answered.clone(), ..attempt.check(says_so) }).to_vec()
}

/// Sends the same again and again until nobody takes it.
fn endlessly(peer: &mut Peer, bytes: &[u8]) {
    peer.begin("text/event-stream");
    while peer.chunked(bytes) {}
}

fn flood() -> Attempt {
    let attempt =
        ask_hastily("a million comments").script(|_, peer| endlessly(peer, ": ping\n".repeat(1_000).as_bytes()));
    flat(attempt)
}

/// One byte, and then nothing.
fn drip() -> Attempt {
    ask_hastily("one byte").script(|_, peer| {
        peer.begin("text/event-stream");
        peer.chunked(b":");
        peer.closes_within(std::time::Duration::from_secs(20));
    })
}

/// One byte at a time, often enough.
fn trickle() -> Attempt {
    ask_hastily("byte after byte").script(|_, peer| {
        peer.begin("text/event-stream");
        while peer.chunked(b":") && !peer.closes_within(std::time::Duration::from_millis(200)) {}
    })
}

fn oversized() -> Attempt {
    flat(ask("one line", Api::Chat).script(|_, peer| {
        peer.begin("text/event-stream");
        peer.chunked(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
        let piece = vec![b'x'; 1 << 20];
        let mut left = 200;
        while left > 0 && peer.chunked(&piece) {
            left -= 1;
        }
        peer.chunked(b"\"}}]}\n\n");
        peer.end();
    }))
}

/// The broker's memory stays what it was.
pub(crate) fn flat(attempt: Attempt) -> Attempt {
    attempt.check(|_, seen| {
        let grown = seen.grown_kib;
        (grown > GROWTH_KIB).then(|| format!("MEMORY: it has grown by {grown} KiB for a while"))
    })
}

/// A server that speaks WebSocket although nobody asked it to.
fn switched() -> Attempt {
    ask("after 101", Api::Chat).script(|_, peer| {
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
        peer.send(&[[0x81, 24].as_slice(), TEXT.as_bytes()].concat());
        peer.closes_within(std::time::Duration::from_secs(5));
    })
}
