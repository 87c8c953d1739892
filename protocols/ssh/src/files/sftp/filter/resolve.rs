//! Finds out which place each path of a request is.

use bytes::Bytes;
use sluice_model::UnixMicros;
use sluice_wire::Violation;

use super::super::attrs::{Attrs, Kind};
use super::super::path::{Path, Spelling, spelling, spelling_of_entry};
use super::super::question::{AskId, Terms};
use super::super::reply::{Code, Entry, Reply};
use super::super::request::Request;
use super::plan::{Found, Granted, Plan, SpotKind, State};
use super::replies::Pending;
use super::{Sftp, Step, Under};

/// An allow that took longer than this is for places that are looked up again, in microseconds.
const FRESH: i64 = 1_000_000;

const UNDECIDABLE: &str = "this name cannot be decided on";

/// Why a request ends before it is asked about.
pub(super) struct Stop(pub(super) Code, pub(super) &'static str);

impl Sftp {
    /// Begins, or goes on once requests under way have settled which place each path is.
    pub(super) fn begin(&mut self, mut plan: Plan, now: UnixMicros) {
        if self.changing > 0 {
            plan.state = State::Settling;
            self.plan = Some(plan);
        } else {
            self.advance(plan, now);
        }
    }

    /// Goes on with a plan that waits for requests under way.
    pub(super) fn settle(&mut self, now: UnixMicros) {
        if self.changing == 0
            && let Some(plan) = self.plan.take_if(|plan| matches!(plan.state, State::Settling))
        {
            self.advance(plan, now);
        }
    }

    /// Takes an allow. One that people took their time over is for places that may have changed meanwhile.
    pub(super) fn granted(&mut self, mut plan: Plan, ask: AskId, terms: Terms, now: UnixMicros) {
        let mut since = now;
        if let State::Asked { since: asked, .. } = plan.state
            && !plan.spots.is_empty()
        {
            since = asked;
        }
        if now.0.saturating_sub(since.0) <= FRESH {
            return self.forward(&plan, ask, terms);
        }
        plan.granted = Some(Granted { ask, terms, paths: plan.paths() });
        plan.found.clear();
        self.begin(plan, now);
    }

    /// Takes the server's answer to what the filter itself asked.
    pub(super) fn resolved(&mut self, reply: Reply, now: UnixMicros) -> Result<(), Violation> {
        let Some(mut plan) = self.plan.take() else { return Ok(()) };
        let kind = plan.spots.get(plan.found.len()).map_or(SpotKind::Resolved, |spot| spot.kind);
        match (std::mem::replace(&mut plan.state, State::Settling), reply) {
            (State::Looking(path), Reply::Status { code: Code::NoSuchFile, .. })
            | (State::Verifying(path), Reply::Status { code: Code::NoSuchFile, .. }) => {
                self.found(plan, path, None, now);
            }
            (_, Reply::Status { code: Code::Ok | Code::Eof, .. }) => {
                return Err(Violation::server("an answer that does not fit"));
            }
            (_, Reply::Status { code, .. }) => self.stop(plan, &Stop(code, "the path cannot be resolved")),
            (State::Parent(name), Reply::Name(names)) => match place(&names).and_then(|parent| parent.join(&name)) {
                Some(path) if kind == SpotKind::Entry || kind == SpotKind::Itself || kind == SpotKind::LinkTarget => {
                    self.found(plan, path, None, now);
                }
                Some(path) => self.look(plan, path),
                None => self.stop(plan, &Stop(Code::PermissionDenied, UNDECIDABLE)),
            },
            (State::Whole, Reply::Name(names)) => match place(&names) {
                Some(path) if kind == SpotKind::Followed => self.verify(plan, path),
                Some(path) => self.found(plan, path, None, now),
                None => self.stop(plan, &Stop(Code::PermissionDenied, UNDECIDABLE)),
            },
            (State::Following, Reply::Name(names)) => match place(&names) {
                Some(path) => self.verify(plan, path),
                None => self.stop(plan, &Stop(Code::PermissionDenied, UNDECIDABLE)),
            },
            (State::Looking(path), Reply::Attrs(attrs)) => match attrs.kind() {
                Some(Kind::Link) if kind == SpotKind::Followed => {
                    let request = Request::Realpath { path: path.bytes() };
                    self.inquire(plan, State::Following, &request);
                }
                Some(_) => self.found(plan, path, Some(attrs), now),
                None => self.stop(plan, &Stop(Code::PermissionDenied, "the server does not say what this is")),
            },
            (State::Verifying(path), Reply::Attrs(attrs)) => match attrs.kind() {
                Some(Kind::File | Kind::Directory | Kind::Special) => self.found(plan, path, Some(attrs), now),
                Some(Kind::Link) => self.stop(plan, &Stop(Code::PermissionDenied, "the link is not resolved")),
                None => self.stop(plan, &Stop(Code::PermissionDenied, "the server does not say what this is")),
            },
            (_, _) => return Err(Violation::server("an answer that does not fit")),
        }
        Ok(())
    }

    /// Asks about the next spot, or decides once all are known.
    pub(super) fn advance(&mut self, plan: Plan, now: UnixMicros) {
        let Some(spot) = plan.spots.get(plan.found.len()) else { return self.decide(plan, now) };
        let spelt = match spot.kind {
            SpotKind::Followed | SpotKind::Itself => spelling(&spot.text),
            SpotKind::Entry | SpotKind::KnownEntry => spelling_of_entry(&spot.text),
            SpotKind::LinkTarget => spelling(&beside(&spot.text, plan.found.last())),
            SpotKind::Resolved => spelling(&spot.text).and(whole(&spot.text)),
        };
        match spelt {
            Some(Spelling::Name { parent, name }) => {
                self.inquire(plan, State::Parent(name), &Request::Realpath { path: parent.into_bytes().into() });
            }
            Some(Spelling::Whole(path)) => {
                self.inquire(plan, State::Whole, &Request::Realpath { path: path.into_bytes().into() });
            }
            None => self.stop(plan, &Stop(Code::PermissionDenied, UNDECIDABLE)),
        }
    }

    fn look(&mut self, plan: Plan, path: Path) {
        let request = Request::Lstat { path: path.bytes() };
        self.inquire(plan, State::Looking(path), &request);
    }

    fn verify(&mut self, plan: Plan, path: Path) {
        let request = Request::Lstat { path: path.bytes() };
        self.inquire(plan, State::Verifying(path), &request);
    }

    fn inquire(&mut self, mut plan: Plan, state: State, request: &Request) {
        plan.state = state;
        self.plan = Some(plan);
        let id = self.next_id();
        self.pending.insert(id, Pending::Plan);
        self.steps.push_back(Step::ToServer(Under::Channel, request.encode(id)));
    }

    pub(super) fn stop(&mut self, plan: Plan, stop: &Stop) {
        self.answer_status(plan.id, stop.0, stop.1);
        if let Some(granted) = plan.granted {
            self.steps.push_back(Step::Done(granted.ask));
        }
    }

    pub(super) fn decide(&mut self, mut plan: Plan, now: UnixMicros) {
        if let Some(granted) = plan.granted.take() {
            if granted.paths == plan.paths() {
                return self.forward(&plan, granted.ask, granted.terms);
            }
            plan.granted = Some(granted);
            return self
                .stop(plan, &Stop(Code::PermissionDenied, "the path leads elsewhere than when it was asked about"));
        }
        if let Some(stop) = self.forbids(&plan) {
            return self.stop(plan, &stop);
        }
        if plan.is_start() {
            return self.answer_place(&plan);
        }
        let Some(question) = plan.question() else {
            return self.stop(plan, &Stop(Code::Unsupported, "this cannot be asked about"));
        };
        let ask = self.next_ask();
        plan.state = State::Asked { ask, since: now };
        self.plan = Some(plan);
        self.steps.push_back(Step::Ask(ask, Box::new(question)));
    }

    /// Answers which place a path is, from what the server has said.
    pub(super) fn answer_place(&mut self, plan: &Plan) {
        let path = plan.found.first().map_or_else(Bytes::new, |found| found.path.bytes());
        let entry = Entry { name: path.clone(), long: path, attrs: Attrs::default() };
        self.answer(plan.id, &Reply::Name(vec![entry]));
    }

    /// What no policy can permit in governed places.
    fn forbids(&self, plan: &Plan) -> Option<Stop> {
        let refusal = |what| Some(Stop(Code::PermissionDenied, what));
        let governed = &self.settings.governed;
        let inside = |found: &Found| governed.iter().any(|place| found.path.is_within(place));
        let link = |found: &Found| found.attrs.as_ref().and_then(Attrs::kind) == Some(Kind::Link);
        let holds = |found: &Found| governed.iter().any(|place| place.is_within(&found.path));
        if plan.makes_link() {
            // Systems differ on whether another name of a link is one of what it leads to.
            return match plan.found.iter().any(inside) || plan.found.first().is_some_and(link) {
                true => refusal("links are not made here"),
                false => None,
            };
        }
        if !plan.moves() {
            return None;
        }
        if plan.found.iter().any(holds) {
            return refusal("this directory is not moved");
        }
        let moves_link = plan.found.first().is_some_and(link) && plan.found.last().is_some_and(inside);
        if moves_link { refusal("links are not moved here") } else { None }
    }
}

/// The one place that a server names.
fn place(names: &[Entry]) -> Option<Path> {
    match names {
        [entry] => Path::canonical(&entry.name),
        _ => None,
    }
}

/// All of a path, to be resolved by the server.
fn whole(text: &[u8]) -> Option<Spelling> {
    str::from_utf8(text).ok().map(|text| Spelling::Whole(text.to_owned()))
}

/// A link's target, which is relative to the link.
fn beside(target: &Bytes, link: Option<&Found>) -> Bytes {
    match link {
        Some(link) if !target.starts_with(b"/") && !target.is_empty() => {
            [link.path.parent().as_bytes(), b"/", target].concat().into()
        }
        Some(_) | None => target.clone(),
    }
}
