//! The sessions that are open at this moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use sluice_model::{FlowId, Principal, Refusal, SessionId, Target, UnixMicros};
use sluice_wire::{Interrupt, Interrupted, Peer};
use tokio::sync::mpsc;

/// Signals that wait for one flow; more than this are as good as one.
const SIGNALS: usize = 8;

/// What reaches a flow from outside its two links.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Whoever asked has given up waiting.
    Withdraw,
    /// The session must end. Boxed: a channel makes room for 32 signals at once, and most flows get none.
    Revoke(Box<Refusal>),
}

/// One open session, as an operator sees it.
#[derive(Clone, Debug)]
pub struct Live {
    pub session: SessionId,
    pub principal: Principal,
    pub target: Target,
    pub peer: Peer,
    pub since: UnixMicros,
}

/// Whether a session ends with the last of its flows, or a while after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sharing {
    Alone,
    Shared,
}

/// Every open session.
#[derive(Debug, Default)]
pub(crate) struct Register {
    sessions: DashMap<SessionId, Entry>,
}

#[derive(Debug)]
struct Entry {
    live: Live,
    flows: Vec<Running>,
    /// A flow of it was told to end.
    cut: bool,
}

/// A flow that runs.
#[derive(Debug)]
struct Running {
    flow: FlowId,
    sharing: Sharing,
    signals: mpsc::Sender<Signal>,
}

/// Sessions that were told to end.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// Those with a flow that was cut.
    pub(crate) busy: Vec<SessionId>,
    /// Those without one: nobody misses anything.
    pub(crate) quiet: Vec<SessionId>,
}

/// A session's entry in the register; it leaves when told to, and when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    register: Arc<Register>,
    session: SessionId,
}

/// A flow's place in its session's entry; it leaves when this is dropped.
pub(crate) struct Place {
    register: Arc<Register>,
    session: SessionId,
    flow: FlowId,
    pub(crate) signals: mpsc::Receiver<Signal>,
    pub(crate) holding: Arc<Holding>,
}

/// Whether a flow waits for people; the other connections of its client may end that wait.
#[derive(Debug)]
pub(crate) struct Holding {
    waits: AtomicBool,
    signals: mpsc::Sender<Signal>,
}

impl Holding {
    /// Says that the flow waits from here on, or no longer.
    pub(crate) fn set(&self, waits: bool) {
        self.waits.store(waits, Ordering::SeqCst);
    }
}

impl Interrupt for Holding {
    fn withdraw(&self) -> Interrupted {
        if self.waits.swap(false, Ordering::SeqCst) && self.signals.try_send(Signal::Withdraw).is_ok() {
            Interrupted::Hold
        } else {
            Interrupted::Nothing
        }
    }
}

impl Register {
    /// Enters a session.
    pub(crate) fn enter(self: &Arc<Self>, live: Live) -> Registered {
        let session = live.session.clone();
        self.sessions.insert(session.clone(), Entry { live, flows: Vec::new(), cut: false });
        Registered { register: Arc::clone(self), session }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn live(&self) -> Vec<Live> {
        self.sessions.iter().map(|entry| entry.live.clone()).collect()
    }

    /// Ends the flows of the sessions for which `judge` has a refusal, and names those sessions. A full queue already
    /// holds a signal that ends its wait.
    pub(crate) fn revoke(&self, judge: impl Fn(&Live) -> Option<Refusal>) -> Revoked {
        let mut revoked = Revoked::default();
        for mut entry in self.sessions.iter_mut() {
            let Some(refusal) = judge(&entry.live) else { continue };
            entry.end(&refusal, &mut revoked);
        }
        revoked
    }

    /// The same with every session but those that have flows which end by themselves.
    pub(crate) fn wind_down(&self, refusal: &Refusal) -> Revoked {
        let mut revoked = Revoked::default();
        for mut entry in self.sessions.iter_mut() {
            if entry.flows.iter().all(|running| running.sharing == Sharing::Alone) {
                entry.end(refusal, &mut revoked);
            }
        }
        revoked
    }
}

impl Entry {
    fn end(&mut self, refusal: &Refusal, revoked: &mut Revoked) {
        self.cut |= !self.flows.is_empty();
        for running in &self.flows {
            let _ended = running.signals.try_send(Signal::Revoke(Box::new(refusal.clone())));
        }
        let list = if self.cut { &mut revoked.busy } else { &mut revoked.quiet };
        list.push(self.live.session.clone());
    }
}

impl Registered {
    /// A place for one flow of the session.
    pub(crate) fn place(&self, flow: FlowId, sharing: Sharing) -> Place {
        let (sender, signals) = mpsc::channel(SIGNALS);
        let holding = Arc::new(Holding { waits: AtomicBool::new(false), signals: sender.clone() });
        if let Some(mut entry) = self.register.sessions.get_mut(&self.session) {
            entry.flows.push(Running { flow, sharing, signals: sender });
        }
        Place { register: Arc::clone(&self.register), session: self.session.clone(), flow, signals, holding }
    }

    /// Takes the session out.
    pub(crate) fn leave(&self) {
        self.register.sessions.remove(&self.session);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut entry) = self.register.sessions.get_mut(&self.session) {
            entry.flows.retain(|running| running.flow != self.flow);
        }
    }
}
