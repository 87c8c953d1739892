//! SCRAM-SHA-256 secrets that the broker mints (RFC 5802, RFC 7677).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sluice_model::{ExposeSecret as _, Principal, Secret};
use sluice_wire::ScramParameters;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::MintError;

const SALT_BYTES: usize = 16;
const PASSWORD_BYTES: usize = 32;
const MECHANISM: &str = "SCRAM-SHA-256";

/// How often a password is hashed, 4096 (RFC 7677 §4) to 1,000,000.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Iterations(NonZeroU32);

impl Iterations {
    /// PostgreSQL's own number; enough for passwords of 256 random bits, which are the only ones minted here.
    pub const STANDARD: Self = Self(NonZeroU32::new(4096).unwrap());

    /// Checks a number of iterations.
    #[must_use]
    pub fn new(count: u32) -> Option<Self> {
        NonZeroU32::new(count).filter(|_| (4096..=1_000_000).contains(&count)).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.get()
    }
}

/// What is stored of a password: enough to check a proof, not to make one. Wiped when dropped.
#[derive(Clone)]
pub struct ScramVerifier {
    salt: Vec<u8>,
    iterations: Iterations,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl ScramVerifier {
    /// Mints a random password and its verifier; the password is not kept.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn mint(iterations: Iterations) -> Result<(Secret, Self), MintError> {
        let mut random = Zeroizing::new([0; PASSWORD_BYTES]);
        let mut salt = [0; SALT_BYTES];
        let source = SystemRandom::new();
        source.fill(random.as_mut()).and_then(|()| source.fill(&mut salt)).map_err(|_| MintError::Randomness)?;
        // Base64url is ASCII that SASLprep leaves alone (RFC 4013).
        let password = Secret::from(URL_SAFE_NO_PAD.encode(random.as_ref()));
        let verifier = Self::of(&password, &salt, iterations);
        Ok((password, verifier))
    }

    /// Reads the form PostgreSQL stores: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, all in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (mechanism, cost, keys) = (parts.next()?, parts.next()?, parts.next()?);
        if mechanism != MECHANISM || parts.next().is_some() {
            return None;
        }
        let (count, salt) = cost.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?;
        Some(Self {
            salt,
            iterations: Iterations::new(count.parse().ok()?)?,
            stored_key: STANDARD.decode(stored).ok()?.try_into().ok()?,
            server_key: STANDARD.decode(server).ok()?.try_into().ok()?,
        })
    }

    /// The form PostgreSQL stores. A secret: with `ServerKey` one can pose as the broker.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let encode = |bytes: &[u8]| STANDARD.encode(bytes);
        Secret::from(format!(
            "{MECHANISM}${}:{}${}:{}",
            self.iterations.count(),
            encode(&self.salt),
            encode(&self.stored_key),
            encode(&self.server_key)
        ))
    }

    /// What the server sends first.
    #[must_use]
    pub fn parameters(&self) -> ScramParameters {
        ScramParameters { salt: self.salt.clone(), iterations: self.iterations.count() }
    }

    /// Checks a client's proof in constant time and answers with the server's signature (RFC 5802 §3).
    #[must_use]
    pub fn check(&self, auth_message: &[u8], proof: &[u8; 32]) -> Option<[u8; 32]> {
        let client_signature = sign(&self.stored_key, auth_message);
        let mut client_key = Zeroizing::new([0; 32]);
        for (key, (proof, signature)) in client_key.iter_mut().zip(proof.iter().zip(client_signature)) {
            *key = proof ^ signature;
        }
        let offered = digest::digest(&digest::SHA256, client_key.as_ref());
        verify_slices_are_equal(offered.as_ref(), &self.stored_key).ok()?;
        Some(sign(&self.server_key, auth_message))
    }

    /// `SaltedPassword := Hi(password, salt, i)`, `StoredKey := H(HMAC(SaltedPassword, "Client Key"))`,
    /// `ServerKey := HMAC(SaltedPassword, "Server Key")`.
    fn of(password: &Secret, salt: &[u8], iterations: Iterations) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        let password = password.expose_secret().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations.0, salt, password, salted.as_mut());
        let client_key = Zeroizing::new(sign(salted.as_ref(), b"Client Key"));
        let mut stored_key = [0; 32];
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref());
        Self { salt: salt.to_vec(), iterations, stored_key, server_key: sign(salted.as_ref(), b"Server Key") }
    }
}

impl Drop for ScramVerifier {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations.count()).finish_non_exhaustive()
    }
}

fn sign(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut signature = [0; 32];
    signature.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref());
    signature
}

/// A user who signs in by SCRAM.
#[derive(Clone, Debug)]
pub struct ScramLogin {
    pub verifier: ScramVerifier,
    /// Who that is, until when, and by which handle it is revoked.
    pub principal: Principal,
}

/// Knows the users who sign in by SCRAM; asked at every sign-in, so it must not block.
pub trait ScramSecrets: Send + Sync {
    /// The login of a user name.
    fn find(&self, user: &str) -> Option<Arc<ScramLogin>>;
}

/// The logins, in memory; the store or the configuration feeds it.
#[derive(Debug, Default)]
pub struct ScramLogins(RwLock<BTreeMap<String, Arc<ScramLogin>>>);

impl ScramLogins {
    /// Adds or replaces a login.
    pub fn put(&self, user: impl Into<String>, login: ScramLogin) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(user.into(), Arc::new(login));
    }

    /// Takes a login away.
    pub fn remove(&self, user: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}

impl ScramSecrets for ScramLogins {
    fn find(&self, user: &str) -> Option<Arc<ScramLogin>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(user).map(Arc::clone)
    }
}

/// Plays the server for users that do not exist: the same salt for the same name, and no proof that would pass.
#[derive(Debug)]
pub(crate) struct Stranger {
    secret: Zeroizing<[u8; 32]>,
    iterations: Iterations,
}

impl Stranger {
    /// `secret` outlives restarts, or a salt that changes would tell strangers apart.
    pub(crate) const fn new(secret: Zeroizing<[u8; 32]>, iterations: Iterations) -> Self {
        Self { secret, iterations }
    }

    /// A verifier whose preimage nobody knows.
    pub(crate) fn verifier(&self, user: &str) -> ScramVerifier {
        let made_up = |purpose: &str| sign(self.secret.as_ref(), [purpose, user].concat().as_bytes());
        let salt = made_up("salt:").into_iter().take(SALT_BYTES).collect();
        let (stored_key, server_key) = (made_up("stored:"), made_up("server:"));
        ScramVerifier { salt, iterations: self.iterations, stored_key, server_key }
    }
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
