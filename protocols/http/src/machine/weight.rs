//! How much an exchange looks at at once.

use sluice_wire::Input;

use super::{HttpMachine, State};
use crate::frame::Frame;

impl HttpMachine {
    /// The bytes of the body that is looked at as a whole now.
    pub(super) fn looks_at(&self, input: &Input<Frame>) -> usize {
        match (input, &self.state) {
            (Input::FromClient(Frame::End), State::Reading(reading)) => reading.len(),
            (Input::Ruled(..), State::Asked { prepared, .. }) => prepared.body.weight(),
            (Input::FromServer(Frame::Data(bytes)), State::Sent(sent)) => sent.answer.weight(Some(bytes.len())),
            (Input::FromServer(Frame::End), State::Sent(sent)) => sent.answer.weight(None),
            _ => 0,
        }
    }
}
