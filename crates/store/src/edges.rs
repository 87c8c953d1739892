//! What caused what in a run: edges between operations of its sessions.

use sluice_kernel::BoxFuture;
use sluice_model::{FlowId, OpId, RunId, SessionId};

use crate::StoreError;

/// One operation, wherever it happened: ids of operations start anew in every flow.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    pub session: SessionId,
    pub flow: FlowId,
    pub op: OpId,
}

/// How two operations hang together.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tie {
    /// A model's turn calls a tool.
    Calls,
    /// A call of a tool causes an operation somewhere else.
    Causes,
    /// The result of a call returns in a later turn.
    Returns,
}

impl Tie {
    /// Every tie.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Causes, Self::Returns];

    /// The tie in one word, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Causes => "causes",
            Self::Returns => "returns",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tie| tie.name() == word)
    }
}

/// How it is known.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Confidence {
    /// By an id that both name.
    ExactId,
    /// By the same text.
    Digest,
    /// By its time alone.
    Time,
}

impl Confidence {
    /// Every confidence, the surest first.
    pub const ALL: [Self; 3] = [Self::ExactId, Self::Digest, Self::Time];

    /// The confidence in one word, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExactId => "exact-id",
            Self::Digest => "digest",
            Self::Time => "time",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|confidence| confidence.name() == word)
    }
}

/// One operation led to another.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Edge {
    pub from: Place,
    pub to: Place,
    pub tie: Tie,
    pub confidence: Confidence,
}

/// Operations on edges.
pub trait Edges: Send + Sync {
    /// Puts edges in the place of all that a run had.
    fn replace_edges<'a>(&'a self, run: &'a RunId, edges: &'a [Edge]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The edges of a run, in order.
    fn edges<'a>(&'a self, run: &'a RunId) -> BoxFuture<'a, Result<Vec<Edge>, StoreError>>;
}
