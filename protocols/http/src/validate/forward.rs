//! Which headers pass, in either direction. What is not named here does not pass.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use super::METHODS;
use super::media::Media;

/// The most bytes of a value that passes.
const MAX_BYTES: usize = 512;

const BETA: HeaderName = HeaderName::from_static("openai-beta");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Kinds of answers that clients may ask for.
const ACCEPTED: [&str; 14] = [
    "*/*",
    "application/*",
    "application/binary",
    "application/json",
    "application/octet-stream",
    "application/sdp",
    "application/x-ndjson",
    "audio/*",
    "audio/mpeg",
    "image/*",
    "text/*",
    "text/event-stream",
    "text/plain",
    "video/*",
];

/// Copies what a server has a use for.
///
/// Credentials, cookies, addresses of who asked before, and whatever is unknown stay behind. So do the organization and
/// project, which belong to the credential that is lent, and `X-Stainless-*`, which tells the vendor about the client's
/// machine. The answer is asked for without compression, so that it can be looked into.
pub(crate) fn to_server(from_client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut pass = |name: HeaderName, fits: fn(&str) -> bool| {
        if let Some(value) = only(from_client, &name).filter(|value| shows(value, fits)) {
            headers.insert(name, value.clone());
        }
    };
    pass(CONTENT_TYPE, |text| Media::parse(text).is_ok());
    pass(USER_AGENT, |text| !text.is_empty());
    pass(BETA, is_beta);
    pass(HeaderName::from_static("idempotency-key"), |text| !text.is_empty() && !text.contains(' '));
    pass(TRACEPARENT, is_traceparent);
    if headers.contains_key(TRACEPARENT)
        && let Some(state) = only(from_client, &TRACESTATE).filter(|value| shows(value, is_tracestate))
    {
        headers.insert(TRACESTATE, state.clone());
    }
    if let Some(accept) = accept(from_client) {
        headers.insert(ACCEPT, accept);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// What passes and has the server answer otherwise: kinds of answers, unless any will do, and features under trial. What
/// is left of [`to_server`] names a program, a trace or the same request once more.
pub(crate) fn steering(from_client: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let accept = accept(from_client).filter(|kinds| kinds != "*/*");
    let beta = only(from_client, &BETA).filter(|value| shows(value, is_beta)).cloned();
    [(ACCEPT, accept), (BETA, beta)].into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// The features under trial that a request is sent with: `assistants=v2`.
pub(crate) fn betas(from_client: &HeaderMap) -> impl Iterator<Item = &str> {
    let value = only(from_client, &BETA).filter(|value| shows(value, is_beta));
    let names = value.and_then(|value| value.to_str().ok()).into_iter().flat_map(|text| text.split([',', ' ']));
    names.filter(|name| !name.is_empty())
}

/// Copies what clients act on, each only in the form that it has: none has room for a name, a secret or an address.
///
/// The file name of a `Content-Disposition` stays behind, as it is text like any other. Not here either: redirects,
/// cookies, challenges, the organization, the server's request id, and what it tells browsers.
pub(crate) fn to_client(from_server: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in from_server.keys() {
        let Some(value) = only(from_server, name) else { continue };
        let Some(fits) = form_to_client(name.as_str()) else { continue };
        if shows(value, fits) {
            headers.insert(name, value.clone());
        }
    }
    let disposition = only(from_server, &CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    match disposition.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()).as_deref() {
        Some("inline") => drop(headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"))),
        // RFC 6266 §4.2: what is not known is handled as an attachment.
        Some(_) => drop(headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"))),
        None => {}
    }
    headers
}

/// The form in which a header may reach a client.
fn form_to_client(name: &str) -> Option<fn(&str) -> bool> {
    Some(match name {
        "allow" => is_methods,
        "content-type" => |text| Media::parse(text).is_ok(),
        "cache-control" => is_cache_control,
        "openai-version" => is_date,
        "openai-processing-ms" | "openai-poll-after-ms" | "retry-after-ms" => is_number,
        "retry-after" => |text| is_number(text) || is_http_date(text),
        "x-should-retry" => |text| matches!(text, "true" | "false"),
        name if name.starts_with("x-ratelimit-") => is_amount,
        _ => return None,
    })
}

/// Whether a header may reach every server in the form that it has, besides the type of the body.
pub(crate) fn passes_to_server(name: &str) -> bool {
    ["accept", "idempotency-key", "openai-beta", "traceparent", "tracestate", "user-agent"].contains(&name)
}

/// Whether a header may reach every client in the form that it has, besides the type of the body.
pub(crate) fn passes_to_client(name: &str) -> bool {
    name == "content-disposition" || form_to_client(name).is_some() && name != "content-type"
}

/// A value that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Says whether a value is printable ASCII of a form.
fn shows(value: &HeaderValue, fits: fn(&str) -> bool) -> bool {
    let printable = |text: &str| text.len() <= MAX_BYTES && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    value.to_str().is_ok_and(|text| printable(text) && fits(text))
}

/// The known kinds of answers among those asked for, in their order and without weights.
fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kinds: Vec<&str> = Vec::new();
    for value in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let range = range.split(';').next().unwrap_or_default().trim();
            let known = ACCEPTED.iter().copied().find(|known| known.eq_ignore_ascii_case(range));
            kinds.extend(known.filter(|known| !kinds.contains(known)));
        }
    }
    HeaderValue::from_str(&kinds.join(", ")).ok().filter(|value| !value.is_empty())
}

/// Names and versions: `assistants=v2, realtime=v1`.
fn is_beta(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=, ".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(plain)
}

/// Version 00 (<https://www.w3.org/TR/trace-context/#traceparent-header>): an id of all zeros is invalid.
fn is_traceparent(text: &str) -> bool {
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |text: &str, digits: usize| hex(text, digits) && text.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, span, flags] if id(trace, 32) && id(span, 16) && hex(flags, 2))
}

/// Up to 32 `key=value` (<https://www.w3.org/TR/trace-context/#tracestate-header>).
fn is_tracestate(text: &str) -> bool {
    let key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let member = |text: &str| {
        let pair = text.trim().split_once('=');
        pair.is_some_and(|(name, value)| {
            !name.is_empty() && name.bytes().all(key) && !value.is_empty() && !value.contains(['=', ','])
        })
    };
    let mut members = text.split(',');
    members.by_ref().take(32).all(member) && members.next().is_none()
}

/// Lower-case words and numbers: `no-store, max-age=0`.
fn is_cache_control(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-=, ".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(plain)
}

/// Known methods: `GET, HEAD`.
fn is_methods(text: &str) -> bool {
    let known =
        |method: &str| METHODS.split(", ").any(|known| known == method) || matches!(method, "OPTIONS" | "TRACE");
    text.split(',').all(|method| known(method.trim()))
}

/// `2020-10-01`.
fn is_date(text: &str) -> bool {
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

/// Seconds or milliseconds, with or without a fraction.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// A count, or a time such as `6m0s` or `1.5ms`.
fn is_amount(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || b".dhmsu".contains(&byte);
    text.len() <= 24 && text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(plain)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7), by its shape.
fn is_http_date(text: &str) -> bool {
    let shape = |byte: u8| match byte {
        b'0'..=b'9' => b'0',
        b'A'..=b'Z' | b'a'..=b'z' => b'a',
        _ => byte,
    };
    text.ends_with(" GMT") && text.bytes().map(shape).eq(b"aaa, 00 aaa 0000 00:00:00 aaa".iter().copied())
}
