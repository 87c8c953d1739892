//! What runs in a channel, and what it and its client say to each other.

use sluice_model::{OpId, Ruling, UnixMicros};
use sluice_wire::{Kept, Outbox, Violation};

use crate::files::scp::{self, Scp};
use crate::frame::{Frame, Payload, Size};
use crate::machine::copies::{Files, Repository};
use crate::machine::notes;
use crate::operation::Scene;
use crate::screen;
use crate::target::Typed;

/// What runs in a channel.
pub(super) enum Work {
    /// Text, which is looked into.
    Text(Box<screen::Pair>),
    /// Text of which nothing is masked: it passes as it came, without being copied.
    Plain,
    /// Something that is not looked into: a forward, a subsystem, rsync.
    Opaque,
    Files(Box<Files>),
    Copy(Box<Scp>),
    Git(Box<Repository>),
}

/// What work is done with.
pub(super) struct Tools<'a> {
    /// What the work was allowed as.
    pub(super) op: OpId,
    /// The last id that was given out.
    pub(super) last: &'a mut OpId,
    pub(super) scene: &'a Scene,
    /// Whether what is typed is recorded.
    pub(super) typed: Typed,
    pub(super) now: UnixMicros,
    /// Why the channel must end, in the words for its client.
    pub(super) refused: Option<String>,
    pub(super) out: &'a mut Outbox<Frame>,
}

impl Tools<'_> {
    pub(super) fn tell_client(&mut self, frame: impl Into<Frame>) {
        self.out.to_client(self.op, frame.into());
    }

    pub(super) fn tell_server(&mut self, frame: impl Into<Frame>) {
        self.out.to_server(self.op, frame.into());
    }

    pub(super) fn next(&mut self) -> OpId {
        *self.last = self.last.next();
        *self.last
    }
}

impl Work {
    /// Bytes of the client.
    pub(super) fn client(&mut self, payload: Payload, tools: &mut Tools<'_>) -> Result<(), Violation> {
        match self {
            Self::Text(_) | Self::Plain => match tools.typed {
                Typed::Counted => tools.tell_server(Frame::Data(payload).kept_as(Kept::Counted)),
                Typed::Recorded => tools.tell_server(Frame::Data(payload)),
            },
            Self::Opaque => tools.tell_server(Frame::Data(payload).kept_as(Kept::Bulk)),
            Self::Files(files) => files.client(payload.into_bytes(), tools)?,
            Self::Copy(scp) => {
                scp.client(&payload.into_bytes(), tools.now)?;
                copied(scp, tools);
            }
            Self::Git(git) => git.client(&payload.into_bytes(), tools)?,
        }
        Ok(())
    }

    /// Bytes of the host's main stream.
    pub(super) fn stdout(&mut self, payload: Payload, tools: &mut Tools<'_>) -> Result<(), Violation> {
        match self {
            Self::Text(screen) => {
                screen.stdout(&payload.into_bytes()).into_iter().for_each(|frame| tools.tell_client(frame));
            }
            Self::Plain => tools.tell_client(Frame::Data(payload)),
            Self::Opaque => tools.tell_client(Frame::Data(payload).kept_as(Kept::Bulk)),
            Self::Files(files) => files.server(payload.into_bytes(), tools)?,
            Self::Copy(scp) => {
                scp.server(&payload.into_bytes(), tools.now)?;
                copied(scp, tools);
            }
            Self::Git(git) => git.server(payload.into_bytes(), tools),
        }
        Ok(())
    }

    /// Bytes of the host's error stream.
    pub(super) fn stderr(&mut self, payload: Payload, tools: &mut Tools<'_>) {
        match self {
            Self::Text(screen) => {
                screen.stderr(&payload.into_bytes()).into_iter().for_each(|frame| tools.tell_client(frame));
            }
            Self::Plain | Self::Opaque | Self::Files(_) | Self::Copy(_) | Self::Git(_) => {
                tools.tell_client(Frame::Stderr(payload));
            }
        }
    }

    /// The host has said nothing for a moment.
    pub(super) fn quiet(&mut self, tools: &mut Tools<'_>) {
        if let Self::Text(screen) = self {
            screen.quiet().for_each(|frame| tools.tell_client(frame));
        }
    }

    /// The host says no more.
    pub(super) fn finish(&mut self, tools: &mut Tools<'_>) {
        if let Self::Text(screen) = self {
            screen.finish().for_each(|frame| tools.tell_client(frame));
        }
    }

    /// The channel is over: what is known of it is written down.
    pub(super) fn end(&mut self, tools: &mut Tools<'_>) {
        match self {
            Self::Text(screen) => {
                let covered = screen.covered();
                if !covered.is_empty() {
                    tools.out.note("covered", covered);
                }
            }
            Self::Plain | Self::Opaque => {}
            Self::Files(files) => files.end(tools),
            Self::Copy(scp) => {
                scp.end(tools.now);
                copied(scp, tools);
            }
            Self::Git(git) => git.end(tools),
        }
    }

    /// The answer to a question that the work asked.
    pub(super) fn ruled(&mut self, op: OpId, ruling: Ruling, tools: &mut Tools<'_>) -> Result<(), Violation> {
        match self {
            Self::Files(files) => files.ruled(op, ruling, tools),
            Self::Git(git) => git.ruled(op, ruling, tools),
            Self::Text(_) | Self::Plain | Self::Opaque | Self::Copy(_) => Ok(()),
        }
    }

    pub(super) fn resize(&mut self, size: Size) {
        if let Self::Text(screen) = self {
            screen.resize(size);
        }
    }

    /// How many bytes are looked into once the host has said this, about.
    pub(super) fn looks_at(&self, frame: &Frame) -> usize {
        match (self, frame) {
            (Self::Text(_), Frame::Data(payload) | Frame::Stderr(payload)) => payload.bytes().len(),
            (Self::Files(files), Frame::Data(_)) => files.looks_at(),
            _ => 0,
        }
    }

    /// Whether bytes of the client are taken at the moment.
    pub(super) fn wants_client(&self) -> bool {
        match self {
            Self::Files(files) => files.wants_client(),
            Self::Git(git) => git.wants_client(),
            Self::Text(_) | Self::Plain | Self::Opaque | Self::Copy(_) => true,
        }
    }
}

/// Does what a copy by the old protocol asks for. What it names lies within what its command was allowed.
fn copied(scp: &mut Scp, tools: &mut Tools<'_>) {
    while let Some(step) = scp.step() {
        match step {
            scp::Step::ToServer(bytes) => tools.tell_server(Frame::packet(&bytes)),
            scp::Step::ToClient(bytes) => tools.tell_client(Frame::packet(&bytes)),
            scp::Step::Named(_) => {}
            scp::Step::File(event) => tools.out.note("file", notes::file(&event)),
        }
    }
}
