//! Certificates that TLS clients show (RFC 5280): whose they are, by configured authorities.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError as Invalid, RootCertStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_model::{Group, Principal, TokenId, UnixMicros};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::authority::{self, Configured, Mistake};
use crate::error::ConfigError;
use crate::issuer::Kind;
use crate::ssh::CertificateError;

const MAX_PRINCIPAL_BYTES: usize = 128;
/// Certificates that a client may show; chains have two or three.
const MAX_CHAIN: usize = 8;
/// Certificates of people are commonly made for a year.
const YEAR_SECONDS: u32 = 366 * 86_400;

/// An authority whose client certificates are accepted, as the configuration names it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthorityConfig {
    /// Its name here: the first half of every principal's name, `name:subject`.
    pub name: String,
    /// PEM file: the certificates of the authority.
    pub ca: PathBuf,
    /// Which name in a certificate is its principal's; there must be exactly one.
    #[serde(default)]
    pub subject: Subject,
    /// What its principals are.
    #[serde(default = "default_kind")]
    pub kind: Kind,
    /// The groups that everybody with a certificate of it has.
    #[serde(default)]
    #[schemars(with = "BTreeSet<String>")]
    pub groups: BTreeSet<Group>,
    /// The longest time, in seconds, for which its certificates may be made.
    #[serde(default = "default_max_lifetime")]
    pub max_lifetime: u32,
    /// Certificates that do not count any more, by their serial numbers in hexadecimal digits.
    #[serde(default)]
    pub revoked_serials: BTreeSet<String>,
    /// PEM file: revocation lists of the authority. A certificate whose authority has no list there is refused.
    #[serde(default)]
    pub crl: Option<PathBuf>,
}

/// Where in a certificate a principal's name stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The alternative name that is a DNS name.
    Dns,
    /// The alternative name that is a URI, such as a SPIFFE ID.
    Uri,
}

const fn default_kind() -> Kind {
    Kind::User
}

const fn default_max_lifetime() -> u32 {
    YEAR_SECONDS
}

/// The authorities of a configuration, with their files read.
#[derive(Debug, Default)]
pub struct ClientAuthorities(Vec<Authority>);

impl ClientAuthorities {
    /// Checks a configuration and reads the files it names.
    ///
    /// # Errors
    /// When an authority is configured wrongly; every mistake is reported.
    pub fn open(configs: &[ClientAuthorityConfig]) -> Result<Self, Vec<ConfigError>> {
        authority::open_all(configs).map(Self)
    }

    /// Believes the certificates that a client showed at a moment, its own first, or says exactly why not.
    ///
    /// # Errors
    /// When they do not hold.
    pub fn check(&self, chain: &[Bytes], now: UnixMicros) -> Result<Principal, CertificateError> {
        let Some((own, issuers)) = chain.split_first() else { return Err(CertificateError::Malformed) };
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::Malformed);
        }
        let own = CertificateDer::from_slice(own);
        let issuers: Vec<_> = issuers.iter().map(|issuer| CertificateDer::from_slice(issuer)).collect();
        let mut why = CertificateError::UnknownAuthority;
        for authority in &self.0 {
            match authority.verify(&own, &issuers, now) {
                Ok(()) => return authority.principal(&own),
                Err(CertificateError::UnknownAuthority) => {}
                Err(closer) => why = closer,
            }
        }
        Err(why)
    }
}

#[derive(Debug)]
struct Authority {
    config: ClientAuthorityConfig,
    roots: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Configured for Authority {
    type Config = ClientAuthorityConfig;

    fn name(config: &ClientAuthorityConfig) -> &str {
        &config.name
    }

    fn twin(&self, other: &Self) -> Option<&'static str> {
        let shared = self.roots.iter().any(|root| other.roots.contains(root));
        (other.config.name == self.config.name).then_some("name").or(shared.then_some("ca"))
    }

    fn open(config: &ClientAuthorityConfig) -> Result<Self, Mistake> {
        authority::check(&config.name, config.max_lifetime)?;
        let hex = |serial: &String| {
            let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            !serial.is_empty() && serial.bytes().all(digits) && !serial.starts_with('0')
        };
        if !config.revoked_serials.iter().all(hex) {
            return Err(("revoked_serials", "are lower case hexadecimal digits without leading zeros".to_owned()));
        }
        let roots = Self::roots(&config.ca)?;
        let verifier = Self::verifier(config, &roots)?;
        Ok(Self { config: config.clone(), roots, verifier })
    }
}

impl Authority {
    fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Mistake> {
        let text = authority::read("ca", path)?;
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let roots = roots.ok().filter(|roots| !roots.is_empty());
        roots.ok_or(("ca", format!("cannot be read from `{}` as PEM certificates", path.display())))
    }

    fn verifier(
        config: &ClientAuthorityConfig,
        roots: &[CertificateDer<'static>],
    ) -> Result<Arc<dyn ClientCertVerifier>, Mistake> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store
                .add(root.clone())
                .map_err(|_| ("ca", "holds a certificate that cannot be an authority's".to_owned()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        if let Some(path) = &config.crl {
            let text = authority::read("crl", path)?;
            let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
            let lists = lists.ok().filter(|lists| !lists.is_empty());
            let lists = lists.ok_or(("crl", format!("cannot be read from `{}` as PEM lists", path.display())))?;
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        builder
            .build()
            .map_err(|error| (if config.crl.is_some() { "crl" } else { "ca" }, format!("cannot be used: {error}")))
    }

    /// Signatures up to a root, times, the purpose of the certificate, revocation lists.
    fn verify(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixMicros,
    ) -> Result<(), CertificateError> {
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match self.verifier.verify_client_cert(own, issuers, now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(invalid)) => Err(reason(&invalid)),
            Err(_) => Err(CertificateError::Malformed),
        }
    }

    fn principal(&self, own: &CertificateDer<'_>) -> Result<Principal, CertificateError> {
        let Ok((_, parsed)) = X509Certificate::from_der(own) else { return Err(CertificateError::Malformed) };
        let (after, before) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        if before.saturating_sub(after) > i64::from(self.config.max_lifetime) {
            return Err(CertificateError::Lifetime);
        }
        let digits: String = parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        let serial = digits.trim_start_matches('0');
        if self.config.revoked_serials.contains(serial) {
            return Err(CertificateError::Revoked);
        }
        let ClientAuthorityConfig { name, kind, groups, .. } = &self.config;
        let who = authority::who(name, *kind, &subject(&parsed, self.config.subject)?, groups.clone());
        let token = TokenId::new(format!("tls:{}:{serial}", self.config.name));
        let token = token.map_err(|_| CertificateError::Malformed)?;
        Ok(Principal { who, token, expires: UnixMicros(0).plus_seconds(before), targets: None, run: None })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong, or comes to be, makes it malformed")]
fn reason(invalid: &Invalid) -> CertificateError {
    match invalid {
        Invalid::Expired | Invalid::ExpiredContext { .. } => CertificateError::Expired,
        Invalid::NotValidYet | Invalid::NotValidYetContext { .. } => CertificateError::NotYetValid,
        Invalid::Revoked
        | Invalid::UnknownRevocationStatus
        | Invalid::ExpiredRevocationList
        | Invalid::ExpiredRevocationListContext { .. } => CertificateError::Revoked,
        Invalid::InvalidPurpose | Invalid::InvalidPurposeContext { .. } => CertificateError::Kind,
        Invalid::BadSignature => CertificateError::Signature,
        Invalid::UnknownIssuer => CertificateError::UnknownAuthority,
        _ => CertificateError::Malformed,
    }
}

/// The one name of a certificate's principal. Two could each be believed by another reader.
fn subject(parsed: &X509Certificate<'_>, place: Subject) -> Result<String, CertificateError> {
    let alternative = parsed.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let others = alternative.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let found: Vec<&str> = match place {
        Subject::CommonName => {
            let names: Result<Vec<_>, _> = parsed.subject().iter_common_name().map(|name| name.as_str()).collect();
            names.map_err(|_| CertificateError::Principals)?
        }
        Subject::Dns => others
            .iter()
            .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
            .collect(),
        Subject::Uri => others
            .iter()
            .filter_map(|name| if let GeneralName::URI(name) = name { Some(*name) } else { None })
            .collect(),
    };
    let [one] = found.as_slice() else { return Err(CertificateError::Principals) };
    let extra: &[u8] = if place == Subject::Uri { b"._@-:/" } else { b"._@-" };
    let clean = one.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte));
    let fits = !one.is_empty() && one.len() <= MAX_PRINCIPAL_BYTES;
    if fits && clean { Ok((*one).to_owned()) } else { Err(CertificateError::Principals) }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
