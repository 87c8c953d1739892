//! PostgreSQL's half of a target's configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_model::Tag;

/// A PostgreSQL server and database.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Host name or address of the server, or the directory of its Unix socket, where TLS does not apply.
    pub host: String,
    /// TCP port; 5432 by default.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The database; `dbname=target/database` may name another only if it is listed in `databases`.
    pub database: String,
    /// Further databases that clients may name; each must have every column that `columns` tags.
    #[serde(default)]
    pub databases: Vec<String>,
    /// How the connection to the server is protected; `verify-full` by default.
    #[serde(default)]
    pub tls: ServerTls,
    /// The schemas in which unqualified names are looked up; pinned for the session.
    #[serde(default = "default_search_path")]
    pub search_path: Vec<String>,
    /// Tags of columns: `schema.table.column`, each part may be `*`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub columns: BTreeMap<String, Vec<Tag>>,
}

/// How the connection to the server is protected.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerTls {
    /// TLS; certificate and host name are checked against the system's authorities.
    #[default]
    VerifyFull,
    /// TLS; certificate and host name are checked against the authorities in a PEM file.
    Ca(PathBuf),
    /// No TLS: everything between broker and server can be read and changed on the way.
    #[serde(rename = "dangerous_plaintext")]
    DangerousPlaintext,
}

fn default_port() -> u16 {
    5432
}

fn default_search_path() -> Vec<String> {
    vec!["public".to_owned()]
}
