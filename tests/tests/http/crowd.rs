//! Two thousand streams at once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_tests::api::Api as Target;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::http::Request;
use sluice_tests::keeper::memory_kib;
use sluice_tests::openai::Api;
use sluice_tests::wait::{pause, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stand::STAFF;

const STREAMS: usize = 2_000;
/// Those by which the memory of one more is measured.
const FIRST: usize = 500;
/// How much memory a stream may take, in KiB, with all that belongs to it: two connections, a recording, a sieve.
const PER_STREAM_KIB: u64 = 256;
/// How much more memory streams may take while they go on, in KiB.
const GROWTH_KIB: u64 = 48 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// How far the streams are: at each step they say one thing more.
type Steps = watch::Receiver<usize>;

/// A server whose streams go on in step.
async fn serve(listener: TcpListener, steps: Steps) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, steps.clone()));
    }
}

async fn answer(mut stream: TcpStream, mut steps: Steps) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await?;
    let last = Api::Chat.events(&["so it goes "; 1]);
    let delta = last.get(1).cloned().unwrap_or_default();
    let mut done = 0;
    loop {
        let Ok(step) = steps.wait_for(|step| *step > done).await.map(|step| *step) else { return Ok(()) };
        let over = step == usize::MAX;
        let text = if over { last.iter().skip(2).map(String::as_str).collect() } else { delta.clone() };
        stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
        if over {
            return stream.write_all(b"0\r\n\r\n").await;
        }
        done += 1;
    }
}

/// A client that counts the words that it hears, and then its end.
async fn listen(
    port: u16,
    request: Arc<Vec<u8>>,
    words: Arc<AtomicUsize>,
    ends: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&request).await?;
    let mut buffer = Vec::with_capacity(4_096);
    let mut seen = 0;
    while stream.read_buf(&mut buffer).await? > 0 {
        let text = String::from_utf8_lossy(&buffer).into_owned();
        let now = text.matches("so it goes ").count();
        words.fetch_add(now - seen, Ordering::Relaxed);
        seen = now;
        if text.ends_with("0\r\n\r\n") && text.contains("[DONE]") {
            ends.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
    Ok(())
}

#[test]
fn two_thousand_streams_share_the_broker() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build();
    let Ok(runtime) = runtime else { return assert!(runtime.is_ok()) };
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
    let Ok(listener) = listener else { return assert!(listener.is_ok()) };
    let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
    let (step, steps) = watch::channel(0);
    runtime.spawn(serve(listener, steps));

    let limits = "limits: { connections: 10000, sessions: 10000, unauthenticated_per_address: 10000 }";
    let broker = Broker::start(&Setup::http(vec![Target::openai("openai", "prod", port)], STAFF).more(limits));
    let token = broker.token("ann", "staff");
    let request = Request::post("/openai/v1/chat/completions", &token, &Api::Chat.streamed("\"Hello.\""));
    let request = Arc::new(request.bytes());
    let (words, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let memory = || memory_kib(broker.pid(), "VmRSS").unwrap_or(0);
    let heard = |expected: usize| {
        until(PATIENCE, &format!("{expected} words"), || (words.load(Ordering::Relaxed) >= expected).then_some(()));
    };
    step.send_replace(1);
    let begin = |count: usize| {
        for _ in 0..count {
            runtime.spawn(listen(broker.http_port(), Arc::clone(&request), Arc::clone(&words), Arc::clone(&ends)));
            // One after the other, so that no queue of the system overflows.
            pause();
        }
    };
    begin(FIRST);
    heard(FIRST);
    let first = memory();
    begin(STREAMS - FIRST);
    heard(STREAMS);
    let all = memory();
    let each = all.saturating_sub(first) / (STREAMS - FIRST) as u64;
    for round in 2..=10 {
        step.send_replace(round);
        heard(STREAMS * round);
    }
    let later = memory();
    step.send_replace(usize::MAX);
    until(PATIENCE, "every stream to end", || (ends.load(Ordering::Relaxed) == STREAMS).then_some(()));
    let report =
        format!("\n{STREAMS} streams: {each} KiB each, {} KiB more while they went on\n", later.saturating_sub(all));
    let _unseen = std::io::stderr().write_all(report.as_bytes());
    assert!(each < PER_STREAM_KIB, "{report}");
    assert!(later.saturating_sub(all) < GROWTH_KIB, "{report}");
    broker.log_is_clean();
}
