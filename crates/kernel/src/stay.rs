//! A session as its flows share it: who is where, the recording, the rulings, the credential.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use sluice_model::{Digest, FlowId, Principal, SessionId, Target};
use sluice_recording::Batch;
use sluice_wire::Credential;

use crate::clock::{self, Stopwatch};
use crate::gate::Rulings;
use crate::hold::Standing;
use crate::ports::{Closing, Recorder, Unrecorded};
use crate::register::Registered;
use crate::tape::Counts;

/// Who asks, at what, from where, in which session.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) who: Principal,
    pub(crate) target: Target,
    pub(crate) session: SessionId,
    pub(crate) client: IpAddr,
}

/// One session.
pub(crate) struct Stay {
    pub(crate) asker: Asker,
    pub(crate) rulings: Rulings,
    pub(crate) reel: Reel,
    pub(crate) registered: Registered,
    credential: ArcSwap<Lent>,
    flows: Mutex<Flows>,
    /// What stands for each operation; several where equal ones were left at one time.
    standing: Mutex<HashMap<Digest, VecDeque<Standing>>>,
}

/// A credential and when it was lent.
struct Lent {
    credential: Arc<Credential>,
    at: Instant,
}

/// The flows of a session.
#[derive(Debug)]
struct Flows {
    next: u32,
    open: u32,
    /// Nobody enters any more.
    ended: bool,
    idle_since: Instant,
    counts: Counts,
}

/// The recording of a session; its flows write into it in turn.
pub(crate) struct Reel {
    recorder: Mutex<Option<Box<dyn Recorder>>>,
    /// Something could not be written: the recording stays as it is, and nothing more is done in its session.
    failed: AtomicBool,
    pub(crate) watch: Stopwatch,
}

impl Stay {
    pub(crate) fn new(
        asker: Asker,
        rulings: Rulings,
        reel: Reel,
        registered: Registered,
        credential: Credential,
    ) -> Arc<Self> {
        let lent = Lent { credential: Arc::new(credential), at: Instant::now() };
        let flows = Flows { next: 0, open: 0, ended: false, idle_since: Instant::now(), counts: Counts::default() };
        Arc::new(Self {
            asker,
            rulings,
            reel,
            registered,
            credential: ArcSwap::from_pointee(lent),
            flows: Mutex::new(flows),
            standing: Mutex::default(),
        })
    }

    /// Begins a flow; `None` once the session has ended.
    pub(crate) fn enter(&self) -> Option<FlowId> {
        let mut flows = lock(&self.flows);
        if flows.ended {
            return None;
        }
        let flow = FlowId(flows.next);
        flows.next = flows.next.checked_add(1)?;
        flows.open = flows.open.saturating_add(1);
        Some(flow)
    }

    /// Ends a flow.
    pub(crate) fn leave(&self, counts: Counts) {
        let mut flows = lock(&self.flows);
        flows.counts.add(counts);
        flows.open = flows.open.saturating_sub(1);
        flows.idle_since = Instant::now();
    }

    /// Lets nobody enter any more, if no flow is open and none was for some seconds; true for the one caller that is to
    /// finish the session. A session is not idle as long as a request of it stands for which people are asked.
    pub(crate) fn end_if_idle(&self, seconds: u64) -> bool {
        if seconds > 0 && self.has_standing() {
            return false;
        }
        let mut flows = lock(&self.flows);
        let ends = !flows.ended && flows.open == 0 && flows.idle_since.elapsed().as_secs() >= seconds;
        flows.ended |= ends;
        ends
    }

    /// The credential, and whether it is asked for again: it was lent long ago, or the target does not take it.
    pub(crate) fn credential(&self, fresh_seconds: u64) -> (Arc<Credential>, Freshness) {
        let lent = self.credential.load();
        let stale = lent.credential.turned_down.is_set() || lent.at.elapsed().as_secs() >= fresh_seconds;
        (Arc::clone(&lent.credential), if stale { Freshness::Stale } else { Freshness::Fresh })
    }

    /// Replaces the credential.
    pub(crate) fn lend(&self, credential: Credential) -> Arc<Credential> {
        let credential = Arc::new(credential);
        self.credential.store(Arc::new(Lent { credential: Arc::clone(&credential), at: Instant::now() }));
        credential
    }

    /// Keeps a request for approval that its flow has left, behind those that stand for equal operations.
    pub(crate) fn keep_standing(&self, digest: Digest, standing: Standing) {
        let now = clock::now();
        let mut all = lock(&self.standing);
        all.retain(|_, equal| {
            equal.retain(|standing| standing.expires > now);
            !equal.is_empty()
        });
        all.entry(digest).or_default().push_back(standing);
    }

    /// Takes the first request that stands for an equal operation, if one does.
    pub(crate) fn take_standing(&self, digest: &Digest) -> Option<Standing> {
        let now = clock::now();
        let mut all = lock(&self.standing);
        let equal = all.get_mut(digest)?;
        let taken = std::iter::from_fn(|| equal.pop_front()).find(|standing| standing.expires > now);
        if equal.is_empty() {
            all.remove(digest);
        }
        taken
    }

    fn has_standing(&self) -> bool {
        let now = clock::now();
        lock(&self.standing).values().flatten().any(|standing| standing.expires > now)
    }

    /// Every request that still stands.
    pub(crate) fn all_standing(&self) -> Vec<Standing> {
        lock(&self.standing).drain().flat_map(|(_, equal)| equal).collect()
    }

    /// Writes the closing event and footer.
    pub(crate) async fn finish(&self, reason: &'static str) {
        let counts = lock(&self.flows).counts;
        let session = &self.asker.session;
        let closing = Closing {
            reason,
            at: clock::now(),
            operations: counts.operations,
            refused: counts.refused,
            bytes_to_client: counts.to_client,
            bytes_to_server: counts.to_server,
        };
        tracing::info!(session = %session, reason, operations = counts.operations, refused = counts.refused, "the session ended");
        let Some(recorder) = self.reel.take() else { return };
        if let Err(error) = recorder.finish(self.reel.watch.nanos(), closing).await {
            tracing::error!(session = %session, error = %error, "the recording failed before its end");
        }
        self.registered.leave();
    }
}

/// Whether a credential may still be used without asking again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    Fresh,
    Stale,
}

impl Reel {
    pub(crate) fn new(recorder: Box<dyn Recorder>, watch: Stopwatch) -> Self {
        Self { recorder: Mutex::new(Some(recorder)), failed: AtomicBool::new(false), watch }
    }

    /// Takes the events of a flow; they are in the operating system once any flow commits.
    pub(crate) fn append(&self, batch: &mut Batch) -> Result<(), Unrecorded> {
        self.recorder(|recorder| recorder.append(batch))
    }

    /// Takes the events of a flow and hands everything appended by any flow to the operating system.
    pub(crate) fn commit(&self, batch: &mut Batch) -> Result<(), Unrecorded> {
        self.recorder(|recorder| {
            recorder.append(batch)?;
            recorder.commit()
        })
    }

    /// Makes everything committed durable.
    pub(crate) async fn sync(&self) -> Result<(), Unrecorded> {
        let synced = self.recorder(|recorder| Ok(recorder.sync()))?.await;
        synced.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn recorder<T>(&self, act: impl FnOnce(&mut dyn Recorder) -> Result<T, Unrecorded>) -> Result<T, Unrecorded> {
        match lock(&self.recorder).as_deref_mut() {
            Some(recorder) => act(recorder).inspect_err(|_| self.failed.store(true, Ordering::Relaxed)),
            None => Err(Unrecorded("the recording is closed".to_owned())),
        }
    }

    /// Whether something could not be written.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Box<dyn Recorder>> {
        lock(&self.recorder).take()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
