//! Files and repositories: filters whose questions are operations of the flow.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{Obligations, OpId, Refusal, Ruling};
use sluice_wire::{Kept, Violation};

use crate::files::git::{self, Git};
use crate::files::mask::Stars;
use crate::files::sftp::{self, AskId, Sftp, Terms, Under};
use crate::frame::{Draft, Frame};
use crate::machine::notes;
use crate::machine::work::Tools;
use crate::refusal;
use crate::screen::Screens;

/// An SFTP channel.
pub(super) struct Files {
    sftp: Sftp,
    screens: Arc<Screens>,
    ops: BTreeMap<AskId, OpId>,
    asked: Option<(OpId, AskId)>,
}

impl Files {
    pub(super) fn new(settings: Arc<sftp::Settings>, screens: Arc<Screens>) -> Self {
        Self { sftp: Sftp::new(settings), screens, ops: BTreeMap::new(), asked: None }
    }

    pub(super) fn client(&mut self, bytes: Bytes, tools: &mut Tools<'_>) -> Result<(), Violation> {
        self.sftp.client(bytes, tools.now)?;
        self.step(tools);
        Ok(())
    }

    pub(super) fn server(&mut self, bytes: Bytes, tools: &mut Tools<'_>) -> Result<(), Violation> {
        self.sftp.server(bytes, tools.now)?;
        self.step(tools);
        Ok(())
    }

    pub(super) fn ruled(&mut self, op: OpId, ruling: Ruling, tools: &mut Tools<'_>) -> Result<(), Violation> {
        let Some((_, ask)) = self.asked.take_if(|(asked, _)| *asked == op) else { return Ok(()) };
        let ruled = match kept(ruling) {
            Err(refusal) => {
                self.ops.remove(&ask);
                tools.out.done(op);
                sftp::Ruled::Deny(refusal::line(&refusal))
            }
            Ok(obligations) => {
                let watch = self.screens.watch(&obligations);
                let cover = (!watch.is_empty()).then(|| {
                    let stars = Stars::new(Arc::clone(self.screens.detectors()), watch);
                    Arc::new(stars) as Arc<dyn crate::files::mask::Cover>
                });
                sftp::Ruled::Allow(Terms { cover, inspect: None })
            }
        };
        self.sftp.ruled(ask, ruled, tools.now)?;
        self.step(tools);
        Ok(())
    }

    pub(super) fn end(&mut self, tools: &mut Tools<'_>) {
        self.sftp.end(tools.now);
        self.step(tools);
    }

    pub(super) fn wants_client(&self) -> bool {
        self.asked.is_none() && self.sftp.wants_client()
    }

    /// How many bytes of files the host's next words let be looked into.
    pub(super) fn looks_at(&self) -> usize {
        self.sftp.due()
    }

    fn step(&mut self, tools: &mut Tools<'_>) {
        let mut run = Run::default();
        while let Some(step) = self.sftp.step() {
            match step {
                sftp::Step::Ask(ask, question) => {
                    let op = tools.next();
                    self.ops.insert(ask, op);
                    self.asked = Some((op, ask));
                    run.end(tools);
                    tools.out.ask(op, tools.scene.touches(&question));
                }
                sftp::Step::Withdraw(ask) => {
                    run.end(tools);
                    if let Some(op) = self.ops.remove(&ask) {
                        tools.out.withdraw(op);
                    }
                }
                sftp::Step::ToServer(Under::Channel, packet) => run.add(To::Server(tools.op), &packet, tools),
                sftp::Step::ToServer(Under::Ask(ask), packet) => {
                    // INVARIANT: the filter sends under questions that were allowed; the kernel checks it once more.
                    let op = self.ops.get(&ask).copied().unwrap_or(OpId(u64::MAX));
                    run.add(To::Server(op), &packet, tools);
                }
                sftp::Step::ToClient(bytes) => {
                    if run.draft.is_none() {
                        run.expected = self.sftp.client_bytes().saturating_add(bytes.len());
                    }
                    run.add(To::Client, &bytes, tools);
                }
                sftp::Step::File(_, event) => {
                    run.end(tools);
                    if !event.covered.is_empty() {
                        // A file that is not what the host has must not pass for it.
                        tools.tell_client(refusal::lines([&notes::covered(&event)]));
                    }
                    tools.out.note("file", notes::file(&event));
                }
                sftp::Step::Done(ask) => {
                    run.end(tools);
                    if let Some(op) = self.ops.remove(&ask) {
                        tools.out.done(op);
                    }
                }
            }
        }
        run.end(tools);
    }
}

/// The most bytes of packets that share a frame: a multiple of what a packet of SSH takes, so that few of those are small.
const RUN: usize = 128 << 10;

/// Packets that follow each other to the same side and under the same operation.
#[derive(Default)]
struct Run {
    draft: Option<(To, Draft)>,
    /// How many bytes more are known to come.
    expected: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum To {
    Client,
    Server(OpId),
}

impl Run {
    fn add(&mut self, to: To, mut bytes: &[u8], tools: &mut Tools<'_>) {
        if self.draft.as_ref().is_some_and(|(other, _)| *other != to) {
            self.end(tools);
        }
        while !bytes.is_empty() {
            let expected = self.expected.max(bytes.len()).min(RUN);
            let (_, draft) = self.draft.get_or_insert_with(|| (to, Draft::with_room(expected)));
            let room = RUN.saturating_sub(draft.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            draft.bytes().extend_from_slice(now);
            self.expected = self.expected.saturating_sub(now.len());
            bytes = later;
            if draft.len() >= RUN {
                self.end(tools);
            }
        }
    }

    fn end(&mut self, tools: &mut Tools<'_>) {
        let Some((to, draft)) = self.draft.take() else { return };
        let frame = Frame::drafted(draft).kept_as(Kept::Bulk);
        match to {
            To::Client => tools.tell_client(frame),
            To::Server(op) => tools.out.to_server(op, frame),
        }
    }
}

/// What an answer allows, unless it cannot be kept to.
fn kept(ruling: Ruling) -> Result<Arc<Obligations>, Arc<Refusal>> {
    match ruling {
        Ruling::Allow(obligations) => refusal::unlimitable(&obligations).map_or(Ok(obligations), |why| Err(why.into())),
        Ruling::Deny(refusal) => Err(refusal),
    }
}

/// A repository that a client of git speaks to.
pub(super) struct Repository {
    git: Git,
    screens: Arc<Screens>,
    path: Box<str>,
    ops: BTreeMap<AskId, OpId>,
    asked: Option<(OpId, AskId)>,
}

impl Repository {
    pub(super) fn new(service: git::Service, path: Box<str>, screens: Arc<Screens>) -> Self {
        Self { git: Git::new(service), screens, path, ops: BTreeMap::new(), asked: None }
    }

    pub(super) fn client(&mut self, bytes: &[u8], tools: &mut Tools<'_>) -> Result<(), Violation> {
        self.git.client(bytes)?;
        self.step(tools);
        Ok(())
    }

    pub(super) fn server(&mut self, bytes: Bytes, tools: &mut Tools<'_>) {
        self.git.server(bytes);
        self.step(tools);
    }

    pub(super) fn ruled(&mut self, op: OpId, ruling: Ruling, tools: &mut Tools<'_>) -> Result<(), Violation> {
        let Some((_, ask)) = self.asked.take_if(|(asked, _)| *asked == op) else { return Ok(()) };
        let ruled = match kept(ruling) {
            // Objects are packed: no value can be seen in them.
            Ok(obligations) if !self.screens.watch(&obligations).is_empty() => {
                git::Ruled::Deny(refusal::line(&refusal::unmaskable()))
            }
            Ok(_) => git::Ruled::Allow,
            Err(refusal) => git::Ruled::Deny(refusal::line(&refusal)),
        };
        self.git.ruled(ask, ruled)?;
        self.step(tools);
        Ok(())
    }

    pub(super) fn end(&mut self, tools: &mut Tools<'_>) {
        self.git.end();
        self.step(tools);
        self.no_more(tools);
    }

    /// Nothing more follows under what was asked so far.
    fn no_more(&mut self, tools: &mut Tools<'_>) {
        std::mem::take(&mut self.ops).into_values().for_each(|op| tools.out.done(op));
    }

    pub(super) const fn wants_client(&self) -> bool {
        self.asked.is_none() && self.git.wants_client()
    }

    fn step(&mut self, tools: &mut Tools<'_>) {
        while let Some(step) = self.git.step() {
            match step {
                git::Step::Ask(ask, question) => {
                    self.no_more(tools);
                    let op = tools.next();
                    self.ops.insert(ask, op);
                    self.asked = Some((op, ask));
                    tools.out.ask(op, tools.scene.wants_of(&self.path, &question));
                }
                git::Step::Withdraw(ask) => {
                    if let Some(op) = self.ops.remove(&ask) {
                        tools.out.withdraw(op);
                    }
                }
                git::Step::ToServer(Under::Channel, bytes) => tools.tell_server(Frame::packet(&bytes)),
                git::Step::ToServer(Under::Ask(ask), bytes) => {
                    // INVARIANT: the filter sends under questions that were allowed; the kernel checks it once more.
                    let op = self.ops.get(&ask).copied().unwrap_or(OpId(u64::MAX));
                    tools.out.to_server(op, Frame::packet(&bytes));
                }
                git::Step::ToClient(bytes) => tools.tell_client(Frame::packet(&bytes)),
                git::Step::Refused(words) => tools.refused = Some(words),
                git::Step::Ended(traffic) => tools.out.note("git", notes::git(&traffic)),
            }
        }
    }
}
