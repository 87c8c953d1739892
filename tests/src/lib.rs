//! Repository rules and end-to-end tests with real clients.
//!
//! Everything a test starts ends with the test process, however that ends: see [`keeper`].

pub mod broker;
pub mod canary;
pub mod clients;
pub mod corpus;
pub mod database;
pub mod jwt;
pub mod keeper;
pub mod run;
pub mod source;
pub mod wait;
pub mod wire;
