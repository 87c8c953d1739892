//! What a client is told in the middle of an answer, in the words of the API.

use bytes::Bytes;
use sluice_mask::json::escape_into;

use crate::refusal::Words;
use crate::sse::Event;

use super::Shape;

/// A failure in the terms of the API's error object.
#[derive(Clone, Copy)]
pub(super) struct Failure<'a> {
    message: &'a str,
    /// The `type`: `policy_denied`, `server_error`.
    kind: &'a str,
    code: &'a str,
    param: Option<&'a str>,
    rule: Option<&'a str>,
    decision: Option<&'a str>,
}

impl<'a> Failure<'a> {
    /// The server's answer broke off.
    pub(super) const TORN: Self = Self::of_server("the server's answer broke off before its end", "answer_torn");

    /// A failure of the server.
    pub(super) const fn of_server(message: &'a str, code: &'a str) -> Self {
        Self { message, kind: "server_error", code, param: None, rule: None, decision: None }
    }

    /// A failure or refusal of ours.
    pub(super) fn of(words: &'a Words) -> Self {
        Self {
            message: &words.message,
            kind: words.kind,
            code: &words.code,
            param: words.param.as_deref(),
            rule: Some(&words.rule),
            decision: words.decision.as_deref(),
        }
    }

    /// The event that ends a stream with an error.
    ///
    /// SDKs raise on a truthy `error` member in the data of any event. The Responses API documents a flat event of the
    /// type `error`, which they hand out as it is; so that stream carries both.
    pub(super) fn event(&self, shape: Shape, sequence: Option<i64>) -> Event {
        let mut data = String::from("{");
        let name = match shape {
            Shape::Responses => {
                data.push_str(r#""type":"error""#);
                self.push_members(&mut data);
                data.push_str(&format!(r#","sequence_number":{},"#, sequence.unwrap_or_default()));
                Some("error".into())
            }
            // Whoever follows a session is handed errors as events, and tells events apart by their ids.
            Shape::Agents => {
                data.push_str(r#""type":"error","event_id":"event_error","#);
                None
            }
            Shape::Chat | Shape::Completions | Shape::Other => None,
        };
        data.push_str(r#""error":{"type":"#);
        push_string(self.kind, &mut data);
        self.push_members(&mut data);
        for (name, value) in [("rule", self.rule), ("decision", self.decision)] {
            if value.is_some() {
                push_member(name, value, &mut data);
            }
        }
        data.push_str("}}");
        Event { name, data: Bytes::from(data) }
    }

    fn push_members(&self, out: &mut String) {
        push_member("message", Some(self.message), out);
        push_member("param", self.param, out);
        push_member("code", Some(self.code), out);
    }
}

fn push_member(name: &str, value: Option<&str>, out: &mut String) {
    out.push(',');
    push_string(name, out);
    out.push(':');
    match value {
        Some(value) => push_string(value, out),
        None => out.push_str("null"),
    }
}

/// Appends a text as a JSON string.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    escape_into(text, out);
    out.push('"');
}

/// The text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(text, &mut out);
    out
}
