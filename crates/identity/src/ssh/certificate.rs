//! What a certificate says, checked rule by rule. Source: OpenSSH's PROTOCOL.certkeys.

use std::net::IpAddr;

use sluice_model::{Digest, UnixMicros};
use ssh_key::Certificate;
use ssh_key::public::KeyData;
use thiserror::Error;

use super::key::{self, KeyError};
use super::{signature, source};

/// A certificate of OpenSSH has some hundred bytes; with keys of 16384 bits a few thousand.
const MAX_BYTES: usize = 16 * 1024;
const MAX_PRINCIPAL_BYTES: usize = 64;

/// Why a key or certificate was not believed: for the operator's log, never for the client.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CertificateError {
    #[error("the key is nobody's")]
    UnknownKey,
    #[error("the certificate is malformed")]
    Malformed,
    #[error("the authority is not configured")]
    UnknownAuthority,
    #[error("the signature does not hold")]
    Signature,
    #[error("not a user certificate")]
    Kind,
    #[error("the certified key is of a type or size that is not accepted")]
    Key,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYetValid,
    #[error("valid for longer than the authority may grant")]
    Lifetime,
    #[error("not for exactly one principal of A-Z a-z 0-9 . _ @ -")]
    Principals,
    #[error("a critical option that is not known")]
    CriticalOption,
    #[error("the client's address is not one the certificate is for")]
    SourceAddress,
    #[error("revoked")]
    Revoked,
}

/// A certificate that was read; nothing of it is believed yet.
#[derive(Debug)]
pub(super) struct Shown {
    certificate: Certificate,
    /// Everything before the signature, as it came.
    signed: Vec<u8>,
}

impl Shown {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_BYTES {
            return Err(CertificateError::Malformed);
        }
        let certificate = Certificate::from_bytes(bytes).map_err(|_| CertificateError::Malformed)?;
        // What was read must be all that was signed: another spelling of the same fields is refused.
        if certificate.to_bytes().ok().as_deref() != Some(bytes) {
            return Err(CertificateError::Malformed);
        }
        let signature = Vec::try_from(certificate.signature().clone()).map_err(|_| CertificateError::Malformed)?;
        let end = bytes.len().checked_sub(signature.len() + 4).ok_or(CertificateError::Malformed)?;
        let signed = bytes.get(..end).ok_or(CertificateError::Malformed)?.to_vec();
        Ok(Self { certificate, signed })
    }

    /// The key that signed it, it says.
    pub(super) fn authority(&self) -> &KeyData {
        self.certificate.signature_key()
    }

    /// The key it is for.
    pub(super) fn key(&self) -> &KeyData {
        self.certificate.public_key()
    }

    pub(super) fn serial(&self) -> u64 {
        self.certificate.serial()
    }

    /// The digest of what is signed: the signature itself could be spelled in several ways.
    pub(super) fn digest(&self) -> Digest {
        Digest::of_parts([self.signed.as_slice()])
    }

    /// Checks it for a client at a moment; gives its one principal and its end.
    pub(super) fn check(
        &self,
        client: IpAddr,
        now: UnixMicros,
        max_lifetime_seconds: u64,
    ) -> Result<(&str, UnixMicros), CertificateError> {
        if !signature::holds(self.authority(), &self.signed, self.certificate.signature()) {
            return Err(CertificateError::Signature);
        }
        if !self.certificate.cert_type().is_user() {
            return Err(CertificateError::Kind);
        }
        key::accept(self.key()).map_err(|_: KeyError| CertificateError::Key)?;
        let expires = self.check_times(now, max_lifetime_seconds)?;
        let principal = self.principal()?;
        self.check_options(client)?;
        Ok((principal, expires))
    }

    /// `valid after <= now < valid before`.
    fn check_times(&self, now: UnixMicros, max_lifetime_seconds: u64) -> Result<UnixMicros, CertificateError> {
        let (after, before) = (self.certificate.valid_after(), self.certificate.valid_before());
        let now = u64::try_from(now.seconds()).unwrap_or(0);
        if now < after {
            return Err(CertificateError::NotYetValid);
        }
        if now >= before {
            return Err(CertificateError::Expired);
        }
        if before - after > max_lifetime_seconds {
            return Err(CertificateError::Lifetime);
        }
        let before = i64::try_from(before).map_err(|_| CertificateError::Lifetime)?;
        Ok(UnixMicros(0).plus_seconds(before))
    }

    /// The one principal. An empty list means anybody and a comma splits a name in OpenSSH up to 10.2 (CVE-2026-35414):
    /// both are refused.
    fn principal(&self) -> Result<&str, CertificateError> {
        let [one] = self.certificate.valid_principals() else { return Err(CertificateError::Principals) };
        let clean = one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
        let fits = !one.is_empty() && one.len() <= MAX_PRINCIPAL_BYTES;
        if fits && clean { Ok(one) } else { Err(CertificateError::Principals) }
    }

    /// Every critical option must be understood; `force-command` and `verify-required` could not be kept here.
    fn check_options(&self, client: IpAddr) -> Result<(), CertificateError> {
        for (name, value) in self.certificate.critical_options().iter() {
            if name != "source-address" {
                return Err(CertificateError::CriticalOption);
            }
            match source::admits(value, client) {
                Some(true) => {}
                Some(false) => return Err(CertificateError::SourceAddress),
                None => return Err(CertificateError::CriticalOption),
            }
        }
        Ok(())
    }
}
