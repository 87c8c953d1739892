//! A client's side of a channel, and a small server with files, directories and links.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_model::UnixMicros;
use sluice_wire::Side;

use crate::files::event::FileEvent;
use crate::files::sftp::{
    AskId, Attrs, Code, Entry, Extended, Links, OpenFlags, Path, Question, Reply, Request, Ruled, Settings, Sftp, Step,
    Terms, Under, packet,
};

pub(super) type Policy = Box<dyn FnMut(&Question) -> Option<Ruled>>;

/// A filter, what came out of it, and who answers its questions.
pub(super) struct Bench {
    pub(super) sftp: Sftp,
    pub(super) policy: Policy,
    pub(super) now: UnixMicros,
    pub(super) to_server: VecDeque<(Under, Bytes)>,
    pub(super) replies: BTreeMap<u32, Vec<Reply>>,
    pub(super) asked: Vec<(AskId, Question)>,
    pub(super) events: Vec<FileEvent>,
    pub(super) done: Vec<AskId>,
    pub(super) withdrawn: Vec<AskId>,
    /// Questions that were allowed and are not over.
    pub(super) allowed: Vec<AskId>,
    version: Option<Reply>,
    /// What has come of the next answer.
    shown: BytesMut,
    /// Packets for the client as they are, if a real one takes them.
    pub(super) raw: Option<Vec<u8>>,
}

impl Bench {
    pub(super) fn new(governed: &[&str], policy: impl FnMut(&Question) -> Option<Ruled> + 'static) -> Self {
        let governed = governed.iter().map(|path| Path::canonical(path.as_bytes()).unwrap()).collect();
        Self {
            sftp: Sftp::new(Arc::new(Settings { governed, links: Links::Followed })),
            policy: Box::new(policy),
            now: UnixMicros(1_000_000),
            to_server: VecDeque::new(),
            replies: BTreeMap::new(),
            asked: Vec::new(),
            events: Vec::new(),
            done: Vec::new(),
            withdrawn: Vec::new(),
            allowed: Vec::new(),
            version: None,
            shown: BytesMut::new(),
            raw: None,
        }
    }

    /// Before a server of which nobody knows whether it follows links.
    pub(super) fn unsure(policy: impl FnMut(&Question) -> Option<Ruled> + 'static) -> Self {
        let settings = Settings { governed: Vec::new(), links: Links::Unsure };
        Self { sftp: Sftp::new(Arc::new(settings)), ..Self::new(&[], policy) }
    }

    pub(super) fn client(&mut self, bytes: Bytes) {
        self.sftp.client(bytes, self.now).unwrap();
        self.steps();
    }

    pub(super) fn server(&mut self, bytes: Bytes) {
        self.sftp.server(bytes, self.now).unwrap();
        self.steps();
    }

    pub(super) fn rule(&mut self, ask: AskId, ruled: Ruled) {
        if matches!(ruled, Ruled::Allow(_)) {
            self.allowed.push(ask);
        }
        self.sftp.ruled(ask, ruled, self.now).unwrap();
    }

    pub(super) fn steps(&mut self) {
        while let Some(step) = self.sftp.step() {
            match step {
                Step::Ask(ask, question) => {
                    assert!(!self.sftp.wants_client(), "a question is open");
                    let ruled = (self.policy)(&question);
                    self.asked.push((ask, *question));
                    if let Some(ruled) = ruled {
                        self.rule(ask, ruled);
                    }
                }
                Step::Withdraw(ask) => self.withdrawn.push(ask),
                Step::ToServer(under, packet) => {
                    if let Under::Ask(ask) = under {
                        assert!(self.allowed.contains(&ask), "{packet:?} travels under no allow");
                    }
                    self.to_server.push_back((under, packet));
                }
                Step::ToClient(bytes) if self.raw.is_some() => {
                    self.raw.iter_mut().for_each(|raw| raw.extend_from_slice(&bytes));
                }
                Step::ToClient(bytes) => {
                    self.shown.extend_from_slice(&bytes);
                    while let Some(whole) = packet(Side::Server, &mut self.shown).unwrap() {
                        match Reply::parse(&whole.freeze()).unwrap() {
                            (Some(id), reply) => self.replies.entry(id).or_default().push(reply),
                            (None, version) => self.version = Some(version),
                        }
                    }
                }
                Step::File(_, event) => self.events.push(*event),
                Step::Done(ask) => {
                    self.allowed.retain(|open| *open != ask);
                    self.done.push(ask);
                }
            }
        }
    }

    pub(super) fn version(&self) -> &Reply {
        self.version.as_ref().unwrap()
    }

    pub(super) fn take(&mut self, id: u32) -> Option<Reply> {
        let mut replies = self.replies.remove(&id)?;
        assert_eq!(replies.len(), 1, "one answer to one request");
        replies.pop()
    }
}

pub(super) fn allow() -> Option<Ruled> {
    Some(Ruled::Allow(Terms::default()))
}

pub(super) fn deny() -> Option<Ruled> {
    Some(Ruled::Deny("not here".into()))
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn init() -> Request {
    Request::Init { version: 3, extensions: vec![] }
}

pub(super) fn open(path: &str, flags: OpenFlags) -> Request {
    Request::Open { path: bytes(path), flags, attrs: Attrs::default() }
}

pub(super) fn rename(from: &str, to: &str) -> Request {
    Request::Rename { from: bytes(from), to: bytes(to) }
}

pub(super) fn read(handle: &Bytes, offset: u64, length: u32) -> Request {
    Request::Read { handle: handle.clone(), offset, length }
}

pub(super) fn write(handle: &Bytes, offset: u64, data: &[u8]) -> Request {
    Request::Write { handle: handle.clone(), offset, data: Bytes::copy_from_slice(data) }
}

pub(super) fn code(reply: &Reply) -> Code {
    match reply {
        Reply::Status { code, .. } => *code,
        other => panic!("{other:?} is no status"),
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Node {
    File(Vec<u8>),
    Directory,
    Link(String),
}

/// A server whose start is `/home/u`.
#[derive(Debug, Default)]
pub(super) struct Toy {
    pub(super) nodes: BTreeMap<String, Node>,
    handles: BTreeMap<Bytes, String>,
    next: u32,
    /// The most bytes of one answer.
    pub(super) most: Option<usize>,
    /// It tidies paths and follows no link when it is asked for a place.
    pub(super) tidies: bool,
    /// Every request it was sent.
    pub(super) seen: Vec<Request>,
    input: BytesMut,
}

impl Toy {
    pub(super) fn new(nodes: &[(&str, Node)]) -> Self {
        let mut toy = Self::default();
        for path in ["/", "/home", "/home/u"] {
            toy.nodes.insert(path.into(), Node::Directory);
        }
        toy.nodes.extend(nodes.iter().map(|(path, node)| ((*path).to_owned(), node.clone())));
        toy
    }

    /// Answers whole packets.
    pub(super) fn take(&mut self, packet_of_client: &[u8]) -> Vec<Bytes> {
        self.input.extend_from_slice(packet_of_client);
        let mut answers = Vec::new();
        while let Some(packet) = packet(Side::Client, &mut self.input).unwrap() {
            let (id, request) = Request::parse(&packet.freeze()).unwrap();
            self.seen.push(request.clone());
            answers.push(self.answer(request).encode(id.unwrap_or_default()));
        }
        answers
    }

    fn resolve(&self, path: &str) -> Option<String> {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = if path.starts_with('/') { String::new() } else { "/home/u".to_owned() };
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let next = format!("{at}/{name}");
                    match self.nodes.get(&next) {
                        Some(Node::Link(target)) => {
                            links += 1;
                            if links > 8 {
                                return None;
                            }
                            if target.starts_with('/') {
                                at.clear();
                            }
                            todo.extend(target.split('/').rev().map(str::to_owned));
                        }
                        Some(_) => at = next,
                        None if todo.is_empty() => at = next,
                        None => return None,
                    }
                }
            }
        }
        Some(if at.is_empty() { "/".into() } else { at })
    }

    /// The place of a name itself, link or not, in a directory that is there.
    fn entry(&self, path: &str) -> Option<String> {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = self.resolve(if parent.is_empty() { "/" } else { parent })?;
        let there = self.nodes.get(&parent) == Some(&Node::Directory);
        there.then(|| format!("{}/{name}", parent.trim_end_matches('/')))
    }

    /// The places that a request acts on, as a file system takes it.
    pub(super) fn places(&self, request: &Request) -> Vec<String> {
        let followed = |path: &Bytes| self.resolve(str::from_utf8(path).unwrap());
        let entry = |path: &Bytes| self.entry(str::from_utf8(path).unwrap());
        let places = match request {
            // The system opens no link exclusively.
            Request::Open { path, flags, .. } if flags.has(OpenFlags::EXCLUSIVE) => vec![entry(path)],
            Request::Open { path, .. } | Request::Opendir { path } | Request::Setstat { path, .. } => {
                vec![followed(path)]
            }
            Request::Stat { path } => vec![followed(path)],
            Request::Remove { path } | Request::Rmdir { path } | Request::Mkdir { path, .. } => vec![entry(path)],
            Request::Rename { from, to } | Request::Extended(Extended::PosixRename { from, to }) => {
                vec![entry(from), entry(to)]
            }
            Request::Symlink { link, .. } => vec![entry(link)],
            _ => vec![],
        };
        places.into_iter().flatten().collect()
    }

    fn attrs(&self, path: &str) -> Reply {
        let (kind, size) = match self.nodes.get(path) {
            Some(Node::File(content)) => (0o100_644, content.len()),
            Some(Node::Directory) => (0o040_755, 0),
            Some(Node::Link(target)) => (0o120_777, target.len()),
            None => return Reply::status(Code::NoSuchFile, "no such file"),
        };
        Reply::Attrs(Attrs { size: Some(size as u64), permissions: Some(kind), ..Attrs::default() })
    }

    fn handle(&mut self, path: &str) -> Reply {
        let handle = Bytes::from(self.next.to_be_bytes().to_vec());
        self.next += 1;
        self.handles.insert(handle.clone(), path.to_owned());
        Reply::Handle(handle)
    }

    fn answer(&mut self, request: Request) -> Reply {
        let ok = Reply::status(Code::Ok, "ok");
        let text = |path: &Bytes| str::from_utf8(path).unwrap().to_owned();
        match request {
            Request::Init { version, .. } => Reply::Version {
                version,
                extensions: [
                    ("posix-rename@openssh.com", "1"),
                    ("copy-data", "1"),
                    ("hardlink@openssh.com", "1"),
                    ("fsync@openssh.com", "2"),
                ]
                .map(|(name, data)| (bytes(name), bytes(data)))
                .into(),
            },
            Request::Realpath { path } if self.tidies => {
                let mut parts: Vec<&str> = Vec::new();
                for part in str::from_utf8(&path).unwrap().split('/') {
                    match part {
                        "" | "." => {}
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                let path = bytes(&format!("/{}", parts.join("/")));
                Reply::Name(vec![Entry { name: path.clone(), long: path, attrs: Attrs::default() }])
            }
            Request::Realpath { path } => match self.resolve(&text(&path)) {
                Some(path) => {
                    Reply::Name(vec![Entry { name: bytes(&path), long: bytes(&path), attrs: Attrs::default() }])
                }
                None => Reply::status(Code::NoSuchFile, "no such file"),
            },
            Request::Lstat { path } => self.attrs(&self.entry(&text(&path)).unwrap_or_default()),
            Request::Stat { path } => self.attrs(&self.resolve(&text(&path)).unwrap_or_default()),
            Request::Open { path, flags, .. }
                if flags.has(OpenFlags::EXCLUSIVE)
                    && self.entry(&text(&path)).is_none_or(|path| self.nodes.contains_key(&path)) =>
            {
                Reply::status(Code::Failure, "it is there")
            }
            Request::Open { path, flags, .. } => {
                let path = self.resolve(&text(&path)).unwrap_or_default();
                if self.nodes.get(&path) == Some(&Node::Directory) {
                    return Reply::status(Code::Failure, "it is a directory");
                }
                if flags.has(OpenFlags::TRUNCATE) || (flags.has(OpenFlags::CREATE) && !self.nodes.contains_key(&path)) {
                    self.nodes.insert(path.clone(), Node::File(vec![]));
                }
                if matches!(self.nodes.get(&path), Some(Node::File(_))) {
                    self.handle(&path)
                } else {
                    Reply::status(Code::NoSuchFile, "no such file")
                }
            }
            Request::Opendir { path } => self.handle(&text(&path)),
            Request::Read { handle, offset, length } => self.read(&handle, offset, length as usize),
            Request::Write { handle, offset, data } => {
                match self.handles.get(&handle).and_then(|path| self.nodes.get_mut(path)) {
                    Some(Node::File(content)) => {
                        let (from, to) = (offset as usize, offset as usize + data.len());
                        content.resize(content.len().max(to), 0);
                        content[from..to].copy_from_slice(&data);
                        ok
                    }
                    other => panic!("a write to {other:?}"),
                }
            }
            Request::Close { handle } => {
                self.handles.remove(&handle).unwrap();
                ok
            }
            other => self.change(other),
        }
    }

    /// What changes directories.
    fn change(&mut self, request: Request) -> Reply {
        let ok = Reply::status(Code::Ok, "ok");
        let text = |path: &Bytes| str::from_utf8(path).unwrap().to_owned();
        match request {
            Request::Rename { from, to } | Request::Extended(Extended::PosixRename { from, to }) => {
                let (Some(from), Some(to)) = (self.entry(&text(&from)), self.entry(&text(&to))) else {
                    return Reply::status(Code::NoSuchFile, "no such directory");
                };
                let all: Vec<String> = self.nodes.keys().filter(|path| is_below(path, &from)).cloned().collect();
                if all.is_empty() || is_below(&to, &from) || self.nodes.get(&to) == Some(&Node::Directory) {
                    return Reply::status(Code::Failure, "it cannot be moved");
                }
                for path in all {
                    let node = self.nodes.remove(&path).unwrap();
                    self.nodes.insert(format!("{to}{}", path.strip_prefix(&from).unwrap()), node);
                }
                ok
            }
            Request::Remove { path } | Request::Rmdir { path } => {
                let Some(path) = self.entry(&text(&path)) else {
                    return Reply::status(Code::NoSuchFile, "no such directory");
                };
                self.nodes.retain(|known, _| !is_below(known, &path));
                ok
            }
            Request::Mkdir { path, .. } => {
                if let Some(path) = self.entry(&text(&path)) {
                    self.nodes.entry(path).or_insert(Node::Directory);
                }
                ok
            }
            Request::Symlink { target, link } => {
                if let Some(link) = self.entry(&text(&link)) {
                    self.nodes.entry(link).or_insert(Node::Link(text(&target)));
                }
                ok
            }
            Request::Fsetstat { .. } | Request::Setstat { .. } => ok,
            other => panic!("{other:?} is not expected"),
        }
    }

    fn read(&self, handle: &Bytes, offset: u64, length: usize) -> Reply {
        let Some(Node::File(content)) = self.handles.get(handle).and_then(|path| self.nodes.get(path)) else {
            panic!("a read of no file");
        };
        let from = (offset as usize).min(content.len());
        let to = from.saturating_add(length.min(self.most.unwrap_or(usize::MAX))).min(content.len());
        if from == to {
            return Reply::status(Code::Eof, "end of file");
        }
        Reply::Data(Bytes::copy_from_slice(&content[from..to]))
    }
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Bench {
    /// Lets the server answer, in order, until nothing is left.
    pub(super) fn settle(&mut self, toy: &mut Toy) {
        while let Some((_, packet)) = self.to_server.pop_front() {
            for answer in toy.take(&packet) {
                self.server(answer);
            }
        }
    }

    /// One request from beginning to end.
    pub(super) fn ask(&mut self, toy: &mut Toy, id: u32, request: &Request) -> Reply {
        assert!(self.sftp.wants_client());
        self.client(request.encode(id));
        self.settle(toy);
        self.take(id).unwrap()
    }

    pub(super) fn greet(&mut self, toy: &mut Toy) {
        self.client(init().encode(0));
        self.settle(toy);
        assert!(matches!(self.version(), Reply::Version { version: 3, .. }));
    }

    pub(super) fn open(&mut self, toy: &mut Toy, path: &str, flags: OpenFlags) -> Bytes {
        match self.ask(toy, 900, &open(path, flags)) {
            Reply::Handle(handle) => handle,
            other => panic!("{other:?} is no handle"),
        }
    }
}
