//! Where the character of each folded byte begins in the text.

/// The places of runs of bytes whose characters lie equally far apart in the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts {
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    position: usize,
    raw: usize,
    /// How far apart.
    stride: usize,
}

impl Run {
    const fn at(&self, position: usize) -> usize {
        self.raw.saturating_add(position.saturating_sub(self.position).saturating_mul(self.stride))
    }
}

impl Starts {
    /// Adds the byte at the next position.
    pub(super) fn add(&mut self, position: usize, raw: usize) {
        match self.runs.last_mut() {
            Some(run) if run.at(position) == raw => {}
            Some(run) if run.position.saturating_add(1) == position => run.stride = raw.saturating_sub(run.raw),
            _ => self.runs.push(Run { position, raw, stride: 1 }),
        }
    }

    /// Adds bytes from a position on that lie side by side in the text.
    pub(super) fn extend(&mut self, position: usize, raw: usize) {
        if self.runs.last().is_none_or(|run| run.at(position) != raw || run.stride != 1) {
            self.runs.push(Run { position, raw, stride: 1 });
        }
    }

    /// The place of a position that was added.
    pub(super) fn of(&self, position: usize) -> usize {
        let after = self.runs.partition_point(|run| run.position <= position);
        self.runs.get(after.saturating_sub(1)).map_or(position, |run| run.at(position))
    }

    /// Forgets the positions before one.
    pub(super) fn forget(&mut self, position: usize) {
        let after = self.runs.partition_point(|run| run.position <= position);
        self.runs.drain(..after.saturating_sub(1));
        if let Some(first) = self.runs.first_mut() {
            (first.raw, first.position) = (first.at(position), position);
        }
    }

    /// Gives the last positions, from one up to another, one and the same place.
    pub(super) fn join(&mut self, from: usize, to: usize, raw: usize) {
        self.runs.truncate(self.runs.partition_point(|run| run.position < from));
        (from..to).for_each(|position| self.add(position, raw));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_says_of_each_position_what_a_list_would(
            steps in prop::collection::vec((0_usize..3, 0_usize..4), 1..60), forgotten in 0_usize..60, joined in 0_usize..3,
        ) {
            let (mut starts, mut list, mut raw) = (Starts::default(), Vec::new(), 0);
            for (step, extra) in steps {
                raw += step + extra / 3;
                starts.add(list.len(), raw);
                list.push(raw);
                if extra == 2 {
                    starts.extend(list.len(), raw + 1);
                    list.extend(raw + 1..raw + 8);
                    raw += 7;
                }
            }
            let tail = list.len().saturating_sub(joined);
            starts.join(tail, list.len(), raw + 1);
            list.iter_mut().skip(tail).for_each(|place| *place = raw + 1);
            let first = forgotten.min(list.len() - 1);
            starts.forget(first);
            for (position, place) in list.into_iter().enumerate().skip(first) {
                prop_assert_eq!(starts.of(position), place);
            }
        }
    }
}
