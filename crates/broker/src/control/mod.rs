//! The socket by which the command line talks to a running broker: one line of JSON each way.
//!
//! Only the owner of the data folder can reach it. Looking is free to them, for they can read the files as well; an
//! answer to a request counts for the person whose token comes with it.

mod answer;
mod client;
mod ending;
mod key;
mod server;

use serde::{Deserialize, Serialize};
use sluice_model::{HoldId, SessionId, TokenId};

pub(crate) use client::ask;
pub(crate) use server::{Desk, Socket};

/// The longest line of either side.
pub(crate) const MAX_LINE_BYTES: usize = 8 << 20;
/// The most bytes of a text in a list.
const LISTED_BYTES: usize = 1 << 10;

/// What the command line asks.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// The requests for approval, newest first.
    List {
        /// Settled ones too.
        all: bool,
    },
    /// One request.
    Show { id: HoldId },
    /// A person's yes.
    Approve { id: HoldId, token: String },
    /// A person's no.
    Deny { id: HoldId, token: String },
    /// The end of a session, with what its client is told.
    End { session: SessionId, reason: Option<String> },
    /// Whether an SSH key signs in, once everything that was written down before the question has been read.
    Key { id: TokenId },
}

/// What the broker answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    Holds {
        holds: Vec<Waiting>,
    },
    /// The answer was counted.
    Counted {
        message: String,
        hold: Box<Waiting>,
    },
    /// A session was told to end.
    Ended {
        session: String,
        message: String,
    },
    /// Whether a key signs in.
    Key {
        signs_in: bool,
    },
    Refused {
        message: String,
        hint: Option<String>,
        rule: Option<String>,
    },
}

/// One request for approval, as an approver sees it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) principal: String,
    pub(crate) session: String,
    pub(crate) target: String,
    /// The part of the target: a database.
    #[serde(default)]
    pub(crate) part: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) action: String,
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) approvers: Vec<String>,
    pub(crate) given: u32,
    pub(crate) needed: u32,
    /// Who approved so far.
    pub(crate) approved_by: Vec<String>,
    pub(crate) settled_by: Option<String>,
    /// The exact text that is asked for.
    pub(crate) text: String,
    /// The exact bound values, where there are any.
    pub(crate) bound: Option<String>,
    /// Bytes of text and values that a list leaves out.
    #[serde(default)]
    pub(crate) left_out: usize,
    /// What the approval is bound to.
    pub(crate) digest: String,
    /// Microseconds since 1970.
    pub(crate) requested: i64,
    pub(crate) expires: i64,
}

impl Waiting {
    /// The target, and the part of it, as a client names them.
    pub(crate) fn place(&self) -> String {
        self.part.iter().fold(self.target.clone(), |target, part| format!("{target}/{part}"))
    }

    /// The beginning, for a list: whoever asks for much may not keep others from seeing the rest of it.
    fn listed(mut self) -> Self {
        for text in std::iter::once(&mut self.text).chain(&mut self.bound) {
            let shown = text.floor_char_boundary(LISTED_BYTES);
            self.left_out = self.left_out.saturating_add(text.len().saturating_sub(shown));
            text.truncate(shown);
        }
        self
    }
}

impl Answer {
    /// A refusal without a rule.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: None, rule: None }
    }
}
