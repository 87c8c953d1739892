//! An answer of which nothing goes to the client any more, read to its end for what it used.

use bytes::Bytes;

use super::{Answer, Mode};
use crate::dialects::Sight;

impl Answer {
    /// Shows nothing more. Says whether there is something to come that may tell what it used.
    pub(crate) fn leave(&mut self) -> bool {
        if self.whole || self.failed {
            return false;
        }
        self.alone = true;
        self.ready.clear();
        self.held = None;
        match std::mem::replace(&mut self.mode, Mode::Over) {
            mode @ (Mode::Awaited | Mode::Whole { .. }) => {
                self.mode = mode;
                return true;
            }
            Mode::Pieces(sight) => self.counts = Some(sight),
            Mode::Verbatim | Mode::Opaque { .. } | Mode::Over => {}
        }
        // What had come behind what could not be shown.
        self.count(&Bytes::new());
        self.counts.is_some()
    }

    /// Takes down what later requests can go on with.
    pub(crate) fn remember(&self) {
        if let Mode::Whole { sight, .. } | Mode::Pieces(sight) = &self.mode {
            sight.remember();
        }
        self.counts.iter().for_each(Sight::remember);
    }

    /// A piece of a body.
    pub(super) fn count(&mut self, bytes: &[u8]) {
        if let Some(sight) = self.counts.as_mut().filter(|_| self.alone) {
            sight.count(bytes);
        }
    }

    /// The end of a body. One that is larger than all others may be together tells nothing.
    pub(super) fn count_whole(&mut self) {
        if let Mode::Whole { mut body, mut sight, .. } = std::mem::replace(&mut self.mode, Mode::Over)
            && let Ok(bytes) = body.whole()
        {
            sight.count_whole(bytes);
            self.counts = Some(sight);
        }
    }
}
