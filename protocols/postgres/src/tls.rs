//! TLS on both sides of the broker.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::binding::Endpoint;
use crate::target::{ClientCertificate, ServerTls};

/// The application protocol of PostgreSQL (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>).
pub(crate) const ALPN: &[u8] = b"postgresql";

/// Why there is no TLS configuration towards a server.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("the system has no certificate authorities; name a file with `tls: {{ca: …}}`")]
    NoAuthorities,
    #[error("the authorities in `{}` cannot be read", .0.display())]
    Unreadable(PathBuf),
    #[error("the broker's certificate or its key cannot be read from `{}`", .0.display())]
    NoCertificate(PathBuf),
    #[error("others than its owner can reach the key `{}`; make it 0600", .0.display())]
    Exposed(PathBuf),
    #[error("TLS cannot be configured")]
    Unusable(#[from] rustls::Error),
}

/// The TLS side of the listener.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// What SCRAM is bound to, where the certificate allows it.
    pub(crate) endpoint: Option<Endpoint>,
}

impl Tls {
    /// TLS 1.2 and 1.3 with a certificate chain and its key. Clients are asked for certificates and need not have one.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        let endpoint = chain.first().and_then(|certificate| Endpoint::of(certificate));
        Ok(Self { config: Arc::new(server_config(chain, key)?), endpoint })
    }
}

/// With the application protocol that direct TLS requires.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(Holders(provider)))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Takes the certificate of any client that holds its key, because authorities are configured and replaced elsewhere:
/// a certificate taken here is nobody's until it is claimed and checked, see [`sluice_wire::Claim::Tls`].
#[derive(Debug)]
struct Holders(Arc<CryptoProvider>);

impl ClientCertVerifier for Holders {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate authorities that servers are checked against.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    /// The system's own, read once: they are many.
    system: OnceCell<Arc<ClientConfig>>,
}

impl Authorities {
    /// The configuration of a connection to a server; `None` where the target has none.
    pub(crate) async fn config(
        &self,
        tls: &ServerTls,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Option<Arc<ClientConfig>>, TlsError> {
        let certificate = certificate.cloned();
        match tls {
            ServerTls::VerifyFull if certificate.is_none() => {
                let system = self.system.get_or_try_init(|| off_the_reactor(system_roots, None));
                system.await.cloned().map(Some)
            }
            ServerTls::VerifyFull => off_the_reactor(system_roots, certificate).await.map(Some),
            ServerTls::Ca(path) => {
                let path = path.clone();
                off_the_reactor(move || file_roots(path), certificate).await.map(Some)
            }
            ServerTls::DangerousPlaintext => Ok(None),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

async fn off_the_reactor(
    roots: impl FnOnce() -> Result<RootCertStore, TlsError> + Send + 'static,
    certificate: Option<ClientCertificate>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let read = move || Ok::<_, TlsError>((roots()?, certificate.map(shown).transpose()?));
    let (roots, shown) = spawn_blocking(read).await.map_err(|_| TlsError::NoAuthorities)??;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // PostgreSQL resumes no sessions, and the room for them takes 16 KiB of each connection.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The broker's own certificate towards a server.
fn shown(files: ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let ClientCertificate { cert, key } = files;
    let mode = std::fs::metadata(&key).map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    match mode {
        Ok(mode) if mode & 0o077 == 0 => {}
        Ok(_) => return Err(TlsError::Exposed(key)),
        Err(_) => return Err(TlsError::NoCertificate(key)),
    }
    let chain = CertificateDer::pem_file_iter(&cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::NoCertificate(cert))?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|_| TlsError::NoCertificate(key))?;
    Ok((chain, secret))
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Systems carry authorities that rustls cannot read; the others still count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn file_roots(path: PathBuf) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Ok(certificates) = CertificateDer::pem_file_iter(&path) else { return Err(TlsError::Unreadable(path)) };
    for certificate in certificates {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        if added.is_none() {
            return Err(TlsError::Unreadable(path));
        }
    }
    if roots.is_empty() { Err(TlsError::Unreadable(path)) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn authorities_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let authorities = Authorities::default();
        let pem = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap().cert.pem();
        let torn = pem.replace("MII", "!!!");
        for (name, text, good) in [
            ("good", Some(pem.as_str()), true),
            ("empty", Some(""), false),
            ("torn", Some(torn.as_str()), false),
            ("missing", None, false),
        ] {
            let path = dir.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            assert_eq!(authorities.config(&ServerTls::Ca(path), None).await.is_ok(), good, "{name}");
        }
        assert!(authorities.config(&ServerTls::DangerousPlaintext, None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_certificate_for_servers() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["broker".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["broker".to_owned()]).unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let ca = file("ca", &made.cert.pem(), 0o644);
        let key = made.signing_key.serialize_pem();
        for (name, key, good) in [
            ("good", file("good", &key, 0o600), true),
            ("readable by others", file("exposed", &key, 0o640), false),
            ("of another certificate", file("other", &other.signing_key.serialize_pem(), 0o600), false),
            ("torn", file("torn", "-----BEGIN", 0o600), false),
            ("missing", dir.path().join("missing"), false),
        ] {
            let certificate = ClientCertificate { cert: ca.clone(), key };
            let config = Authorities::default().config(&ServerTls::Ca(ca.clone()), Some(&certificate)).await;
            assert_eq!(config.is_ok(), good, "{name}");
        }
        let certificate = ClientCertificate { cert: file("empty", "", 0o644), key: file("key", &key, 0o600) };
        assert!(Authorities::default().config(&ServerTls::Ca(ca), Some(&certificate)).await.is_err());
    }
}
