//! What kind of body a content type announces (RFC 9110 §8.3).

use http::HeaderMap;

use crate::answer::content_type;

/// The kinds of body that are looked into in different ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Media {
    Json,
    /// One JSON document a line.
    Lines,
    /// `text/event-stream`.
    Events,
    Text,
    /// Nothing that can be looked into.
    Opaque,
}

/// The kind of body that headers announce; without a type it is opaque.
pub(crate) fn media(headers: &HeaderMap) -> Media {
    essence_media(&essence(content_type(headers)))
}

/// The type without parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn essence_media(essence: &str) -> Media {
    match essence {
        "application/json" => Media::Json,
        "application/x-ndjson" | "application/jsonl" | "application/jsonlines" | "application/ndjson" => Media::Lines,
        "text/event-stream" => Media::Events,
        _ if essence.ends_with("+json") => Media::Json,
        _ if essence.starts_with("text/") => Media::Text,
        _ => Media::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        let check = |text: &str, expect| assert_eq!(essence_media(&essence(text)), expect, "{text}");
        check("application/json", Media::Json);
        check("Application/JSON; charset=utf-8", Media::Json);
        check("application/problem+json", Media::Json);
        check("application/x-ndjson", Media::Lines);
        check("text/event-stream;charset=utf-8", Media::Events);
        check("text/html", Media::Text);
        check("application/octet-stream", Media::Opaque);
        check("", Media::Opaque);
    }
}
