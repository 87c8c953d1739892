//! One channel: requests are asked about, bytes pass under what was allowed.

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, OpId, Operation, Refusal, Ruling};
use sluice_wire::{HoldNotice, Input, Machine, Outbox, Side, Violation, Wants};

use crate::commands::{Commands, Judged};
use crate::frame::{Frame, Message, Size};
use crate::operation::{Scene, Told};
use crate::refusal;
use crate::schema;
use crate::screen::Screens;
use crate::target::Target;

/// What a machine is made with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) target: Arc<Target>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) screens: Arc<Screens>,
    pub(crate) scene: Scene,
}

/// One channel's grammar (RFC 4254 §5 to §7).
pub struct ChannelMachine {
    setup: Setup,
    last: OpId,
    terminal: Option<Terminal>,
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
    /// The client has been told that its request was accepted.
    answered: bool,
}

/// Something runs at the server.
struct Running {
    op: OpId,
    started: Started,
    /// The channel leads to another place than a program of the host.
    leads_on: bool,
    screen: crate::screen::Pair,
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
    pub(crate) const fn new(setup: Setup) -> Self {
        Self { setup, last: OpId::CONNECT, terminal: None, state: State::Ready }
    }

    fn from_client(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match frame {
            Frame::Data(_) => self.bytes(frame, out),
            Frame::Stderr(_) | Frame::Quiet => Err(Violation::client("clients have no error stream")),
            Frame::Message(message, _) => self.request(message, out),
        }
    }

    fn bytes(&self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match &self.state {
            State::Running(running) => {
                out.to_server(running.op, frame);
                Ok(())
            }
            // What was on its way when the end was told.
            State::Told => Ok(()),
            State::Ready | State::Asking(_) => Err(Violation::client("bytes came before a command")),
        }
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
                    running.screen.resize(size);
                }
            }
            (State::Running(running), Message::Close) => {
                out.to_server(running.op, Message::Close.into());
                self.end(out);
            }
            (State::Ready | State::Told, Message::Close) => self.end(out),
            (State::Ready, message) => self.begin(message, out)?,
            // A second command of a channel is no error of RFC 4254 §6.5, but never granted.
            (State::Running(_) | State::Told, message) => refuse_request(&message, OpId::CONNECT, out),
            (State::Asking(_), _) => return Err(Violation::client("a request came while another is open")),
        }
        Ok(())
    }

    /// A request of a channel in which nothing runs.
    fn begin(&mut self, message: Message, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let terminal = self.terminal.is_some();
        let told = |name: &str| Told { terminal, name: name.into(), ..Told::default() };
        let scene = &self.setup.scene;
        let (operation, message) = match message {
            Message::Pty { ref term, .. } if self.terminal.is_none() => {
                (scene.asks(schema::PTY, told(term), format!("pty {term}")), message)
            }
            Message::Env { ref name, ref value } if self.setup.target.takes_variable(name) => {
                (scene.asks(schema::ENV, told(name), format!("{name}={value}")), message)
            }
            Message::Shell => (scene.asks(schema::SHELL, told(""), ""), message),
            Message::Exec(command) => self.command(&command),
            Message::Subsystem(ref name) => (scene.asks(schema::SUBSYSTEM, told(name), name.to_string()), message),
            Message::Open(ref place) => (scene.forwards(place), message),
            Message::Eof | Message::Signal(_) => return Ok(()),
            other => {
                if let Message::Env { name, .. } = &other {
                    out.note("variable-refused", vec![("name", name.to_string())]);
                }
                refuse_request(&other, OpId::CONNECT, out);
                return Ok(());
            }
        };
        self.ask(operation, message, out);
        Ok(())
    }

    /// A command: what its text decides, and what then goes to the server.
    fn command(&self, command: &Bytes) -> (Operation, Message) {
        let scene = &self.setup.scene;
        let terminal = self.terminal.is_some();
        match self.setup.commands.judge(command) {
            Judged::Known { programs, as_user, paths, rendering } => {
                let told = Told {
                    terminal,
                    command: String::from_utf8_lossy(&rendering).into(),
                    programs: programs.iter().map(|(name, _)| name.clone()).collect(),
                    as_user,
                    paths,
                    ..Told::default()
                };
                (scene.runs(&programs, told, rendering.clone()), Message::Exec(rendering))
            }
            Judged::Script => {
                let shown = String::from_utf8_lossy(command).into();
                let told = Told { terminal, command: shown, ..Told::default() };
                (scene.asks(schema::SCRIPT, told, command.clone()), Message::Exec(command.clone()))
            }
        }
    }

    fn ask(&mut self, operation: Operation, message: Message, out: &mut Outbox<Frame>) {
        let op = self.last.next();
        self.last = op;
        let terminal = match &message {
            Message::Pty { size, .. } => Some(*size),
            _ => None,
        };
        self.state = State::Asking(Asked { op, message, terminal, answered: false });
        out.ask(op, operation);
    }

    fn held(&mut self, notice: &HoldNotice, out: &mut Outbox<Frame>) {
        let State::Asking(asked) = &mut self.state else { return };
        if !asked.answered && !matches!(asked.message, Message::Open(_)) {
            asked.answered = true;
            out.to_client(asked.op, Message::Accepted.into());
            out.to_client(asked.op, refusal::lines(&refusal::waiting(notice)));
        }
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let State::Asking(asked) = std::mem::replace(&mut self.state, State::Ready) else {
            return Err(Violation::client("a ruling came that nobody asked for"));
        };
        match ruling {
            Ruling::Deny(refusal) => self.denied(&asked, &refusal, out),
            Ruling::Allow(obligations) => {
                let opens = matches!(asked.message, Message::Open(_));
                if !asked.answered && !opens {
                    out.to_client(op, Message::Accepted.into());
                }
                let Asked { message, terminal, .. } = asked;
                let starts = opens || matches!(message, Message::Shell | Message::Exec(_) | Message::Subsystem(_));
                out.to_server(op, message.into());
                if starts {
                    let size = self.terminal.map(|terminal| terminal.size);
                    let screen = self.setup.screens.over(&obligations, size);
                    self.state = State::Running(Running { op, started: Started::NotYet, leads_on: opens, screen });
                } else if let Some(size) = terminal {
                    // The operation stays open: changes of its size belong to it.
                    self.terminal = Some(Terminal { op, size });
                } else {
                    out.done(op);
                }
            }
        }
        Ok(())
    }

    fn denied(&mut self, asked: &Asked, refusal: &Refusal, out: &mut Outbox<Frame>) {
        let op = asked.op;
        match &asked.message {
            Message::Open(_) => {
                let reason = refusal::line(refusal).into();
                let failed = Message::OpenFailed { code: Message::PROHIBITED, reason };
                out.to_client(op, failed.into());
                out.done(op);
                self.end(out);
            }
            Message::Shell | Message::Exec(_) | Message::Subsystem(_) => {
                if !asked.answered {
                    out.to_client(op, Message::Accepted.into());
                }
                self.tell_end(op, refusal, out);
                out.done(op);
            }
            _ => {
                out.to_client(op, Message::Refused.into());
                out.done(op);
            }
        }
    }

    /// Says why nothing runs, and closes the client's side.
    fn tell_end(&mut self, op: OpId, refusal: &Refusal, out: &mut Outbox<Frame>) {
        out.to_client(op, refusal::lines([&refusal::line(refusal)]));
        for message in [refusal::exit(refusal), Message::Eof, Message::Close] {
            out.to_client(op, message.into());
        }
        self.state = State::Told;
    }

    fn from_server(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let State::Running(running) = &mut self.state else { return Ok(()) };
        let op = running.op;
        match frame {
            Frame::Data(payload) => running.screen.stdout(&payload.bytes(), |frame| out.to_client(op, frame)),
            Frame::Stderr(payload) => running.screen.stderr(&payload.bytes(), |frame| out.to_client(op, frame)),
            Frame::Quiet => running.screen.quiet(|frame| out.to_client(op, frame)),
            Frame::Message(message, _) => return self.server_says(message, out),
        }
        Ok(())
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
                self.tell_end(op, &unavailable("the host does not run it"), out);
                out.to_server(op, Message::Close.into());
            }
            (_, message @ (Message::ExitStatus(_) | Message::ExitSignal { .. })) => {
                running.screen.finish(|frame| out.to_client(op, frame));
                out.to_client(op, message.into());
            }
            (_, Message::Eof) => {
                running.screen.finish(|frame| out.to_client(op, frame));
                out.to_client(op, Message::Eof.into());
            }
            (_, Message::Close) => {
                running.screen.finish(|frame| out.to_client(op, frame));
                out.to_client(op, Message::Close.into());
                self.state = State::Told;
            }
            // RFC 4254 §6.8: flow control by characters is an offer that needs no answer. Nothing else is known.
            _ => return Err(Violation::server("the host sent a message that does not belong here")),
        }
        Ok(())
    }

    /// There is no connection to the host, or the host does not open the channel.
    fn not_opened(&mut self, code: u32, reason: &str, out: &mut Outbox<Frame>) {
        let State::Running(Running { op, leads_on, .. }) = self.state else { return };
        if leads_on {
            out.to_client(op, Message::OpenFailed { code, reason: reason.into() }.into());
            self.end(out);
        } else {
            self.tell_end(op, &unavailable(reason), out);
        }
    }

    fn ended(&mut self, side: Side, out: &mut Outbox<Frame>) {
        match (&self.state, side) {
            (State::Running(running), Side::Server) => {
                let op = running.op;
                self.tell_end(op, &unavailable("the connection to the host was lost"), out);
            }
            (State::Running(running), Side::Client) => {
                out.to_server(running.op, Message::Close.into());
                self.end(out);
            }
            (State::Ready | State::Asking(_) | State::Told, Side::Client) => self.end(out),
            (State::Ready | State::Asking(_) | State::Told, Side::Server) => {}
        }
    }

    /// Ends the flow: the client is gone, or has closed the channel.
    fn end(&mut self, out: &mut Outbox<Frame>) {
        self.state = State::Told;
        out.close();
    }
}

/// Refuses a request of a channel that expects an answer.
fn refuse_request(message: &Message, op: OpId, out: &mut Outbox<Frame>) {
    let answered = matches!(
        message,
        Message::Pty { .. }
            | Message::Env { .. }
            | Message::Shell
            | Message::Exec(_)
            | Message::Subsystem(_)
            | Message::Other(_)
    );
    if answered {
        out.to_client(op, Message::Refused.into());
    }
}

fn unavailable(reason: &str) -> Refusal {
    Refusal::builtin(Code::Unavailable, "host", reason)
}

impl Machine for ChannelMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => self.from_client(frame, out),
            Input::FromServer(frame) => self.from_server(frame, out),
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Held(_, notice) => {
                self.held(&notice, out);
                Ok(())
            }
            Input::Waiting(..) | Input::Returned => Ok(()),
            Input::Revoked(refusal) => {
                if !matches!(self.state, State::Told) {
                    self.tell_end(OpId::CONNECT, &refusal, out);
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
        Wants { client: !matches!(self.state, State::Asking(_)), server: true }
    }
}
