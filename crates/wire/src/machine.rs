//! One flow's grammar.

use sluice_model::{HoldId, Obligations, OpId, Refusal, Ruling, Spend, UnixMicros};

use crate::{Frame, Outbox, Side, Violation};

/// What happened, as a machine is told.
#[derive(Debug)]
pub enum Input<F> {
    FromClient(F),
    FromServer(F),
    /// The answer to an `Ask`.
    Ruled(OpId, Ruling),
    /// The answer to an `Ask` has to wait for people; a `Ruled` follows.
    Held(OpId, HoldNotice),
    /// The people who were asked have not answered yet; said every second or so, with the seconds since they were asked.
    Waiting(OpId, u32),
    /// The errand is done.
    Returned,
    /// The session must end now, with these words.
    Revoked(Refusal),
    /// One side sent the end of its stream.
    Ended(Side),
}

/// What a client may be told of a hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HoldNotice {
    pub id: HoldId,
    /// Why it is held, in the policy's words.
    pub message: String,
    /// Who may approve it.
    pub approvers: String,
    /// When the wait ends by itself.
    pub expires: UnixMicros,
    /// Seconds left at the time of the notice.
    pub wait_seconds: u32,
}

/// What was allowed and counts no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lapse {
    /// Everything that was allowed before: policies changed.
    Everything,
    /// One operation: the approval that it was allowed by has run out.
    Operation(OpId),
}

/// Which sides a machine takes frames from at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wants {
    /// Never while a question is open.
    pub client: bool,
    pub server: bool,
}

/// A protocol's grammar for one flow: no sockets, no clock, no await.
pub trait Machine: Send {
    type Frame: Frame;

    /// Takes one input and pushes what follows from it. An error is the end of the flow.
    fn handle(&mut self, input: Input<Self::Frame>, out: &mut Outbox<Self::Frame>) -> Result<(), Violation>;

    /// Which frames it takes next.
    fn wants(&self) -> Wants;

    /// How many bytes it looks at, about, to handle an input. Where they are many, others do not wait for it.
    fn weight(&self, input: &Input<Self::Frame>) -> usize {
        let _costs_little = input;
        0
    }

    /// Hears what counts no longer of what it was allowed. What has begun goes on; what would begin under it from here on is
    /// asked about again. Said before the next input.
    fn lapsed(&mut self, lapse: Lapse) {
        let _begins_at_once = lapse;
    }

    /// Why an allow with these obligations would be of no use, for an operation that it has asked about. Known before
    /// people are asked, it saves them the question.
    fn unkept(&self, op: OpId, obligations: &Obligations) -> Option<Refusal> {
        let _keeps_them = (op, obligations);
        None
    }

    /// The values bound to an operation that it has asked about, as people are shown them; `None` where they are text as they
    /// are. Different values are shown differently.
    fn values(&self, op: OpId) -> Option<String> {
        let _are_text = op;
        None
    }

    /// What an operation has used up that is not settled when its flow ends, whyever that is; `None` is all of what was
    /// reserved.
    fn used(&self, op: OpId) -> Option<Spend> {
        let _all_of_it = op;
        None
    }
}
