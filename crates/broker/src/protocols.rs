//! The protocols of this binary: a fourth one is one more line in [`PROTOCOLS`].

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::admission::Guest;
use arc_swap::ArcSwap;
use schemars::SchemaGenerator;
use sluice_model::{Schema, Tag, TargetName};
use sluice_postgres::{Cleartext, Deadlines, Postgres, PostgresSettings, ServerTls};
use sluice_wire::{Credential, Finding, FlowError, Io, Protocol, Targets};

use crate::config::{Fault, Node, read};
use crate::replay::{PostgresReplay, Replayer};

/// Every protocol, in the order of the documentation.
pub(crate) const PROTOCOLS: &[&dyn Lane] = &[&PostgresLane];

/// A future behind a trait object.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A protocol's half of a target's configuration.
#[derive(Clone)]
pub(crate) struct Half(Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Half")
    }
}

/// What a listener was set up with.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// Passwords without TLS from loopback clients.
    pub(crate) dangerous_cleartext_loopback: bool,
}

/// One protocol, as the registry knows it.
pub(crate) trait Lane: Send + Sync {
    /// Its verbs, resources and facts.
    fn schema(&self) -> &'static Schema;

    /// Reads its half of a target; `dir` is what relative paths are relative to.
    fn read(&self, node: &Node, dir: &Path, faults: &mut Vec<Fault>) -> Option<Half>;

    /// The JSON Schema of its half.
    fn shape(&self, generator: &mut SchemaGenerator) -> schemars::Schema;

    /// The tags that a target's half puts on its resources.
    fn tags(&self, half: &Half) -> BTreeSet<Tag>;

    /// What can be found out about a target.
    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>>;

    /// Shows recorded frames.
    fn replayer(&self) -> Box<dyn Replayer>;

    /// A server of this protocol, with no target yet.
    fn server(&self, settings: &ListenerSettings) -> Arc<dyn Server>;
}

/// Serves the accepted connections of one protocol.
pub(crate) trait Server: Send + Sync {
    /// Replaces every target at once; flows that run keep what they began with.
    fn replace(&self, targets: Vec<(TargetName, Half)>);

    /// Serves one connection to its end.
    fn serve<'a>(&'a self, io: Io, broker: &'a Guest) -> BoxFuture<'a, Result<(), FlowError>>;
}

/// The protocol of a name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Lane> {
    PROTOCOLS.iter().copied().find(|lane| lane.schema().protocol == name)
}

/// Every protocol's name.
pub(crate) fn names() -> Vec<&'static str> {
    PROTOCOLS.iter().map(|lane| lane.schema().protocol).collect()
}

/// Every protocol's schema.
pub(crate) fn schemas() -> Vec<&'static Schema> {
    PROTOCOLS.iter().map(|lane| lane.schema()).collect()
}

/// A protocol with the targets it serves.
struct Spoken<P: Protocol> {
    protocol: P,
    targets: ArcSwap<Targets<P::Target>>,
}

impl<P: Protocol> Server for Spoken<P> {
    fn replace(&self, targets: Vec<(TargetName, Half)>) {
        let own = |(name, half): (TargetName, Half)| Some((name, half.0.downcast::<P::Target>().ok()?));
        self.targets.store(Arc::new(targets.into_iter().filter_map(own).collect()));
    }

    fn serve<'a>(&'a self, io: Io, broker: &'a Guest) -> BoxFuture<'a, Result<(), FlowError>> {
        let targets = self.targets.load_full();
        Box::pin(self.protocol.serve(io, targets, broker))
    }
}

/// PostgreSQL.
struct PostgresLane;

static POSTGRES_SCHEMA: Schema = Postgres::SCHEMA;

impl Lane for PostgresLane {
    fn schema(&self) -> &'static Schema {
        &POSTGRES_SCHEMA
    }

    fn read(&self, node: &Node, dir: &Path, faults: &mut Vec<Fault>) -> Option<Half> {
        let mut target = read::<sluice_postgres::Target>(node, faults)?;
        if let ServerTls::Ca(file) = &mut target.tls {
            *file = dir.join(&*file);
        }
        Some(Half(Arc::new(target)))
    }

    fn shape(&self, generator: &mut SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<sluice_postgres::Target>()
    }

    fn tags(&self, half: &Half) -> BTreeSet<Tag> {
        let target = half.0.downcast_ref::<sluice_postgres::Target>();
        target.into_iter().flat_map(|target| target.columns.values().flatten().cloned()).collect()
    }

    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            match half.0.downcast_ref::<sluice_postgres::Target>() {
                Some(target) => sluice_postgres::check(target, credential).await,
                None => vec![Finding::Wrong("the target is of another protocol".to_owned())],
            }
        })
    }

    fn replayer(&self) -> Box<dyn Replayer> {
        Box::new(PostgresReplay::default())
    }

    fn server(&self, settings: &ListenerSettings) -> Arc<dyn Server> {
        let cleartext =
            if settings.dangerous_cleartext_loopback { Cleartext::DangerousLoopback } else { Cleartext::Never };
        let tls = Some(Arc::clone(&settings.tls));
        let protocol = Postgres::new(PostgresSettings { tls, cleartext, deadlines: Deadlines::STANDARD });
        Arc::new(Spoken { protocol, targets: ArcSwap::from_pointee(Targets::from_iter([])) })
    }
}
