//! End to end: real clients, the real binary, a real PostgreSQL.

mod changes;
mod classify;
mod disk;
mod flow;
mod foreign;
mod holds;
mod masking;
mod mistakes;
mod recordings;
mod refusals;
mod shop;
mod sign_in;
mod traffic;
mod wire_masks;
