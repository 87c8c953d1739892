#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod adversary;
mod bench;
mod client;
mod cuts;
mod decisions;
mod masks;
mod real;
mod stretches;
mod transfers;
