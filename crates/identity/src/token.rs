//! The outside of a token: three parts of base64url, and what its header may say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sluice_model::Digest;

use crate::algorithm::Algorithm;
use crate::error::TokenError;
use crate::json;

/// The largest token that is looked at.
pub(crate) const MAX_BYTES: usize = 16 * 1024;
const MAX_KID_BYTES: usize = 256;

/// Members that would make a verifier fetch, trust or transform something a token brings along: `jku`, `x5u`, `jwk`
/// and `x5c` name keys, `b64` changes what is signed (RFC 7797), `zip` and `enc` and `cty` ask for further decoding.
/// RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood … the JWS is invalid";
/// none is understood here, so `crit` alone is enough.
const REFUSED: [&str; 9] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc", "cty"];

/// A token taken apart. Nothing in it is believed yet.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) compact: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// Header members other than `alg`, `kid` and `typ`.
    pub(crate) extras: usize,
    pub(crate) claims: Map<String, Value>,
}

impl<'a> Envelope<'a> {
    /// Takes a token apart.
    ///
    /// Shape (RFC 7515 §7.1): `base64url(header) . base64url(claims) . base64url(signature)`.
    pub(crate) fn open(compact: &'a str) -> Result<Self, TokenError> {
        if compact.len() > MAX_BYTES {
            return Err(TokenError::TooLarge);
        }
        // One more than a token has, so that a fourth part is seen without walking over a million of them.
        let mut parts = compact.splitn(4, '.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let mut header = object(header)?;
        let claims = object(claims)?;
        if URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(TokenError::Malformed);
        }
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(TokenError::Header);
        }
        let algorithm = taken(&mut header, "alg")?.ok_or(TokenError::Header)?;
        let algorithm = Algorithm::parse(&algorithm).ok_or(TokenError::Algorithm)?;
        let kid = taken(&mut header, "kid")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(TokenError::Header);
        }
        let typ = taken(&mut header, "typ")?;
        Ok(Self { compact, algorithm, kid, typ, extras: header.len(), claims })
    }

    /// The issuer the token claims to be of.
    pub(crate) fn issuer(&self) -> Result<&str, TokenError> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(TokenError::Claims)
    }

    /// A digest of what is signed. The signature is left out: some have a second valid form, and a revoked token must
    /// not come back in it.
    pub(crate) fn digest(&self) -> Digest {
        let signed = self.compact.rsplit_once('.').map_or(self.compact, |(signed, _)| signed);
        Digest::of_parts([signed.as_bytes()])
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    json::object(&bytes).ok_or(TokenError::Malformed)
}

fn taken(header: &mut Map<String, Value>, name: &str) -> Result<Option<String>, TokenError> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Header),
    }
}
