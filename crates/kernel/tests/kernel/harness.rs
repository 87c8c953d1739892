//! One session between a client and a server that a test plays.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use sluice_kernel::{BoxFuture, Grant, Identify, Kernel, Laws, Lend, Limits, Ports, Zone};
use sluice_model::{
    Code, Environment, Group, Part, Person, Principal, Refusal, Target, TargetName, TokenId, UnixMicros, Who,
};
use sluice_policy::{Policies, Settings, Source};
use sluice_recording::Toward;
use sluice_wire::{
    Authenticated, Broker as _, Claim, Credential, FlowError, Framed, Grant as _, Interrupt, Machine, Peer,
    ScramParameters, Side,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use crate::approvals::{Desk, People};
use crate::recorder::{Absence, Faults, Gauge, HighWater, Log, Shelf, Spy};
use crate::toy::{self, Line, Toy};

/// Reads, writes and connections are permitted; `red` is forbidden; writing `gold` needs an approval.
pub(crate) const POLICIES: &str = r#"
    @id("connect") permit (principal, action == Action::"toy.connect", resource);
    @id("items") permit (principal, action in [Action::"toy.read", Action::"toy.write"], resource);
    @id("no-red") @explain("public") @message("red is not for you")
    forbid (principal, action in [Action::"toy.read", Action::"toy.write"], resource) when { context.toy.name == "red" };
    @id("gold-gate") @approve("Group::dba") @approve_ttl("20s") @explain("public") @message("gold needs an approval")
    forbid (principal, action == Action::"toy.write", resource) when { context.toy.name == "gold" }
    unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
             && context.base.now < context.base.approval.expires };
"#;

/// Longest that a test waits for something that should happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) policies: &'static str,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    /// Bytes that a stream takes before its reader reads.
    pub(crate) room: usize,
    pub(crate) people_away: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policies: POLICIES,
            faults: Faults::default(),
            limits: Limits::STANDARD,
            room: 64 * 1024,
            people_away: false,
        }
    }
}

/// The broker and what surrounds it.
pub(crate) struct World {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) log: Log,
    pub(crate) people: Arc<People>,
    pub(crate) desk: Desk,
    pub(crate) revoked: Arc<Revoked>,
    room: usize,
}

/// Tokens that were revoked, and those that another configuration does not believe.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    tokens: Mutex<BTreeSet<TokenId>>,
    doubted: Mutex<BTreeSet<TokenId>>,
}

impl Revoked {
    pub(crate) fn revoke(&self, token: &str) {
        self.tokens.lock().unwrap().insert(TokenId::new(token).unwrap());
    }

    pub(crate) fn doubt(&self, token: &str) {
        self.doubted.lock().unwrap().insert(TokenId::new(token).unwrap());
    }
}

/// A session at work.
pub(crate) struct Session {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) interrupt: Arc<dyn Interrupt>,
    pub(crate) carrying: JoinHandle<Result<(), FlowError>>,
    pub(crate) to_client: HighWater,
    pub(crate) to_server: HighWater,
    /// What the client's link knows of its client out of order.
    pub(crate) absence: Absence,
}

/// The far end of a stream, as text lines.
pub(crate) struct End {
    pub(crate) stream: DuplexStream,
    unread: Vec<u8>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { policies, faults, limits, room, people_away } = setup;
        let log = Log::default();
        let revoked = Arc::new(Revoked::default());
        let (people, desk) = People::new(people_away, log.clone());
        let people = Arc::new(people);
        let ports = Ports {
            identify: Arc::clone(&revoked) as _,
            lend: Arc::new(Purse),
            keep: Arc::new(Shelf { log: log.clone(), faults, budgets: Mutex::default() }),
            approve: Arc::clone(&people) as _,
        };
        let kernel = Kernel::new(ports, limits, laws(policies, 1));
        Self { kernel, log, people, desk, revoked, room }
    }

    /// Opens a session and has a machine carry it.
    pub(crate) async fn carry<M: Machine<Frame = Line> + 'static>(&self, machine: M) -> Session {
        let grant = self.kernel.open(&ana(), &target_name("shop"), None, peer()).await.unwrap();
        self.carry_under(grant, machine)
    }

    /// The same at a part of the target.
    pub(crate) async fn carry_toy_at(&self, part: &str) -> Session {
        let grant = self.kernel.open(&ana(), &target_name("shop"), Some(Part::new(part)), peer()).await.unwrap();
        self.carry_under(grant, Toy::default())
    }

    /// Joins the session of the same credential and has a machine carry the flow.
    pub(crate) async fn share<M: Machine<Frame = Line> + 'static>(&self, machine: M) -> Session {
        let grant = self.kernel.join(&ana(), &target_name("shop"), peer()).await.unwrap();
        self.carry_under(grant, machine)
    }

    fn carry_under<M: Machine<Frame = Line> + 'static>(&self, grant: Grant, machine: M) -> Session {
        let interrupt = grant.interrupt();
        let (client, near_client) = tokio::io::duplex(self.room);
        let (server, near_server) = tokio::io::duplex(self.room);
        let (to_client, to_server) = (HighWater::default(), HighWater::default());
        let link = |stream, toward, side, most: &HighWater| {
            let stream = Spy { stream, toward, log: self.log.clone() };
            Gauge {
                link: Framed::new(stream, toy::Codec, side, BytesMut::new()),
                most: most.clone(),
                gone: Absence::default(),
            }
        };
        let client_link = link(near_client, Toward::Client, Side::Client, &to_client);
        let absence = client_link.gone.clone();
        let server_link = link(near_server, Toward::Server, Side::Server, &to_server);
        let kernel = Arc::clone(&self.kernel);
        let carrying = tokio::spawn(async move { kernel.carry(grant, machine, client_link, server_link).await });
        let (client, server) = (End::new(client), End::new(server));
        Session { client, server, interrupt, carrying, to_client, to_server, absence }
    }

    pub(crate) async fn carry_toy(&self) -> Session {
        self.carry(Toy::default()).await
    }

    pub(crate) async fn share_toy(&self) -> Session {
        self.share(Toy::default()).await
    }

    /// Puts other policies in force.
    pub(crate) fn replace(&self, policies: &str) {
        let epoch = self.kernel.laws().policies.epoch();
        self.kernel.replace(laws(policies, epoch + 1));
    }
}

impl Session {
    /// How the flow ended.
    pub(crate) async fn ended(self) -> Result<(), FlowError> {
        patiently(self.carrying).await.unwrap()
    }
}

impl End {
    fn new(stream: DuplexStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        patiently(self.stream.write_all(text.as_bytes())).await.unwrap();
    }

    /// The next line; empty at the end of the stream.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            if patiently(self.stream.read_buf(&mut self.unread)).await.unwrap() == 0 {
                assert!(self.unread.is_empty(), "the stream ended inside a line");
                return String::new();
            }
        }
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        while patiently(self.stream.read_buf(&mut self.unread)).await.unwrap() > 0 {}
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }

    pub(crate) async fn hang_up(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await, line);
    }
}

/// Waits, but not for ever.
pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

pub(crate) fn laws(policies: &str, epoch: u64) -> Laws {
    let source = Source { name: "test.cedar".to_owned(), text: policies.to_owned() };
    let policies = Policies::compile(&[source], &[&toy::SCHEMA], &Settings::default(), epoch);
    let policies = Arc::new(policies.unwrap_or_else(|problems| panic!("{problems}")));
    let target = |name: &str| Target {
        name: target_name(name),
        environment: Environment::new("prod").unwrap(),
        protocol: "toy",
        part: None,
    };
    let targets = ["shop", "vault"].map(|name| (target_name(name), target(name))).into();
    Laws { policies, targets, schemas: vec![&toy::SCHEMA], zone: Zone { utc_offset_minutes: 0 } }
}

pub(crate) fn target_name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

pub(crate) fn peer() -> Peer {
    Peer { address: ([127, 0, 0, 1], 40_000).into() }
}

/// A user with a token that does not run out.
pub(crate) fn ana() -> Principal {
    let groups = BTreeSet::from([Group::new("analysts").unwrap()]);
    Principal {
        who: Who::User(Person { name: "ana".to_owned(), groups }),
        token: TokenId::new("t-ana").unwrap(),
        expires: UnixMicros(i64::MAX),
        targets: None,
        run: None,
    }
}

impl Identify for Revoked {
    fn challenge<'a>(&'a self, _user: &'a str) -> BoxFuture<'a, Result<ScramParameters, Refusal>> {
        Box::pin(std::future::ready(Err(nobody())))
    }

    fn authenticate(&self, _claim: Claim, _now: UnixMicros) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        Box::pin(std::future::ready(Err(nobody())))
    }

    fn is_revoked(&self, token: &TokenId) -> bool {
        self.tokens.lock().unwrap().contains(token)
    }

    fn still_holds(&self, who: &Principal, _now: UnixMicros) -> bool {
        !self.doubted.lock().unwrap().contains(&who.token)
    }
}

fn nobody() -> Refusal {
    Refusal::builtin(Code::Unauthenticated, "nobody", "nobody signs in here")
}

/// One credential for the shop, and none for the vault.
struct Purse;

impl Lend for Purse {
    fn lend<'a>(&'a self, target: &'a TargetName, _who: &'a Principal) -> BoxFuture<'a, Result<Credential, Refusal>> {
        let lent = match target.as_str() {
            "shop" => Ok(Credential::new("keeper".to_owned(), None)),
            _ => Err(Refusal::builtin(Code::Unavailable, "no-credential", "the credential cannot be read")),
        };
        Box::pin(std::future::ready(lent))
    }
}
