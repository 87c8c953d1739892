//! A request whose paths are not decided on yet.

use bytes::Bytes;
use sluice_model::UnixMicros;

use super::super::attrs::Attrs;
use super::super::path::Path;
use super::super::question::{AskId, Open, Question, Terms, Verb};
use super::super::reply::Code;
use super::super::request::{Extended, OpenFlags, Request};

/// One request from its packet to its forwarding.
#[derive(Debug)]
pub(super) struct Plan {
    /// The client's id.
    pub(super) id: u32,
    pub(super) request: Request,
    pub(super) spots: Vec<Spot>,
    /// What is known of the spots so far, in their order.
    pub(super) found: Vec<Found>,
    pub(super) state: State,
    pub(super) granted: Option<Granted>,
}

/// A path of a request.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) text: Bytes,
    pub(super) kind: SpotKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SpotKind {
    /// What the path leads to in the end, links followed.
    Followed,
    /// The entry itself, link or not.
    Itself,
    /// An entry that is made, moved or removed: it must have a name.
    Entry,
    /// The same, and what it is must be known.
    KnownEntry,
    /// What a link will point to: relative to the link, which is the spot before.
    LinkTarget,
    /// The server resolves it, and it need not exist.
    Resolved,
}

/// A spot that is known.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: Path,
    /// What is there; `None` if nothing is, or nobody looked.
    pub(super) attrs: Option<Attrs>,
}

/// What a plan waits for.
#[derive(Debug)]
pub(super) enum State {
    /// Requests under way that may change which place a path is.
    Settling,
    /// The directory of a name.
    Parent(String),
    /// The whole path.
    Whole,
    /// What is at a place.
    Looking(Path),
    /// Where a link leads.
    Following,
    /// What is at a place that is no link any more.
    Verifying(Path),
    /// What is at each directory above a place.
    Above {
        found: Found,
        owed: usize,
        wrong: Option<(Code, &'static str)>,
    },
    Asked {
        ask: AskId,
        since: UnixMicros,
    },
}

/// An allow that is checked once more, because it took its time.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) ask: AskId,
    pub(super) terms: Terms,
    pub(super) paths: Vec<Path>,
}

impl Plan {
    /// A plan for a request that names paths; `None` for any other.
    pub(super) fn new(id: u32, request: Request) -> Option<Self> {
        let spots = spots(&request)?;
        Some(Self { id, request, spots, found: Vec::new(), state: State::Settling, granted: None })
    }

    /// A plan for a request on a handle, whose place is known.
    pub(super) fn on_handle(id: u32, request: Request, path: Path) -> Self {
        let found = vec![Found { path, attrs: None }];
        Self { id, request, spots: Vec::new(), found, state: State::Settling, granted: None }
    }

    /// The places in the request's order.
    pub(super) fn paths(&self) -> Vec<Path> {
        self.found.iter().map(|found| found.path.clone()).collect()
    }

    /// What is asked once every spot is known; `None` where nothing has to be.
    pub(super) fn question(&self) -> Option<Question> {
        let [first, others @ ..] = &self.found[..] else { return None };
        let question = |verb| Question {
            verb,
            path: first.path.clone(),
            other: others.first().map(|found| found.path.clone()),
            open: None,
            attrs: Attrs::default(),
        };
        Some(match &self.request {
            Request::Open { flags, attrs, .. } => {
                let verb = if flags.has(OpenFlags::WRITE) { Verb::Write } else { Verb::Read };
                let open = Some(Open { flags: *flags, was: first.attrs.clone() });
                Question { open, attrs: attrs.clone(), ..question(verb) }
            }
            Request::Setstat { attrs, .. }
            | Request::Fsetstat { attrs, .. }
            | Request::Extended(Extended::Lsetstat { attrs, .. }) => {
                Question { attrs: attrs.clone(), ..question(Verb::Setstat) }
            }
            Request::Mkdir { attrs, .. } => Question { attrs: attrs.clone(), ..question(Verb::Mkdir) },
            Request::Opendir { .. } => question(Verb::List),
            Request::Lstat { .. }
            | Request::Stat { .. }
            | Request::Readlink { .. }
            | Request::Realpath { .. }
            | Request::Extended(Extended::Statvfs { .. }) => question(Verb::Stat),
            Request::Remove { .. } => question(Verb::Remove),
            Request::Rmdir { .. } => question(Verb::Rmdir),
            Request::Rename { .. } | Request::Extended(Extended::PosixRename { .. }) => question(Verb::Rename),
            Request::Symlink { .. } => question(Verb::Symlink),
            Request::Extended(Extended::Hardlink { .. }) => question(Verb::Link),
            Request::Init { .. }
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

    /// Whether it makes a link of either kind.
    pub(super) const fn makes_link(&self) -> bool {
        matches!(&self.request, Request::Symlink { .. } | Request::Extended(Extended::Hardlink { .. }))
    }

    /// Whether it moves something.
    pub(super) const fn moves(&self) -> bool {
        matches!(&self.request, Request::Rename { .. } | Request::Extended(Extended::PosixRename { .. }))
    }

    /// Whether it asks where the channel begins, which every client must know.
    pub(super) fn is_start(&self) -> bool {
        matches!(&self.request, Request::Realpath { path } if matches!(&path[..], b"" | b"."))
    }
}

fn spots(request: &Request) -> Option<Vec<Spot>> {
    let spot = |text: &Bytes, kind| Spot { text: text.clone(), kind };
    Some(match request {
        // An exclusive open follows no link: there must be nothing.
        Request::Open { path, flags, .. } if flags.has(OpenFlags::EXCLUSIVE) => vec![spot(path, SpotKind::KnownEntry)],
        Request::Open { path, .. }
        | Request::Setstat { path, .. }
        | Request::Opendir { path }
        | Request::Stat { path }
        | Request::Extended(Extended::Statvfs { path }) => vec![spot(path, SpotKind::Followed)],
        Request::Lstat { path } | Request::Readlink { path } | Request::Extended(Extended::Lsetstat { path, .. }) => {
            vec![spot(path, SpotKind::Itself)]
        }
        Request::Remove { path } | Request::Mkdir { path, .. } | Request::Rmdir { path } => {
            vec![spot(path, SpotKind::Entry)]
        }
        Request::Rename { from, to } | Request::Extended(Extended::PosixRename { from, to }) => {
            vec![spot(from, SpotKind::KnownEntry), spot(to, SpotKind::Entry)]
        }
        Request::Extended(Extended::Hardlink { from, to }) => {
            vec![spot(from, SpotKind::KnownEntry), spot(to, SpotKind::Entry)]
        }
        Request::Symlink { target, link } => vec![spot(link, SpotKind::Entry), spot(target, SpotKind::LinkTarget)],
        Request::Realpath { path } if path.is_empty() => {
            vec![Spot { text: Bytes::from_static(b"."), kind: SpotKind::Resolved }]
        }
        Request::Realpath { path } => vec![spot(path, SpotKind::Resolved)],
        Request::Init { .. }
        | Request::Close { .. }
        | Request::Read { .. }
        | Request::Write { .. }
        | Request::Fstat { .. }
        | Request::Fsetstat { .. }
        | Request::Readdir { .. }
        | Request::Extended(
            Extended::Fstatvfs { .. } | Extended::Fsync { .. } | Extended::Limits | Extended::Other { .. },
        ) => return None,
    })
}
