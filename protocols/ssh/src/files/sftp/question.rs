//! What is asked before a request is forwarded, and what is answered.

use std::fmt;
use std::sync::Arc;

use super::attrs::Attrs;
use super::path::Path;
use super::request::OpenFlags;
use crate::files::mask::Cover;

/// One question of one channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AskId(pub u64);

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    Read,
    Write,
    List,
    Stat,
    Remove,
    Rename,
    Mkdir,
    Rmdir,
    Setstat,
    Symlink,
    Link,
}

impl Verb {
    /// The verb as policies spell it, without its protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Stat => "stat",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Mkdir => "mkdir",
            Self::Rmdir => "rmdir",
            Self::Setstat => "setstat",
            Self::Symlink => "symlink",
            Self::Link => "link",
        }
    }
}

/// One effect on one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    pub verb: Verb,
    pub path: Path,
}

/// May this request happen? Its paths are the server's own, with every link followed that the request follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    pub verb: Verb,
    pub path: Path,
    /// Where something is moved to; what a link will point to.
    pub other: Option<Path>,
    pub open: Option<Open>,
    /// What is set: of a new file, a new directory, or by itself.
    pub attrs: Attrs,
}

/// How a file is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    pub flags: OpenFlags,
    /// What was there a moment before; `None` if nothing was.
    pub was: Option<Attrs>,
}

impl Question {
    /// Each effect by itself: opening a file for both is a read and a write, and a move has two places.
    #[must_use]
    pub fn accesses(&self) -> Vec<Access> {
        let mut accesses = Vec::with_capacity(2);
        let mut access = |verb, path: &Path| accesses.push(Access { verb, path: path.clone() });
        match &self.open {
            Some(open) => {
                if open.flags.has(OpenFlags::READ) {
                    access(Verb::Read, &self.path);
                }
                if open.flags.has(OpenFlags::WRITE) {
                    access(Verb::Write, &self.path);
                }
            }
            None => access(self.verb, &self.path),
        }
        if let Some(other) = &self.other {
            access(self.verb, other);
        }
        accesses
    }
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub enum Ruled {
    Allow(Terms),
    /// With the words for the client.
    Deny(String),
}

/// What an allow asks for.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What is read passes through it.
    pub cover: Option<Arc<dyn Cover>>,
    /// What is written is shown to it first.
    pub inspect: Option<Arc<dyn Inspect>>,
}

/// Judges what is about to be written.
///
/// A file is shown to it from its first byte on and in order; anything else is refused, so that no value passes in halves.
pub trait Inspect: fmt::Debug + Send + Sync {
    /// How many bytes before a piece decide on it.
    fn reach(&self) -> usize;

    /// Judges a piece, with the bytes before it up to the reach; the error is in words for the client.
    fn inspect(&self, before: &[u8], piece: &[u8]) -> Result<(), String>;
}
