//! TLS and HTTP/2, with a client that trusts nothing but the broker's development authority.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::Api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stand::{Stand, echo, model};

type Client = SendRequest<Full<Bytes>>;

/// Runs a client that does several things at once.
pub(crate) fn running<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap_or_else(|error| unreachable(&error)).block_on(async {
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, future).await.unwrap_or_else(|late| unreachable(&late))
    })
}

#[expect(clippy::panic, reason = "tests")]
pub(crate) fn unreachable<T>(error: &dyn std::error::Error) -> T {
    panic!("{error}: {:?}", error.source())
}

/// A TLS connection that offers these application protocols.
pub(crate) async fn tls(stand: &Stand, offered: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = stand.broker.folder().join("var/tls/ca.pem");
    let certificates = CertificateDer::pem_file_iter(authority).unwrap_or_else(|error| unreachable(&error));
    roots.add_parsable_certificates(certificates.flatten());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.unwrap_or_else(|error| unreachable(&error));
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap_or_else(|error| unreachable(&error));
    let stream = TcpStream::connect(("127.0.0.1", stand.broker.http_port())).await;
    let stream = stream.unwrap_or_else(|error| unreachable(&error));
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap_or_else(|error| unreachable(&error))
}

async fn http2(stand: &Stand) -> Client {
    http2_and_its_end(stand).await.0
}

async fn http2_and_its_end(stand: &Stand) -> (Client, JoinHandle<()>) {
    let stream = tls(stand, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (client, connection) = shaken.unwrap_or_else(|error| unreachable(&error));
    (client, tokio::spawn(async move { drop(connection.await) }))
}

fn request(stand: &Stand, method: &str, path: &str, body: &str) -> http::Request<Full<Bytes>> {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header(AUTHORIZATION, format!("Bearer {}", stand.token))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_owned())));
    request.unwrap_or_else(|error| unreachable(&error))
}

/// The status and the body; status 0 where the stream was reset instead.
async fn ask(client: &Client, request: http::Request<Full<Bytes>>) -> (u16, Vec<u8>) {
    let mut client = client.clone();
    let Ok(response) = client.send_request(request).await else { return (0, Vec::new()) };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map(|body| body.to_bytes().to_vec());
    (status, body.unwrap_or_default())
}

#[test]
fn a_connection_without_exchanges_ends() {
    let answer = |told: &Told, peer: &mut Peer| {
        // Longer than a connection may be without an exchange.
        assert!(!peer.closes_within(Duration::from_millis(2_500)));
        echo(told, peer);
    };
    let stand = Stand::with(answer, "", |api| api, |setup| setup.more("limits: { head_seconds: 1 }"));
    running(async {
        // The preface, empty settings, and HEADERS without their end (RFC 9113 §3.4, §6.5, §6.2).
        let begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82";
        for sent in [&b""[..], begun] {
            let mut stream = tls(&stand, &[b"h2"]).await;
            stream.write_all(sent).await.unwrap_or_else(|error| unreachable(&error));
            let mut heard = Vec::new();
            // A connection that is reset has ended as well.
            let _ended = stream.read_to_end(&mut heard).await;
        }
        let (client, connection) = http2_and_its_end(&stand).await;
        assert_eq!(ask(&client, request(&stand, "POST", "/files/slow", "{}")).await.0, 200);
        connection.await.unwrap_or_else(|error| unreachable(&error));
    });
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn an_answer_that_is_read_slowly_comes_whole() {
    const BYTES: usize = 400_000;
    let answer = |_: &Told, peer: &mut Peer| peer.json(&format!(r#"{{"text":"{}"}}"#, "x".repeat(BYTES)));
    let stand = Stand::with(answer, "", |api| api, |setup| setup.more("limits: { head_seconds: 1 }"));
    running(async {
        let stream = tls(&stand, &[b"h2"]).await;
        let slow = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(65_535)
            .handshake(TokioIo::new(stream))
            .await;
        let (mut client, connection) = slow.unwrap_or_else(|error| unreachable(&error));
        tokio::spawn(connection);
        let response = client.send_request(request(&stand, "GET", "/openai/v1/models", "")).await;
        let mut body = response.unwrap_or_else(|error| unreachable(&error)).into_body();
        let (mut read, mut pause) = (0, tokio::time::interval(Duration::from_millis(500)));
        // Longer in all than a connection may be without an exchange: the broker has had it whole for long.
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap_or_else(|error| unreachable(&error));
            read += frame.data_ref().map_or(0, Bytes::len);
            if read / 65_536 % 2 == 1 {
                pause.tick().await;
            }
        }
        assert!(read > BYTES, "{read}");
    });
}

#[test]
fn many_requests_share_a_connection() {
    let stand = Stand::open(echo);
    running(async {
        let client = http2(&stand).await;
        let asked = (0..100).map(|number| {
            let (client, request) =
                (client.clone(), request(&stand, "POST", &format!("/files/r{number}"), "{\"a\":1}"));
            tokio::spawn(async move { (number, ask(&client, request).await) })
        });
        for asked in asked.collect::<Vec<_>>() {
            let (number, (status, body)) = asked.await.unwrap_or_else(|error| unreachable(&error));
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            assert_eq!((status, &body["path"], &body["bytes"]), (200, &json!(format!("/r{number}")), &json!(7)));
        }
    });
    assert_eq!(stand.mock.told().len(), 100);
    stand.broker.log_is_clean();
}

#[test]
fn answers_are_masked_as_over_http_1() {
    let stand = Stand::open(|told: &Told, peer: &mut Peer| {
        let text = "mail zq7x.k1@leak.example.com by noon";
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        if told.json()["stream"] == true {
            peer.events(&Api::Chat.events(&pieces));
        } else {
            peer.json(&Api::Chat.answer(&json!(text).to_string()));
        }
    });
    running(async {
        let client = http2(&stand).await;
        let secret = "\"900-55-0001\"";
        for body in [Api::Chat.question(secret), Api::Chat.streamed(secret)] {
            let (status, heard) = ask(&client, request(&stand, "POST", "/openai/v1/chat/completions", &body)).await;
            assert_eq!((status, Api::Chat.text(&heard).as_str()), (200, "mail *** by noon"));
        }
    });
    for told in stand.mock.told() {
        assert!(!String::from_utf8_lossy(&told.body).contains("900-55"), "{}", String::from_utf8_lossy(&told.body));
    }
}

#[test]
fn what_is_refused_over_http_1_is_refused_here() {
    let stand = Stand::open(model);
    let chat = Api::Chat.question("\"Hello.\"");
    let path = "/openai/v1/chat/completions";
    running(async {
        let client = http2(&stand).await;
        let with = |name: &'static str, value: &str| {
            let mut request = request(&stand, "POST", path, &chat);
            let value = http::HeaderValue::from_str(value).unwrap_or_else(|error| unreachable(&error));
            request.headers_mut().append(name, value);
            request
        };
        let cases = [
            ("another host", with(HOST.as_str(), "evil"), 400),
            ("a claim", with("x-broker-user", "admin"), 400),
            ("a twin", with("x_broker_user", "admin"), 400),
            ("a second token", with("authorization", "Bearer other"), 400),
            ("a coding", with("content-encoding", "gzip"), 415),
            ("dots", request(&stand, "GET", "/openai/v1/%2e%2e/admin", ""), 400),
            ("a wrong case", request(&stand, "POST", "/openai/V1/Chat/Completions", &chat), 404),
            ("a body where none belongs", request(&stand, "GET", "/openai/v1/models", "{}"), 400),
            ("two readings", request(&stand, "POST", path, r#"{"model":"a","model":"b","messages":[]}"#), 400),
            ("a method", request(&stand, "TRACE", "/openai/v1/models", ""), 405),
            ("a large head", with("x-filler", &"y".repeat(60_000)), 431),
        ];
        for (what, request, expected) in cases {
            let (status, body) = ask(&client, request).await;
            let closed = status == 0 && expected == 431;
            assert!(status == expected || closed, "{what}: {status} {}", String::from_utf8_lossy(&body));
        }
        let client = http2(&stand).await;
        assert_eq!(ask(&client, request(&stand, "POST", path, &chat)).await.0, 200);
    });
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn a_request_that_is_given_up_disturbs_no_other() {
    let stand = Stand::open(|told: &Told, peer: &mut Peer| {
        if told.line().contains("slow") {
            peer.closes_within(Duration::from_secs(30));
        } else {
            echo(told, peer);
        }
    });
    running(async {
        let client = http2(&stand).await;
        let slow = tokio::spawn({
            let (client, request) = (client.clone(), request(&stand, "GET", "/files/slow", ""));
            async move { ask(&client, request).await }
        });
        let (status, _) = ask(&client, request(&stand, "GET", "/files/first", "")).await;
        assert_eq!(status, 200);
        slow.abort();
        for _ in 0..20 {
            assert_eq!(ask(&client, request(&stand, "GET", "/files/next", "")).await.0, 200);
        }
    });
}

#[test]
fn a_client_that_cannot_be_kept_waiting_is_answered_in_time() {
    let policy = r#"
        @id("chat-needs-approval") @approve("Group::leads") @approve_count("1") @approve_scope("statement")
        @approve_ttl("15m") @message("Ask a lead.")
        forbid (principal, action == Action::"llm.chat", resource)
        unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1 };"#;
    let stand = Stand::with(model, policy, |api| api, |setup| setup);
    let (status, body) = running(async {
        let client = http2(&stand).await;
        let mut request = request(&stand, "POST", "/openai/v1/chat/completions", &Api::Chat.question("\"Hello.\""));
        request.headers_mut().insert("x-stainless-read-timeout", http::HeaderValue::from_static("15"));
        ask(&client, request).await
    });
    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&body));
    assert!(String::from_utf8_lossy(&body).contains("approval_pending"));
}

#[test]
fn http_1_is_spoken_inside_tls_too() {
    let stand = Stand::open(echo);
    for offered in [&[&b"http/1.1"[..]][..], &[]] {
        let text = running(async {
            let mut stream = tls(&stand, offered).await;
            let request = stand.get("/files/inside").header("Connection", "close").bytes();
            let mut heard = Vec::new();
            let _sent = stream.write_all(&request).await;
            let _heard = stream.read_to_end(&mut heard).await;
            String::from_utf8_lossy(&heard).into_owned()
        });
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("/inside"), "{text}");
    }
    // What is sent in the clear before TLS is no part of it.
    let mut client = stand.broker.http();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let answer = client.try_begun().map(|response| response.status());
    assert!(answer.is_none_or(|status| (400..=505).contains(&status)), "{answer:?}");
}
