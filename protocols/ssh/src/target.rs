//! SSH's half of a target's configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_mask::{Detector, Detectors};
use sluice_model::Tag;
use sluice_shell::is_plain_value;
use sluice_wire::Configured;

use crate::commands::Commands;
use crate::files::sftp;
use crate::hostkeys::HostKeys;
use crate::schema::PROGRAM;

/// A host that speaks SSH.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name or address.
    pub host: String,
    /// Its port; 22 by default.
    #[serde(default = "standard_port")]
    pub port: u16,
    /// What the credential is; a private key by default.
    #[serde(default)]
    pub auth: Auth,
    /// Public keys of the host, as `ssh-ed25519 AAAA…`; nobody is trusted at first sight.
    #[serde(default)]
    pub host_keys: Vec<String>,
    /// Public keys of authorities whose host certificates for `host` are believed.
    #[serde(default)]
    pub host_authorities: Vec<String>,
    /// Logins that clients may ask for besides the credential's own: for certificates of an authority, which sign in
    /// as anybody.
    #[serde(default)]
    pub logins: Vec<String>,
    /// Variables that clients may set, to values that name no file; `LC_*` stands for all that begin so.
    #[serde(default = "standard_env")]
    pub env: Vec<String>,
    /// Commands that are known besides the catalogue's, as templates: `cat /var/log/*`.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Files that describe commands; the built-in ones where it is left out, none where it is empty.
    #[serde(default)]
    pub catalogue: Option<Vec<PathBuf>>,
    /// Folders in which nobody makes links, and which are not moved.
    #[serde(default)]
    pub governed: Vec<String>,
    /// Whether the host's sftp server follows links where it is asked for a canonical path; `unsure` by default.
    #[serde(default)]
    pub links: Links,
    /// What of a client's typing is recorded: of what it sends to a command or a shell. `counted` by default.
    #[serde(default)]
    pub typed: Typed,
    /// Detectors of protected values in what the host says; every built-in one where it is left out.
    #[serde(default)]
    pub detectors: Option<Vec<Detector>>,
}

/// Whether a server follows links where it is asked for a canonical path.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// Nobody knows: each folder above a path is looked at, which costs a question more, and what lies behind a link is
    /// refused.
    #[default]
    Unsure,
    /// It does, as OpenSSH's does.
    Followed,
}

/// What of a client's typing is recorded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Typed {
    /// How much it was. A terminal echoes what may be seen of it, and passwords are not echoed.
    #[default]
    Counted,
    /// All of it, passwords too, up to the limit of an operation.
    Recorded,
}

/// What the credential is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// A private key without a passphrase, in OpenSSH's format or PEM.
    #[default]
    Key,
    /// A password.
    Password,
    /// The private key of an authority that the host trusts (`TrustedUserCAKeys`): each connection gets a certificate
    /// of its own, for one login and two minutes.
    Authority,
}

const fn standard_port() -> u16 {
    22
}

fn standard_env() -> Vec<String> {
    ["LANG", "LC_*", "TERM", "GIT_PROTOCOL"].map(str::to_owned).into()
}

impl Configured for Target {
    fn relative_to(&mut self, folder: &Path) {
        for file in self.catalogue.iter_mut().flatten() {
            *file = folder.join(&*file);
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(HostKeys::of(self).err());
        wrong.extend(self.detect().err());
        wrong.extend(Commands::of(self).err());
        wrong.extend(self.folders().err());
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = |text: &str| text.strip_suffix('*').unwrap_or(text).bytes().all(name) && !text.is_empty();
        wrong.extend(self.env.iter().filter(|text| !is_name(text)).map(|text| format!("`env`: `{text}` is no name")));
        wrong
    }

    /// The classes that values at this target may be of.
    fn tags(&self) -> BTreeSet<Tag> {
        self.detect().map(|detectors| detectors.tags().cloned().collect()).unwrap_or_default()
    }

    /// The known commands.
    fn names(&self, kind: &str) -> Option<BTreeSet<String>> {
        if kind == PROGRAM { Commands::of(self).ok().map(|commands| commands.names()) } else { None }
    }
}

impl Target {
    /// Whether a variable may be asked for at all, with this value.
    pub(crate) fn takes_variable(&self, name: &str, value: &str) -> bool {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain
            && is_plain_value(value)
            && self.env.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == allowed,
            })
    }

    /// Whether it is the same host as another one, known by the same keys and signed in to in the same way.
    pub(crate) fn is_reached_as(&self, other: &Self) -> bool {
        let keys = |target: &Self| (target.host_keys.clone(), target.host_authorities.clone());
        (&self.host, self.port, self.auth) == (&other.host, other.port, other.auth) && keys(self) == keys(other)
    }

    /// What sftp is governed by.
    ///
    /// # Errors
    /// With the first folder that is no canonical path.
    pub(crate) fn files(&self) -> Result<sftp::Settings, String> {
        let links = match self.links {
            Links::Unsure => sftp::Links::Unsure,
            Links::Followed => sftp::Links::Followed,
        };
        Ok(sftp::Settings { governed: self.folders()?, links })
    }

    /// The folders in which nobody makes links.
    ///
    /// # Errors
    /// With the first one that is no canonical path.
    pub(crate) fn folders(&self) -> Result<Vec<sftp::Path>, String> {
        let canonical = |path: &String| {
            sftp::Path::canonical(path.as_bytes())
                .ok_or_else(|| format!("`governed`: `{path}` is not an absolute path without `.`, `..` and `//`"))
        };
        self.governed.iter().map(canonical).collect()
    }

    /// The detectors.
    ///
    /// # Errors
    /// With the first one that does not compile.
    pub(crate) fn detect(&self) -> Result<Detectors, String> {
        Detectors::chosen(self.detectors.as_deref()).map_err(|error| error.to_string())
    }
}
