//! Errors in the API's form (<https://platform.openai.com/docs/guides/error-codes>).

use serde_json::{Value, json};

/// Why a request is not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
}

impl Fault {
    /// A request that cannot be answered as it stands.
    pub(super) fn wrong(message: &str) -> Self {
        Self { status: 400, kind: "invalid_request_error", code: None, message: message.to_owned() }
    }

    pub(super) fn stranger() -> Self {
        let message = "Incorrect API key provided.".to_owned();
        Self { status: 401, kind: "invalid_request_error", code: Some("invalid_api_key"), message }
    }

    pub(super) fn unknown(what: &str) -> Self {
        let message = format!("{what} does not exist here.");
        Self { status: 404, kind: "invalid_request_error", code: Some("not_found"), message }
    }

    pub(super) fn too_large() -> Self {
        let message = "The request is too large.".to_owned();
        Self { status: 413, kind: "invalid_request_error", code: None, message }
    }

    /// A failure that was asked for.
    pub(super) fn staged(status: u16) -> Self {
        let kind = match status {
            429 => "rate_limit_exceeded",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        Self { status, kind, code: Some(kind), message: "The script says that this fails.".to_owned() }
    }

    /// `{"message":…,"type":…,"param":…,"code":…}`
    pub(super) fn object(&self) -> Value {
        json!({ "message": self.message, "type": self.kind, "param": null, "code": self.code })
    }

    /// The event that ends a stream of the Responses API.
    pub(super) fn event(&self) -> Value {
        json!({ "type": "error", "code": self.code, "message": self.message, "param": null })
    }
}
