//! One channel: requests are asked about, bytes pass under what was allowed.

mod asking;
mod copies;
mod notes;
mod setup;
mod work;

use sluice_model::{Code, Obligations, OpId, Refusal};
use sluice_wire::{Input, Machine, Outbox, Side, Violation, Wants};

use crate::commands::Speaks;
use crate::frame::{Frame, Message, Payload, Size};
use crate::refusal;
use work::{Tools, Work};

pub use setup::Setup;

/// The subsystem that is looked into.
const SFTP: &str = "sftp";

/// One channel's grammar (RFC 4254 §5 to §7).
pub struct ChannelMachine {
    setup: Setup,
    last: OpId,
    terminal: Option<Terminal>,
    /// What is said besides once there is a program on whose error stream it can be.
    asides: Vec<String>,
    state: State,
}

/// A terminal that was granted.
#[derive(Clone, Copy)]
struct Terminal {
    op: OpId,
    size: Size,
}

enum State {
    /// Nothing runs yet.
    Ready,
    Asking(Asked),
    Running(Running),
    /// The client has been told the end.
    Told,
}

/// A question to policy.
struct Asked {
    op: OpId,
    /// What goes to the server if it may.
    message: Message,
    terminal: Option<Size>,
    speaks: Speaks,
    /// The client has been told that its request was accepted.
    answered: bool,
}

/// Something runs at the server.
struct Running {
    op: OpId,
    started: Started,
    /// The channel leads to another place than a program of the host.
    leads_on: bool,
    /// Values are masked in what is said here.
    masks: bool,
    /// The host's bytes have ended.
    drained: bool,
    said: Said,
    work: Work,
}

/// What the client has been told of the end.
#[derive(Clone, Copy, Default)]
struct Said {
    /// How the program ended.
    exit: bool,
    /// There are no more bytes.
    eof: bool,
}

/// Whether the server has said that it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Started {
    NotYet,
    Yes,
}

impl std::fmt::Debug for ChannelMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelMachine").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl ChannelMachine {
    /// A channel in which nothing has been said.
    #[must_use]
    pub const fn new(setup: Setup) -> Self {
        Self { setup, last: OpId::CONNECT, terminal: None, asides: Vec::new(), state: State::Ready }
    }

    fn hear_client(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match frame {
            Frame::Data(payload) => self.bytes(payload, out),
            Frame::Stderr(_) | Frame::Quiet => Err(Violation::client("clients have no error stream")),
            Frame::Message(message, _) => self.request(message, out),
        }
    }

    fn bytes(&mut self, payload: Payload, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match &self.state {
            State::Running(_) => self.work(out, |work, tools| work.client(payload, tools)),
            // What was on its way when the end was told.
            State::Told => Ok(()),
            State::Ready | State::Asking(_) => Err(Violation::client("bytes came before a command")),
        }
    }

    /// Lets what runs do something, if something runs.
    fn work(
        &mut self,
        out: &mut Outbox<Frame>,
        does: impl FnOnce(&mut Work, &mut Tools<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let State::Running(running) = &mut self.state else { return Ok(()) };
        let (op, now, typed) = (running.op, (self.setup.clock)(), self.setup.target.typed);
        let mut tools = Tools { op, last: &mut self.last, scene: &self.setup.scene, typed, now, refused: None, out };
        does(&mut running.work, &mut tools)?;
        if let Some(words) = tools.refused {
            out.to_server(op, Message::Close.into());
            self.tell_end(op, &words, refusal::REFUSED, out);
        }
        Ok(())
    }

    fn request(&mut self, message: Message, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (&self.state, message) {
            (State::Running(running), message @ (Message::Eof | Message::Signal(_))) => {
                out.to_server(running.op, message.into());
            }
            (State::Ready | State::Running(_), message @ Message::Resized(size)) => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.size = size;
                    out.to_server(terminal.op, message.into());
                }
                if let State::Running(running) = &mut self.state {
                    running.work.resize(size);
                }
            }
            (State::Running(running), Message::Close) => {
                out.to_server(running.op, Message::Close.into());
                self.end(out);
            }
            (State::Ready | State::Told, Message::Close) => self.end(out),
            (State::Ready | State::Running(_), Message::Aside(words)) => {
                self.asides.push(words.into());
                self.say_asides(out);
            }
            (State::Told, Message::Aside(_)) => {}
            (State::Ready, message) => self.begin(message, out),
            // A second command of a channel is no error of RFC 4254 §6.5, but never granted.
            (State::Running(_) | State::Told, message) => refuse_request(&message, out),
            (State::Asking(_), _) => return Err(Violation::client("a request came while another is open")),
        }
        Ok(())
    }

    fn hear_server(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let ended = matches!(&self.state, State::Running(running) if running.drained);
        match frame {
            Frame::Data(_) | Frame::Stderr(_) if ended => Err(Violation::server("bytes came after their end")),
            Frame::Data(payload) => self.work(out, |work, tools| work.stdout(payload, tools)),
            Frame::Stderr(payload) => self.work(out, |work, tools| {
                work.stderr(payload, tools);
                Ok(())
            }),
            Frame::Quiet => self.work(out, |work, tools| {
                work.quiet(tools);
                Ok(())
            }),
            Frame::Message(message, _) => self.server_says(message, out),
        }
    }

    fn server_says(&mut self, message: Message, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let State::Running(running) = &mut self.state else { return Ok(()) };
        let op = running.op;
        match (running.started, message) {
            (Started::NotYet, Message::Accepted) => running.started = Started::Yes,
            (Started::NotYet, Message::Opened) => {
                running.started = Started::Yes;
                out.to_client(op, Message::Opened.into());
            }
            (Started::NotYet, Message::OpenFailed { code, reason }) => self.not_opened(code, &reason, out),
            (Started::NotYet, Message::Refused) => {
                out.to_server(op, Message::Close.into());
                self.leave(op, &unavailable("the host does not run it"), out);
            }
            // Bytes of a program may still come after its exit status, so nothing is flushed here.
            (_, message @ (Message::ExitStatus(_) | Message::ExitSignal { .. })) if !running.said.exit => {
                running.said.exit = true;
                let message = if running.masks { wordless(message) } else { message };
                out.to_client(op, message.into());
                if running.drained && !running.said.eof {
                    running.said.eof = true;
                    out.to_client(op, Message::Eof.into());
                }
            }
            (_, Message::Eof) if !running.drained => {
                running.drained = true;
                // OpenSSH's client answers the end of both streams by closing the channel, which russh answers at
                // once: a status that came later would be lost. So a program's streams end with its status.
                let ends = running.leads_on || running.said.exit;
                running.said.eof = ends;
                self.flush_work(out);
                if ends {
                    out.to_client(op, Message::Eof.into());
                }
            }
            (_, Message::Close) => {
                self.flush_work(out);
                out.to_client(op, Message::Close.into());
                self.conclude(out);
            }
            // Nothing else is a server's to say in a channel.
            _ => return Err(Violation::server("the host sent a message that does not belong here")),
        }
        Ok(())
    }

    /// Shows what is held back: nothing follows that could decide on it.
    fn flush_work(&mut self, out: &mut Outbox<Frame>) {
        let _never_fails = self.work(out, |work, tools| {
            work.finish(tools);
            Ok(())
        });
    }

    /// Says what is to be said besides, where a program's error stream is still open.
    fn say_asides(&mut self, out: &mut Outbox<Frame>) {
        if let State::Running(Running { op, leads_on: false, said: Said { eof: false, .. }, .. }) = self.state
            && !self.asides.is_empty()
        {
            out.to_client(op, refusal::lines(&std::mem::take(&mut self.asides)));
        }
    }

    /// There is no connection to the host, or the host does not open the channel.
    fn not_opened(&mut self, code: u32, reason: &str, out: &mut Outbox<Frame>) {
        let State::Running(Running { op, leads_on, .. }) = self.state else { return };
        if leads_on {
            out.to_client(op, Message::OpenFailed { code, reason: reason.into() }.into());
            self.end(out);
        } else {
            self.leave(op, &unavailable(reason), out);
        }
    }

    /// Says why nothing runs here, or no longer does, and closes the client's side.
    fn leave(&mut self, op: OpId, refusal: &Refusal, out: &mut Outbox<Frame>) {
        let words = refusal::line(refusal);
        self.tell_end(op, &words, refusal::status(refusal), out);
    }

    /// The last words, as far as the channel still has a place for them.
    fn tell_end(&mut self, op: OpId, words: &String, status: u32, out: &mut Outbox<Frame>) {
        let unopened = match &self.state {
            State::Asking(asked) => matches!(asked.message, Message::Open(_)),
            State::Running(running) => running.leads_on && running.started == Started::NotYet,
            State::Ready | State::Told => false,
        };
        if unopened {
            let failed = Message::OpenFailed { code: Message::PROHIBITED, reason: words.as_str().into() };
            out.to_client(op, failed.into());
            return self.end(out);
        }
        self.answer_request(out);
        let (said, leads_on) = match &self.state {
            State::Running(running) => (running.said, running.leads_on),
            State::Ready | State::Asking(_) | State::Told => (Said::default(), false),
        };
        // Nothing follows the end of the bytes (RFC 4254 §5.3), and no program ends in a channel without one.
        if !said.eof && !leads_on {
            let asides = std::mem::take(&mut self.asides);
            out.to_client(op, refusal::lines(asides.iter().chain([words])));
        }
        if !said.exit && !leads_on {
            out.to_client(op, Message::ExitStatus(status).into());
        }
        if !said.eof {
            out.to_client(op, Message::Eof.into());
        }
        out.to_client(op, Message::Close.into());
        self.conclude(out);
    }

    /// A request that is open when the channel ends is not left without an answer.
    fn answer_request(&mut self, out: &mut Outbox<Frame>) {
        if let State::Asking(asked) = &mut self.state
            && !asked.answered
        {
            asked.answered = true;
            out.to_client(asked.op, Message::Accepted.into());
        }
    }

    fn ended(&mut self, side: Side, out: &mut Outbox<Frame>) {
        match (&self.state, side) {
            (State::Running(running), Side::Server) => {
                let op = running.op;
                self.flush_unless_told(out);
                self.leave(op, &unavailable("the connection to the host was lost"), out);
            }
            (State::Running(running), Side::Client) => {
                out.to_server(running.op, Message::Close.into());
                self.end(out);
            }
            (State::Ready | State::Asking(_) | State::Told, Side::Client) => self.end(out),
            (State::Ready | State::Asking(_) | State::Told, Side::Server) => {}
        }
    }

    fn flush_unless_told(&mut self, out: &mut Outbox<Frame>) {
        if matches!(&self.state, State::Running(running) if !running.drained) {
            self.flush_work(out);
        }
    }

    /// Ends the flow: the client is gone, or has closed the channel.
    fn end(&mut self, out: &mut Outbox<Frame>) {
        self.conclude(out);
        out.close();
    }

    /// Nothing more is said under any operation. What is known of what ran is written down.
    fn conclude(&mut self, out: &mut Outbox<Frame>) {
        let _never_fails = self.work(out, |work, tools| {
            work.end(tools);
            Ok(())
        });
        let op = match std::mem::replace(&mut self.state, State::Told) {
            State::Running(running) => Some(running.op),
            State::Asking(asked) => Some(asked.op),
            State::Ready | State::Told => None,
        };
        let terminal = self.terminal.take().map(|terminal| terminal.op);
        op.into_iter().chain(terminal).for_each(|op| out.done(op));
    }
}

/// Refuses a request of a channel that expects an answer.
fn refuse_request(message: &Message, out: &mut Outbox<Frame>) {
    let answered = matches!(
        message,
        Message::Pty { .. }
            | Message::Env { .. }
            | Message::Shell
            | Message::Exec(_)
            | Message::Subsystem(_)
            | Message::Agent
            | Message::X11(_)
    );
    if answered {
        out.to_client(OpId::CONNECT, Message::Refused.into());
    }
}

/// A signal's words may be anything, and are in no stream that is looked into.
fn wordless(message: Message) -> Message {
    if let Message::ExitSignal { name, core_dumped, .. } = message {
        return Message::ExitSignal { name, core_dumped, message: "".into() };
    }
    message
}

fn unavailable(reason: &str) -> Refusal {
    Refusal::builtin(Code::Unavailable, "host", reason)
}

impl Machine for ChannelMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => self.hear_client(frame, out),
            Input::FromServer(frame) => self.hear_server(frame, out),
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Held(op, notice) => {
                self.held(op, &notice, out);
                Ok(())
            }
            Input::Waiting(..) | Input::Returned => Ok(()),
            Input::Revoked(refusal) => {
                if !matches!(self.state, State::Told) {
                    self.flush_unless_told(out);
                    self.leave(OpId::CONNECT, &refusal, out);
                    out.close();
                }
                Ok(())
            }
            Input::Ended(side) => {
                self.ended(side, out);
                Ok(())
            }
        }
    }

    fn wants(&self) -> Wants {
        let client = match &self.state {
            State::Asking(_) => false,
            State::Running(running) => running.work.wants_client(),
            State::Ready | State::Told => true,
        };
        Wants { client, server: true }
    }

    fn unkept(&self, op: OpId, obligations: &Obligations) -> Option<Refusal> {
        match &self.state {
            State::Asking(asked) if asked.op == op => self.unenforceable(asked, obligations),
            State::Asking(_) | State::Running(_) | State::Ready | State::Told => None,
        }
    }

    fn weight(&self, input: &Input<Frame>) -> usize {
        match (&self.state, input) {
            (State::Running(running), Input::FromServer(frame)) => running.work.looks_at(frame),
            _ => 0,
        }
    }
}
