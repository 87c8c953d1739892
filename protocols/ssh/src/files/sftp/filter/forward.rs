//! Forwards what was allowed, with the places that were decided on.

use bytes::Bytes;

use super::super::question::{AskId, Terms};
use super::super::reply::Code;
use super::super::request::{Extended, OpenFlags, Request};
use super::files::{How, Opening};
use super::plan::{Found, Plan};
use super::replies::{Owed, What};
use super::{Sftp, Step, Under};

/// The farthest that a cover may reach, in bytes.
const MAX_REACH: usize = 128 << 10;

impl Sftp {
    pub(super) fn forward(&mut self, plan: &Plan, ask: AskId, terms: Terms) {
        if matches!(plan.request, Request::Realpath { .. }) {
            self.answer_place(plan);
            return self.steps.push_back(Step::Done(ask));
        }
        if terms.cover.as_ref().is_some_and(|cover| cover.reach() > MAX_REACH) {
            self.answer_status(plan.id, Code::PermissionDenied, "values of this file cannot be covered");
            return self.steps.push_back(Step::Done(ask));
        }
        // Whoever changes a byte of a value could read the others: no detector knows it any more.
        let both = OpenFlags::READ.with(OpenFlags::WRITE);
        if terms.cover.is_some() && matches!(plan.request, Request::Open { flags, .. } if flags.has(both)) {
            self.answer_status(
                plan.id,
                Code::PermissionDenied,
                "values of this file are covered: open it for reading only",
            );
            return self.steps.push_back(Step::Done(ask));
        }
        let Some((request, what)) = translate(plan, ask, terms) else {
            self.answer_status(plan.id, Code::Unsupported, "this request is not offered");
            return self.steps.push_back(Step::Done(ask));
        };
        let mut file = None;
        if let Request::Fsetstat { handle, attrs } = &request {
            file = self.files.number(handle);
            if let Some((file, room)) = file.and_then(|file| self.files.with_room(file)) {
                file.owed = file.owed.saturating_add(1);
                attrs.size.into_iter().for_each(|length| file.cut_to(length, room));
            }
        }
        if matches!(what, What::Open(_)) {
            self.files.opening = self.files.opening.saturating_add(1);
        }
        let wire = self.next_id();
        let packet = request.encode(wire);
        self.send(wire, packet, Owed { id: plan.id, under: Under::Ask(ask), done: Some(ask), file, what });
    }
}

/// The request with the server's own paths in it, and what its answer must be; `None` for what names no path.
fn translate(plan: &Plan, ask: AskId, terms: Terms) -> Option<(Request, What)> {
    let [first, others @ ..] = &plan.found[..] else { return None };
    let path = first.path.bytes();
    let other = others.first().map_or_else(Bytes::new, |found| found.path.bytes());
    let opening = |how| What::Open(Box::new(opening(first, ask, how, terms)));
    Some(match &plan.request {
        Request::Open { flags, attrs, .. } => {
            let how = if is_empty(*flags, first) { How::Empty(*flags) } else { How::File(*flags) };
            (Request::Open { path, flags: *flags, attrs: attrs.clone() }, opening(how))
        }
        Request::Opendir { .. } => (Request::Opendir { path }, opening(How::Directory)),
        Request::Lstat { .. } => (Request::Lstat { path }, What::Attrs),
        Request::Stat { .. } => (Request::Stat { path }, What::Attrs),
        Request::Readlink { .. } => (Request::Readlink { path }, What::Link),
        Request::Setstat { attrs, .. } => (Request::Setstat { path, attrs: attrs.clone() }, What::Status),
        Request::Fsetstat { handle, attrs } => {
            (Request::Fsetstat { handle: handle.clone(), attrs: attrs.clone() }, What::Status)
        }
        Request::Extended(Extended::Lsetstat { attrs, .. }) => {
            (Request::Extended(Extended::Lsetstat { path, attrs: attrs.clone() }), What::Status)
        }
        Request::Extended(Extended::Statvfs { .. }) => (Request::Extended(Extended::Statvfs { path }), What::Space),
        Request::Remove { .. } => (Request::Remove { path }, What::Change),
        Request::Rmdir { .. } => (Request::Rmdir { path }, What::Change),
        Request::Mkdir { attrs, .. } => (Request::Mkdir { path, attrs: attrs.clone() }, What::Change),
        Request::Rename { .. } => (Request::Rename { from: path, to: other }, What::Change),
        Request::Extended(Extended::PosixRename { .. }) => {
            (Request::Extended(Extended::PosixRename { from: path, to: other }), What::Change)
        }
        Request::Extended(Extended::Hardlink { .. }) => {
            (Request::Extended(Extended::Hardlink { from: path, to: other }), What::Change)
        }
        // The link was resolved first, because what it points to is relative to it.
        Request::Symlink { .. } => (Request::Symlink { target: other, link: path }, What::Change),
        Request::Init { .. }
        | Request::Realpath { .. }
        | Request::Close { .. }
        | Request::Read { .. }
        | Request::Write { .. }
        | Request::Fstat { .. }
        | Request::Readdir { .. }
        | Request::Extended(
            Extended::Fstatvfs { .. } | Extended::Fsync { .. } | Extended::Limits | Extended::Other { .. },
        ) => return None,
    })
}

fn opening(found: &Found, ask: AskId, how: How, terms: Terms) -> Opening {
    Opening { ask, path: found.path.clone(), how, terms, length: found.attrs.as_ref().and_then(|attrs| attrs.size) }
}

/// Whether all that the file will hold is yet to be written.
fn is_empty(flags: OpenFlags, found: &Found) -> bool {
    let fresh = flags.has(OpenFlags::TRUNCATE) || flags.has(OpenFlags::EXCLUSIVE);
    let nothing = found.attrs.as_ref().is_none_or(|attrs| attrs.size == Some(0));
    flags.has(OpenFlags::WRITE) && (fresh || nothing)
}
