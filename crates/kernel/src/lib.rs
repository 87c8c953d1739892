//! The one relay loop: asks, decides, records, sends; holds, revocation, limits.
//!
//! **Invariant:** only this crate calls the policy engine, and nothing reaches a server but through [`Kernel`]'s loop.

mod absence;
pub mod clock;
mod flow;
mod gate;
mod grant;
mod hold;
mod kernel;
mod lapses;
mod laws;
mod leave;
mod ledger;
mod limits;
mod ownership;
mod people;
mod ports;
mod random;
mod register;
mod shared;
mod state;
mod stay;
mod tape;

pub use grant::{Grant, Stem};
pub use kernel::{Kernel, Ports};
pub use laws::{Laws, Zone};
pub use limits::Limits;
pub use ports::{
    ApprovalRequest, Approve, BoxFuture, Closing, Identify, Keep, Lend, Opening, Recorder, Settlement, Spent,
    Unrecorded,
};
pub use register::Live;
