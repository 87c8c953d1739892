//! Replication connections: backups, log shipping, logical decoding.
//!
//! What passes them is never taken apart, so a target with tagged columns has none, and each command asks for a permission
//! of its own (<https://www.postgresql.org/docs/current/protocol-replication.html>).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sluice_model::{Code, Obligations, OpId, Refusal, Ruling, Stage};
use sluice_wire::{Input, Outbox, Side, Violation, Wants};

use crate::frame::{Fields, Frame};
use crate::machine::{is_fatal, parameter};
use crate::message;
use crate::operation::replication;
use crate::refusal::{self, Ends};
use crate::tenure::{self, Tenure};

/// What a client asks for in its startup packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replication {
    /// Of the whole cluster.
    Physical,
    /// Of one database, which takes SQL besides.
    Logical,
}

impl Replication {
    /// The value of the startup parameter.
    pub(crate) const fn value(self) -> &'static str {
        match self {
            Self::Physical => "true",
            Self::Logical => "database",
        }
    }
}

/// The machine of a replication connection.
#[derive(Debug)]
pub(crate) struct ReplicationMachine {
    /// Set when the flow ends while the server still owes an answer.
    unfinished: Arc<AtomicBool>,
    /// A command that was asked about.
    question: Option<(OpId, Frame)>,
    /// The command that runs.
    running: Option<OpId>,
    last_op: OpId,
    said_farewell: bool,
    /// What runs has no end of its own: it is over with the configuration that it began with.
    tenure: Arc<Tenure>,
}

const OUT_OF_TURN: Violation = Violation::server("an answer came that nothing had asked for");

impl ReplicationMachine {
    /// A machine that has just sent its client the first `ReadyForQuery`.
    pub(crate) const fn new(unfinished: Arc<AtomicBool>, tenure: Arc<Tenure>) -> Self {
        Self { unfinished, question: None, running: None, last_op: OpId::CONNECT, said_farewell: false, tenure }
    }

    fn request(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (frame.tag(), self.running) {
            (b'Q', None) => self.command(frame, out),
            (b'd' | b'c' | b'f', Some(op)) => {
                out.to_server(op, frame);
                Ok(())
            }
            // Leftovers of a stream that the server has ended.
            (b'd' | b'c' | b'f', None) => Ok(()),
            (b'X', _) => {
                Fields::of_client(frame.body()).end()?;
                self.hang_up(out);
                Ok(())
            }
            _ => Err(Violation::client("only one command at a time passes a replication connection")),
        }
    }

    fn command(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_client(frame.body());
        let text = Bytes::copy_from_slice(fields.cstr()?);
        fields.end()?;
        self.last_op = self.last_op.next();
        self.question = Some((self.last_op, frame));
        out.ask(self.last_op, replication(text, Stage::Perform));
        Ok(())
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) {
        let Some((_, frame)) = self.question.take_if(|(asked, _)| *asked == op) else { return };
        match ruling {
            Ruling::Allow(obligations) if is_free(&obligations) => {
                self.running = Some(op);
                out.to_server(op, frame);
            }
            Ruling::Allow(_) => self.end_session(&bound(), out),
            Ruling::Deny(refusal) => self.end_session(&refusal, out),
        }
    }

    fn reply(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (frame.tag(), self.running) {
            (b'S', _) => return parameter(frame, out),
            (b'N' | b'E', running) => {
                self.said_farewell |= frame.tag() == b'E' && is_fatal(&frame)?;
                let shown = refusal::sanitise(frame, refusal::Hush::Nothing, b"")?;
                out.to_client(running.unwrap_or(OpId::CONNECT), shown);
            }
            (b'T' | b'D' | b'C' | b'I' | b'G' | b'H' | b'W' | b'd' | b'c', Some(op)) => out.to_client(op, frame),
            (b'Z', Some(op)) => {
                self.running = None;
                out.to_client(op, frame);
                out.done(op);
            }
            _ => return Err(OUT_OF_TURN),
        }
        Ok(())
    }

    fn end_session(&mut self, refusal: &Refusal, out: &mut Outbox<Frame>) {
        if !self.said_farewell {
            self.said_farewell = true;
            out.to_client(OpId::CONNECT, refusal::error(refusal, Ends::Session));
        }
        self.hang_up(out);
    }

    fn hang_up(&self, out: &mut Outbox<Frame>) {
        self.unfinished.fetch_or(self.running.is_some(), Ordering::Relaxed);
        out.to_server(OpId::CONNECT, message::terminate());
        out.close();
    }
}

/// Whether nothing is due on what passes: nothing could be done about it.
fn is_free(obligations: &Obligations) -> bool {
    obligations.masks.is_empty() && obligations.withheld.is_empty() && !obligations.controls.limits_results()
}

fn bound() -> Refusal {
    Refusal::builtin(
        Code::Unsupported,
        "replication-bound",
        "masks and limits cannot be kept on a replication connection",
    )
}

impl sluice_wire::Machine for ReplicationMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        if self.tenure.is_over() && !self.said_farewell && !matches!(input, Input::Revoked(_) | Input::Ended(_)) {
            self.end_session(&tenure::changed(), out);
            return Ok(());
        }
        match input {
            Input::FromClient(frame) => self.request(frame, out)?,
            Input::FromServer(frame) => self.reply(frame, out)?,
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Held(..) | Input::Waiting(..) | Input::Returned => {}
            Input::Revoked(refusal) => self.end_session(&refusal, out),
            Input::Ended(Side::Client) => self.hang_up(out),
            Input::Ended(Side::Server) => {
                let lost = "the server closed the connection";
                self.end_session(&Refusal::builtin(Code::Unavailable, "server-closed", lost), out);
            }
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        Wants { client: self.question.is_none(), server: true }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]

    use sluice_model::{Mask, Resource, Transform};
    use sluice_wire::{Frame as _, Machine as _, Step};

    use super::*;

    /// A machine that has heard these, and what it did about the last.
    fn heard(inputs: Vec<Input<Frame>>) -> (Result<(), Violation>, String) {
        heard_under(&Arc::default(), inputs)
    }

    fn heard_under(tenure: &Arc<Tenure>, inputs: Vec<Input<Frame>>) -> (Result<(), Violation>, String) {
        let mut machine = ReplicationMachine::new(Arc::default(), Arc::clone(tenure));
        let (mut result, mut done) = (Ok(()), String::new());
        for input in inputs {
            let mut out = Outbox::default();
            result = machine.handle(input, &mut out);
            done = std::iter::from_fn(|| out.pop()).map(|step| shown(&step)).collect::<Vec<_>>().join(" ");
        }
        (result, done)
    }

    fn shown(step: &Step<Frame>) -> String {
        match step {
            Step::Ask(op, operation) => format!("ask {} {}", op.0, operation.shape.meaning().action.name),
            Step::ToServer(op, frame) => format!("server {} {}", op.0, char::from(frame.wire()[0])),
            Step::ToClient(op, frame) => format!("client {} {}", op.0, char::from(frame.wire()[0])),
            Step::Done(op) => format!("done {}", op.0),
            Step::Close => "close".to_owned(),
            _ => "other".to_owned(),
        }
    }

    fn from_client(tag: u8, body: &'static [u8]) -> Input<Frame> {
        Input::FromClient(Frame::build(tag, |out| out.extend_from_slice(body)))
    }

    fn from_server(tag: u8, body: &'static [u8]) -> Input<Frame> {
        Input::FromServer(Frame::build(tag, |out| out.extend_from_slice(body)))
    }

    fn allowed(masks: Vec<Mask>) -> Input<Frame> {
        Input::Ruled(OpId(1), Ruling::Allow(Arc::new(Obligations { masks, ..Obligations::default() })))
    }

    fn command() -> Input<Frame> {
        from_client(b'Q', b"IDENTIFY_SYSTEM\0")
    }

    #[test]
    fn another_configuration_ends_it_whatever_happens_next() {
        let tenure = Arc::new(Tenure::default());
        tenure.end();
        for next in [from_server(b'd', b"w"), from_client(b'd', b"r"), command(), allowed(Vec::new())] {
            assert_eq!(heard_under(&tenure, vec![next]), (Ok(()), "client 0 E server 0 X close".to_owned()));
        }
    }

    #[test]
    fn a_command_passes_once_it_is_allowed_and_streams_both_ways() {
        let free = || allowed(Vec::new());
        for (more, expected) in [
            (vec![], "ask 1 postgres.replicate"),
            (vec![free()], "server 1 Q"),
            (vec![free(), from_server(b'W', b"\0\0\0")], "client 1 W"),
            (vec![free(), from_server(b'd', b"w")], "client 1 d"),
            (vec![free(), from_client(b'd', b"r")], "server 1 d"),
            (vec![free(), from_client(b'c', b"")], "server 1 c"),
            (vec![free(), from_server(b'Z', b"I")], "client 1 Z done 1"),
            (vec![free(), from_server(b'Z', b"I"), from_client(b'd', b"r")], ""),
            (vec![from_client(b'X', b"")], "server 0 X close"),
        ] {
            let (result, done) = heard(std::iter::once(command()).chain(more).collect());
            assert_eq!((result, done.as_str()), (Ok(()), expected));
        }
    }

    #[test]
    fn what_is_not_allowed_or_bound_to_something_ends_the_connection() {
        let denied = Ruling::Deny(Arc::new(Refusal::builtin(Code::Policy, "no", "no")));
        let resource = Resource::new("Column", ["public", "people", "email"]);
        let mask = Mask { resource, transform: Transform::Redact, filterable: false };
        for ruling in [Input::Ruled(OpId(1), denied), allowed(vec![mask])] {
            assert_eq!(heard(vec![command(), ruling]), (Ok(()), "client 0 E server 0 X close".to_owned()));
        }
    }

    #[test]
    fn everything_else_is_a_violation() {
        for inputs in [
            vec![from_client(b'P', b"\0SELECT 1\0\0\0")],
            vec![from_client(b'S', b"")],
            vec![from_client(b'Q', b"no end")],
            vec![command(), allowed(Vec::new()), command()],
            vec![from_server(b'd', b"w")],
            vec![from_server(b'Z', b"I")],
            vec![command(), from_server(b'd', b"w")],
            vec![command(), allowed(Vec::new()), from_server(b'1', b"")],
            vec![from_server(b'S', b"client_encoding\0LATIN1\0")],
        ] {
            assert!(heard(inputs).0.is_err());
        }
    }
}
