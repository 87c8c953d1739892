//! The kernel's port for sessions and their recordings.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_kernel::{BoxFuture, Closing, Keep, Opening, Recorder, Spent, Unrecorded, clock};
use sluice_model::{FlowId, SessionId, TargetName};
use sluice_recording::{Actor, Batch, Closed, Event, Opened};
use sluice_wire::{Made, Object};

use crate::{RecordingError, RecordingFile, Recordings, SessionEnd, SessionStart, Store, StoreError};

/// How long committed bytes wait to be durable at most.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// Opens sessions in the store and on disk.
#[derive(Clone)]
pub struct Keeper {
    recordings: Arc<Recordings>,
    rows: Rows,
    broker_version: &'static str,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Keeps sessions in a store and recordings.
    #[must_use]
    pub fn new(recordings: Arc<Recordings>, store: Arc<dyn Store>, broker_version: &'static str) -> Self {
        Self { recordings, rows: Rows { store, unclosed: Arc::default() }, broker_version }
    }

    /// Syncs what was committed, every 200 ms, and closes recordings whose flow was lost. Runs until it is dropped.
    pub async fn run(self) {
        let mut beat = tokio::time::interval(SYNC_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.tend().await;
        }
    }

    /// One round of [`Keeper::run`].
    async fn tend(&self) {
        let recordings = Arc::clone(&self.recordings);
        let now = clock::now();
        let round = blocking(move || {
            recordings.sync_all();
            Ok(recordings.sweep(now))
        });
        for session in round.await.unwrap_or_default() {
            tracing::error!(%session, "a session was lost without being closed");
            self.rows.close(session, SessionEnd::crash(now)).await;
        }
        self.rows.close_again().await;
    }

    async fn open(&self, opening: Opening) -> Result<Tape, Unrecorded> {
        self.rows.store.open_session(&start(&opening)).await.map_err(unstored)?;
        let session = opening.session.clone();
        match self.record(opening).await {
            Ok(file) => Ok(Tape { file, session, rows: self.rows.clone() }),
            Err(error) => {
                let end = SessionEnd { reason: "unrecorded".to_owned(), ..SessionEnd::crash(clock::now()) };
                self.rows.close(session, end).await;
                Err(error)
            }
        }
    }

    async fn record(&self, opening: Opening) -> Result<RecordingFile, Unrecorded> {
        let recordings = Arc::clone(&self.recordings);
        let version = self.broker_version;
        blocking(move || {
            let mut file = recordings.create(&opening.session, opening.at)?;
            file.append(FlowId(0), 0, &Event::Opened(opened(&opening, version)))?;
            file.commit()?;
            file.sync()?;
            Ok(file)
        })
        .await
    }
}

impl Keep for Keeper {
    fn admits(&self) -> Result<(), Unrecorded> {
        self.recordings.admits().map_err(unrecorded)
    }

    fn begin(&self, opening: Opening) -> BoxFuture<'_, Result<Box<dyn Recorder>, Unrecorded>> {
        Box::pin(async move {
            let tape: Box<dyn Recorder> = Box::new(self.open(opening).await?);
            Ok(tape)
        })
    }

    fn spent(&self) -> BoxFuture<'_, Result<Vec<Spent>, Unrecorded>> {
        Box::pin(async move { self.rows.store.spent(clock::now()).await.map_err(unstored) })
    }

    fn claim(&self, target: TargetName, owner: String, made: Vec<Made>) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move {
            let claimed = self.rows.store.claim_objects(&target, &owner, &made, clock::now()).await;
            claimed.map_err(unstored)
        })
    }

    fn owners(
        &self,
        target: TargetName,
        objects: Vec<Object>,
    ) -> BoxFuture<'_, Result<Vec<Option<String>>, Unrecorded>> {
        Box::pin(async move { self.rows.store.object_owners(&target, &objects).await.map_err(unstored) })
    }

    fn keep_spent(&self, spent: Vec<Spent>) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move { self.rows.store.keep_spent(&spent, clock::now()).await.map_err(unstored) })
    }
}

/// The rows of sessions. One that cannot be closed, on a full disk say, is closed as soon as it can be.
#[derive(Clone)]
struct Rows {
    store: Arc<dyn Store>,
    unclosed: Arc<Mutex<Vec<(SessionId, SessionEnd)>>>,
}

impl Rows {
    async fn close(&self, session: SessionId, end: SessionEnd) {
        if let Err(error) = self.store.close_session(&session, &end).await {
            tracing::error!(%session, %error, "a session could not be closed yet");
            self.unclosed.lock().unwrap_or_else(PoisonError::into_inner).push((session, end));
        }
    }

    async fn close_again(&self) {
        let waiting = std::mem::take(&mut *self.unclosed.lock().unwrap_or_else(PoisonError::into_inner));
        let mut waiting = waiting.into_iter();
        while let Some((session, end)) = waiting.next() {
            if self.store.close_session(&session, &end).await.is_err() {
                let mut unclosed = self.unclosed.lock().unwrap_or_else(PoisonError::into_inner);
                unclosed.push((session, end));
                unclosed.extend(waiting);
                return;
            }
        }
    }
}

/// One session's recording and its row.
struct Tape {
    file: RecordingFile,
    session: SessionId,
    rows: Rows,
}

impl Recorder for Tape {
    fn append(&mut self, batch: &mut Batch) -> Result<(), Unrecorded> {
        self.file.take(batch).map_err(unrecorded)
    }

    fn commit(&mut self) -> Result<(), Unrecorded> {
        self.file.commit().map_err(unrecorded)
    }

    fn sync(&mut self) -> BoxFuture<'static, Result<(), Unrecorded>> {
        let sync = self.file.syncer();
        Box::pin(blocking(sync))
    }

    fn finish(self: Box<Self>, nanos: u64, closing: Closing) -> BoxFuture<'static, Result<(), Unrecorded>> {
        Box::pin(async move {
            let Self { file, session, rows } = *self;
            let mut end = session_end(&closing);
            let written = blocking(move || file.finish(nanos, &closed(&closing), closing.at)).await;
            if written.is_err() {
                end.reason = "unrecorded".to_owned();
            }
            rows.close(session, end).await;
            written.map(|_root| ())
        })
    }
}

fn start(opening: &Opening) -> SessionStart {
    SessionStart {
        id: opening.session.clone(),
        principal: opening.principal.clone(),
        target: opening.target.name.clone(),
        part: opening.target.part.clone(),
        environment: opening.target.environment.clone(),
        protocol: opening.target.protocol.to_owned(),
        client: opening.peer.address.to_string(),
        policy_epoch: opening.policy_epoch,
        opened: opening.at,
    }
}

fn opened<'a>(opening: &'a Opening, broker_version: &'a str) -> Opened<'a> {
    Opened {
        session: opening.session.as_str().into(),
        principal: Actor::chain(&opening.principal),
        token: opening.principal.token.as_str().into(),
        target: opening.target.name.as_str().into(),
        environment: opening.target.environment.as_str().into(),
        protocol: opening.target.protocol.into(),
        schema_version: opening.schema_version,
        client: opening.peer.address.to_string().into(),
        policy_epoch: opening.policy_epoch.to_string().into(),
        anchor: opening.at,
        broker_version: broker_version.into(),
        run: opening.principal.run.as_ref().map(|run| run.as_str().into()),
        part: opening.target.part.as_ref().map(|part| part.as_str().into()),
    }
}

fn session_end(closing: &Closing) -> SessionEnd {
    SessionEnd {
        reason: closing.reason.to_owned(),
        closed: closing.at,
        operations: closing.operations,
        refused: closing.refused,
        bytes_to_client: closing.bytes_to_client,
        bytes_to_server: closing.bytes_to_server,
    }
}

fn closed(closing: &Closing) -> Closed<'static> {
    Closed {
        reason: closing.reason.into(),
        counters: vec![
            ("operations".into(), closing.operations),
            ("refused".into(), closing.refused),
            ("bytes_to_client".into(), closing.bytes_to_client),
            ("bytes_to_server".into(), closing.bytes_to_server),
        ],
    }
}

/// Runs what blocks on the disk where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordingError> + Send + 'static,
) -> Result<T, Unrecorded> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(unrecorded),
        Err(_) => Err(Unrecorded("writing the recording was interrupted".to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function value")]
fn unrecorded(error: RecordingError) -> Unrecorded {
    Unrecorded(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function value")]
fn unstored(error: StoreError) -> Unrecorded {
    Unrecorded(error.to_string())
}

#[cfg(test)]
mod tests;
