//! A client of the demo's broker, as any PostgreSQL driver is one.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sluice_model::{ExposeSecret as _, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_rustls::TlsConnector;

use super::Demo;

/// `SSLRequest` (PG docs, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A signed-in client.
pub(super) struct Guest(Client);

impl Guest {
    /// Connects over TLS, checking the broker's certificate, with a token as the password.
    pub(super) async fn connect(demo: &Demo, user: &str, token: &Secret) -> Result<Self> {
        let mut stream = TcpStream::connect(demo.address()).await?;
        stream.write_all(&SSL_REQUEST).await?;
        ensure!(stream.read_u8().await? == b'S', "the broker offers no TLS");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(demo.paths().tls().join("ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("localhost")?, stream).await?;
        let mut config = tokio_postgres::Config::new();
        config.user(user).dbname("shop").password(token.expose_secret()).ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await.context("sign-in failed")?;
        // It ends with its client; what went wrong on it, the client's own call says.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(client))
    }

    /// The rows of a statement, as text; NULL is empty.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let messages = self.0.simple_query(sql).await.with_context(|| format!("`{sql}` failed"))?;
        let rows = messages.iter().filter_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
        });
        Ok(rows.collect())
    }

    /// Runs a statement; how many rows it changed.
    pub(super) async fn run(&self, sql: &str) -> Result<u64> {
        let messages = self.0.simple_query(sql).await?;
        let counts = messages
            .iter()
            .map(|message| if let SimpleQueryMessage::CommandComplete(count) = message { *count } else { 0 });
        Ok(counts.sum())
    }

    /// Runs a statement that must be refused by a rule; what the refusal says.
    pub(super) async fn refused(&self, sql: &str, rule: &str) -> Result<String> {
        let Err(error) = self.0.simple_query(sql).await else { bail!("`{sql}` was not refused") };
        let Some(said) = error.as_db_error() else { bail!("`{sql}` ended the session: {error}") };
        ensure!(
            *said.code() == SqlState::INSUFFICIENT_PRIVILEGE,
            "`{sql}` failed with {}: {}",
            said.code().code(),
            said.message()
        );
        let detail = said.detail().unwrap_or_default();
        ensure!(detail.contains(rule), "`{sql}` was refused, but not by `{rule}`: {} ({detail})", said.message());
        Ok(format!("{} {detail}", said.message()))
    }
}
