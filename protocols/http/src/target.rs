//! HTTP's half of a target's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_mask::Detector;
use sluice_model::Tag;
use sluice_wire::Configured;

use crate::classes::Classes;
use crate::schema::MODEL;

/// An HTTP API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The base of the API, such as `https://api.openai.com/v1`; clients name what lies below it.
    pub url: String,
    /// What is spoken there; `rest` by default.
    #[serde(default)]
    pub dialect: Dialect,
    /// How the connection to the server is protected; `verify-full` by default.
    #[serde(default)]
    pub tls: ServerTls,
    /// How the credential is shown to the server; `bearer` by default.
    #[serde(default)]
    pub auth: Auth,
    /// Headers that are added to every request, such as an organization.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which headers pass besides those that pass at every target, which stay behind, and which are refused.
    #[serde(default)]
    pub header_rules: HeaderRules,
    /// Host names that lead to this target, besides the first part of the path.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The models that clients may name, by that name; every one where it is left out.
    #[serde(default)]
    pub models: BTreeMap<String, Model>,
    /// Hosts that image, file and audio addresses in requests may point to.
    #[serde(default)]
    pub image_hosts: Vec<String>,
    /// Tools whose calls destroy something, for policies that ask: `*` stands for any characters.
    #[serde(default)]
    pub destructive_tools: Vec<String>,
    /// Whether objects that were created through the broker belong to who created them; `shared` by default.
    #[serde(default)]
    pub objects: Objects,
    /// Detectors of protected values; every built-in one where it is left out.
    #[serde(default)]
    pub detectors: Option<Vec<Detector>>,
    /// Members of JSON bodies that are protected whatever they hold: `**.api_key`, `$.rows[*].ssn`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub keys: BTreeMap<String, Vec<Tag>>,
    /// Limits; each has a documented value.
    #[serde(default)]
    pub limits: Limits,
}

impl Configured for Target {
    fn relative_to(&mut self, folder: &Path) {
        if let ServerTls::Ca(file) = &mut self.tls {
            *file = folder.join(&*file);
        }
    }

    fn mistakes(&self) -> Vec<String> {
        crate::served::wrong(self).iter().map(ToString::to_string).collect()
    }

    /// The classes that values at this target may be of.
    fn tags(&self) -> BTreeSet<Tag> {
        Classes::of(self).map(|classes| classes.tags().cloned().collect()).unwrap_or_default()
    }

    /// The models, where they are listed.
    fn names(&self, kind: &str) -> Option<BTreeSet<String>> {
        (kind == MODEL && !self.models.is_empty()).then(|| self.models.keys().cloned().collect())
    }
}

/// What is spoken at a target.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Any HTTP API.
    #[default]
    Rest,
    /// The API of OpenAI, and what is compatible with it.
    Openai,
}

/// How the connection to the server is protected.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerTls {
    /// TLS; certificate and host name are checked against the system's authorities.
    #[default]
    VerifyFull,
    /// TLS; certificate and host name are checked against the authorities in a PEM file.
    Ca(PathBuf),
    /// No TLS, for an `http:` address: everything between broker and server can be read and changed on the way.
    #[serde(rename = "dangerous_plaintext")]
    DangerousPlaintext,
}

/// How the credential is shown to the server.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer SECRET` (RFC 6750 §2.1).
    #[default]
    Bearer,
    /// `Authorization: Basic`, with the user and the secret (RFC 7617).
    Basic,
    /// The secret alone, in a header such as `api-key`.
    Header(String),
    /// The server asks for none.
    None,
}

/// What becomes of headers, by their names.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderRules {
    /// Of requests.
    pub request: RequestHeaders,
    /// Of answers.
    pub response: ResponseHeaders,
}

/// What becomes of the headers of requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestHeaders {
    /// Are sent on as they are; they are part of what is decided on and approved.
    pub pass: Vec<String>,
    /// Stay behind, although they pass at other targets.
    pub drop: Vec<String>,
    /// Make the request be refused.
    pub refuse: Vec<String>,
}

/// What becomes of the headers of answers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseHeaders {
    /// Are shown as they are, unless they hold a protected value.
    pub pass: Vec<String>,
    /// Stay behind, although they pass at other targets.
    pub drop: Vec<String>,
}

/// One model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What the server calls it, where that is another name.
    pub real: Option<String>,
    /// Prices in the currency's unit for a million tokens.
    #[serde(default)]
    pub input_price: f64,
    #[serde(default)]
    pub cached_price: Option<f64>,
    #[serde(default)]
    pub output_price: f64,
    /// Tokens that the model reads at once, where known: nothing costs more than that.
    pub context_tokens: Option<u32>,
    /// Tokens that are reserved for an answer where the request names no limit; 4096 by default.
    pub default_output_tokens: Option<u32>,
}

/// Whose the objects are that were created through the broker's credential.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Objects {
    /// Whoever may use the target may use them.
    #[default]
    Shared,
    /// Others are told that they do not exist, and lists leave them out.
    Owned,
}

/// Limits of one exchange.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request body that is read before it is decided on.
    pub request_bytes: u64,
    /// Bytes of a response body that is read before it is released.
    pub response_bytes: u64,
    /// Bytes of one event of a stream.
    pub event_bytes: u64,
    /// Seconds that the body of a request is waited for in all.
    pub request_seconds: u64,
    /// Seconds until a server begins to answer.
    pub response_seconds: u64,
    /// Seconds without a byte of an answer that has begun.
    pub idle_seconds: u64,
    /// Seconds of a whole exchange.
    pub total_seconds: u64,
}

impl Limits {
    /// The documented values.
    pub const STANDARD: Self = Self {
        request_bytes: 32 << 20,
        response_bytes: 32 << 20,
        event_bytes: 1 << 20,
        request_seconds: 600,
        response_seconds: 600,
        idle_seconds: 120,
        total_seconds: 3_600,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::STANDARD
    }
}
