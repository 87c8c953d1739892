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
    /// `application/x-www-form-urlencoded`.
    Form,
    Text,
    /// Nothing that can be looked into.
    Opaque,
}

/// The kind of body that headers announce; without a type it is opaque.
pub(crate) fn media(headers: &HeaderMap) -> Media {
    let content_type = content_type(headers);
    if is_ascii_compatible(content_type) { essence_media(&essence(content_type)) } else { Media::Opaque }
}

/// Whether whoever goes by the type reads the bytes as they are looked at here. Text that is ASCII in UTF-8 can be another
/// one in UTF-16 or UTF-7.
fn is_ascii_compatible(content_type: &str) -> bool {
    const READ: [&str; 5] = ["utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"];
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.all(|(_, name)| {
        let name = name.trim().trim_matches('"');
        READ.iter().any(|read| read.eq_ignore_ascii_case(name))
    })
}

/// The type without parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn essence_media(essence: &str) -> Media {
    match essence {
        "application/json" | "text/json" | "text/x-json" | "application/x-json" => Media::Json,
        "application/x-www-form-urlencoded" => Media::Form,
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
        check("text/json", Media::Json);
        check("application/x-www-form-urlencoded", Media::Form);
        check("application/octet-stream", Media::Opaque);
        check("", Media::Opaque);
    }
}
