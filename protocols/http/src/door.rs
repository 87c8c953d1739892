//! What the byte-level guard of a connection and its exchanges tell each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::flaw::Flaw;
use crate::frame::PROCESSING;

/// One HTTP/1.1 connection, between its guard ([`crate::strict::Strict`]) and what stands above hyper.
#[derive(Debug, Default)]
pub(crate) struct Door(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Heads that were handed to hyper.
    released: u64,
    /// Requests that hyper handed on.
    served: u64,
    /// What is wrong with the last head, by its number: hyper got a placeholder in its place.
    flaw: Option<(u64, Flaw)>,
    /// Everything that hyper wrote is with the transport: no response is half written.
    clean: bool,
    /// Interim responses that wait to be written.
    interim: Option<Bytes>,
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A head is handed to hyper.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.released = state.released.saturating_add(1);
    }

    /// A placeholder is handed to hyper in the place of a head.
    pub(crate) fn release_placeholder(&self, flaw: Flaw) {
        let mut state = self.state();
        state.released = state.released.saturating_add(1);
        state.flaw = Some((state.released, flaw));
    }

    /// Hyper hands the next request on: what is wrong with it, if it is a placeholder. Hyper serves the requests of a
    /// connection in the order of their heads.
    pub(crate) fn serve(&self) -> Option<Flaw> {
        let mut state = self.state();
        state.served = state.served.saturating_add(1);
        let served = state.served;
        state.flaw.filter(|(number, _)| *number == served).map(|(_, flaw)| flaw)
    }

    /// Sends a `102 Processing` as soon as nothing is half written; only while the newest request has no answer.
    pub(crate) fn say_processing(&self) {
        let mut state = self.state();
        if state.clean || state.served == 1 {
            state.interim.get_or_insert_with(|| Bytes::from_static(PROCESSING));
        }
    }

    /// What is to be written before anything of hyper's.
    pub(crate) fn take_interim(&self) -> Option<Bytes> {
        self.state().interim.take()
    }

    /// Hyper has written, and has or has not had all of it passed on.
    pub(crate) fn set_clean(&self, clean: bool) {
        self.state().clean = clean;
    }
}
