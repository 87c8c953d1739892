#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A stream that gives one piece at a time.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.pop_front() {
            into.put_slice(&piece);
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper gets of bytes that arrive in these pieces, and what is wrong with the last head.
async fn pass(pieces: &[&[u8]]) -> (Vec<u8>, Result<u64, String>) {
    let door = Arc::new(Door::default());
    let pieces = pieces.iter().flat_map(|piece| piece.chunks(READ_BYTES)).map(<[u8]>::to_vec);
    let near = Pieces(pieces.collect());
    let mut strict = Strict::new(near, Arc::clone(&door), BytesMut::new());
    let mut got = Vec::new();
    let mut buffer = [0_u8; 7];
    let mut heads = 0;
    loop {
        // A refused head leaves the stream open, for the answer.
        if strict.cleared.is_empty() && matches!(strict.at, At::Refused) {
            break;
        }
        match strict.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) => return (got, Err(error.to_string())),
        }
    }
    loop {
        if got.windows(4).filter(|w| w == b"\r\n\r\n").count() <= heads {
            break;
        }
        heads += 1;
    }
    let flaw = (0..heads.max(1)).find_map(|_| door.serve());
    (got, flaw.map_or(Ok(heads as u64), |flaw| Err(format!("{} {}", flaw.status, flaw.message))))
}

async fn accepted(text: &str) {
    let (got, heads) = pass(&[text.as_bytes()]).await;
    assert_eq!(String::from_utf8(got).unwrap(), text);
    heads.unwrap();
}

async fn refused(text: &[u8]) {
    let (got, heads) = pass(&[text]).await;
    let said = heads.unwrap_err();
    assert!(!got.windows(5).any(|window| window == b"SMUG "), "{}: {said}", text.escape_ascii());
}

#[tokio::test]
async fn well_formed_requests_pass_as_they_are() {
    accepted("GET / HTTP/1.1\r\nHost: b\r\n\r\n").await;
    accepted("GET / HTTP/1.0\r\n\r\n").await;
    accepted("POST /x HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nabcdeGET / HTTP/1.1\r\nHost: b\r\n\r\n").await;
    accepted("POST /x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n").await;
    accepted("POST /x HTTP/1.1\r\nHost:b\r\nX-Empty:\r\nContent-Length: \t0 \r\n\r\n").await;
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused() {
    let lines: &[&str] = &[
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 5",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: 3 3",
        "Content-Length: ",
        "Content-Length: 9999999999999999999",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Content-Length : 3",
        "X: a\r\n  b",
        "X: a\r\n\tb",
        " X: a",
        "X\0: a",
        "X: a\0b",
        "X: a\x7fb",
        "X: a\rb",
        "X y: a",
        "no colon",
        ": empty",
        "Host: evil",
    ];
    for line in lines {
        refused(format!("POST / HTTP/1.1\r\nHost: b\r\n{line}\r\n\r\nabcSMUG / HTTP/1.1\r\n\r\n").as_bytes()).await;
    }
    for head in [
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: b\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: b\r\n\r\n",
        "GET / HTTP/0.9\r\nHost: b\r\n\r\n",
        "GET /\r\nHost: b\r\n\r\n",
        "get / HTTP/1.1\r\nHost: b\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: b\n\n",
        "GET / HTTP/1.1\r\nHost: b\n\r\n",
        "GET / HTTP/1.1\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: b\r\nX: y\n\r\nSMUG / HTTP/1.1\r\n\r\n",
    ] {
        refused(head.as_bytes()).await;
    }
}

#[tokio::test]
async fn malformed_chunks_break_the_body() {
    let head = "POST / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "3;\nxx\r\nabc\r\n0\r\n\r\n",
        "3;ext=1\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "000000000003\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "\r\nabc",
        "-1\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "0\r\nTrailer: x\r\n\r\n",
        "0\r\n\nSMUG / HTTP/1.1\r\n",
    ] {
        let text = format!("{head}{body}");
        let (got, heads) = pass(&[text.as_bytes()]).await;
        assert_eq!(
            heads.unwrap_err(),
            if body.starts_with("fff") || body.starts_with("000") {
                "a chunk's size has too many digits"
            } else {
                "the chunked body is malformed"
            },
            "{body:?}"
        );
        assert!(!got.windows(4).any(|window| window == b"SMUG"));
    }
}

#[tokio::test]
async fn heads_have_a_limit() {
    for (extra, fits) in [(0, true), (1, false)] {
        let start = "GET / HTTP/1.1\r\nHost: b\r\nX: ";
        let filler = "a".repeat(MAX_HEAD_BYTES - start.len() - 4 + extra);
        let (_, heads) = pass(&[format!("{start}{filler}\r\n\r\n").as_bytes()]).await;
        assert_eq!(heads.is_ok(), fits, "{extra} more");
    }
    for (lines, fits) in [(127, true), (128, false)] {
        let head = format!("GET / HTTP/1.1\r\nHost: b\r\n{}\r\n", "X: y\r\n".repeat(lines));
        let (_, heads) = pass(&[head.as_bytes()]).await;
        assert_eq!(heads.is_ok(), fits, "{lines} lines");
    }
}

#[tokio::test]
async fn any_cutting_gives_the_same() {
    let text = b"POST /x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: b\nX: y\r\n\r\n";
    let whole = pass(&[text]).await;
    assert!(whole.1.is_err());
    for cut in 1..text.len() {
        assert_eq!(pass(&[&text[..cut], &text[cut..]]).await, whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(pass(&bytes).await, whole);
}

#[tokio::test]
async fn an_interim_response_stands_between_two_responses() {
    let door = Arc::new(Door::default());
    let (mut far, near) = tokio::io::duplex(1 << 10);
    let mut strict = Strict::new(near, Arc::clone(&door), BytesMut::new());
    strict.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    door.serve();
    door.serve();
    door.say_processing();
    strict.flush().await.unwrap();
    door.say_processing();
    strict.flush().await.unwrap();
    strict.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
    drop(strict);
    let mut got = String::new();
    far.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n");
}
