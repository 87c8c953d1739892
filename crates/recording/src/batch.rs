//! Events of one flow that are encoded before they are in any recording.

use sluice_model::FlowId;

use crate::Event;
use crate::decode;
use crate::encode;
use crate::event::Stored;
use crate::writer::{MAX_EVENT_BYTES, TooLarge, encoded_len};

/// Encodes events without the recording, which other flows write into meanwhile.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole events, encoded.
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u64,
    latest_ns: u64,
}

impl Batch {
    /// Copies an event; nothing changes on an error.
    pub fn add(&mut self, flow: FlowId, at_ns: u64, event: &Event<'_>) -> Result<(), TooLarge> {
        let before = self.bytes.len();
        encode::event(&mut self.bytes, flow, at_ns, event);
        let bytes = self.bytes.len().saturating_sub(before);
        if bytes > MAX_EVENT_BYTES {
            self.bytes.truncate(before);
            return Err(TooLarge { bytes });
        }
        self.count = self.count.saturating_add(1);
        self.latest_ns = self.latest_ns.max(at_ns);
        Ok(())
    }

    /// Whether it holds no event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes its events take.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The latest time of an event in it.
    #[must_use]
    pub const fn latest_ns(&self) -> u64 {
        self.latest_ns
    }

    /// Forgets its events.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.latest_ns) = (0, 0);
    }

    /// Its events, in order and counted from 0.
    pub fn events(&self) -> impl Iterator<Item = Stored<'_>> {
        let mut at = 0;
        (0..self.count).map_while(move |seq| {
            let length = encoded_len(&self.bytes, at)?;
            let event = self.bytes.get(at.checked_add(4)?..at.checked_add(length)?)?;
            at = at.checked_add(length)?;
            let (flow, at_ns, event) = decode::event(event).ok()?;
            Some(Stored { seq, flow, at_ns, event })
        })
    }
}
