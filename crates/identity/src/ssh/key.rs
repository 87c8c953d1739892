//! Public keys that people sign in with.

use bytes::Bytes;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg};
use thiserror::Error;

/// Longer than any key of 16384 bits with its comment.
const MAX_LINE_BYTES: usize = 8192;
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 16_384;

/// Why a key is not accepted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum KeyError {
    #[error("is not one line `TYPE BASE64 COMMENT`, as in an OpenSSH `.pub` file")]
    Malformed,
    #[error("is a private key; give its `.pub` file")]
    Private,
    #[error("is a certificate; give the key it was made for, or configure its authority in `ssh_authorities`")]
    Certificate,
    #[error("is a DSA key, which is not accepted; make one with `ssh-keygen -t ed25519`")]
    Dsa,
    #[error("is an RSA key of {0} bits; 2048 to 16384 are accepted")]
    RsaSize(usize),
    #[error("is of a type that is not accepted: ed25519, ecdsa, rsa, sk-ssh-ed25519 and sk-ecdsa are")]
    Type,
}

/// A public key that may sign in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    data: KeyData,
    blob: Bytes,
    comment: String,
}

impl PublicKey {
    /// Reads a line of an OpenSSH `.pub` file: RFC 4253 §6.6 in base64, between its type and a comment.
    ///
    /// # Errors
    /// When it is malformed, or of a type or size that is not accepted.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let line = text.trim();
        if line.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if line.len() > MAX_LINE_BYTES || line.contains(['\n', '\r', '\0']) {
            return Err(KeyError::Malformed);
        }
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        if name.ends_with("-cert-v01@openssh.com") {
            return Err(KeyError::Certificate);
        }
        let key = ssh_key::PublicKey::from_openssh(line).map_err(|_| KeyError::Malformed)?;
        let comment = key.comment().as_str_lossy().to_owned();
        Self::new(key.key_data().clone(), comment)
    }

    /// The key in the encoding of RFC 4253 §6.6, as clients show it.
    #[must_use]
    pub const fn blob(&self) -> &Bytes {
        &self.blob
    }

    /// Its type, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> String {
        self.data.algorithm().as_str().to_owned()
    }

    /// What stands behind the key in its line.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// `SHA256:` and base64, as `ssh-keygen -l` shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.data.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) const fn data(&self) -> &KeyData {
        &self.data
    }

    pub(super) fn new(data: KeyData, comment: String) -> Result<Self, KeyError> {
        accept(&data)?;
        let key = ssh_key::PublicKey::new(data, "");
        let blob = key.to_bytes().map_err(|_| KeyError::Malformed)?.into();
        Ok(Self { data: key.key_data().clone(), blob, comment })
    }
}

/// Whether a key is of a type and size that may sign in.
pub(super) fn accept(data: &KeyData) -> Result<(), KeyError> {
    if data.is_certificate() {
        return Err(KeyError::Certificate);
    }
    let algorithm = data.algorithm();
    if let Some(key) = data.rsa() {
        let bits = key.n().as_positive_bytes().map_or(0, bits);
        return if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) { Ok(()) } else { Err(KeyError::RsaSize(bits)) };
    }
    if algorithm == Algorithm::Dsa {
        return Err(KeyError::Dsa);
    }
    let plain = data.is_ed25519() || data.is_ecdsa() || data.is_sk_ed25519() || data.is_sk_ecdsa_p256();
    if plain { Ok(()) } else { Err(KeyError::Type) }
}

fn bits(number: &[u8]) -> usize {
    let leading: usize = number.first().map_or(0, |byte| byte.leading_zeros().try_into().unwrap_or(0));
    (number.len() * 8).saturating_sub(leading)
}
