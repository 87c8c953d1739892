//! The plugin contract: what a wire protocol must be so that the kernel can carry it.
//!
//! A protocol is a sans-IO [`Machine`] over the frames of a [`Codec`]; it asks and it proposes frames, it never writes
//! to a socket. The kernel owns the only relay loop and talks to both sides through [`Link`]s.
//!
//! **Invariant:** nothing here knows a runtime or a clock; of tokio only the I/O traits are used.

mod broker;
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod frame;
mod framed;
mod link;
mod machine;
mod objects;
mod outbox;
mod protocol;
mod room;
mod violation;

pub use broker::{
    Authenticated, Broker, Claim, Credential, FlowError, Grant, Interrupt, Interrupted, Peer, ScramParameters,
    Stranger, TurnedDown,
};
pub use codec::Codec;
pub use frame::{Frame, Kept, Side};
pub use framed::Framed;
pub use link::{Gone, Link, LinkError};
pub use machine::{HoldNotice, Input, Lapse, Machine, Wants};
pub use objects::{Looking, Made, NoObjects, Object, Objects, Owner, Unknown};
pub use outbox::{Errand, Note, Outbox, Step};
pub use protocol::{Configured, Ending, Finding, HungUp, Io, Protocol, Sight, Stream, Targets};
pub use room::{NoRoom, Room, Share, Terms};
pub use violation::Violation;
