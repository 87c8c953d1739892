//! The protocols of this binary: another one is one more line in [`PROTOCOLS`].

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Guest;
use anyhow::Result;
use arc_swap::ArcSwap;
use schemars::SchemaGenerator;
use sluice_http::{Http, HttpSettings};
use sluice_model::{Schema, Secret, Tag, TargetName};
use sluice_postgres::{Bearer, Cleartext, Deadlines, MaskKey, Postgres, PostgresSettings, Proposal, Samples};
use sluice_ssh::{Ssh, SshSettings, Waiting};
use sluice_wire::{Configured, Credential, Finding, FlowError, Io, Protocol, Targets};

use crate::config::{self, Fault, Node};
use crate::replay::{HttpReplay, PostgresReplay, Replayer, SshReplay};
use crate::tls::Certificate;

/// Every protocol, in the order of the documentation.
pub(crate) const PROTOCOLS: &[&dyn Lane] = &[&PostgresLane, &HttpLane, &SshLane];

/// A future behind a trait object.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A protocol's half of a target's configuration.
#[derive(Clone)]
pub(crate) struct Half(Arc<dyn Any + Send + Sync>);

impl Half {
    /// The half, if it is of this type.
    pub(crate) fn of<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Half")
    }
}

/// What a listener was set up with.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    pub(crate) certificate: Arc<Certificate>,
    /// Passwords and tokens without TLS from loopback clients.
    pub(crate) dangerous_cleartext_loopback: bool,
    /// Where PostgreSQL clients that sign in with OAUTHBEARER get tokens.
    pub(crate) bearer: Option<Bearer>,
    /// The names that HTTP clients may call the listener by.
    pub(crate) http_hosts: Vec<String>,
    /// What stable stand-ins for values are made with.
    pub(crate) mask_key: [u8; 32],
    /// How long an HTTP client may take for a head.
    pub(crate) http_head: Duration,
    /// Bytes of all HTTP bodies that are read whole at one time.
    pub(crate) http_body_bytes: u64,
    /// What SSH clients know the broker by.
    pub(crate) ssh_host_key: Secret,
    /// What may wait that comes over SSH.
    pub(crate) waiting: Waiting,
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

    /// Everything of a kind that there can be at a target, by its name; `None` where its half does not tell.
    fn names(&self, half: &Half, kind: &str) -> Option<BTreeSet<String>>;

    /// How the broker signs in to its targets.
    fn login(&self) -> Login;

    /// Whether it can put stable stand-ins in the place of values.
    fn stand_ins(&self) -> StandIns;

    /// What can be found out about a target.
    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>>;

    /// Privileges for the login role of a target; `None` for a protocol that has none.
    fn grants<'a>(&self, _: &'a Half, _: Credential) -> Option<BoxFuture<'a, Result<Vec<String>, String>>> {
        None
    }

    /// Tags proposed for the columns of a target; `None` for a protocol without columns.
    fn classify<'a>(&self, _: &'a Half, _: Credential, _: Samples) -> Option<Proposing<'a>> {
        None
    }

    /// Shows recorded frames.
    fn replayer(&self) -> Box<dyn Replayer>;

    /// A server of this protocol, with no target yet.
    fn server(&self, settings: &ListenerSettings) -> Result<Arc<dyn Server>>;
}

/// Tags on their way to be proposed.
pub(crate) type Proposing<'a> = BoxFuture<'a, Result<Vec<Proposal>, String>>;

/// Whether a protocol can put stable stand-ins, tokens, hashes and disguises, in the place of values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StandIns {
    Made,
    Never,
}

/// How the broker signs in to targets of a protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Login {
    /// As a role with a name.
    Named,
    /// With a key that needs none.
    Keyed,
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
        let targets: Targets<P::Target> = targets.into_iter().filter_map(own).collect();
        self.protocol.set_up(&targets);
        self.targets.store(Arc::new(targets));
    }

    fn serve<'a>(&'a self, io: Io, broker: &'a Guest) -> BoxFuture<'a, Result<(), FlowError>> {
        Box::pin(self.protocol.serve(io, &self.targets, broker))
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
        read::<sluice_postgres::Target>(node, dir, faults)
    }

    fn shape(&self, generator: &mut SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<sluice_postgres::Target>()
    }

    fn tags(&self, half: &Half) -> BTreeSet<Tag> {
        tags::<sluice_postgres::Target>(half)
    }

    fn names(&self, half: &Half, kind: &str) -> Option<BTreeSet<String>> {
        half.of::<sluice_postgres::Target>()?.names(kind)
    }

    fn login(&self) -> Login {
        Login::Named
    }

    fn stand_ins(&self) -> StandIns {
        StandIns::Made
    }

    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            match half.0.downcast_ref::<sluice_postgres::Target>() {
                Some(target) => sluice_postgres::check(target, credential).await,
                None => vec![Finding::Wrong("the target is of another protocol".to_owned())],
            }
        })
    }

    fn grants<'a>(&self, half: &'a Half, with: Credential) -> Option<BoxFuture<'a, Result<Vec<String>, String>>> {
        let target = half.0.downcast_ref::<sluice_postgres::Target>()?;
        Some(Box::pin(sluice_postgres::grants(target, with)))
    }

    fn classify<'a>(&self, half: &'a Half, with: Credential, samples: Samples) -> Option<Proposing<'a>> {
        let target = half.0.downcast_ref::<sluice_postgres::Target>()?;
        Some(Box::pin(sluice_postgres::classify(target, with, samples)))
    }

    fn replayer(&self) -> Box<dyn Replayer> {
        Box::new(PostgresReplay::default())
    }

    fn server(&self, settings: &ListenerSettings) -> Result<Arc<dyn Server>> {
        let cleartext =
            if settings.dangerous_cleartext_loopback { Cleartext::DangerousLoopback } else { Cleartext::Never };
        let tls = Some(settings.certificate.serve(sluice_postgres::Tls::new)?);
        let (bearer, mask_key) = (settings.bearer.clone(), MaskKey(settings.mask_key));
        let deadlines = Deadlines::STANDARD;
        Ok(spoken(Postgres::new(PostgresSettings { tls, cleartext, deadlines, bearer, mask_key })))
    }
}

/// HTTP.
struct HttpLane;

static HTTP_SCHEMA: Schema = Http::SCHEMA;

impl Lane for HttpLane {
    fn schema(&self) -> &'static Schema {
        &HTTP_SCHEMA
    }

    fn read(&self, node: &Node, dir: &Path, faults: &mut Vec<Fault>) -> Option<Half> {
        read::<sluice_http::Target>(node, dir, faults)
    }

    fn shape(&self, generator: &mut SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<sluice_http::Target>()
    }

    fn tags(&self, half: &Half) -> BTreeSet<Tag> {
        tags::<sluice_http::Target>(half)
    }

    fn names(&self, half: &Half, kind: &str) -> Option<BTreeSet<String>> {
        half.of::<sluice_http::Target>()?.names(kind)
    }

    fn login(&self) -> Login {
        Login::Keyed
    }

    fn stand_ins(&self) -> StandIns {
        StandIns::Made
    }

    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>> {
        let found = match half.0.downcast_ref::<sluice_http::Target>() {
            Some(target) => sluice_http::check(target, credential.as_ref()),
            None => vec![Finding::Wrong("the target is of another protocol".to_owned())],
        };
        Box::pin(std::future::ready(found))
    }

    fn replayer(&self) -> Box<dyn Replayer> {
        Box::new(HttpReplay::default())
    }

    fn server(&self, settings: &ListenerSettings) -> Result<Arc<dyn Server>> {
        let cleartext = if settings.dangerous_cleartext_loopback {
            sluice_http::Cleartext::DangerousLoopback
        } else {
            sluice_http::Cleartext::Never
        };
        Ok(spoken(Http::new(HttpSettings {
            tls: Some(Arc::new(settings.certificate.serve(sluice_http::server_config)?)),
            cleartext,
            authorities: settings.http_hosts.clone(),
            mask_key: settings.mask_key,
            head: settings.http_head,
            body_bytes: settings.http_body_bytes,
        })))
    }
}

/// SSH.
struct SshLane;

static SSH_SCHEMA: Schema = Ssh::SCHEMA;

impl Lane for SshLane {
    fn schema(&self) -> &'static Schema {
        &SSH_SCHEMA
    }

    fn read(&self, node: &Node, dir: &Path, faults: &mut Vec<Fault>) -> Option<Half> {
        read::<sluice_ssh::Target>(node, dir, faults)
    }

    fn shape(&self, generator: &mut SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<sluice_ssh::Target>()
    }

    fn tags(&self, half: &Half) -> BTreeSet<Tag> {
        tags::<sluice_ssh::Target>(half)
    }

    fn names(&self, half: &Half, kind: &str) -> Option<BTreeSet<String>> {
        half.of::<sluice_ssh::Target>()?.names(kind)
    }

    fn login(&self) -> Login {
        Login::Named
    }

    fn stand_ins(&self) -> StandIns {
        StandIns::Never
    }

    fn check<'a>(&self, half: &'a Half, credential: Option<Credential>) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            match half.0.downcast_ref::<sluice_ssh::Target>() {
                Some(target) => sluice_ssh::check(target, credential).await,
                None => vec![Finding::Wrong("the target is of another protocol".to_owned())],
            }
        })
    }

    fn replayer(&self) -> Box<dyn Replayer> {
        Box::new(SshReplay::default())
    }

    fn server(&self, settings: &ListenerSettings) -> Result<Arc<dyn Server>> {
        Ok(spoken(Ssh::new(&SshSettings {
            host_key: settings.ssh_host_key.clone(),
            waiting: settings.waiting.clone(),
        })?))
    }
}

/// Reads a half of a target; one with mistakes is none.
fn read<T: Configured>(node: &Node, dir: &Path, faults: &mut Vec<Fault>) -> Option<Half> {
    let mut target = config::read::<T>(node, faults)?;
    target.relative_to(dir);
    let wrong = target.mistakes();
    if wrong.is_empty() {
        return Some(Half(Arc::new(target)));
    }
    faults.extend(wrong.into_iter().map(|wrong| Fault::new(wrong, node.span.clone())));
    None
}

fn tags<T: Configured>(half: &Half) -> BTreeSet<Tag> {
    half.0.downcast_ref::<T>().map(T::tags).unwrap_or_default()
}

fn spoken<P: Protocol>(protocol: P) -> Arc<dyn Server> {
    Arc::new(Spoken { protocol, targets: ArcSwap::from_pointee(Targets::from_iter([])) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use sluice_wire::Broker;

    use super::*;

    /// Remembers what it was told of.
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Protocol for Told {
        const NAME: &'static str = "http";
        const SCHEMA: Schema = Http::SCHEMA;
        type Target = sluice_http::Target;

        fn set_up(&self, targets: &Targets<Self::Target>) {
            self.0.lock().unwrap().extend(targets.iter().map(|(name, _)| name.to_string()));
        }

        async fn serve<B: Broker>(
            &self,
            _io: Io,
            _targets: &ArcSwap<Targets<Self::Target>>,
            _broker: &B,
        ) -> Result<(), FlowError> {
            Ok(())
        }
    }

    #[test]
    fn a_protocol_is_told_of_its_targets_when_they_are_set_up() {
        let told = Arc::default();
        let server = spoken(Told(Arc::clone(&told)));
        let target: sluice_http::Target = serde_json::from_str(r#"{"url":"https://api.example.com"}"#).unwrap();
        server.replace(vec![(TargetName::new("api").unwrap(), Half(Arc::new(target)))]);
        assert_eq!(*told.lock().unwrap(), ["api"]);
    }
}
