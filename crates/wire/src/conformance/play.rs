//! A conversation between a client's script, its flows and their servers.

use super::judge::{Judge, a_refusal};
use super::laws::Breach;
use super::rig::Rig;
use super::subject::{Move, Server as _, Subject, Talk};
use crate::Side;

/// How bytes are cut before they are delivered.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    Whole,
    /// Pieces of these lengths, over and over.
    Pieces(Vec<usize>),
}

/// What people answer to every hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum People {
    Approve,
    Deny,
    /// Nothing, ever.
    Wait,
}

/// A stream of a client, its servers, and what both peers said.
pub(crate) struct Play<S: Subject> {
    pub(crate) rig: Rig<S>,
    server: Served<S>,
    cut: Cut,
    people: People,
    /// Everything the client sent and the servers answered.
    pub(crate) client_said: Vec<u8>,
    pub(crate) server_said: Vec<u8>,
    /// The same, one by one.
    pub(crate) turns: Vec<(Side, Vec<u8>)>,
}

/// The server of the flow that a rig is at.
pub(crate) struct Served<S: Subject> {
    server: S::Server,
    flow: usize,
}

impl<S: Subject> Default for Served<S> {
    fn default() -> Self {
        Self { server: S::server(), flow: 0 }
    }
}

impl<S: Subject> Served<S> {
    pub(crate) fn hear(&mut self, rig: &Rig<S>, bytes: &[u8]) -> Vec<u8> {
        if self.flow != rig.flows() {
            *self = Self { server: S::server(), flow: rig.flows() };
        }
        self.server.hear(bytes)
    }
}

impl<S: Subject> Play<S> {
    pub(crate) fn new(judge: Judge, cut: Cut, people: People) -> Self {
        let rig = Rig::new(judge);
        Self {
            rig,
            server: Served::default(),
            cut,
            people,
            client_said: Vec::new(),
            server_said: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Plays a conversation to its end, or to the end of the flow.
    pub(crate) fn play(&mut self, talk: &Talk) -> Result<(), Breach> {
        for next in &talk.moves {
            match next {
                Move::Client(bytes) => {
                    self.client_said.extend_from_slice(bytes);
                    self.turns.push((Side::Client, bytes.clone()));
                    self.deliver(Side::Client, bytes)?;
                }
                Move::Server(bytes) => self.server_says(bytes)?,
            }
            self.exchange()?;
        }
        Ok(())
    }

    /// Lets the server answer until nothing more happens.
    fn exchange(&mut self) -> Result<(), Breach> {
        loop {
            let asked = self.rig.take_sent(Side::Server);
            if !asked.is_empty() {
                let answer = self.server.hear(&self.rig, &asked);
                self.server_says(&answer)?;
            } else if self.rig.is_held() && self.people != People::Wait {
                self.rig.settle(self.people == People::Approve, a_refusal())?;
            } else {
                return Ok(());
            }
        }
    }

    fn server_says(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        self.server_said.extend_from_slice(bytes);
        self.turns.push((Side::Server, bytes.to_vec()));
        self.deliver(Side::Server, bytes)
    }

    fn deliver(&mut self, from: Side, bytes: &[u8]) -> Result<(), Breach> {
        let lengths = match &self.cut {
            Cut::Whole => vec![usize::MAX],
            Cut::Pieces(lengths) => lengths.clone(),
        };
        let (mut rest, flow) = (bytes, self.rig.flows());
        for length in lengths.iter().cycle() {
            // What a server still says to a flow that is over reaches nobody.
            if rest.is_empty() || from == Side::Server && self.rig.flows() != flow {
                break;
            }
            let (piece, left) = rest.split_at(rest.len().min((*length).max(1)));
            self.rig.deliver(from, piece)?;
            rest = left;
        }
        Ok(())
    }
}
