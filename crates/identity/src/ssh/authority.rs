//! Configured certificate authorities: whose certificates count, and who their principals are here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_model::{Group, Principal, TokenId, UnixMicros};
use ssh_key::public::KeyData;

use super::certificate::{CertificateError, Shown};
use super::key::PublicKey;
use crate::authority::{self, Configured, Mistake};
use crate::error::ConfigError;
use crate::issuer::Kind;

const DAY_SECONDS: u32 = 86_400;

/// An authority whose user certificates are accepted, as the configuration names it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    /// Its name here: the first half of every principal's name, `name:principal`.
    pub name: String,
    /// Its public key: a line `ssh-ed25519 AAAA…`, or the path of a `.pub` file.
    pub key: String,
    /// What its principals are.
    #[serde(default = "default_kind")]
    pub kind: Kind,
    /// The groups that everybody with a certificate of it has.
    #[serde(default)]
    #[schemars(with = "BTreeSet<String>")]
    pub groups: BTreeSet<Group>,
    /// The longest time, in seconds, for which its certificates may be made.
    #[serde(default = "default_max_lifetime")]
    pub max_lifetime: u32,
    /// Certificates that do not count any more, by their serial numbers.
    #[serde(default)]
    pub revoked_serials: BTreeSet<u64>,
    /// The path of a file of public keys, one a line, whose certificates do not count any more.
    #[serde(default)]
    pub revoked_keys: Option<PathBuf>,
}

const fn default_kind() -> Kind {
    Kind::User
}

const fn default_max_lifetime() -> u32 {
    DAY_SECONDS
}

/// The authorities of a configuration, with their keys read.
#[derive(Debug, Default)]
pub struct Authorities(Vec<Authority>);

impl Authorities {
    /// Checks a configuration and reads the files it names.
    ///
    /// # Errors
    /// When an authority is configured wrongly; every mistake is reported.
    pub fn open(configs: &[AuthorityConfig]) -> Result<Self, Vec<ConfigError>> {
        authority::open_all(configs).map(Self)
    }

    /// Believes a certificate that a client at an address showed at a moment, or says exactly why not.
    ///
    /// # Errors
    /// When the certificate does not hold.
    pub fn check(&self, certificate: &[u8], client: IpAddr, now: UnixMicros) -> Result<Principal, CertificateError> {
        let shown = Shown::read(certificate)?;
        // The very key, not what it calls itself: a certificate in the place of a key (CVE-2025-49825) equals none.
        let mine = |authority: &&Authority| authority.key.data() == shown.authority();
        let authority = self.0.iter().find(mine).ok_or(CertificateError::UnknownAuthority)?;
        authority.check(&shown, client, now)
    }
}

#[derive(Debug)]
struct Authority {
    config: AuthorityConfig,
    key: PublicKey,
    revoked_keys: Vec<KeyData>,
}

impl Configured for Authority {
    type Config = AuthorityConfig;

    fn name(config: &AuthorityConfig) -> &str {
        &config.name
    }

    fn twin(&self, other: &Self) -> Option<&'static str> {
        let same = (other.config.name == self.config.name).then_some("name");
        same.or((other.key.data() == self.key.data()).then_some("key"))
    }

    fn open(config: &AuthorityConfig) -> Result<Self, Mistake> {
        authority::check(&config.name, config.max_lifetime)?;
        let line = if config.key.contains(' ') { config.key.clone() } else { read("key", Path::new(&config.key))? };
        let key = PublicKey::parse(&line).map_err(|error| ("key", error.to_string()))?;
        if key.data().is_sk_ed25519() || key.data().is_sk_ecdsa_p256() {
            return Err(("key", "is of a type that no authority may have: ed25519, ecdsa and rsa are".to_owned()));
        }
        let revoked_keys = config.revoked_keys.as_deref().map_or(Ok(Vec::new()), revoked_keys)?;
        Ok(Self { config: config.clone(), key, revoked_keys })
    }
}

impl Authority {
    fn check(&self, shown: &Shown, client: IpAddr, now: UnixMicros) -> Result<Principal, CertificateError> {
        let (principal, expires) = shown.check(client, now, u64::from(self.config.max_lifetime))?;
        if self.config.revoked_serials.contains(&shown.serial()) || self.revoked_keys.contains(shown.key()) {
            return Err(CertificateError::Revoked);
        }
        let AuthorityConfig { name, kind, groups, .. } = &self.config;
        let who = authority::who(name, *kind, principal, groups.clone());
        Ok(Principal { who, token: self.handle(shown)?, expires, targets: None, run: None })
    }

    /// The handle that revokes a certificate: `cert:name:serial`, or, as 0 numbers nothing, `cert:name:0:` and 40
    /// hexadecimal digits of the digest of what is signed.
    fn handle(&self, shown: &Shown) -> Result<TokenId, CertificateError> {
        let (name, serial) = (&self.config.name, shown.serial());
        let handle = if serial == 0 {
            let digest: String = shown.digest().hex().chars().take(40).collect();
            format!("cert:{name}:0:{digest}")
        } else {
            format!("cert:{name}:{serial}")
        };
        TokenId::new(handle).map_err(|_| CertificateError::Malformed)
    }
}

fn read(field: &'static str, path: &Path) -> Result<String, Mistake> {
    String::from_utf8(authority::read(field, path)?)
        .map_err(|_| (field, format!("cannot be read from `{}`: it is no text", path.display())))
}

fn revoked_keys(path: &Path) -> Result<Vec<KeyData>, Mistake> {
    let text = read("revoked_keys", path)?;
    let lines =
        (1_u32..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let key = ssh_key::PublicKey::from_openssh(line);
            key.map(|key| key.key_data().clone())
                .map_err(|_| ("revoked_keys", format!("holds no public key in line {number}")))
        })
        .collect()
}
