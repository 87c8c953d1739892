#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsAcceptor;

use super::{SSL_REQUEST, Secrecy, secure};
use crate::tls::Tls;

fn certificate(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.der().clone(), PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// What comes of asking a server that answers with these bytes for TLS.
async fn answered(bytes: &[u8]) -> String {
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(bytes).await.unwrap();
    theirs.shutdown().await.unwrap();
    let config = trusting(&certificate("db").0);
    let result = secure(Box::new(ours), "db", config).await;
    let mut asked = [0; 8];
    theirs.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, SSL_REQUEST);
    result.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn answers_to_an_ssl_request() {
    assert_eq!(answered(b"N").await, "the server does not offer TLS");
    assert!(answered(b"E\0\0\0\x20").await.contains("neither yes nor no"));
    assert!(answered(b"SR\0\0\0\x08\0\0\0\0").await.contains("unencrypted data"));
    assert_eq!(answered(b"").await, "the server closed the connection");
    assert_eq!(answered(b"S").await, "the server closed the connection");
}

/// What comes of a server that calls itself `named` and is dialled as `dialled`.
async fn handshake(named: &str, dialled: &str, trusted: Option<&str>) -> Result<u8, String> {
    let (chain, key) = certificate(named);
    let config = trusting(&trusted.map_or_else(|| chain.clone(), |other| certificate(other).0));
    let acceptor = TlsAcceptor::from(Tls::new(vec![chain], key).unwrap().config);
    let (ours, mut theirs) = duplex(64 * 1024);
    let server = async {
        if theirs.read_exact(&mut [0; 8]).await.is_err() {
            return;
        }
        theirs.write_all(b"S").await.unwrap();
        if let Ok(mut tls) = acceptor.accept(theirs).await {
            let _ = tls.write_all(b"!").await;
            let _ = tls.flush().await;
        }
    };
    let client = async {
        let mut transport = secure(Box::new(ours), dialled, config).await.map_err(|error| error.to_string())?;
        assert!(matches!(transport.secrecy, Secrecy::Tls(Some(_))));
        transport.stream.read_u8().await.map_err(|error| error.to_string())
    };
    tokio::join!(client, server).0
}

#[tokio::test]
async fn certificates() {
    assert_eq!(handshake("db.example", "db.example", None).await, Ok(b'!'));
    assert_eq!(handshake("127.0.0.1", "127.0.0.1", None).await, Ok(b'!'));
    for (named, dialled, trusted) in [
        ("other.example", "db.example", None),
        ("db.example", "db.example", Some("db.example")),
        ("127.0.0.2", "127.0.0.1", None),
        ("db.example", "not a name", None),
    ] {
        let message = handshake(named, dialled, trusted).await.unwrap_err();
        assert!(message.starts_with("the server's certificate is not valid"), "{named} {dialled}: {message}");
    }
}
