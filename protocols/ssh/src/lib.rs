//! SSH: shells, commands, files and forwards through the broker.
//!
//! russh carries the transport on both sides, below `Link`; each channel is a flow with a machine and a server
//! connection of its own, and a client's connection is one session.

mod address;
mod algorithms;
mod arrival;
mod authority;
mod call;
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
mod listen;
mod listens;
mod machine;
mod notice;
mod operation;
mod origin;
mod pair;
mod porter;
mod queue;
mod refusal;
mod schema;
mod screen;
mod seat;
mod serve;
mod shelf;
mod spill;
mod target;
mod visit;
mod welcome;

pub use arrival::ArrivalMachine;
pub use check::check;
pub use frame::{Frame, Message, Payload, Place, Size};
pub use listen::ListenMachine;
pub use machine::{ChannelMachine, Setup};
pub use origin::{Bind, Origin, X11};
pub use schema::SCHEMA;
pub use serve::{InvalidHostKey, Settings as SshSettings, Ssh};
pub use shelf::Waiting;
pub use target::{Auth, Links, Target, Typed};
