//! The only caller of the policy engine.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sluice_model::{Digest, Operation, Shape, Stage, Target, UnixMicros, Verdict};
use sluice_policy::{Approved, Case, Decision, Moment, Slice};

use crate::laws::Laws;
use crate::stay::Asker;

/// The rulings of one session, shared by its flows.
pub(crate) struct Rulings {
    laws: Arc<ArcSwap<Laws>>,
    known: Mutex<Known>,
    room: usize,
}

/// What is known under the laws in force.
struct Known {
    in_force: Arc<Laws>,
    slice: Arc<Slice>,
    /// The session's target, as the laws have it.
    target: Arc<Target>,
    /// By exact text, which is quick to look up.
    ruled: HashMap<(Digest, Stage), (Arc<Shape>, Verdict)>,
    /// By what policies see: texts that differ in a constant only are ruled on once.
    meant: HashMap<Meant, Verdict>,
}

/// A verdict, and whether it was given before to an equal operation.
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) cached: bool,
}

/// Laws, and the part of their policies that one session needs.
struct Bench {
    laws: Arc<Laws>,
    slice: Arc<Slice>,
    target: Arc<Target>,
}

impl Rulings {
    pub(crate) fn new(laws: Arc<ArcSwap<Laws>>, asker: &Asker, room: usize) -> Self {
        let in_force = laws.load_full();
        let target = Arc::new(in_force.target_of(asker));
        let slice = Arc::new(in_force.policies.slice(&asker.who, &target));
        let known = Known { in_force, slice, target, ruled: HashMap::new(), meant: HashMap::new() };
        Self { laws, known: Mutex::new(known), room }
    }

    /// Rules on an operation under the policies in force at this moment.
    pub(crate) fn rule(&self, asker: &Asker, operation: &Operation, now: UnixMicros) -> Answer {
        let key = (operation.shape.digest(), operation.stage);
        let meaning = Meant { shape: Arc::clone(&operation.shape), stage: operation.stage };
        let bench = {
            let mut known = self.current(asker);
            if let Some((shape, verdict)) = known.ruled.get(&key)
                && (Arc::ptr_eq(shape, &operation.shape) || shape == &operation.shape)
            {
                return Answer { verdict: verdict.clone(), cached: true };
            }
            if let Some(verdict) = known.meant.get(&meaning).cloned() {
                known.remember(self.room, operation, &verdict);
                return Answer { verdict, cached: true };
            }
            known.bench()
        };
        // Other flows of the session are ruled on meanwhile.
        let decision = bench.decide(asker, operation, now, None);
        if decision.cacheable {
            let mut known = self.current(asker);
            if Arc::ptr_eq(&known.in_force, &bench.laws) {
                known.remember(self.room, operation, &decision.verdict);
                if known.meant.len() >= self.room {
                    known.meant.clear();
                }
                known.meant.insert(meaning, decision.verdict.clone());
            }
        }
        Answer { verdict: decision.verdict, cached: false }
    }

    /// Rules once more on an operation that people have approved.
    pub(crate) fn rule_approved(
        &self,
        asker: &Asker,
        operation: &Operation,
        now: UnixMicros,
        approved: Approved,
    ) -> Verdict {
        let bench = self.current(asker).bench();
        bench.decide(asker, operation, now, Some(approved)).verdict
    }

    /// The epoch of the policies that the last ruling was given under.
    pub(crate) fn epoch(&self) -> u64 {
        self.known().in_force.policies.epoch()
    }

    /// The epoch of the policies in force at this moment.
    pub(crate) fn epoch_in_force(&self) -> u64 {
        self.laws.load().policies.epoch()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, under the newest laws.
    fn current(&self, asker: &Asker) -> MutexGuard<'_, Known> {
        let mut known = self.known();
        let laws = self.laws.load();
        if !Arc::ptr_eq(&laws, &known.in_force) {
            known.in_force = Arc::clone(&laws);
            known.target = Arc::new(known.in_force.target_of(asker));
            known.slice = Arc::new(known.in_force.policies.slice(&asker.who, &known.target));
            known.ruled.clear();
            known.meant.clear();
        }
        known
    }
}

impl Known {
    fn bench(&self) -> Bench {
        let Self { in_force, slice, target, .. } = self;
        Bench { laws: Arc::clone(in_force), slice: Arc::clone(slice), target: Arc::clone(target) }
    }

    fn remember(&mut self, room: usize, operation: &Operation, verdict: &Verdict) {
        if self.ruled.len() >= room {
            self.ruled.clear();
        }
        let key = (operation.shape.digest(), operation.stage);
        self.ruled.insert(key, (Arc::clone(&operation.shape), verdict.clone()));
    }
}

impl Bench {
    fn decide(&self, asker: &Asker, operation: &Operation, now: UnixMicros, approval: Option<Approved>) -> Decision {
        let (weekday, minute) = self.laws.zone.calendar(now);
        let at = Moment { now, weekday, minute, client: Some(asker.client) };
        let session = &asker.session;
        let case = Case { who: &asker.who, target: &self.target, operation, at, session, approval };
        let decision = self.slice.decide(&case);
        for rule in &decision.erring {
            tracing::error!(rule = %rule, session = %session, "a policy failed to evaluate and denied");
        }
        decision
    }
}

/// What a verdict is given on: an operation's shape but for its exact text, which no policy sees.
struct Meant {
    shape: Arc<Shape>,
    stage: Stage,
}

impl Meant {
    fn parts(&self) -> impl Hash + PartialEq + '_ {
        (self.shape.meaning(), self.stage)
    }
}

impl Hash for Meant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for Meant {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Meant {}
