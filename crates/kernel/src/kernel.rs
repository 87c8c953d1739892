//! The broker, as protocols see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sluice_model::{Code, Group, Principal, Refusal, SessionId, Target, TargetName, Verdict};
use sluice_policy::{Moment, Place as Where, Verb};
use sluice_wire::{
    Authenticated, Broker, Claim, Credential, FlowError, Interrupt, Link, Machine, Outbox, Peer, ScramParameters,
};

use crate::clock::{self, Stopwatch};
use crate::flow::Flow;
use crate::gate::{Asker, Gate};
use crate::laws::Laws;
use crate::limits::Limits;
use crate::ports::{Approve, Closing, Identify, Keep, Lend, Opening};
use crate::random;
use crate::register::{Live, Place, Register};
use crate::state::{Ahead, Ended, Waiting};
use crate::tape::Tape;

/// How often open sessions are checked against revocations, expiry and new policies.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The world, as the kernel needs it.
pub struct Ports {
    pub identify: Arc<dyn Identify>,
    pub lend: Arc<dyn Lend>,
    pub keep: Arc<dyn Keep>,
    pub approve: Arc<dyn Approve>,
}

/// The kernel: opens sessions, carries flows, ends them.
pub struct Kernel {
    ports: Ports,
    limits: Limits,
    laws: Arc<ArcSwap<Laws>>,
    register: Arc<Register>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("limits", &self.limits).field("register", &self.register).finish_non_exhaustive()
    }
}

/// Leave to be at a target, and everything its flow needs.
pub struct Grant {
    gate: Gate,
    place: Place,
    tape: Tape,
    credential: Credential,
}

impl Kernel {
    /// A kernel with its ports and the first laws.
    #[must_use]
    pub fn new(ports: Ports, limits: Limits, laws: Laws) -> Arc<Self> {
        let laws = Arc::new(ArcSwap::from_pointee(laws));
        Arc::new(Self { ports, limits, laws, register: Arc::default() })
    }

    /// Puts new laws in force: every flow takes them between two operations.
    pub fn replace(&self, laws: Laws) {
        self.laws.store(Arc::new(laws));
    }

    /// The laws in force.
    #[must_use]
    pub fn laws(&self) -> Arc<Laws> {
        self.laws.load_full()
    }

    /// The port that identifies principals, for the operator's own connections.
    #[must_use]
    pub fn identify(&self) -> &Arc<dyn Identify> {
        &self.ports.identify
    }

    /// Every open session.
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        self.register.live()
    }

    /// Whether a principal may approve what another asked for at a target.
    pub fn may_approve(
        &self,
        who: &Principal,
        approvers: &Group,
        requester: &Principal,
        target: &TargetName,
    ) -> Result<(), Refusal> {
        let laws = self.laws.load();
        let target = laws.targets.get(target).ok_or_else(no_such_target)?;
        let now = clock::now();
        let (weekday, minute) = laws.zone.calendar(now);
        let at = Moment { now, weekday, minute, client: None };
        laws.policies.may(who, Verb::Approve { approvers, requester }, Where::Target(target), at)
    }

    /// Ends sessions whose token, expiry or leave to connect is gone; runs until it is dropped.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        loop {
            ticks.tick().await;
            self.register.revoke(|live| self.judge(live));
        }
    }

    /// Ends every session and waits for them to leave, up to a deadline.
    pub async fn shutdown(&self, deadline: Duration) {
        let closing = || Refusal::builtin(Code::Revoked, "shutdown", "the broker is shutting down");
        let drained = async {
            while self.register.len() > 0 {
                self.register.revoke(|_| Some(closing()));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _left_behind = tokio::time::timeout(deadline, drained).await;
    }

    /// Why an open session must end now.
    fn judge(&self, live: &Live) -> Option<Refusal> {
        let now = clock::now();
        if self.ports.identify.is_revoked(&live.principal.token) {
            return Some(Refusal::builtin(Code::Revoked, "token-revoked", "the token of this session was revoked"));
        }
        if now >= live.principal.expires {
            return Some(Refusal::builtin(Code::Revoked, "token-expired", "the token of this session has expired"));
        }
        let laws = self.laws.load();
        let gone =
            || Refusal::builtin(Code::Revoked, "connect-revoked", "leave to connect to this target was withdrawn");
        let Some(target) = laws.targets.get(&live.target.name) else { return Some(gone()) };
        let Some(connect) = laws.connecting(target) else { return Some(gone()) };
        let asker = asker(&live.principal, target, &live.session, live.peer);
        let mut gate = Gate::new(Arc::clone(&self.laws), asker, 1);
        match gate.rule(&connect, now).verdict {
            Verdict::Allow(_) => None,
            Verdict::Deny(_) | Verdict::Hold(_) => Some(gone()),
        }
    }

    /// Rules on connecting. A missing and a forbidden target read the same.
    fn rule_connect(
        &self,
        who: &Principal,
        name: &TargetName,
        peer: Peer,
        session: &SessionId,
    ) -> Result<Gate, Refusal> {
        let laws = self.laws.load();
        let scoped = who.targets.as_ref().is_none_or(|targets| targets.contains(name));
        let target = laws.targets.get(name).filter(|_| scoped).ok_or_else(no_such_target)?;
        let connect = laws.connecting(target).ok_or_else(no_such_target)?;
        let mut gate = Gate::new(Arc::clone(&self.laws), asker(who, target, session, peer), self.limits.cached_rulings);
        match gate.rule(&connect, clock::now()).verdict {
            Verdict::Allow(_) => Ok(gate),
            Verdict::Deny(_) => Err(no_such_target()),
            Verdict::Hold(_) => Err(Refusal::builtin(
                Code::Unsupported,
                "connect-hold",
                "connecting to this target needs an approval, which is only given to operations",
            )),
        }
    }

    async fn open_session(&self, who: &Principal, name: &TargetName, peer: Peer) -> Result<Grant, Refusal> {
        if self.register.len() >= self.limits.sessions {
            return Err(Refusal::builtin(Code::Limit, "sessions", "the broker has too many open sessions"));
        }
        self.ports.keep.admits().map_err(|error| cannot_record(&error))?;
        let session = random::session_id().map_err(|_| unavailable())?;
        let gate = self.rule_connect(who, name, peer, &session)?;
        let credential = self.ports.lend.lend(name).await?;
        let opening = Opening {
            session: session.clone(),
            principal: who.clone(),
            target: gate.target().clone(),
            peer,
            policy_epoch: gate.epoch(),
            schema_version: self.laws.load().schema_version(gate.target()),
            at: clock::now(),
        };
        let live = Live {
            session: session.clone(),
            principal: who.clone(),
            target: gate.target().clone(),
            peer,
            since: opening.at,
        };
        let watch = Stopwatch::start();
        let recorder = self.ports.keep.begin(opening).await.map_err(|error| cannot_record(&error))?;
        let tape = Tape::new(recorder, watch, self.limits, session.to_string());
        let place = self.register.enter(live);
        Ok(Grant { gate, place, tape, credential })
    }
}

impl Grant {
    async fn finish(self, reason: &'static str) {
        let session = self.gate.session().clone();
        let counts = self.tape.counts;
        let closing = Closing {
            reason,
            at: clock::now(),
            operations: counts.operations,
            refused: counts.refused,
            bytes_to_client: counts.to_client,
            bytes_to_server: counts.to_server,
        };
        let (recorder, nanos) = self.tape.into_recorder();
        tracing::info!(session = %session, reason, operations = counts.operations, refused = counts.refused, "the session ended");
        if let Err(error) = recorder.finish(nanos, closing).await {
            tracing::error!(session = %session, error = %error, "the recording could not be closed");
        }
        drop(self.place);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("session", self.gate.session()).finish_non_exhaustive()
    }
}

impl sluice_wire::Grant for Grant {
    fn principal(&self) -> &Principal {
        self.gate.who()
    }

    fn target(&self) -> &TargetName {
        &self.gate.target().name
    }

    fn session(&self) -> &SessionId {
        self.gate.session()
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.place.holding) as Arc<dyn Interrupt>
    }
}

impl Broker for Kernel {
    type Grant = Grant;

    async fn challenge(&self, user: &str) -> Result<ScramParameters, Refusal> {
        self.ports.identify.challenge(user).await
    }

    async fn authenticate(&self, claim: Claim) -> Result<Authenticated, Refusal> {
        self.ports.identify.authenticate(claim, clock::now()).await
    }

    async fn open(&self, who: &Principal, target: &TargetName, peer: Peer) -> Result<Grant, Refusal> {
        let opened = self.open_session(who, target, peer).await;
        match &opened {
            Ok(grant) => tracing::info!(
                session = %grant.gate.session(), principal = %who, target = %target, "the session began"
            ),
            Err(refusal) => tracing::info!(
                principal = %who, target = %target, rule = %refusal.rule, "a session was refused"
            ),
        }
        opened
    }

    async fn carry<M, C, S>(&self, grant: Grant, machine: M, client: C, server: S) -> Result<(), FlowError>
    where
        M: Machine,
        C: Link<Frame = M::Frame>,
        S: Link<Frame = M::Frame>,
    {
        let mut grant = grant;
        let flow = Flow {
            machine,
            client,
            server,
            gate: &mut grant.gate,
            tape: &mut grant.tape,
            place: &mut grant.place,
            approve: &self.ports.approve,
            limits: self.limits,
            role: &grant.credential.user,
            outbox: Outbox::default(),
            waiting: Waiting::Nothing,
            ahead: Ahead::default(),
            ended: Ended::default(),
        };
        let result = Box::pin(flow.run()).await;
        grant.finish(reason(&result)).await;
        result
    }

    async fn abandon(&self, grant: Grant, reason: &Refusal) {
        let mut grant = grant;
        let _best_effort = grant.tape.refused(reason);
        grant.finish("refused").await;
    }
}

const fn reason(result: &Result<(), FlowError>) -> &'static str {
    match result {
        Ok(()) => "client",
        Err(FlowError::Violation(_) | FlowError::Unruled | FlowError::AskedTwice) => "violation",
        Err(FlowError::Client(_)) => "client-lost",
        Err(FlowError::Server(_)) => "server-lost",
        Err(FlowError::Unrecorded) => "unrecorded",
        Err(FlowError::Revoked) => "revoked",
        Err(FlowError::Refused(_)) => "refused",
    }
}

fn asker(who: &Principal, target: &Target, session: &SessionId, peer: Peer) -> Asker {
    Asker { who: who.clone(), target: target.clone(), session: session.clone(), client: peer.address.ip() }
}

fn no_such_target() -> Refusal {
    Refusal::builtin(Code::Policy, "no-such-target", "there is no such target, or you may not connect to it")
        .with_hint("Ask an administrator which targets your groups may use.")
}

fn unavailable() -> Refusal {
    Refusal::builtin(Code::Unavailable, "internal", "the broker cannot open a session at the moment")
}

fn cannot_record(error: &crate::ports::Unrecorded) -> Refusal {
    tracing::error!(error = %error, "a session was refused because it cannot be recorded");
    Refusal::builtin(Code::Unrecorded, "unrecorded", "sessions cannot be recorded at the moment, so none is opened")
}
