//! Bytes into frames and back.

use bytes::{Bytes, BytesMut};

use crate::{Frame, Side, Violation};

/// Slices one flow's bytes into frames, both directions. Made anew for every flow, never shared.
pub trait Codec: Send {
    type Frame: Frame;

    /// Takes the next whole frame off the front of `buf`; `None` when more bytes are needed.
    ///
    /// Bounded: it refuses, rather than waits for, a frame over its limit.
    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Self::Frame>, Violation>;

    /// The bytes of a frame, appended to `out` by the link.
    fn encode(&mut self, frame: Self::Frame) -> Bytes;
}
