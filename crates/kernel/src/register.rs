//! The sessions that are open at this moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use sluice_model::{Principal, Refusal, SessionId, Target, UnixMicros};
use sluice_wire::{Interrupt, Interrupted, Peer};
use tokio::sync::mpsc;

/// Signals that wait for one flow; more than this are as good as one.
const SIGNALS: usize = 8;

/// What reaches a flow from outside its two links.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Whoever asked has given up waiting.
    Withdraw,
    /// The session must end.
    Revoke(Refusal),
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

/// Every open session.
#[derive(Debug, Default)]
pub(crate) struct Register {
    sessions: DashMap<SessionId, Entry>,
}

#[derive(Debug)]
struct Entry {
    live: Live,
    signals: mpsc::Sender<Signal>,
}

/// A session's place in the register; it leaves when this is dropped.
pub(crate) struct Place {
    register: Arc<Register>,
    session: SessionId,
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
    pub(crate) fn enter(self: &Arc<Self>, live: Live) -> Place {
        let (sender, signals) = mpsc::channel(SIGNALS);
        let session = live.session.clone();
        let holding = Arc::new(Holding { waits: AtomicBool::new(false), signals: sender.clone() });
        self.sessions.insert(session.clone(), Entry { live, signals: sender });
        Place { register: Arc::clone(self), session, signals, holding }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn live(&self) -> Vec<Live> {
        self.sessions.iter().map(|entry| entry.live.clone()).collect()
    }

    /// Ends the sessions for which `judge` has a refusal. A full queue already holds a signal that ends its wait.
    pub(crate) fn revoke(&self, judge: impl Fn(&Live) -> Option<Refusal>) {
        for entry in &self.sessions {
            if let Some(refusal) = judge(&entry.live) {
                let _ended = entry.signals.try_send(Signal::Revoke(refusal));
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.register.sessions.remove(&self.session);
    }
}
