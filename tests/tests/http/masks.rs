//! Protected values, wherever a message could carry them: none is recoverable on the side that must not see it.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Gate, Mock, Peer, Told};
use sluice_tests::openai::{self, Api};
use sluice_tests::views::Views;

use crate::stand::{STAFF, Stand};
use sluice_tests::api::Api as Target;
use sluice_tests::broker::{Broker, Setup};

const TEXT: &str = "mail zq7x.k1@leak.example.com or 900-55-0001";

/// A plain target with detectors and protected members, before a server.
struct Plain {
    mock: Mock,
    broker: Broker,
    token: String,
}

impl Plain {
    fn before(answer: impl sluice_tests::mock::Answer, more: &str) -> Self {
        let mock = Mock::start(answer);
        let target = Target::rest("shop", "prod", mock.port())
            .with("keys: { \"**.api_key\": [secret.key], \"$.rows[*].nick\": [pii.contact] }");
        // What cannot be looked into passes neither way, unless a test permits it.
        let looked = "@id(\"looked-into\") forbid (principal, \
                      action in [Action::\"http.send_opaque\", Action::\"http.take_opaque\"], resource);";
        let broker = Broker::start(&Setup::http(vec![target], &format!("{STAFF}{looked}{more}")));
        let token = broker.token("ann", "staff");
        Self { mock, broker, token }
    }

    fn ask(&self, request: &Request) -> Response {
        self.broker.http().ask(request)
    }
}

/// An answer of a plain server, as it is written after its status line.
fn answering(text: Vec<u8>) -> impl Fn(&Told, &mut Peer) + Send + Sync + 'static {
    move |_, peer| {
        peer.send(b"HTTP/1.1 200 OK\r\n");
        peer.send(&text);
        peer.close();
    }
}

fn with_length(media: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("content-type: {media}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn text_that_cannot_be_shown_is_a_bad_gateway_from_its_first_byte() {
    let marked = [b"\xff\xfe".to_vec(), utf16("Hello.", u16::to_le_bytes)].concat();
    for (what, media, body, expect) in [
        ("UTF-16 with its mark", "text/plain", marked, 502),
        ("UTF-16", "text/plain", utf16("Hello.", u16::to_be_bytes), 502),
        ("Latin-1", "text/html", b"caf\xe9 au lait".to_vec(), 502),
        ("lines that are none", "application/x-ndjson", b"{\"a\":\n".to_vec(), 502),
        ("text", "text/plain", b"Hello.".to_vec(), 200),
        ("no text", "text/plain", Vec::new(), 200),
    ] {
        let plain = Plain::before(answering(with_length(media, &body)), "");
        let mut client = plain.broker.http();
        client.send(&Request::get("/shop/a", &plain.token).bytes());
        let mut response = client.begun();
        client.body(&mut response);
        let response = response.with(expect);
        assert_eq!(response.body == body, expect == 200, "{what}: {}", response.text());
    }
}

#[test]
fn text_that_has_begun_is_broken_off() {
    let gate = Gate::default();
    let opened = gate.clone();
    let answer = move |_: &Told, peer: &mut Peer| {
        peer.begin("text/plain");
        peer.chunked(b"Hello there, how are you. ");
        opened.pass();
        peer.chunked(b"caf\xe9 au lait");
        peer.end();
    };
    let plain = Plain::before(answer, "");
    let mut client = plain.broker.http();
    client.send(&Request::get("/shop/a", &plain.token).bytes());
    let mut response = client.begun();
    let _shown = client.hear("Hello there");
    gate.open();
    client.body(&mut response);
    assert!(response.status() == 200 && !response.whole, "{}", response.text());
    assert!(!response.text().contains("caf"), "{}", response.text());
}

#[test]
fn no_form_of_an_answer_shows_a_value() {
    let quoted = json!({ "a": TEXT }).to_string();
    let nested = json!({ "a": json!({ "b": TEXT }).to_string() }).to_string();
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("JSON", with_length("application/json", quoted.as_bytes())),
        ("JSON of another name", with_length("application/vnd.api+json", quoted.as_bytes())),
        ("JSON in capitals", with_length("APPLICATION/JSON; Charset=UTF-8", quoted.as_bytes())),
        ("JSON in JSON", with_length("application/json", nested.as_bytes())),
        ("a name in JSON", with_length("application/json", json!({ TEXT: 1 }).to_string().as_bytes())),
        ("digits alone", with_length("application/json", br#"{"note":"SSN 900550001"}"#)),
        ("escapes", with_length("application/json", br#"{"a":"zq7x.k1\u0040leak.example.com 900\u002d55-0001"}"#)),
        ("JSON with a mark", with_length("application/json", format!("\u{feff}{quoted}").as_bytes())),
        ("JSON in UTF-16", with_length("application/json; charset=utf-16le", &utf16(&quoted, u16::to_le_bytes))),
        ("JSON in UTF-16, unsaid", with_length("application/json", &utf16(&quoted, u16::to_be_bytes))),
        ("text", with_length("text/plain", TEXT.as_bytes())),
        ("text in UTF-16", with_length("text/plain; charset=utf-16", &utf16(TEXT, u16::to_le_bytes))),
        ("text in UTF-16, unsaid", with_length("text/plain", &utf16(TEXT, u16::to_le_bytes))),
        ("a page", with_length("text/html", format!("<p>{TEXT}</p>").as_bytes())),
        ("lines", with_length("application/x-ndjson", format!("{quoted}\n{quoted}\n").as_bytes())),
        ("events", with_length("text/event-stream", format!("data: {TEXT}\n\n: {TEXT}\n\n").as_bytes())),
        ("a form", with_length("application/x-www-form-urlencoded", b"a=zq7x.k1%40leak.example.com&b=900-55-0001")),
        ("XML", with_length("application/xml", format!("<a>{TEXT}</a>").as_bytes())),
        ("bytes", with_length("application/octet-stream", TEXT.as_bytes())),
        ("an image", with_length("image/png", TEXT.as_bytes())),
        ("parts", with_length("multipart/mixed; boundary=x", format!("--x\r\n\r\n{TEXT}\r\n--x--").as_bytes())),
        ("nothing said", with_length("", TEXT.as_bytes())),
        ("two types", [b"content-type: image/png\r\n".as_slice(), &with_length("application/json", quoted.as_bytes())].concat()),
        ("without a length", format!("content-type: text/plain\r\nconnection: close\r\n\r\n{TEXT}").into_bytes()),
        ("a trailer", format!("content-type: application/json\r\ntrailer: x-mail\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nx-mail: {TEXT}\r\n\r\n").into_bytes()),
        ("the words of a header", format!("content-type: application/json; note=\"{TEXT}\"\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes()),
        ("a key", with_length("application/json", br#"{"rows":[{"nick":"zq7x"}],"x":{"api_key":"zq7x900-55-0001"}}"#)),
    ];
    let mut faults = Vec::new();
    for (what, answer) in answers {
        let plain = Plain::before(answering(answer), "");
        let mut client = plain.broker.http();
        client.send(&Request::get("/shop/a", &plain.token).bytes());
        let response = client.try_begun().map(|mut response| {
            client.body(&mut response);
            response
        });
        let status = response.as_ref().map(Response::status);
        // What cannot be shown after its head is not shown at all.
        assert!(status.is_none_or(|status| matches!(status, 200 | 403 | 502)), "{what}: {status:?}");
        for leak in Views::of(&client.heard).leaks() {
            faults.push(format!("{what}: {leak}: {}", String::from_utf8_lossy(&client.heard)));
        }
        plain.broker.log_is_clean();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_form_of_a_request_sends_a_value() {
    let quoted = json!({ "a": TEXT }).to_string();
    let bodies: Vec<(&str, &str, Vec<u8>)> = vec![
        ("JSON", "application/json", quoted.clone().into_bytes()),
        ("JSON in JSON", "application/json", json!({ "a": quoted }).to_string().into_bytes()),
        ("a name in JSON", "application/json", json!({ TEXT: 1 }).to_string().into_bytes()),
        ("a key", "application/json", br#"{"x":{"api_key":"zq7x-900-55-0001"}}"#.to_vec()),
        ("text", "text/plain", TEXT.as_bytes().to_vec()),
        ("text in UTF-16", "text/plain; charset=utf-16", utf16(TEXT, u16::to_le_bytes)),
        ("lines", "application/x-ndjson", format!("{quoted}\n{quoted}\n").into_bytes()),
        ("a form", "application/x-www-form-urlencoded", b"a=zq7x.k1%40leak.example.com&b=900%2d55-0001".to_vec()),
        ("XML", "application/xml", format!("<a>{TEXT}</a>").into_bytes()),
        ("bytes", "application/octet-stream", TEXT.as_bytes().to_vec()),
        (
            "parts",
            "multipart/form-data; boundary=x",
            format!("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{TEXT}\r\n--x--\r\n").into_bytes(),
        ),
        ("nothing said", "", TEXT.as_bytes().to_vec()),
    ];
    let plain = Plain::before(|_: &Told, peer: &mut Peer| peer.json("{}"), "");
    for (what, media, body) in bodies {
        let request = Request::new("POST", "/shop/a").token(&plain.token);
        let request = if media.is_empty() { request } else { request.header("Content-Type", media) };
        let response = plain.ask(&request.body(&body));
        for told in plain.mock.take() {
            assert_eq!(Views::of(&told.bytes()).leaks(), Vec::<String>::new(), "{what}: {}", response.text());
        }
        assert!(response.status() < 500, "{what}: {}", response.text());
    }
    for path in ["/shop/zq7x.k1@leak.example.com", "/shop/a?ssn=900-55-0001", "/shop/a?q=zq7x.k1%40leak.example.com"] {
        let response = plain.ask(&Request::get(path, &plain.token));
        assert_eq!(response.status(), 403, "{path}: {}", response.text());
    }
    assert!(plain.mock.take().is_empty());
    let _fine = plain.ask(&Request::get("/shop/a?q=900", &plain.token)).with(200);
    let recorded = plain.broker.json(&["sessions", "list"]);
    let id = recorded.first().and_then(|session| session["id"].as_str()).unwrap_or_default().to_owned();
    let replayed = plain.broker.cli(&["replay", &id, "--output", "json"]).done().said();
    plain.broker.no_secret_in("the recording", &replayed);
    plain.broker.log_is_clean();
}

/// Kinds of events in which a text comes in pieces, and the member that holds a piece.
const KINDS: [(&str, &str); 12] = [
    ("response.output_text.delta", "delta"),
    ("response.refusal.delta", "delta"),
    ("response.reasoning_text.delta", "delta"),
    ("response.reasoning_summary_text.delta", "delta"),
    ("response.audio.transcript.delta", "delta"),
    ("response.function_call_arguments.delta", "delta"),
    ("response.mcp_call_arguments.delta", "delta"),
    ("response.custom_tool_call_input.delta", "delta"),
    ("response.code_interpreter_call_code.delta", "delta"),
    ("response.image_generation_call.partial_image", "partial_image_b64"),
    ("response.something_new.delta", "delta"),
    ("transcript.text.delta", "delta"),
];

#[test]
fn no_kind_of_event_shows_a_value() {
    let mut faults = Vec::new();
    for (kind, member) in KINDS {
        let answer = move |_: &Told, peer: &mut Peer| {
            let characters: Vec<char> = TEXT.chars().collect();
            let mut events = vec![Api::Responses.events(&[""]).first().cloned().unwrap_or_default()];
            for (number, piece) in characters.chunks(4).enumerate() {
                let piece: String = piece.iter().collect();
                let event = json!({ "type": kind, "item_id": "x_1", "output_index": 0, "content_index": 0,
                                    "summary_index": 0, "sequence_number": number + 1, member: piece });
                events.push(openai::named(&event));
            }
            events.extend(Api::Responses.events(&[""]).last().cloned());
            peer.events(&events);
        };
        // Nor may what is not looked into be taken.
        let opaque = "@id(\"opaque\") forbid (principal, action == Action::\"llm.take_opaque\", resource);";
        let stand = Stand::with(answer, opaque, |api| api, |setup| setup);
        let response = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.streamed("\"Hello.\"")));
        let leaks = Views::of(&response.body).leaks();
        faults.extend(leaks.into_iter().map(|leak| format!("{kind}: {leak}: {}", response.text())));
        stand.broker.log_is_clean();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Members of a chat's deltas in which a text comes in pieces.
#[test]
fn no_member_of_a_delta_shows_a_value() {
    for member in ["content", "refusal", "reasoning_content", "reasoning", "something_new", "name"] {
        let stand = Stand::open(move |_: &Told, peer: &mut Peer| {
            let characters: Vec<char> = TEXT.chars().collect();
            let piece = |piece: &[char]| {
                let mut delta = json!({});
                delta[member] = json!(piece.iter().collect::<String>());
                openai::chunk(0, &delta, None)
            };
            let mut events: Vec<String> = characters.chunks(4).map(piece).collect();
            events.push(openai::chunk(0, &json!({}), Some("stop")));
            events.push("data: [DONE]\n\n".to_owned());
            peer.events(&events);
        });
        let response = stand.ask(&stand.streamed_chat("Hello."));
        let leaks = Views::of(&response.body).leaks();
        assert_eq!(leaks, Vec::<String>::new(), "{member}: {}", response.text());
    }
}

#[test]
fn what_nobody_protects_comes_through_byte_by_byte() {
    let body = "{ \"b\" : 1.0,\"a\":[1e5, -0.0, 12345678901234567890, \"\\u00e9\\/\"],\t\"c\":null }";
    let plain = Plain::before(
        move |told: &Told, peer: &mut Peer| {
            peer.answer("200 OK", "application/json", if told.body.is_empty() { body.as_bytes() } else { &told.body });
        },
        "",
    );
    let got = plain.ask(&Request::get("/shop/a", &plain.token)).with(200);
    assert_eq!(got.text(), body);
    let echoed = plain.ask(&Request::post("/shop/a", &plain.token, body)).with(200);
    assert_eq!(echoed.text(), body);
    // Around a value that is covered, everything stays as it was.
    let with = body.replace("null", "\"to zq7x.k1@leak.example.com\"");
    let echoed = plain.ask(&Request::post("/shop/a", &plain.token, &with)).with(200);
    assert_eq!(echoed.text(), body.replace("null", "\"to ***\""));
}

#[test]
fn a_file_that_is_sent_is_looked_into_or_needs_leave() {
    let looked = "@id(\"nothing-opaque\") forbid (principal, action == Action::\"llm.send_opaque\", resource);";
    let stand = Stand::with(
        |_: &Told, peer: &mut Peer| peer.json(r#"{"id":"file-1","object":"file"}"#),
        looked,
        |api| api,
        |setup| setup,
    );
    let upload = |name: &str, media: &str, content: &[u8]| {
        let mut body = b"--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--x\r\n".to_vec();
        body.extend(format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n").into_bytes());
        body.extend(format!("Content-Type: {media}\r\n\r\n").into_bytes());
        body.extend([content, b"\r\n--x--\r\n"].concat());
        let request = Request::new("POST", "/openai/v1/files").token(&stand.token);
        stand.ask(&request.header("Content-Type", "multipart/form-data; boundary=x").body(&body))
    };
    let lines = format!("{}\n", json!({ "text": TEXT }));
    for (name, media, content) in [
        ("a.txt", "text/plain", TEXT.as_bytes()),
        ("a.jsonl", "application/jsonl", lines.as_bytes()),
        ("zq7x.k1@leak.example.com.txt", "text/plain", b"nothing"),
        ("a.png", "image/png", TEXT.as_bytes()),
        ("a.bin", "application/octet-stream", TEXT.as_bytes()),
        ("a.txt", "text/plain; charset=utf-16", &utf16(TEXT, u16::to_le_bytes)),
    ] {
        let response = upload(name, media, content);
        for told in stand.mock.take() {
            let leaks = Views::of(&told.bytes()).leaks();
            assert_eq!(leaks, Vec::<String>::new(), "{name} {media}: {}", String::from_utf8_lossy(&told.body));
        }
        assert!(response.status() < 500, "{name}: {}", response.text());
    }
    let image = upload("a.png", "image/png", &[0x89, b'P', b'N', b'G', 0, 255]);
    assert_eq!((image.status(), image.code().as_str()), (403, "nothing-opaque"), "{}", image.text());
}

#[test]
fn a_whole_answer_is_masked_in_every_place() {
    let answer: Value = serde_json::from_str(&Api::Responses.answer(&json!(TEXT).to_string())).unwrap_or_default();
    let stand = Stand::open(move |told: &Told, peer: &mut Peer| {
        let mut answer = answer.clone();
        for member in ["instructions", "user", "safety_identifier", "previous_response_id"] {
            answer[member] = json!(TEXT);
        }
        answer["metadata"] = json!({ TEXT: TEXT });
        answer["error"] = json!({ "code": "x", "message": TEXT });
        answer["something_new"] = json!([{ "deep": { "er": TEXT } }]);
        answer["output"][0]["content"][0]["annotations"] =
            json!([{ "type": "url_citation", "url": format!("https://x.invalid/?q={TEXT}"), "title": TEXT }]);
        peer.json(
            &if told.line().starts_with("GET") { json!({ "object": "list", "data": [answer] }) } else { answer }
                .to_string(),
        );
    });
    let posted = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.question("\"Hello.\"")));
    let listed = stand.ask(&stand.get("/openai/v1/responses/resp_1/input_items"));
    for response in [posted, listed] {
        assert_eq!(Views::of(&response.body).leaks(), Vec::<String>::new(), "{}", response.text());
    }
}

#[test]
fn a_part_of_a_body_that_nobody_asked_for_is_not_shown() {
    for (dialect, path) in [("rest", "/shop/a"), ("openai", "/shop/v1/files/file-1/content")] {
        let part = |_: &Told, peer: &mut Peer| peer.answer("206 Partial Content", "text/plain", b"k1@leak.example.com");
        let mock = Mock::start(part);
        let target = match dialect {
            "rest" => Target::rest("shop", "prod", mock.port()),
            _ => Target::openai("shop", "prod", mock.port()),
        };
        let broker = Broker::start(&Setup::http(vec![target], STAFF));
        let request = Request::get(path, &broker.token("ann", "staff")).header("range", "bytes=7-");
        let response = broker.http().ask(&request).with(502);
        assert!(!response.text().contains("leak"), "{}", response.text());
        assert!(mock.take().iter().all(|told| told.header("range").is_none()), "{dialect}");
    }
}

#[test]
fn a_form_is_covered_in_an_answer_as_in_a_request() {
    for (form, expect) in [
        ("api_key=HUNTER2canary&x=1", Some("api_key=***&x=1")),
        ("x=1&api%5Fkey=HUNTER2canary", Some("x=1&api_key=***")),
        ("mail=zq7x.k1%40leak.example.com", Some("mail=***")),
        ("a={\"api_key\":\"HUNTER2canary\"}", None),
        ("{\"api_key\":\"HUNTER2canary\"}", Some("{\"api_key\":\"***\"}")),
        ("a=b&&c=%e2%82%ac", Some("a=b&&c=%e2%82%ac")),
        ("", Some("")),
        ("api_key=HUNTER2canary&x=%zz", None),
        ("{api_key:HUNTER2canary}", None),
    ] {
        let plain = Plain::before(answering(with_length("application/x-www-form-urlencoded", form.as_bytes())), "");
        let response = plain.ask(&Request::get("/shop/a", &plain.token));
        let text = response.text();
        assert!(!text.contains("HUNTER2") && !text.contains("leak"), "{form}: {text}");
        match expect {
            Some(expect) => assert_eq!((response.status(), text.as_str()), (200, expect), "{form}"),
            None => assert!(response.status() == 502 || text.contains("***"), "{form}: {text}"),
        }
    }
}
