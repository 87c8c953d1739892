//! Every refusal, as the client of a dialect reads it.

use bytes::Bytes;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use sluice_mask::json::escape_into;
use sluice_model::{Code, Nearest, Refusal};

use crate::flaw::Flaw;
use crate::frame::Response;
use crate::target::Dialect;
use crate::validate::METHODS;

/// Node's SDK asks again at once where it is told to wait longer than this.
const LONGEST_RETRY_SECONDS: u32 = 60;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What a refusal says, in the words that every dialect writes in its own way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Words {
    pub(crate) status: StatusCode,
    /// The class of the error, as OpenAI's `type`.
    pub(crate) kind: &'static str,
    /// Stable, for programs.
    pub(crate) code: Box<str>,
    pub(crate) message: Box<str>,
    pub(crate) rule: Box<str>,
    pub(crate) decision: Option<Box<str>>,
    pub(crate) param: Option<Box<str>>,
    /// What would pass, where that is known.
    passes: Option<Box<Passes>>,
    retry: Retry,
}

/// What would pass instead.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Passes {
    /// These methods.
    Methods(HeaderValue),
    /// The same, if the conditions of these rules were met.
    Nearest(Vec<Nearest>),
}

/// What an SDK is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Retry {
    /// Nothing is said: its own rules for the status hold.
    AsUsual,
    Never,
    Now,
    After(u32),
}

impl Words {
    /// The words of a ruling.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        let (status, kind, code) = class(refusal.code);
        let message = match &refusal.hint {
            Some(hint) => format!("{} {hint}", sentence(&refusal.message)).into(),
            None => refusal.message.as_str().into(),
        };
        let retry = match (refusal.code, refusal.retry_after_seconds) {
            (Code::Pending, _) => Retry::Now,
            (Code::Budget, Some(seconds)) if seconds <= LONGEST_RETRY_SECONDS => Retry::After(seconds),
            (Code::Unavailable | Code::Crowded, _) => Retry::AsUsual,
            _ => Retry::Never,
        };
        let nearest = refusal.grounds.as_ref().map(|grounds| &grounds.nearest).filter(|nearest| !nearest.is_empty());
        Self {
            status,
            kind,
            code: code.unwrap_or(refusal.rule.as_str()).into(),
            message,
            rule: refusal.rule.as_str().into(),
            decision: refusal.decision.as_ref().map(|decision| decision.as_str().into()),
            param: None,
            passes: nearest.map(|nearest| Box::new(Passes::Nearest(nearest.clone()))),
            retry,
        }
    }

    /// The words of a request that is refused as it stands.
    pub(crate) fn of_flaw(flaw: Flaw) -> Self {
        Self {
            status: StatusCode::from_u16(flaw.status).unwrap_or(StatusCode::BAD_REQUEST),
            kind: if flaw.status == 403 { "policy_denied" } else { "invalid_request_error" },
            code: flaw.code.into(),
            message: flaw.message.into(),
            rule: "malformed-request".into(),
            decision: None,
            param: None,
            passes: (flaw.status == 405).then(|| Box::new(Passes::Methods(HeaderValue::from_static(METHODS)))),
            retry: Retry::Never,
        }
    }

    /// The same, with the member of the body that it is about.
    pub(crate) fn with_param(mut self, param: Option<String>) -> Self {
        self.param = param.map(String::into_boxed_str);
        self
    }

    /// The same, with the methods that the place has.
    pub(crate) fn with_allow(mut self, methods: String) -> Self {
        self.passes = HeaderValue::try_from(methods).ok().map(|methods| Box::new(Passes::Methods(methods)));
        self
    }

    /// The whole answer.
    pub(crate) fn response(&self, dialect: Dialect) -> (Response, Bytes) {
        let (body, media) = match dialect {
            Dialect::Openai => (self.error_object(), "application/json"),
            Dialect::Rest => (self.problem(), "application/problem+json"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        match self.retry {
            Retry::AsUsual => {}
            Retry::Never => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"))),
            Retry::Now => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"))),
            Retry::After(seconds) => drop(headers.insert(RETRY_AFTER, HeaderValue::from(seconds))),
        }
        // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
        if let Some(Passes::Methods(methods)) = self.passes.as_deref() {
            headers.insert(ALLOW, methods.clone());
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 §15.5.22: the answer names what would be acceptable.
            headers.insert(http::header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        }
        (Response::new(self.status, headers), Bytes::from(body))
    }

    /// The whole answer where no target has been reached: what a client speaks is not known then, and must not tell
    /// whether the target exists. It is an error object and a problem in one.
    pub(crate) fn response_to_anybody(&self) -> (Response, Bytes) {
        let (head, _) = self.response(Dialect::Openai);
        let mut body = self.error_object();
        body.pop();
        body.push(',');
        body.push_str(self.problem().trim_start_matches('{'));
        let mut headers = head.headers;
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        (Response::new(self.status, headers), Bytes::from(body))
    }

    /// `{"error":{…}}` (<https://platform.openai.com/docs/guides/error-codes>).
    fn error_object(&self) -> String {
        let mut out = String::from("{\"error\":{\"message\":\"");
        escape_into(&self.message, &mut out);
        out.push('"');
        member(&mut out, "type", Some(self.kind));
        member(&mut out, "param", self.param.as_deref());
        member(&mut out, "code", Some(&self.code));
        member(&mut out, "rule", Some(&self.rule));
        member(&mut out, "decision", self.decision.as_deref());
        self.put_nearest(&mut out);
        out.push_str("}}");
        out
    }

    /// RFC 9457 §3.
    fn problem(&self) -> String {
        let mut out = String::from("{\"type\":\"about:blank\",\"status\":");
        out.push_str(self.status.as_str());
        member(&mut out, "title", self.status.canonical_reason());
        member(&mut out, "detail", Some(&self.message));
        member(&mut out, "code", Some(&self.code));
        member(&mut out, "rule", Some(&self.rule));
        member(&mut out, "decision", self.decision.as_deref());
        self.put_nearest(&mut out);
        out.push('}');
        out
    }

    fn put_nearest(&self, out: &mut String) {
        let Some(Passes::Nearest(nearest)) = self.passes.as_deref() else { return };
        let mut opening = ",\"nearest\":[";
        for Nearest { rule, unmet } in nearest {
            out.push_str(opening);
            out.push_str("{\"rule\":");
            put_text(rule.as_str(), out);
            out.push_str(",\"unmet\":[");
            for (index, condition) in unmet.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                put_text(condition, out);
            }
            out.push_str("]}");
            opening = ",";
        }
        out.push(']');
    }
}

fn put_text(text: &str, out: &mut String) {
    out.push('"');
    escape_into(text, out);
    out.push('"');
}

fn member(out: &mut String, name: &str, value: Option<&str>) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    match value {
        Some(value) => put_text(value, out),
        None => out.push_str("null"),
    }
}

/// The one place where a code becomes a status; the third is a code of its own where the rule is not the better one.
const fn class(code: Code) -> (StatusCode, &'static str, Option<&'static str>) {
    match code {
        Code::Policy | Code::Unsupported => (StatusCode::FORBIDDEN, "policy_denied", None),
        Code::NotUnderstood => (StatusCode::BAD_REQUEST, "invalid_request_error", None),
        Code::Limit => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", None),
        Code::Budget => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", Some("budget_exceeded")),
        Code::Withdrawn => (StatusCode::CONFLICT, "policy_denied", None),
        Code::Expired => (StatusCode::FORBIDDEN, "policy_denied", Some("approval_timeout")),
        Code::Pending => (StatusCode::CONFLICT, "policy_denied", Some("approval_pending")),
        Code::Revoked | Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "authentication_error", None),
        Code::Unrecorded | Code::Crowded | Code::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "server_error", None),
        Code::Unavailable => (StatusCode::BAD_GATEWAY, "server_error", None),
    }
}

/// A message that another sentence can follow.
fn sentence(message: &str) -> String {
    if message.ends_with('.') { message.to_owned() } else { format!("{message}.") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use sluice_model::RuleId;

    use super::*;

    #[test]
    fn what_would_have_passed_is_in_both_shapes() {
        let unmet = vec!["context.request.model == \"small\"".to_owned()];
        let nearest = Nearest { rule: RuleId::new("small-models").unwrap(), unmet };
        let refusal = Refusal::builtin(Code::Policy, "default-deny", "no policy permits it");
        let told = r#","nearest":[{"rule":"small-models","unmet":["context.request.model == \"small\""]}]}"#;
        for (dialect, ends) in [(Dialect::Openai, "}"), (Dialect::Rest, "")] {
            let (_, body) = Words::of(&refusal.clone().with_nearest(vec![nearest.clone()])).response(dialect);
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.ends_with(&format!("{told}{ends}")), "{body}");
            let (_, body) = Words::of(&refusal).response(dialect);
            assert!(!String::from_utf8(body.to_vec()).unwrap().contains("nearest"));
        }
    }
}
