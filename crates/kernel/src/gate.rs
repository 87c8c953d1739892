//! The only caller of the policy engine.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sluice_model::{Digest, Operation, Principal, SessionId, Shape, Stage, Target, UnixMicros, Verdict};
use sluice_policy::{Approved, Case, Decision, Moment, Slice};

use crate::laws::Laws;

/// Rules on the operations of one session.
pub(crate) struct Gate {
    laws: Arc<ArcSwap<Laws>>,
    in_force: Arc<Laws>,
    slice: Slice,
    who: Principal,
    target: Target,
    session: SessionId,
    client: IpAddr,
    /// By exact text, which is quick to look up.
    ruled: HashMap<(Digest, Stage), Verdict>,
    /// By what policies see: texts that differ in a constant only are ruled on once.
    meant: HashMap<Meaning, Verdict>,
    room: usize,
}

/// A verdict, and whether it was given before to an equal operation.
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) cached: bool,
}

/// Who asks, at what, from where.
pub(crate) struct Asker {
    pub(crate) who: Principal,
    pub(crate) target: Target,
    pub(crate) session: SessionId,
    pub(crate) client: IpAddr,
}

impl Gate {
    pub(crate) fn new(laws: Arc<ArcSwap<Laws>>, asker: Asker, room: usize) -> Self {
        let Asker { who, target, session, client } = asker;
        let in_force = laws.load_full();
        let slice = in_force.policies.slice(&who, &target);
        Self { laws, in_force, slice, who, target, session, client, ruled: HashMap::new(), meant: HashMap::new(), room }
    }

    /// Rules on an operation under the policies in force at this moment.
    pub(crate) fn rule(&mut self, operation: &Operation, now: UnixMicros) -> Answer {
        self.take_new_laws();
        let key = (operation.shape.digest, operation.stage);
        if let Some(verdict) = self.ruled.get(&key) {
            return Answer { verdict: verdict.clone(), cached: true };
        }
        let meaning = Meaning { shape: Arc::clone(&operation.shape), stage: operation.stage };
        if let Some(verdict) = self.meant.get(&meaning).cloned() {
            self.remember(key, &verdict);
            return Answer { verdict, cached: true };
        }
        let decision = self.decide(operation, now, None);
        if decision.cacheable {
            self.remember(key, &decision.verdict);
            if self.meant.len() >= self.room {
                self.meant.clear();
            }
            self.meant.insert(meaning, decision.verdict.clone());
        }
        Answer { verdict: decision.verdict, cached: false }
    }

    /// Rules once more on an operation that people have approved.
    pub(crate) fn rule_approved(&mut self, operation: &Operation, now: UnixMicros, approved: Approved) -> Verdict {
        self.take_new_laws();
        self.decide(operation, now, Some(approved)).verdict
    }

    /// The epoch of the policies in force.
    pub(crate) fn epoch(&self) -> u64 {
        self.in_force.policies.epoch()
    }

    pub(crate) const fn who(&self) -> &Principal {
        &self.who
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) const fn session(&self) -> &SessionId {
        &self.session
    }

    fn remember(&mut self, key: (Digest, Stage), verdict: &Verdict) {
        if self.ruled.len() >= self.room {
            self.ruled.clear();
        }
        self.ruled.insert(key, verdict.clone());
    }

    fn take_new_laws(&mut self) {
        let laws = self.laws.load();
        if !Arc::ptr_eq(&laws, &self.in_force) {
            self.in_force = Arc::clone(&laws);
            self.slice = self.in_force.policies.slice(&self.who, &self.target);
            self.ruled.clear();
            self.meant.clear();
        }
    }

    fn decide(&self, operation: &Operation, now: UnixMicros, approval: Option<Approved>) -> Decision {
        let (weekday, minute) = self.in_force.zone.calendar(now);
        let at = Moment { now, weekday, minute, client: Some(self.client) };
        let case = Case { who: &self.who, target: &self.target, operation, at, session: &self.session, approval };
        let decision = self.slice.decide(&case);
        for rule in &decision.erring {
            tracing::error!(rule = %rule, session = %self.session, "a policy failed to evaluate and denied");
        }
        decision
    }
}

/// What a verdict is given on: an operation's shape but for its exact text, which no policy sees.
struct Meaning {
    shape: Arc<Shape>,
    stage: Stage,
}

impl Meaning {
    /// Every field of a shape but its digest; a new one must be looked at here.
    fn parts(&self) -> impl Hash + PartialEq + '_ {
        let Shape { action, accesses, exposures, facts, understood, digest: _ } = &*self.shape;
        (action, accesses, exposures, facts, understood, self.stage)
    }
}

impl Hash for Meaning {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for Meaning {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Meaning {}
