//! End to end: real clients, the real binary, a real PostgreSQL.

mod changes;
mod classify;
mod disk;
mod explained;
mod flow;
mod foreign;
mod holds;
mod hostile;
mod languages;
mod late;
mod limits;
mod masking;
mod mistakes;
mod prepared;
mod proofs;
mod protocol;
mod recordings;
mod refusals;
mod replication;
mod server_side;
mod shop;
mod sign_in;
mod tools;
mod traffic;
mod untagged;
mod wire_masks;
