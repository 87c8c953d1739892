//! PostgreSQL's half of a target's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice_model::{Group, Principal, Tag};
use sluice_wire::Configured;

/// A PostgreSQL server and database.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
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
    /// Functions that clients may ask for by number, besides those of large objects.
    #[serde(default)]
    pub function_calls: Vec<FunctionEntry>,
    /// Tags of columns: `schema.table.column`, each part may be `*`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub columns: BTreeMap<String, Vec<Tag>>,
}

/// How the connection to the server is protected.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
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

/// A function of PostgreSQL's own that the function call message may ask for; policy is asked about it by its name.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FunctionEntry {
    /// Its OID, below 10,000: those are the same at every server (`pg_proc.dat`).
    pub oid: u32,
    /// Its name in `pg_catalog`.
    pub name: String,
}

impl FunctionEntry {
    /// The statement that calls it.
    pub(crate) fn call(&self, arguments: u16) -> Bytes {
        let values: Vec<String> = (1..=arguments).map(|number| format!("${number}")).collect();
        Bytes::from(format!("SELECT pg_catalog.{}({})", self.name, values.join(", ")))
    }
}

impl Configured for Target {
    fn relative_to(&mut self, folder: &Path) {
        if let ServerTls::Ca(file) = &mut self.tls {
            *file = folder.join(&*file);
        }
        if let Some(certificate) = &mut self.certificate {
            certificate.cert = folder.join(&certificate.cert);
            certificate.key = folder.join(&certificate.key);
        }
    }

    fn mistakes(&self) -> Vec<String> {
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
        for FunctionEntry { oid, name } in &self.function_calls {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !(1..10_000).contains(oid) || name.is_empty() || !plain {
                wrong.push("a function is named by its OID below 10000 and its name in `pg_catalog`".to_owned());
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

    fn tags(&self) -> BTreeSet<Tag> {
        self.columns.values().flatten().cloned().collect()
    }
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
}

fn default_port() -> u16 {
    5432
}

fn default_search_path() -> Vec<String> {
    vec!["public".to_owned()]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sluice_model::{Person, TokenId, UnixMicros, Who};

    use super::*;

    fn target(more: &str) -> Target {
        serde_json::from_str(&format!(r#"{{"host":"db","database":"shop"{more}}}"#)).unwrap()
    }

    fn who(user: &str, group: &str) -> Principal {
        let groups = [Group::new(group).unwrap()].into();
        Principal {
            who: Who::User(Person { name: user.to_owned(), groups }),
            token: TokenId::new("t-1").unwrap(),
            expires: UnixMicros(i64::MAX),
            targets: None,
            run: None,
        }
    }

    #[test]
    fn the_first_role_that_fits() {
        assert_eq!(target("").role_of(&who("alice", "staff")), Some(None));
        let roles = r#","roles":[{"principal":"user:alice","group":"dba","role":"owner"},
            {"principal":"user:alice","role":"alice"},{"group":"staff","role":"reader"}]"#;
        for (user, group, expected) in [
            ("alice", "dba", Some(Some("owner"))),
            ("alice", "staff", Some(Some("alice"))),
            ("bob", "staff", Some(Some("reader"))),
            ("bob", "dba", None),
        ] {
            assert_eq!(target(roles).role_of(&who(user, group)), expected, "{user} {group}");
        }
        assert_eq!(target(r#","roles":[{"role":"all"}]"#).role_of(&who("eve", "none")), Some(Some("all")));
    }

    #[test]
    fn mistakes() {
        for (more, wrong) in [
            ("", 0),
            (r#","roles":[{"role":"reader"}]"#, 0),
            (r#","roles":[{"role":"none"},{"role":""},{"principal":"alice","role":"x"}]"#, 3),
            (r#","tls":"dangerous_plaintext","dangerous_passwords":["md5"]"#, 0),
            (r#","tls":"dangerous_plaintext","dangerous_passwords":["cleartext"]"#, 1),
            (r#","tls":"dangerous_plaintext","certificate":{"cert":"a","key":"b"}"#, 1),
            (r#","function_calls":[{"oid":1598,"name":"random"}]"#, 0),
            (
                r#","function_calls":[{"oid":0,"name":"random"},{"oid":10000,"name":"random"},{"oid":1,"name":"a b"}]"#,
                3,
            ),
        ] {
            assert_eq!(target(more).mistakes().len(), wrong, "{more}");
        }
    }
}
