//! The broker, as protocols see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sluice_model::{Code, Group, Part, Principal, Refusal, SessionId, Target, TargetName, Verdict};
use sluice_policy::{Moment, Place as Where, Verb};
use sluice_wire::{Authenticated, Broker, Claim, Credential, FlowError, Link, Machine, Outbox, Peer, ScramParameters};

use crate::clock::{self, Stopwatch};
use crate::flow::Flow;
use crate::gate::Rulings;
use crate::grant::{Grant, Stem};
use crate::lapses::Lapses;
use crate::laws::Laws;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::ports::{Approve, Identify, Keep, Lend, Opening, Unrecorded};
use crate::random;
use crate::register::{Live, Register, Revoked, Sharing};
use crate::shared::SharedStays;
use crate::state::{Ahead, Ended, Waiting};
use crate::stay::{Asker, Freshness, Reel, Stay};
use crate::tape::Tape;

/// How often open sessions are checked against revocations, expiry, and new ways to sign in and policies.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How long flows may take to leave that were told to at the deadline of a stop.
const TOLD: Duration = Duration::from_secs(2);

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
    shared: SharedStays,
    ledger: Arc<Ledger>,
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

/// A target, and the part of it that is meant.
type Place<'a> = (&'a TargetName, Option<&'a Part>);

impl Kernel {
    /// A kernel with its ports and the first laws.
    #[must_use]
    pub fn new(ports: Ports, limits: Limits, laws: Laws) -> Arc<Self> {
        let laws = Arc::new(ArcSwap::from_pointee(laws));
        Arc::new(Self {
            ports,
            limits,
            laws,
            register: Arc::default(),
            shared: SharedStays::default(),
            ledger: Arc::default(),
        })
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

    /// Ends sessions whose token was revoked or has expired, that signed in with what counts no longer, or whose leave to
    /// connect is gone; runs until it is dropped.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        loop {
            ticks.tick().await;
            self.keep_spent().await;
            self.ledger.forget_passed(clock::now());
            let revoked = self.register.revoke(|live| self.judge(live));
            self.close(self.shared.take_idle(self.limits.idle_seconds), "idle").await;
            self.close(self.shared.take_these(&revoked.quiet), "idle").await;
            self.close(self.shared.take_these(&revoked.busy), "revoked").await;
        }
    }

    /// Ends a session at once; its client is told why. Gives `false` if no such session is open.
    pub async fn end(&self, session: &SessionId, refusal: &Refusal) -> bool {
        let ended = self.register.revoke(|live| (live.session == *session).then(|| refusal.clone()));
        let open: Vec<SessionId> = ended.busy.into_iter().chain(ended.quiet).collect();
        // Where flows share it, nothing joins it any more, and its recording closes with the last of them.
        self.close(self.shared.take_these(&open), "revoked").await;
        !open.is_empty()
    }

    /// Goes on with the counters of budgets that an earlier run left.
    pub async fn resume_budgets(&self) -> Result<(), Unrecorded> {
        self.ledger.resume(self.ports.keep.spent().await?);
        Ok(())
    }

    /// Writes down what has changed. What cannot be written now is written with the next change.
    async fn keep_spent(&self) {
        let changed = self.ledger.changed();
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.ports.keep.keep_spent(changed).await {
            tracing::error!(error = %error, "what budgets have left could not be written down");
        }
    }

    /// Ends every session and waits for them to leave. A session of one flow is told at once, as it ends when its client
    /// likes; flows of shared sessions end by themselves, and are told at the deadline.
    pub async fn shutdown(&self, deadline: Duration) {
        let closing = || Refusal::builtin(Code::Stopping, "shutdown", "the broker is shutting down");
        let finished = self.empty(|| self.register.wind_down(&closing()));
        if tokio::time::timeout(deadline, finished).await.is_err() {
            let told = self.empty(|| self.register.revoke(|_| Some(closing())));
            let _left_behind = tokio::time::timeout(TOLD, told).await;
        }
        self.keep_spent().await;
    }

    /// Ends sessions until there is none.
    async fn empty(&self, end: impl Fn() -> Revoked) {
        while self.register.len() > 0 {
            let open = end();
            self.close(self.shared.take_these(&open.quiet), "idle").await;
            self.close(self.shared.take_these(&open.busy), "revoked").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        if !self.ports.identify.still_holds(&live.principal, now) {
            let message = "what this session signed in with does not count any more";
            return Some(Refusal::builtin(Code::Revoked, "sign-in-revoked", message));
        }
        let laws = self.laws.load();
        let gone =
            || Refusal::builtin(Code::Revoked, "connect-revoked", "leave to connect to this target was withdrawn");
        let Some(target) = laws.targets.get(&live.target.name) else { return Some(gone()) };
        let Some(connect) = laws.connecting(target) else { return Some(gone()) };
        let asker = asker(&live.principal, target.at(live.target.part.clone()), &live.session, live.peer);
        let rulings = Rulings::new(Arc::clone(&self.laws), &asker, 1);
        match rulings.rule(&asker, &connect, now).verdict {
            Verdict::Allow(_) => None,
            Verdict::Deny(_) | Verdict::Hold(_) => Some(gone()),
        }
    }

    /// Rules on connecting. A missing and a forbidden target read the same.
    fn rule_connect(
        &self,
        who: &Principal,
        (name, part): Place<'_>,
        peer: Peer,
        session: &SessionId,
    ) -> Result<(Asker, Rulings), Refusal> {
        let laws = self.laws.load();
        let scoped = who.targets.as_ref().is_none_or(|targets| targets.contains(name));
        let target = laws.targets.get(name).filter(|_| scoped).ok_or_else(no_such_target)?;
        let connect = laws.connecting(target).ok_or_else(no_such_target)?;
        let asker = asker(who, target.at(part.cloned()), session, peer);
        let rulings = Rulings::new(Arc::clone(&self.laws), &asker, self.limits.cached_rulings);
        match rulings.rule(&asker, &connect, clock::now()).verdict {
            Verdict::Allow(_) => Ok((asker, rulings)),
            Verdict::Deny(_) => Err(no_such_target()),
            Verdict::Hold(_) => Err(Refusal::builtin(
                Code::Unsupported,
                "connect-hold",
                "connecting to this target needs an approval, which is only given to operations",
            )),
        }
    }

    async fn open_stay(&self, who: &Principal, place: Place<'_>, peer: Peer) -> Result<Arc<Stay>, Refusal> {
        if self.register.len() >= self.limits.sessions {
            return Err(Refusal::builtin(Code::Crowded, "sessions", "the broker has too many open sessions"));
        }
        self.ports.keep.admits().map_err(|error| cannot_record(&error))?;
        let session = random::session_id().map_err(|_| unavailable())?;
        let (asker, rulings) = self.rule_connect(who, place, peer, &session)?;
        let credential = self.ports.lend.lend(place.0, who).await?;
        let opening = Opening {
            session: session.clone(),
            principal: who.clone(),
            target: asker.target.clone(),
            peer,
            policy_epoch: rulings.epoch(),
            schema_version: self.laws.load().schema_version(&asker.target),
            at: clock::now(),
        };
        let live = Live { session, principal: who.clone(), target: asker.target.clone(), peer, since: opening.at };
        let watch = Stopwatch::start();
        let recorder = self.ports.keep.begin(opening).await.map_err(|error| cannot_record(&error))?;
        let registered = self.register.enter(live);
        let part = asker.target.part.as_ref().map(tracing::field::display);
        tracing::info!(session = %asker.session, principal = %who, target = %place.0, part, "the session began");
        Ok(Stay::new(asker, rulings, Reel::new(recorder, watch), registered, credential))
    }

    async fn open_session(&self, who: &Principal, place: Place<'_>, peer: Peer) -> Result<Grant, Refusal> {
        let stay = self.open_stay(who, place, peer).await?;
        let credential = stay.credential(u64::MAX).0;
        self.grant(stay, credential, Sharing::Alone).ok_or_else(unavailable)
    }

    async fn join_session(&self, who: &Principal, name: &TargetName, peer: Peer) -> Result<Grant, Refusal> {
        // A session that ends at this very moment is found once; the next look opens another.
        for _ in 0..2 {
            let stay = self.shared.find(who, name, peer, || self.open_stay(who, (name, None), peer)).await?;
            let credential = self.current_credential(&stay).await?;
            if let Some(grant) = self.grant(stay, credential, Sharing::Shared) {
                return Ok(grant);
            }
        }
        Err(unavailable())
    }

    /// The credential, asked for again when it is old: keys are rotated without touching a client.
    async fn current_credential(&self, stay: &Stay) -> Result<Arc<Credential>, Refusal> {
        match stay.credential(self.limits.lend_seconds) {
            (credential, Freshness::Fresh) => Ok(credential),
            (_, Freshness::Stale) => {
                Ok(stay.lend(self.ports.lend.lend(&stay.asker.target.name, &stay.asker.who).await?))
            }
        }
    }

    fn grant(&self, stay: Arc<Stay>, credential: Arc<Credential>, sharing: Sharing) -> Option<Grant> {
        let flow = stay.enter()?;
        let place = stay.registered.place(flow, sharing);
        let tape = Tape::new(Arc::clone(&stay), flow, self.limits);
        let keep = Arc::clone(&self.ports.keep);
        Some(Grant { stay, flow, place, tape, credential, sharing, keep })
    }

    /// Finishes sessions that nobody enters any more. Requests that still stand there stand for nobody.
    async fn close(&self, stays: Vec<Arc<Stay>>, reason: &'static str) {
        for stay in stays {
            for standing in stay.all_standing() {
                self.ports.approve.withdraw(standing.id, clock::now()).await;
            }
            stay.finish(reason).await;
        }
    }

    /// Ends a flow, and with it a session of which it is the last one.
    async fn finish(&self, mut grant: Grant, reason: &'static str) {
        grant.tape.finish();
        let Grant { stay, place, tape, sharing, .. } = grant;
        drop(place);
        stay.leave(tape.counts);
        if sharing == Sharing::Alone && stay.end_if_idle(0) {
            self.close(vec![stay], reason).await;
        }
    }
}

impl Broker for Kernel {
    type Grant = Grant;
    type Stem = Stem;

    async fn challenge(&self, user: &str) -> Result<ScramParameters, Refusal> {
        self.ports.identify.challenge(user).await
    }

    async fn authenticate(&self, claim: Claim) -> Result<Authenticated, Refusal> {
        self.ports.identify.authenticate(claim, clock::now()).await
    }

    async fn open(
        &self,
        who: &Principal,
        target: &TargetName,
        part: Option<Part>,
        peer: Peer,
    ) -> Result<Grant, Refusal> {
        let opened = self.open_session(who, (target, part.as_ref()), peer).await;
        opened.inspect_err(|refusal| say_refused(who, target, refusal))
    }

    async fn join(&self, who: &Principal, target: &TargetName, peer: Peer) -> Result<Grant, Refusal> {
        let joined = self.join_session(who, target, peer).await;
        joined.inspect_err(|refusal| say_refused(who, target, refusal))
    }

    fn stem(&self, grant: &Grant) -> Stem {
        Stem { stay: Arc::clone(&grant.stay), sharing: grant.sharing }
    }

    async fn branch(&self, stem: &Stem) -> Result<Grant, Refusal> {
        let credential = self.current_credential(&stem.stay).await?;
        self.grant(Arc::clone(&stem.stay), credential, stem.sharing).ok_or_else(unavailable)
    }

    fn admits(&self, who: &Principal, target: &TargetName, peer: Peer) -> bool {
        random::session_id().is_ok_and(|session| self.rule_connect(who, (target, None), peer, &session).is_ok())
    }

    async fn carry<M, C, S>(&self, mut grant: Grant, machine: M, client: C, server: S) -> Result<(), FlowError>
    where
        M: Machine,
        C: Link<Frame = M::Frame>,
        S: Link<Frame = M::Frame>,
    {
        // In one place: a future keeps what is moved into it beside what it was moved from.
        let mut flow = Box::new(Flow {
            machine,
            client,
            server,
            stay: &grant.stay,
            ledger: &self.ledger,
            reserved: BTreeMap::new(),
            tape: &mut grant.tape,
            place: &mut grant.place,
            approve: &self.ports.approve,
            limits: self.limits,
            role: &grant.credential.user,
            outbox: Outbox::default(),
            waiting: Waiting::Nothing,
            ahead: Ahead::default(),
            ended: Ended::default(),
            lapses: Lapses::new(grant.stay.rulings.epoch_in_force()),
            looked: 0,
            nudges: nudges(self.limits.nudge_seconds),
        });
        let result = Box::pin(flow.run()).await;
        drop(flow);
        Box::pin(self.finish(grant, reason(&result))).await;
        result
    }

    async fn abandon(&self, mut grant: Grant, reason: &Refusal) {
        let _best_effort = grant.tape.refused(reason);
        self.finish(grant, "refused").await;
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

fn asker(who: &Principal, target: Target, session: &SessionId, peer: Peer) -> Asker {
    Asker { who: who.clone(), target, session: session.clone(), client: peer.address.ip() }
}

fn say_refused(who: &Principal, target: &TargetName, refusal: &Refusal) {
    tracing::info!(principal = %who, target = %target, rule = %refusal.rule, "a session was refused");
}

fn nudges(seconds: u64) -> tokio::time::Interval {
    let mut beat = tokio::time::interval(Duration::from_secs(seconds.max(1)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat
}

fn no_such_target() -> Refusal {
    Refusal::builtin(Code::Policy, "no-such-target", "there is no such target, or you may not connect to it")
        .with_hint("Ask an administrator which targets your groups may use.")
}

fn unavailable() -> Refusal {
    Refusal::builtin(Code::Unavailable, "internal", "the broker cannot open a session at the moment")
}

fn cannot_record(error: &Unrecorded) -> Refusal {
    tracing::error!(error = %error, "a session was refused because it cannot be recorded");
    Refusal::builtin(Code::Unrecorded, "unrecorded", "sessions cannot be recorded at the moment, so none is opened")
}
