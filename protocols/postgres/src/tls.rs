//! TLS on both sides of the broker.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::target::ServerTls;

/// The application protocol of PostgreSQL (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>).
pub(crate) const ALPN: &[u8] = b"postgresql";

/// Why there is no TLS configuration towards a server.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("the system has no certificate authorities; name a file with `tls: {{ca: …}}`")]
    NoAuthorities,
    #[error("the authorities in `{}` cannot be read", .0.display())]
    Unreadable(PathBuf),
    #[error("TLS cannot be configured")]
    Unusable(#[from] rustls::Error),
}

/// The TLS side of the listener: TLS 1.2 and 1.3, with the application protocol that direct TLS requires.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The certificate authorities that servers are checked against.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    /// The system's own, read once: they are many.
    system: OnceCell<Arc<ClientConfig>>,
}

impl Authorities {
    /// The configuration of a connection to a server; `None` where the target has none.
    pub(crate) async fn config(&self, tls: &ServerTls) -> Result<Option<Arc<ClientConfig>>, TlsError> {
        match tls {
            ServerTls::VerifyFull => {
                let system = self.system.get_or_try_init(|| off_the_reactor(system_roots));
                system.await.cloned().map(Some)
            }
            ServerTls::Ca(path) => {
                let path = path.clone();
                off_the_reactor(move || file_roots(path)).await.map(Some)
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
) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = spawn_blocking(roots).await.map_err(|_| TlsError::NoAuthorities)??;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
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
            assert_eq!(authorities.config(&ServerTls::Ca(path)).await.is_ok(), good, "{name}");
        }
        assert!(authorities.config(&ServerTls::DangerousPlaintext).await.unwrap().is_none());
    }
}
