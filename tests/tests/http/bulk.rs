//! Large bodies, slow readers, crowds: memory stays what it was.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::http::Request;
use sluice_tests::keeper::{forget_peak, memory_kib};
use sluice_tests::mock::{Mock, Peer};
use sluice_tests::openai;
use sluice_tests::pattern::Pattern;
use sluice_tests::wait::{SOON, pause, until};

use crate::stand::{STAFF, Stand, echo};

const GIGABYTE: u64 = 1 << 30;
/// How much more memory a large body may take at most, in KiB.
const GROWTH_KIB: u64 = 64 << 10;

/// How much memory the broker takes at most while something happens, beyond what it had before, in KiB.
fn growth(stand: &Stand, happens: impl FnOnce()) -> u64 {
    let pid = stand.broker.pid();
    forget_peak(pid);
    let before = memory_kib(pid, "VmRSS").unwrap_or(0);
    happens();
    memory_kib(pid, "VmHWM").unwrap_or(u64::MAX).saturating_sub(before)
}

/// Sends so many bytes of the pattern, as far as somebody takes them.
fn pour(peer: &mut Peer, pattern: &Pattern, bytes: u64) -> u64 {
    let mut sent = 0;
    while sent < bytes {
        let piece = pattern.at(sent, bytes - sent);
        if !peer.send(piece) {
            break;
        }
        sent += piece.len() as u64;
    }
    sent
}

/// A server that answers with a number of bytes of the pattern, and counts what it could send.
fn pouring(bytes: u64) -> (impl Fn(&sluice_tests::mock::Told, &mut Peer) + Send + Sync + 'static, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let (count, pattern) = (Arc::clone(&sent), Pattern::new());
    let answer = move |_: &sluice_tests::mock::Told, peer: &mut Peer| {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n");
        peer.send(head.as_bytes());
        let mut done = 0;
        while done < bytes {
            let piece = pattern.at(done, bytes - done);
            if !peer.send(piece) {
                break;
            }
            done += piece.len() as u64;
            count.store(done, Ordering::Relaxed);
        }
    };
    (answer, sent)
}

#[test]
fn a_gigabyte_is_taken_in_flat_memory() {
    let (answer, _) = pouring(GIGABYTE);
    let stand = Stand::open(answer);
    let pattern = Pattern::new();
    let grown = growth(&stand, || {
        let mut client = stand.broker.http();
        client.send(&stand.get("/files/large").bytes());
        let begun = client.begun();
        assert_eq!(begun.header("content-length"), Some(GIGABYTE.to_string().as_str()), "{}", begun.head.text);
        let mut sound = true;
        let bytes = client.drain(GIGABYTE, |offset, piece| sound &= pattern.matches(offset, piece));
        assert!(sound && bytes == GIGABYTE, "{bytes} bytes, sound: {sound}");
    });
    assert!(grown < GROWTH_KIB, "it grew by {grown} KiB");
}

#[test]
fn a_gigabyte_is_sent_in_flat_memory() {
    let sound = Arc::new(AtomicBool::new(true));
    let (seen, expected) = (Arc::clone(&sound), Pattern::new());
    let mock = Mock::reading(echo, move |offset, piece| {
        if !expected.matches(offset, piece) {
            seen.store(false, Ordering::Relaxed);
        }
    });
    let stand = Stand::before(mock);
    let pattern = Pattern::new();
    let grown = growth(&stand, || {
        let mut client = stand.broker.http();
        let request = Request::new("PUT", "/files/large").token(&stand.token);
        let request = request.header("Content-Type", "application/octet-stream");
        client.send(&request.header("Content-Length", &GIGABYTE.to_string()).head());
        let mut sent = 0;
        while sent < GIGABYTE {
            let piece = pattern.at(sent, GIGABYTE - sent);
            client.send(piece);
            sent += piece.len() as u64;
        }
        assert_eq!(client.response().with(200).json()["bytes"], GIGABYTE);
    });
    assert!(sound.load(Ordering::Relaxed), "the server was told other bytes");
    assert!(grown < GROWTH_KIB, "it grew by {grown} KiB");
}

#[test]
fn who_stops_reading_stops_the_server_and_goes_on_later() {
    let bytes = 256 << 20;
    let (answer, sent) = pouring(bytes);
    let stand = Stand::open(answer);
    let pattern = Pattern::new();
    let grown = growth(&stand, || {
        let mut client = stand.broker.http();
        client.send(&stand.get("/files/large").bytes());
        let _begun = client.begun();
        let first = client.drain(1 << 20, |offset, piece| assert!(pattern.matches(offset, piece)));
        // Once all buffers on the way are full, nothing moves.
        let stalled = until(SOON, "the server to be stopped", || {
            let before = sent.load(Ordering::Relaxed);
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {
                pause();
            }
            (sent.load(Ordering::Relaxed) == before).then_some(before)
        });
        assert!(stalled < bytes / 2, "{stalled} bytes were read ahead");
        let rest = client.drain(bytes - first, |offset, piece| assert!(pattern.matches(first + offset, piece)));
        assert_eq!(first + rest, bytes);
    });
    assert!(grown < GROWTH_KIB, "it grew by {grown} KiB");
}

#[test]
fn bodies_that_are_decided_on_have_a_limit() {
    let stand = Stand::with(
        echo,
        "",
        |api| api.with("limits: { request_bytes: 100000, response_bytes: 100000, event_bytes: 100000 }"),
        |setup| setup,
    );
    let of = |bytes: usize| {
        let frame = openai::Api::Chat.question("\"\"").len();
        openai::Api::Chat.question(&format!("\"{}\"", "x".repeat(bytes - frame)))
    };
    let path = "/openai/v1/chat/completions";
    for (bytes, status) in [(99_999, 200), (100_000, 200), (100_001, 413), (10_000_000, 413)] {
        let mut client = stand.broker.http();
        client.send(&stand.post(path, &of(bytes)).bytes());
        let response = client.response();
        // The mock's answer is none that a model gives; that it was asked is what counts.
        let asked = stand.mock.take().len();
        assert_eq!(
            (asked == 1, response.status() == 413),
            (status == 200, status == 413),
            "{bytes}: {}",
            response.text()
        );
    }
    // Without a length the limit is found on the way.
    let mut client = stand.broker.http();
    let head = Request::new("POST", path).token(&stand.token).header("Content-Type", "application/json");
    client.send(&head.header("Transfer-Encoding", "chunked").head());
    let piece = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    for _ in 0..4 {
        client.send(piece.as_bytes());
    }
    assert_eq!(client.response().status(), 413);
    assert!(stand.mock.take().is_empty());
}

#[test]
fn an_event_has_a_limit() {
    let stand = Stand::open(|_, peer| {
        peer.begin("text/event-stream");
        peer.chunked(openai::Api::Chat.events(&["One. "]).first().map(String::as_bytes).unwrap_or_default());
        peer.chunked(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..160 {
            peer.chunked(&piece);
        }
        peer.chunked(b"\"}}]}\n\ndata: [DONE]\n\n");
        peer.end();
    });
    let grown = growth(&stand, || {
        let response = stand.ask(&stand.streamed_chat("Hello."));
        assert_eq!(response.status(), 200);
        let error = openai::error(&response.body);
        assert!(error.is_some(), "{}", response.text());
        assert!(response.body.len() < 10_000 && !response.text().contains("[DONE]"), "{}", response.text());
    });
    assert!(grown < 16 << 10, "it grew by {grown} KiB");
}

#[test]
fn a_large_answer_that_is_looked_into_is_cut_at_its_limit() {
    let stand = Stand::open(|_, peer| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {GIGABYTE}\r\n\r\n");
        peer.send(head.as_bytes());
        pour(peer, &Pattern::new(), GIGABYTE);
    });
    let response = stand.ask(&stand.chat("Hello."));
    assert_eq!(response.status(), 502, "{}", response.head.text);
}

#[test]
fn a_server_that_never_pauses_is_cut_when_its_time_is_over() {
    let (answer, sent) = pouring(GIGABYTE << 10);
    let mock = Mock::start(answer);
    let api = Api::rest("files", "prod", mock.port()).with("detectors: []").with("limits: { total_seconds: 1 }");
    let broker = Broker::start(&Setup::http(vec![api], STAFF));
    let mut client = broker.http();
    client.send(&Request::get("/files/large", &broker.token("ann", "staff")).bytes());
    assert_eq!(client.begun().status(), 200);
    let began = Instant::now();
    let heard = client.drain(GIGABYTE << 10, |_, _| assert!(began.elapsed() < SOON, "it is still sent"));
    assert!(heard > 0 && heard < GIGABYTE << 10, "{heard}");
    assert!(sent.load(Ordering::Relaxed) < GIGABYTE << 10);
}

#[test]
fn many_clients_share_a_server() {
    let stand = Stand::open(echo);
    let ask = |thread: usize| {
        let mut client = stand.broker.http();
        for number in 0..100 {
            let path = format!("/files/t{thread}n{number}");
            let response = client.ask(&stand.get(&path)).with(200);
            assert_eq!(response.json()["path"], format!("/t{thread}n{number}"));
        }
    };
    thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || ask(thread));
        }
    });
    assert_eq!(stand.mock.told().len(), 1_600);
    assert!(stand.mock.connections() <= 64, "{} connections were made", stand.mock.connections());
    // Every exchange is in the one recording of their session, and it is whole.
    let asked = stand.recorded().iter().filter(|event| event["event"] == "asked").count();
    assert_eq!(asked, 1_600);
    stand.broker.stop();
    let _verified = stand.broker.cli(&["audit", "verify"]).done();
}
