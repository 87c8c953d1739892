//! Signatures of certificate authorities. Sources: RFC 8032 (Ed25519), RFC 5656 §3.1.2 (ECDSA), RFC 8332 §3 (RSA).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Signature};

/// Whether a signature of a key over a message holds. SHA-1 and everything unknown does not.
pub(super) fn holds(key: &KeyData, message: &[u8], signature: &Signature) -> bool {
    check(key, message, signature).is_some()
}

fn check(key: &KeyData, message: &[u8], signature: &Signature) -> Option<()> {
    let bytes = signature.as_bytes();
    let algorithm = signature.algorithm();
    if let Algorithm::Ecdsa { curve } = algorithm {
        let key = key.ecdsa().filter(|key| key.curve() == curve)?;
        let (by, size): (&'static dyn VerificationAlgorithm, usize) = match curve {
            EcdsaCurve::NistP256 => (&ECDSA_P256_SHA256_FIXED, 32),
            EcdsaCurve::NistP384 => (&ECDSA_P384_SHA384_FIXED, 48),
            EcdsaCurve::NistP521 => (&ECDSA_P521_SHA512_FIXED, 66),
        };
        let (r, rest) = number(bytes, size)?;
        let (s, rest) = number(rest, size)?;
        rest.is_empty().then_some(())?;
        return UnparsedPublicKey::new(by, key.as_ref()).verify(message, &[r, s].concat()).ok();
    }
    // `ssh-rsa` as a signature, which has no hash here, is SHA-1 (RFC 8332 §1).
    if let Algorithm::Rsa { hash: Some(hash) } = algorithm {
        let by = match hash {
            HashAlg::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            HashAlg::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            _ => return None,
        };
        let key = key.rsa()?;
        let (n, e) = (key.n().as_positive_bytes()?, key.e().as_positive_bytes()?);
        return RsaPublicKeyComponents { n, e }.verify(by, message, bytes).ok();
    }
    let key = key.ed25519().filter(|_| algorithm == Algorithm::Ed25519)?;
    UnparsedPublicKey::new(&ED25519, key.as_ref()).verify(message, bytes).ok()
}

/// An `mpint` (RFC 4251 §5) that is positive and minimal, left-padded to a size; and what follows it.
fn number(bytes: &[u8], size: usize) -> Option<(Vec<u8>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (digits, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let digits = match digits {
        [0, next, ..] if *next >= 0x80 => digits.get(1..)?,
        [first, ..] if (1..0x80).contains(first) => digits,
        _ => return None,
    };
    let mut padded = vec![0; size.checked_sub(digits.len())?];
    padded.extend_from_slice(digits);
    Some((padded, rest))
}
