//! Repository rules and end-to-end tests with real clients.
//!
//! Everything a test starts ends with the test process, however that ends: see [`keeper`].

pub mod api;
pub mod broker;
pub mod canary;
pub mod clients;
pub mod corpus;
pub mod database;
pub mod demo;
pub mod evasion;
pub mod http;
pub mod jwt;
pub mod keeper;
pub mod liar;
pub mod mock;
pub mod openai;
pub mod pattern;
pub mod run;
pub mod sdk;
pub mod source;
pub mod ssh;
pub mod views;
pub mod wait;
pub mod wire;
