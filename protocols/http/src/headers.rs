//! Which headers pass at one target: besides those that pass anywhere, or not even those.
//!
//! What is let through by configuration has no known form, so it is looked into like an address: also without its
//! escapes, and as JSON.

mod names;

use std::collections::BTreeSet;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use sluice_model::Tag;

use crate::classes::{Inside, Veils};
use crate::flaw::Flaw;
use crate::target::HeaderRules;
use crate::validate;
use crate::veil::Veil;

pub(crate) use names::{Misplaced, misplaced};

/// The most bytes of a value that passes by configuration.
const MAX_BYTES: usize = 4096;

const REFUSED: Flaw = Flaw::new(400, "refused_header", "the target does not take a header of the request");
const UNREADABLE: Flaw =
    Flaw::new(400, "invalid_header", "a header that is passed on is longer than 4096 bytes or not printable ASCII");

/// The header rules of one target.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    request: Rules,
    response: Rules,
    refused: Vec<HeaderName>,
}

/// What passes besides, and what stays behind, in one direction.
#[derive(Debug, Default)]
struct Rules {
    passed: Vec<HeaderName>,
    dropped: Vec<HeaderName>,
}

impl Headers {
    /// The rules of a configuration in which nothing is misplaced.
    pub(crate) fn of(rules: &HeaderRules) -> Self {
        let names = |list: &[String]| list.iter().filter_map(|name| HeaderName::try_from(name).ok()).collect();
        let (request, response) = (&rules.request, &rules.response);
        Self {
            request: Rules { passed: names(&request.pass), dropped: names(&request.drop) },
            response: Rules { passed: names(&response.pass), dropped: names(&response.drop) },
            refused: names(&request.refuse),
        }
    }

    /// Checks what is wrong with a request at this target and would be right at another.
    pub(crate) fn check(&self, from_client: &HeaderMap) -> Result<(), Flaw> {
        if self.refused.iter().any(|name| from_client.contains_key(name)) {
            return Err(REFUSED);
        }
        let mut passed = self.request.passed.iter().flat_map(|name| from_client.get_all(name));
        if passed.all(is_printable) { Ok(()) } else { Err(UNREADABLE) }
    }

    /// What the server gets of the client's headers.
    pub(crate) fn to_server(&self, from_client: &HeaderMap) -> HeaderMap {
        let mut headers = validate::to_server(from_client);
        self.request.apply(from_client, &mut headers);
        if !headers.contains_key("traceparent") {
            // It has no meaning without.
            headers.remove("tracestate");
        }
        headers
    }

    /// What the client gets of the server's headers; one that holds a protected value is left out.
    pub(crate) fn to_client(&self, from_server: &HeaderMap, veil: &Veil) -> HeaderMap {
        let mut headers = validate::to_client(from_server);
        self.response.apply(from_server, &mut headers);
        self.response.hidden(&headers, veil).iter().for_each(|name| drop(headers.remove(name)));
        headers
    }

    /// The headers on their way to the server that hold what it may not be sent.
    pub(crate) fn withheld(&self, to_server: &HeaderMap, veil: &Veil) -> Vec<HeaderName> {
        self.request.hidden(to_server, veil)
    }

    /// The client's headers that pass by configuration: they may mean anything, so they are part of what is asked.
    pub(crate) fn asked<'h>(&'h self, from_client: &'h HeaderMap) -> impl Iterator<Item = (&'h HeaderName, &'h str)> {
        let values = |name: &'h HeaderName| from_client.get_all(name).iter().map(move |value| (name, value));
        let lines = self.request.passed.iter().flat_map(values);
        lines.filter_map(|(name, value)| Some((name, value.to_str().ok()?)))
    }

    /// What is seen in those, however they are read.
    pub(crate) fn looked<'h>(
        &'h self,
        from_client: &'h HeaderMap,
        classes: &'h Veils,
    ) -> impl Iterator<Item = (BTreeSet<Tag>, Inside)> {
        let texts = self.asked(from_client).flat_map(|(_, value)| readings(value));
        texts.map(|text| classes.looked_in(&text))
    }

    /// All that the server is told besides the body and its type, in exact text, a line each; nothing where there is
    /// nothing.
    pub(crate) fn exact(&self, from_client: &HeaderMap) -> String {
        let steering = self.steering(from_client).map(|(name, value)| line(&name, &value));
        steering.chain(self.asked(from_client).map(|(name, value)| format!("\n{name}: {value}"))).collect()
    }

    /// It as people and recordings are shown it, without what nearly every client says; nothing where there is nothing.
    pub(crate) fn shown(&self, from_client: &HeaderMap, everything: &Veil) -> String {
        let shown = |name: &HeaderName, value: &str| {
            format!(" [{name}: {}]", if holds(everything, value) { "…" } else { value })
        };
        let usual = |(name, value): &(HeaderName, HeaderValue)| *name == ACCEPT && value == "application/json";
        let steering = self.steering(from_client).filter(|header| !usual(header));
        let steering = steering.map(|(name, value)| shown(&name, value.to_str().unwrap_or_default()));
        steering.chain(self.asked(from_client).map(|(name, value)| shown(name, value))).collect()
    }

    /// The features under trial that the server is told to use.
    pub(crate) fn betas<'h>(&'h self, from_client: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
        let dropped = self.request.dropped.iter().any(|name| name == "openai-beta");
        validate::betas(from_client).filter(move |_| !dropped)
    }

    /// What passes anywhere and is no matter of indifference.
    fn steering(&self, from_client: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        validate::steering(from_client).filter(|(name, _)| !self.request.dropped.contains(name))
    }
}

impl Rules {
    fn apply(&self, from: &HeaderMap, to: &mut HeaderMap) {
        self.dropped.iter().for_each(|name| drop(to.remove(name)));
        for name in &self.passed {
            for value in from.get_all(name).iter().filter(|value| is_printable(value)) {
                to.append(name, value.clone());
            }
        }
    }

    fn hidden(&self, headers: &HeaderMap, veil: &Veil) -> Vec<HeaderName> {
        let mut hidden = veil.found_in(headers);
        let values = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let passed = self.passed.iter().filter(|name| values(*name).any(|value| holds(veil, value)));
        let more: Vec<_> = passed.filter(|name| !hidden.contains(*name)).cloned().collect();
        hidden.extend(more);
        hidden
    }
}

fn line(name: &HeaderName, value: &HeaderValue) -> String {
    format!("\n{name}: {}", value.to_str().unwrap_or_default())
}

/// Whether a value holds something that may not be seen, in whatever way it is read.
fn holds(veil: &Veil, value: &str) -> bool {
    readings(value).iter().any(|text| *veil.whole(text) != **text)
}

/// All that readers of a value can make of it: as it is, and with its escapes undone once or more often, in which a plus
/// may be a space.
fn readings(value: &str) -> Vec<String> {
    const LAYERS: usize = 4;
    let mut all = vec![value.to_owned()];
    for first in [value.to_owned(), value.replace('+', " ")] {
        let undo = |text: &String| Some(percent_decode_str(text).decode_utf8_lossy().into_owned());
        for text in std::iter::successors(Some(first), undo).take(LAYERS) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    all
}

fn is_printable(value: &HeaderValue) -> bool {
    value.len() <= MAX_BYTES && value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use http::Method;
    use sluice_model::{TargetName, Usage};

    use crate::classes::Classes;
    use crate::dial::Pools;
    use crate::frame::{Length, Request};
    use crate::machine::Turned;
    use crate::request::read;
    use crate::served::Served;
    use crate::target::Target;

    use super::*;

    fn target(rules: &str) -> Target {
        let json = format!(
            r#"{{"url":"https://api.example.com","auth":{{"header":"x-own"}},"headers":{{"X-Set":"1"}},
                "keys":{{"**.api_key":["secret.key"]}},"header_rules":{rules}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        pairs.iter().map(parse).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.retain(|name| *name != "accept-encoding");
        names.sort_unstable();
        names
    }

    #[test]
    fn rules_add_to_what_passes_and_take_away_from_it() {
        let rules = r#"{"request":{"pass":["X-Tenant","accept-language"],"drop":["user-agent","traceparent"]},
            "response":{"pass":["ETag"],"drop":["retry-after","x-ratelimit-remaining-tokens"]}}"#;
        let rules = Headers::of(&target(rules).header_rules);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let asked = headers(&[
            ("x-tenant", "acme"),
            ("accept-language", "de"),
            ("user-agent", "x"),
            ("traceparent", trace),
            ("tracestate", "a=b"),
            ("x-other", "y"),
            ("content-type", "text/plain"),
        ]);
        assert!(rules.check(&asked).is_ok());
        assert_eq!(names(&rules.to_server(&asked)), ["accept-language", "content-type", "x-tenant"]);
        assert_eq!(rules.exact(&asked), "\nx-tenant: acme\naccept-language: de");
        let answered = headers(&[
            ("etag", "\"1\""),
            ("retry-after", "1"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("x-ratelimit-limit-tokens", "1"),
            ("x-other", "y"),
        ]);
        assert_eq!(names(&rules.to_client(&answered, &Veil::open())), ["etag", "x-ratelimit-limit-tokens"]);
        let plain = Headers::default();
        assert_eq!(plain.to_server(&asked), validate::to_server(&asked));
        assert_eq!(plain.exact(&asked), "");
    }

    #[test]
    fn what_has_a_server_answer_otherwise_is_part_of_what_is_asked() {
        let rules = Headers::default();
        let everything = Veil::open();
        let of = |pairs: &[(&str, &str)]| {
            let asked = headers(pairs);
            let betas: Vec<&str> = rules.betas(&asked).collect();
            (rules.exact(&asked), rules.shown(&asked, &everything), betas.join("|"))
        };
        let all = |exact: &str, shown: &str, betas: &str| (exact.to_owned(), shown.to_owned(), betas.to_owned());
        assert_eq!(
            of(&[("openai-beta", "responses_multi_agent=v1, evil=v9"), ("accept", "text/event-stream")]),
            all(
                "\naccept: text/event-stream\nopenai-beta: responses_multi_agent=v1, evil=v9",
                " [accept: text/event-stream] [openai-beta: responses_multi_agent=v1, evil=v9]",
                "responses_multi_agent=v1|evil=v9"
            )
        );
        // What nearly every client says is not shown, and any kind of answer is the same as none named.
        assert_eq!(of(&[("accept", "application/json")]), all("\naccept: application/json", "", ""));
        assert_eq!(of(&[("accept", "*/*")]), of(&[]));
        // What stays behind means nothing, nor does the name of a program or of a trace.
        assert_eq!(
            of(&[("openai-beta", "a@b"), ("accept", "x/y"), ("user-agent", "x"), ("idempotency-key", "k")]),
            of(&[])
        );
        let rules = Headers::of(&target(r#"{"request":{"drop":["openai-beta","accept"]}}"#).header_rules);
        let asked = headers(&[("openai-beta", "assistants=v2"), ("accept", "text/plain")]);
        assert_eq!((rules.exact(&asked), rules.betas(&asked).count()), (String::new(), 0));
    }

    #[test]
    fn what_the_target_does_not_take_is_refused() {
        let rules = Headers::of(&target(r#"{"request":{"pass":["x-a"],"refuse":["x-debug"]}}"#).header_rules);
        assert_eq!(rules.check(&headers(&[("x-debug", "")])), Err(REFUSED));
        assert_eq!(rules.check(&headers(&[("x-b", "\t"), ("x-a", "b c")])), Ok(()));
        assert_eq!(rules.check(&headers(&[("x-a", &"a".repeat(MAX_BYTES))])), Ok(()));
        assert_eq!(rules.check(&headers(&[("x-a", &"a".repeat(MAX_BYTES + 1))])), Err(UNREADABLE));
        let odd = HeaderMap::from_iter([(HeaderName::from_static("x-a"), HeaderValue::from_bytes(b"a\xff").unwrap())]);
        assert_eq!(rules.check(&odd), Err(UNREADABLE));
        assert!(rules.to_server(&odd).get("x-a").is_none());
    }

    #[test]
    fn protected_values_stay_behind_however_they_are_written() {
        let target = target(r#"{"request":{"pass":["x-a"]},"response":{"pass":["x-a"]}}"#);
        let rules = Headers::of(&target.header_rules);
        let veils = Veils::new(Classes::of(&target).unwrap(), [7; 32]);
        let everything = veils.everything();
        for value in [
            "ask zq7x.k1@leak.example.com",
            "zq7x.k1%40leak.example.com",
            "zq7x.k1%2540leak.example.com",
            r#"{"api_key":"RCAN1"}"#,
            "%7B%22api_key%22:%22RCAN1%22%7D",
            r#"{"api_key":"RCAN1""#,
        ] {
            let said = headers(&[("x-a", value)]);
            assert!(rules.to_client(&said, everything).is_empty(), "{value}");
            assert_eq!(rules.withheld(&rules.to_server(&said), everything), ["x-a"], "{value}");
            let shown = rules.shown(&said, everything);
            assert_eq!(shown, " [x-a: …]", "{value}");
        }
        let said = headers(&[("x-a", "a=1; b=%41")]);
        assert_eq!(rules.to_client(&said, everything), said);
        assert_eq!(rules.shown(&said, everything), " [x-a: a=1; b=%41]");
    }

    #[test]
    fn what_passes_is_part_of_what_is_asked_and_nothing_else_is() {
        let target = Arc::new(target(r#"{"request":{"pass":["x-a"]}}"#));
        let served = Served::new(&TargetName::new("api").unwrap(), &target, &Pools::default(), [7; 32]).unwrap();
        let served = Arc::new(served);
        let asked = |pairs: &[(&str, &str)]| {
            let head = Request::new(Method::GET, "/x".to_owned(), headers(pairs), Length::None);
            match read(&head, &served, served.room.share(&Arc::from("user:ann"))) {
                Ok(Turned::Ask(prepared)) => prepared.operation,
                Ok(Turned::Read(_)) | Err(_) => panic!("it is asked about at once"),
            }
        };
        let plain = asked(&[]);
        assert_eq!(asked(&[("x-b", "1")]).shape.digest(), plain.shape.digest());
        let one = asked(&[("x-a", "1")]);
        assert_ne!(one.shape.digest(), plain.shape.digest());
        assert_ne!(one.shape.digest(), asked(&[("x-a", "2")]).shape.digest());
        assert_eq!(&one.text.content()[..], b"GET /x [x-a: 1]");
        assert_eq!(one.shape.exposures.iter().filter(|exposure| exposure.usage == Usage::Disclose).count(), 0);
        let told = asked(&[("x-a", "zq7x.k1%40leak.example.com")]);
        assert_eq!(told.shape.exposures.iter().filter(|exposure| exposure.usage == Usage::Disclose).count(), 1);
    }

    #[test]
    fn names_that_may_not_pass_are_told_with_their_place() {
        for (rules, expect) in [
            (
                r#"{"request":{"pass":["X-A"],"refuse":["x-b"],"drop":["accept"]},"response":{"pass":["x-a","Location"]}}"#,
                "",
            ),
            (
                r#"{"request":{"pass":["Host"]}}"#,
                "`header_rules.request.pass`: `Host` says how or where a message is sent",
            ),
            (
                r#"{"request":{"pass":["proxy-x"]}}"#,
                "`header_rules.request.pass`: `proxy-x` says how or where a message is sent",
            ),
            (r#"{"request":{"pass":["x-my-token"]}}"#, "`header_rules.request.pass`: `x-my-token` carries credentials"),
            (r#"{"request":{"pass":["cookie"]}}"#, "`header_rules.request.pass`: `cookie` carries credentials"),
            (
                r#"{"request":{"pass":["x-own"]}}"#,
                "`header_rules.request.pass`: `x-own` carries the target's credential",
            ),
            (r#"{"request":{"pass":["x-set"]}}"#, "`header_rules.request.pass`: `x-set` is set by `headers`"),
            (
                r#"{"request":{"pass":["x-sluice-a"]}}"#,
                "`header_rules.request.pass`: `x-sluice-a` is refused of every client",
            ),
            (r#"{"request":{"pass":["a_b"]}}"#, "`header_rules.request.pass`: `a_b` is refused of every client"),
            (
                r#"{"request":{"pass":["x-model"]}}"#,
                "`header_rules.request.pass`: `x-model` is refused of every client",
            ),
            (
                r#"{"request":{"pass":["x-forwarded-for"]}}"#,
                "`header_rules.request.pass`: `x-forwarded-for` speaks for somebody else",
            ),
            (
                r#"{"request":{"pass":["range"]}}"#,
                "`header_rules.request.pass`: `range` is about the exact bytes of a body, which may be covered",
            ),
            (r#"{"request":{"pass":["user-agent"]}}"#, "`header_rules.request.pass`: `user-agent` passes anyway"),
            (r#"{"request":{"pass":["x a"]}}"#, "`header_rules.request.pass`: `x a` is not the name of a header"),
            (r#"{"request":{"pass":["x-a","X-A"]}}"#, "`header_rules.request.pass`: `X-A` is named twice"),
            (r#"{"request":{"pass":["x-a"],"refuse":["x-a"]}}"#, "`header_rules.request.refuse`: `x-a` is named twice"),
            (
                r#"{"request":{"refuse":["authorization"]}}"#,
                "`header_rules.request.refuse`: `authorization` carries credentials",
            ),
            (r#"{"request":{"drop":["x-a"]}}"#, "`header_rules.request.drop`: `x-a` does not pass anyway"),
            (
                r#"{"request":{"drop":["content-type"]}}"#,
                "`header_rules.request.drop`: `content-type` says how or where a message is sent",
            ),
            (
                r#"{"response":{"pass":["Set-Cookie"]}}"#,
                "`header_rules.response.pass`: `Set-Cookie` carries credentials",
            ),
            (
                r#"{"response":{"pass":["content-length"]}}"#,
                "`header_rules.response.pass`: `content-length` says how or where a message is sent",
            ),
            (
                r#"{"response":{"pass":["alt-svc"]}}"#,
                "`header_rules.response.pass`: `alt-svc` says how or where a message is sent",
            ),
            (
                r#"{"response":{"pass":["x-request-id"]}}"#,
                "`header_rules.response.pass`: `x-request-id` is the broker's own",
            ),
            (
                r#"{"response":{"pass":["x-accel-redirect"]}}"#,
                "`header_rules.response.pass`: `x-accel-redirect` says how or where a message is sent",
            ),
            (
                r#"{"response":{"pass":["content-range"]}}"#,
                "`header_rules.response.pass`: `content-range` is about the exact bytes of a body, which may be covered",
            ),
            (
                r#"{"response":{"pass":["x-ratelimit-reset"]}}"#,
                "`header_rules.response.pass`: `x-ratelimit-reset` passes anyway",
            ),
            (r#"{"response":{"drop":["etag"]}}"#, "`header_rules.response.drop`: `etag` does not pass anyway"),
        ] {
            let found: Vec<String> = misplaced(&target(rules)).iter().map(ToString::to_string).collect();
            assert_eq!(found.join("\n"), expect, "{rules}");
        }
    }
}
