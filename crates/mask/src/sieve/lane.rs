//! The states that one detector went through, so that the same way is not walked again from the next character.

use regex_automata::util::primitives::StateID;

/// Stale states are dropped once there are so many.
const STALE: usize = 4096;

/// The way of the last candidate of one detector: the state after each byte, from its first one on.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    base: usize,
    states: Vec<StateID>,
    /// The last end of a value on this way.
    last: usize,
    ending: Ending,
}

/// What is known of a candidate from the one before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known {
    Nothing,
    /// It finds no value.
    Vain,
    /// It goes the same way.
    Way,
}

/// How a way ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Ending {
    /// Where no continuation is a value.
    Dead,
    /// At the limit, or where the text ended so far.
    #[default]
    Alive,
}

impl Lane {
    /// Starts a candidate at a position, which is never before that of the one before it.
    pub(super) fn begin(&mut self, at: usize) {
        let stale = at.saturating_sub(self.base);
        if stale >= self.states.len() {
            self.states.clear();
            self.base = at;
            self.last = 0;
            self.ending = Ending::Alive;
        } else if stale > STALE && stale > self.states.len() / 2 {
            self.states.drain(..stale);
            self.base = at;
        }
    }

    /// Goes to the state after the byte at a position, which is at most one further than the last one known; tells
    /// whether the way known so far leads through it.
    #[inline]
    pub(super) fn visit(&mut self, position: usize, state: StateID) -> bool {
        match self.states.get_mut(position.saturating_sub(self.base)) {
            Some(known) => std::mem::replace(known, state) == state,
            None => {
                self.states.push(state);
                false
            }
        }
    }

    /// What is known of a candidate that is in this state here.
    #[inline]
    pub(super) fn known(&self, position: usize, state: StateID) -> Known {
        if self.states.get(position.saturating_sub(self.base)) != Some(&state) {
            Known::Nothing
        } else if self.ending == Ending::Dead && self.last <= position {
            Known::Vain
        } else {
            Known::Way
        }
    }

    /// Where the way ends: the position after its last byte, and the state there.
    pub(super) fn tip(&self) -> Option<(usize, StateID)> {
        self.states.last().map(|state| (self.base.saturating_add(self.states.len()), *state))
    }

    /// The last end of a value on the way.
    pub(super) const fn last(&self) -> usize {
        self.last
    }

    /// The last end of a value on the way, if no continuation makes another one.
    pub(super) fn decided(&self) -> Option<usize> {
        (self.ending == Ending::Dead).then_some(self.last)
    }

    /// Ends the way before a position, with the last end of a value on it.
    pub(super) fn close(&mut self, position: usize, last: usize, ending: Ending) {
        self.states.truncate(position.saturating_sub(self.base));
        (self.last, self.ending) = (last, ending);
    }

    pub(super) fn reset(&mut self) {
        self.states.clear();
        (self.base, self.last, self.ending) = (0, 0, Ending::Alive);
    }
}
