//! The shape of `sluice.yaml`: the types that are read from it and that its JSON Schema is made from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sluice_identity::{AuthorityConfig, ClientAuthorityConfig, IssuerConfig};
use sluice_model::{Environment, Tag, Transform};
use sluice_vault::{Login, SecretSource};

use super::limits::Limits;

/// The configuration of a Sluice broker.
#[derive(Debug, JsonSchema)]
#[schemars(title = "sluice.yaml", deny_unknown_fields)]
#[expect(dead_code, reason = "the sections are read one by one, so that every mistake is found; this is their list")]
pub(crate) struct Document {
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// Where keys, state and recordings are kept. Relative to this file, as every path is.
    pub(crate) data_dir: PathBuf,
    /// The folder of `*.cedar` policies.
    pub(crate) policies: PathBuf,
    /// Minutes east of UTC of the clock that policies see as `weekday` and `minute`.
    #[schemars(range(min = -840, max = 840))]
    pub(crate) utc_offset_minutes: Option<i32>,
    /// Issuers of tokens, besides Sluice itself.
    #[serde(default)]
    pub(crate) issuers: Vec<IssuerConfig>,
    /// Authorities whose SSH user certificates sign in.
    #[serde(default)]
    pub(crate) ssh_authorities: Vec<AuthorityConfig>,
    /// Authorities whose client certificates sign in.
    #[serde(default)]
    pub(crate) client_authorities: Vec<ClientAuthorityConfig>,
    /// What is put in the place of a value, by tag and by how much of it a policy lets through.
    #[serde(default)]
    pub(crate) classification: Vec<Class>,
    /// Limits; each has a documented value.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What is guarded, by the name that clients connect to.
    #[schemars(with = "BTreeMap<String, TargetEntry>")]
    pub(crate) targets: BTreeMap<String, TargetEntry>,
}

/// Every section, in the order of the documentation.
pub(crate) const SECTIONS: &[&str] = &[
    "listen",
    "data_dir",
    "policies",
    "utc_offset_minutes",
    "issuers",
    "ssh_authorities",
    "client_authorities",
    "classification",
    "limits",
    "targets",
];

/// Where clients connect.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Address and port for PostgreSQL clients.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub(crate) postgres: SocketAddr,
    /// Address and port for HTTP clients, those of LLM APIs among them; nobody listens where it is left out.
    #[serde(default, deserialize_with = "optional_address")]
    #[schemars(with = "Option<String>")]
    pub(crate) http: Option<SocketAddr>,
    /// Address and port for SSH clients; nobody listens where it is left out.
    #[serde(default, deserialize_with = "optional_address")]
    #[schemars(with = "Option<String>")]
    pub(crate) ssh: Option<SocketAddr>,
    /// The names that HTTP clients may call the listener by, such as `broker.example.com`; any where there is none.
    #[serde(default)]
    pub(crate) http_hosts: Vec<String>,
    /// The certificate shown to clients; without it a development certificate is made.
    pub(crate) tls: Option<ServerCertificate>,
    /// Where PostgreSQL clients get tokens that sign in with OAUTHBEARER; they cannot where it is left out.
    pub(crate) oauth: Option<OauthEntry>,
    /// Accepts passwords and tokens without TLS from clients on the loopback interface.
    #[serde(default)]
    pub(crate) dangerous_cleartext_loopback: bool,
}

impl Listen {
    /// The protocols that are listened for, and where.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let http = self.http.map(|address| ("http", address));
        let ssh = self.ssh.map(|address| ("ssh", address));
        std::iter::once(("postgres", self.postgres)).chain(http).chain(ssh).collect()
    }
}

/// Where clients get tokens.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct OauthEntry {
    /// The URL of the issuer's `openid-configuration` document; the issuer is one of `issuers`.
    pub(crate) discovery: String,
    /// The scopes to ask for, with spaces between them.
    pub(crate) scope: String,
}

impl OauthEntry {
    /// What is wrong with it: clients connect to the one and repeat the other.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let secure = self.discovery.starts_with("https://") && self.discovery.contains("/.well-known/");
        let printable =
            |text: &str| !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b) && !b"\"\\".contains(&b));
        if !secure || !printable(&self.discovery) {
            return Some("`discovery` is an https address with `/.well-known/` in its path");
        }
        if printable(&self.scope) { None } else { Some("`scope` is words with spaces between them") }
    }
}

/// A certificate chain and its key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerCertificate {
    /// PEM file: the certificate, then its issuers.
    pub(crate) cert: PathBuf,
    /// PEM file: the private key.
    pub(crate) key: PathBuf,
}

/// The transforms of one tag; the nearest ancestor's hold where one is left out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Class {
    /// The tag, such as `pii.contact`.
    #[schemars(with = "String")]
    pub(crate) tag: Tag,
    /// For principals that may see nothing of it.
    #[schemars(schema_with = "transform")]
    pub(crate) redact: Option<Transform>,
    /// For principals with `reveal.partial`.
    #[schemars(schema_with = "transform")]
    pub(crate) partial: Option<Transform>,
    /// For principals with `reveal.token`.
    #[schemars(schema_with = "transform")]
    pub(crate) token: Option<Transform>,
}

/// The half of a target that every protocol has; the protocol's own settings stand beside it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetEntry {
    /// The protocol it speaks: `postgres`, `http` or `ssh`.
    #[expect(dead_code, reason = "read before the others: it says how the rest is read")]
    pub(crate) protocol: String,
    /// The environment it stands in, such as `prod`; policies name it.
    #[schemars(with = "String")]
    pub(crate) environment: Environment,
    /// What the broker signs in with; clients never see it.
    pub(crate) credential: CredentialEntry,
}

/// The keys of [`TargetEntry`].
pub(crate) const TARGET_KEYS: &[&str] = &["protocol", "environment", "credential"];

/// What the broker signs in to a target with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialEntry {
    /// The login role at the target; for HTTP the user of basic authentication, else nothing.
    #[serde(default)]
    pub(crate) user: String,
    /// `env:NAME` or `file:/PATH`; left out where the target trusts the connection itself.
    pub(crate) password: Option<SecretSource>,
    /// Several keys of one target, taken in turn; clients never notice that one is exchanged.
    #[serde(default)]
    pub(crate) keys: Vec<SecretSource>,
    /// Logins of their own for some principals: the first that fits.
    #[serde(default)]
    pub(crate) logins: Vec<Login>,
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| D::Error::custom("expected an address and a port, such as `127.0.0.1:6432`"))
}

fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    address(from).map(Some)
}

fn transform(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "What is put in the place of a value.",
        "oneOf": [
            { "enum": ["redact", "null"] },
            { "type": "object", "additionalProperties": false, "required": ["constant"],
              "properties": { "constant": { "type": "string" } } },
            { "type": "object", "additionalProperties": false, "required": ["partial"],
              "properties": { "partial": { "type": "object", "additionalProperties": false,
                "required": ["keep_last"], "properties": { "keep_last": { "type": "integer", "minimum": 0, "maximum": 255 } } } } },
            { "type": "object", "additionalProperties": false, "required": ["bucket"],
              "properties": { "bucket": { "type": "object", "additionalProperties": false,
                "required": ["width"], "properties": { "width": { "type": "integer", "minimum": 1 } } } } },
        ],
    })
}
