//! Sluice's own tokens.
//!
//! Shape: a JWT of type `sluice+jwt`, signed with Ed25519, from issuer `sluice` for audience `sluice`. Who acts for
//! whom follows RFC 8693 §4.1: `sub` is the person who answers, and for an agent `act` names the agent that acts for
//! them, with its own groups. Both reach every decision.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_model::{Group, Person, RunId, Secret, TargetName, TokenId, UnixMicros, Who};

use crate::algorithm::Algorithm;
use crate::error::{MintError, TokenError};
use crate::keys::Keys;
use crate::token;
use crate::verify::{Profile, Types};

/// `iss` and `aud` of every token minted here.
pub(crate) const ISSUER: &str = "sluice";
const TYPE: &str = "sluice+jwt";
/// An issuer's name, a colon and a subject of 255 characters.
pub(crate) const MAX_NAME_BYTES: usize = 320;
const MAX_PURPOSE_CHARS: usize = 500;

/// How long minted tokens live.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// The lifetime of a token that asks for none, in seconds.
    #[serde(default = "Lifetimes::hour")]
    pub default_seconds: u32,
    /// The longest lifetime, in seconds; it also bounds what is accepted.
    #[serde(default = "Lifetimes::day")]
    pub maximum_seconds: u32,
}

impl Lifetimes {
    /// One hour, at most a day.
    pub const STANDARD: Self = Self { default_seconds: Self::hour(), maximum_seconds: Self::day() };

    const fn hour() -> u32 {
        3600
    }

    const fn day() -> u32 {
        86_400
    }
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// Who acts; an agent brings its owner along.
    pub who: Who,
    /// The targets the token is scoped to; `None` where it is not scoped.
    pub targets: Option<BTreeSet<TargetName>>,
    /// How long it lives; `None` for the default.
    pub ttl_seconds: Option<u32>,
    /// The handle of its revocation.
    pub id: TokenId,
    /// The run it is for.
    pub run: Option<RunId>,
}

/// Mints a token at a moment.
///
/// # Errors
/// When the request asks for what the verifier would refuse.
pub fn mint(keys: &Keys, lifetimes: Lifetimes, request: MintRequest, now: UnixMicros) -> Result<Secret, MintError> {
    let maximum_seconds = lifetimes.maximum_seconds;
    let ttl = request.ttl_seconds.unwrap_or(lifetimes.default_seconds);
    if ttl == 0 || ttl > maximum_seconds {
        return Err(MintError::Lifetime { maximum_seconds });
    }
    if request.targets.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(MintError::EmptyScope);
    }
    let parties = Parties::of(request.who)?;
    let issued = now.seconds();
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: ISSUER.to_owned(),
        iat: issued,
        nbf: issued,
        exp: issued.saturating_add(i64::from(ttl)),
        jti: request.id,
        role: parties.role,
        sub: parties.sub,
        groups: parties.groups,
        act: parties.act,
        workload_issuer: parties.workload_issuer,
        targets: request.targets,
        run: request.run,
    };
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{TYPE}"}}"#, keys.id());
    let body = serde_json::to_vec(&claims).map_err(|_| MintError::Sign)?;
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let signature = keys.sign(input.as_bytes()).ok_or(MintError::Sign)?;
    let compact = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    if compact.len() > token::MAX_BYTES {
        return Err(MintError::TooLarge);
    }
    Ok(Secret::from(compact))
}

/// The profile that minted tokens are held to.
pub(crate) fn profile(lifetimes: Lifetimes) -> Profile {
    Profile {
        issuer: ISSUER.to_owned(),
        audiences: BTreeSet::from([ISSUER.to_owned()]),
        algorithms: BTreeSet::from([Algorithm::EdDsa]),
        types: Types::Own(TYPE),
        max_lifetime_seconds: i64::from(lifetimes.maximum_seconds),
        grace_seconds: 0,
    }
}

/// What a verified token of this broker says.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) who: Who,
    pub(crate) id: TokenId,
    pub(crate) targets: Option<BTreeSet<TargetName>>,
    pub(crate) run: Option<RunId>,
}

/// Reads the claims of a verified token; an unknown one refuses the token.
pub(crate) fn read(claims: Map<String, Value>) -> Result<Said, TokenError> {
    let claims: Claims = serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Claims)?;
    let Claims { role, sub, groups, act, workload_issuer, jti: id, targets, run, .. } = claims;
    let who = Parties { role, sub, groups, act, workload_issuer }.who()?;
    Ok(Said { who, id, targets, run })
}

/// Whether a text can name a principal: OpenID Connect Core §2 allows a subject 255 ASCII characters; of those, the
/// ones that would fool a reader of a log are refused.
pub(crate) fn names_principal(name: &str) -> bool {
    let printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && printable && name.trim() == name
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Agent,
    Workload,
}

/// The actor of RFC 8693 §4.1.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    sub: String,
    groups: BTreeSet<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: TokenId,
    role: Role,
    sub: String,
    /// The groups of `sub`.
    groups: BTreeSet<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Actor>,
    /// The issuer that vouched for a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload_issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    targets: Option<BTreeSet<TargetName>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
}

/// Who a token speaks for, in its own words.
struct Parties {
    role: Role,
    sub: String,
    groups: BTreeSet<Group>,
    act: Option<Actor>,
    workload_issuer: Option<String>,
}

impl Parties {
    fn of(who: Who) -> Result<Self, MintError> {
        let parties = match who {
            Who::User(Person { name, groups }) => {
                Self { role: Role::User, sub: name, groups, act: None, workload_issuer: None }
            }
            Who::Agent { name, purpose, groups, owner } => Self {
                role: Role::Agent,
                sub: owner.name,
                groups: owner.groups,
                act: Some(Actor { sub: name, groups, purpose }),
                workload_issuer: None,
            },
            Who::Workload { name, issuer, groups } => {
                Self { role: Role::Workload, sub: name, groups, act: None, workload_issuer: Some(issuer) }
            }
        };
        parties.check()?;
        Ok(parties)
    }

    fn check(&self) -> Result<(), MintError> {
        let actor = self.act.as_ref().map(|actor| actor.sub.as_str());
        let named = [Some(self.sub.as_str()), actor, self.workload_issuer.as_deref()];
        if !named.into_iter().flatten().all(names_principal) {
            return Err(MintError::Name);
        }
        let purpose = self.act.as_ref().and_then(|actor| actor.purpose.as_deref()).unwrap_or_default();
        if purpose.chars().count() > MAX_PURPOSE_CHARS || purpose.chars().any(char::is_control) {
            return Err(MintError::Purpose);
        }
        Ok(())
    }

    fn who(self) -> Result<Who, TokenError> {
        self.check().map_err(|_| TokenError::Subject)?;
        match (self.role, self.act, self.workload_issuer) {
            (Role::User, None, None) => Ok(Who::User(Person { name: self.sub, groups: self.groups })),
            (Role::Agent, Some(Actor { sub: name, groups, purpose }), None) => {
                Ok(Who::Agent { name, purpose, groups, owner: Person { name: self.sub, groups: self.groups } })
            }
            (Role::Workload, None, Some(issuer)) => Ok(Who::Workload { name: self.sub, issuer, groups: self.groups }),
            _ => Err(TokenError::Claims),
        }
    }
}

#[cfg(test)]
#[path = "mint_tests.rs"]
mod tests;
