//! Public keys of an issuer, out of a JWKS document (RFC 7517).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::algorithm::{Algorithm, RSA};
use crate::json;

/// The most keys a document may hold.
const MAX_KEYS: usize = 100;
/// RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used".
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// Why a document is not a set of keys to believe.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum KeySetError {
    #[error("the document is not a JWKS")]
    NotJwks,
    #[error("the document holds more than {MAX_KEYS} keys")]
    TooMany,
    #[error("the document holds a symmetric key")]
    Symmetric,
    #[error("the document holds a private key")]
    Private,
    #[error("the document holds two keys with one id")]
    Ambiguous,
    #[error("the document holds no usable key")]
    Unusable,
}

/// One verification key and the algorithms it may be used with.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl Key {
    pub(crate) const fn new(decoding: DecodingKey, algorithms: Vec<Algorithm>) -> Self {
        Self { decoding, algorithms }
    }

    pub(crate) const fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// The usable keys of one document.
#[derive(Debug)]
pub(crate) struct KeySet {
    named: BTreeMap<String, Arc<Key>>,
    /// The key for tokens that name none: there is one only where it is the only key.
    only: Option<Arc<Key>>,
}

impl KeySet {
    /// Reads a document, keeping the keys that can serve one of the permitted algorithms.
    pub(crate) fn parse(document: &[u8], permitted: &BTreeSet<Algorithm>) -> Result<Self, KeySetError> {
        let members = json::object(document).ok_or(KeySetError::NotJwks)?;
        let Some(Value::Array(entries)) = members.get("keys") else { return Err(KeySetError::NotJwks) };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut named = BTreeMap::new();
        let mut usable = Vec::new();
        for entry in entries {
            let jwk = entry.as_object().ok_or(KeySetError::NotJwks)?;
            refuse_secrets(jwk)?;
            let Some(key) = read(jwk, permitted) else { continue };
            let key = Arc::new(key);
            usable.push(Arc::clone(&key));
            if let Some(kid) = text(jwk, "kid")
                && named.insert(kid.to_owned(), key).is_some()
            {
                return Err(KeySetError::Ambiguous);
            }
        }
        match usable.as_slice() {
            [] => Err(KeySetError::Unusable),
            [only] => Ok(Self { named, only: Some(Arc::clone(only)) }),
            _ => Ok(Self { named, only: None }),
        }
    }

    /// The key a token names. A key id is a name in this map and nothing else: not a path, not a query, not a URL.
    pub(crate) fn find(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        match kid {
            Some(kid) => self.named.get(kid).map(Arc::clone),
            None => self.only.as_ref().map(Arc::clone),
        }
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

/// A public document with a secret in it was published by mistake: nothing signed under it is to be believed.
fn refuse_secrets(jwk: &Map<String, Value>) -> Result<(), KeySetError> {
    if text(jwk, "kty") == Some("oct") || jwk.contains_key("k") {
        return Err(KeySetError::Symmetric);
    }
    if jwk.contains_key("d") || jwk.contains_key("p") || jwk.contains_key("q") {
        return Err(KeySetError::Private);
    }
    Ok(())
}

/// One key, or nothing where it serves no permitted purpose here.
fn read(jwk: &Map<String, Value>, permitted: &BTreeSet<Algorithm>) -> Option<Key> {
    if !verifies(jwk) {
        return None;
    }
    let (decoding, possible) = material(jwk)?;
    let algorithms: Vec<Algorithm> = match jwk.get("alg") {
        None => possible,
        Some(name) => {
            let named = Algorithm::parse(name.as_str()?)?;
            possible.into_iter().filter(|algorithm| *algorithm == named).collect()
        }
    };
    let algorithms: Vec<Algorithm> = algorithms.into_iter().filter(|one| permitted.contains(one)).collect();
    (!algorithms.is_empty()).then(|| Key::new(decoding, algorithms))
}

/// RFC 7517 §4.2 and §4.3: `use` and `key_ops`, where present, must permit verification.
fn verifies(jwk: &Map<String, Value>) -> bool {
    let purpose = jwk.get("use").is_none_or(|purpose| purpose.as_str() == Some("sig"));
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|one| one.as_str() == Some("verify")))
    });
    purpose && operations
}

fn material(jwk: &Map<String, Value>) -> Option<(DecodingKey, Vec<Algorithm>)> {
    match (text(jwk, "kty")?, text(jwk, "crv")) {
        ("RSA", None) => rsa(&octets(jwk, "n")?, &octets(jwk, "e")?),
        ("EC", Some("P-256")) => {
            let point = point(jwk, 32)?;
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
            Some((DecodingKey::from_ec_der(&point), vec![Algorithm::Es256]))
        }
        ("EC", Some("P-384")) => {
            let point = point(jwk, 48)?;
            ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point).ok()?;
            Some((DecodingKey::from_ec_der(&point), vec![Algorithm::Es384]))
        }
        ("OKP", Some("Ed25519")) => {
            let public = octets(jwk, "x")?;
            ParsedPublicKey::new(&ED25519, &public).ok()?;
            Some((DecodingKey::from_ed_der(&public), vec![Algorithm::EdDsa]))
        }
        _ => None,
    }
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()
}

/// The uncompressed form of SEC 1 §2.3.3: `04 · x · y`, both of the full length (RFC 7518 §6.2.1.2).
fn point(jwk: &Map<String, Value>, length: usize) -> Option<Vec<u8>> {
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    (x.len() == length && y.len() == length).then(|| [&[0x04][..], &x, &y].concat())
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<(DecodingKey, Vec<Algorithm>)> {
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let significant = modulus.get(first..)?;
    let leading = usize::try_from(significant.first()?.leading_zeros()).ok()?;
    let bits = significant.len().checked_mul(8)?.checked_sub(leading)?;
    // The exponent every issuer uses; small ones have a history of forgeries.
    let sound = (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && exponent == [1, 0, 1];
    sound.then(|| (DecodingKey::from_rsa_raw_components(significant, exponent), RSA.to_vec()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{KeySet, KeySetError, URL_SAFE_NO_PAD};
    use crate::algorithm::{Algorithm, RSA};
    use base64::Engine as _;

    fn all() -> BTreeSet<Algorithm> {
        RSA.into_iter().chain([Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]).collect()
    }

    fn parse(keys: &serde_json::Value) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &all())
    }

    /// An RSA key whose modulus has so many bits.
    fn rsa(bits: usize) -> serde_json::Value {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        if !bits.is_multiple_of(8) {
            modulus[0] >>= 8 - bits % 8;
        }
        json!({ "kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB" })
    }

    #[test]
    fn rsa_keys_have_a_size_floor_and_ceiling() {
        for (bits, usable) in [(1024, false), (2047, false), (2048, true), (2049, true), (8192, true), (8193, false)] {
            assert_eq!(parse(&json!([rsa(bits)])).is_ok(), usable, "{bits}");
        }
        let mut padded = rsa(2047);
        padded["n"] = json!(URL_SAFE_NO_PAD.encode([&[0; 64][..], &[0xff; 128]].concat()));
        assert_eq!(parse(&json!([padded])).unwrap_err(), KeySetError::Unusable);
    }

    #[test]
    fn exponents_other_than_the_usual_one_are_not_used() {
        for exponent in ["AQ", "Aw", "AAEAAQ", "AAAA", ""] {
            let mut key = rsa(2048);
            key["e"] = json!(exponent);
            assert_eq!(parse(&json!([key])).unwrap_err(), KeySetError::Unusable, "{exponent}");
        }
    }

    #[test]
    fn a_set_with_a_secret_in_it_is_refused_whole() {
        let oct = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "o", "alg": "HS256" });
        assert_eq!(parse(&json!([oct])).unwrap_err(), KeySetError::Symmetric);
        assert_eq!(parse(&json!([rsa(2048), oct])).unwrap_err(), KeySetError::Symmetric);
        let mut private = rsa(2048);
        private["d"] = json!("AQAB");
        assert_eq!(parse(&json!([private])).unwrap_err(), KeySetError::Private);
    }

    #[test]
    fn ids_are_unique_and_a_token_without_one_needs_a_single_key() {
        let mut other = rsa(2048);
        assert_eq!(parse(&json!([rsa(2048), other])).unwrap_err(), KeySetError::Ambiguous);
        other["kid"] = json!("s");
        let two = parse(&json!([rsa(2048), other])).unwrap();
        assert!(two.find(Some("r")).is_some() && two.find(Some("s")).is_some());
        assert!(two.find(None).is_none() && two.find(Some("../r")).is_none() && two.find(Some("")).is_none());
        assert!(parse(&json!([rsa(2048)])).unwrap().find(None).is_some());
    }

    #[test]
    fn keys_for_other_purposes_and_algorithms_are_not_used() {
        for (member, value) in [
            ("use", json!("enc")),
            ("use", json!(7)),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!("verify")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("alg", json!("RSA-OAEP")),
            ("alg", json!("ES256")),
            ("alg", json!(null)),
            ("crv", json!("P-256")),
            ("kty", json!("AKP")),
        ] {
            let mut key = rsa(2048);
            key[member] = value.clone();
            assert_eq!(parse(&json!([key])).unwrap_err(), KeySetError::Unusable, "{member} {value}");
        }
        let permitted = BTreeSet::from([Algorithm::Es256]);
        let document = json!({ "keys": [rsa(2048)] }).to_string();
        assert_eq!(KeySet::parse(document.as_bytes(), &permitted).unwrap_err(), KeySetError::Unusable);
        let mut narrowed = rsa(2048);
        narrowed["alg"] = json!("PS256");
        let key = parse(&json!([narrowed])).unwrap().find(Some("r")).unwrap();
        assert!(key.serves(Algorithm::Ps256) && !key.serves(Algorithm::Rs256));
    }

    #[test]
    fn points_off_the_curve_and_of_other_lengths_are_not_used() {
        let half = URL_SAFE_NO_PAD.encode([7; 32]);
        let short = URL_SAFE_NO_PAD.encode([7; 31]);
        for (crv, x, y) in [("P-256", &half, &half), ("P-256", &short, &half), ("P-384", &half, &half)] {
            let key = json!({ "kty": "EC", "crv": crv, "x": x, "y": y, "kid": "e" });
            assert_eq!(parse(&json!([key])).unwrap_err(), KeySetError::Unusable, "{crv}");
        }
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": short, "kid": "d" });
        assert_eq!(parse(&json!([key])).unwrap_err(), KeySetError::Unusable);
    }

    #[test]
    fn what_is_not_a_jwks_is_refused() {
        let many: Vec<_> = (0..101).map(|_| rsa(2048)).collect();
        for (document, error) in [
            ("<html><body>Sign in</body></html>".to_owned(), KeySetError::NotJwks),
            (String::new(), KeySetError::NotJwks),
            ("[]".to_owned(), KeySetError::NotJwks),
            ("{}".to_owned(), KeySetError::NotJwks),
            (r#"{"keys":{}}"#.to_owned(), KeySetError::NotJwks),
            (r#"{"keys":[1]}"#.to_owned(), KeySetError::NotJwks),
            (r#"{"keys":[],"keys":[]}"#.to_owned(), KeySetError::NotJwks),
            (r#"{"keys":[]}"#.to_owned(), KeySetError::Unusable),
            (json!({ "keys": many }).to_string(), KeySetError::TooMany),
        ] {
            assert_eq!(KeySet::parse(document.as_bytes(), &all()).unwrap_err(), error);
        }
    }
}
