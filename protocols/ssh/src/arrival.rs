//! A channel that a host opens, because a client had it listen, or lent it an agent or a display.

use sluice_model::{Obligations, OpId, Refusal, Ruling};
use sluice_wire::{Input, Machine, Outbox, Side, Violation, Wants};

use crate::frame::{Frame, Message};
use crate::listen::unkept;
use crate::machine::Setup;
use crate::origin::Origin;

/// One such channel. It is asked about before its client hears of it (RFC 4254 §7.2).
pub struct ArrivalMachine {
    setup: Setup,
    op: OpId,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Asking(Origin),
    /// The client is asked to take it.
    Opening,
    Open,
    Over,
}

impl std::fmt::Debug for ArrivalMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrivalMachine").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl ArrivalMachine {
    /// A channel of which nothing is known.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, op: OpId::CONNECT.next(), state: State::New }
    }

    fn hear_client(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (&self.state, &frame) {
            (State::Opening, Frame::Message(Message::Opened, _)) => {
                self.state = State::Open;
                out.to_server(self.op, frame);
            }
            (State::Opening, Frame::Message(Message::OpenFailed { .. }, _)) => {
                out.to_server(self.op, frame);
                self.end(out);
            }
            (State::Open, Frame::Data(_) | Frame::Message(Message::Eof, _)) => out.to_server(self.op, frame),
            (State::Open, Frame::Message(Message::Close, _)) => {
                out.to_server(self.op, frame);
                self.end(out);
            }
            _ => return Err(Violation::client("a message came that does not belong here")),
        }
        Ok(())
    }

    fn hear_server(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (&self.state, &frame) {
            (State::New, Frame::Message(Message::Arrive(origin), _)) => {
                out.ask(self.op, self.setup.scene.arrives(origin));
                self.state = State::Asking(origin.clone());
            }
            (State::Open, Frame::Data(_) | Frame::Message(Message::Eof, _)) => out.to_client(self.op, frame),
            (State::Open, Frame::Message(Message::Close, _)) => {
                out.to_client(self.op, frame);
                self.end(out);
            }
            _ => return Err(Violation::server("the host sent a message that does not belong here")),
        }
        Ok(())
    }

    fn ruled(&mut self, ruling: Ruling, out: &mut Outbox<Frame>) {
        let State::Asking(origin) = std::mem::replace(&mut self.state, State::Over) else { return };
        match ruling {
            Ruling::Allow(obligations) if unkept(&self.setup, &obligations).is_none() => {
                self.state = State::Opening;
                out.to_client(self.op, Message::Arrive(origin).into());
            }
            // Nothing goes to a host without an allow: it is refused by leaving it alone.
            Ruling::Allow(_) | Ruling::Deny(_) => self.end(out),
        }
    }

    /// Ends the channel on both sides, as far as they have it.
    fn part(&mut self, gone: Option<Side>, out: &mut Outbox<Frame>) {
        if matches!(self.state, State::Open) {
            if gone != Some(Side::Server) {
                out.to_server(self.op, Message::Close.into());
            }
            if gone != Some(Side::Client) {
                out.to_client(self.op, Message::Close.into());
            }
        }
        self.end(out);
    }

    fn end(&mut self, out: &mut Outbox<Frame>) {
        if !matches!(self.state, State::New) {
            out.done(self.op);
        }
        self.state = State::Over;
        out.close();
    }
}

impl Machine for ArrivalMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => return self.hear_client(frame, out),
            Input::FromServer(frame) => return self.hear_server(frame, out),
            Input::Ruled(op, ruling) if op == self.op => self.ruled(ruling, out),
            // The host waits with a channel that is not open yet.
            Input::Held(..) | Input::Ruled(..) | Input::Waiting(..) | Input::Returned => {}
            Input::Revoked(_) => self.part(None, out),
            Input::Ended(side) => self.part(Some(side), out),
        }
        Ok(())
    }

    fn unkept(&self, _: OpId, obligations: &Obligations) -> Option<Refusal> {
        unkept(&self.setup, obligations)
    }

    fn wants(&self) -> Wants {
        let asking = matches!(self.state, State::Asking(_));
        Wants { client: !asking, server: !asking }
    }
}
