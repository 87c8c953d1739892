//! What the policy engine promises, through its public interface only.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod approvals;
mod explain;
mod exposures;
mod laws;
mod load;
mod packs;
mod traps;
mod verbs;
mod world;
