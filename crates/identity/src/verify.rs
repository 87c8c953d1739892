//! The one strict verifier.

use std::collections::BTreeSet;

use jsonwebtoken::Validation;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use sluice_model::UnixMicros;

use crate::algorithm::Algorithm;
use crate::error::TokenError;
use crate::keyset::Key;
use crate::token::Envelope;

/// How far an issuer's clock may be from this one.
pub(crate) const LEEWAY_SECONDS: i64 = 30;
/// Times after the year 9999 are mistakes.
const MAX_TIME: i64 = 253_402_300_799;

/// What the tokens of one issuer must be like.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) issuer: String,
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) algorithms: BTreeSet<Algorithm>,
    pub(crate) types: Types,
    pub(crate) max_lifetime_seconds: i64,
    /// How long after `exp` a token still counts: [`LEEWAY_SECONDS`], or none for tokens of this broker's own clock.
    pub(crate) grace_seconds: i64,
}

/// Which kinds of token an issuer's profile accepts (RFC 8725 §3.11).
#[derive(Clone, Debug)]
pub(crate) enum Types {
    /// Exactly this `typ`, exactly this `aud`, and no header member beyond `alg`, `kid` and `typ`.
    Own(&'static str),
    /// One of these; `untyped` says whether a token without `typ` counts too.
    Foreign { accepted: Vec<String>, untyped: bool },
}

/// Claims that hold.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) claims: Map<String, Value>,
    /// When the token stops to count.
    pub(crate) expires: UnixMicros,
}

/// What a header must say before a key is looked for.
pub(crate) fn precheck(envelope: &Envelope<'_>, profile: &Profile) -> Result<(), TokenError> {
    if !profile.algorithms.contains(&envelope.algorithm) {
        return Err(TokenError::Algorithm);
    }
    match (&profile.types, &envelope.typ) {
        (Types::Own(_), _) if envelope.extras > 0 => Err(TokenError::Header),
        (Types::Own(own), Some(typ)) if typ == own => Ok(()),
        (Types::Foreign { untyped: true, .. }, None) => Ok(()),
        (Types::Foreign { accepted, .. }, Some(typ)) if accepted.iter().any(|one| same_type(one, typ)) => Ok(()),
        (Types::Own(_) | Types::Foreign { .. }, _) => Err(TokenError::Type),
    }
}

/// Checks everything about a token against its issuer's profile and key, at a moment.
pub(crate) fn verify(
    envelope: Envelope<'_>,
    profile: &Profile,
    key: &Key,
    now: UnixMicros,
) -> Result<Verified, TokenError> {
    precheck(&envelope, profile)?;
    if !key.serves(envelope.algorithm) {
        return Err(TokenError::Algorithm);
    }
    check_signature(&envelope, profile, key)?;
    let claims = envelope.claims;
    if claims.get("iss").and_then(Value::as_str) != Some(profile.issuer.as_str()) {
        return Err(TokenError::UnknownIssuer);
    }
    if claims.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(TokenError::Claims);
    }
    check_audience(&claims, profile)?;
    let expires = check_times(&claims, profile, now)?;
    Ok(Verified { claims, expires })
}

/// RFC 7515 §4.1.9: media types compare without case, and `application/` may be left out.
fn same_type(accepted: &str, typ: &str) -> bool {
    let short = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower.strip_prefix("application/").map_or_else(|| lower.clone(), str::to_owned)
    };
    short(accepted) == short(typ)
}

fn check_signature(envelope: &Envelope<'_>, profile: &Profile, key: &Key) -> Result<(), TokenError> {
    let mut validation = Validation::new(envelope.algorithm.jws());
    // The library reads a clock of its own; the times are checked here, against the time that was passed in.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.required_spec_claims =
        BTreeSet::from(["exp", "iss", "aud", "sub"]).into_iter().map(String::from).collect();
    validation.aud = None;
    validation.validate_aud = false;
    validation.iss = Some([profile.issuer.clone()].into());
    #[expect(clippy::disallowed_methods, reason = "this is the one strict verifier")]
    let held = jsonwebtoken::decode::<IgnoredAny>(envelope.compact, key.decoding(), &validation);
    match held.map_err(jsonwebtoken::errors::Error::into_kind) {
        Ok(_) => Ok(()),
        Err(jsonwebtoken::errors::ErrorKind::MissingRequiredClaim(_)) => Err(TokenError::Claims),
        Err(_) => Err(TokenError::Signature),
    }
}

/// RFC 7519 §4.1.3: a string, or an array of strings of which one is meant here.
fn check_audience(claims: &Map<String, Value>, profile: &Profile) -> Result<(), TokenError> {
    let named: Vec<&str> = match (claims.get("aud"), &profile.types) {
        (Some(Value::String(one)), _) => vec![one],
        (Some(Value::Array(many)), Types::Foreign { .. }) => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenError::Claims)?
        }
        _ => return Err(TokenError::Claims),
    };
    if named.iter().any(|audience| profile.audiences.contains(*audience)) { Ok(()) } else { Err(TokenError::Audience) }
}

/// Checks `exp`, `iat` and `nbf`, and returns when the token stops to count.
fn check_times(claims: &Map<String, Value>, profile: &Profile, now: UnixMicros) -> Result<UnixMicros, TokenError> {
    let expires = seconds(claims, "exp")?.ok_or(TokenError::Claims)?;
    let issued = seconds(claims, "iat")?.ok_or(TokenError::Claims)?;
    let begins = seconds(claims, "nbf")?.unwrap_or(issued);
    let end = UnixMicros(0).plus_seconds(expires).plus_seconds(profile.grace_seconds);
    if now >= end {
        return Err(TokenError::Expired);
    }
    let latest = now.plus_seconds(LEEWAY_SECONDS);
    if UnixMicros(0).plus_seconds(begins) > latest || UnixMicros(0).plus_seconds(issued) > latest {
        return Err(TokenError::NotYetValid);
    }
    let lifetime = expires.checked_sub(issued).ok_or(TokenError::Lifetime)?;
    if lifetime <= 0 || lifetime > profile.max_lifetime_seconds {
        return Err(TokenError::Lifetime);
    }
    Ok(end)
}

/// A whole number of seconds. RFC 7519 §2 allows fractions; nobody needs them, and every other type is a trick.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(time) if (0..=MAX_TIME).contains(&time) => Ok(Some(time)),
            Some(_) | None => Err(TokenError::Claims),
        },
    }
}
