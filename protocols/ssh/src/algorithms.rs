//! What is spoken on both sides of the broker: nothing with SHA-1, no CBC, no compression (its bombs would cost memory).

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression};

/// Host keys in the order of preference; none signs with SHA-1 (RFC 8332 §1).
pub(crate) const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// AES-GCM first, which costs half of what ChaCha20 does here.
const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_128_CTR];

/// The algorithms that both sides have in common.
pub(crate) fn preferred() -> Preferred {
    Preferred {
        key: HOST_KEYS.into(),
        cipher: CIPHERS.into(),
        compression: vec![compression::NONE].into(),
        ..Preferred::DEFAULT
    }
}

/// Signatures with SHA-1 (`ssh-rsa`, RFC 8332 §1) and DSA prove nothing any more.
pub(crate) fn is_modern(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Rsa { hash: Some(HashAlg::Sha256 | HashAlg::Sha512) }
            | Algorithm::Ecdsa { .. }
            | Algorithm::Ed25519
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::SkEd25519
    )
}
