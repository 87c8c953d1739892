//! Which parts of a file passed.

use std::collections::BTreeMap;
use std::ops::Range;

/// The most ranges that are kept apart.
const MOST: usize = 1024;

/// Ranges, merged as they grow.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Start to end; apart from each other.
    all: BTreeMap<u64, u64>,
    more: bool,
}

impl Ranges {
    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&from, &to)) = self.all.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            self.all.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        if self.all.len() < MOST {
            self.all.insert(start, end);
        } else {
            self.more = true;
        }
    }

    pub(super) fn touches(&self, range: &Range<u64>) -> bool {
        self.all.range(..range.end).next_back().is_some_and(|(_, to)| *to > range.start)
    }

    pub(super) fn into_parts(self) -> (Vec<Range<u64>>, bool) {
        (self.all.into_iter().map(|(start, end)| start..end).collect(), self.more)
    }
}
