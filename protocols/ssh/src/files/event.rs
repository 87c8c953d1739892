//! What is written down of a file that was read or written.

mod ranges;
mod tally;

use std::collections::BTreeSet;
use std::ops::Range;

use sluice_model::{Digest, Tag};

pub(crate) use tally::{Tally, Whole};

/// One file from its opening to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileEvent {
    pub path: String,
    pub read: Traffic,
    pub written: Traffic,
    /// From opening to end, in microseconds.
    pub micros: u64,
    pub end: End,
    /// The classes of values that were covered in what was read.
    pub covered: BTreeSet<Tag>,
}

/// How a file ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    Closed,
    /// The channel ended first.
    Cut,
}

/// What passed in one direction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Traffic {
    /// All that passed, whatever passed twice counted twice.
    pub bytes: u64,
    pub content: Content,
}

/// What is known of the content that passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// Nothing passed.
    Nothing,
    /// The whole file from its first byte to its last, as the client has it: with values covered, if any were.
    Whole { sha256: Digest },
    /// Parts of it.
    Partial {
        /// Apart and in order.
        ranges: Vec<Range<u64>>,
        /// Whether there were more ranges than are kept.
        more: bool,
    },
}
