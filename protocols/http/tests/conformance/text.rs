//! Messages as lines of a transcript, and back.
//!
//! | line | bytes |
//! |---|---|
//! | `POST /path [name: value \| name: value] BODY` | a request; JSON brings its type, every body its length |
//! | `200 [name: value] BODY` | a response likewise; without a body it has none, or one that comes in pieces |
//! | `~` | the end of a body without a length |
//! | `~~` | the end of a body that is broken off |
//! | `*1000 TEXT` | a piece of a body: the text a thousand times |
//! | anything else | a piece of a body |

use http::{HeaderMap, Method, StatusCode};
use sluice_wire::Side;
use sluice_wire::conformance::{escape, unescape};

use crate::codec::{TORN, WHOLE, content_length, head};

/// A request or a response: the line in the front of its head, its headers in their order, its body.
pub(crate) fn message(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

pub(crate) fn spell(from: Side, line: &str) -> Result<Vec<u8>, String> {
    match line {
        "~" => return Ok(WHOLE.to_vec()),
        "~~" => return Ok(TORN.to_vec()),
        _ => {}
    }
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    if let Some(times) = first.strip_prefix('*') {
        let times = times.parse().map_err(|_| format!("`{times}` is no number"))?;
        return Ok(unescape(rest)?.repeat(times));
    }
    let (start, rest) = match from {
        Side::Client if Method::from_bytes(first.as_bytes()).is_ok() && rest.starts_with('/') => {
            let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            (format!("{first} {path} HTTP/1.1"), rest)
        }
        Side::Server if first.parse::<StatusCode>().is_ok() => (status_line(first.parse().unwrap()), rest),
        Side::Client | Side::Server => return unescape(line),
    };
    let (fields, body) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a `]` is missing")?,
        None => ("", rest),
    };
    let body = body.strip_prefix(' ').unwrap_or(body);
    let fields = fields.split(" | ").filter(|field| !field.is_empty());
    let mut headers = fields
        .map(|field| field.split_once(": ").ok_or_else(|| format!("`{field}` is no header")))
        .collect::<Result<Vec<_>, _>>()?;
    if body.starts_with(['{', '[']) && !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.insert(0, ("content-type", "application/json"));
    }
    Ok(message(&start, &headers, &unescape(body)?))
}

pub(crate) fn status_line(status: StatusCode) -> String {
    format!("HTTP/1.1 {} {}", status.as_str(), status.canonical_reason().unwrap_or_default())
}

pub(crate) fn show(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let head = head(rest).and_then(Result::ok).filter(|head| head.line.iter().any(|word| word == "HTTP/1.1"));
        let Some(head) = head else {
            show_body(rest, &mut lines);
            break;
        };
        let start = match &head.line {
            [version, status, _] if version == "HTTP/1.1" => status.clone(),
            [method, path, _] => format!("{method} {path}"),
        };
        let headers = show_headers(&head.headers);
        rest = &rest[head.length..];
        let length = content_length(&head.headers).unwrap().unwrap_or(0);
        let sized = usize::try_from(length).unwrap().min(rest.len());
        let (body, left) = rest.split_at(sized);
        lines.push(format!("{start}{headers}"));
        show_body(body, &mut lines);
        rest = left;
    }
    lines
}

fn show_headers(headers: &HeaderMap) -> String {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let shown: Vec<String> = headers.iter().map(field).collect();
    if shown.is_empty() { String::new() } else { format!(" [{}]", shown.join(" | ")) }
}

/// A body, event by event, and how it ends.
fn show_body(body: &[u8], lines: &mut Vec<String>) {
    let (body, end) = match (body.strip_suffix(WHOLE), body.strip_suffix(TORN)) {
        (Some(body), _) => (body, Some("~")),
        (None, Some(body)) => (body, Some("~~")),
        (None, None) => (body, None),
    };
    let text = escape(body);
    lines.extend(text.split_inclusive("\\n\\n").map(ToOwned::to_owned));
    lines.extend(end.map(ToOwned::to_owned));
}
