//! Clients and servers that go away, are slow, or say nonsense.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Gate, Peer, Told};
use sluice_tests::openai::{self, Api};
use sluice_tests::wait::{SOON, until};

use crate::stand::{Stand, echo, model};

/// How long it may take until a server learns that its client is gone.
const GONE: Duration = Duration::from_secs(5);

/// A stream that never ends, until its connection does.
fn endless(closed: Arc<AtomicBool>) -> impl Fn(&Told, &mut Peer) + Send + Sync + 'static {
    move |_, peer| {
        peer.begin("text/event-stream");
        for event in Api::Chat.events(&["One. ", "Two. "]).iter().take(3) {
            peer.chunked(event.as_bytes());
        }
        closed.store(peer.closes_within(Duration::from_secs(30)), Ordering::SeqCst);
    }
}

#[test]
fn a_client_that_leaves_a_stream_takes_its_request_back() {
    let closed = Arc::new(AtomicBool::new(false));
    let stand = Stand::open(endless(Arc::clone(&closed)));
    let mut client = stand.broker.http();
    client.send(&stand.streamed_chat("Hello.").bytes());
    assert_eq!(client.begun().status(), 200);
    let _one = client.hear("One. ");
    drop(client);
    until(GONE, "the server's connection to be closed", || closed.load(Ordering::SeqCst).then_some(()));
}

#[test]
fn a_client_that_leaves_before_the_answer_takes_its_request_back() {
    let closed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&closed);
    let stand = Stand::open(move |_, peer| seen.store(peer.closes_within(Duration::from_secs(30)), Ordering::SeqCst));
    let mut client = stand.broker.http();
    client.send(&stand.chat("Hello.").bytes());
    let _told = stand.mock.hears(1);
    drop(client);
    until(GONE, "the server's connection to be closed", || closed.load(Ordering::SeqCst).then_some(()));
}

#[test]
fn a_server_that_is_reset_within_a_stream_is_told_as_an_error_and_recorded() {
    for api in Api::BOTH {
        let stand = Stand::open(move |_, peer| {
            peer.begin("text/event-stream");
            let events = api.events(&["One. ", "Two. "]);
            for event in events.iter().filter(|event| !event.contains("done") && !event.contains("completed")).take(6) {
                if !event.contains("[DONE]") && !event.contains("\"stop\"") {
                    peer.chunked(event.as_bytes());
                }
            }
            peer.reset();
        });
        let request = stand.post(&format!("/openai{}", api.path()), &api.streamed("\"Hello.\""));
        let response = stand.ask(&request);
        assert_eq!(response.status(), 200);
        let error = openai::error(&response.body).unwrap_or_default();
        assert_eq!(error["type"], "server_error", "{}", response.text());
        assert!(response.whole, "the stream must end in order after its error: {}", response.text());
        let recorded = Value::from(stand.recorded()).to_string();
        assert!(recorded.contains("server-lost"), "{recorded}");
    }
}

/// The answer to a chat where a server does this.
fn answered(answer: impl Fn(&Told, &mut Peer) + Send + Sync + 'static) -> Response {
    let stand =
        Stand::with(answer, "", |api| api.with("limits: { response_seconds: 1, idle_seconds: 1 }"), |setup| setup);
    let response = stand.ask(&stand.chat("Hello."));
    stand.broker.log_is_clean();
    response
}

#[test]
fn servers_that_say_nonsense_are_bad_gateways() {
    let says = |text: &'static str| {
        answered(move |_, peer| {
            peer.send(text.as_bytes());
            peer.close();
        })
    };
    for text in [
        "",
        "Hello there\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\nnot json!",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"choices\":",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    ] {
        let response = says(text);
        assert_eq!(response.status(), 502, "{text:?}: {}{}", response.head.text, response.text());
        assert!(response.whole && !response.code().is_empty(), "{text:?}: {}", response.text());
        assert!(!response.text().contains("elsewhere"), "{}", response.text());
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let began = Instant::now();
    let response = answered(|_, peer| {
        peer.closes_within(Duration::from_secs(30));
    });
    assert!(matches!(response.status(), 502 | 504), "{}{}", response.head.text, response.text());
    assert!(began.elapsed() < Duration::from_secs(15));
    // The head alone is no answer.
    let response = answered(|_, peer| {
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":");
        peer.closes_within(Duration::from_secs(30));
    });
    assert!(matches!(response.status(), 502 | 504), "{}{}", response.head.text, response.text());
}

#[test]
fn nobody_listens_at_the_target() {
    let stand = Stand::with(
        echo,
        "",
        |mut api| {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
            let port =
                listener.and_then(|socket| socket.local_addr()).map(|address| address.port()).unwrap_or_default();
            api.url = format!("http://127.0.0.1:{port}/v1");
            api
        },
        |setup| setup,
    );
    let response = stand.ask(&stand.chat("Hello."));
    assert_eq!(response.status(), 502, "{}{}", response.head.text, response.text());
    assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
}

#[test]
fn connections_that_the_server_has_closed_are_not_used() {
    let stand = Stand::open(|told, peer| {
        let path = told.line().split(' ').nth(1).unwrap_or_default();
        let body = format!(r#"{{"path":"{path}"}}"#);
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        peer.send(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes());
        peer.close();
    });
    for number in 0..20 {
        let response = stand.ask(&stand.post(&format!("/files/r{number}"), "{}"));
        assert_eq!(response.with(200).json()["path"], format!("/r{number}"));
    }
    assert_eq!((stand.mock.told().len(), stand.mock.connections()), (20, 20));
}

/// Answers the first request of every connection, and closes it when a second one has come.
fn answering_once() -> impl Fn(&Told, &mut Peer) + Send + Sync + 'static {
    let answered = Mutex::new(BTreeSet::new());
    move |told, peer| {
        let first = answered.lock().unwrap_or_else(PoisonError::into_inner).insert(told.connection);
        if first && !told.line().contains("gone") {
            echo(told, peer);
        } else {
            peer.close();
        }
    }
}

#[test]
fn what_may_be_done_twice_is_asked_again_where_the_connection_is_lost() {
    let stand = Stand::open(answering_once());
    let put = |method: &str, body: &str| {
        let request = Request::new(method, "/files/x").token(&stand.token).header("Content-Type", "application/json");
        if body.is_empty() { request } else { request.body(body.as_bytes()) }
    };
    for (method, body) in [("GET", ""), ("DELETE", ""), ("PUT", "{\"a\":1}"), ("PUT", "")] {
        let _first = stand.ask(&put("POST", "{}")).with(200);
        let kept = stand.mock.take().pop().map(|told| told.connection);
        let response = stand.ask(&put(method, body)).with(200);
        assert_eq!(response.json()["bytes"], body.len(), "{method}");
        let told = stand.mock.take();
        assert_eq!(told.len(), 2, "{method}: {told:?}");
        assert_eq!(told.first().map(|told| told.connection), kept, "{method}");
        assert_ne!(told.last().map(|told| told.connection), kept, "{method}");
        assert!(told.iter().all(|told| told.line() == format!("{method} /x") && told.body == body.as_bytes()));
    }
    // It is one operation, decided on once and recorded once.
    let recorded = stand.recorded();
    let puts = recorded.iter().filter(|event| event.to_string().contains("PUT /x")).count();
    let posts = recorded.iter().filter(|event| event.to_string().contains("POST /x")).count();
    assert_eq!((puts, posts % 4), (posts / 2, 0), "{recorded:?}");
}

#[test]
fn what_may_be_done_once_is_asked_once() {
    let stand = Stand::open(answering_once());
    let ask = |request: &Request| {
        let _first = stand.ask(&stand.post("/files/x", "{}")).with(200);
        let _told = stand.mock.take();
        let response = stand.ask(request).with(502);
        assert_eq!(response.code(), "server-lost");
        assert_eq!(stand.mock.take().len(), 1);
    };
    ask(&stand.post("/files/x", "{}"));
    // Too large to be kept.
    let large = vec![b'x'; (1 << 20) + 1];
    ask(&Request::new("PUT", "/files/x").token(&stand.token).header("Content-Type", "image/png").body(&large));
    // A server that never answers is not asked for ever.
    let response = stand.ask(&stand.get("/files/gone")).with(502);
    assert_eq!((response.code(), stand.mock.take().len()), ("server-lost".to_owned(), 2));
}

#[test]
fn errors_of_the_server_reach_the_client_with_what_to_do() {
    let status = Arc::new(AtomicU16::new(0));
    let chosen = Arc::clone(&status);
    let stand = Stand::open(move |_, peer| {
        let status = chosen.load(Ordering::SeqCst);
        let body = r#"{"error":{"message":"ask zq7x.k1@leak.example.com","type":"x","param":null,"code":"busy"}}"#;
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\nretry-after: 7\r\n\
             x-ratelimit-remaining-requests: 0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        peer.send(head.as_bytes());
    });
    for code in [400, 401, 404, 409, 429, 500, 503] {
        status.store(code, Ordering::SeqCst);
        let response = stand.ask(&stand.chat("Hello.")).with(code);
        assert_eq!(response.code(), "busy");
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.json()["error"]["message"], "ask ***");
    }
}

#[test]
fn a_slow_server_is_heard_as_it_speaks() {
    let gate = Gate::default();
    let opened = gate.clone();
    let stand = Stand::open(move |_, peer| {
        peer.begin("text/event-stream");
        let events = Api::Chat.events(&["One. ", "Two. ", "Three."]);
        for (number, event) in events.iter().enumerate() {
            if number == 3 {
                opened.pass();
            }
            peer.chunked(event.as_bytes());
        }
        peer.end();
    });
    let mut client = stand.broker.http();
    client.send(&stand.streamed_chat("Hello.").bytes());
    let _begun = client.begun();
    // What the server has said is there before it goes on.
    let mut heard = client.hear("One. ");
    gate.open();
    heard.extend(client.hear("[DONE]"));
    assert_eq!(Api::Chat.text(&heard), "One. Two. Three.");
}

#[test]
fn a_session_outlives_its_connections() {
    let stand = Stand::open(model);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = stand.ask(&stand.chat("Hello.")).with(200);
        ids.push(response.header("x-request-id").unwrap_or_default().to_owned());
    }
    ids.dedup();
    assert_eq!(ids, [stand.session()]);
    let mut other = stand.broker.http();
    let token = stand.broker.token("bob", "staff");
    let request = Request::get("/openai/v1/models", &token);
    assert_ne!(other.ask(&request).with(200).header("x-request-id"), ids.first().map(String::as_str));
    until(SOON, "two sessions", || (stand.broker.json(&["sessions", "list"]).len() == 2).then_some(()));
}
