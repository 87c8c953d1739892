//! HTTP/1.1 as far as machines need it: heads, and bodies with a length or without one.
//!
//! A body without a length ends with the byte [`WHOLE`], and one that is broken off with [`TORN`], which stand for what
//! HTTP's transports say in chunks, resets and closed connections. A request has such a body where it says
//! `transfer-encoding: chunked`, a response where it says no `content-length`.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sluice_http::{Frame, Interim, Length, Request, Response};
use sluice_wire::conformance::Phase;
use sluice_wire::{Frame as _, Side, Violation};

/// The end of a body without a length.
pub(crate) const WHOLE: &[u8] = b"\x04";
/// The end of a body before its end.
pub(crate) const TORN: &[u8] = b"\x18";
/// Longest head, in bytes.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;

/// Slices one side's bytes of one exchange.
#[derive(Debug)]
pub(crate) struct Codec {
    reading: Reading,
    writing: Writing,
    /// What the exchange asks for.
    method: Method,
}

#[derive(Debug, Eq, PartialEq)]
enum Reading {
    Head,
    /// So many bytes are left.
    Sized(u64),
    Open,
    Over,
}

#[derive(Debug, Eq, PartialEq)]
enum Writing {
    Head,
    Bodiless,
    Sized(u64),
    Open,
    Over,
    Torn,
}

impl Default for Codec {
    fn default() -> Self {
        Self { reading: Reading::Head, writing: Writing::Head, method: Method::GET }
    }
}

/// A head, taken apart.
pub(crate) struct Head {
    /// `GET`, `/path` and `HTTP/1.1`, or `HTTP/1.1`, `200` and `OK`.
    pub(crate) line: [String; 3],
    pub(crate) headers: HeaderMap,
    /// Bytes up to the body.
    pub(crate) length: usize,
}

/// The head at the front of some bytes; `None` where it is not whole.
pub(crate) fn head(bytes: &[u8]) -> Option<Result<Head, &'static str>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(parse(&bytes[..end]).ok_or("the head is malformed").map(|(line, headers)| Head {
        line,
        headers,
        length: end + 4,
    }))
}

fn parse(head: &[u8]) -> Option<([String; 3], HeaderMap)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut words = lines.next()?.splitn(3, ' ').map(ToOwned::to_owned);
    let line = [words.next()?, words.next()?, words.next()?];
    let mut headers = HeaderMap::new();
    for field in lines {
        let (name, value) = field.split_once(": ")?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some((line, headers))
}

/// The length that headers say; an error where they say two things.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let number = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            number.and_then(|text| text.parse().ok()).map(Some).ok_or("the length is no number")
        }
        (Some(_), Some(_)) => Err("the length is said twice"),
    }
}

fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

impl Codec {
    /// Where the exchange is, if these are its client's bytes.
    pub(crate) fn phase(&self) -> Phase {
        match (&self.writing, &self.reading) {
            (Writing::Torn, _) => Phase::Torn,
            (Writing::Over, Reading::Over) => Phase::Over,
            (
                Writing::Head | Writing::Bodiless | Writing::Sized(_) | Writing::Open | Writing::Over,
                Reading::Head | Reading::Sized(_) | Reading::Open | Reading::Over,
            ) => Phase::Open,
        }
    }

    fn request(&mut self, head: Head) -> Result<Frame, &'static str> {
        let [method, path, version] = head.line;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the method is malformed")?;
        if !path.starts_with('/') || version != "HTTP/1.1" {
            return Err("the request line is malformed");
        }
        let length = match (content_length(&head.headers)?, head.headers.contains_key(TRANSFER_ENCODING)) {
            (Some(_), true) => return Err("the length is said in two ways"),
            (None, true) => Length::Unknown,
            (None | Some(0), false) => Length::None,
            (Some(bytes), false) => Length::Known(bytes),
        };
        self.method = method.clone();
        self.reading = match length {
            Length::None => Reading::Sized(0),
            Length::Known(bytes) => Reading::Sized(bytes),
            Length::Unknown => Reading::Open,
        };
        Ok(Frame::Request(Box::new(Request::new(method, path, head.headers, length))))
    }

    fn response(&mut self, head: Head) -> Result<Frame, &'static str> {
        let [version, status, _] = head.line;
        let status: StatusCode = status.parse().map_err(|_| "the status is malformed")?;
        if version != "HTTP/1.1" {
            return Err("the status line is malformed");
        }
        if status.is_informational() {
            return Ok(Frame::Interim(Interim));
        }
        self.reading = match content_length(&head.headers)? {
            _ if is_bodiless(&self.method, status) => Reading::Sized(0),
            Some(bytes) => Reading::Sized(bytes),
            None => Reading::Open,
        };
        Ok(Frame::Response(Box::new(Response::new(status, head.headers))))
    }

    fn body(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        let piece = match &mut self.reading {
            Reading::Sized(0) => {
                self.reading = Reading::Over;
                return Some(Frame::End);
            }
            Reading::Sized(left) => {
                let length = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                length
            }
            Reading::Open if buf.starts_with(WHOLE) => {
                let _end = buf.split_to(WHOLE.len());
                self.reading = Reading::Over;
                return Some(Frame::End);
            }
            Reading::Open => buf.iter().position(|byte| *byte == WHOLE[0]).unwrap_or(buf.len()),
            Reading::Head | Reading::Over => 0,
        };
        (piece > 0).then(|| Frame::Data(buf.split_to(piece).freeze()))
    }

    /// What stands behind a frame's own bytes. A frame that does not fit what its head says is a mistake of the machine.
    fn framing(&mut self, frame: &Frame) -> &'static [u8] {
        match frame {
            Frame::Request(head) => {
                let is_next = self.writing == Writing::Over && self.reading == Reading::Over;
                assert!(is_next || self.writing == Writing::Head, "a request has one head");
                // The next part of a list, once the answer before is whole.
                if is_next {
                    self.reading = Reading::Head;
                }
                self.method = head.method.clone();
                self.writing = match head.body {
                    Length::None => Writing::Bodiless,
                    Length::Known(bytes) => Writing::Sized(bytes),
                    Length::Unknown => Writing::Open,
                };
            }
            Frame::Interim(Interim) => assert_eq!(self.writing, Writing::Head, "an interim response comes first"),
            Frame::Response(head) => {
                assert_eq!(self.writing, Writing::Head, "an answer has one head");
                self.writing = match content_length(&head.headers).unwrap() {
                    _ if is_bodiless(&self.method, head.status) => Writing::Bodiless,
                    Some(bytes) => Writing::Sized(bytes),
                    None => Writing::Open,
                };
            }
            Frame::Data(bytes) => match &mut self.writing {
                Writing::Open => {}
                Writing::Sized(left) => {
                    *left = left.checked_sub(bytes.len() as u64).expect("a body is as long as said")
                }
                other @ (Writing::Head | Writing::Bodiless | Writing::Over | Writing::Torn) => {
                    panic!("{} bytes of a body are out of turn: {other:?}", bytes.len());
                }
            },
            Frame::End => {
                let open = self.writing == Writing::Open;
                let whole = matches!(self.writing, Writing::Open | Writing::Bodiless | Writing::Sized(0));
                assert!(whole, "the end of a body is out of turn: {:?}", self.writing);
                self.writing = Writing::Over;
                return if open { WHOLE } else { b"" };
            }
            Frame::Broken => {
                self.writing = Writing::Torn;
                return TORN;
            }
        }
        b""
    }
}

impl sluice_wire::Codec for Codec {
    type Frame = Frame;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Frame>, Violation> {
        let wrong = |what| Violation { side: from, what };
        if self.reading != Reading::Head {
            return Ok(self.body(buf));
        }
        let whole = head(&buf[..buf.len().min(HEAD_BYTES)]);
        let head = match whole {
            Some(head) => head.map_err(wrong)?,
            None if buf.len() >= HEAD_BYTES => return Err(wrong("the head is too long")),
            None => return Ok(None),
        };
        let _head = buf.split_to(head.length);
        match from {
            Side::Client => self.request(head),
            Side::Server => self.response(head),
        }
        .map(Some)
        .map_err(wrong)
    }

    fn encode(&mut self, frame: Frame) -> Bytes {
        let framing = self.framing(&frame);
        if let Frame::Data(bytes) = frame { bytes } else { [frame.wire(), framing].concat().into() }
    }
}
