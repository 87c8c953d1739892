//! What a flow remembers between two happenings.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use sluice_model::Refusal;
use sluice_wire::{Frame, Side};
use tokio::time::Instant;

use crate::hold::{Held, Settled};
use crate::ports::{BoxFuture, Settlement};

/// What the flow waits for before it takes more client frames.
pub(crate) enum Waiting {
    Nothing,
    /// A request for approval is being filed, or one that stands is looked at: it may have been answered meanwhile.
    Filing(BoxFuture<'static, Result<Option<Settled>, Refusal>>, Box<Held>),
    /// People are asked. The client is read ahead meanwhile, so that one that leaves is noticed.
    People(Asked, Box<Held>),
    /// The protocol's own errand.
    Errand(BoxFuture<'static, ()>),
}

/// How far people who are asked have come.
pub(crate) enum Asked {
    Open(BoxFuture<'static, Settlement>),
    /// They have answered. An approval is not used up before the client was looked at once more.
    Answered(Settlement),
    Using(BoxFuture<'static, Settled>),
}

impl Asked {
    /// Waits for the answer, and later for what it comes to.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Settled> {
        match self {
            Self::Open(answer) => {
                if let Poll::Ready(settlement) = answer.as_mut().poll(cx) {
                    *self = Self::Answered(settlement);
                }
                Poll::Pending
            }
            Self::Answered(_) => Poll::Pending,
            Self::Using(settled) => settled.as_mut().poll(cx),
        }
    }
}

/// Client frames that were read while people were asked, and whose turn has not come.
pub(crate) struct Ahead<F> {
    frames: VecDeque<F>,
    pub(crate) bytes: usize,
    /// The side that is looked at first.
    pub(crate) turn: Side,
}

impl<F> Default for Ahead<F> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), bytes: 0, turn: Side::Client }
    }
}

impl<F: Frame> Ahead<F> {
    pub(crate) fn keep(&mut self, frame: F) {
        self.bytes = self.bytes.saturating_add(frame.wire().len());
        self.frames.push_back(frame);
    }

    pub(crate) fn take(&mut self) -> Option<F> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.wire().len());
        Some(frame)
    }

    pub(crate) fn forget(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

/// Which sides have ended, and whether the flow is over.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) flow: bool,
    /// Since when the client is known to have left, although what it sent is not all read.
    pub(crate) left: Option<Instant>,
    /// Since when it is not known whether the client is there, where that counts.
    pub(crate) hidden: Option<Instant>,
}
