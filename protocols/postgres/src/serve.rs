//! One client connection, from its first byte to its last.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use sluice_model::{Code, Part, Principal, Refusal, Schema, TargetName};
use sluice_wire::{Broker, FlowError, Framed, Grant, Io, Peer, Protocol, Side, Targets};
use tokio::io::AsyncWriteExt as _;
use tokio::task::unconstrained;
use tokio::time::timeout;

use crate::bearer::Bearer;
use crate::cancel::{self, Cancels, Key, Reach};
use crate::client::{Client, Stop};
use crate::codec::Codec;
use crate::curfew::Curfew;
use crate::dial::{Dialer, Login};
use crate::frame::Frame;
use crate::leaving::Leaving;
use crate::login::Server;
use crate::machine::{PostgresMachine, Setup};
use crate::message::{parameter_status, ready};
use crate::parameters::is_reported;
use crate::replication::{Replication, ReplicationMachine};
use crate::route::{Route, no_such_target};
use crate::schemas::{Database, Databases, Place, Shared};
use crate::signin;
use crate::startup::{Cleartext, Door, Start, Startup};
use crate::target::Target;
use crate::tenure::{Tenure, Tenures};
use crate::tls::Tls;
use crate::veil::MaskKey;

/// Upper limit of the application name a server sees, in bytes; PostgreSQL cuts there too (`NAMEDATALEN`).
const MAX_APPLICATION_BYTES: usize = 63;

/// How the protocol is served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TLS towards clients; without it, only loopback may be let in.
    pub tls: Option<Tls>,
    pub cleartext: Cleartext,
    /// Where clients that sign in with `OAUTHBEARER` get tokens; without it, they cannot.
    pub bearer: Option<Bearer>,
    pub deadlines: Deadlines,
    /// What masks that need a key are made with.
    pub mask_key: MaskKey,
}

/// How long the steps before a flow may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadlines {
    /// From the accepted connection to its first eight bytes.
    pub first_bytes: Duration,
    /// From the accepted connection to a principal.
    pub sign_in: Duration,
    /// From the name of a server to its first `ReadyForQuery`.
    pub dial: Duration,
}

impl Deadlines {
    /// The documented values.
    pub const STANDARD: Self =
        Self { first_bytes: Duration::from_secs(10), sign_in: Duration::from_secs(30), dial: Duration::from_secs(15) };
}

/// The PostgreSQL protocol.
#[derive(Debug)]
pub struct Postgres {
    settings: Settings,
    dialer: Arc<Dialer>,
    cancels: Arc<Cancels>,
    databases: Databases,
    tenures: Tenures,
}

/// What a connection was for, once that is settled.
enum Visit {
    Cancel(Key),
    Admitted(Box<Admitted>),
}

/// A client that has signed in and said where it wants to go.
struct Admitted {
    startup: Startup,
    route: Route,
    principal: Principal,
}

/// Everything a flow needs.
struct Ready {
    server: Server,
    database: Arc<Database>,
    cancel: cancel::Place,
    /// How its statement is cancelled when nobody waits for it any more.
    reach: Reach,
    replication: Option<Replication>,
    tenure: Arc<Tenure>,
}

impl Postgres {
    /// Serves with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let dialer = Arc::new(Dialer::new(settings.deadlines.dial));
        Self { settings, dialer, cancels: Arc::default(), databases: Databases::default(), tenures: Tenures::default() }
    }

    /// Startup and sign-in.
    async fn admit<B: Broker>(&self, client: &mut Client, broker: &B) -> Result<Visit, Stop> {
        let Settings { tls, cleartext, deadlines, bearer, .. } = &self.settings;
        let door = Door { tls: tls.as_ref(), cleartext: *cleartext, first_bytes: deadlines.first_bytes };
        let startup = match door.open(client).await? {
            Start::Cancel(key) => return Ok(Visit::Cancel(key)),
            Start::Session(startup) => startup,
        };
        let route = Route::parse(&startup.user, startup.database.as_deref())?;
        let door = signin::Door { bearer: bearer.as_ref(), user: &route.user };
        let signed = door.sign_in(client, startup.settings.method, broker).await?;
        Ok(Visit::Admitted(Box::new(Admitted { startup, route, principal: signed.principal })))
    }

    /// Opens the target and everything behind it; on failure the session is closed again with the reason.
    async fn prepare<B: Broker>(
        &self,
        admitted: &Admitted,
        peer: Peer,
        targets: &Targets<Target>,
        broker: &B,
    ) -> Result<(B::Grant, Ready), Refusal> {
        let name = TargetName::new(&admitted.route.target).map_err(|_| no_such_target())?;
        // A database that the target does not serve is no part of it.
        let part = targets.get(&name).and_then(|target| part(target, admitted));
        let grant = broker.open(&admitted.principal, &name, part, peer).await?;
        match self.connect(admitted, &grant, targets).await {
            Ok(ready) => Ok((grant, ready)),
            Err(refusal) => {
                broker.abandon(grant, &refusal).await;
                Err(refusal)
            }
        }
    }

    async fn connect(
        &self,
        admitted: &Admitted,
        grant: &impl Grant,
        targets: &Targets<Target>,
    ) -> Result<Ready, Refusal> {
        let Admitted { startup, route, .. } = admitted;
        let target = targets.get(grant.target()).ok_or_else(no_such_target)?;
        let database = if has_database(admitted) { served(target, route)? } else { &target.database };
        pinned(target, startup)?;
        let mut settings = startup.settings.passed.clone();
        settings.push(("application_name", application_name(grant)));
        let credential = grant.credential();
        let role = target.role_of(grant.principal()).ok_or_else(no_role)?;
        settings.extend(role.map(|role| ("role", role.to_owned())));
        if let Some(replication) = startup.replication {
            replicable(target)?;
            settings.push(("replication", replication.value().to_owned()));
        }
        let (search_path, dangerous_passwords) = (&*target.search_path, &*target.dangerous_passwords);
        let login = Login { credential, database, settings: &settings, search_path, dangerous_passwords };
        let server = self.dialer.dial(target, login).await.map_err(|error| {
            tracing::warn!(
                session = %grant.session(), target = %grant.target(), error = %error, "a server could not be dialled"
            );
            error.refusal()
        })?;
        let place = Place {
            name: grant.target().clone(),
            target: Arc::clone(target),
            database: database.to_owned(),
            dialer: Arc::clone(&self.dialer),
        };
        let shared = self.databases.open(targets, place, credential);
        shared.arrive().await.map_err(|error| error.refusal())?;
        let reach = Reach { interrupt: grant.interrupt(), target: Arc::clone(target), server: server.key.clone() };
        let cancel = self
            .cancels
            .mint(startup.version, reach.clone())
            .map_err(|error| Refusal::builtin(Code::Unavailable, "no-randomness", error.to_string()))?;
        let tenure = self.tenures.begin(grant.target(), target);
        Ok(Ready { server, database: shared, cancel, reach, replication: startup.replication, tenure })
    }

    /// Tells the client that it is in, and hands both sides to the relay loop.
    async fn flow<B: Broker>(
        &self,
        mut client: Client,
        grant: B::Grant,
        ready: Ready,
        broker: &B,
    ) -> Result<(), FlowError> {
        let Ready { server, database, cancel, reach, replication, tenure } = ready;
        let greeting = greeting(&server, grant.principal(), &cancel);
        let Server { stream: to_server, leftover, .. } = server;
        let unfinished = Arc::new(AtomicBool::new(false));
        if let Err(error) = client.send(&greeting).await {
            let refusal = Refusal::builtin(Code::Withdrawn, "client-gone", "the client left before its session began");
            Box::pin(broker.abandon(grant, &refusal)).await;
            return Box::pin(client.part(error.into())).await;
        }
        drop(greeting);
        let leaving = Arc::new(Leaving::default());
        let to_client = Framed::new(client.stream, Codec::default(), Side::Client, BytesMut::new())
            .watched(leaving.seen(client.hung_up));
        let to_server = Framed::new(to_server, Codec::default(), Side::Server, leftover);
        let result = match replication {
            Some(_) => {
                let machine = ReplicationMachine::new(Arc::clone(&unfinished), tenure);
                Box::pin(broker.carry(grant, machine, to_client, to_server)).await
            }
            None => {
                let curfew = Arc::new(Curfew::default());
                let machine = PostgresMachine::new(Setup {
                    schemas: Arc::new(Shared(Arc::clone(&database))),
                    unfinished: Arc::clone(&unfinished),
                    leaving: Arc::clone(&leaving),
                    functions: reach.target.function_calls.clone().into(),
                    mask_key: self.settings.mask_key.clone(),
                    curfew: Arc::clone(&curfew),
                    tenure,
                });
                let carrying = Box::pin(broker.carry(grant, machine, to_client, to_server));
                self.beside(carrying, &database, (&curfew, &leaving), &reach).await
            }
        };
        drop(cancel);
        // A server that computes does not notice that its client is gone.
        if result.is_err() || unfinished.load(Ordering::Relaxed) {
            Box::pin(cancel::cancel(&reach, &self.dialer)).await;
        }
        result
    }

    /// Runs a flow, and beside it what watches over its database and its statements.
    async fn beside(
        &self,
        carrying: impl Future<Output = Result<(), FlowError>>,
        database: &Arc<Database>,
        (curfew, leaving): (&Curfew, &Leaving),
        reach: &Reach,
    ) -> Result<(), FlowError> {
        // A server that floods leaves this task no budget, and just its statement must be cancelled.
        let watching = unconstrained(curfew.keep(|| Box::pin(cancel::interrupt(reach, &self.dialer))));
        let left = leaving.keep(|| Box::pin(cancel::cancel(reach, &self.dialer)));
        tokio::select! {
            biased;
            result = carrying => result,
            never = database.watch() => match never {},
            never = watching => match never {},
            never = left => match never {},
        }
    }

    /// Never a reply, whether the key was known or not.
    async fn cancel(&self, mut client: Client, key: &Key) {
        if let Some(reach) = self.cancels.find(key, Instant::now()) {
            cancel::cancel(&reach, &self.dialer).await;
        }
        // A client waits for the end of the stream; it may also be gone.
        let _ = client.stream.shutdown().await;
    }
}

impl Protocol for Postgres {
    const NAME: &'static str = "postgres";
    const SCHEMA: Schema = crate::schema::SCHEMA;
    type Target = Target;

    fn set_up(&self, targets: &Targets<Target>) {
        self.tenures.replace(targets);
    }

    async fn serve<B: Broker>(&self, io: Io, targets: &ArcSwap<Targets<Target>>, broker: &B) -> Result<(), FlowError> {
        let mut client = Client::new(io.stream, io.peer, io.hung_up);
        let admitting = Box::pin(self.admit(&mut client, broker));
        let visit = timeout(self.settings.deadlines.sign_in, admitting).await.unwrap_or_else(|_| Err(late().into()));
        let admitted = match visit {
            Ok(Visit::Admitted(admitted)) => admitted,
            Ok(Visit::Cancel(key)) => {
                Box::pin(self.cancel(client, &key)).await;
                return Ok(());
            }
            Err(stop) => return Box::pin(client.part(stop)).await,
        };
        let targets = targets.load_full();
        match Box::pin(self.prepare(&admitted, client.peer, &targets, broker)).await {
            Ok((grant, ready)) => {
                // A session may stay for days: what signed it in, and the targets of that moment, are not kept for it.
                drop((admitted, targets));
                self.flow(client, grant, ready, broker).await
            }
            Err(refusal) => Box::pin(client.part(admitted.route.explain(refusal).into())).await,
        }
    }
}

fn late() -> Refusal {
    Refusal::builtin(Code::Limit, "sign-in-deadline", "sign-in took too long")
}

/// Whether a connection has a database. One of physical replication has none; libpq's programs send this name all the same.
fn has_database(Admitted { startup, route, .. }: &Admitted) -> bool {
    let physical = matches!(startup.replication, Some(Replication::Physical));
    !(physical && route.database.as_deref() == Some("replication"))
}

/// The database, as the part of the target that a session is at.
fn part(target: &Target, admitted: &Admitted) -> Option<Part> {
    has_database(admitted).then(|| served(target, &admitted.route).ok()).flatten().map(Part::new)
}

/// The database that a route leads to: the target's own, or a listed one.
fn served<'a>(target: &'a Target, route: &'a Route) -> Result<&'a str, Refusal> {
    match &route.database {
        None => Ok(&target.database),
        Some(name) if *name == target.database || target.databases.contains(name) => Ok(name),
        Some(_) => {
            Err(Refusal::builtin(Code::Policy, "no-such-database", "the target does not serve a database of that name"))
        }
    }
}

/// What is replicated cannot be masked.
fn replicable(target: &Target) -> Result<(), Refusal> {
    if target.columns.is_empty() {
        return Ok(());
    }
    let message = "a database with protected columns cannot be replicated through the broker";
    Err(Refusal::builtin(Code::Unsupported, "replication-masked", message))
}

/// No configured role fits: the login role is not for whoever is left.
fn no_role() -> Refusal {
    Refusal::builtin(Code::Policy, "no-role", "no role at the server is configured for you")
        .with_hint("Ask an administrator which groups have one.")
}

/// A client may ask for the search path that it gets, and for no other.
fn pinned(target: &Target, startup: &Startup) -> Result<(), Refusal> {
    match &startup.settings.search_path {
        Some(asked) if *asked != target.search_path => Err(Refusal::builtin(
            Code::Unsupported,
            "pinned-setting",
            "the startup setting `search_path` is pinned for the target",
        )),
        Some(_) | None => Ok(()),
    }
}

/// What the server's own logs and `pg_stat_activity` show of the session: printable ASCII, the session id whole.
fn application_name(grant: &impl Grant) -> String {
    let session = grant.session().to_string();
    let room = MAX_APPLICATION_BYTES.saturating_sub("sluice  ".len()).saturating_sub(session.len());
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let name: String = grant.principal().name().chars().map(printable).take(room).collect();
    format!("sluice {name} {session}").chars().take(MAX_APPLICATION_BYTES).collect()
}

/// The messages that follow a sign-in. The login role at the target is the broker's business: clients are told of the
/// principal instead.
fn greeting(server: &Server, principal: &Principal, cancel: &cancel::Place) -> Vec<Frame> {
    let reported = server.parameters.iter().filter(|(name, _)| is_reported(name.as_bytes()));
    let shown = reported.map(|(name, value)| match name.as_str() {
        "session_authorization" => parameter_status(name, principal.name()),
        "is_superuser" => parameter_status(name, "off"),
        _ => parameter_status(name, value),
    });
    std::iter::once(signin::ok()).chain(shown).chain([cancel.key.frame(), ready(b'I')]).collect()
}
