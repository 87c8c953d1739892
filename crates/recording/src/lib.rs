//! Typed session events to and from a chained, verifiable container.
//!
//! **Invariant:** nothing here reads a clock, opens a file or knows a protocol: bytes and times come in as arguments.
//!
//! A recording is `header · segment* · footer`. One commit is one segment; each segment's hash covers the one before
//! it, so a recording is as old as its last hash. [`Writer`] makes the bytes, [`Reader`] gives the events back and
//! [`verify`] says whether they are whole. The [`log`] chains the recordings of one node to each other.

mod batch;
mod capped;
mod decode;
mod encode;
mod event;
mod frame;
pub mod log;
mod reader;
mod shown;
mod transcript;
mod writer;

pub use batch::Batch;
pub use capped::{Capped, DEFAULT_CAP_BYTES, Rest};
pub use event::{
    Accessed, Actor, Asked, Closed, Content, Cut, Event, Exposed, Gap, Held, Noted, Opened, Outcome, Pair, Passed,
    Ruled, Settled, Stored, Toward, Word,
};
pub use frame::{Header, SEGMENT_BYTES};
pub use reader::{End, Mark, Reader, Resume, Unreadable, Verified, verify};
pub use shown::{Shown, is_hidden};
pub use transcript::{Frames, Quoted, Transcript};
pub use writer::{MAX_EVENT_BYTES, Root, TooLarge, Writer};
