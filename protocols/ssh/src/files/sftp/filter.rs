//! One SFTP channel: what a client asks is decided on before a server sees it.
//!
//! A request that names a path is held until the server has said which place the path is, the question about that place is
//! answered, and then it is forwarded with that place in it, never with the client's spelling. A request on a handle that
//! was opened under an allow passes at once. Ids towards the server are the filter's own; each answer goes back under the
//! client's id.
//!
//! **Invariants:** one question is open at a time, and nothing of the client is read meanwhile; every handle that a server
//! is sent was given out under an allow; what cannot be decided is refused under the request's id.
//!
//! A link that is made points to a place too, so what it holds is absolute, whatever the client wrote.
//!
//! **Limits:** a place is decided on by the server's own `REALPATH`, and by a look at each directory where that may not follow
//! links. Between that and
//! the request, whoever else can change the server's directories can change the place: links should not be permitted to be
//! made where paths matter. Whether a directory exists shows, because what does not is answered so.

mod above;
mod files;
mod forward;
mod masked;
mod plan;
mod replies;
mod requests;
mod resolve;
mod stretch;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_model::UnixMicros;
use sluice_wire::{Side, Violation};

use super::frame::{packet, whole};
use super::path::Path;
use super::question::{AskId, Question, Ruled};
use super::reply::{Code, DATA_HEAD, Reply};
use super::request::Extended;
use crate::files::event::FileEvent;
use files::Files;
use masked::Reads;
use plan::{Plan, State};
use replies::Pending;

/// The most requests that a server may owe answers to.
const MAX_PENDING: usize = 1024;
/// The most bytes of a client that wait while it is not listened to.
const MAX_WAITING: usize = 4 << 20;

/// The field that tells how long a packet is.
const LENGTH: usize = 4;

/// What a channel is governed by.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Places in which no link may be made, and which cannot be moved.
    pub governed: Vec<Path>,
    pub links: Links,
}

/// Whether a server's `REALPATH` follows links. Some servers only tidy the text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Links {
    /// It is known to: OpenSSH's does.
    Followed,
    /// Nobody knows: each directory of a place is looked at, and a place that lies behind a link is refused.
    #[default]
    Unsure,
}

/// One step, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// May this happen? Answered by [`Sftp::ruled`].
    Ask(AskId, Box<Question>),
    /// Nobody needs the answer any more.
    Withdraw(AskId),
    /// A whole packet for the server.
    ToServer(Under, Bytes),
    /// Bytes for the client: whole packets one after the other, cut anywhere.
    ToClient(Bytes),
    /// A file was opened under this question, and has ended.
    File(AskId, Box<FileEvent>),
    /// Nothing more follows under this question.
    Done(AskId),
}

/// What a packet for the server travels under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Under {
    /// The permission to use SFTP at all: the greeting, and asking which place a path is.
    Channel,
    /// A question that was answered with an allow.
    Ask(AskId),
}

/// The filter of one channel.
#[derive(Debug)]
pub struct Sftp {
    settings: Arc<Settings>,
    phase: Phase,
    from_client: BytesMut,
    from_server: BytesMut,
    steps: VecDeque<Step>,
    /// A packet that has to wait for the server.
    parked: Option<BytesMut>,
    plan: Option<Plan>,
    pending: HashMap<u32, Pending>,
    /// Requests under way that may change which place a path is.
    changing: usize,
    files: Files,
    reads: Reads,
    extensions: Vec<&'static [u8]>,
    last_id: u32,
    last_ask: u64,
}

/// How far the greeting is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Fresh,
    /// The client has greeted, the server has not.
    Greeted,
    Open,
    Ended,
}

impl Sftp {
    /// A channel on which nothing has been said.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            phase: Phase::Fresh,
            from_client: BytesMut::new(),
            from_server: BytesMut::new(),
            steps: VecDeque::new(),
            parked: None,
            plan: None,
            pending: HashMap::new(),
            changing: 0,
            files: Files::default(),
            reads: Reads::default(),
            extensions: Vec::new(),
            last_id: 0,
            last_ask: 0,
        }
    }

    /// Takes bytes of the client; they are cut anywhere.
    ///
    /// Errors: what is no packet, and bytes far beyond what was wanted. Both end the channel.
    pub fn client(&mut self, bytes: Bytes, now: UnixMicros) -> Result<(), Violation> {
        feed(&mut self.from_client, bytes);
        self.read_client(now)?;
        if self.from_client.len() > MAX_WAITING {
            return Err(Violation::client("sent more than it was asked for"));
        }
        Ok(())
    }

    /// Takes bytes of the server; they are cut anywhere.
    ///
    /// Errors: what is no packet, and what answers nothing that was asked. Both end the channel.
    pub fn server(&mut self, mut bytes: Bytes, now: UnixMicros) -> Result<(), Violation> {
        while self.hear_server(&mut bytes, now)? {
            // What waited is read on before the next answer, so that the steps do not depend on how bytes are cut.
            self.read_client(now)?;
        }
        Ok(())
    }

    /// Takes the next answer of the server; `false` if all bytes are taken before it ends.
    fn hear_server(&mut self, bytes: &mut Bytes, now: UnixMicros) -> Result<bool, Violation> {
        if !self.is_flowing() {
            if !fill(&mut self.from_server, bytes, LENGTH) {
                return Ok(false);
            }
            let whole = whole(Side::Server, &self.from_server)?.unwrap_or(LENGTH);
            if !fill(&mut self.from_server, bytes, whole.min(DATA_HEAD)) {
                return Ok(false);
            }
            // Bytes of a covered file are taken as they come, so that they need not be copied.
            if whole < DATA_HEAD || !self.begins_flow()? {
                if !fill(&mut self.from_server, bytes, whole) {
                    return Ok(false);
                }
                let packet = std::mem::take(&mut self.from_server);
                self.reply(packet, now)?;
                return Ok(true);
            }
        }
        Ok(self.flow(bytes))
    }

    /// Takes the answer to a question; one to a question that is over changes nothing.
    ///
    /// Errors: as [`Self::client`], because waiting packets are read on.
    pub fn ruled(&mut self, ask: AskId, ruled: Ruled, now: UnixMicros) -> Result<(), Violation> {
        let asked = |plan: &mut Plan| matches!(plan.state, State::Asked { ask: open, .. } if open == ask);
        if let Some(plan) = self.plan.take_if(asked) {
            match ruled {
                Ruled::Allow(terms) => self.granted(plan, ask, terms, now),
                Ruled::Deny(message) => self.answer_status(plan.id, Code::PermissionDenied, &message),
            }
            self.read_client(now)?;
        }
        Ok(())
    }

    /// Ends the channel: files that are open get their events.
    pub fn end(&mut self, now: UnixMicros) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        if let Some(plan) = self.plan.take() {
            match (plan.state, plan.granted) {
                (State::Asked { ask, .. }, _) => self.steps.push_back(Step::Withdraw(ask)),
                (_, Some(granted)) => self.steps.push_back(Step::Done(granted.ask)),
                (_, None) => {}
            }
        }
        self.abandon_pending();
        self.reads.forget();
        for (ask, event) in self.files.cut(now) {
            self.end_file(ask, event);
        }
    }

    /// Takes the oldest step.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// How many bytes for the client the next steps have, before one of another kind.
    #[must_use]
    pub fn client_bytes(&self) -> usize {
        let bytes =
            self.steps.iter().map_while(|step| if let Step::ToClient(bytes) = step { Some(bytes.len()) } else { None });
        bytes.sum()
    }

    /// How many bytes of reads are looked into once the server's next answer is there, about.
    #[must_use]
    pub fn due(&self) -> usize {
        self.reads.due()
    }

    /// Whether bytes of the client are taken at the moment: never while a question is open.
    #[must_use]
    pub fn wants_client(&self) -> bool {
        self.parked.is_none() && self.is_ready()
    }

    /// Whether the next packet of the client can be looked at.
    fn is_ready(&self) -> bool {
        let phase = matches!(self.phase, Phase::Fresh | Phase::Open);
        phase && self.plan.is_none() && self.pending.len() < MAX_PENDING && self.reads.have_room()
    }

    fn read_client(&mut self, now: UnixMicros) -> Result<(), Violation> {
        while self.is_ready() {
            let next = match self.parked.take() {
                Some(parked) => Some(parked),
                None => packet(Side::Client, &mut self.from_client)?,
            };
            let Some(next) = next else { break };
            self.request(next, now)?;
            if self.parked.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn next_ask(&mut self) -> AskId {
        self.last_ask = self.last_ask.wrapping_add(1);
        AskId(self.last_ask)
    }

    /// An id that no request under way has.
    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if !self.pending.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn answer(&mut self, id: u32, reply: &Reply) {
        self.steps.push_back(Step::ToClient(reply.encode(id)));
    }

    fn answer_status(&mut self, id: u32, code: Code, message: &str) {
        self.answer(id, &Reply::status(code, message));
    }

    /// Whether the server has announced an extension that is understood.
    fn offers(&self, extended: &Extended) -> bool {
        self.extensions.contains(&extended.name())
    }
}

/// Moves bytes until a buffer holds so many; tells whether it does.
fn fill(buffer: &mut BytesMut, bytes: &mut Bytes, count: usize) -> bool {
    let lacks = count.saturating_sub(buffer.len());
    buffer.reserve(lacks);
    buffer.extend_from_slice(&bytes.split_to(lacks.min(bytes.len())));
    buffer.len() >= count
}

/// Appends bytes; without a copy where nothing is left of earlier ones and nobody else holds these.
fn feed(buffer: &mut BytesMut, bytes: Bytes) {
    if buffer.is_empty() {
        *buffer = BytesMut::from(bytes);
    } else {
        buffer.extend_from_slice(&bytes);
    }
}
