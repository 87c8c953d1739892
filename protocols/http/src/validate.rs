//! What the head of a request may say, whatever parsed it: HTTP/1.1 and HTTP/2 alike.
//!
//! The guard below hyper checks bytes; here the meaning is checked: one way to read a path, one host, no header that
//! two programs understand in two ways. What passes is taken apart once, and what is decided on is what is sent.

mod fields;
mod forward;
mod host;
mod media;
mod path;
mod query;
#[cfg(test)]
mod tests;

use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Version};

use crate::flaw::Flaw;

pub(crate) use fields::is_reserved;
pub(crate) use forward::{betas, passes_to_client, passes_to_server, steering, to_client, to_server};
pub(crate) use media::{Media, parameter};
pub(crate) use path::is_plain as is_plain_in_path;
pub(crate) use query::{Pair, is_plain as is_plain_in_query, names_credential};

/// The longest path and query together. RFC 9110 §4.1 recommends 8000 octets at least.
const MAX_TARGET_BYTES: usize = 8192;

/// The methods that are known and allowed.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener<'a> {
    /// The names that clients may use: `broker` with any port or none, `broker:8443` with exactly that. Empty allows
    /// every name, which leaves a listener open to DNS rebinding.
    pub(crate) authorities: &'a [String],
}

/// A head that was checked, and what it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Checked {
    /// Host and port as the client named them, in lower case.
    pub(crate) authority: String,
    /// The path's segments, decoded: no slash, no backslash, no control character, no dots alone. None for `/`.
    pub(crate) segments: Vec<String>,
    /// The query's parameters, decoded, in their order; what is forwarded is the query as it came.
    pub(crate) query: Vec<Pair>,
    pub(crate) media: Option<Media>,
    pub(crate) coding: Coding,
    pub(crate) body: Body,
    /// Whether the method gives a body a meaning.
    method: Method,
}

impl Checked {
    /// Says whether a body comes with a method that has no use for one: RFC 9110 §9.3.1, "content received in a GET
    /// request has no generally defined semantics", and so may be read by one program and skipped by another.
    pub(crate) fn has_stray_body(&self) -> bool {
        let useless = matches!(self.method, Method::GET | Method::HEAD | Method::DELETE);
        useless && matches!(self.body, Body::Sized(_) | Body::Chunked)
    }
}

/// What was done to the bytes of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Identity,
    /// Compressed once; to be decoded under a limit, or refused.
    Gzip,
}

/// What the head says of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    /// There is none.
    Empty,
    /// This many bytes, at least one.
    Sized(u64),
    /// HTTP/1.1's chunks.
    Chunked,
    /// HTTP/2 without a length: only the end of the stream tells.
    Open,
}

/// Checks a head.
pub(crate) fn head(parts: &Parts, at: Listener<'_>) -> Result<Checked, Flaw> {
    method(&parts.method)?;
    version(parts.version)?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > MAX_TARGET_BYTES {
        return Err(Flaw::new(414, "uri_too_long", "the path and query are too long"));
    }
    fields::check(&parts.headers)?;
    let authority = authority(parts)?;
    host::check(&authority, at.authorities)?;
    let segments = path::segments(parts.uri.path())?;
    let query = query::pairs(parts.uri.query().unwrap_or_default())?;
    fields::connection(&parts.headers, parts.version)?;
    fields::expectation(&parts.headers)?;
    let body = fields::body(&parts.headers, parts.version)?;
    let media = parts.headers.get(CONTENT_TYPE).map(Media::read).transpose()?;
    let coding = fields::coding(&parts.headers)?;
    Ok(Checked { authority, segments, query, media, coding, body, method: parts.method.clone() })
}

/// RFC 9110 §9.1: 501 for a method that is not recognized, 405 for one that is known and not allowed.
fn method(method: &Method) -> Result<(), Flaw> {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => Ok(()),
        Method::TRACE | Method::CONNECT | Method::OPTIONS => {
            Err(Flaw::new(405, "method_not_allowed", "the method is not allowed"))
        }
        _ => Err(Flaw::new(501, "method_not_implemented", "the method is not known")),
    }
}

fn version(version: Version) -> Result<(), Flaw> {
    match version {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => Ok(()),
        _ => Err(Flaw::new(505, "version_not_supported", "the HTTP version is not supported")),
    }
}

/// The one host that a request names; that a header is there once was checked. RFC 9112 §3.2.2 lets the absolute form
/// overrule Host, which is refused instead: the two say the same or the request says two things.
fn authority(parts: &Parts) -> Result<String, Flaw> {
    let named = parts.uri.authority().map(Authority::as_str);
    if !parts.uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err(host::INVALID);
    }
    let host = parts.headers.get(HOST).map(|host| host.to_str().map_err(|_| host::INVALID)).transpose()?;
    match (named, host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => {
            Err(Flaw::new(400, "invalid_host", "the request names two hosts"))
        }
        (Some(named), Some(_)) => Ok(named.to_ascii_lowercase()),
        (Some(named), None) if parts.version == Version::HTTP_2 => Ok(named.to_ascii_lowercase()),
        (None, Some(host)) => Ok(host.to_ascii_lowercase()),
        (Some(_) | None, None) => Err(Flaw::new(400, "invalid_host", "the request names no host")),
    }
}
