//! Which sessions began under another configuration of their target than the one in force.
//!
//! Tags, roles and the search path are part of what a session was set up with at the server, and of every statement that it
//! has prepared there. So a session does not change its configuration: it does nothing more under an old one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sluice_model::{Code, Refusal, TargetName};
use sluice_wire::Targets;

use crate::target::Target;

/// Whether the configuration of one session's target is still the one that it began with.
#[derive(Debug, Default)]
pub struct Tenure(AtomicBool);

impl Tenure {
    /// Another configuration is in force.
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether nothing more may begin in the session.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why a session ends.
pub(crate) fn changed() -> Refusal {
    let message = "the configuration of the target has changed since this session began";
    Refusal::builtin(Code::Revoked, "target-changed", message).with_hint("Connect again.")
}

/// The sessions that are open.
#[derive(Debug, Default)]
pub(crate) struct Tenures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The configuration in force; `None` where nobody has set one up.
    newest: Option<BTreeMap<TargetName, Arc<Target>>>,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    name: TargetName,
    target: Arc<Target>,
    tenure: Weak<Tenure>,
}

impl Tenures {
    /// Begins a session under a configuration, which may be an old one by now.
    pub(crate) fn begin(&self, name: &TargetName, target: &Arc<Target>) -> Arc<Tenure> {
        let tenure = Arc::new(Tenure::default());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.newest.as_ref().is_some_and(|newest| newest.get(name) != Some(target)) {
            tenure.end();
        }
        state.open.retain(|open| open.tenure.strong_count() > 0);
        state.open.push(Open { name: name.clone(), target: Arc::clone(target), tenure: Arc::downgrade(&tenure) });
        tenure
    }

    /// Puts a configuration in force. From here on nothing begins under another one.
    pub(crate) fn replace(&self, targets: &Targets<Target>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.retain(|open| {
            let same = targets.get(&open.name) == Some(&open.target);
            if let (false, Some(tenure)) = (same, open.tenure.upgrade()) {
                tenure.end();
            }
            same
        });
        state.newest = Some(targets.iter().map(|(name, target)| (name.clone(), Arc::clone(target))).collect());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shop(columns: &str) -> Arc<Target> {
        let text = format!(r#"{{ "host": "db", "database": "shop", "columns": {columns} }}"#);
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    fn targets(target: Option<Arc<Target>>) -> Targets<Target> {
        target.into_iter().map(|target| (name(), target)).collect()
    }

    fn name() -> TargetName {
        TargetName::new("shop").unwrap()
    }

    #[test]
    fn a_session_lasts_as_long_as_its_target_stays_as_it_was() {
        let tenures = Tenures::default();
        let first = tenures.begin(&name(), &shop("{}"));
        tenures.replace(&targets(Some(shop("{}"))));
        let second = tenures.begin(&name(), &shop("{}"));
        assert!(!first.is_over() && !second.is_over(), "the same in other words");
        let tagged = || shop(r#"{ "public.customers.note": ["pii"] }"#);
        tenures.replace(&targets(Some(tagged())));
        let (late, third) = (tenures.begin(&name(), &shop("{}")), tenures.begin(&name(), &tagged()));
        assert!(first.is_over() && second.is_over() && late.is_over() && !third.is_over());
        tenures.replace(&targets(None));
        assert!(third.is_over());
        tenures.replace(&targets(Some(tagged())));
        assert!(third.is_over(), "it is told but once");
    }
}
