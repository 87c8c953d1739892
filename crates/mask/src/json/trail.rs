//! How far each key rule has come on the way to a node.

use sluice_model::Tag;
use smallvec::{SmallVec, smallvec};

use super::rules::KeyRules;
use super::walk::Reference;

/// The state of all rules at a node and at each container around it. Without rules nothing is kept.
#[derive(Clone)]
pub(super) struct Trail<'a> {
    rules: Option<&'a KeyRules>,
    /// What is set at the root.
    seed: SmallVec<[u64; 4]>,
    /// The rule that covers the whole document.
    outer_cover: Option<usize>,
    /// As many words as the seed has for each node on the way.
    states: SmallVec<[u64; 16]>,
    /// The rule that covers each node on the way.
    covers: SmallVec<[Option<usize>; 16]>,
}

impl<'a> Trail<'a> {
    /// Before the root of a document.
    pub(super) fn new(rules: &'a KeyRules) -> Self {
        let seed = SmallVec::from_slice(rules.starts());
        Self { rules: (!seed.is_empty()).then_some(rules), seed, ..Self::nowhere() }
    }

    /// A trail of no rules.
    pub(super) fn nowhere() -> Self {
        Self { rules: None, seed: smallvec![], outer_cover: None, states: smallvec![], covers: smallvec![] }
    }

    /// Before the root of a document that is the text of the string here: rules go on into it, and start anew in it.
    pub(super) fn inside(&self) -> Self {
        let Some(rules) = self.rules else { return Self::nowhere() };
        let mut inside = Self { outer_cover: self.cover(), ..Self::new(rules) };
        for (seed, state) in inside.seed.iter_mut().zip(self.here()) {
            *seed |= state;
        }
        inside
    }

    /// Goes back to the innermost of so many containers.
    pub(super) fn back_to(&mut self, containers: usize) {
        if self.rules.is_some() {
            self.states.truncate(containers * self.seed.len());
            self.covers.truncate(containers);
        }
    }

    /// Goes to a child, or to the root without a step.
    pub(super) fn enter(&mut self, step: Option<Reference<'_>>) {
        let Some(rules) = self.rules else { return };
        let containers = self.states.len();
        self.states.extend_from_slice(&self.seed);
        if let Some(step) = step
            && let Some((before, after)) = self.states.split_at_mut_checked(containers)
        {
            let start = containers.saturating_sub(after.len());
            rules.advance(step, before.get(start..).unwrap_or_default(), after);
        }
        self.covers.push(rules.ended(self.here()).or(self.cover()));
    }

    /// The class that covers this node.
    pub(super) fn tag(&self) -> Option<&'a Tag> {
        self.rules?.tags().get(self.cover()?)
    }

    fn cover(&self) -> Option<usize> {
        self.covers.last().copied().unwrap_or(self.outer_cover)
    }

    fn here(&self) -> &[u64] {
        let start = self.states.len().saturating_sub(self.seed.len());
        self.states.get(start..).unwrap_or_default()
    }
}
