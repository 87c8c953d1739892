//! Why an answer cannot be shown.

use sluice_mask::json::{self, Unedited};
use thiserror::Error;

use super::words::Failure;

/// An answer that cannot be shown. Messages hold no content.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Fault {
    #[error("the answer is no JSON: {0}")]
    Json(#[from] json::Fault),
    #[error("the answer has an event that is not known")]
    UnknownEvent,
    #[error("the answer contradicts itself")]
    Contradiction,
    #[error("a text or a call of the answer goes on after its end")]
    Late,
    #[error("an event, a call or what waits behind a question is larger than the limit")]
    TooLarge,
    #[error("the answer has more choices, texts or calls at once than the limit")]
    TooMany,
    #[error("the answer has a refused call where nothing can stand in its place")]
    Refused,
    #[error("the answer cannot be edited: {0}")]
    Unedited(#[from] Unedited),
}

impl Fault {
    /// The stable word for it.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "answer_not_json",
            Self::UnknownEvent => "answer_unknown_event",
            Self::Contradiction | Self::Late => "answer_contradicts",
            Self::TooLarge | Self::TooMany => "answer_too_large",
            Self::Refused => "call_refused",
            Self::Unedited(_) => "internal_error",
        }
    }

    pub(super) fn failure(&self) -> Failure<'static> {
        Failure::of_server("the server's answer cannot be shown", self.code())
    }
}
