//! Tokens of an issuer that only tests know, good ones and bad ones.
#![expect(clippy::expect_used, reason = "test support: what cannot be made fails the test")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The issuer's `iss`.
pub const ISSUER: &str = "https://id.tests.invalid";
/// The audience that means the broker.
pub const AUDIENCE: &str = "sluice";
const KEY_ID: &str = "k1";

/// An issuer with one key.
#[derive(Debug)]
pub struct Issuer {
    key: Ed25519KeyPair,
}

impl Issuer {
    /// A new issuer.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn new() -> Self {
        Self { key: Ed25519KeyPair::generate().expect("randomness") }
    }

    /// Its keys, as a JWKS document.
    #[must_use]
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "use": "sig", "alg": "EdDSA", "x": x });
        json!({ "keys": [key] }).to_string()
    }

    /// The claims of a good token for someone in a group.
    ///
    /// # Panics
    /// When the clock stands before 1970.
    #[must_use]
    pub fn claims(subject: &str, group: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "nbf": now, "exp": now + 600,
            "groups": [group], "jti": format!("{subject}-1"),
        })
    }

    /// A signed token.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let head = part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": KEY_ID }));
        let signed = format!("{head}.{}", part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}

/// A token that nobody signed.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
