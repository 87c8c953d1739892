//! The keys of one issuer, kept fresh.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Uri;
use sluice_model::UnixMicros;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::algorithm::Algorithm;
use crate::error::TokenError;
use crate::fetch::{self, FetchError, Fetched, Fetcher, Location, Stamp};
use crate::keyset::{Key, KeySet};

/// How long an answer without `max-age` is believed.
const DEFAULT_AGE_SECONDS: i64 = 300;
/// An answer that says less is believed this long all the same, or every sign-in would be a fetch.
const MIN_AGE_SECONDS: i64 = 60;
/// An answer that says more is believed no longer: a removed key stops working within the hour.
const MAX_AGE_SECONDS: i64 = 3600;
/// How often a key id that is not in the set may cause a fetch, over all such ids.
const FORCED_SECONDS: i64 = 60;
/// How long a failed fetch is not repeated.
const RETRY_SECONDS: i64 = 30;
/// How long the last good keys outlive their issuer's silence.
const OUTAGE_SECONDS: i64 = 24 * 3600;

/// Where the keys come from.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(Box<(Uri, Fetcher)>),
}

/// What is known of an issuer's keys.
#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When the source last vouched for these keys.
    confirmed: Option<UnixMicros>,
    /// When the answer they came in is too old.
    due: Option<UnixMicros>,
    forced: Option<UnixMicros>,
    failed: Option<UnixMicros>,
    stamp: Option<Stamp>,
}

/// What the state says about a key.
enum Answer {
    Known(Arc<Key>),
    /// Known, but from an answer that is too old.
    Aging(Arc<Key>),
    Refuse(TokenError),
    /// A fetch may tell.
    Ask,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct Cache {
    source: Source,
    permitted: BTreeSet<Algorithm>,
    issuer: String,
    state: Mutex<State>,
    /// At most one fetch at a time; sign-ins that it could help wait for it.
    turn: Semaphore,
}

impl Cache {
    pub(crate) fn new(location: Location, fetcher: Fetcher, permitted: BTreeSet<Algorithm>, issuer: String) -> Self {
        let source = match location {
            Location::File(path) => Source::File(path),
            Location::Url(uri) => Source::Url(Box::new((uri, fetcher))),
        };
        Self { source, permitted, issuer, state: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// The key a token names, fetched if need be. Cancel-safe: an abandoned fetch counts as an attempt.
    pub(crate) async fn find(&self, kid: Option<&str>, now: UnixMicros) -> Result<Arc<Key>, TokenError> {
        match &self.source {
            Source::File(path) => {
                self.follow(path, now).await;
                self.state().kept(kid, now)
            }
            Source::Url(remote) => self.consult(&remote.0, &remote.1, kid, now).await,
        }
    }

    async fn consult(
        &self,
        uri: &Uri,
        fetcher: &Fetcher,
        kid: Option<&str>,
        now: UnixMicros,
    ) -> Result<Arc<Key>, TokenError> {
        let turn = match (self.answer(kid, now), self.turn.try_acquire()) {
            (Answer::Known(key), _) | (Answer::Aging(key), Err(_)) => return Ok(key),
            (Answer::Refuse(error), Ok(_)) => return Err(error),
            (Answer::Aging(_) | Answer::Ask, Ok(turn)) => turn,
            (Answer::Refuse(_) | Answer::Ask, Err(_)) => self.wait().await?,
        };
        // Whoever held the turn before may have fetched what is asked for.
        if let Answer::Aging(_) | Answer::Ask = self.answer(kid, now) {
            self.state().begin(now);
            let fetched = fetcher.get(uri).await;
            self.settle(fetched, None, now);
        }
        drop(turn);
        self.state().kept(kid, now)
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, TokenError> {
        self.turn.acquire().await.map_err(|_| TokenError::KeysUnavailable)
    }

    /// Reads the file again if it is another one than before.
    async fn follow(&self, path: &Path, now: UnixMicros) {
        let stamp = match fetch::stamp(path).await {
            Ok(stamp) => stamp,
            Err(error) => return self.settle(Err(error), None, now),
        };
        {
            let mut state = self.state();
            if state.stamp == Some(stamp) {
                if state.failed.is_none() {
                    state.confirmed = Some(now);
                }
                return;
            }
        }
        let fetched = fetch::read(path).await;
        self.settle(fetched, Some(stamp), now);
    }

    /// Takes an answer over, or keeps the last good keys.
    fn settle(&self, fetched: Result<Fetched, FetchError>, stamp: Option<Stamp>, now: UnixMicros) {
        let parsed = fetched.map(|fetched| {
            let keys = KeySet::parse(&fetched.document, &self.permitted);
            (keys, fetched.max_age_seconds)
        });
        let mut state = self.state();
        state.stamp = stamp;
        match parsed {
            Ok((Ok(keys), age)) => state.accept(keys, age, now),
            Ok((Err(error), _)) => self.reject(&mut state, &error, now),
            Err(error) => self.reject(&mut state, &error, now),
        }
    }

    fn reject(&self, state: &mut State, error: &(dyn std::error::Error + 'static), now: UnixMicros) {
        // A file is looked at with every sign-in: said once per change, not each time.
        if state.failed.is_none() || matches!(self.source, Source::Url(..)) {
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(issuer = self.issuer, %error, cause, "the keys of an issuer could not be read");
        }
        state.failed = Some(now);
    }

    fn answer(&self, kid: Option<&str>, now: UnixMicros) -> Answer {
        self.state().answer(kid, now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a handful of assignments, so a state left by a panic is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a fetch begins, and whether keys at hand were not enough.
    fn begin(&mut self, now: UnixMicros) {
        if self.fresh(now) {
            self.forced = Some(now);
        }
    }

    fn accept(&mut self, keys: KeySet, max_age_seconds: Option<u32>, now: UnixMicros) {
        let age = max_age_seconds.map_or(DEFAULT_AGE_SECONDS, i64::from).clamp(MIN_AGE_SECONDS, MAX_AGE_SECONDS);
        self.keys = Some(Arc::new(keys));
        self.confirmed = Some(now);
        self.due = Some(now.plus_seconds(age));
        self.failed = None;
    }

    fn answer(&self, kid: Option<&str>, now: UnixMicros) -> Answer {
        let asked = |at: Option<UnixMicros>, seconds| at.is_some_and(|at| now >= at && now < at.plus_seconds(seconds));
        let may_ask = !asked(self.failed, RETRY_SECONDS);
        match self.kept(kid, now) {
            Ok(key) if self.fresh(now) || !may_ask => Answer::Known(key),
            Ok(key) => Answer::Aging(key),
            Err(error) if !may_ask || (self.fresh(now) && asked(self.forced, FORCED_SECONDS)) => Answer::Refuse(error),
            Err(_) => Answer::Ask,
        }
    }

    /// Whether the answer at hand is young enough. A clock that went back makes it old.
    fn fresh(&self, now: UnixMicros) -> bool {
        self.due.is_some_and(|due| now < due) && self.confirmed.is_some_and(|confirmed| now >= confirmed)
    }

    /// What the keys at hand say, unless their issuer has been silent for too long.
    fn kept(&self, kid: Option<&str>, now: UnixMicros) -> Result<Arc<Key>, TokenError> {
        let alive = self.confirmed.is_some_and(|confirmed| now < confirmed.plus_seconds(OUTAGE_SECONDS));
        match &self.keys {
            Some(keys) if alive => keys.find(kid).ok_or(TokenError::UnknownKey),
            Some(_) | None => Err(TokenError::KeysUnavailable),
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
