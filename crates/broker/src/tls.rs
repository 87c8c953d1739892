//! The certificate that clients see: the configured one, or one of a development authority made on first start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::ServerCertificate;

/// Names the development certificate is good for.
const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the development authority's files are.
#[derive(Debug)]
pub(crate) struct Development {
    /// The authority's certificate, for `sslrootcert`.
    pub(crate) authority: PathBuf,
    /// The files were made by this start.
    pub(crate) made: bool,
}

/// A certificate chain and its key, for every protocol to serve in its own way.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// What a protocol makes of it.
    pub(crate) fn serve<T>(
        &self,
        config: fn(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<T, rustls::Error>,
    ) -> Result<T> {
        let made = config(self.chain.clone(), self.key.clone_key());
        made.context("the certificate and the private key do not belong together")
    }
}

/// The configured certificate.
pub(crate) fn configured(files: &ServerCertificate) -> Result<Certificate> {
    certificate(&files.cert, &files.key)
}

/// The development certificate, made on first use in a folder.
pub(crate) fn development(folder: &Path) -> Result<(Certificate, Development)> {
    let paths = [folder.join("ca.pem"), folder.join("server.pem"), folder.join("server.key")];
    let [authority, cert, key] = &paths;
    let made = !(authority.exists() && cert.exists() && key.exists());
    if made {
        make(folder, authority, cert, key)
            .with_context(|| format!("the development certificate cannot be made in `{}`", folder.display()))?;
    }
    let served = certificate(cert, key)?;
    Ok((served, Development { authority: authority.clone(), made }))
}

fn certificate(cert: &Path, key: &Path) -> Result<Certificate> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("`{}` cannot be read as PEM certificates", cert.display()))?;
    if chain.is_empty() {
        bail!("`{}` holds no certificate", cert.display());
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("`{}` cannot be read as a PEM private key", key.display()))?;
    sluice_postgres::Tls::new(chain.clone(), secret.clone_key())
        .with_context(|| format!("`{}` and `{}` do not belong together", cert.display(), key.display()))?;
    Ok(Certificate { chain, key: secret })
}

/// The certificate is written last, so that a broken first start is made again.
fn make(folder: &Path, authority: &Path, cert: &Path, key: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "Sluice development authority");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut server = CertificateParams::new(DEVELOPMENT_NAMES.map(str::to_owned).to_vec())?;
    server.distinguished_name.push(DnType::CommonName, "Sluice development server");
    let server_key = KeyPair::generate()?;
    let server = server.signed_by(&server_key, &ca)?;

    write(authority, ca.pem().as_bytes(), 0o644)?;
    write(key, server_key.serialize_pem().as_bytes(), 0o600)?;
    write(cert, server.pem().as_bytes(), 0o644)?;
    Ok(())
}

/// Writes beside the file and renames, so that a reader sees all of it or none.
fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(".new");
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&scratch)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&scratch, path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_development_certificate_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tls");
        let (_, first) = development(&folder).unwrap();
        let before = fs::read(&first.authority).unwrap();
        let (_, second) = development(&folder).unwrap();
        assert!(first.made && !second.made);
        assert_eq!(before, fs::read(&second.authority).unwrap());
        let mode = fs::metadata(folder.join("server.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        development(&one).unwrap();
        development(&two).unwrap();
        let files = ServerCertificate { cert: one.join("server.pem"), key: two.join("server.key") };
        let error = configured(&files).unwrap_err().to_string();
        assert!(error.contains("do not belong together"), "{error}");
    }
}
