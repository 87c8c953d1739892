//! Looks at the directories above a place, before a server that may not have followed links.

use sluice_model::UnixMicros;
use sluice_wire::Violation;

use super::super::attrs::{Attrs, Kind};
use super::super::path::Path;
use super::super::reply::{Code, Reply};
use super::super::request::Request;
use super::plan::{Found, Plan, State};
use super::replies::Pending;
use super::resolve::Stop;
use super::{Links, Sftp, Step, Under};

/// The most directories above a place.
const MAX_DEPTH: usize = 128;

impl Sftp {
    /// Takes a spot as known once nothing above it can be a link.
    pub(super) fn found(&mut self, mut plan: Plan, path: Path, attrs: Option<Attrs>, now: UnixMicros) {
        let above = match self.settings.links {
            Links::Followed => Vec::new(),
            Links::Unsure => path.above(),
        };
        if above.len() > MAX_DEPTH {
            return self.stop(plan, &Stop(Code::PermissionDenied, "the path is too deep"));
        }
        let found = Found { path, attrs };
        if above.is_empty() {
            plan.found.push(found);
            return self.advance(plan, now);
        }
        plan.state = State::Above { found, owed: above.len(), wrong: None };
        self.plan = Some(plan);
        for directory in above {
            let id = self.next_id();
            self.pending.insert(id, Pending::Above);
            let request = Request::Lstat { path: directory.bytes() };
            self.steps.push_back(Step::ToServer(Under::Channel, request.encode(id)));
        }
    }

    /// Takes what the server says of one directory.
    pub(super) fn looked_above(&mut self, reply: &Reply, now: UnixMicros) -> Result<(), Violation> {
        let Some(mut plan) = self.plan.take() else { return Ok(()) };
        let State::Above { found, owed, wrong } = &mut plan.state else {
            return Err(Violation::server("an answer that does not fit"));
        };
        *owed = owed.saturating_sub(1);
        let refusal = match reply {
            Reply::Attrs(attrs) if attrs.kind() == Some(Kind::Directory) => None,
            Reply::Status { code: Code::NoSuchFile, .. } => Some((Code::NoSuchFile, "no such directory")),
            Reply::Version { .. }
            | Reply::Status { .. }
            | Reply::Handle(_)
            | Reply::Data(_)
            | Reply::Name(_)
            | Reply::Attrs(_)
            | Reply::Extended(_) => Some((Code::PermissionDenied, "the path leads through what is no directory")),
        };
        *wrong = wrong.or(refusal);
        if *owed > 0 {
            self.plan = Some(plan);
            return Ok(());
        }
        match *wrong {
            Some((code, message)) => self.stop(plan, &Stop(code, message)),
            None => {
                let found = found.clone();
                plan.found.push(found);
                self.advance(plan, now);
            }
        }
        Ok(())
    }
}
