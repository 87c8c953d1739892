//! A target as it is served: its configuration, checked and compiled.

use std::sync::Arc;

use http::Uri;
use sluice_model::TargetName;
use thiserror::Error;

use crate::classes::{Classes, Unclassified, Veils};
use crate::dial::{DialError, Origin, Pools, may_be_dialled};
use crate::dialects::openai;
use crate::gathered::Room;
use crate::headers::{Headers, Misplaced, misplaced};
use crate::target::{Dialect, Limits, Objects as Whose, ServerTls, Target};

/// One target.
pub(crate) struct Served {
    pub(crate) name: TargetName,
    pub(crate) dialect: Dialect,
    pub(crate) limits: Limits,
    pub(crate) classes: Veils,
    pub(crate) headers: Headers,
    pub(crate) objects: Whose,
    pub(crate) origin: Arc<Origin>,
    /// What bodies that are read whole share, of all targets.
    pub(crate) room: Room,
    /// Work in the background that waits for people, of all targets.
    pub(crate) deferred: Arc<openai::Deferred>,
    /// Set for the dialect of OpenAI.
    pub(crate) openai: Option<openai::Rules>,
}

/// Why a target cannot be served.
#[derive(Debug, Error)]
pub(crate) enum Unserved {
    #[error(transparent)]
    Classes(#[from] Unclassified),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("`url` is not an address like `https://api.example.com/v1`")]
    Url,
    #[error("`url` begins with `http:`, which needs `tls: dangerous_plaintext`")]
    Plaintext,
    #[error("`url` begins with `https:`, where `tls: dangerous_plaintext` has no meaning")]
    NotPlaintext,
    #[error("`url` leads to an address that no target may be at")]
    Forbidden,
    #[error("`{0}` cannot be a header that is added")]
    Header(String),
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    #[error("the limit `{0}` is at least 1")]
    Limit(&'static str),
}

impl Served {
    /// Compiles a target.
    pub(crate) fn new(name: &TargetName, target: &Target, pools: &Pools, key: [u8; 32]) -> Result<Self, Unserved> {
        if let Some(wrong) = wrong(target).into_iter().next() {
            return Err(wrong);
        }
        let classes = Veils::new(Classes::of(target)?, key);
        let openai = (target.dialect == Dialect::Openai).then(|| openai::Rules::of(target));
        Ok(Self {
            name: name.clone(),
            dialect: target.dialect,
            limits: target.limits,
            classes,
            headers: Headers::of(&target.header_rules),
            objects: target.objects,
            origin: Arc::new(pools.origin(target)?),
            room: pools.room().clone(),
            deferred: Arc::clone(pools.deferred()),
            openai,
        })
    }
}

/// Everything that is wrong with a target's configuration, without asking anybody.
pub(crate) fn wrong(target: &Target) -> Vec<Unserved> {
    let mut found: Vec<Unserved> = url_mistake(target).into_iter().collect();
    if let Err(error) = Classes::of(target) {
        found.push(error.into());
    }
    found.extend(
        target
            .headers
            .iter()
            .filter(|(name, value)| !may_be_added(name, value))
            .map(|(name, _)| Unserved::Header(name.clone())),
    );
    found.extend(misplaced(target).into_iter().map(Unserved::from));
    let limits = [
        ("request_bytes", target.limits.request_bytes),
        ("response_bytes", target.limits.response_bytes),
        ("event_bytes", target.limits.event_bytes),
        ("request_seconds", target.limits.request_seconds),
        ("response_seconds", target.limits.response_seconds),
        ("idle_seconds", target.limits.idle_seconds),
        ("total_seconds", target.limits.total_seconds),
    ];
    found.extend(limits.into_iter().filter(|(_, value)| *value == 0).map(|(name, _)| Unserved::Limit(name)));
    found
}

fn url_mistake(target: &Target) -> Option<Unserved> {
    let Ok(url) = Uri::try_from(&target.url) else { return Some(Unserved::Url) };
    let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
    if authority.is_none() || url.query().is_some() {
        return Some(Unserved::Url);
    }
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    if host.parse().is_ok_and(|address| !may_be_dialled(address)) {
        return Some(Unserved::Forbidden);
    }
    match (url.scheme_str(), &target.tls) {
        (Some("https"), ServerTls::VerifyFull | ServerTls::Ca(_)) | (Some("http"), ServerTls::DangerousPlaintext) => {
            None
        }
        (Some("http"), ServerTls::VerifyFull | ServerTls::Ca(_)) => Some(Unserved::Plaintext),
        (Some("https"), ServerTls::DangerousPlaintext) => Some(Unserved::NotPlaintext),
        _ => Some(Unserved::Url),
    }
}

/// A header of the configuration: never one that frames the request, names its host or carries its credential.
fn may_be_added(name: &str, value: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    !RESERVED.contains(&lower.as_str())
        && http::HeaderName::try_from(lower).is_ok()
        && http::HeaderValue::try_from(value).is_ok()
}
