//! A client of the demo's HTTP listener, as any SDK is one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use sluice_model::{ExposeSecret as _, Secret};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Demo;

/// What came back.
pub(super) struct Called {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks the demo's model over TLS, checking the broker's certificate, with a token as the API key.
pub(super) async fn call(demo: &Demo, token: &Secret, path: &str, body: &Value) -> Result<Called> {
    let stream = TcpStream::connect(demo.http_address()).await?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(demo.paths().tls().join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("localhost")?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its exchange; what went wrong on it, the exchange says.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::post(format!("/openai/v1{path}"))
        .header(HOST, "localhost")
        .header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let answer = sender.send_request(request).await.context("the broker did not answer")?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(Called { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}
