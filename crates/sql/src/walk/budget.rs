//! How much work one text may make.

use super::Walk;

/// The most steps that reading one text may take: a step is a node, or a column that is copied.
pub(super) const MAX_STEPS: usize = 400_000;

/// The most columns that one query may have; the server has the same limit for its results.
pub const MAX_OUTPUT_COLUMNS: usize = 1_664;

/// The most entries that one FROM may have.
pub const MAX_FROM_ENTRIES: usize = 512;

/// How many columns are compared with a name in the time of a step.
const COMPARED_PER_STEP: usize = 16;

impl Walk<'_> {
    /// Counts a step; `false` once the walk has done too much, and nothing more needs to be looked at.
    pub(super) fn step(&mut self) -> bool {
        self.charge(1)
    }

    /// Counts many steps at once, before the work is done.
    pub(super) fn charge(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps);
        !self.is_exhausted()
    }

    /// Counts a search by name through so many columns.
    pub(super) fn charge_search(&mut self, columns: usize) -> bool {
        self.charge(columns / COMPARED_PER_STEP)
    }

    /// Ends the walk where the number of entries of a FROM is too large.
    pub(super) fn may_hold(&mut self, entries: usize) -> bool {
        if entries > MAX_FROM_ENTRIES {
            self.exhaust();
        }
        !self.is_exhausted()
    }

    /// Ends the walk.
    pub(super) fn exhaust(&mut self) {
        self.steps = usize::MAX;
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.steps > MAX_STEPS
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{Catalog, NoPrepared, Rows, Sensitive};

    #[test]
    fn steps_are_limited() {
        let catalog = Catalog::build(Rows::default(), 1).unwrap();
        let sensitive = Sensitive::default();
        let mut walk = Walk::new(&catalog, &sensitive, &NoPrepared, &[]);
        assert!(walk.charge(MAX_STEPS - 1) && walk.step() && !walk.is_exhausted());
        assert!(!walk.step() && walk.is_exhausted());
        assert!(!walk.charge(usize::MAX));
    }
}
