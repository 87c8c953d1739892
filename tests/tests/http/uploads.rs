//! Bodies over HTTP/2: what a client breaks off is never whole to a server, however the client breaks it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use sluice_tests::mock::{Mock, Told};

use crate::stand::{Stand, echo};
use crate::tls::{running, tls, unreachable};

const OPAQUE: &str = "application/octet-stream";
/// Bodies that could be whole wherever they are cut after a line: one passes as it comes, the others are read.
const BODIES: [(&str, &[u8]); 5] = [
    (OPAQUE, b"first half\n"),
    ("text/plain", b"DELETE FROM t\n"),
    ("application/x-www-form-urlencoded", b"to=bob&amount=1000"),
    ("application/x-ndjson", b"{\"keep\":1}\n{\"keep\":2}\n"),
    ("application/json", b"{\"keep\":1}"),
];

/// One connection of a client that sends frames as it likes.
struct Client {
    send: SendRequest<Bytes>,
    token: String,
}

impl Client {
    async fn connect(stand: &Stand) -> Self {
        let shaken = h2::client::handshake(tls(stand, &[b"h2"]).await).await;
        let (send, connection) = shaken.unwrap_or_else(|error| unreachable(&error));
        tokio::spawn(connection);
        Self { send, token: stand.token.clone() }
    }

    /// Sends a head, of a POST where the path begins with no other method; `announced` is the length that it says.
    async fn begin(&self, path: &str, media: &str, announced: Option<usize>) -> (ResponseFuture, SendStream<Bytes>) {
        let (method, path) = path.split_once(' ').unwrap_or(("POST", path));
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, media);
        if let Some(bytes) = announced {
            request = request.header(CONTENT_LENGTH, bytes);
        }
        let request = request.body(()).unwrap_or_else(|error| unreachable(&error));
        let mut ready = self.send.clone().ready().await.unwrap_or_else(|error| unreachable(&error));
        ready.send_request(request, false).unwrap_or_else(|error| unreachable(&error))
    }

    /// A whole request, after which everything has been sent that was to be sent before it.
    async fn settle(&self) {
        let (answer, mut body) = self.begin("/files/settled", "text/plain", None).await;
        send(&mut body, b"whole", true);
        assert_eq!(status(answer).await, 200);
    }
}

fn send(body: &mut SendStream<Bytes>, bytes: &'static [u8], ends: bool) {
    body.send_data(Bytes::from_static(bytes), ends).unwrap_or_else(|error| unreachable(&error));
}

/// Of an answer; 0 where the stream was reset instead.
async fn status(answer: ResponseFuture) -> u16 {
    answer.await.map_or(0, |answer| answer.status().as_u16())
}

/// The bodies that a server was told whole, but for those of [`Client::settle`].
fn uploads(told: Vec<Told>) -> Vec<(String, Vec<u8>)> {
    let ours = told.into_iter().filter(|told| !told.line().contains("/settled"));
    ours.map(|told| (told.line().to_owned(), told.body)).collect()
}

#[test]
fn an_upload_that_is_broken_off_reaches_no_server_as_whole() {
    let passed = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&passed);
    let stand = Stand::before(Mock::reading(echo, move |_, piece: &[u8]| {
        seen.fetch_add(u64::from(piece == b"first half\n"), Ordering::SeqCst);
    }));
    running(async {
        let client = Client::connect(&stand).await;
        let mut opaque = 0;
        for (media, bytes) in BODIES {
            for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
                for announced in [Some(bytes.len() * 2), Some(bytes.len()), None] {
                    // A server has all that was announced as soon as the last byte of it passes.
                    if media == OPAQUE && announced == Some(bytes.len()) {
                        continue;
                    }
                    let (answer, mut body) = client.begin("/files/torn", media, announced).await;
                    send(&mut body, bytes, false);
                    client.settle().await;
                    opaque += u64::from(media == OPAQUE);
                    while passed.load(Ordering::SeqCst) < opaque {
                        client.settle().await;
                    }
                    body.send_reset(reason);
                    client.settle().await;
                    assert_eq!(status(answer).await, 0, "{media} {reason} {announced:?}");
                }
            }
        }
    });
    stand.broker.stop();
    assert_eq!(uploads(stand.mock.told_at_last()), []);
}

#[test]
fn an_upload_that_ends_is_whole_however_it_ends() {
    let stand = Stand::open(echo);
    running(async {
        let client = Client::connect(&stand).await;
        for (media, bytes) in BODIES {
            for announced in [Some(bytes.len()), None] {
                for ends_with_data in [true, false] {
                    let (answer, mut body) = client.begin("/files/whole", media, announced).await;
                    send(&mut body, bytes, ends_with_data);
                    if !ends_with_data {
                        client.settle().await;
                        // Where all that was announced has passed, there may be an answer by now, and nothing more is taken.
                        let _answered = body.send_data(Bytes::new(), true);
                    }
                    let case = format!("{media} {announced:?} {ends_with_data}");
                    assert_eq!(status(answer).await, 200, "{case}");
                    let told = uploads(stand.mock.take());
                    assert!(matches!(&told[..], [(_, body)] if body == bytes), "{case}: {told:?}");
                }
            }
        }
    });
}

/// As over HTTP/1.1: they say something that nothing was decided on.
#[test]
fn an_upload_with_trailers_is_refused() {
    let stand = Stand::open(echo);
    running(async {
        let client = Client::connect(&stand).await;
        for (media, _) in BODIES {
            let (answer, mut body) = client.begin("/files/trailed", media, None).await;
            send(&mut body, b"{}", false);
            let trailers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
            body.send_trailers(trailers).unwrap_or_else(|error| unreachable(&error));
            assert_ne!(status(answer).await, 200, "{media}");
            client.settle().await;
        }
    });
    stand.broker.stop();
    assert_eq!(uploads(stand.mock.told_at_last()), []);
}

#[test]
fn a_request_whose_body_turns_out_empty_has_none() {
    let stand = Stand::open(echo);
    running(async {
        let client = Client::connect(&stand).await;
        for target in ["GET /files/a", "DELETE /files/a", "GET /openai/v1/models"] {
            let (answer, mut body) = client.begin(target, "application/json", None).await;
            client.settle().await;
            send(&mut body, b"", true);
            assert_eq!(status(answer).await, 200, "{target}");
            let told = uploads(stand.mock.take());
            assert!(matches!(&told[..], [(_, body)] if body.is_empty()), "{target}: {told:?}");
            let (answer, mut body) = client.begin(target, "application/json", None).await;
            send(&mut body, b"{}", true);
            assert_eq!(status(answer).await, 400, "{target}");
            let (answer, mut body) = client.begin(target, "application/json", None).await;
            client.settle().await;
            body.send_reset(Reason::NO_ERROR);
            client.settle().await;
            assert_eq!(status(answer).await, 0, "{target}");
        }
    });
    stand.broker.stop();
    assert_eq!(uploads(stand.mock.told_at_last()), []);
}
