//! Requests that ask to be taken for another method than they have: it is their method that is decided on.
//!
//! Frameworks read such a wish from a query, a form or an object: as `_method` (Rails, Laravel, Symfony, WordPress, Parse), as
//! `_HttpMethod` (Salesforce), or by the name of a header.

use http::Method;
use sluice_mask::json::{Document, Kind, Node};

use crate::body::Body;
use crate::dialects::rest::JSON_LIMITS;
use crate::flaw::Flaw;
use crate::frame::Request;
use crate::outward::decoded;
use crate::veil::begins_container;

const DISGUISED: Flaw =
    Flaw::new(400, "method_override", "the request asks to be taken for one of another method than it has");

/// Names that say a method, in lower case and with `_` for any joint.
const NAMES: [&str; 9] = [
    "_method",
    "_http_method",
    "_httpmethod",
    "_method_override",
    "_x_http_method_override",
    "method_override",
    "x_http_method",
    "x_http_method_override",
    "x_method_override",
];

/// Refuses a request that a server could take for one of another method.
pub(crate) fn check(head: &Request, body: &Body) -> Result<(), Flaw> {
    let query = head.path.split_once('?').map_or("", |(_, query)| query);
    let mut parameters = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    if parameters.any(|(name, value)| is_disguise(&decoded(name), &decoded(value), &head.method)) {
        return Err(DISGUISED);
    }
    let disguised = match body {
        Body::Form(form) => form.fields().any(|field| {
            let (name, value) = field.pair();
            is_disguise(name, value, &head.method)
        }),
        Body::Json(document) => has_disguise(document, &head.method),
        // Some servers read whatever they are sent as JSON.
        Body::Text(text) if begins_container(text) => {
            let document = Document::parse(text.clone(), JSON_LIMITS);
            document.is_ok_and(|document| has_disguise(&document, &head.method))
        }
        Body::None | Body::Stream(_) | Body::Text(_) | Body::Resting(_) | Body::Lines(_) | Body::Multipart(_) => false,
    };
    if disguised { Err(DISGUISED) } else { Ok(()) }
}

fn has_disguise(document: &Document, method: &Method) -> bool {
    let says = |value: Node<'_>| {
        let text = value.text().filter(|_| value.kind() == Kind::String);
        text.is_some_and(|text| is_another(&text, method))
    };
    // What a member says is looked at only where its name counts. A list of one is its item to some.
    let members = document.root().members().filter(|(name, _)| is_name(name));
    members.map(|(_, value)| value).any(|value| says(value) || value.items().any(says))
}

fn is_disguise(name: &str, value: &str, method: &Method) -> bool {
    is_name(name) && is_another(value, method)
}

/// Whether a name says a method. It is read as PHP reads it, too
/// (<https://www.php.net/manual/en/language.variables.external.php>): without spaces before it, up to a NUL, and with `_` for
/// what cannot stand in the name of a variable.
fn is_name(name: &str) -> bool {
    let name = name.split('\0').next().unwrap_or_default().trim_start();
    let name = name.strip_suffix("[]").unwrap_or(name).trim_end();
    let joint = |letter: char| if matches!(letter, '.' | ' ' | '-' | '[') { '_' } else { letter.to_ascii_lowercase() };
    NAMES.iter().any(|known| known.chars().eq(name.chars().map(joint)))
}

/// Whether a value is a method, and another one.
fn is_another(value: &str, method: &Method) -> bool {
    let value = value.trim();
    let is_method = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    is_method && !value.eq_ignore_ascii_case(method.as_str())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderMap;
    use sluice_model::TargetName;

    use crate::dial::Pools;
    use crate::frame::Length;
    use crate::media::Media;
    use crate::served::Served;
    use crate::target::Target;

    use super::*;

    fn checked(method: &Method, path: &str, media: Media, body: &str) -> Result<(), Flaw> {
        let target: Target = serde_json::from_str(r#"{"url":"https://api.example.com"}"#).unwrap();
        let served =
            Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap();
        let mut share = served.room.share(&Arc::from("user:ann"));
        let body = Body::read(media, Bytes::from(body.to_owned()), &served, &mut share).unwrap();
        check(&Request::new(method.clone(), path.to_owned(), HeaderMap::new(), Length::Unknown), &body)
    }

    #[test]
    fn another_method_may_not_be_asked_for() {
        for (path, media, body) in [
            ("/a?_method=DELETE", Media::Json, ""),
            ("/a?x=1&_method=delete", Media::Json, ""),
            ("/a?%5Fmethod=%44ELETE", Media::Json, ""),
            ("/a?_Method=+put+", Media::Json, ""),
            ("/a?.method=DELETE", Media::Json, ""),
            ("/a?%5bmethod=DELETE", Media::Json, ""),
            ("/a?_method[]=DELETE", Media::Json, ""),
            ("/a?_HttpMethod=PATCH", Media::Json, ""),
            ("/a?X-HTTP-Method-Override=DELETE", Media::Json, ""),
            ("/a?_method=POST&_method=DELETE", Media::Json, ""),
            ("/a", Media::Form, "a=1&_method=DELETE"),
            ("/a", Media::Form, "%5fmethod=version-control"),
            ("/a", Media::Form, "_method%00x=DELETE"),
            ("/a", Media::Form, "+_method=GET"),
            ("/a", Media::Json, r#"{"a":1,"_method":"DELETE"}"#),
            ("/a", Media::Json, r#"{"\u005fmethod":"delete"}"#),
            ("/a", Media::Json, r#"{"_method":["DELETE"]}"#),
            ("/a", Media::Form, r#"{"_method":"DELETE"}"#),
            ("/a", Media::Text, r#"{"_method":"DELETE"}"#),
        ] {
            assert_eq!(checked(&Method::POST, path, media, body), Err(DISGUISED), "{path} {body}");
        }
        assert_eq!(checked(&Method::GET, "/a?_method=DELETE", Media::Json, ""), Err(DISGUISED));
    }

    #[test]
    fn what_says_no_other_method_passes() {
        for (path, media, body) in [
            ("/a?_method=POST", Media::Form, "_method=post"),
            ("/a?method=DELETE&_method=", Media::Json, r#"{"method":"DELETE"}"#),
            ("/a?_method=two+words", Media::Json, r#"{"a":{"_method":"DELETE"},"_method":7}"#),
            ("/a?x=_method%3DDELETE", Media::Form, "note=_method%3DDELETE&payment_method=card"),
            ("/a", Media::Text, "_method=DELETE is what I wrote"),
            ("/a", Media::Json, r#"[{"_method":"DELETE"}]"#),
        ] {
            assert_eq!(checked(&Method::POST, path, media, body), Ok(()), "{path} {body}");
        }
    }
}
