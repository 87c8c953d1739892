//! Which names header rules may have.

use http::HeaderName;
use thiserror::Error;

use crate::target::{Auth, Target};
use crate::validate;

/// A name that has no place where it stands.
#[derive(Debug, Error)]
#[error("`header_rules.{place}`: `{name}` {why}")]
pub(crate) struct Misplaced {
    place: &'static str,
    name: String,
    why: &'static str,
}

/// What a rule does with a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    Pass,
    Drop,
    Refuse,
}

/// The way that a message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    ToServer,
    ToClient,
}

/// Headers that frame a message, belong to one connection, or lead elsewhere (RFC 9110 §7.6.1, RFC 7838).
const TRANSPORT: [&str; 22] = [
    "accept-encoding",
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "refresh",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-lighttpd-send-file",
    "x-reproxy-url",
    "x-sendfile",
];

/// The same, by their beginnings: what proxies and browsers alone are told.
const TRANSPORT_FAMILIES: [&str; 4] = ["access-control-", "proxy-", "sec-", "x-accel-"];

/// Headers about the exact bytes of a body. A part of one is read in another way than the whole (RFC 9110 §14).
const EXACT: [&str; 8] =
    ["accept-ranges", "content-digest", "content-md5", "content-range", "digest", "if-range", "range", "repr-digest"];

/// Who asked before, as proxies say it.
const CLAIMS: [&str; 6] = ["cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip"];

/// Words in the names of headers that carry credentials; besides, what belongs to the credential that is lent.
const CREDENTIAL_WORDS: [&str; 14] = [
    "apikey",
    "auth",
    "authenticate",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "cookie2",
    "credential",
    "credentials",
    "jwt",
    "password",
    "secret",
    "token",
];
const ACCOUNT: [&str; 2] = ["openai-organization", "openai-project"];

/// Every name in the header rules of a target that has no place there.
pub(crate) fn misplaced(target: &Target) -> Vec<Misplaced> {
    let (request, response) = (&target.header_rules.request, &target.header_rules.response);
    let mut found = Vec::new();
    let to_server = [
        ("request.pass", Rule::Pass, &request.pass),
        ("request.drop", Rule::Drop, &request.drop),
        ("request.refuse", Rule::Refuse, &request.refuse),
    ];
    let to_client = [("response.pass", Rule::Pass, &response.pass), ("response.drop", Rule::Drop, &response.drop)];
    for (way, lists) in [(Way::ToServer, &to_server[..]), (Way::ToClient, &to_client[..])] {
        let mut known = Vec::new();
        for (place, rule, list) in lists {
            for name in *list {
                let why = match HeaderName::try_from(name) {
                    Err(_) => Some("is not the name of a header"),
                    Ok(parsed) if known.contains(&parsed) => Some("is named twice"),
                    Ok(parsed) => {
                        let why = objection(way, *rule, parsed.as_str(), target);
                        known.push(parsed);
                        why
                    }
                };
                found.extend(why.map(|why| Misplaced { place, name: name.clone(), why }));
            }
        }
    }
    found
}

/// Why a name has no place in a rule.
fn objection(way: Way, rule: Rule, name: &str, target: &Target) -> Option<&'static str> {
    let starts = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
    if TRANSPORT.contains(&name) || starts(&TRANSPORT_FAMILIES) {
        return Some("says how or where a message is sent");
    }
    let passes = match way {
        Way::ToServer => validate::passes_to_server(name),
        Way::ToClient => validate::passes_to_client(name),
    };
    match rule {
        Rule::Drop => return (!passes).then_some("does not pass anyway"),
        Rule::Pass if passes => return Some("passes anyway"),
        // One that passes everywhere is known to hold no credential.
        Rule::Refuse if passes => return None,
        Rule::Pass | Rule::Refuse => {}
    }
    if validate::is_reserved(name) {
        return Some("is refused of every client");
    }
    if let Auth::Header(own) = &target.auth
        && own.eq_ignore_ascii_case(name)
    {
        return Some("carries the target's credential");
    }
    if carries_credential(name) {
        return Some("carries credentials");
    }
    if rule == Rule::Refuse {
        return None;
    }
    if name == "x-request-id" {
        return Some("is the broker's own");
    }
    if EXACT.contains(&name) {
        return Some("is about the exact bytes of a body, which may be covered");
    }
    if CLAIMS.contains(&name) || name.starts_with("x-forwarded-") {
        return Some("speaks for somebody else");
    }
    let set = target.headers.keys().any(|set| set.eq_ignore_ascii_case(name));
    (way == Way::ToServer && set).then_some("is set by `headers`")
}

/// `authorization`, `x-api-key`, `x-auth-token`, and whatever else says of itself that it does.
fn carries_credential(name: &str) -> bool {
    validate::names_credential(name)
        || ACCOUNT.contains(&name)
        || name.ends_with("-key")
        || name.split('-').any(|word| CREDENTIAL_WORDS.contains(&word))
}
