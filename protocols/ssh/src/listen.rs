//! What a host listens on for a client: one flow for each address, from its request to its end.

use sluice_model::{Obligations, OpId, Refusal, Ruling};
use sluice_wire::{HoldNotice, Input, Machine, Outbox, Side, Violation, Wants};

use crate::frame::{Frame, Message};
use crate::machine::Setup;
use crate::operation::address;
use crate::origin::Bind;
use crate::refusal;

/// One address (RFC 4254 §7.1).
pub struct ListenMachine {
    setup: Setup,
    op: OpId,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    New,
    Asking(Bind),
    /// People are asked, and the client does not wait for them: it is told this.
    Pending(String),
    /// The host has been told to listen.
    Starting,
    Listening,
    /// The host has been told to stop.
    Stopping,
    Over,
}

impl std::fmt::Debug for ListenMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenMachine").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl ListenMachine {
    /// An address that has not been asked for.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, op: OpId::CONNECT.next(), state: State::New }
    }

    fn hear_client(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (&self.state, frame) {
            (State::New, Frame::Message(Message::Listen(bind), _)) => {
                if !bind.is_canonical() {
                    self.refuse(&refusal::line(&refusal::unplaced()), out);
                    return Ok(());
                }
                out.ask(self.op, self.setup.scene.listens(&bind));
                self.state = State::Asking(bind);
            }
            (State::Listening, Frame::Message(message @ Message::Unlisten(_), _)) => {
                out.to_server(self.op, message.into());
                self.state = State::Stopping;
            }
            _ => return Err(Violation::client("a request came that does not belong here")),
        }
        Ok(())
    }

    fn hear_server(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (&self.state, frame) {
            (State::Starting, Frame::Message(message @ Message::Listening(_), _)) => {
                out.to_client(self.op, message.into());
                self.state = State::Listening;
            }
            (State::Starting, Frame::Message(Message::NotListening(reason), _)) => self.refuse(&reason, out),
            (State::Stopping, Frame::Message(message @ Message::Listening(_), _)) => {
                out.to_client(self.op, message.into());
                self.end(out);
            }
            (State::Stopping, Frame::Message(message @ Message::NotListening(_), _)) => {
                out.to_client(self.op, message.into());
                self.state = State::Listening;
            }
            _ => return Err(Violation::server("the host sent a message that does not belong here")),
        }
        Ok(())
    }

    fn ruled(&mut self, ruling: Ruling, out: &mut Outbox<Frame>) {
        let bind = match std::mem::replace(&mut self.state, State::Over) {
            State::Asking(bind) => bind,
            State::Pending(words) => return self.refuse(&words, out),
            State::New | State::Starting | State::Listening | State::Stopping | State::Over => return,
        };
        match ruling {
            Ruling::Deny(refusal) => self.refuse(&refusal::line(&refusal), out),
            Ruling::Allow(obligations) => match unkept(&self.setup, &obligations) {
                Some(refusal) => self.refuse(&refusal::line(&refusal), out),
                None => {
                    out.to_server(self.op, Message::Listen(bind).into());
                    self.state = State::Starting;
                }
            },
        }
    }

    /// russh answers a request of a connection before it reads on, and all channels would wait for it: so it is refused
    /// as long as people are asked. The request stands, and is taken up when the client asks again.
    fn held(&mut self, op: OpId, notice: &HoldNotice, out: &mut Outbox<Frame>) {
        if let State::Asking(bind) = &self.state {
            self.state = State::Pending(refusal::pending(notice, &format!("the remote forward of {}", address(bind))));
            out.leave(op);
        }
    }

    fn refuse(&mut self, words: &str, out: &mut Outbox<Frame>) {
        out.to_client(self.op, Message::NotListening(words.into()).into());
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

impl Machine for ListenMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => return self.hear_client(frame, out),
            Input::FromServer(frame) => return self.hear_server(frame, out),
            Input::Ruled(op, ruling) if op == self.op => self.ruled(ruling, out),
            Input::Held(op, notice) => self.held(op, &notice, out),
            Input::Waiting(..) | Input::Ruled(..) | Input::Returned => {}
            Input::Revoked(refusal) => match &self.state {
                State::Starting | State::Stopping | State::Asking(_) | State::Pending(_) => {
                    self.refuse(&refusal::line(&refusal), out)
                }
                State::New | State::Listening | State::Over => self.end(out),
            },
            Input::Ended(Side::Server) if matches!(self.state, State::Starting | State::Stopping) => {
                self.refuse("the connection to the host was lost", out);
            }
            Input::Ended(Side::Client | Side::Server) => self.end(out),
        }
        Ok(())
    }

    fn unkept(&self, _: OpId, obligations: &Obligations) -> Option<Refusal> {
        unkept(&self.setup, obligations)
    }

    fn wants(&self) -> Wants {
        // A client that waits no longer for the host is heard.
        Wants { client: !matches!(self.state, State::Asking(_) | State::Pending(_)), server: true }
    }
}

/// Why an allow cannot be kept to: nobody looks into what passes.
pub(crate) fn unkept(setup: &Setup, obligations: &Obligations) -> Option<Refusal> {
    if !setup.screens.watch(obligations).is_empty() {
        return Some(refusal::unmaskable());
    }
    refusal::unlimitable(obligations)
}
