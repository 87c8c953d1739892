//! `sluice.yaml`: read as a whole, checked as a whole, every mistake reported at once with its place.

mod document;
mod example;
mod fault;
mod limits;
mod node;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sluice_identity::{AuthorityConfig, ClientAuthorityConfig, ConfigError, IssuerConfig};
use sluice_model::{Level, Tag, Target, TargetName, Transform};
use sluice_vault::Lending;

pub(crate) use document::{Listen, OauthEntry, ServerCertificate};
pub(crate) use example::EXAMPLE;
pub(crate) use fault::{Fault, Faults};
pub(crate) use limits::Limits;
pub(crate) use node::Node;
pub(crate) use read::{nearest, read};
pub(crate) use schema::json_schema;

use crate::policies::Mistakes;
use crate::protocols::{self, Half, Lane, Login, StandIns};
use document::{Class, SECTIONS, TARGET_KEYS, TargetEntry};
use node::Value;

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A configuration without mistakes. Every path in it is absolute or relative to the working directory.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) file: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) data_dir: PathBuf,
    pub(crate) policies: PathBuf,
    pub(crate) utc_offset_minutes: i32,
    pub(crate) issuers: Vec<IssuerConfig>,
    pub(crate) ssh_authorities: Vec<AuthorityConfig>,
    pub(crate) client_authorities: Vec<ClientAuthorityConfig>,
    pub(crate) transforms: Vec<(Tag, Level, Transform)>,
    pub(crate) limits: Limits,
    pub(crate) targets: BTreeMap<TargetName, GuardedTarget>,
}

/// One target: what policy knows of it, how to sign in to it, and its protocol's own half.
#[derive(Clone, Debug)]
pub(crate) struct GuardedTarget {
    pub(crate) target: Target,
    /// What the broker signs in with.
    pub(crate) lending: Lending,
    pub(crate) half: Half,
    /// The tags its columns or keys carry, to be looked up in the classification.
    pub(crate) tags: BTreeSet<Tag>,
}

/// Reads and checks a configuration file.
pub(crate) fn load(file: &Path) -> Result<Config, Faults> {
    let text = read_file(file)?;
    parse(file, &text)
}

fn read_file(file: &Path) -> Result<String, Faults> {
    let refuse = |message: String, help: &str| Err(Faults::without_text(file, message, help));
    match std::fs::metadata(file) {
        Ok(found) if found.len() > MAX_FILE_BYTES => {
            return refuse("the file is larger than 4 MiB".to_owned(), "split it or check the path");
        }
        Ok(_) => {}
        Err(error) => {
            let help = "name another file with `--config PATH`, or start from `sluice config example > sluice.yaml`";
            return refuse(format!("the configuration cannot be read: {error}"), help);
        }
    }
    std::fs::read_to_string(file).or_else(|error| {
        refuse(format!("the configuration cannot be read: {error}"), "it must be a text file in UTF-8")
    })
}

/// Checks the text of a configuration file.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Config, Faults> {
    let tree = match node::parse(text) {
        Ok(tree) => tree,
        Err(fault) => return Err(Faults::new(file, text, &node::secret_lines(text), vec![fault])),
    };
    let mut reading = Reading { tree: &tree, dir: directory(file), faults: Vec::new() };
    let config = reading.config(file);
    let mut secrets = Vec::new();
    tree.secrets(&mut secrets);
    match config {
        Some(config) if reading.faults.is_empty() => Ok(config),
        _ => Err(Faults::new(file, text, &secrets, reading.faults)),
    }
}

/// What identity found wrong with the issuers of a file, each at its place.
pub(crate) fn issuer_mistakes(file: &Path, wrong: &[ConfigError]) -> Mistakes {
    section_mistakes(file, "issuers", wrong, ToString::to_string)
}

/// What identity found wrong with the authorities of a file, each at its place.
pub(crate) fn authority_mistakes(file: &Path, wrong: &[ConfigError]) -> Mistakes {
    section_mistakes(file, "ssh_authorities", wrong, |mistake| {
        format!("authority `{}`: `{}` {}", mistake.issuer, mistake.field, mistake.reason)
    })
}

/// What identity found wrong with the authorities of client certificates of a file, each at its place.
pub(crate) fn client_authority_mistakes(file: &Path, wrong: &[ConfigError]) -> Mistakes {
    section_mistakes(file, "client_authorities", wrong, |mistake| {
        format!("authority `{}`: `{}` {}", mistake.issuer, mistake.field, mistake.reason)
    })
}

fn section_mistakes(file: &Path, section: &str, wrong: &[ConfigError], say: fn(&ConfigError) -> String) -> Mistakes {
    let text = read_file(file).unwrap_or_default();
    let tree = node::parse(&text).unwrap_or_else(|_| Node::empty_map(0..0));
    let place = |mistake: &ConfigError| {
        let listed = tree.entry(section)?.node.items(section).ok()?;
        let named = |node: &&Node| matches!(node.entry("name").map(|e| &e.node.value), Some(Value::Text(name)) if *name == mistake.issuer);
        let node = listed.iter().find(named)?;
        Some(node.entry(mistake.field).map_or_else(|| node.span.clone(), |entry| entry.node.span.clone()))
    };
    let fault = |mistake: &ConfigError| Fault::new(say(mistake), place(mistake).unwrap_or(0..0));
    let mut secrets = Vec::new();
    tree.secrets(&mut secrets);
    Faults::new(file, &text, &secrets, wrong.iter().map(fault).collect()).into()
}

fn directory(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// One reading of a document: what has been found wrong so far.
struct Reading<'a> {
    tree: &'a Node,
    dir: PathBuf,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    /// Reads every section, whatever is wrong with the others.
    fn config(&mut self, file: &Path) -> Option<Config> {
        self.unknown_sections();
        let listen = self.required::<Listen>("listen").map(|listen| self.listen(listen));
        let data_dir = self.required::<PathBuf>("data_dir").map(|path| self.dir.join(path));
        let policies = self.required::<PathBuf>("policies").map(|path| self.dir.join(path));
        let utc_offset_minutes = self.utc_offset();
        let issuers = self.issuers();
        let ssh_authorities = self.ssh_authorities();
        let client_authorities = self.client_authorities();
        let mut transforms = self.classification();
        let limits = self.limits();
        let targets = self.targets();
        self.impossible_stand_ins(&transforms, &targets);
        transforms.extend(stand_ins(&transforms, &targets));
        Some(Config {
            file: file.to_path_buf(),
            listen: listen?,
            data_dir: data_dir?,
            policies: policies?,
            utc_offset_minutes: utc_offset_minutes?,
            issuers,
            ssh_authorities,
            client_authorities,
            transforms,
            limits: limits?,
            targets,
        })
    }

    fn unknown_sections(&mut self) {
        let entries = match self.tree.entries("the configuration") {
            Ok(entries) => entries,
            Err(fault) => return self.faults.push(fault),
        };
        for entry in entries.iter().filter(|entry| !SECTIONS.contains(&entry.key.as_str())) {
            let help = nearest(&entry.key, SECTIONS)
                .map_or_else(|| format!("sections: {}", SECTIONS.join(", ")), |near| format!("did you mean `{near}`?"));
            self.faults
                .push(Fault::new(format!("unknown section `{}`", entry.key), entry.key_span.clone()).with_help(help));
        }
    }

    fn required<T: DeserializeOwned>(&mut self, section: &'static str) -> Option<T> {
        if let Some(entry) = self.tree.entry(section) {
            return read(&entry.node, &mut self.faults);
        }
        let help = "`sluice config example` prints a configuration with every section";
        self.faults.push(Fault::new(format!("missing section `{section}`"), self.tree.span.clone()).with_help(help));
        None
    }

    fn listen(&mut self, mut listen: Listen) -> Listen {
        if let Some(tls) = &mut listen.tls {
            tls.cert = self.dir.join(&tls.cert);
            tls.key = self.dir.join(&tls.key);
        }
        if let Some(wrong) = listen.oauth.as_ref().and_then(OauthEntry::mistake) {
            let place = self.tree.entry("listen").and_then(|listen| listen.node.entry("oauth"));
            self.faults.push(Fault::new(wrong, place.map_or(0..0, |entry| entry.node.span.clone())));
        }
        listen
    }

    fn utc_offset(&mut self) -> Option<i32> {
        let Some(entry) = self.tree.entry("utc_offset_minutes") else { return Some(0) };
        let minutes = read::<i32>(&entry.node, &mut self.faults)?;
        if (-840..=840).contains(&minutes) {
            return Some(minutes);
        }
        self.faults.push(Fault::new("`utc_offset_minutes` is from -840 to 840", entry.node.span.clone()));
        None
    }

    fn limits(&mut self) -> Option<Limits> {
        let Some(entry) = self.tree.entry("limits") else { return Some(Limits::STANDARD) };
        let limits = read::<Limits>(&entry.node, &mut self.faults)?;
        let wrong = limits.wrong().into_iter().map(|message| Fault::new(message, entry.key_span.clone()));
        self.faults.extend(wrong);
        Some(limits)
    }

    fn items(&mut self, section: &str) -> Vec<Node> {
        let Some(entry) = self.tree.entry(section) else { return Vec::new() };
        match entry.node.items(&format!("`{section}`")) {
            Ok(items) => items.to_vec(),
            Err(fault) => {
                self.faults.push(fault);
                Vec::new()
            }
        }
    }

    fn issuers(&mut self) -> Vec<IssuerConfig> {
        let mut issuers: Vec<IssuerConfig> = Vec::new();
        for node in self.items("issuers") {
            let Some(issuer) = read::<IssuerConfig>(&node, &mut self.faults) else { continue };
            let issuer = IssuerConfig { jwks: self.location(&issuer.jwks), ..issuer };
            issuers.push(issuer);
        }
        issuers
    }

    fn ssh_authorities(&mut self) -> Vec<AuthorityConfig> {
        let mut authorities: Vec<AuthorityConfig> = Vec::new();
        for node in self.items("ssh_authorities") {
            let Some(found) = read::<AuthorityConfig>(&node, &mut self.faults) else { continue };
            // A key in its line has a space after its type; a path is relative to the file.
            let key = if found.key.contains(' ') { found.key.clone() } else { self.location(&found.key) };
            let revoked_keys = found.revoked_keys.as_ref().map(|path| self.dir.join(path));
            authorities.push(AuthorityConfig { key, revoked_keys, ..found });
        }
        authorities
    }

    fn client_authorities(&mut self) -> Vec<ClientAuthorityConfig> {
        let mut authorities: Vec<ClientAuthorityConfig> = Vec::new();
        for node in self.items("client_authorities") {
            let Some(found) = read::<ClientAuthorityConfig>(&node, &mut self.faults) else { continue };
            let (ca, crl) = (self.dir.join(&found.ca), found.crl.as_ref().map(|path| self.dir.join(path)));
            authorities.push(ClientAuthorityConfig { ca, crl, ..found });
        }
        authorities
    }

    /// Where an issuer's keys are: a path is relative to the file, a URL is left as it is.
    fn location(&self, jwks: &str) -> String {
        if jwks.contains("://") || Path::new(jwks).is_absolute() {
            return jwks.to_owned();
        }
        let path = self.dir.join(jwks);
        std::path::absolute(&path).unwrap_or(path).display().to_string()
    }

    fn classification(&mut self) -> Vec<(Tag, Level, Transform)> {
        let mut transforms: Vec<(Tag, Level, Transform)> = Vec::new();
        for node in self.items("classification") {
            let Some(class) = read::<Class>(&node, &mut self.faults) else { continue };
            if transforms.iter().any(|(tag, ..)| *tag == class.tag) {
                self.faults.push(Fault::new(format!("the tag `{}` is classified twice", class.tag), node.span.clone()));
            }
            let levels = [(Level::Redact, class.redact), (Level::Partial, class.partial), (Level::Token, class.token)];
            for (level, transform) in levels.into_iter().filter_map(|(level, chosen)| Some((level, chosen?))) {
                if let Some(fault) = unavailable(&transform, &node) {
                    self.faults.push(fault);
                }
                transforms.push((class.tag.clone(), level, transform));
            }
        }
        transforms
    }

    /// Stable stand-ins that are asked for where a protocol cannot make them.
    fn impossible_stand_ins(
        &mut self,
        transforms: &[(Tag, Level, Transform)],
        targets: &BTreeMap<TargetName, GuardedTarget>,
    ) {
        let place = self.tree.entry("classification").map_or(0..0, |entry| entry.key_span.clone());
        for (tag, _, transform) in transforms {
            let stable = matches!(transform, Transform::Hash | Transform::Token | Transform::Fpe);
            if stable && without_stand_ins(targets).any(|carried| covers(tag, carried)) {
                let message = format!("`{transform}` for `{tag}` cannot be enforced on the columns that carry it");
                let help = "use `redact`, `null`, `constant`, `partial` or `bucket`";
                self.faults.push(Fault::new(message, place.clone()).with_help(help));
            }
        }
    }

    fn targets(&mut self) -> BTreeMap<TargetName, GuardedTarget> {
        let mut targets = BTreeMap::new();
        let entries = match self.tree.entry("targets").map(|entry| entry.node.entries("`targets`")) {
            Some(Ok(entries)) => entries.to_vec(),
            Some(Err(fault)) => return self.none_because(fault),
            None => {
                let fault = Fault::new("missing section `targets`", self.tree.span.clone());
                return self.none_because(fault.with_help("name at least one target; see `sluice config example`"));
            }
        };
        for entry in entries {
            let Ok(name) = TargetName::new(&entry.key) else {
                let message = "a target's name is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -";
                self.faults.push(Fault::new(message, entry.key_span.clone()));
                continue;
            };
            if let Some(target) = self.target(&name, &entry.node) {
                targets.insert(name, target);
            }
        }
        targets
    }

    fn none_because(&mut self, fault: Fault) -> BTreeMap<TargetName, GuardedTarget> {
        self.faults.push(fault);
        BTreeMap::new()
    }

    fn target(&mut self, name: &TargetName, node: &Node) -> Option<GuardedTarget> {
        if let Err(fault) = node.entries("a target") {
            self.faults.push(fault);
            return None;
        }
        let (generic, own) = node.split(TARGET_KEYS);
        // Both halves are read whatever is wrong with the other.
        let entry = read::<TargetEntry>(&generic, &mut self.faults);
        let lane = self.lane(&generic)?;
        let half = lane.read(&own, &self.dir, &mut self.faults);
        if entry.as_ref().is_some_and(|entry| entry.credential.user.is_empty()) && lane.login() == Login::Named {
            let place = generic.entry("credential").map_or(0..0, |credential| credential.node.span.clone());
            self.faults.push(Fault::new("missing key `user`", place).with_help("name the login role at the target"));
        }
        let (entry, half) = (entry?, half?);
        Some(GuardedTarget {
            target: Target {
                name: name.clone(),
                environment: entry.environment,
                protocol: lane.schema().protocol,
                part: None,
            },
            lending: Lending {
                user: entry.credential.user,
                secret: entry.credential.password,
                more: entry.credential.keys,
                logins: entry.credential.logins,
            },
            tags: lane.tags(&half),
            half,
        })
    }

    /// The protocol that a target names; what is wrong with the key itself has been reported.
    fn lane(&mut self, generic: &Node) -> Option<&'static dyn Lane> {
        let named = &generic.entry("protocol")?.node;
        let Value::Text(name) = &named.value else { return None };
        let lane = protocols::named(name);
        if lane.is_none() {
            let help = format!("protocols of this version: {}", protocols::names().join(", "));
            let fault = Fault::new(format!("no protocol is called `{name}`"), named.span.clone());
            self.faults.push(fault.with_help(help));
        }
        lane
    }
}

/// Stable stand-ins cannot be made by every protocol: where no transform is configured for a tag of such a target, values
/// are redacted.
fn stand_ins(
    transforms: &[(Tag, Level, Transform)],
    targets: &BTreeMap<TargetName, GuardedTarget>,
) -> Vec<(Tag, Level, Transform)> {
    let configured =
        |name: &str| transforms.iter().any(|(tag, level, _)| *level == Level::Token && tag.as_str() == name);
    let bare = |tag: &&Tag| !std::iter::once(tag.as_str()).chain(tag.ancestors()).any(configured);
    let carried: BTreeSet<&Tag> = without_stand_ins(targets).filter(bare).collect();
    carried.into_iter().map(|tag| (tag.clone(), Level::Token, Transform::Redact)).collect()
}

/// The tags of targets whose protocol cannot make stable stand-ins.
fn without_stand_ins(targets: &BTreeMap<TargetName, GuardedTarget>) -> impl Iterator<Item = &Tag> {
    let cannot = |guarded: &&GuardedTarget| {
        protocols::named(guarded.target.protocol).is_none_or(|lane| lane.stand_ins() == StandIns::Never)
    };
    targets.values().filter(cannot).flat_map(|guarded| &guarded.tags)
}

/// Whether a transform is configured for a tag that lies in another, or is it.
fn covers(configured: &Tag, carried: &Tag) -> bool {
    carried == configured || carried.ancestors().any(|name| name == configured.as_str())
}

/// A transform that says nothing.
fn unavailable(transform: &Transform, node: &Node) -> Option<Fault> {
    match transform {
        Transform::Bucket { width: 0 } => Some(Fault::new("`bucket` needs a `width` of at least 1", node.span.clone())),
        Transform::Redact
        | Transform::Null
        | Transform::Constant(_)
        | Transform::Hash
        | Transform::Token
        | Transform::Fpe
        | Transform::Partial { .. }
        | Transform::Bucket { .. } => None,
    }
}
