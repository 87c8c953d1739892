//! What the policy engine promises, through its public interface only.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod api;
mod approvals;
mod budgets;
mod disclosures;
mod explain;
mod exposures;
mod groups;
mod laws;
mod load;
mod names;
mod packs;
mod traps;
mod verbs;
mod world;
