//! Which hosts are believed to be who they should be.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::target::Target;

/// The keys of one target's host.
#[derive(Debug)]
pub(crate) struct HostKeys {
    pinned: Vec<PublicKey>,
    authorities: Vec<PublicKey>,
}

impl HostKeys {
    /// Reads the keys of a configuration.
    ///
    /// # Errors
    /// With the first line that is no public key.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        let read = |field: &str, lines: &[String]| -> Result<Vec<PublicKey>, String> {
            let key = |line: &String| {
                PublicKey::from_openssh(line)
                    .map_err(|_| format!("`{field}`: `{line}` is no public key, as `ssh-ed25519 AAAA…` is"))
            };
            lines.iter().map(key).collect()
        };
        let keys = Self {
            pinned: read("host_keys", &target.host_keys)?,
            authorities: read("host_authorities", &target.host_authorities)?,
        };
        if keys.pinned.is_empty() && keys.authorities.is_empty() {
            return Err("`host_keys` or `host_authorities` is missing: nobody else says who the host is".to_owned());
        }
        Ok(keys)
    }

    /// Whether what a host shows is believed.
    pub(crate) fn trust(&self, shown: &PublicKeyOrCertificate, host: &str) -> bool {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.is_pinned(key.key_data()),
            // The host has signed with the key that is certified: where that one is listed, nobody has to vouch for it.
            PublicKeyOrCertificate::Certificate(certificate) => {
                self.is_pinned(certificate.public_key()) || self.vouch(certificate, host)
            }
        }
    }

    fn is_pinned(&self, key: &KeyData) -> bool {
        self.pinned.iter().any(|pinned| pinned.key_data() == key)
    }

    /// Whether one of the authorities vouches for a host, now and under this name (OpenSSH's PROTOCOL.certkeys).
    fn vouch(&self, certificate: &Certificate, host: &str) -> bool {
        let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return false };
        let fingerprints: Vec<_> = self.authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        certificate.cert_type() == CertType::Host
            && certificate.critical_options().is_empty()
            && certificate.valid_principals().iter().any(|name| name == host)
            && certificate.validate_at(now.as_secs(), &fingerprints).is_ok()
    }

    /// Whether certificates are asked for.
    pub(crate) fn have_authorities(&self) -> bool {
        !self.authorities.is_empty()
    }
}
