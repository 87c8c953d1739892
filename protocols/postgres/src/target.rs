//! PostgreSQL's half of a target's configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_model::{Group, Principal, Tag};

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
    /// What the broker shows to a server that asks for a certificate.
    #[serde(default)]
    pub certificate: Option<ClientCertificate>,
    /// Ways of sign-in that show the server the password, or something as good, instead of proving it.
    #[serde(default)]
    pub dangerous_passwords: Vec<DangerousPassword>,
    /// The role that a principal has at the server, the first that fits; whoever none fits is refused. Left out, everybody
    /// has the login role.
    #[serde(default)]
    pub roles: Vec<RoleEntry>,
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

/// A certificate that the broker shows to a server, and its key.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM file: the certificate, then its issuers.
    pub cert: PathBuf,
    /// PEM file: the private key; read anew for every connection, readable by its owner only.
    pub key: PathBuf,
}

/// A way of sign-in that gives a secret away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum DangerousPassword {
    /// The password itself, inside TLS or over the file system only: what token commands of cloud databases need.
    Cleartext,
    /// A hash that whoever has the server's stored hash can make as well.
    Md5,
}

/// A role at the server, for whom it fits.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// Whom it is for, as `user:NAME`, `agent:NAME` or `workload:NAME`; anybody where it is left out.
    #[serde(default)]
    pub principal: Option<String>,
    /// The group that they have themselves; any where it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub group: Option<Group>,
    /// The role, of which the login role is a member.
    pub role: String,
}

impl Target {
    /// The role of a principal, `None` for the login's own; or nothing where no role fits.
    pub(crate) fn role_of(&self, who: &Principal) -> Option<Option<&str>> {
        if self.roles.is_empty() {
            return Some(None);
        }
        let fits = |entry: &&RoleEntry| who.fits(entry.principal.as_deref(), entry.group.as_ref());
        self.roles.iter().find(fits).map(|entry| Some(entry.role.as_str()))
    }

    /// What is wrong with it that its shape does not show.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let kinds = ["user", "agent", "workload"];
        let whole =
            |called: &str| called.split_once(':').is_some_and(|(kind, name)| kinds.contains(&kind) && !name.is_empty());
        let mut wrong = Vec::new();
        for entry in &self.roles {
            // `none` would be the login role, and PostgreSQL cuts longer names off.
            if entry.role.is_empty() || entry.role == "none" || entry.role.len() > 63 || entry.role.contains('\0') {
                wrong.push("a role is a name of 1 to 63 bytes other than `none`".to_owned());
            }
            if !entry.principal.as_deref().is_none_or(whole) {
                wrong.push("`principal` is written as `user:NAME`, `agent:NAME` or `workload:NAME`".to_owned());
            }
        }
        let plaintext = matches!(self.tls, ServerTls::DangerousPlaintext) && !self.host.starts_with('/');
        if plaintext && self.dangerous_passwords.contains(&DangerousPassword::Cleartext) {
            wrong.push(
                "a password is never sent without TLS: `dangerous_passwords` cannot hold `cleartext` here".to_owned(),
            );
        }
        if plaintext && self.certificate.is_some() {
            wrong.push("a certificate cannot be shown without TLS".to_owned());
        }
        wrong
    }
}

fn default_port() -> u16 {
    5432
}

fn default_search_path() -> Vec<String> {
    vec!["public".to_owned()]
}
