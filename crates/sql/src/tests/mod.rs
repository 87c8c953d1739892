//! What must hold of whole texts.
#![expect(clippy::unwrap_used, reason = "tests")]

mod corpus;
mod fixtures;
mod limits;
mod lineage;
mod mutations;
mod rewriting;
mod schema;
mod verbs;
