//! What a masked value looks like, and the net that checks results before the first row.

mod plan;

pub use plan::{Plan, Unmaskable};
