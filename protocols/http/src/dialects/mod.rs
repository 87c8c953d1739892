//! What is spoken over HTTP at a target: how a request is read, and how its answer is looked at.

pub(crate) mod openai;
pub(crate) mod rest;

use bytes::Bytes;
use http::{Method, StatusCode};
use sluice_model::{Ruling, Spend};
use sluice_wire::Owner;

use crate::answer::{Look, Seen};
use crate::media::Media;
use crate::refusal::Words;
use crate::request::Opaque;
use crate::target::Dialect;
use crate::veil::Veil;

/// What a request leads the broker to expect of its answer.
pub(crate) struct Expected {
    pub(crate) dialect: Dialect,
    pub(crate) method: Method,
    /// The question about an answer that cannot be looked into.
    pub(crate) opaque: Option<Box<Opaque>>,
    /// Set for the dialect of OpenAI.
    pub(crate) openai: Option<Box<openai::Expectation>>,
    pub(crate) spent: Option<Spend>,
    /// What it uses up at most.
    pub(crate) reserved: Spend,
    /// The largest event of a stream, in bytes.
    pub(crate) event_bytes: usize,
}

impl Expected {
    /// Of an answer that the broker gives by itself.
    pub(crate) const fn nothing() -> Self {
        Self {
            dialect: Dialect::Rest,
            method: Method::POST,
            opaque: None,
            openai: None,
            spent: None,
            reserved: Spend::REQUEST,
            event_bytes: 0,
        }
    }

    /// How an answer is to be looked at.
    pub(crate) fn sight(&mut self, status: StatusCode, media: Media, veil: &Veil) -> Look {
        match &mut self.openai {
            Some(expectation) => {
                let opaque = self.opaque.take();
                expectation.sight(status, media, veil, opaque)
            }
            None => rest::sight(media, veil, self.opaque.take(), self.event_bytes),
        }
    }
}

/// Looks at the body of one answer.
pub(crate) enum Sight {
    Rest(Box<rest::Sheet>),
    Openai(Box<openai::Glass>),
}

impl Sight {
    /// A piece of a body that is looked at as it comes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Rest(sheet) => sheet.push(bytes),
            Self::Openai(glass) => glass.push(bytes),
        }
    }

    /// A whole body.
    pub(crate) fn whole(&mut self, body: Bytes) {
        match self {
            Self::Rest(sheet) => sheet.whole(body),
            Self::Openai(glass) => glass.whole(body),
        }
    }

    /// A piece of a body of which nothing is shown any more.
    pub(crate) fn count(&mut self, bytes: &[u8]) {
        match self {
            Self::Rest(_) => {}
            Self::Openai(glass) => glass.count(bytes),
        }
    }

    /// A whole body of which nothing is shown any more.
    pub(crate) fn count_whole(&mut self, body: Bytes) {
        match self {
            Self::Rest(_) => {}
            Self::Openai(glass) => glass.count_whole(body),
        }
    }

    /// The end of a body that came in pieces.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Rest(sheet) => sheet.end(),
            Self::Openai(glass) => glass.end(),
        }
    }

    /// The answer to the last question.
    pub(crate) fn ruled(&mut self, ruling: &Ruling) {
        match self {
            Self::Rest(_) => {}
            Self::Openai(glass) => glass.ruled(ruling),
        }
    }

    /// Whose the objects are that were asked about.
    pub(crate) fn told(&mut self, owners: &[Owner]) {
        match self {
            Self::Rest(_) => {}
            Self::Openai(glass) => glass.told(owners),
        }
    }

    /// What may be released next.
    pub(crate) fn next(&mut self) -> Option<Seen> {
        match self {
            Self::Rest(sheet) => sheet.next(),
            Self::Openai(glass) => glass.next(),
        }
    }

    /// Ends a stream with these words, as the dialect says it.
    pub(crate) fn fail(&mut self, words: &Words) {
        match self {
            Self::Rest(sheet) => sheet.fail(words),
            Self::Openai(glass) => glass.fail(words),
        }
    }

    /// What the operation used up, as far as the answer has said it.
    pub(crate) fn spent(&self, expected: &Expected) -> Option<Spend> {
        match self {
            Self::Rest(_) => None,
            Self::Openai(glass) => glass.spent().or(expected.spent),
        }
    }

    /// Takes down what later requests can go on with.
    pub(crate) fn remember(&self) {
        match self {
            Self::Rest(_) => {}
            Self::Openai(glass) => glass.remember(),
        }
    }

    /// What it used up at least where the answer does not say it.
    pub(crate) fn seen(&self) -> Spend {
        match self {
            Self::Rest(_) => Spend::REQUEST,
            Self::Openai(glass) => glass.seen(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Rest(_) => true,
            Self::Openai(glass) => glass.has_room(),
        }
    }
}
