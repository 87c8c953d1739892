//! One channel: requests are asked about, bytes pass under what was allowed.

mod copies;
mod granted;
mod notes;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Code, OpId, Operation, Refusal, Ruling, UnixMicros};
use sluice_wire::{HoldNotice, Input, Machine, Outbox, Side, Violation, Wants};

use crate::commands::{Commands, Judged, Speaks};
use crate::files::sftp;
use crate::frame::{Frame, Message, Size};
use crate::operation::{Scene, Told};
use crate::refusal;
use crate::schema;
use crate::screen::Screens;
use crate::target::Target;
use work::{Tools, Work};

/// The subsystem that is looked into.
const SFTP: &str = "sftp";

/// What a machine is made with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) target: Arc<Target>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) screens: Arc<Screens>,
    pub(crate) files: Arc<sftp::Settings>,
    pub(crate) scene: Scene,
    /// What the time is.
    pub(crate) clock: fn() -> UnixMicros,
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
    speaks: Speaks,
    /// The client has been told that its request was accepted.
    answered: bool,
}

/// Something runs at the server.
struct Running {
    op: OpId,
    started: Started,
    ending: Ending,
    /// The channel leads to another place than a program of the host.
    leads_on: bool,
    work: Work,
}

/// Whether the server has said that it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Started {
    NotYet,
    Yes,
}

/// How far a program has ended. OpenSSH's client answers the end of both streams by closing the channel, which russh
/// answers at once: a status that comes later would be lost. So the streams end for the client with the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    NotYet,
    /// The streams have ended, and the client has not been told.
    Streams,
    /// The client has the status.
    Status,
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

    fn hear_client(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match frame {
            Frame::Data(_) => self.bytes(&frame, out),
            Frame::Stderr(_) | Frame::Quiet => Err(Violation::client("clients have no error stream")),
            Frame::Message(message, _) => self.request(message, out),
        }
    }

    fn bytes(&mut self, frame: &Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match &self.state {
            State::Running(_) => self.work(out, |work, tools| match frame {
                Frame::Data(payload) => work.client(payload.bytes(), frame.clone(), tools),
                Frame::Stderr(_) | Frame::Message(..) | Frame::Quiet => Ok(()),
            }),
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
        let (op, now) = (running.op, (self.setup.clock)());
        let mut tools = Tools { op, last: &mut self.last, scene: &self.setup.scene, now, out };
        does(&mut running.work, &mut tools)
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
                self.finish_work(out);
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
        let mut speaks = Speaks::Text;
        let (operation, message) = match message {
            Message::Pty { ref term, .. } if self.terminal.is_none() => {
                (scene.asks(schema::PTY, told(term), format!("pty {term}")), message)
            }
            Message::Env { ref name, ref value } if self.setup.target.takes_variable(name) => {
                (scene.asks(schema::ENV, told(name), format!("{name}={value}")), message)
            }
            Message::Shell => (scene.asks(schema::SHELL, told(""), ""), message),
            Message::Exec(command) => {
                let (operation, message, spoken) = self.command(&command);
                speaks = spoken;
                (operation, message)
            }
            Message::Subsystem(ref name) if **name == *SFTP => (scene.opens_files(), message),
            Message::Subsystem(ref name) => (scene.asks(schema::SUBSYSTEM, told(name), name.to_string()), message),
            Message::Open(ref place) => (scene.forwards(place), message),
            Message::Env { name, .. } => {
                out.note("variable-refused", vec![("name", name.to_string())]);
                out.to_client(OpId::CONNECT, Message::Refused.into());
                return Ok(());
            }
            Message::Pty { .. }
            | Message::Other(_)
            | Message::Eof
            | Message::Signal(_)
            | Message::Resized(_)
            | Message::Close
            | Message::Opened
            | Message::OpenFailed { .. }
            | Message::Accepted
            | Message::Refused
            | Message::ExitStatus(_)
            | Message::ExitSignal { .. } => {
                refuse_request(&message, OpId::CONNECT, out);
                return Ok(());
            }
        };
        self.ask(operation, message, speaks, out);
        Ok(())
    }

    /// A command: what its text decides, what then goes to the server, and what is spoken from then on.
    fn command(&self, command: &Bytes) -> (Operation, Message, Speaks) {
        let scene = &self.setup.scene;
        let terminal = self.terminal.is_some();
        match self.setup.commands.judge(command, terminal) {
            Judged::Known(known) => {
                let told = Told {
                    terminal,
                    command: String::from_utf8_lossy(&known.rendering).into(),
                    programs: known.programs.iter().map(|(name, _)| name.clone()).collect(),
                    as_user: known.as_user,
                    paths: known.paths,
                    ..Told::default()
                };
                let operation = scene.runs(&known.programs, told, known.rendering.clone());
                (operation, Message::Exec(known.rendering), known.speaks)
            }
            Judged::Script(why) => {
                let shown = String::from_utf8_lossy(command).into();
                let told = Told { terminal, command: shown, name: why.into(), ..Told::default() };
                (scene.asks(schema::SCRIPT, told, command.clone()), Message::Exec(command.clone()), Speaks::Text)
            }
        }
    }

    fn ask(&mut self, operation: Operation, message: Message, speaks: Speaks, out: &mut Outbox<Frame>) {
        let op = self.last.next();
        self.last = op;
        let terminal = if let Message::Pty { size, .. } = &message { Some(*size) } else { None };
        self.state = State::Asking(Asked { op, message, terminal, speaks, answered: false });
        out.ask(op, operation);
    }

    fn held(&mut self, op: OpId, notice: &HoldNotice, out: &mut Outbox<Frame>) {
        let State::Asking(asked) = &mut self.state else {
            // What runs has asked: its client shows what comes on the error stream.
            out.to_client(op, refusal::lines(&refusal::waiting(notice)));
            return;
        };
        if !asked.answered && !matches!(asked.message, Message::Open(_)) {
            asked.answered = true;
            out.to_client(asked.op, Message::Accepted.into());
            out.to_client(asked.op, refusal::lines(&refusal::waiting(notice)));
        }
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Asking(asked) => match ruling {
                Ruling::Deny(refusal) => self.denied(&asked, &refusal, out),
                Ruling::Allow(obligations) => match self.unenforceable(&asked, &obligations) {
                    Some(refusal) => self.denied(&asked, &refusal, out),
                    None => self.allowed(asked, &obligations, out),
                },
            },
            state @ State::Running(_) => {
                self.state = state;
                return self.work(out, |work, tools| work.ruled(op, ruling, tools));
            }
            // The channel has ended meanwhile.
            state @ (State::Ready | State::Told) => self.state = state,
        }
        Ok(())
    }

    fn denied(&mut self, asked: &Asked, refusal: &Refusal, out: &mut Outbox<Frame>) {
        let op = asked.op;
        if matches!(asked.message, Message::Open(_)) {
            let reason = refusal::line(refusal).into();
            let failed = Message::OpenFailed { code: Message::PROHIBITED, reason };
            out.to_client(op, failed.into());
            out.done(op);
            self.end(out);
        } else if asked.message.starts() {
            if !asked.answered {
                out.to_client(op, Message::Accepted.into());
            }
            self.tell_end(op, refusal, out);
            out.done(op);
            self.end(out);
        } else {
            out.to_client(op, Message::Refused.into());
            out.done(op);
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

    fn hear_server(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match &frame {
            Frame::Data(payload) => {
                let bytes = payload.bytes();
                self.work(out, |work, tools| work.stdout(bytes, frame, tools))
            }
            Frame::Stderr(payload) => {
                let bytes = payload.bytes();
                self.work(out, |work, tools| {
                    work.stderr(&bytes, frame, tools);
                    Ok(())
                })
            }
            Frame::Quiet => self.work(out, |work, tools| {
                work.quiet(tools);
                Ok(())
            }),
            Frame::Message(message, _) => {
                let message = message.clone();
                self.server_says(message, out)
            }
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
                self.tell_end(op, &unavailable("the host does not run it"), out);
                self.end(out);
            }
            (_, message @ (Message::ExitStatus(_) | Message::ExitSignal { .. })) => {
                let streams_ended = std::mem::replace(&mut running.ending, Ending::Status) == Ending::Streams;
                self.flush_work(out);
                out.to_client(op, message.into());
                if streams_ended {
                    out.to_client(op, Message::Eof.into());
                }
            }
            (_, Message::Eof) => {
                self.flush_work(out);
                self.streams_end(out);
            }
            (_, Message::Close) => {
                self.flush_work(out);
                out.to_client(op, Message::Close.into());
                self.finish_work(out);
                self.end(out);
            }
            // Nothing else is a server's to say in a channel.
            _ => return Err(Violation::server("the host sent a message that does not belong here")),
        }
        Ok(())
    }

    /// The host's streams have ended: a program's client is told so once it has the status.
    fn streams_end(&mut self, out: &mut Outbox<Frame>) {
        let State::Running(running) = &mut self.state else { return };
        if running.leads_on || running.ending == Ending::Status {
            out.to_client(running.op, Message::Eof.into());
        } else {
            running.ending = Ending::Streams;
        }
    }

    /// Shows what is held back: nothing follows that could decide on it.
    fn flush_work(&mut self, out: &mut Outbox<Frame>) {
        let _never_fails = self.work(out, |work, tools| {
            work.finish(tools);
            Ok(())
        });
    }

    /// Writes down what is known of what ran.
    fn finish_work(&mut self, out: &mut Outbox<Frame>) {
        let _never_fails = self.work(out, |work, tools| {
            work.end(tools);
            Ok(())
        });
    }

    /// There is no connection to the host, or the host does not open the channel.
    fn not_opened(&mut self, code: u32, reason: &str, out: &mut Outbox<Frame>) {
        let State::Running(Running { op, leads_on, .. }) = self.state else { return };
        if leads_on {
            out.to_client(op, Message::OpenFailed { code, reason: reason.into() }.into());
            self.end(out);
        } else {
            self.tell_end(op, &unavailable(reason), out);
            self.end(out);
        }
    }

    fn ended(&mut self, side: Side, out: &mut Outbox<Frame>) {
        match (&self.state, side) {
            (State::Running(running), Side::Server) => {
                let op = running.op;
                self.flush_work(out);
                self.finish_work(out);
                self.tell_end(op, &unavailable("the connection to the host was lost"), out);
                self.end(out);
            }
            (State::Running(running), Side::Client) => {
                out.to_server(running.op, Message::Close.into());
                self.finish_work(out);
                self.end(out);
            }
            (State::Ready | State::Asking(_) | State::Told, Side::Client) => self.end(out),
            (State::Ready | State::Asking(_) | State::Told, Side::Server) => {}
        }
    }

    /// Ends the flow: one side is gone or has closed the channel. A client that was told so is not waited for: what it
    /// answers a close with reaches nobody.
    fn end(&mut self, out: &mut Outbox<Frame>) {
        self.state = State::Told;
        out.close();
    }
}

/// Refuses what expects an answer.
fn refuse_request(message: &Message, op: OpId, out: &mut Outbox<Frame>) {
    if message.is_request() {
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
                    self.flush_work(out);
                    self.finish_work(out);
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
        let client = match &self.state {
            State::Asking(_) => false,
            State::Running(running) => running.work.wants_client(),
            State::Ready | State::Told => true,
        };
        Wants { client, server: true }
    }
}
