//! What an allow comes to.

use std::sync::Arc;

use sluice_model::{Code, Obligations, Refusal};
use sluice_wire::Outbox;

use super::copies::{Files, Repository};
use super::work::Work;
use super::{Asked, ChannelMachine, Ending, Running, SFTP, Started, State, Terminal};
use crate::commands::Speaks;
use crate::files::git;
use crate::files::scp::{self, Scp};
use crate::frame::{Frame, Message};

impl ChannelMachine {
    /// Why an allow cannot be kept to: what is not looked into cannot be masked, and nothing here counts rows.
    pub(super) fn unenforceable(&self, asked: &Asked, obligations: &Obligations) -> Option<Refusal> {
        let masked = !self.setup.screens.watch(obligations).is_empty();
        if masked && !matches!(asked.speaks, Speaks::Text) {
            let refusal = Refusal::builtin(
                Code::Unsupported,
                "unmaskable",
                "values are masked here, and what this command sends cannot be looked into",
            );
            return Some(refusal.with_hint("Use sftp, or scp without -O."));
        }
        let limits = obligations.controls.limits_results();
        limits.then(|| Refusal::builtin(Code::Unsupported, "unlimitable", "a policy limits results, which SSH has not"))
    }

    pub(super) fn allowed(&mut self, asked: Asked, obligations: &Obligations, out: &mut Outbox<Frame>) {
        let Asked { op, message, terminal, speaks, answered } = asked;
        let leads_on = matches!(message, Message::Open(_));
        if !answered && !leads_on {
            out.to_client(op, Message::Accepted.into());
        }
        let work = if let Message::Subsystem(name) = &message
            && **name == *SFTP
        {
            let files = Files::new(Arc::clone(&self.setup.files), Arc::clone(&self.setup.screens));
            Some(Work::Files(Box::new(files)))
        } else if leads_on || matches!(message, Message::Subsystem(_)) {
            Some(Work::Opaque)
        } else {
            message.starts().then(|| self.spoken(speaks, obligations))
        };
        out.to_server(op, message.into());
        if let Some(work) = work {
            self.state =
                State::Running(Running { op, started: Started::NotYet, ending: Ending::NotYet, leads_on, work });
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
                Work::Text(Box::new(self.setup.screens.over(obligations, size)))
            }
            Speaks::Opaque => Work::Opaque,
            Speaks::Scp { source, recursive } => {
                let source = if source { scp::Source::Server } else { scp::Source::Client };
                Work::Copy(Box::new(Scp::new(scp::Settings { source, recursive, name: None })))
            }
            Speaks::Git { fetches, repository } => {
                let service = if fetches { git::Service::UploadPack } else { git::Service::ReceivePack };
                Work::Git(Box::new(Repository::new(service, repository)))
            }
        }
    }
}
