//! One shared view of each database, kept no older than it may be.
//!
//! A view is read again after own DDL, when a client connects, when a statement names what the view does not hold, and
//! every few seconds while clients are connected, whenever a fingerprint of the catalog has changed. Where it cannot be kept, or a configured pattern no longer matches
//! a column, it is replaced by an empty one that says why: every relation is unknown then, so every statement that names
//! one is refused with that.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sluice_model::{Code, Refusal, TargetName};
use sluice_sql::{Catalog, Relation, RelationKind, Rows, Sensitive};
use sluice_wire::{Credential, Targets};
use thiserror::Error;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout};

use crate::catalog::{self, LoadError};
use crate::dial::Dialer;
use crate::operation::Statements;
use crate::side::{Side, SideError};
use crate::target::Target;
use crate::view::{Schemas, View};

/// A client that connects is served from a view confirmed this recently.
const ARRIVAL_AGE: Duration = Duration::from_secs(1);
/// While clients are connected, a view is confirmed this often.
const POLL: Duration = Duration::from_secs(5);
/// A view that could not be confirmed for this long is given up.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long reading a catalog may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Changes with every definition that a view is made of. Temporary tables of other sessions do not count.
const FINGERPRINT: &str = "\
SELECT pg_catalog.concat_ws(',',
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(c.xmin::text::bigint), pg_catalog.sum(c.oid::bigint))
     FROM pg_catalog.pg_class c WHERE c.relpersistence <> 't'),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(a.xmin::text::bigint))
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.relpersistence <> 't' AND a.attnum > 0 AND c.oid >= 16384),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(r.xmin::text::bigint)) FROM pg_catalog.pg_rewrite r),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(i.xmin::text::bigint)) FROM pg_catalog.pg_inherits i),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(p.xmin::text::bigint)) FROM pg_catalog.pg_proc p),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(o.xmin::text::bigint)) FROM pg_catalog.pg_operator o),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(t.xmin::text::bigint)) FROM pg_catalog.pg_type t
    WHERE t.oid >= 16384),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(n.xmin::text::bigint)) FROM pg_catalog.pg_namespace n
    WHERE n.nspname !~ '^pg_(toast_)?temp_'),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(k.xmin::text::bigint)) FROM pg_catalog.pg_constraint k
     LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE c.relpersistence IS DISTINCT FROM 't'),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(g.xmin::text::bigint)) FROM pg_catalog.pg_trigger g
     JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid WHERE c.relpersistence <> 't'),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(d.xmin::text::bigint)) FROM pg_catalog.pg_attrdef d
     JOIN pg_catalog.pg_class c ON c.oid = d.adrelid WHERE c.relpersistence <> 't'),
  (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(x.xmin::text::bigint)) FROM pg_catalog.pg_cast x
    WHERE x.oid >= 16384),
  (SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_extension))";

/// Why there is no view.
#[derive(Debug, Error)]
pub(crate) enum SchemaError {
    #[error(transparent)]
    Side(#[from] SideError),
    #[error("the catalog could not be read")]
    Load(#[from] LoadError),
    #[error("the catalog could not be read in time")]
    Late,
    #[error("tags are configured for columns that do not exist: {0}")]
    Missing(String),
}

impl SchemaError {
    /// The error in words for the client, who learns nothing of the configuration.
    pub(crate) fn refusal(&self) -> Refusal {
        let message = match self {
            Self::Side(SideError::Dial(error)) => return error.refusal(),
            Self::Side(SideError::Failed) | Self::Load(_) | Self::Late => {
                "the broker cannot read the database's catalog"
            }
            Self::Missing(_) => {
                "the target's protection cannot be enforced at the moment; an operator has to see to it"
            }
        };
        Refusal::builtin(Code::Unavailable, "catalog-unavailable", message)
    }
}

/// Every database that was asked for, by target and name.
#[derive(Debug, Default)]
pub(crate) struct Databases(Mutex<HashMap<(TargetName, String), Arc<Database>>>);

impl Databases {
    /// The database of a target, with the newest credential; forgets those whose target was replaced.
    pub(crate) fn open(&self, targets: &Targets<Target>, place: Place, credential: &Credential) -> Arc<Database> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(name, _), known| targets.get(name).is_some_and(|target| Arc::ptr_eq(target, &known.place.target)));
        let key = (place.name.clone(), place.database.clone());
        let database = all.entry(key).or_insert_with(|| Arc::new(Database::new(place)));
        database.lend(credential);
        Arc::clone(database)
    }
}

/// Where a database is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: TargetName,
    pub(crate) target: Arc<Target>,
    pub(crate) database: String,
    pub(crate) dialer: Arc<Dialer>,
}

/// The shared view of one database.
#[derive(Debug)]
pub(crate) struct Database {
    place: Place,
    credential: Mutex<Arc<Credential>>,
    view: RwLock<Arc<View>>,
    loader: tokio::sync::Mutex<Loader>,
    /// Calls for a view begun so far: one load serves all that came before it began.
    calls: AtomicU64,
}

/// What only the caller that loads may touch.
#[derive(Default)]
struct Loader {
    side: Option<Side>,
    fingerprint: Option<String>,
    tried: Option<Instant>,
    confirmed: Option<Instant>,
    /// The newest call that was served.
    served: u64,
    epoch: u64,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Database {
    fn new(place: Place) -> Self {
        let nobody = Credential::new(String::new(), None);
        Self {
            view: RwLock::new(Arc::new(empty(0, &place.target, SchemaError::Late.refusal()))),
            credential: Mutex::new(Arc::new(nobody)),
            loader: tokio::sync::Mutex::default(),
            calls: AtomicU64::new(0),
            place,
        }
    }

    fn lend(&self, credential: &Credential) {
        let copy = Credential::new(credential.user.clone(), credential.secret.clone());
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(copy);
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure that there is a fresh view for a client that connects.
    pub(crate) async fn arrive(&self) -> Result<(), SchemaError> {
        let mut loader = self.loader.lock().await;
        if loader.is_confirmed_within(ARRIVAL_AGE) {
            return Ok(());
        }
        let confirmed = self.confirm(&mut loader).await;
        confirmed.inspect_err(|error| self.doubt(&mut loader, error))
    }

    /// Confirms the view again and again; runs beside a flow.
    pub(crate) async fn watch(&self) -> Infallible {
        // A server that floods the flow leaves their task no budget.
        unconstrained(self.confirm_for_ever()).await
    }

    async fn confirm_for_ever(&self) -> Infallible {
        loop {
            sleep(POLL).await;
            // Somebody else confirms it at the moment.
            let Ok(mut loader) = self.loader.try_lock() else { continue };
            if loader.tried.is_some_and(|at| at.elapsed() < POLL) {
                continue;
            }
            // Seldom at work, and large: every session waits here.
            if let Err(error) = Box::pin(self.confirm(&mut loader)).await {
                self.doubt(&mut loader, &error);
            }
        }
    }

    /// Loads a view that is newer than the call; callers that wait meanwhile share one load.
    async fn renew(&self) {
        let call = self.calls.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let mut loader = self.loader.lock().await;
        if loader.served >= call {
            return;
        }
        let through = self.calls.load(Ordering::Acquire);
        loader.fingerprint = None;
        if let Err(error) = self.confirm(&mut loader).await {
            self.give_up(&mut loader, &error);
        }
        loader.served = through;
    }

    /// Confirms the view for somebody who doubts it; callers that wait meanwhile share one look.
    async fn look_again(&self) {
        let call = self.calls.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let mut loader = self.loader.lock().await;
        if loader.served >= call {
            return;
        }
        let through = self.calls.load(Ordering::Acquire);
        if let Err(error) = self.confirm(&mut loader).await {
            self.doubt(&mut loader, &error);
        }
        loader.served = through;
    }

    /// Compares fingerprints and loads where they differ, over a new side connection if the old one has died.
    async fn confirm(&self, loader: &mut Loader) -> Result<(), SchemaError> {
        loader.tried = Some(Instant::now());
        let confirming = async {
            if let Some(side) = loader.side.take() {
                match self.confirm_over(side, loader).await {
                    Err(SchemaError::Side(_) | SchemaError::Load(_)) => {}
                    settled => return settled,
                }
            }
            let credential = Arc::clone(&self.credential.lock().unwrap_or_else(PoisonError::into_inner));
            let Place { dialer, target, database, .. } = &self.place;
            let side = Side::open(dialer, target, database, &credential).await?;
            self.confirm_over(side, loader).await
        };
        timeout(DEADLINE, confirming).await.map_err(|_| SchemaError::Late)?
    }

    /// Keeps the side connection only if all went well.
    async fn confirm_over(&self, mut side: Side, loader: &mut Loader) -> Result<(), SchemaError> {
        let at = Instant::now();
        let fingerprint = side.ask(async |client| fingerprint(client).await).await??;
        if loader.fingerprint.as_ref() != Some(&fingerprint) {
            let epoch = loader.epoch.saturating_add(1);
            let path = self.place.target.search_path.as_slice();
            let catalog = side.ask(async |client| catalog::load(client, path, epoch).await).await??;
            let is_whole = catalog.relations().into_iter().all(has_its_definition);
            let view = tag(catalog, &self.place.target)?;
            *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
            loader.epoch = epoch;
            // A lock that hid a definition may go without a trace: no fingerprint is that of this view.
            loader.fingerprint = Some(if is_whole { fingerprint } else { String::new() });
        }
        loader.confirmed = Some(at);
        loader.side = Some(side);
        Ok(())
    }

    /// A server that cannot be asked for a moment costs nobody the view; a view that is wrong or old does.
    fn doubt(&self, loader: &mut Loader, error: &SchemaError) {
        if matches!(error, SchemaError::Missing(_)) || !loader.is_confirmed_within(MAX_AGE) {
            self.give_up(loader, error);
        } else {
            tracing::warn!(target = %self.place.name, error = %error, "the catalog of a database could not be confirmed");
        }
    }

    fn give_up(&self, loader: &mut Loader, error: &SchemaError) {
        tracing::error!(target = %self.place.name, error = %error, "the catalog of a database is not known");
        loader.epoch = loader.epoch.saturating_add(1);
        loader.fingerprint = None;
        loader.confirmed = None;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(empty(loader.epoch, &self.place.target, error.refusal()));
    }
}

impl Loader {
    fn is_confirmed_within(&self, age: Duration) -> bool {
        self.fingerprint.is_some() && self.confirmed.is_some_and(|at| at.elapsed() < age)
    }
}

/// A database's view as machines hold it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<Database>);

impl Schemas for Shared {
    fn view(&self) -> Arc<View> {
        self.0.view()
    }

    fn refresh(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let database = Arc::clone(&self.0);
        Box::pin(async move { database.renew().await })
    }

    fn confirm(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let database = Arc::clone(&self.0);
        Box::pin(async move { database.look_again().await })
    }
}

fn has_its_definition(relation: &Relation) -> bool {
    let is_view = matches!(relation.kind, RelationKind::View | RelationKind::Materialized);
    !is_view || relation.definition.is_some()
}

async fn fingerprint(client: &tokio_postgres::Client) -> Result<String, LoadError> {
    Ok(client.query_one(FINGERPRINT, &[]).await?.try_get(0)?)
}

/// A view of a catalog with the target's tags; fails when a pattern names no column.
pub(crate) fn tag(catalog: Catalog, target: &Target) -> Result<View, SchemaError> {
    let patterns: Vec<String> = target.columns.keys().cloned().collect();
    let sensitive = Sensitive::resolve(&catalog, &patterns).map_err(|missing| {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        SchemaError::Missing(missing.join(", "))
    })?;
    let tags = target.columns.values().cloned().collect();
    let mut view = View::new(catalog, sensitive, tags);
    view.pins_role = !target.roles.is_empty();
    Ok(view)
}

/// The view of a database that is not known: every relation is refused, and results are checked as strictly as before.
fn empty(epoch: u64, target: &Target, lost: Refusal) -> View {
    #[expect(clippy::unwrap_used, reason = "INVARIANT: a search path without names does not name `$user`")]
    let catalog = Catalog::build(Rows::default(), epoch).unwrap();
    View {
        catalog,
        sensitive: Sensitive::default(),
        tags: target.columns.values().cloned().collect(),
        pins_role: !target.roles.is_empty(),
        statements: Statements::default(),
        lost: Some(lost),
    }
}

#[cfg(test)]
mod tests;
