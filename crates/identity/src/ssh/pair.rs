//! Pairs of keys that are made here.

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sluice_model::Secret;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::PublicKey;

/// There is no randomness to make a key of.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("no key could be generated")]
pub struct NoKey;

/// A new Ed25519 key (RFC 8032 §5.1) and its public half.
#[derive(Debug)]
pub struct NewKey {
    private: Secret,
    public: PublicKey,
}

impl NewKey {
    /// Makes a key that nobody else has.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, NoKey> {
        let key = generate().ok_or(NoKey)?;
        let public = PublicKey::new(key.public_key().key_data().clone(), String::new()).map_err(|_| NoKey)?;
        let private = Secret::from(document(&key).ok_or(NoKey)?.as_str());
        Ok(Self { private, public })
    }

    /// The private key in OpenSSH's form, a PEM text. Source: OpenSSH's PROTOCOL.key.
    #[must_use]
    pub const fn private(&self) -> &Secret {
        &self.private
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

pub(super) fn generate() -> Option<PrivateKey> {
    let pair = Ed25519KeyPair::generate().ok()?;
    let seed = pair.seed().ok()?.as_be_bytes().ok()?;
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_ref()).ok()?);
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey::try_from(pair.public_key().as_ref()).ok()?,
        private: Ed25519PrivateKey::from_bytes(&seed),
    };
    Some(PrivateKey::from(pair))
}

pub(super) fn document(key: &PrivateKey) -> Option<Zeroizing<String>> {
    key.to_openssh(LineEnding::LF).ok()
}
