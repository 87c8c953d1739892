//! Git over SSH: `git-upload-pack` and `git-receive-pack`, in versions 0, 1 and 2 of the protocol
//! (<https://git-scm.com/docs/gitprotocol-pack>, <https://git-scm.com/docs/gitprotocol-v2>).
//!
//! What a client asks for is read strictly and held until the question about it is answered; what a server says passes.
//! The objects of a push pass uninspected and are counted.

mod grammar;
mod line;
mod question;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use sluice_model::Digest;
use sluice_wire::Violation;

use super::sftp::{AskId, Under};
use grammar::{Grammar, Turn};
use line::Packet;

pub use question::{Change, Fetch, Push, Question, Update};

/// The most bytes of one request.
const MAX_REQUEST: usize = 16 << 20;
/// The most bytes of a client that wait for an answer.
const MAX_WAITING: usize = 1 << 20;

/// The program that the client runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Service {
    /// Sends objects to the client.
    UploadPack,
    /// Takes objects from the client.
    ReceivePack,
}

/// One step, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// May this happen? Answered by [`Git::ruled`].
    Ask(AskId, Box<Question>),
    /// Nobody needs the answer any more.
    Withdraw(AskId),
    ToServer(Under, Bytes),
    ToClient(Bytes),
    /// It was refused with these words, and nothing passes any more: the channel ends.
    Refused(String),
    /// The conversation has ended.
    Ended(Traffic),
}

/// What passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Traffic {
    pub to_client_bytes: u64,
    /// The objects of a push.
    pub pack: Option<Pack>,
}

/// Objects of a push as they were sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pack {
    pub bytes: u64,
    pub sha256: Digest,
}

/// The answer to a question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ruled {
    Allow,
    /// With the words for the client.
    Deny(String),
}

/// One conversation.
#[derive(Debug)]
pub struct Git {
    grammar: Grammar,
    state: State,
    under: Under,
    from_client: BytesMut,
    /// The request so far, in its one form.
    request: BytesMut,
    /// What was fetched under an allow: later rounds of the same fetch ask for no more.
    fetched: Fetch,
    asks: u64,
    to_client_bytes: u64,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
enum State {
    Lines,
    Asked(AskId, Box<Question>),
    Pack(Counted),
    /// Nothing more may come.
    Done,
    Over,
}

/// A pack on its way.
#[derive(Debug, Default)]
struct Counted {
    bytes: u64,
    digest: Sha256,
    /// The first bytes, until they are known to be those of a pack.
    head: BytesMut,
}

impl Git {
    /// A conversation in which nothing has been said.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self {
            grammar: Grammar::new(service),
            state: State::Lines,
            under: Under::Channel,
            from_client: BytesMut::new(),
            request: BytesMut::new(),
            fetched: Fetch::default(),
            asks: 0,
            to_client_bytes: 0,
            steps: VecDeque::new(),
        }
    }

    /// Takes bytes of the client; they are cut anywhere.
    ///
    /// Errors: what is no line of the protocol, or is out of its place; too much of it.
    pub fn client(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if matches!(self.state, State::Over) {
            return Ok(());
        }
        self.from_client.extend_from_slice(bytes);
        self.read()?;
        if self.from_client.len() > MAX_WAITING {
            return Err(Violation::client("sent more than it was asked for"));
        }
        Ok(())
    }

    /// Takes bytes of the server, which pass.
    pub fn server(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Over) && !bytes.is_empty() {
            self.to_client_bytes = self.to_client_bytes.saturating_add(length(&bytes));
            self.steps.push_back(Step::ToClient(bytes));
        }
    }

    /// Takes the answer to a question; one to a question that is over changes nothing.
    ///
    /// Errors: as [`Self::client`], because waiting bytes are read on.
    pub fn ruled(&mut self, ask: AskId, ruled: Ruled) -> Result<(), Violation> {
        let question = match &mut self.state {
            State::Asked(open, question) if *open == ask => std::mem::replace(&mut **question, Question::EMPTY),
            State::Lines | State::Asked(..) | State::Pack(_) | State::Done | State::Over => return Ok(()),
        };
        match ruled {
            Ruled::Allow => {
                self.state = State::Lines;
                self.under = Under::Ask(ask);
                self.allowed(question);
                self.read()
            }
            Ruled::Deny(message) => {
                self.state = State::Over;
                self.steps.push_back(Step::Refused(message));
                Ok(())
            }
        }
    }

    /// Ends the conversation.
    pub fn end(&mut self) {
        let pack = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return,
            State::Asked(ask, _) => {
                self.steps.push_back(Step::Withdraw(ask));
                None
            }
            State::Pack(counted) => {
                Some(Pack { bytes: counted.bytes, sha256: Digest(counted.digest.finalize().into()) })
            }
            State::Lines | State::Done => None,
        };
        self.steps.push_back(Step::Ended(Traffic { to_client_bytes: self.to_client_bytes, pack }));
    }

    /// Takes the oldest step.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Whether bytes of the client are taken at the moment: never while a question is open.
    #[must_use]
    pub const fn wants_client(&self) -> bool {
        !matches!(self.state, State::Asked(..) | State::Over)
    }

    fn read(&mut self) -> Result<(), Violation> {
        loop {
            match &mut self.state {
                State::Asked(..) | State::Over => return Ok(()),
                State::Done if self.from_client.is_empty() => return Ok(()),
                State::Done => return Err(Violation::client("bytes after the last line")),
                State::Pack(counted) => {
                    let passed = counted.take(&mut self.from_client)?;
                    if !passed.is_empty() {
                        self.steps.push_back(Step::ToServer(self.under, passed));
                    }
                    return Ok(());
                }
                State::Lines => {
                    let Some(packet) = Packet::take(&mut self.from_client)? else { return Ok(()) };
                    self.packet(&packet)?;
                }
            }
        }
    }

    fn packet(&mut self, packet: &Packet) -> Result<(), Violation> {
        let turn = self.grammar.take(packet)?;
        packet.encode(&mut self.request);
        if self.request.len() > MAX_REQUEST {
            return Err(Violation::client("a request is larger than its limit"));
        }
        match turn {
            Turn::More => {}
            Turn::Pass | Turn::Nothing => self.send(),
            Turn::Ask(Question::Fetch(fetch)) if self.fetched.covers(&fetch) => self.send(),
            Turn::Ask(question) => {
                self.asks = self.asks.wrapping_add(1);
                let ask = AskId(self.asks);
                self.steps.push_back(Step::Ask(ask, Box::new(question.clone())));
                self.state = State::Asked(ask, Box::new(question));
                return Ok(());
            }
        }
        if matches!(self.grammar, Grammar::Silent) {
            self.state = State::Done;
        }
        Ok(())
    }

    fn send(&mut self) {
        let request = self.request.split().freeze();
        self.steps.push_back(Step::ToServer(self.under, request));
    }

    fn allowed(&mut self, question: Question) {
        self.send();
        match question {
            Question::Push(push) if push.updates.iter().any(Update::needs_objects) => {
                self.state = State::Pack(Counted::default());
            }
            Question::Push(_) => self.state = State::Done,
            Question::Fetch(fetch) => self.fetched = fetch,
            Question::List { .. } | Question::Sizes { .. } => {}
        }
    }
}

impl Fetch {
    /// Whether another fetch asks for nothing that this one does not.
    fn covers(&self, other: &Self) -> bool {
        let some = !other.objects.is_empty() || !other.references.is_empty();
        some && other.objects.is_subset(&self.objects) && other.references.is_subset(&self.references)
    }
}

impl Counted {
    /// Takes what there is, and gives what may pass.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Bytes, Violation> {
        let mut piece = buffer.split();
        if self.bytes == 0 {
            self.head.unsplit(piece);
            if !self.head.starts_with(b"PACK") {
                let cut = b"PACK".starts_with(&self.head[..]);
                return if cut { Ok(Bytes::new()) } else { Err(Violation::client("no pack where one must be")) };
            }
            piece = self.head.split();
        }
        self.bytes = self.bytes.saturating_add(length(&piece));
        self.digest.update(&piece);
        Ok(piece.freeze())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
