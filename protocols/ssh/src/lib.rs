//! SSH: shells, commands, files and forwards through the broker.
//!
//! russh carries the transport on both sides, below `Link`; each channel is a flow with a machine and a server
//! connection of its own, and a client's connection is one session.

mod algorithms;
mod authority;
mod check;
mod commands;
mod cut;
mod dial;
mod door;
mod ear;
pub mod files;
mod frame;
mod hostkeys;
mod hub;
mod link;
mod machine;
mod notice;
mod operation;
mod pair;
mod refusal;
mod schema;
mod screen;
mod serve;
mod target;
mod visit;

pub use check::check;
pub use frame::{Frame, Message, Payload, Place, Size};
pub use machine::{ChannelMachine, Setup};
pub use schema::SCHEMA;
pub use serve::{InvalidHostKey, Settings as SshSettings, Ssh};
pub use target::{Auth, Detector, Links, Target, Typed};
