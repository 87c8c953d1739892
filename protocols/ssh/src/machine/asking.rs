//! What a client asks for before something runs, and what becomes of the question.

use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Obligations, OpId, Operation, Refusal, Ruling};
use sluice_shell::is_plain_value;
use sluice_wire::{HoldNotice, Outbox, Violation};

use super::copies::{Files, Repository};
use super::work::Work;
use super::{Asked, ChannelMachine, Running, SFTP, Said, Started, State, Terminal, refuse_request};
use crate::commands::{Judged, Speaks};
use crate::files::git;
use crate::files::scp::{self, Scp};
use crate::frame::{Frame, Message};
use crate::operation::Told;
use crate::refusal;
use crate::schema;

impl ChannelMachine {
    /// A request of a channel in which nothing runs.
    pub(super) fn begin(&mut self, message: Message, out: &mut Outbox<Frame>) {
        let terminal = self.terminal.is_some();
        let told = |name: &str| Told { terminal, name: name.into(), ..Told::default() };
        let scene = &self.setup.scene;
        let mut speaks = Speaks::Text;
        let (operation, message) = match message {
            Message::Pty { ref term, .. } if self.terminal.is_none() && is_plain_value(term) => {
                (scene.asks(schema::PTY, told(term), format!("pty {term}")), message)
            }
            Message::Env { ref name, ref value } if self.setup.target.takes_variable(name, value) => {
                (scene.asks(schema::ENV, told(name), format!("{name}={value}")), message)
            }
            Message::Agent => {
                speaks = Speaks::Opaque;
                (scene.uses_agent(), message)
            }
            Message::X11(ref x11) if x11.is_plain() => {
                speaks = Speaks::Opaque;
                (scene.uses_display(x11), message)
            }
            Message::Shell => (scene.asks(schema::SHELL, told(""), ""), message),
            Message::Exec(command) => {
                let (operation, message, spoken) = self.command(&command);
                speaks = spoken;
                (operation, message)
            }
            Message::Subsystem(ref name) if **name == *SFTP => (scene.opens_files(), message),
            Message::Subsystem(ref name) => {
                speaks = Speaks::Opaque;
                (scene.asks(schema::SUBSYSTEM, told(name), name.to_string()), message)
            }
            Message::Open(place) => {
                let Some(place) = place.canonical() else {
                    let reason = refusal::line(&refusal::unplaced()).into();
                    let failed = Message::OpenFailed { code: Message::PROHIBITED, reason };
                    out.to_client(OpId::CONNECT, failed.into());
                    return self.end(out);
                };
                speaks = Speaks::Opaque;
                (scene.forwards(&place), Message::Open(place))
            }
            Message::Eof | Message::Signal(_) => return,
            Message::Env { ref name, .. } => {
                out.note("variable-refused", vec![("name", name.to_string())]);
                return refuse_request(&message, out);
            }
            Message::Pty { .. }
            | Message::X11(_)
            | Message::Listen(_)
            | Message::Unlisten(_)
            | Message::Listening(_)
            | Message::NotListening(_)
            | Message::Aside(_)
            | Message::Arrive(_)
            | Message::Opened
            | Message::OpenFailed { .. }
            | Message::Resized(_)
            | Message::Accepted
            | Message::Refused
            | Message::Close
            | Message::ExitStatus(_)
            | Message::ExitSignal { .. } => return refuse_request(&message, out),
        };
        self.ask(operation, message, speaks, out);
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

    pub(super) fn held(&mut self, op: OpId, notice: &HoldNotice, out: &mut Outbox<Frame>) {
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

    pub(super) fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Asking(asked) if asked.op == op => match ruling {
                Ruling::Deny(refusal) => self.denied(asked, &refusal, out),
                Ruling::Allow(obligations) => match self.unenforceable(&asked, &obligations) {
                    Some(refusal) => self.denied(asked, &refusal, out),
                    None => self.allowed(asked, &obligations, out),
                },
            },
            state @ State::Running(_) => {
                self.state = state;
                return self.work(out, |work, tools| work.ruled(op, ruling, tools));
            }
            // The channel has ended meanwhile.
            state @ (State::Ready | State::Asking(_) | State::Told) => self.state = state,
        }
        Ok(())
    }

    /// Why an allow cannot be kept to: what is not looked into cannot be masked, and nothing here counts rows.
    pub(super) fn unenforceable(&self, asked: &Asked, obligations: &Obligations) -> Option<Refusal> {
        let masked = !self.setup.screens.watch(obligations).is_empty();
        if masked && !matches!(asked.speaks, Speaks::Text) {
            let copies = matches!(asked.message, Message::Exec(_));
            return Some(if copies { refusal::unmaskable_copy() } else { refusal::unmaskable() });
        }
        refusal::unlimitable(obligations)
    }

    fn allowed(&mut self, asked: Asked, obligations: &Obligations, out: &mut Outbox<Frame>) {
        let Asked { op, message, terminal, speaks, answered } = asked;
        let leads_on = matches!(message, Message::Open(_));
        if !answered && !leads_on {
            out.to_client(op, Message::Accepted.into());
        }
        let masks = !self.setup.screens.watch(obligations).is_empty();
        let starts = matches!(message, Message::Shell | Message::Exec(_) | Message::Subsystem(_) | Message::Open(_));
        let is_sftp = matches!(&message, Message::Subsystem(name) if **name == *SFTP);
        let work = if is_sftp {
            let files = Files::new(Arc::clone(&self.setup.files), Arc::clone(&self.setup.screens));
            Some(Work::Files(Box::new(files)))
        } else {
            starts.then(|| self.spoken(speaks, obligations))
        };
        out.to_server(op, message.into());
        if let Some(work) = work {
            // Files are masked one by one, whatever holds for all of them.
            let masks = masks || matches!(work, Work::Files(_));
            let (started, said) = (Started::NotYet, Said::default());
            self.state = State::Running(Running { op, started, leads_on, masks, drained: false, said, work });
            self.say_asides(out);
        } else if let Some(size) = terminal {
            // The operation stays open: changes of its size belong to it.
            self.terminal = Some(Terminal { op, size });
        } else {
            out.done(op);
        }
    }

    /// What a command and its client say to each other.
    fn spoken(&self, speaks: Speaks, obligations: &Obligations) -> Work {
        match speaks {
            Speaks::Text => {
                let size = self.terminal.map(|terminal| terminal.size);
                if size.is_none() && self.setup.screens.watch(obligations).is_empty() {
                    return Work::Plain;
                }
                Work::Text(Box::new(self.setup.screens.over(obligations, size)))
            }
            Speaks::Opaque => Work::Opaque,
            Speaks::Scp { source, recursive } => {
                let source = if source { scp::Source::Server } else { scp::Source::Client };
                Work::Copy(Box::new(Scp::new(scp::Settings { source, recursive, name: None })))
            }
            Speaks::Git { fetches, repository } => {
                let service = if fetches { git::Service::UploadPack } else { git::Service::ReceivePack };
                Work::Git(Box::new(Repository::new(service, repository, Arc::clone(&self.setup.screens))))
            }
        }
    }

    fn denied(&mut self, asked: Asked, refusal: &Refusal, out: &mut Outbox<Frame>) {
        let op = asked.op;
        let starts =
            matches!(asked.message, Message::Shell | Message::Exec(_) | Message::Subsystem(_) | Message::Open(_));
        // What was accepted for the time of a hold cannot be refused any more, but for the whole channel.
        if starts || asked.answered {
            self.state = State::Asking(asked);
            self.leave(op, refusal, out);
        } else {
            if asked.message == Message::Agent {
                // Clients do not ask for an answer to this one, and would never know.
                out.to_client(op, refusal::lines([&refusal::line(refusal)]));
            }
            out.to_client(op, Message::Refused.into());
            out.done(op);
        }
    }
}
