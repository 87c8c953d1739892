//! Channel binding of the type `tls-server-end-point` (RFC 5929 §4): the hash of the server's certificate.

use std::fmt;

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// The name of the type in SCRAM messages (RFC 5802 §4).
pub(crate) const TYPE: &str = "tls-server-end-point";

/// What both ends of a TLS connection know of its server's certificate.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Endpoint(Vec<u8>);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Endpoint {
    /// The binding of a certificate, DER. `None` where its signature names no hash of its own, such as Ed25519: for those
    /// the type is not defined.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let hash = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
            // MD5 and SHA-1 are replaced by SHA-256.
            "1.2.840.113549.1.1.4"
            | "1.2.840.113549.1.1.5"
            | "1.2.840.113549.1.1.11"
            | "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
            "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Sha224::digest(certificate).to_vec(),
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
            _ => return None,
        };
        Some(Self(hash))
    }

    /// The bytes that SCRAM binds.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, bytes) in
            [(&PKCS_ECDSA_P256_SHA256, Some(32)), (&PKCS_ECDSA_P384_SHA384, Some(48)), (&PKCS_ED25519, None)]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let made = CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap();
            let endpoint = Endpoint::of(made.der());
            assert_eq!(endpoint.as_ref().map(|endpoint| endpoint.bytes().len()), bytes);
            if bytes == Some(32) {
                assert_eq!(endpoint.unwrap().bytes(), &Sha256::digest(made.der())[..]);
            }
        }
        assert_eq!(Endpoint::of(b"not a certificate"), None);
    }
}
