//! Header fields: how many, how large, which names, and the few that say how a message is to be read.

use http::Version;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use super::{Body, Coding};
use crate::flaw::Flaw;

/// The most header lines.
const MAX_LINES: usize = 100;
/// The most bytes of all names and values, with the four that separate them.
const MAX_BYTES: usize = 48 * 1024;
/// The most bytes of one value: a token of an identity provider that lists many groups.
const MAX_VALUE_BYTES: usize = 16 * 1024;
/// Digits of the largest content length; less than 2^63.
const MAX_LENGTH_DIGITS: usize = 18;

/// Lists that may be spread over lines (RFC 9110 §5.3), and what proxies on the way add a line to. Any other header is
/// there once, or two programs may each believe another line.
const REPEATABLE: [&str; 12] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "cookie",
    "forwarded",
    "pragma",
    "tracestate",
    "via",
    "warning",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Headers that only the broker itself may write.
const OURS: [&str; 3] = ["sluice-", "x-broker-", "x-sluice-"];

/// Headers by which gateways are told who asks, and that nobody in front of the broker has a reason to send.
const CLAIMS: [&str; 5] = ["remote-", "x-auth-request-", "x-authenticated-", "x-remote-", "x-webauth-"];

/// Headers that steer a gateway or server away from what the request line and the body say.
const STEERING: [&str; 12] = [
    "cf-aig-",
    "helicone-",
    "litellm-",
    "portkey-",
    "x-helicone-",
    "x-http-method",
    "x-litellm-",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-portkey-",
    "x-rewrite-url",
];

/// More claims, by whole name; proxies add their siblings `x-forwarded-for`, `-host` and `-proto`, which are ignored.
const FORWARDED_CLAIMS: [&str; 4] =
    ["x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-user"];

const RESERVED: Flaw = Flaw::new(400, "reserved_header", "a header has a name that clients may not use");
const TOO_LARGE: Flaw = Flaw::new(431, "header_too_large", "the request has too many or too large headers");
const INVALID: Flaw = Flaw::new(400, "invalid_header", "a header value is malformed");
const REPEATED: Flaw = Flaw::new(400, "repeated_header", "a header that is there once is repeated");
const NO_SOCKET: Flaw = Flaw::new(426, "upgrade_required", "WebSockets are not supported");
const CONNECTION_FLAW: Flaw = Flaw::new(400, "invalid_connection", "the connection headers are malformed");

/// Checks all names and values.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Flaw> {
    let mut bytes = 0_usize;
    for (name, value) in headers {
        bytes = bytes.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(4);
        if bytes > MAX_BYTES || value.len() > MAX_VALUE_BYTES || headers.len() > MAX_LINES {
            return Err(TOO_LARGE);
        }
        // RFC 9110 §5.5: CR, LF and NUL are dangerous, other control characters invalid.
        let controlled = value.as_bytes().iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        if controlled || !value.as_bytes().is_ascii() && is_read(name.as_str()) {
            return Err(INVALID);
        }
        if is_reserved(name.as_str()) {
            return Err(RESERVED);
        }
    }
    let repeated = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    let once = |name: &&HeaderName| !REPEATABLE.contains(&name.as_str());
    if headers.keys_len() != headers.len() && headers.keys().filter(once).any(repeated) {
        return Err(REPEATED);
    }
    Ok(())
}

/// A name that is refused whatever its value is. An underscore makes a name the twin of another once a server turns
/// both into the same variable (RFC 3875 §4.1.18), so no name has one.
pub(crate) fn is_reserved(name: &str) -> bool {
    let starts = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
    let about_models = name.split('-').any(|word| matches!(word, "model" | "models"));
    name.contains('_')
        || about_models
        || starts(&OURS)
        || starts(&CLAIMS)
        || starts(&STEERING)
        || FORWARDED_CLAIMS.contains(&name)
}

/// Headers that the broker reads or sends on; the others are dropped and may hold bytes beyond ASCII.
fn is_read(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "last-event-id",
        "openai-beta",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-api-key",
    ];
    NAMES.contains(&name) || name.starts_with("x-stainless-") || name.starts_with("mcp-")
}

/// The words of a list, in lower case.
fn words(value: &HeaderValue) -> impl Iterator<Item = String> {
    value.to_str().unwrap_or("?").split(',').map(|word| word.trim_matches([' ', '\t']).to_ascii_lowercase())
}

/// Checks what a connection is told: it ends or goes on, and becomes nothing else.
///
/// A name in `Connection` makes proxies remove that header (RFC 9110 §7.6.1), also one that says who asks.
pub(super) fn connection(headers: &HeaderMap, version: Version) -> Result<(), Flaw> {
    // RFC 9113 §8.2.2: a message with any of them is malformed.
    const HTTP1_ONLY: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    if version == Version::HTTP_2 && HTTP1_ONLY.iter().any(|name| headers.contains_key(*name)) {
        return Err(CONNECTION_FLAW);
    }
    if let Some(protocol) = headers.get(UPGRADE) {
        // WebSocket clients fall back to plain requests on 426 and on nothing else.
        let socket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
        return Err(if socket { NO_SOCKET } else { CONNECTION_FLAW });
    }
    if let Some(options) = headers.get(CONNECTION)
        && !words(options).all(|option| matches!(option.as_str(), "close" | "keep-alive" | "te"))
    {
        return Err(CONNECTION_FLAW);
    }
    if headers.contains_key("http2-settings") || headers.contains_key(TRAILER) {
        return Err(CONNECTION_FLAW);
    }
    match headers.get(TE) {
        Some(codings) if !codings.as_bytes().eq_ignore_ascii_case(b"trailers") => Err(CONNECTION_FLAW),
        Some(_) | None => Ok(()),
    }
}

/// RFC 9110 §10.1.1: the only expectation is `100-continue`.
pub(super) fn expectation(headers: &HeaderMap) -> Result<(), Flaw> {
    match headers.get(EXPECT) {
        Some(expected) if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Flaw::new(417, "expectation_failed", "the expectation cannot be met"))
        }
        Some(_) | None => Ok(()),
    }
}

/// How the body is framed. RFC 9112 §6.3: a request with a length and a transfer coding "ought to be handled as an
/// error", as a server may be made to read another body than the broker.
pub(super) fn body(headers: &HeaderMap, version: Version) -> Result<Body, Flaw> {
    let chunked = match headers.get(TRANSFER_ENCODING) {
        Some(coding) if version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        Some(_) => return Err(Flaw::malformed("the transfer coding is not exactly `chunked`")),
        None => false,
    };
    match headers.get(CONTENT_LENGTH) {
        Some(_) if chunked => Err(Flaw::malformed("a request has either a content length or a transfer coding")),
        Some(length) => match number(length.as_bytes()) {
            Some(0) => Ok(Body::Empty),
            Some(length) => Ok(Body::Sized(length)),
            None => Err(Flaw::malformed("the content length is malformed")),
        },
        None if chunked => Ok(Body::Chunked),
        None if version == Version::HTTP_2 => Ok(Body::Open),
        None => Ok(Body::Empty),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.len() <= MAX_LENGTH_DIGITS && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// The one coding of the body. RFC 9110 §8.4: a server "MAY respond with a status code of 415" to any other.
pub(super) fn coding(headers: &HeaderMap) -> Result<Coding, Flaw> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => Ok(Coding::Identity),
        Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Ok(Coding::Identity),
        Some(coding) if coding.eq_ignore_ascii_case(b"gzip") => Ok(Coding::Gzip),
        Some(_) => Err(Flaw::new(415, "unsupported_coding", "the content coding is not supported")),
    }
}
