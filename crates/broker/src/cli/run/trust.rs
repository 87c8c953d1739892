//! Whom the clients of a run must trust to reach the broker.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::endpoints::Endpoints;
use crate::cli::output::hint;
use crate::config::Config;
use crate::paths::Paths;
use crate::tls;

/// The authority behind the broker's certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trust {
    /// A configured certificate: whoever configured it knows who trusts it.
    Configured,
    /// The development certificate, which nobody trusts by himself.
    Development {
        authority: PathBuf,
        /// The system's authorities and this one, where a client needs them in one file.
        bundle: Option<PathBuf>,
    },
}

/// Finds out, and makes what clients need.
pub(super) fn establish(config: &Config, paths: &Paths, endpoints: &Endpoints) -> Result<Trust> {
    if config.listen.tls.is_some() {
        return Ok(Trust::Configured);
    }
    // Absolute: the command may change its folder.
    let folder = std::path::absolute(paths.tls())?;
    let (_, development) = tls::development(&folder)?;
    let authority = development.authority;
    let bundle = match &endpoints.http {
        Some(_) => Some(bundle(&folder, &authority).context("the bundle of authorities cannot be made")?),
        None => None,
    };
    Ok(Trust::Development { authority, bundle })
}

/// Writes the system's authorities and one more into one file. A caller's own `SSL_CERT_FILE` counts as the system's.
fn bundle(folder: &Path, authority: &Path) -> Result<PathBuf> {
    let own = CertificateDer::from_pem_file(authority)?;
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        hint("note: the system has no certificate authorities: over TLS the command reaches only the broker");
    }
    let mut seen = BTreeSet::from([own.to_vec()]);
    let others = found.certs.iter().filter(|certificate| seen.insert(certificate.to_vec()));
    let text: String = others.chain([&own]).map(|certificate| pem(certificate)).collect();
    let path = folder.join("bundle.pem");
    if fs::read(&path).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(path);
    }
    // Several runs may begin at once, and each reads all of it or none.
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(text.as_bytes())?;
    draft.persist(&path)?;
    Ok(path)
}

/// RFC 7468 §5.1.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let encoded = BASE64.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = encoded.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        text.extend([line, "\n"]);
        rest = after;
    }
    if !rest.is_empty() {
        text.extend([rest, "\n"]);
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_bundle_has_every_authority_once_and_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_, development) = tls::development(dir.path()).unwrap();
        let path = bundle(dir.path(), &development.authority).unwrap();
        let read = |path: &Path| -> Vec<Vec<u8>> {
            let certificates = CertificateDer::pem_file_iter(path).unwrap();
            certificates.map(|certificate| certificate.unwrap().to_vec()).collect()
        };
        let (all, own) = (read(&path), read(&development.authority));
        assert_eq!(all.last(), own.first());
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(bundle(dir.path(), &development.authority).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }
}
