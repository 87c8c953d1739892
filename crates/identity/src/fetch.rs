//! Reading a JWKS document from where an issuer publishes it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

/// The largest document that is read.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// How long a whole exchange may take: name, connection, TLS, headers and body.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Why a document was not read.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error("no answer within 5 seconds")]
    Slow,
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the exchange failed")]
    Exchange(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
}

/// A document and how long it may be believed.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) document: Bytes,
    /// `max-age` of the answer (RFC 9111 §5.2.2.1), where it has one.
    pub(crate) max_age_seconds: Option<u32>,
}

/// Which version of a file was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanos: i64,
}

impl From<Metadata> for Stamp {
    fn from(metadata: Metadata) -> Self {
        Self { inode: metadata.ino(), length: metadata.len(), seconds: metadata.mtime(), nanos: metadata.mtime_nsec() }
    }
}

/// Where an issuer publishes its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Location {
    File(PathBuf),
    Url(Uri),
}

impl Location {
    /// Reads a configured location: an `https` URL, an `http` URL of this machine, or an absolute path.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('/') {
            return Ok(Self::File(text.into()));
        }
        let uri: Uri = text.parse().map_err(|_| "is neither a URL nor an absolute path")?;
        let host = uri.host().unwrap_or_default();
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("must not carry a user or password");
        }
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => Ok(Self::Url(uri)),
            Some("http") if loopback(host) => Ok(Self::Url(uri)),
            Some("http") => Err("may use http only for this machine; use https"),
            _ => Err("is neither a URL nor an absolute path"),
        }
    }
}

fn loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// An HTTP client that keeps nothing: no redirects, no cookies, no idle connections.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    /// A client that trusts the operating system's roots (`SSL_CERT_FILE` replaces them); where there are none, no
    /// `https` issuer is believed.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider.clone()) {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "no trusted roots were found, so https issuers cannot be reached");
                let tls = rustls::ClientConfig::builder_with_provider(provider.into())
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth();
                HttpsConnectorBuilder::new().with_tls_config(tls)
            }
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
    }

    /// Reads a URL within the limits. Cancel-safe: nothing is kept of an unfinished exchange.
    pub(crate) async fn get(&self, uri: &Uri) -> Result<Fetched, FetchError> {
        tokio::time::timeout(DEADLINE, self.exchange(uri)).await.map_err(|_| FetchError::Slow)?
    }

    async fn exchange(&self, uri: &Uri) -> Result<Fetched, FetchError> {
        let request = Request::get(uri)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, "sluice")
            .body(Empty::new())
            .map_err(|error| FetchError::Exchange(error.into()))?;
        let answer = self.0.request(request).await.map_err(|error| FetchError::Exchange(error.into()))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let max_age_seconds = answer.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
        let document = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                FetchError::TooLarge
            } else {
                FetchError::Exchange(error)
            }
        })?;
        Ok(Fetched { document: document.to_bytes(), max_age_seconds })
    }
}

fn max_age(value: &str) -> Option<u32> {
    value.split(',').find_map(|directive| directive.trim().strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

/// Which version of a file stands there.
pub(crate) async fn stamp(path: &Path) -> Result<Stamp, FetchError> {
    let metadata = tokio::fs::metadata(path).await.map_err(FetchError::File)?;
    if metadata.is_file() {
        Ok(metadata.into())
    } else {
        Err(FetchError::File(std::io::Error::other("not a regular file")))
    }
}

/// Reads a file within the size limit.
pub(crate) async fn read(path: &Path) -> Result<Fetched, FetchError> {
    let mut document = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let file = tokio::fs::File::open(path).await.map_err(FetchError::File)?;
    file.take(limit).read_to_end(&mut document).await.map_err(FetchError::File)?;
    if document.len() > MAX_BYTES {
        return Err(FetchError::TooLarge);
    }
    Ok(Fetched { document: document.into(), max_age_seconds: None })
}

#[cfg(test)]
mod tests {
    use super::{Location, max_age};

    #[test]
    fn locations_are_https_this_machine_or_a_path() {
        for good in [
            "/etc/sluice/jwks.json",
            "https://idp.example.com/jwks",
            "https://idp.example.com:8443/a?b=c",
            "http://127.0.0.1:9000/jwks",
            "http://127.1.2.3/jwks",
            "http://[::1]:9000/jwks",
            "http://localhost:9000/jwks",
        ] {
            assert!(Location::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "jwks.json",
            "./jwks.json",
            "ftp://example.com/x",
            "file:///etc/passwd",
            "http://idp.example.com/jwks",
            "http://127.0.0.1.example.com/jwks",
            "http://localhost.example.com/jwks",
            "http://127.0.0.1@example.com/jwks",
            "https://user:password@idp.example.com/jwks",
            "https://",
            "http://169.254.169.254/latest",
            "http://0.0.0.0/jwks",
        ] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn max_age_is_found_among_the_directives() {
        assert_eq!(max_age("public, max-age=600, must-revalidate"), Some(600));
        assert_eq!(max_age("max-age=0"), Some(0));
        for none in ["", "no-store", "max-age=-1", "max-age=99999999999", "s-maxage=5"] {
            assert_eq!(max_age(none), None, "{none}");
        }
    }
}
