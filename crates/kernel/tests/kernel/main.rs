//! The kernel, carrying a toy protocol between in-memory peers.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod approvals;
mod cache;
mod duplex;
mod endings;
mod faults;
mod harness;
mod holds;
mod lapses;
mod open;
mod order;
mod recorder;
mod shared;
#[path = "../../../wire/tests/toy/mod.rs"]
mod toy;
