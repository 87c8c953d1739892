//! The parts of one exchange, as they pass the door.
//!
//! Shape of what is recorded of a [`Frame`]: a head is its HTTP/1.1 text (RFC 9112 §2.1) without what the transport adds by
//! itself (the credential, chunk framing); data is its bytes; an end has none. In that order they make one message each way.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::HeaderMap;
use http::{Method, StatusCode};

/// One part of an exchange.
#[derive(Clone, Debug)]
pub enum Frame {
    Request(Box<Request>),
    /// Keeps a waiting client waiting: `102 Processing` (RFC 2518 §10.1).
    Interim(Interim),
    Response(Box<Response>),
    /// A piece of a body.
    Data(Bytes),
    /// The end of a body.
    End,
    /// A body ends before its end: the client must see that it is not whole.
    Broken,
}

/// The head of a request, relative to its target.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Path and query below the target's base; begins with `/`.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Length,
    wire: Bytes,
}

/// How long a body is going to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    None,
    Known(u64),
    Unknown,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    wire: Bytes,
}

/// An interim response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interim;

/// The bytes of [`Interim`].
pub(crate) const PROCESSING: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

impl Request {
    /// A request head.
    #[must_use]
    pub fn new(method: Method, path: String, headers: HeaderMap, body: Length) -> Self {
        let mut wire = BytesMut::with_capacity(256);
        for part in [method.as_str(), " ", &path, " HTTP/1.1\r\n"] {
            wire.put_slice(part.as_bytes());
        }
        put_headers(&mut wire, &headers);
        Self { method, path, headers, body, wire: wire.freeze() }
    }
}

impl Response {
    /// A response head.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        let mut wire = BytesMut::with_capacity(256);
        let reason = status.canonical_reason().unwrap_or_default();
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            wire.put_slice(part.as_bytes());
        }
        put_headers(&mut wire, &headers);
        Self { status, headers, wire: wire.freeze() }
    }
}

impl sluice_wire::Frame for Frame {
    fn wire(&self) -> &[u8] {
        match self {
            Self::Request(head) => &head.wire,
            Self::Response(head) => &head.wire,
            Self::Interim(Interim) => PROCESSING,
            Self::Data(bytes) => bytes,
            Self::End | Self::Broken => &[],
        }
    }
}

fn put_headers(wire: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        wire.put_slice(name.as_str().as_bytes());
        wire.put_slice(b": ");
        wire.put_slice(value.as_bytes());
        wire.put_slice(b"\r\n");
    }
    wire.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::header::{CONTENT_TYPE, HeaderValue};
    use sluice_wire::Frame as _;

    #[test]
    fn heads_are_recorded_as_text() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let request = Request::new(Method::POST, "/v1/x?y=1".to_owned(), headers.clone(), Length::Known(2));
        let text = |frame: &Frame| String::from_utf8(frame.wire().to_vec()).unwrap();
        assert_eq!(
            text(&Frame::Request(Box::new(request))),
            "POST /v1/x?y=1 HTTP/1.1\r\ncontent-type: application/json\r\n\r\n"
        );
        let response = Response::new(StatusCode::OK, headers);
        assert_eq!(
            text(&Frame::Response(Box::new(response))),
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
        );
    }
}
