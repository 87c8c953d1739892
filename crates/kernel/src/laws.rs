//! Everything that a reload replaces at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_model::{
    Access, Effect, Meaning, Operation, Resource, Schema, Shape, Spend, Stage, Target, TargetName, Text, UnixMicros,
};
use sluice_policy::Policies;

use crate::stay::Asker;

/// Policies, targets and schemas in force; swapped as a whole.
#[derive(Debug)]
pub struct Laws {
    pub policies: Arc<Policies>,
    pub targets: BTreeMap<TargetName, Target>,
    pub schemas: Vec<&'static Schema>,
    pub zone: Zone,
}

/// The site's offset from UTC, for policies that name weekdays and hours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Zone {
    pub utc_offset_minutes: i32,
}

impl Zone {
    /// ISO weekday (Monday is 1) and minute of the day.
    #[must_use]
    pub fn calendar(self, now: UnixMicros) -> (u8, u16) {
        let minutes = now.seconds().div_euclid(60).saturating_add(i64::from(self.utc_offset_minutes));
        let days = minutes.div_euclid(24 * 60);
        // 1970-01-01 was a Thursday.
        let weekday = (days.rem_euclid(7) + 3).rem_euclid(7) + 1;
        (u8::try_from(weekday).unwrap_or(1), u16::try_from(minutes.rem_euclid(24 * 60)).unwrap_or(0))
    }
}

impl Laws {
    /// The target of a session, which may be in another environment than when the session began. Nobody connects to one that
    /// is gone, and who is there is told so within a second.
    pub(crate) fn target_of(&self, asker: &Asker) -> Target {
        let part = || asker.target.part.clone();
        self.targets.get(&asker.target.name).map_or_else(|| asker.target.clone(), |target| target.at(part()))
    }

    /// Connecting to a target, as an operation on the whole of it.
    pub(crate) fn connecting(&self, target: &Target) -> Option<Operation> {
        let schema = self.schemas.iter().find(|schema| schema.protocol == target.protocol)?;
        let mut actions = schema.actions.iter().map(|spec| spec.action);
        let connect = actions.find(|action| action.effect == Effect::Connect)?;
        let meaning = Meaning {
            action: connect,
            accesses: std::iter::once(Access { action: connect, resource: Resource::target() }).collect(),
            exposures: Vec::new(),
            facts: schema.neutral_facts(connect.name)?,
            understood: true,
        };
        let shape = Shape::new(meaning, [connect.name.as_bytes()]);
        Some(Operation {
            shape: Arc::new(shape),
            text: Text::new(""),
            stage: Stage::Perform,
            bound: None,
            spend: Spend::default(),
        })
    }

    /// The version of a target's schema, for the record.
    pub(crate) fn schema_version(&self, target: &Target) -> u32 {
        let mut schemas = self.schemas.iter().filter(|schema| schema.protocol == target.protocol);
        schemas.next().map_or(0, |schema| schema.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(utc_offset_minutes: i32, seconds: i64, expect: (u8, u16)) {
        assert_eq!(Zone { utc_offset_minutes }.calendar(UnixMicros(seconds * 1_000_000)), expect);
    }

    #[test]
    fn the_calendar_counts_from_a_thursday() {
        check(0, 0, (4, 0));
        check(0, 86_399, (4, 1439));
        check(0, 86_400, (5, 0));
        check(60, 86_399, (5, 59));
        check(-60, 0, (3, 1380));
        // 2026-11-22T18:20:00Z, a Sunday.
        check(0, 1_795_371_600, (7, 1100));
    }
}
