//! Configured issuers: whose tokens count, and what their claims mean here.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_model::{Group, Person, TokenId, UnixMicros, Who};

use crate::algorithm::Algorithm;
use crate::cache::Cache;
use crate::error::{ConfigError, TokenError};
use crate::fetch::{Fetcher, Location};
use crate::mint::{self, names_principal};
use crate::token::Envelope;
use crate::verify::{self, LEEWAY_SECONDS, Profile, Types};

/// OpenID Connect Core §2: `sub` "MUST NOT exceed 255 ASCII characters".
const MAX_SUBJECT_BYTES: usize = 255;
const MAX_NAME_BYTES: usize = 48;
/// Claims that another person can come to hold (OpenID Connect Core §5.7).
const UNSTABLE: [&str; 7] = ["email", "preferred_username", "upn", "unique_name", "name", "nickname", "phone_number"];

/// What the subjects of an issuer are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// People.
    User,
    /// Programs without a person behind them, such as CI jobs.
    Workload,
}

/// An issuer whose tokens are accepted, as the configuration names it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its name here: the first half of every principal's name, `name:subject`.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The audiences that mean this broker.
    pub audiences: BTreeSet<String>,
    /// Where its keys are: an `https` URL, an `http` URL of this machine, or an absolute path.
    pub jwks: String,
    /// The signature algorithms it may use.
    pub algorithms: BTreeSet<Algorithm>,
    /// The claim that lists groups, or a JSON pointer to it (`/realm_access/roles`). Without it nobody has groups;
    /// with it, a token that lacks the claim is refused.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// The issuer's groups by its own names, and their names here. Where this is given, other groups do not count;
    /// where it is empty, groups keep their names and one that cannot be a name here refuses the token.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub groups: BTreeMap<String, Group>,
    /// The claim that identifies the subject for good.
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// The values of `typ` that are accepted.
    #[serde(default = "default_types")]
    pub types: Vec<String>,
    /// Whether tokens without `typ` are accepted too, as Kubernetes issues them.
    #[serde(default)]
    pub untyped: bool,
    /// The longest time from `iat` to `exp`, in seconds.
    #[serde(default = "default_lifetime")]
    pub max_lifetime: u32,
    /// What its subjects are.
    pub kind: Kind,
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_types() -> Vec<String> {
    vec!["JWT".to_owned(), "at+jwt".to_owned()]
}

const fn default_lifetime() -> u32 {
    86_400
}

/// An issuer that is ready to check tokens.
#[derive(Debug)]
pub(crate) struct Issuer {
    config: IssuerConfig,
    profile: Profile,
    cache: Cache,
}

/// What a verified token of an issuer says.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) who: Who,
    pub(crate) id: TokenId,
    pub(crate) expires: UnixMicros,
}

impl Issuer {
    /// Checks a configuration; every mistake names its field.
    pub(crate) fn new(config: IssuerConfig, fetcher: &Fetcher) -> Result<Self, ConfigError> {
        let wrong = |field, reason: &str| ConfigError { issuer: config.name.clone(), field, reason: reason.to_owned() };
        if let Some((field, reason)) = mistake(&config) {
            return Err(wrong(field, reason));
        }
        let location = Location::parse(&config.jwks).map_err(|reason| wrong("jwks", reason))?;
        let profile = Profile {
            issuer: config.issuer.clone(),
            audiences: config.audiences.clone(),
            algorithms: config.algorithms.clone(),
            types: Types::Foreign { accepted: config.types.clone(), untyped: config.untyped },
            max_lifetime_seconds: i64::from(config.max_lifetime),
            grace_seconds: LEEWAY_SECONDS,
        };
        let cache = Cache::new(location, fetcher.clone(), config.algorithms.clone(), config.name.clone());
        Ok(Self { config, profile, cache })
    }

    pub(crate) const fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Believes a token, or says why not.
    pub(crate) async fn check(&self, envelope: Envelope<'_>, now: UnixMicros) -> Result<Vouched, TokenError> {
        // Before the keys, so that no fetch is made for what no key could save.
        verify::precheck(&envelope, &self.profile)?;
        let key = self.cache.find(envelope.kid.as_deref(), now).await?;
        let id = self.handle(&envelope)?;
        let verified = verify::verify(envelope, &self.profile, &key, now)?;
        Ok(Vouched { who: self.who(&verified.claims)?, id, expires: verified.expires })
    }

    /// The handle that revokes a token: `name:` and 40 hexadecimal digits of the digest of what is signed.
    fn handle(&self, envelope: &Envelope<'_>) -> Result<TokenId, TokenError> {
        let digest: String = envelope.digest().hex().chars().take(40).collect();
        TokenId::new(format!("{}:{digest}", self.config.name)).map_err(|_| TokenError::Subject)
    }

    fn who(&self, claims: &Map<String, Value>) -> Result<Who, TokenError> {
        let subject = claims.get(&self.config.subject_claim).and_then(Value::as_str).ok_or(TokenError::Subject)?;
        if subject.len() > MAX_SUBJECT_BYTES || !names_principal(subject) {
            return Err(TokenError::Subject);
        }
        let name = format!("{}:{subject}", self.config.name);
        let groups = self.groups(claims)?;
        Ok(match self.config.kind {
            Kind::User => Who::User(Person { name, groups }),
            Kind::Workload => Who::Workload { name, issuer: self.config.name.clone(), groups },
        })
    }

    /// The groups of a token. A group that went missing could be the one a rule forbids something to, so whatever
    /// cannot be read refuses.
    fn groups(&self, claims: &Map<String, Value>) -> Result<BTreeSet<Group>, TokenError> {
        let Some(claim) = &self.config.groups_claim else { return Ok(BTreeSet::new()) };
        let listed = match claim.strip_prefix('/') {
            None => claims.get(claim),
            Some(path) => {
                let mut steps = path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
                let first = steps.next().and_then(|step| claims.get(&step));
                steps.fold(first, |value, step| value.and_then(|value| value.get(&step)))
            }
        };
        let names: Vec<&str> = match listed {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => {
                many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenError::Groups)?
            }
            _ => return Err(TokenError::Groups),
        };
        if self.config.groups.is_empty() {
            return names.into_iter().map(Group::new).collect::<Result<_, _>>().map_err(|_| TokenError::Groups);
        }
        Ok(names.into_iter().filter_map(|name| self.config.groups.get(name).cloned()).collect())
    }
}

/// The first mistake in a configuration, by field.
fn mistake(config: &IssuerConfig) -> Option<(&'static str, &'static str)> {
    let clean = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if config.name.is_empty() || config.name.len() > MAX_NAME_BYTES || !clean(&config.name) {
        return Some(("name", "is 1 to 48 characters of A-Z a-z 0-9 . _ -"));
    }
    if config.name == mint::ISSUER {
        return Some(("name", "is reserved for Sluice's own tokens"));
    }
    if config.issuer.is_empty() || config.issuer == mint::ISSUER {
        return Some(("issuer", "must be the exact `iss` of another issuer's tokens"));
    }
    if config.audiences.is_empty() || config.audiences.contains("") {
        return Some(("audiences", "must name at least one audience, and no empty one"));
    }
    if config.algorithms.is_empty() {
        return Some(("algorithms", "must name at least one algorithm"));
    }
    if config.types.is_empty() && !config.untyped {
        return Some(("types", "must name at least one type"));
    }
    if config.subject_claim.is_empty() || UNSTABLE.contains(&config.subject_claim.as_str()) {
        return Some(("subject_claim", "must be a claim that is never given to somebody else, such as `sub`"));
    }
    if config.groups_claim.is_none() && !config.groups.is_empty() {
        return Some(("groups", "needs `groups_claim`"));
    }
    if config.groups_claim.as_deref().is_some_and(str::is_empty) {
        return Some(("groups_claim", "must not be empty"));
    }
    if config.max_lifetime == 0 {
        return Some(("max_lifetime", "must be at least one second"));
    }
    None
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
