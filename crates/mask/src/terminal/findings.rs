//! What was found, counted; never what it was.

use std::collections::BTreeMap;

use sluice_model::Tag;

/// How many values of each class were hidden, and what else did not pass.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    counts: BTreeMap<Tag, u64>,
    overflows: u64,
    refused: u64,
}

impl Findings {
    /// The classes, each with its number of values. A value of several classes counts for each.
    pub fn counts(&self) -> impl Iterator<Item = (&Tag, u64)> {
        self.counts.iter().map(|(tag, count)| (tag, *count))
    }

    /// How often text was hidden because it could have become a value and was too long to be held.
    #[must_use]
    pub const fn overflows(&self) -> u64 {
        self.overflows
    }

    /// How many control sequences of refused kinds were left out.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.overflows == 0 && self.refused == 0
    }

    /// Adds what was found elsewhere.
    pub fn absorb(&mut self, other: Self) {
        for (tag, count) in other.counts {
            let sum = self.counts.entry(tag).or_default();
            *sum = sum.saturating_add(count);
        }
        self.overflows = self.overflows.saturating_add(other.overflows);
        self.refused = self.refused.saturating_add(other.refused);
    }

    pub(super) fn count<'a>(&mut self, tags: impl Iterator<Item = &'a Tag>) {
        for tag in tags {
            let sum = self.counts.entry(tag.clone()).or_default();
            *sum = sum.saturating_add(1);
        }
    }

    pub(super) const fn overflow(&mut self) {
        self.overflows = self.overflows.saturating_add(1);
    }

    pub(super) const fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }
}
