//! The kernel's `Identify` port.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use sluice_kernel::{BoxFuture, Identify};
use sluice_model::{Code, ExposeSecret as _, Principal, Refusal, Secret, TokenId, UnixMicros};
use sluice_wire::{Authenticated, Claim, ScramParameters};

use crate::error::{ConfigError, SetupError, TokenError};
use crate::fetch::Fetcher;
use crate::issuer::{Issuer, IssuerConfig, Vouched};
use crate::keys::Keys;
use crate::keyset::Key;
use crate::mint::{self, Lifetimes, Said};
use crate::revocation::Revocations;
use crate::scram::{Iterations, ScramSecrets, Stranger};
use crate::ssh::{Authorities, CertificateError, SshKeys, SshLogins};
use crate::tls::ClientAuthorities;
use crate::token::Envelope;
use crate::verify::{self, Profile};
use crate::vouch::{Shown, Vouchers};

/// Turns claims into principals.
///
/// The name a client gives beside a token is free text: the token alone says who signs in. For SCRAM the name selects
/// the secret, and the proof decides.
pub struct Identity {
    key_id: String,
    key: Key,
    profile: Profile,
    /// By the `iss` of their tokens.
    issuers: ArcSwap<BTreeMap<String, Arc<Issuer>>>,
    fetcher: Fetcher,
    revocations: Arc<dyn Revocations>,
    scram: Arc<dyn ScramSecrets>,
    stranger: Stranger,
    ssh_keys: Arc<dyn SshKeys>,
    authorities: ArcSwap<Authorities>,
    client_authorities: ArcSwap<ClientAuthorities>,
    /// What was believed, and under which configuration: its number is raised with each.
    vouchers: Vouchers,
    revision: AtomicU64,
}

impl Identity {
    /// Sets up the checks. `iterations` must be the number that SCRAM secrets are minted with, or users that exist
    /// could be told from those that do not.
    ///
    /// # Errors
    /// When an issuer is configured wrongly; every mistake is reported.
    pub fn new(
        keys: &Keys,
        lifetimes: Lifetimes,
        issuers: Vec<IssuerConfig>,
        iterations: Iterations,
        revocations: Arc<dyn Revocations>,
        scram: Arc<dyn ScramSecrets>,
    ) -> Result<Self, SetupError> {
        let identity = Self {
            key_id: keys.id().to_owned(),
            key: keys.public(),
            profile: mint::profile(lifetimes),
            issuers: ArcSwap::default(),
            fetcher: Fetcher::new()?,
            revocations,
            scram,
            stranger: Stranger::new(keys.derive("scram-strangers")?, iterations),
            ssh_keys: Arc::new(SshLogins::default()),
            authorities: ArcSwap::default(),
            client_authorities: ArcSwap::default(),
            vouchers: Vouchers::default(),
            revision: AtomicU64::new(0),
        };
        identity.reload(issuers).map_err(SetupError::Issuers)?;
        Ok(identity)
    }

    /// Replaces the configured issuers as a whole, or keeps them all. An issuer that stays as it was keeps its keys.
    ///
    /// # Errors
    /// When an issuer is configured wrongly; every mistake is reported.
    pub fn reload(&self, issuers: Vec<IssuerConfig>) -> Result<(), Vec<ConfigError>> {
        let known = self.issuers.load();
        let (mut ready, mut mistakes) = (BTreeMap::new(), Vec::new());
        for config in issuers {
            let kept = known.get(&config.issuer).filter(|issuer| *issuer.config() == config).map(Arc::clone);
            let repeated = ready.values().find_map(|other: &Arc<Issuer>| {
                let other = other.config();
                (other.name == config.name).then_some("name").or((other.issuer == config.issuer).then_some("issuer"))
            });
            if let Some(field) = repeated {
                let reason = "is the same as another issuer's".to_owned();
                mistakes.push(ConfigError { issuer: config.name, field, reason });
                continue;
            }
            let issuer = kept.map_or_else(|| Issuer::new(config, &self.fetcher).map(Arc::new), Ok);
            match issuer {
                Ok(issuer) => drop(ready.insert(issuer.config().issuer.clone(), issuer)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        self.issuers.store(Arc::new(ready));
        self.look_again();
        Ok(())
    }

    /// Asks whose SSH keys are; without it they are nobody's.
    #[must_use]
    pub fn with_ssh_keys(self, ssh_keys: Arc<dyn SshKeys>) -> Self {
        Self { ssh_keys, ..self }
    }

    /// Replaces the authorities of SSH certificates as a whole.
    pub fn trust(&self, authorities: Authorities) {
        self.authorities.store(Arc::new(authorities));
        self.look_again();
    }

    /// Replaces the authorities of client certificates as a whole.
    pub fn trust_clients(&self, authorities: ClientAuthorities) {
        self.client_authorities.store(Arc::new(authorities));
        self.look_again();
    }

    /// What was believed before is checked again when it is next asked about.
    fn look_again(&self) {
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Whether what somebody was believed by makes them the same somebody still.
    fn still_makes(&self, who: &Principal, shown: &Shown, now: UnixMicros) -> bool {
        let same = |checked: Result<Principal, CertificateError>| checked.is_ok_and(|found| found == *who);
        match shown {
            Shown::Own => true,
            Shown::Token(issuer) => {
                // One that stays as it was is kept. Any other might not believe the token.
                let issuers = self.issuers.load();
                issuers.get(&issuer.config().issuer).is_some_and(|kept| Arc::ptr_eq(kept, issuer))
            }
            Shown::Certificate(certificate, client) => same(self.authorities.load().check(certificate, *client, now)),
            Shown::Chain(chain) => same(self.client_authorities.load().check(chain, now)),
        }
    }

    /// Believes the certificates of a TLS client at a moment, its own first, or says exactly why not. The handshake has
    /// checked that the client holds the key of the first.
    ///
    /// # Errors
    /// When they do not hold.
    pub fn check_tls(&self, chain: &[Bytes], now: UnixMicros) -> Result<Principal, CertificateError> {
        self.unless_revoked(self.client_authorities.load().check(chain, now)?)
    }

    /// Says whose an SSH key is at a moment, or exactly why nobody's. The protocol has checked that the client holds it.
    ///
    /// # Errors
    /// When the key is unknown, or does not count any more.
    pub fn check_key(&self, key: &[u8], now: UnixMicros) -> Result<Principal, CertificateError> {
        let principal = self.ssh_keys.find(key).ok_or(CertificateError::UnknownKey)?;
        if now >= principal.expires {
            return Err(CertificateError::Expired);
        }
        self.unless_revoked(Principal::clone(&principal))
    }

    /// Believes an SSH certificate at a moment, or says exactly why not. The protocol has checked that the client holds
    /// its key.
    ///
    /// # Errors
    /// When the certificate does not hold.
    pub fn check_certificate(
        &self,
        certificate: &[u8],
        client: IpAddr,
        now: UnixMicros,
    ) -> Result<Principal, CertificateError> {
        self.unless_revoked(self.authorities.load().check(certificate, client, now)?)
    }

    fn unless_revoked(&self, principal: Principal) -> Result<Principal, CertificateError> {
        if self.revocations.is_revoked(&principal.token) { Err(CertificateError::Revoked) } else { Ok(principal) }
    }

    /// Believes a token at a moment, or says exactly why not. Clients are told less: see [`Identify::authenticate`].
    ///
    /// # Errors
    /// When the token does not hold.
    pub async fn check_token(&self, token: &Secret, now: UnixMicros) -> Result<Principal, TokenError> {
        self.open_token(token, now).await.map(|(principal, _)| principal)
    }

    async fn open_token(&self, token: &Secret, now: UnixMicros) -> Result<(Principal, Shown), TokenError> {
        let envelope = Envelope::open(token.expose_secret())?;
        let (principal, shown) = if envelope.issuer()? == mint::ISSUER {
            (self.own(envelope, now)?, Shown::Own)
        } else {
            let issuer = self.issuers.load().get(envelope.issuer()?).map(Arc::clone);
            let issuer = issuer.ok_or(TokenError::UnknownIssuer)?;
            let Vouched { who, id: token, expires } = issuer.check(envelope, now).await?;
            (Principal { who, token, expires, targets: None, run: None }, Shown::Token(issuer))
        };
        if self.revocations.is_revoked(&principal.token) {
            return Err(TokenError::Revoked);
        }
        Ok((principal, shown))
    }

    fn own(&self, envelope: Envelope<'_>, now: UnixMicros) -> Result<Principal, TokenError> {
        verify::precheck(&envelope, &self.profile)?;
        if envelope.kid.as_deref() != Some(self.key_id.as_str()) {
            return Err(TokenError::UnknownKey);
        }
        let verified = verify::verify(envelope, &self.profile, &self.key, now)?;
        let Said { who, id: token, targets, run } = mint::read(verified.claims)?;
        Ok(Principal { who, token, expires: verified.expires, targets, run })
    }

    /// Runs the same computation for users that exist and users that do not.
    fn check_proof(
        &self,
        user: &str,
        auth_message: &[u8],
        proof: &[u8; 32],
        now: UnixMicros,
    ) -> Result<Authenticated, Refusal> {
        let login = self.scram.find(user);
        let stranger = self.stranger.verifier(user);
        let verifier = login.as_ref().map_or(&stranger, |login| &login.verifier);
        let (Some(signature), Some(login)) = (verifier.check(auth_message, proof), &login) else {
            return Err(Refusal::builtin(
                Code::Unauthenticated,
                "identity.password",
                "the user name or the password is wrong",
            ));
        };
        // Only whoever knows the password learns what became of it.
        if now >= login.principal.expires {
            return Err(TokenError::Expired.refusal());
        }
        if self.revocations.is_revoked(&login.principal.token) {
            return Err(TokenError::Revoked.refusal());
        }
        Ok(Authenticated { principal: login.principal.clone(), server_signature: Some(signature) })
    }

    async fn decide(&self, claim: Claim, now: UnixMicros) -> Result<Authenticated, Refusal> {
        // Before anything is looked at: what changes meanwhile is a reason to look again.
        let revision = self.revision.load(Ordering::Acquire);
        let (authenticated, shown) = self.believe(claim, now).await?;
        self.vouchers.keep(&authenticated.principal, shown, revision, now);
        Ok(authenticated)
    }

    async fn believe(&self, claim: Claim, now: UnixMicros) -> Result<(Authenticated, Shown), Refusal> {
        let by = |shown| move |principal| (Authenticated { principal, server_signature: None }, shown);
        match claim {
            Claim::Token(token) => {
                let opened = self.open_token(&token, now).await;
                let (principal, shown) = opened.map_err(|error| refused(error.refusal(), Some(&error)))?;
                Ok(by(shown)(principal))
            }
            Claim::Scram { user, auth_message, proof } => {
                let checked = self.check_proof(&user, &auth_message, &proof, now);
                checked.map(|found| (found, Shown::Own)).map_err(|refusal| refused(refusal, None))
            }
            Claim::Key { key } => {
                let checked = self.check_key(&key, now);
                checked.map(by(Shown::Own)).map_err(|error| refused(unaccepted_key(), Some(&error)))
            }
            Claim::Tls { chain } => {
                let checked = self.check_tls(&chain, now);
                checked.map(by(Shown::Chain(chain))).map_err(|error| refused(unaccepted_certificate(), Some(&error)))
            }
            Claim::Certificate { certificate, client } => {
                let checked = self.check_certificate(&certificate, client, now);
                let shown = Shown::Certificate(certificate, client);
                checked.map(by(shown)).map_err(|error| refused(unaccepted_key(), Some(&error)))
            }
        }
    }
}

impl Identify for Identity {
    fn challenge<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<ScramParameters, Refusal>> {
        let login = self.scram.find(user);
        // Made up in every case, so that both take the same time.
        let made_up = self.stranger.verifier(user).parameters();
        let parameters = login.map_or(made_up, |login| login.verifier.parameters());
        Box::pin(std::future::ready(Ok(parameters)))
    }

    fn authenticate(&self, claim: Claim, now: UnixMicros) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        Box::pin(self.decide(claim, now))
    }

    fn is_revoked(&self, token: &TokenId) -> bool {
        self.revocations.is_revoked(token)
    }

    fn still_holds(&self, who: &Principal, now: UnixMicros) -> bool {
        let revision = self.revision.load(Ordering::Acquire);
        self.vouchers.hold(who, revision, |shown| self.still_makes(who, shown, now))
    }
}

/// Tells the log which check failed; the client learns no more than the refusal.
fn refused(refusal: Refusal, check: Option<&dyn fmt::Display>) -> Refusal {
    let check = check.map(tracing::field::display);
    tracing::info!(rule = refusal.rule.as_str(), check, "a sign-in was refused");
    refusal
}

/// The same for every key and certificate: whoever tries keys learns nothing of any.
fn unaccepted_key() -> Refusal {
    Refusal::builtin(Code::Unauthenticated, "identity.key", "the key is not accepted")
}

/// The same for every certificate.
fn unaccepted_certificate() -> Refusal {
    Refusal::builtin(Code::Unauthenticated, "identity.certificate", "the certificate is not accepted")
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
